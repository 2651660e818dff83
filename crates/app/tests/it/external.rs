//! Subjects of external issuers: one user each, in every process, until they are erased.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use adapters_local::SystemIds;
use app::{
    App,
    external::{AllSessions, IssuerTable},
};
use async_trait::async_trait;
use conformance::ManualClock;
use domain::{
    ids::{SessionId, UserId},
    record::{Kind, Partition, SortRange},
};
use futures::future::join_all;
use ports::{
    Clock, Denial, Error, ErrorKind, ExternalToken, ExternalVerifier, HealthDataRepository, Query, Role,
    Sessions, TokenVerifier, VerifiedToken, Write, denial,
};
use uuid::Uuid;

use crate::bench::app_at;

/// Believes every token of the form `subject session issued-at`; everything else is someone else's.
struct Gullible;

#[async_trait]
impl ExternalVerifier for Gullible {
    async fn verify(&self, token: &str) -> ports::Result<Option<Arc<ExternalToken>>> {
        let parts: Vec<&str> = token.split(' ').collect();
        let [subject, session, issued_at] = parts[..] else { return Ok(None) };
        Ok(Some(Arc::new(ExternalToken {
            issuer: "https://issuer.example".to_owned(),
            subject: subject.to_owned(),
            session_id: SessionId(Uuid::from_u128(session.parse().unwrap())),
            roles: BTreeSet::from([Role::User]),
            provider: "example".to_owned(),
            email: None,
            email_verified: false,
            began_at: Some(issued_at.parse().unwrap()),
            expires_at: jiff::Timestamp::MAX,
        })))
    }
}

struct Home {
    app: Arc<App>,
    clock: Arc<ManualClock>,
}

impl Home {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        Self { app: app_at(Arc::clone(&clock), |store| store), clock }
    }

    /// What another process of the same store has in memory: nothing.
    fn table(&self) -> IssuerTable {
        let platform = &self.app.platform;
        let time = (Arc::clone(&platform.clock), Arc::new(SystemIds) as _);
        IssuerTable::new(
            Arc::clone(&platform.tokens),
            Arc::new(Gullible),
            Arc::clone(&platform.health_data),
            time,
        )
    }

    fn token(&self, subject: &str, session: u32) -> String {
        format!("{subject} {session} {}", self.clock.now())
    }

    async fn links(&self, partition: Partition) -> usize {
        let query = Query::new(partition, Kind::IdentityLink, SortRange::all());
        self.app.platform.health_data.query(&query).await.unwrap().items.len()
    }
}

async fn user(table: &IssuerTable, token: &str) -> UserId {
    table.verify(token).await.unwrap().user_id
}

fn is_refused(verified: ports::Result<VerifiedToken>) -> bool {
    verified.is_err_and(|error| {
        assert_eq!((error.kind(), denial(&error)), (ErrorKind::PermissionDenied, Some(Denial::InvalidToken)));
        true
    })
}

