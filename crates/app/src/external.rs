//! People of external issuers: which user each subject is, and which of their sessions have ended.
//!
//! A link has two halves that are written in one commit: (issuer, subject) -> user in a partition of its own, and, in the
//! user's partition, what counts for the link now. The second half is read for every request, so that the end of a session and
//! the end of a user count at once in every process; where it is gone, whatever was remembered of the link is void.
//!
//! An erased user leaves a link that leads to nobody, for as long as tokens from before could live. So no such token makes a
//! new user, and who signs in again later is one.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use domain::{
    ids::{SessionId, UserId},
    record::{Kind, Partition, RecordKey, SortKey, SortRange},
};
use jiff::{SignedDuration, Timestamp};
use ports::{
    Clock, Denial, Error, ErrorKind, ExternalAccount, ExternalToken, ExternalVerifier, HealthDataRepository,
    IdSource, Precondition, Result, SessionInfo, Sessions, TokenVerifier, VerifiedToken, Version, Write,
};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::{
    App,
    records::{Stored, decode, encode, get, query_all, replace},
};

const OPERATION: &str = "identity.external";
const LINKS_MAX: usize = 64 * 1024;
const ATTEMPTS: usize = 8;
/// Longer than any token may live (`identity.issuers`), and than most sign-ins that tokens are refreshed from.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 31);
/// How many ended sessions are told apart; with more of them, all that began before have ended.
const ENDED_MAX: usize = 1_000;
/// By how much an issuer's clock may be ahead of this one.
const SKEW: SignedDuration = SignedDuration::from_mins(1);

/// Where a link leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Link {
    /// To this user.
    User(UserId),
    /// To nobody since then: the user was erased.
    ErasedAt(Timestamp),
}

/// What counts for a link now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Standing {
    issuer: String,
    since: Timestamp,
    /// When all sessions ended.
    #[serde(default)]
    all_ended: Option<AllEnded>,
    /// Sessions that have ended, and until when that is remembered.
    #[serde(default)]
    ended: BTreeMap<SessionId, Timestamp>,
}

/// The end of all sessions that began before an instant, but one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct AllEnded {
    at: Timestamp,
    except: Option<SessionId>,
}

impl Standing {
    fn admits(&self, token: &ExternalToken) -> bool {
        let has_ended = |all: AllEnded| !is_after(token, all.at) && all.except != Some(token.session_id);
        !self.all_ended.is_some_and(has_ended) && !self.ended.contains_key(&token.session_id)
    }

    fn end(&mut self, session: SessionId, now: Timestamp) {
        self.ended.retain(|_, until| *until > now);
        self.ended.insert(session, later(now, REMEMBERED));
        let oldest = self.ended.iter().min_by_key(|(_, until)| **until).map(|(session, _)| *session);
        if let Some(oldest) = oldest.filter(|_| self.ended.len() > ENDED_MAX) {
            self.ended.remove(&oldest);
            self.end_all(None, now);
        }
    }

    fn end_all(&mut self, except: Option<SessionId>, now: Timestamp) {
        self.all_ended = Some(AllEnded { at: now, except });
    }
}

/// Whether the sign-in that a token comes from was certainly after `instant`, by whichever clock.
fn is_after(token: &ExternalToken, instant: Timestamp) -> bool {
    token.began_at.is_some_and(|began| began > later(instant, SKEW))
}

