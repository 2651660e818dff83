//! The keys of an issuer over time.
//!
//! What a set does not hold is known not to exist until the next fetch is due. That is all the memory there is of unknown key
//! ids: none of it is kept for each of them, so nobody can fill it, and ten thousand of them cost one fetch.

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard,
    atomic::{AtomicBool, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use ports::{Clock, Error, ErrorKind, Result};
use tokio::sync::Mutex;

use crate::{
    key::{Algorithm, PublicKey},
    key_set::KeySet,
    source::{Fault, Source},
};

const OPERATION: &str = "identity.keys";
/// How soon a fetch that failed is tried again where there are no keys at all.
const RETRY: SignedDuration = SignedDuration::from_secs(5);

pub(crate) struct KeyCache {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    source: Source,
    clock: Arc<dyn Clock>,
    interval: SignedDuration,
    state: RwLock<State>,
    /// Held while keys are fetched, so that all who need them wait for one fetch.
    flight: Mutex<()>,
    is_refreshing: AtomicBool,
}

#[derive(Default)]
struct State {
    set: Option<Arc<KeySet>>,
    /// When the last fetch ended, and whether it failed.
    fetched_at: Option<Timestamp>,
    failed: bool,
    /// How many fetches have ended.
    fetches: u64,
}

impl KeyCache {
    pub(crate) fn new(name: &str, source: Source, interval: SignedDuration, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            name: name.to_owned(),
            source,
            clock,
            interval,
            state: RwLock::default(),
            flight: Mutex::default(),
            is_refreshing: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The key of this id and algorithm; `None` where the issuer does not publish it.
    pub(crate) async fn find(
        &self,
        id: &str,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Option<Arc<PublicKey>>> {
        let inner = &self.inner;
        let (usable, may_fetch, failed, seen) = {
            let state = inner.state();
            let usable = state.usable(now);
            let interval = if usable.is_some() { inner.interval } else { inner.interval.min(RETRY) };
            (usable, state.may_fetch(now, interval), state.failed, state.fetches)
        };
        let unavailable =
            || Error::new(ErrorKind::Unavailable, OPERATION).with_cause("no keys of the issuer are known");
        if let Some(set) = &usable {
            // Only the first one after the end waits: while the issuer is away, the last good keys serve at once.
            let is_over = now >= set.fresh_until && !failed;
            if let Some(key) = set.find(id, algorithm).filter(|_| !is_over || !may_fetch) {
                if may_fetch && now >= set.refresh_at {
                    self.refresh(seen);
                }
                return Ok(Some(Arc::clone(key)));
            }
        }
        if may_fetch {
            self.fetch(seen).await;
        }
        let set = inner.state().usable(now).ok_or_else(unavailable)?;
        Ok(set.find(id, algorithm).cloned())
    }

    /// Fetches keys unless someone did since `seen`. A task of its own: a caller that goes away does not undo it.
    async fn fetch(&self, seen: u64) {
        let inner = Arc::clone(&self.inner);
        // Where the task ends early, the keys stay as they are, and the caller looks at them.
        let _ended = tokio::spawn(async move { inner.fetch(seen).await }).await;
    }

    /// The same, while the present keys serve.
    fn refresh(&self, seen: u64) {
        if self.inner.is_refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let _refreshing = Refreshing(&inner.is_refreshing);
            inner.fetch(seen).await;
        });
    }
}

/// Lets the next refresh begin, however this one ended.
struct Refreshing<'a>(&'a AtomicBool);

impl Drop for Refreshing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl State {
    fn usable(&self, now: Timestamp) -> Option<Arc<KeySet>> {
        self.set.clone().filter(|set| now < set.usable_until)
    }

    /// Also where the clock was set back.
    fn may_fetch(&self, now: Timestamp, interval: SignedDuration) -> bool {
        self.fetched_at.is_none_or(|at| now < at || now.duration_since(at) >= interval)
    }
}

impl Inner {
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self, seen: u64) {
        let _flight = self.flight.lock().await;
        if self.state().fetches != seen {
            return;
        }
        let fetched = self.source.fetch().await;
        let now = self.clock.now();
        let set = fetched
            .and_then(|(document, max_age)| KeySet::parse(&document, max_age, now).ok_or(Fault::NoKeys));
        match &set {
            Ok(set) => tracing::debug!(issuer = self.name, keys = set.len(), "keys were fetched"),
            Err(fault) => tracing::warn!(
                issuer = self.name,
                error = fault as &dyn std::error::Error,
                "keys could not be fetched; the last good ones serve for up to a day"
            ),
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.fetched_at = Some(now);
        state.fetches += 1;
        state.failed = set.is_err();
        if let Ok(set) = set {
            state.set = Some(Arc::new(set));
        }
    }
}
