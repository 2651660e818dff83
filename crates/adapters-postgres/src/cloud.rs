//! Everything of one database, as a provider.

use std::sync::Arc;

use async_trait::async_trait;
use ports::{Clock, CloudProvider, EventBus, HealthDataRepository, JobQueue, Result, Scrubber};

use crate::{
    Database, PostgresEventBus, PostgresHealthData, PostgresJobQueue, PostgresScrubber, Thoroughness,
};

/// The ports of a database whose tables are up to date.
pub struct PostgresCloud {
    database: Database,
    records: Arc<PostgresHealthData>,
    deliveries_max: u32,
    thoroughness: Thoroughness,
    clock: Arc<dyn Clock>,
}

impl PostgresCloud {
    /// `deliveries_max` is how often the job queue delivers a message before it gives it up.
    pub fn new(
        database: Database,
        deliveries_max: u32,
        thoroughness: Thoroughness,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let records = Arc::new(PostgresHealthData::new(database.clone(), Arc::clone(&clock)));
        Self { database, records, deliveries_max, thoroughness, clock }
    }

    pub fn database(&self) -> &Database {
        &self.database
    }
}

#[async_trait]
impl CloudProvider for PostgresCloud {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn health_data(&self) -> Result<Arc<dyn HealthDataRepository>> {
        Ok(Arc::clone(&self.records) as _)
    }

    fn jobs(&self) -> Result<Arc<dyn JobQueue>> {
        let clock = Arc::clone(&self.clock);
        Ok(Arc::new(PostgresJobQueue::new(self.database.clone(), clock, self.deliveries_max)))
    }

    fn events(&self) -> Result<Arc<dyn EventBus>> {
        Ok(Arc::new(PostgresEventBus::new(self.database.clone(), Arc::clone(&self.clock))))
    }

    fn scrubber(&self) -> Result<Arc<dyn Scrubber>> {
        let records = Arc::clone(&self.records);
        Ok(Arc::new(PostgresScrubber::new(self.database.clone(), records, self.thoroughness)))
    }

    async fn sweep(&self, limit: u32) -> Result<u64> {
        self.records.sweep_expired(limit).await
    }
}
