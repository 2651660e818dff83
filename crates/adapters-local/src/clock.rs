//! The machine's own time and ids: the only place that reads either.

use jiff::Timestamp;
use ports::{Clock, IdSource};
use uuid::Uuid;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is what the Clock port stands for")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Random ids of version 7.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl IdSource for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "this is what the IdSource port stands for")]
    fn next(&self) -> Uuid {
        // Ordered within the process by a counter that `uuid` keeps beside the millisecond.
        Uuid::now_v7()
    }
}
