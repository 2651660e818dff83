//! Adapters that keep everything in memory: for tests, which need no folder, no cleaning up and no other process.

mod events;
mod jobs;
mod objects;
mod records;
mod secrets;
mod shared_state;

use async_trait::async_trait;
use ports::{Result, Scrubber};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use events::{EVENT_BACKLOG_MAX, MemoryEventBus};
pub use jobs::{JobQueueSettings, MemoryJobQueue};
pub use objects::MemoryObjectStore;
pub use records::MemoryHealthData;
pub use secrets::MemorySecretStore;
pub use shared_state::MemorySharedState;

/// Memory keeps nothing of what was deleted.
pub struct MemoryScrubber;

#[async_trait]
impl Scrubber for MemoryScrubber {
    async fn scrub(&self) -> Result<()> {
        Ok(())
    }
}

/// Locks `mutex` also where a holder panicked: every critical section here leaves its data whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
