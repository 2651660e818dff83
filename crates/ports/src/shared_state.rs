//! What the instances of one deployment share for a short while.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::Result;

/// The longest window and the longest time to live: a year and a leap day.
pub const SHARED_FOR_MAX: Duration = Duration::from_hours(366 * 24);
/// The most bytes that are cached under one key.
pub const CACHED_BYTES_MAX: usize = 1024 * 1024;

/// Names something shared. Only a hash is kept, so no address or token can be read out of the store. Who must not be found by
/// guessing either goes in under a secret: hash with a key first.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SharedKey([u8; 32]);

impl SharedKey {
    /// The key of `subject` for one `purpose`, such as `sign-in`. Other purposes have other keys.
    pub fn of(purpose: &str, subject: impl AsRef<[u8]>) -> Self {
        let hash = Sha256::new().chain_update(purpose).chain_update([0]).chain_update(subject);
        Self(hash.finalize().into())
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedKey({self})")
    }
}

/// What came of taking one from a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// Whether it was within the limit, and so was counted.
    pub allowed: bool,
    /// How many more are within it now.
    pub remaining: u32,
    /// How long until one more is; zero while some remain.
    pub resets_in: Duration,
}

/// Limits, marks, locks and caches that hold for all instances of a deployment.
///
/// What is lost with the store is lost: nothing here is the only copy of anything. While it is away every call is `Unavailable`
/// soon, and **its callers decide what that means**: a revocation or a lockout that cannot be read counts as given (fail
/// closed); a rate limit that cannot be counted lets pass and a cache that cannot be read is empty (fail open), each with a
/// metric that says so.
///
/// # Contract
/// - `take` allows up to `limit` in a fresh window, counts `remaining` down, and refuses what is above; a refusal is not counted.
/// - The window slides: what was taken in the window before counts in proportion to how much of it is within one window of
///   now. After two windows without a `take` the whole limit is there again.
/// - After `resets_in` one more is allowed, unless someone else takes it.
/// - Of takers that race no more than `limit` are allowed.
/// - A key is marked from `mark` until `ttl` has passed, for every instance; marking again never shortens that.
/// - A lock is one owner's from `lock` until `unlock` or until `ttl` has passed; meanwhile `lock` is `false` for others, and for
///   its owner it is `true` and begins the `ttl` anew. Of owners that race for a lock exactly one gets it.
/// - `unlock` by another than the owner, or of what is not locked, changes nothing and succeeds.
/// - What was cached is read back byte for byte until `ttl` has passed, it is replaced by what is cached next, or it is
///   forgotten; 0 bytes are a value too. Forgetting twice succeeds.
/// - Limits, marks, locks and caches of one key have nothing to do with each other, and neither have keys.
/// - A limit of 0, a window or `ttl` below a millisecond or above 366 days, and more than 1 MiB to cache are `InvalidInput`.
#[async_trait]
pub trait SharedState: Send + Sync + 'static {
    /// Takes one of `limit` in any `window`.
    async fn take(&self, key: SharedKey, limit: u32, window: Duration) -> Result<Taken>;

    /// Marks `key`, such as a session that was revoked.
    async fn mark(&self, key: SharedKey, ttl: Duration) -> Result<()>;

    /// Whether `key` is marked.
    async fn is_marked(&self, key: SharedKey) -> Result<bool>;

    /// Gives the lock of `key` to `owner`, if nobody else has it.
    async fn lock(&self, key: SharedKey, owner: Uuid, ttl: Duration) -> Result<bool>;

    /// Takes the lock back.
    async fn unlock(&self, key: SharedKey, owner: Uuid) -> Result<()>;

    /// What is cached.
    async fn cached(&self, key: SharedKey) -> Result<Option<Bytes>>;

    /// Caches `bytes`.
    async fn cache(&self, key: SharedKey, bytes: Bytes, ttl: Duration) -> Result<()>;

    /// Caches nothing any longer.
    async fn forget(&self, key: SharedKey) -> Result<()>;
}