#[tokio::test]
async fn a_subject_is_one_user_in_every_process_and_two_subjects_are_two() {
    let home = Home::new();
    let (here, there) = (home.table(), home.table());
    let anna = user(&here, &home.token("anna", 1)).await;
    assert_eq!(user(&here, &home.token("anna", 2)).await, anna);
    assert_eq!(user(&there, &home.token("anna", 3)).await, anna);
    assert_ne!(user(&there, &home.token("bert", 1)).await, anna);
    let account = here.verify(&home.token("anna", 1)).await.unwrap().external.unwrap();
    assert_eq!((account.provider.as_str(), account.since), ("example", home.clock.now()));
    assert_eq!((home.links(Partition::User(anna)).await, home.links(Partition::IdentityLinks).await), (1, 2));
    // A token of nobody we know goes to the identity provider, which knows it as little.
    assert!(is_refused(here.verify("token").await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_subject_that_is_first_seen_by_many_requests_at_once_is_one_user() {
    let home = Arc::new(Home::new());
    for subject in 0..20 {
        let tasks = (0..16).map(|session| {
            let (table, token) = (home.table(), home.token(&format!("s{subject}"), session));
            tokio::spawn(async move { user(&table, &token).await })
        });
        let users: BTreeSet<UserId> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(users.len(), 1);
        let user = *users.first().unwrap();
        assert_eq!(home.links(Partition::User(user)).await, 1);
    }
    assert_eq!(home.links(Partition::IdentityLinks).await, 20);
    assert_eq!(home.app.platform.health_data.partitions(None, 1_000).await.unwrap().items.len(), 20);
}

#[tokio::test]
async fn a_session_that_ended_has_ended_at_once_in_every_process() {
    let home = Home::new();
    let (here, there) = (home.table(), home.table());
    let (first, second) = (home.token("anna", 1), home.token("anna", 2));
    let verified = here.verify(&first).await.unwrap();
    there.verify(&first).await.unwrap();
    let account = verified.external.as_deref();
    home.app.sign_out(verified.user_id, verified.session_id, account).await.unwrap();
    assert!(is_refused(here.verify(&first).await) && is_refused(there.verify(&first).await));
    home.clock.advance_by(Duration::from_hours(24 * 30));
    assert!(is_refused(home.table().verify(&first).await));
    assert_eq!(user(&there, &second).await, verified.user_id);
    // Nobody else's.
    there.verify(&home.token("bert", 1)).await.unwrap();
}

#[tokio::test]
async fn sessions_that_end_at_the_same_time_all_end() {
    let home = Home::new();
    let table = home.table();
    let account = table.verify(&home.token("anna", 0)).await.unwrap();
    let end = |session: u128| {
        let (app, account) = (Arc::clone(&home.app), account.clone());
        async move {
            let session = SessionId(Uuid::from_u128(session));
            app.sign_out(account.user_id, session, account.external.as_deref()).await
        }
    };
    for ended in join_all((1..=4).map(end)).await {
        ended.unwrap();
    }
    for session in 1..=4 {
        assert!(is_refused(table.verify(&home.token("anna", session)).await), "{session}");
    }
    table.verify(&home.token("anna", 5)).await.unwrap();
}

#[tokio::test]
async fn more_ended_sessions_than_are_told_apart_end_all_that_began_before() {
    let home = Home::new();
    let table = home.table();
    let open = home.token("anna", 5_000);
    let account = table.verify(&open).await.unwrap();
    for session in 1..=1_001 {
        let session = SessionId(Uuid::from_u128(session));
        home.app.sign_out(account.user_id, session, account.external.as_deref()).await.unwrap();
    }
    assert!(is_refused(table.verify(&home.token("anna", 1)).await));
    assert!(is_refused(table.verify(&open).await));
    home.clock.advance_by(Duration::from_secs(61));
    assert_eq!(user(&table, &home.token("anna", 6_000)).await, account.user_id);
}

#[tokio::test]
async fn the_end_of_all_sessions_spares_one_and_what_begins_later() {
    let home = Home::new();
    let table = home.table();
    let (kept, other, bert) = (home.token("anna", 1), home.token("anna", 2), home.token("bert", 1));
    let account = table.verify(&kept).await.unwrap();
    for token in [&other, &bert] {
        table.verify(token).await.unwrap();
    }
    let platform = &home.app.platform;
    let (store, clock) = (Arc::clone(&platform.health_data), Arc::clone(&platform.clock));
    let sessions = AllSessions::new(Arc::clone(&platform.sessions), store, clock);
    assert_eq!(sessions.sessions(account.user_id).await.unwrap(), []);
    // A session that had ended before does not come back.
    home.app.sign_out(account.user_id, account.session_id, account.external.as_deref()).await.unwrap();
    sessions.end_all(account.user_id, Some(account.session_id)).await.unwrap();
    assert!(is_refused(table.verify(&kept).await) && is_refused(table.verify(&other).await));

    let third = home.token("anna", 3);
    let session = Some(SessionId(Uuid::from_u128(3)));
    sessions.end_all(account.user_id, session).await.unwrap();
    assert!(is_refused(table.verify(&other).await));
    assert_eq!(user(&table, &third).await, account.user_id);
    sessions.end_all(account.user_id, None).await.unwrap();
    assert!(is_refused(home.table().verify(&third).await));
    home.clock.advance_by(Duration::from_secs(61));
    assert_eq!(user(&table, &home.token("anna", 4)).await, account.user_id);
    table.verify(&bert).await.unwrap();
}

#[tokio::test]
async fn an_erased_user_is_nobody_and_comes_back_as_someone_else() {
    let home = Home::new();
    let (here, there) = (home.table(), home.table());
    let old = home.token("anna", 1);
    let anna = user(&here, &old).await;
    assert_eq!(user(&there, &old).await, anna);
    assert_eq!(home.app.forget_external_identities(anna).await.unwrap(), 1);
    assert_eq!(home.app.forget_external_identities(anna).await.unwrap(), 0);
    assert_eq!(home.links(Partition::User(anna)).await, 0);
    // Not one process takes the old token, nor one that an issuer with a fast clock made before.
    home.clock.advance_by(Duration::from_mins(1));
    for table in [&here, &there, &home.table()] {
        assert!(is_refused(table.verify(&old).await));
        assert!(is_refused(table.verify(&home.token("anna", 2)).await));
    }
    home.clock.advance_by(Duration::from_secs(1));
    let again = user(&there, &home.token("anna", 3)).await;
    assert_ne!(again, anna);
    assert_eq!(user(&here, &home.token("anna", 4)).await, again);
    // What was issued to the user who is gone is not the new one's.
    assert_eq!(home.links(Partition::User(anna)).await, 0);
}

#[tokio::test]
async fn a_user_whose_records_were_removed_without_their_link_is_as_gone() {
    let home = Home::new();
    let (here, there) = (home.table(), home.table());
    let old = home.token("anna", 1);
    let anna = user(&here, &old).await;
    let store = &home.app.platform.health_data;
    let query = Query::new(Partition::User(anna), Kind::IdentityLink, SortRange::all());
    for record in store.query(&query).await.unwrap().items {
        store.commit(vec![Write::delete(record.key, ports::Precondition::None)]).await.unwrap();
    }
    assert!(is_refused(here.verify(&old).await) && is_refused(there.verify(&old).await));
    home.clock.advance_by(Duration::from_secs(61));
    assert_ne!(user(&here, &home.token("anna", 2)).await, anna);
}

/// A store that cannot be reached.
struct Away;

#[async_trait]
impl HealthDataRepository for Away {
    async fn get(&self, _: &domain::record::RecordKey) -> ports::Result<Option<ports::Record>> {
        Err(Error::new(ErrorKind::Unavailable, "test"))
    }
    async fn query(&self, _: &Query) -> ports::Result<ports::Page<ports::Record>> {
        Err(Error::new(ErrorKind::Unavailable, "test"))
    }
    async fn commit(&self, _: Vec<Write>) -> ports::Result<()> {
        Err(Error::new(ErrorKind::Unavailable, "test"))
    }
    async fn partitions(&self, _: Option<&ports::Cursor>, _: usize) -> ports::Result<ports::Page<UserId>> {
        Err(Error::new(ErrorKind::Unavailable, "test"))
    }
    fn limits(&self) -> ports::CommitLimits {
        ports::CommitLimits { writes_max: 100, bytes_max: 4_000_000 }
    }
}

#[tokio::test]
async fn while_nobody_can_tell_whether_a_session_ended_nobody_gets_in() {
    let home = Home::new();
    let time = (Arc::clone(&home.app.platform.clock), Arc::new(SystemIds) as _);
    let table =
        IssuerTable::new(Arc::clone(&home.app.platform.tokens), Arc::new(Gullible), Arc::new(Away), time);
    let error = table.verify(&home.token("anna", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
