//! Sessions as records: a session is alive while its record is there.

use std::sync::Arc;

use domain::{
    ids::{SessionId, UserId},
    record::{Kind, Partition, RecordKey, SortRange},
};
use jiff::Timestamp;
use ports::{Error, ErrorKind, HealthDataRepository, Precondition, Query, Record, Result, Version, Write};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// Races for one user's standing that are run again.
const ATTEMPTS: usize = 8;

/// A sign-in that has not ended.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) created_at: Timestamp,
    pub(super) last_used_at: Timestamp,
    /// When it ends unless it is used before.
    pub(super) expires_at: Timestamp,
    pub(super) device: Option<String>,
    pub(super) remember_me: bool,
    /// The hash of what all its refresh tokens share.
    pub(super) family: String,
    /// The hash of the refresh token that was not used yet.
    pub(super) current: String,
    /// How that came to be, where the client said how it would ask again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trade: Option<Trade>,
    /// Cognito's refresh token, sealed.
    pub(super) sealed: String,
}

/// The last trade of a refresh token, to be answered again if its reply got lost.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Trade {
    /// The hash of the token that it spent.
    pub(super) spent: String,
    /// The hash of what the client calls it.
    pub(super) attempt: String,
    /// The token of ours that it answered, sealed.
    pub(super) next: String,
}

/// What counts for all sessions of a user.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Standing {
    /// Whether they are disabled.
    pub(super) barred: bool,
    /// When all sessions ended last: a sign-in that began before does not become one.
    pub(super) ended_at: Option<Timestamp>,
}

/// A body with the version it was read at; `None` for what is not there yet.
pub(super) struct Stored<T> {
    pub(super) body: T,
    version: Option<Version>,
}

impl<T> Stored<T> {
    /// That nobody else wrote since.
    fn unchanged(&self) -> Precondition {
        self.version.map_or(Precondition::Absent, Precondition::VersionEquals)
    }

    fn next_version(&self) -> Version {
        self.version.map_or(Version::FIRST, Version::next)
    }
}

pub(super) struct SessionStore(Arc<dyn HealthDataRepository>);

impl SessionStore {
    pub(super) fn new(store: Arc<dyn HealthDataRepository>) -> Self {
        Self(store)
    }

    async fn get<T: DeserializeOwned>(&self, key: &RecordKey) -> Result<Option<Stored<T>>> {
        let record = self.0.get(key).await?;
        record.map(|record| Ok(Stored { body: decode(&record)?, version: Some(record.version) })).transpose()
    }

    pub(super) async fn session(&self, user: UserId, session: SessionId) -> Result<Option<Stored<Session>>> {
        self.get(&RecordKey::session(user, session)).await
    }

    pub(super) async fn standing(&self, user: UserId) -> Result<Stored<Standing>> {
        let stored = self.get(&RecordKey::standing(user)).await?;
        Ok(stored.unwrap_or(Stored { body: Standing::default(), version: None }))
    }

    /// Begins a session, if `standing` still is what it was. `Conflict` otherwise.
    pub(super) async fn begin(
        &self,
        (user, id): (UserId, SessionId),
        session: &Session,
        standing: &Stored<Standing>,
    ) -> Result<()> {
        let begun = Write::insert(RecordKey::session(user, id), encode(session)?);
        let checked = Write::check(RecordKey::standing(user), standing.unchanged());
        self.0.commit(vec![begun.expiring_at(session.expires_at), checked]).await
    }

    /// Changes a session, if nobody else did since it was read. `Conflict` otherwise.
    pub(super) async fn change(
        &self,
        (user, id): (UserId, SessionId),
        session: &Session,
        read: &Stored<Session>,
    ) -> Result<()> {
        let (key, body) = (RecordKey::session(user, id), encode(session)?);
        let write = Write::put(key, read.next_version(), body, read.unchanged());
        self.0.commit(vec![write.expiring_at(session.expires_at)]).await
    }

    /// Ends a session; twice is fine.
    pub(super) async fn end(&self, user: UserId, id: SessionId) -> Result<()> {
        self.0.commit(vec![Write::delete(RecordKey::session(user, id), Precondition::None)]).await
    }

    /// The sessions of a user, in no order.
    pub(super) async fn list(&self, user: UserId) -> Result<Vec<(SessionId, Stored<Session>)>> {
        let mut query = Query::new(Partition::User(user), Kind::Session, SortRange::all());
        let mut all = Vec::new();
        loop {
            let page = self.0.query(&query).await?;
            for record in &page.items {
                let id = Uuid::parse_str(record.key.sort.as_str()).map_err(|_hidden| corrupt(record))?;
                let stored = Stored { body: decode(record)?, version: Some(record.version) };
                all.push((SessionId(id), stored));
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Ends the sessions of a user but `except`, and the sign-ins that are under way; answers those that ended.
    pub(super) async fn end_all(
        &self,
        user: UserId,
        except: Option<SessionId>,
        now: Timestamp,
    ) -> Result<Vec<(SessionId, Session)>> {
        // First, so that no session is begun unseen behind the list.
        self.change_standing(user, |standing| standing.ended_at = Some(now)).await?;
        let ended: Vec<_> =
            self.list(user).await?.into_iter().filter(|(id, _)| Some(*id) != except).collect();
        for writes in ended.chunks(self.0.limits().writes_max.max(1)) {
            let delete =
                |(id, _): &(SessionId, _)| Write::delete(RecordKey::session(user, *id), Precondition::None);
            self.0.commit(writes.iter().map(delete).collect()).await?;
        }
        Ok(ended.into_iter().map(|(id, stored)| (id, stored.body)).collect())
    }

    /// Changes what counts for all sessions of a user.
    pub(super) async fn change_standing(&self, user: UserId, change: impl Fn(&mut Standing)) -> Result<()> {
        self.change_standing_until(user, None, change).await
    }

    /// The same for a user who is gone: it counts until the last of their tokens has ended.
    pub(super) async fn change_standing_until(
        &self,
        user: UserId,
        until: Option<Timestamp>,
        change: impl Fn(&mut Standing),
    ) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let mut standing = self.standing(user).await?;
            change(&mut standing.body);
            let key = RecordKey::standing(user);
            let body = encode(&standing.body)?;
            let mut write = Write::put(key, standing.next_version(), body, standing.unchanged());
            if let Some(until) = until {
                write = write.expiring_at(until);
            }
            match self.0.commit(vec![write]).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                outcome => return outcome,
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "identity.standing"))
    }
}

fn encode<T: Serialize>(body: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(body)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "identity.store").with_cause(error))
}

fn decode<T: DeserializeOwned>(record: &Record) -> Result<T> {
    // Not the parser's own text, which may quote the record.
    serde_json::from_slice(&record.body).map_err(|_hidden| corrupt(record))
}

fn corrupt(record: &Record) -> Error {
    let cause = format!("{} cannot be read", record.key);
    Error::new(ErrorKind::Corrupt, "identity.store").with_cause(cause)
}
