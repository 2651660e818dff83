//! Making sure that what was deleted is in none of the data folder's files.

use std::sync::Arc;

use async_trait::async_trait;
use ports::{Result, Scrubber};

use super::{Database, SqliteHealthData};

/// How many expired records are removed in one transaction, so that it never holds up writers for long.
const SWEPT_MAX: u32 = 1000;

/// The scrubber of a data folder. Objects and secrets are files of their own, which go when they are deleted.
#[derive(Clone)]
pub struct DatabaseScrubber {
    database: Database,
    records: Arc<SqliteHealthData>,
}

impl DatabaseScrubber {
    pub fn new(database: Database, records: Arc<SqliteHealthData>) -> Self {
        Self { database, records }
    }
}

#[async_trait]
impl Scrubber for DatabaseScrubber {
    async fn scrub(&self) -> Result<()> {
        while self.records.sweep_expired(SWEPT_MAX).await? > 0 {}
        self.database.scrub("records.scrub").await
    }
}
