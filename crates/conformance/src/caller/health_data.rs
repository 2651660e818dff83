use async_trait::async_trait;
use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey, SortKey},
};
use ports::{
    Change, CommitLimits, Cursor, HealthDataRepository, Outcome, Page, Query, Record, Result, Write,
};

use super::{CALLS_MAX, Persistent, repeat};
use crate::support::unique;

impl Persistent<dyn HealthDataRepository> {
    /// A record of its own that goes with `batch` and tells later whether it was committed, as an upload's record does.
    /// `None` where there is no room for it.
    fn mark(&self, batch: &[Write]) -> Option<RecordKey> {
        let has_room = (1..self.0.limits().writes_max).contains(&batch.len());
        let sort = SortKey::new(format!("conformance/{}", unique())).ok().filter(|_| has_room)?;
        Some(RecordKey { partition: Partition::Outbox(0), kind: Kind::Outbox, sort })
    }

    /// Whether `batch` was committed. A batch without a mark is told by what it put.
    async fn was_done(&self, batch: &[Write], mark: Option<&RecordKey>) -> Result<bool> {
        if let Some(mark) = mark {
            return Ok(repeat(|| self.0.get(mark)).await?.is_some());
        }
        for write in batch {
            if let Change::Put(record) = &write.change
                && repeat(|| self.0.get(&record.key)).await?.as_ref() != Some(record)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[async_trait]
impl HealthDataRepository for Persistent<dyn HealthDataRepository> {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        repeat(|| self.0.get(key)).await
    }

    async fn query(&self, query: &Query) -> Result<Page<Record>> {
        repeat(|| self.0.query(query)).await
    }

    async fn commit(&self, mut batch: Vec<Write>) -> Result<()> {
        let mark = self.mark(&batch);
        batch.extend(mark.clone().map(|mark| Write::insert(mark, "")));
        let mut calls = 0;
        loop {
            calls += 1;
            let Err(error) = self.0.commit(batch.clone()).await else { return Ok(()) };
            if error.outcome() == Outcome::Unknown && self.was_done(&batch, mark.as_ref()).await? {
                return Ok(());
            }
            if !error.is_retryable() || calls == CALLS_MAX {
                return Err(error.with_outcome(Outcome::NotApplied));
            }
        }
    }

    async fn partitions(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<UserId>> {
        repeat(|| self.0.partitions(cursor, limit)).await
    }

    fn limits(&self) -> CommitLimits {
        self.0.limits()
    }
}