fn later(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// Verifies the tokens of all issuers that are accepted: the external ones by theirs, all others by the identity provider's.
pub struct IssuerTable {
    own: Arc<dyn TokenVerifier>,
    external: Arc<dyn ExternalVerifier>,
    store: Arc<dyn HealthDataRepository>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    /// Where links led when they were last read. Only ever a place to look: the user's half decides.
    known: Cache<SortKey, UserId>,
}

impl IssuerTable {
    /// A table over the verifiers of the identity provider and of external issuers.
    pub fn new(
        own: Arc<dyn TokenVerifier>,
        external: Arc<dyn ExternalVerifier>,
        store: Arc<dyn HealthDataRepository>,
        (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>),
    ) -> Self {
        Self { own, external, store, clock, ids, known: Cache::new(LINKS_MAX) }
    }

    /// The user of an external token, where it still counts. The first one of a subject makes its user.
    async fn admit(&self, token: &ExternalToken) -> Result<VerifiedToken> {
        let link = RecordKey::identity_link(&token.issuer, &token.subject);
        if let Some(user) = self.known.get(&link.sort) {
            if let Some(standing) = self.standing(user, &link).await? {
                return admitted(token, user, &standing);
            }
            self.known.remove(&link.sort);
        }
        for _ in 0..ATTEMPTS {
            let outcome = match get::<Link>(&*self.store, &link).await? {
                None => self.join(token, &link, (Version::FIRST, Precondition::Absent)).await,
                Some(Stored { body: Link::ErasedAt(at), version }) if is_after(token, at) => {
                    self.join(token, &link, (version.next(), Precondition::VersionEquals(version))).await
                }
                Some(Stored { body: Link::ErasedAt(_), .. }) => Err(invalid()),
                Some(Stored { body: Link::User(user), version }) => match self.standing(user, &link).await? {
                    Some(standing) => Ok((user, standing)),
                    None => self.bury(&link, version).await,
                },
            };
            match outcome {
                Ok((user, standing)) => {
                    self.known.insert(link.sort.clone(), user);
                    return admitted(token, user, &standing);
                }
                // Another request of the same subject was first: read what it did.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Err(busy())
    }

    async fn standing(&self, user: UserId, link: &RecordKey) -> Result<Option<Standing>> {
        let stored = get(&*self.store, &RecordKey::linked_identity(user, link)).await?;
        Ok(stored.map(|stored: Stored<Standing>| stored.body))
    }

    /// Makes a user: both halves of the link, or none.
    async fn join(
        &self,
        token: &ExternalToken,
        link: &RecordKey,
        (version, precondition): (Version, Precondition),
    ) -> Result<(UserId, Standing)> {
        let user = UserId(self.ids.next());
        let standing = Standing {
            issuer: token.issuer.clone(),
            since: self.clock.now(),
            all_ended: None,
            ended: BTreeMap::new(),
        };
        let writes = vec![
            Write::put(link.clone(), version, encode(&Link::User(user))?, precondition),
            Write::insert(RecordKey::linked_identity(user, link), encode(&standing)?),
        ];
        self.store.commit(writes).await?;
        Ok((user, standing))
    }

    /// The user's half is gone, and so is the user: the link leads to nobody.
    async fn bury(&self, link: &RecordKey, version: Version) -> Result<(UserId, Standing)> {
        self.store.commit(vec![grave(link, version, self.clock.now())?]).await?;
        Err(invalid())
    }
}

fn grave(link: &RecordKey, version: Version, now: Timestamp) -> Result<Write> {
    let body = encode(&Link::ErasedAt(now))?;
    Ok(replace(link.clone(), version, body).expiring_at(later(now, REMEMBERED)))
}

fn admitted(token: &ExternalToken, user_id: UserId, standing: &Standing) -> Result<VerifiedToken> {
    if !standing.admits(token) {
        return Err(invalid());
    }
    Ok(VerifiedToken {
        user_id,
        session_id: token.session_id,
        issuer: token.issuer.clone(),
        roles: token.roles.clone(),
        expires_at: token.expires_at,
        external: Some(Arc::new(ExternalAccount {
            provider: token.provider.clone(),
            email: token.email.clone(),
            email_verified: token.email_verified,
            since: standing.since,
        })),
    })
}

fn invalid() -> Error {
    Error::new(ErrorKind::PermissionDenied, OPERATION).with_cause(Denial::InvalidToken)
}

#[async_trait]
impl TokenVerifier for IssuerTable {
    async fn verify(&self, token: &str) -> Result<VerifiedToken> {
        match self.external.verify(token).await? {
            Some(token) => self.admit(&token).await,
            None => self.own.verify(token).await,
        }
    }

    async fn jwks(&self) -> Result<Option<serde_json::Value>> {
        self.own.jwks().await
    }
}

/// The sessions of the identity provider and of external issuers together.
pub struct AllSessions {
    own: Arc<dyn Sessions>,
    store: Arc<dyn HealthDataRepository>,
    clock: Arc<dyn Clock>,
}

impl AllSessions {
    /// External sessions beside those that `own` keeps.
    pub fn new(own: Arc<dyn Sessions>, store: Arc<dyn HealthDataRepository>, clock: Arc<dyn Clock>) -> Self {
        Self { own, store, clock }
    }
}

#[async_trait]
impl Sessions for AllSessions {
    /// Those of the identity provider: only an issuer knows where its people are signed in.
    async fn sessions(&self, user_id: UserId) -> Result<Vec<SessionInfo>> {
        self.own.sessions(user_id).await
    }

    async fn end_all(&self, user_id: UserId, except: Option<SessionId>) -> Result<()> {
        let now = self.clock.now();
        change_standings(&*self.store, user_id, |standing| standing.end_all(except, now)).await?;
        self.own.end_all(user_id, except).await
    }
}

impl App {
    /// Ends a session of the user. When this returns, none of its tokens is good any more, in any process.
    pub async fn sign_out(
        &self,
        user: UserId,
        session: SessionId,
        external: Option<&ExternalAccount>,
    ) -> Result<()> {
        if external.is_none() {
            return self.platform.identity.sign_out(user, session).await;
        }
        let now = self.platform.clock.now();
        change_standings(&*self.platform.health_data, user, |standing| standing.end(session, now)).await
    }

    /// Removes the links that lead to the user, both halves of each, and answers how many there were. From then on the user's
    /// external tokens are refused; one that was issued later belongs to a new user.
    pub async fn forget_external_identities(&self, user: UserId) -> Result<usize> {
        let store = &*self.platform.health_data;
        for _ in 0..ATTEMPTS {
            let standings = standings(store, user).await?;
            let mut writes = Vec::new();
            for (key, Stored { version, .. }) in &standings {
                let link = RecordKey::link_of(key);
                writes.push(Write::delete(key.clone(), Precondition::VersionEquals(*version)));
                if let Some(Stored { body: Link::User(linked), version }) = get::<Link>(store, &link).await?
                    && linked == user
                {
                    writes.push(grave(&link, version, self.platform.clock.now())?);
                }
            }
            match store.commit(writes).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                outcome => return outcome.map(|()| standings.len()),
            }
        }
        Err(busy())
    }
}

fn busy() -> Error {
    Error::new(ErrorKind::Unavailable, OPERATION).with_cause("the link changed at every attempt")
}

/// Changes what counts for each link that leads to the user.
async fn change_standings(
    store: &dyn HealthDataRepository,
    user: UserId,
    change: impl Fn(&mut Standing),
) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let mut writes = Vec::new();
        for (key, Stored { body: mut standing, version }) in standings(store, user).await? {
            change(&mut standing);
            writes.push(replace(key, version, encode(&standing)?));
        }
        match store.commit(writes).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            outcome => return outcome,
        }
    }
    Err(busy())
}

/// The user's halves of the links that lead to them.
async fn standings(
    store: &dyn HealthDataRepository,
    user: UserId,
) -> Result<Vec<(RecordKey, Stored<Standing>)>> {
    let records = query_all(store, Partition::User(user), Kind::IdentityLink, SortRange::all()).await?;
    let read = |record: ports::Record| {
        let body = decode(&record)?;
        Ok((record.key, Stored { body, version: record.version }))
    };
    records.into_iter().map(read).collect()
}
