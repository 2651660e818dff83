//! What the rows mean, and a transaction that speaks of users and sessions.

use std::{collections::BTreeSet, time::Duration};

use domain::ids::{SessionId, UserId};
use jiff::{SignedDuration, Timestamp};
use ports::{Email, Error, ErrorKind, Result, Role};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    CodePurpose,
    sealing::Sealed,
    store::{Kind, Row, Transaction},
};

/// Names an address without holding it: what is kept about addresses that nobody signed up with must not be a list of them.
pub(super) type AddressKey = [u8; 32];

pub(super) fn address_key(email: &Email) -> AddressKey {
    Sha256::digest(email.expose()).into()
}

/// `instant + by`; the end of time where that is too far.
pub(super) fn after(instant: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .map_or(Timestamp::MAX, |by| instant.saturating_add(by).unwrap_or(Timestamp::MAX))
}

/// A body that is kept under a key of its own.
pub(super) trait Entity: Serialize + DeserializeOwned {
    const KIND: Kind;
}

macro_rules! entities {
    ($($name:ident => $kind:ident),+ $(,)?) => {$(
        impl Entity for $name {
            const KIND: Kind = Kind::$kind;
        }
    )+};
}

entities! {
    User => User, AddressOwner => Address, Session => Session, RefreshToken => RefreshToken, Code => Code,
    Failures => Failures, Mail => Mail, SecondFactor => SecondFactor, Challenge => Challenge,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) id: UserId,
    #[serde(with = "email_text")]
    pub(super) email: Email,
    pub(super) email_verified: bool,
    pub(super) password_hash: String,
    pub(super) display_name: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) disabled: bool,
    #[serde(with = "role_names", default = "only_user")]
    pub(super) roles: BTreeSet<Role>,
    /// Counts the changes.
    #[serde(default)]
    pub(super) version: u64,
    /// Counts what bars the user and lets them in again; orders those marks among the revocations.
    pub(super) mark_version: u64,
}

/// What everybody is who signs up.
pub(super) fn only_user() -> BTreeSet<Role> {
    BTreeSet::from([Role::User])
}

/// Who signed up with an address.
#[derive(Serialize, Deserialize)]
pub(super) struct AddressOwner(pub(super) UserId);

#[derive(Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) user_id: UserId,
    pub(super) created_at: Timestamp,
    pub(super) last_used_at: Timestamp,
    pub(super) device: Option<String>,
    pub(super) remember_me: bool,
}

/// What a user is asked for besides the password.
#[derive(Serialize, Deserialize)]
pub(super) struct SecondFactor {
    pub(super) secret: Sealed,
    /// Whether a code of it came back.
    pub(super) is_on: bool,
    /// That of the last code that was taken.
    pub(super) last_step: Option<i64>,
    /// Hashes of the recovery codes that are left.
    pub(super) recovery: Vec<[u8; 32]>,
}

/// A sign-in that lacks the second factor, and the session that it will become. Kept by the hash of its token.
#[derive(Serialize, Deserialize)]
pub(super) struct Challenge {
    pub(super) session: Session,
    pub(super) wrong_answers: u32,
}

/// Kept by the hash of the token. A spent one is kept too, so that its theft is noticed.
#[derive(Serialize, Deserialize)]
pub(super) struct RefreshToken {
    pub(super) session_id: SessionId,
    pub(super) spent: bool,
    /// What it was traded for, where the client said how it would ask again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trade: Option<Trade>,
}

/// The trade of a refresh token, to be answered again if its reply got lost.
#[derive(Serialize, Deserialize)]
pub(super) struct Trade {
    /// The hash of what the client calls it.
    pub(super) attempt: [u8; 32],
    /// The next refresh token, sealed.
    pub(super) next: Sealed,
}

/// The latest code of an address and purpose, and how many there were lately.
#[derive(Serialize, Deserialize)]
pub(super) struct Code {
    pub(super) hash: [u8; 32],
    pub(super) expires_at: Timestamp,
    pub(super) wrong_attempts: u32,
    /// Of the user who had the address when it was issued.
    #[serde(default)]
    pub(super) user_id: Option<UserId>,
    pub(super) window_ends_at: Timestamp,
    pub(super) issued_in_window: u32,
}

/// Wrong passwords and codes of an account, or from a network address.
#[derive(Serialize, Deserialize)]
pub(super) struct Failures {
    pub(super) count: u32,
    pub(super) locked_until: Option<Timestamp>,
    /// Further failures belong to these until then.
    pub(super) counted_until: Timestamp,
}

/// A code that nobody delivers: kept for whoever develops.
#[derive(Serialize, Deserialize)]
pub(super) struct Mail {
    #[serde(with = "email_text")]
    pub(super) email: Email,
    pub(super) purpose: CodePurpose,
    pub(super) code: String,
    pub(super) expires_at: Timestamp,
}

mod role_names {
    use std::collections::BTreeSet;

