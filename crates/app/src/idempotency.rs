//! Requests that a client may send again: whoever names an `Idempotency-Key` gets the reply of the first request with it.
//!
//! The reply is kept in the commit of the effect, so there is never one without the other: a crash between that commit and the
//! answer loses nothing, and of any number of requests with one key, in any number of processes, one commit succeeds.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{ids::UserId, record::RecordKey};
use jiff::{SignedDuration, Timestamp};
use ports::{Error, ErrorKind, Write};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    App,
    error::{AppError, Result},
    records::{encode, get},
};

/// How long a reply is kept. Seven days are promised.
const KEPT: SignedDuration = SignedDuration::from_hours(8 * 24);

/// What a client gets, and gets again: its head and its exact bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Where the thing that was made is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// JSON.
    pub body: String,
}

impl Reply {
    /// A reply whose body is this, as JSON. A body that cannot be written is an error, before anything is kept.
    pub fn json<T: Serialize>(status: u16, body: &T) -> Result<Self> {
        let body = serde_json::to_string(body)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "reply.encode").with_cause(error))?;
        Ok(Self { status, location: None, body })
    }
}

impl fmt::Debug for Reply {
    /// Bodies hold health data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.body.len())
    }
}

/// One user's key, and the request that it was sent with.
#[derive(Clone, Debug)]
pub struct Token {
    key: RecordKey,
    fingerprint: String,
}

impl Token {
    /// `request` is everything that makes it this request: method, path and body. Keys of two users never meet: each is kept
    /// in its user's partition.
    pub fn new(user: UserId, key: &str, request: &[&[u8]]) -> Self {
        let mut fingerprint = Sha256::new();
        for part in request {
            fingerprint.update((part.len() as u64).to_le_bytes());
            fingerprint.update(part);
        }
        Self { key: RecordKey::idempotency(user, key), fingerprint: hex::encode(fingerprint.finalize()) }
    }

    /// The token of one part of the request. No client's key has a space in it, so none is taken for a part's.
    pub(crate) fn part(&self, user: UserId, index: usize) -> Self {
        let key = format!("{} {index}", self.key.sort.as_str());
        Self { key: RecordKey::idempotency(user, &key), fingerprint: self.fingerprint.clone() }
    }
}

/// A token, and how the reply follows from what the request made. It must follow from that alone.
pub struct Once<'a, T> {
    /// Which request.
    pub token: &'a Token,
    /// The reply to it.
    pub reply: &'a (dyn Fn(&T) -> Result<Reply> + Send + Sync),
}

/// How a request that may be sent again ended.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It took effect now.
    Done(T),
    /// It took effect before, and this was the reply.
    Replayed(Reply),
}

/// As it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    fingerprint: String,
    reply: Reply,
}

/// The keys whose requests this process is at work on.
#[derive(Clone, Default)]
pub(crate) struct InHand(Arc<Mutex<HashSet<RecordKey>>>);

/// Held while a request is worked on.
pub(crate) struct Holding {
    in_hand: InHand,
    key: RecordKey,
}

impl InHand {
    fn take(&self, key: &RecordKey) -> Option<Holding> {
        let is_free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        is_free.then(|| Holding { in_hand: self.clone(), key: key.clone() })
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.in_hand.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl App {
    /// Holds the key of a request until its end; refuses while another request holds it.
    pub(crate) fn hold<T>(&self, once: Option<&Once<'_, T>>) -> Result<Option<Holding>> {
        let Some(once) = once else { return Ok(None) };
        self.in_hand.take(&once.token.key).map(Some).ok_or(AppError::InProgress)
    }

    /// The reply that was given to the key's first request, if there was one. Another request with the same key is refused.
    pub(crate) async fn replay<T>(&self, once: Option<&Once<'_, T>>) -> Result<Option<Reply>> {
        let Some(Once { token, .. }) = once else { return Ok(None) };
        self.reply_to(token).await
    }

    /// The same, for a request of several parts that each take effect on their own.
    pub async fn reply_to(&self, token: &Token) -> Result<Option<Reply>> {
        let kept = get::<Kept>(&*self.platform.health_data, &token.key).await?;
        match kept {
            Some(kept) if kept.body.fingerprint == token.fingerprint => Ok(Some(kept.body.reply)),
            Some(_) => Err(AppError::KeyReused),
            None => Ok(None),
        }
    }

    /// The write that keeps the reply, for the commit of the effect.
    pub(crate) fn keep_reply<T>(&self, once: Option<&Once<'_, T>>, made: &T) -> Result<Option<Write>> {
        let Some(Once { token, reply }) = once else { return Ok(None) };
        let kept = Kept { fingerprint: token.fingerprint.clone(), reply: reply(made)? };
        let until = self.platform.clock.now().saturating_add(KEPT).unwrap_or(Timestamp::MAX);
        Ok(Some(Write::insert(token.key.clone(), encode(&kept)?).expiring_at(until)))
    }

    /// Commits `writes`, which make `made`, together with the reply. Where another request with the key was first, its reply
    /// is the answer and nothing is written.
    pub(crate) async fn commit_once<T>(
        &self,
        mut writes: Vec<Write>,
        once: Option<&Once<'_, T>>,
        made: T,
    ) -> Result<Outcome<T>> {
        writes.extend(self.keep_reply(once, &made)?);
        match self.platform.health_data.commit(writes).await {
            Ok(()) => Ok(Outcome::Done(made)),
            Err(error) if error.kind() == ErrorKind::Conflict => match self.replay(once).await? {
                Some(reply) => Ok(Outcome::Replayed(reply)),
                None => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }
}
