//! Making sure that what was deleted is gone.

use async_trait::async_trait;

use crate::Result;

/// Removes what deleting leaves behind: copies in logs, free space, and what has expired and is only invisible so far.
///
/// # Contract
/// - When `scrub` returned, nothing that was deleted, replaced or had expired before the call is left in the files that this
///   provider keeps. Scrubbing twice succeeds.
#[async_trait]
pub trait Scrubber: Send + Sync + 'static {
    /// Removes it.
    async fn scrub(&self) -> Result<()>;
}
