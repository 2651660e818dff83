use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use ports::{
    CACHED_BYTES_MAX, Clock, Error, ErrorKind, Result, SHARED_FOR_MAX, SharedKey, SharedState, Taken,
};
use uuid::Uuid;

use super::lock;

/// What one process shares with itself: right where there is one, and for tests.
pub struct MemorySharedState {
    clock: Arc<dyn Clock>,
    windows: Mutex<Expiring<Window>>,
    marks: Mutex<Expiring<()>>,
    locks: Mutex<Expiring<Uuid>>,
    caches: Mutex<Expiring<Bytes>>,
}

impl MemorySharedState {
    /// A state without anything that lives by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            windows: Mutex::default(),
            marks: Mutex::default(),
            locks: Mutex::default(),
            caches: Mutex::default(),
        }
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().as_millisecond()
    }
}

#[async_trait]
impl SharedState for MemorySharedState {
    async fn take(&self, key: SharedKey, limit: u32, window: Duration) -> Result<Taken> {
        const OPERATION: &str = "shared.take";
        let window_ms = checked_ms(OPERATION, window)?;
        if limit == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, OPERATION));
        }
        let now_ms = self.now_ms();
        let mut windows = lock(&self.windows);
        let mut counts = windows.get(&key, now_ms).copied().unwrap_or(Window::beginning(now_ms));
        let taken = counts.take(now_ms, limit, window_ms);
        windows.insert(key, counts, now_ms, counts.begun_ms + 2 * window_ms);
        Ok(taken)
    }

    async fn mark(&self, key: SharedKey, ttl: Duration) -> Result<()> {
        let (ttl_ms, now_ms) = (checked_ms("shared.mark", ttl)?, self.now_ms());
        let mut marks = lock(&self.marks);
        let end_ms = marks.end_ms(&key).unwrap_or(0).max(now_ms + ttl_ms);
        marks.insert(key, (), now_ms, end_ms);
        Ok(())
    }

    async fn is_marked(&self, key: SharedKey) -> Result<bool> {
        Ok(lock(&self.marks).get(&key, self.now_ms()).is_some())
    }

    async fn lock(&self, key: SharedKey, owner: Uuid, ttl: Duration) -> Result<bool> {
        let (ttl_ms, now_ms) = (checked_ms("shared.lock", ttl)?, self.now_ms());
        let mut locks = lock(&self.locks);
        let is_free = locks.get(&key, now_ms).is_none_or(|holder| *holder == owner);
        if is_free {
            locks.insert(key, owner, now_ms, now_ms + ttl_ms);
        }
        Ok(is_free)
    }

    async fn unlock(&self, key: SharedKey, owner: Uuid) -> Result<()> {
        let mut locks = lock(&self.locks);
        if locks.get(&key, self.now_ms()) == Some(&owner) {
            locks.remove(&key);
        }
        Ok(())
    }

    async fn cached(&self, key: SharedKey) -> Result<Option<Bytes>> {
        Ok(lock(&self.caches).get(&key, self.now_ms()).cloned())
    }

    async fn cache(&self, key: SharedKey, bytes: Bytes, ttl: Duration) -> Result<()> {
        const OPERATION: &str = "shared.cache";
        let (ttl_ms, now_ms) = (checked_ms(OPERATION, ttl)?, self.now_ms());
        if bytes.len() > CACHED_BYTES_MAX {
            return Err(Error::new(ErrorKind::InvalidInput, OPERATION));
        }
        lock(&self.caches).insert(key, bytes, now_ms, now_ms + ttl_ms);
        Ok(())
    }

    async fn forget(&self, key: SharedKey) -> Result<()> {
        lock(&self.caches).remove(&key);
        Ok(())
    }
}

fn checked_ms(operation: &'static str, duration: Duration) -> Result<i64> {
    let ms = i64::try_from(duration.as_millis()).ok().filter(|ms| *ms >= 1 && duration <= SHARED_FOR_MAX);
    ms.ok_or_else(|| Error::new(ErrorKind::InvalidInput, operation))
}

/// What was taken in a window and in the one before.
#[derive(Clone, Copy)]
struct Window {
    begun_ms: i64,
    current: u32,
    previous: u32,
}

impl Window {
    fn beginning(now_ms: i64) -> Self {
        Self { begun_ms: now_ms, current: 0, previous: 0 }
    }

    fn take(&mut self, now_ms: i64, limit: u32, window_ms: i64) -> Taken {
        let elapsed_ms = now_ms - self.begun_ms;
        if elapsed_ms >= 2 * window_ms {
            *self = Self::beginning(now_ms);
        } else if elapsed_ms >= window_ms {
            *self = Self { begun_ms: self.begun_ms + window_ms, current: 0, previous: self.current };
        }
        let [limit, window] = [i128::from(limit), i128::from(window_ms)];
        let left = window - i128::from(now_ms - self.begun_ms);
        // In parts of one that are as small as the window has milliseconds, so that nothing is rounded.
        let free = |window_now: &Self| {
            limit * window - i128::from(window_now.previous) * left - i128::from(window_now.current) * window
        };
        let allowed = free(self) >= window;
        self.current += u32::from(allowed);
        let remaining = free(self).max(0) / window;
        let resets_in = if remaining > 0 { 0 } else { self.resets_in(limit, window, left) };
        Taken {
            allowed,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            resets_in: Duration::from_millis(u64::try_from(resets_in).unwrap_or(0)),
        }
    }

    /// When the windows before count so little that one more is allowed, `left` before the end of this one.
    fn resets_in(self, limit: i128, window: i128, left: i128) -> i128 {
        let [current, previous] = [self.current, self.previous].map(i128::from);
        let room = limit - 1 - current;
        if room >= 0 {
            // The window before must have slid out so far that only the room is left of it.
            left - room * window / previous.max(1)
        } else {
            left + window - (limit - 1) * window / current
        }
    }
}

/// Values that end. Ended ones are swept when there are twice as many as after the last sweep.
struct Expiring<T> {
    values: HashMap<SharedKey, (T, i64)>,
    swept_len: usize,
}

impl<T> Default for Expiring<T> {
    fn default() -> Self {
        Self { values: HashMap::new(), swept_len: 64 }
    }
}

impl<T> Expiring<T> {
    fn get(&self, key: &SharedKey, now_ms: i64) -> Option<&T> {
        self.values.get(key).filter(|(_, end_ms)| now_ms < *end_ms).map(|(value, _)| value)
    }

    fn end_ms(&self, key: &SharedKey) -> Option<i64> {
        self.values.get(key).map(|(_, end_ms)| *end_ms)
    }

    fn insert(&mut self, key: SharedKey, value: T, now_ms: i64, end_ms: i64) {
        self.values.insert(key, (value, end_ms));
        if self.values.len() > 2 * self.swept_len {
            self.values.retain(|_, (_, end_ms)| now_ms < *end_ms);
            self.swept_len = self.values.len().max(64);
        }
    }

    fn remove(&mut self, key: &SharedKey) {
        self.values.remove(key);
    }
}
