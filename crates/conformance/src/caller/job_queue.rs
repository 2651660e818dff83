use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use ports::{Cursor, DeadLetter, JobQueue, Lease, MessageId, NewMessage, Page, QueueStats, Receipt, Result};

use super::{Persistent, at_least_once, repeat};
use crate::support::unique;

#[async_trait]
impl JobQueue for Persistent<dyn JobQueue> {
    /// A message has an id by which a repetition is known, as the relay's have.
    async fn publish(&self, mut message: NewMessage) -> Result<MessageId> {
        message.dedup_id.get_or_insert_with(|| unique().to_string());
        repeat(|| self.0.publish(message.clone())).await
    }

    async fn receive(&self, max: usize, wait: Duration, lease: Duration) -> Result<Vec<Lease>> {
        repeat(|| self.0.receive(max, wait, lease)).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        repeat(|| self.0.ack(receipt)).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<()> {
        at_least_once(|| self.0.release(receipt, delay)).await
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Timestamp> {
        repeat(|| self.0.extend(receipt, lease)).await
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<()> {
        at_least_once(|| self.0.dead_letter(receipt, reason)).await
    }

    async fn dead_letters(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<DeadLetter>> {
        repeat(|| self.0.dead_letters(cursor, limit)).await
    }

    async fn redrive(&self, ids: &[MessageId]) -> Result<u64> {
        repeat(|| self.0.redrive(ids)).await
    }

    async fn purge(&self, ordering_key: &str) -> Result<u64> {
        repeat(|| self.0.purge(ordering_key)).await
    }

    async fn stats(&self) -> Result<QueueStats> {
        repeat(|| self.0.stats()).await
    }
}
