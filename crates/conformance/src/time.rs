use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use ports::Clock;

/// The time that an adapter under test lives by.
///
/// [`ManualClock`] moves at once. Where the other side has a clock of its own (an emulator), `advance` really waits, and
/// `now` is that clock's.
pub trait TimeControl: Send + Sync + 'static {
    /// The adapter's present instant.
    fn now(&self) -> Timestamp;

    /// Returns when at least `by` has passed for the adapter.
    fn advance(&self, by: Duration) -> BoxFuture<'_, ()>;
}

/// A clock that stands still until it is moved. Give the adapter the same one as the fixture.
#[derive(Debug)]
pub struct ManualClock {
    unix_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `start`, to the millisecond.
    pub fn new(start: Timestamp) -> Self {
        Self { unix_ms: AtomicI64::new(start.as_millisecond()) }
    }

    /// Moves the clock forward.
    pub fn advance_by(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).expect("a test moves the clock by less than an age");
        self.unix_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// A moment in the middle of a second and far from any limit.
    fn default() -> Self {
        Self { unix_ms: AtomicI64::new(1_772_366_400_250) }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.unix_ms.load(Ordering::SeqCst)).expect("within jiff's years")
    }
}

impl TimeControl for ManualClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }

    fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.advance_by(by) })
    }
}

/// `instant + by`, for the cases.
pub(crate) fn after(instant: Timestamp, by: Duration) -> Timestamp {
    instant + SignedDuration::try_from(by).expect("a short duration")
}
