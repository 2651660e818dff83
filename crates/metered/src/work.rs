//! Ports that hand something on.

use std::time::Duration;

use async_trait::async_trait;
use domain::ids::UserId;
use jiff::Timestamp;
use ports::{
    Cursor, DeadLetter, Event, EventBus, EventStream, JobQueue, Lease, MessageId, NewMessage, Page,
    QueueStats, Receipt, Result, Scrubber,
};

use crate::Metered;

#[async_trait]
impl JobQueue for Metered<dyn JobQueue> {
    async fn publish(&self, message: NewMessage) -> Result<MessageId> {
        self.run("jobs.publish", self.inner.publish(message)).await
    }

    async fn receive(&self, max: usize, wait: Duration, lease: Duration) -> Result<Vec<Lease>> {
        self.run("jobs.receive", self.inner.receive(max, wait, lease)).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        self.run("jobs.ack", self.inner.ack(receipt)).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<()> {
        self.run("jobs.release", self.inner.release(receipt, delay)).await
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Timestamp> {
        self.run("jobs.extend", self.inner.extend(receipt, lease)).await
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<()> {
        self.run("jobs.dead_letter", self.inner.dead_letter(receipt, reason)).await
    }

    async fn dead_letters(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<DeadLetter>> {
        self.run("jobs.dead_letters", self.inner.dead_letters(cursor, limit)).await
    }

    async fn redrive(&self, ids: &[MessageId]) -> Result<u64> {
        self.run("jobs.redrive", self.inner.redrive(ids)).await
    }

    async fn purge(&self, ordering_key: &str) -> Result<u64> {
        self.run("jobs.purge", self.inner.purge(ordering_key)).await
    }

    async fn stats(&self) -> Result<QueueStats> {
        self.run("jobs.stats", self.inner.stats()).await
    }
}

#[async_trait]
impl EventBus for Metered<dyn EventBus> {
    async fn publish(&self, event: Event) -> Result<()> {
        self.run("events.publish", self.inner.publish(event)).await
    }

    async fn subscribe(&self) -> Result<EventStream> {
        self.run("events.subscribe", self.inner.subscribe()).await
    }

    async fn forget(&self, user: UserId) -> Result<u64> {
        self.run("events.forget", self.inner.forget(user)).await
    }
}

#[async_trait]
impl Scrubber for Metered<dyn Scrubber> {
    async fn scrub(&self) -> Result<()> {
        self.run("scrubber.scrub", self.inner.scrub()).await
    }
}