    use ports::Role;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(roles: &BTreeSet<Role>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(roles.iter().map(|role| role.as_str()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<Role>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let roles = names.iter().map(|name| Role::parse(name)).collect::<Option<_>>();
        roles.ok_or_else(|| de::Error::custom("not a role"))
    }
}

mod email_text {
    use ports::Email;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(email: &Email, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(email.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Email, D::Error> {
        let text = String::deserialize(deserializer)?;
        Email::parse(&text).ok_or_else(|| de::Error::custom("not an address"))
    }
}

/// When a row goes, and what it goes with.
#[derive(Clone, Copy, Default)]
pub(super) struct Keep<'a> {
    pub(super) owner: Option<&'a [u8]>,
    pub(super) until: Option<Timestamp>,
}

/// A transaction at an instant.
pub(super) struct Accounts {
    transaction: Box<dyn Transaction>,
    now: Timestamp,
    operation: &'static str,
}

impl Accounts {
    pub(super) fn new(transaction: Box<dyn Transaction>, now: Timestamp, operation: &'static str) -> Self {
        Self { transaction, now, operation }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.operation)
    }

    fn decode<T: Entity>(&self, body: &str) -> Result<T> {
        serde_json::from_str(body).map_err(|error| {
            // Not the parser's own text, which may quote the row.
            let cause = format!("identity row of kind {:?}, column {}", T::KIND, error.column());
            self.error(ErrorKind::Corrupt).with_cause(cause)
        })
    }

    /// What is kept under `key` and has not expired.
    pub(super) async fn get<T: Entity>(&mut self, key: &[u8]) -> Result<Option<T>> {
        let now_ms = self.now.as_millisecond();
        let row = self.transaction.get(T::KIND, key).await?;
        row.filter(|row| row.expires_at_ms.is_none_or(|at| at > now_ms))
            .map(|row| self.decode(&row.body))
            .transpose()
    }

    pub(super) async fn put<T: Entity>(&mut self, key: &[u8], body: &T, keep: Keep<'_>) -> Result<()> {
        let body = serde_json::to_string(body)
            .map_err(|error| self.error(ErrorKind::Unexpected).with_cause(error))?;
        let row = Row {
            owner: keep.owner.map(<[u8]>::to_vec),
            expires_at_ms: keep.until.map(Timestamp::as_millisecond),
            body,
        };
        self.transaction.put(T::KIND, key, row).await
    }

    pub(super) async fn delete<T: Entity>(&mut self, key: &[u8]) -> Result<()> {
        self.transaction.delete(T::KIND, key).await
    }

    pub(super) async fn commit(mut self) -> Result<()> {
        self.transaction.sweep(self.now.as_millisecond()).await?;
        self.transaction.commit().await
    }

    pub(super) async fn user(&mut self, user_id: UserId) -> Result<Option<User>> {
        self.get(user_id.0.as_bytes()).await
    }

    /// Looks as long for an address of nobody as for one of somebody.
    pub(super) async fn user_at(&mut self, address: &AddressKey) -> Result<Option<User>> {
        let owner = self.get::<AddressOwner>(address).await?;
        self.user(owner.map_or(UserId(Uuid::nil()), |AddressOwner(user_id)| user_id)).await
    }

    /// Keeps a changed user, as the next version.
    pub(super) async fn put_user(&mut self, user: &mut User) -> Result<()> {
        user.version += 1;
        self.put(user.id.0.as_bytes(), user, Keep::default()).await
    }

    /// The sessions of a user, and when each ends unless it is used before. They may have expired.
    pub(super) async fn sessions(&mut self, user_id: UserId) -> Result<Vec<(SessionId, Session, Timestamp)>> {
        let rows = self.transaction.owned(Kind::Session, user_id.0.as_bytes()).await?;
        let mut sessions = Vec::with_capacity(rows.len());
        for (key, row) in rows {
            let id = Uuid::from_slice(&key).map(SessionId);
            let id = id.map_err(|error| self.error(ErrorKind::Corrupt).with_cause(error))?;
            let expires_at = row.expires_at_ms.and_then(|at| Timestamp::from_millisecond(at).ok());
            sessions.push((id, self.decode(&row.body)?, expires_at.unwrap_or(Timestamp::MAX)));
        }
        Ok(sessions)
    }

    /// Forgets a session and its refresh tokens.
    pub(super) async fn end_session(&mut self, session_id: SessionId) -> Result<()> {
        let key = session_id.0.as_bytes();
        for (token, _) in self.transaction.owned(Kind::RefreshToken, key).await? {
            self.transaction.delete(Kind::RefreshToken, &token).await?;
        }
        self.transaction.delete(Kind::Session, key).await
    }

    /// Forgets everything of a kind that belongs to a user.
    pub(super) async fn delete_owned<T: Entity>(&mut self, user_id: UserId) -> Result<()> {
        for (key, _) in self.transaction.owned(T::KIND, user_id.0.as_bytes()).await? {
            self.transaction.delete(T::KIND, &key).await?;
        }
        Ok(())
    }

    pub(super) async fn mail(&mut self) -> Result<Vec<Mail>> {
        let rows = self.transaction.owned(Kind::Mail, Mail::OWNER).await?;
        let now = self.now;
        let mail: Result<Vec<Mail>> = rows.iter().map(|(_, row)| self.decode(&row.body)).collect();
        Ok(mail?.into_iter().filter(|mail| mail.expires_at > now).collect())
    }
}

impl Mail {
    /// All mail has one owner, by which it is listed.
    pub(super) const OWNER: &'static [u8] = b"mail";
}
