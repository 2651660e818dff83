//! Time and ids come in here, so that everything can be replayed.

use jiff::Timestamp;
use uuid::Uuid;

/// Tells the time.
///
/// # Contract
/// - `now` never goes backwards by more than the machine's clock does.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// Makes ids.
///
/// # Contract
/// - No two calls return the same id, in any process.
/// - Ids are UUIDs of version 7: later ones sort after earlier ones of the same process.
pub trait IdSource: Send + Sync + 'static {
    /// A new id.
    fn next(&self) -> Uuid;
}

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
