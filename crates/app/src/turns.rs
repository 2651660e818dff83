//! Turns: within one process, the uploads of one user go one after the other.

use domain::ids::UserId;
use tokio::sync::{Mutex, MutexGuard};

/// A fixed number of locks over all users. Two users who share one wait for each other, which is harmless.
pub(crate) struct Turns(Vec<Mutex<()>>);

impl Turns {
    pub(crate) fn new() -> Self {
        Self((0..1024).map(|_| Mutex::new(())).collect())
    }

    pub(crate) async fn take(&self, user: UserId) -> MutexGuard<'_, ()> {
        let bytes = user.0.as_bytes();
        let at = usize::from(bytes[14]) << 8 | usize::from(bytes[15]);
        self.0[at % self.0.len()].lock().await
    }
}
