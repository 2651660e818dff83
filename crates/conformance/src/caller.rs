//! A caller as the contracts want one, for adapters whose way to the service breaks now and then: what may succeed later is
//! called again, a bounded number of times and at once; where nobody knows whether a write was done, it is read back, or done
//! again where a repetition is the same write.
//!
//! With it the cases of a port run through a way with faults. It adds no promise of its own: a port that lost a write, did one
//! twice, or said `NotApplied` of one that was done, would fail a case here as without it.

mod health_data;
mod job_queue;
mod object_store;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ports::{ErrorKind, Outcome, Result, Secret, SecretName, SecretStore, SharedKey, SharedState, Taken};
use secrecy::SecretSlice;
use uuid::Uuid;

/// How often a call is made at most.
const CALLS_MAX: u32 = 20;

/// The port of `P`, called as its contract wants.
pub struct Persistent<P: ?Sized>(pub Arc<P>);

/// Calls until it does not say "later"; answers with it whether one of the calls may have been done without a word.
async fn persist<T, F>(call: impl Fn() -> F) -> (Result<T>, bool)
where
    F: Future<Output = Result<T>>,
{
    let mut is_in_doubt = false;
    for _ in 1..CALLS_MAX {
        match call().await {
            Err(error) if error.is_retryable() => is_in_doubt |= error.outcome() == Outcome::Unknown,
            Err(error) => {
                is_in_doubt |= error.outcome() == Outcome::Unknown;
                return (Err(error), is_in_doubt);
            }
            done => return (done, is_in_doubt),
        }
    }
    (call().await, is_in_doubt)
}

/// Calls what may be done twice.
async fn repeat<T, F>(call: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    persist(call).await.0
}

/// Calls what is a `Conflict` the second time, because the first time it was done.
async fn at_least_once<F>(call: impl Fn() -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    match persist(call).await {
        (Err(error), true) if error.kind() == ErrorKind::Conflict => Ok(()),
        (result, _) => result,
    }
}

#[async_trait]
impl SecretStore for Persistent<dyn SecretStore> {
    async fn get(&self, name: &SecretName, version: Option<&str>) -> Result<Option<Secret>> {
        repeat(|| self.0.get(name, version)).await
    }

    async fn put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<String> {
        // A version more does no harm.
        repeat(|| self.0.put(name, value.clone())).await
    }

    async fn get_or_put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<Secret> {
        repeat(|| self.0.get_or_put(name, value.clone())).await
    }
}

/// What is taken may be counted twice, which errs on the side of refusing.
#[async_trait]
impl SharedState for Persistent<dyn SharedState> {
    async fn take(&self, key: SharedKey, limit: u32, window: std::time::Duration) -> Result<Taken> {
        repeat(|| self.0.take(key, limit, window)).await
    }

    async fn mark(&self, key: SharedKey, ttl: std::time::Duration) -> Result<()> {
        repeat(|| self.0.mark(key, ttl)).await
    }

    async fn is_marked(&self, key: SharedKey) -> Result<bool> {
        repeat(|| self.0.is_marked(key)).await
    }

    async fn lock(&self, key: SharedKey, owner: Uuid, ttl: std::time::Duration) -> Result<bool> {
        repeat(|| self.0.lock(key, owner, ttl)).await
    }

    async fn unlock(&self, key: SharedKey, owner: Uuid) -> Result<()> {
        repeat(|| self.0.unlock(key, owner)).await
    }

    async fn cached(&self, key: SharedKey) -> Result<Option<Bytes>> {
        repeat(|| self.0.cached(key)).await
    }

    async fn cache(&self, key: SharedKey, bytes: Bytes, ttl: std::time::Duration) -> Result<()> {
        repeat(|| self.0.cache(key, bytes.clone(), ttl)).await
    }

    async fn forget(&self, key: SharedKey) -> Result<()> {
        repeat(|| self.0.forget(key)).await
    }
}
