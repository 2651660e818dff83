//! The queue between acknowledging and processing.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::{Cursor, Page, Result};

/// A message to publish.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewMessage {
    /// The body: an encoded `Envelope`.
    pub body: Bytes,
    /// Messages of one key are delivered one at a time, in the order of their publication.
    pub ordering_key: Option<String>,
    /// A second message of the same id is not queued, for five minutes at least.
    pub dedup_id: Option<String>,
    /// Not delivered before this much time has passed.
    pub delay: Duration,
}

/// The id of a queued message.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MessageId(pub String);

/// Proof that one holds a message now; a later delivery of the message has another receipt.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Receipt(pub String);

/// A message that is held until `expires_at`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The message's id.
    pub id: MessageId,
    /// Proof of this delivery.
    pub receipt: Receipt,
    /// The body that was published.
    pub body: Bytes,
    /// The ordering key that was published.
    pub ordering_key: Option<String>,
    /// How many times it has been delivered, this time included.
    pub delivery_count: u32,
    /// When it was first published.
    pub published_at: Timestamp,
    /// When the lease runs out unless it is extended.
    pub expires_at: Timestamp,
}

/// A message that was given up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// The message's id.
    pub id: MessageId,
    /// Its body.
    pub body: Bytes,
    /// Why; no health value.
    pub reason: String,
    /// How many times it had been delivered.
    pub delivery_count: u32,
}

/// What is waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueStats {
    /// Messages that are not acknowledged: waiting, delayed or leased.
    pub depth: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest message that is not acknowledged was published.
    pub oldest_published_at: Option<Timestamp>,
}

/// A queue with at-least-once delivery.
///
/// # Contract
/// - A published message is delivered with its body and ordering key; a publish that returned `Ok` survives a crash.
/// - A leased message is not delivered to anyone else until its lease runs out; then it is, with a new receipt and a
///   delivery count one higher.
/// - `extend` moves the end of the lease to `now + lease`; with a receipt that a later delivery replaced it is a `Conflict`.
/// - An acknowledged message is never delivered again; acknowledging twice succeeds.
/// - An `ack` with a replaced receipt removes nothing and is a `Conflict`, and so is a `release`.
/// - A released message is delivered again after the delay, not before.
/// - A message published with a delay is not delivered before it.
/// - Messages of one ordering key are delivered one at a time and in order: while one is leased, delayed or released,
///   later ones of its key wait; other keys and messages without a key do not.
/// - A second publish with the same dedup id answers the first message's id and queues nothing, also after the ack.
/// - `receive` returns at most `max` (1 to 10) messages, waits at most `wait` for the first, and returns early when one comes.
/// - A message that was delivered as often as the queue allows and whose lease runs out or that is released again becomes
///   a dead letter with a reason, and no longer blocks its ordering key.
/// - `dead_letter` makes it one at once, with the given reason.
/// - `redrive` queues dead letters again with a delivery count of 0; ids that are not dead letters are left out of the count.
/// - `purge` removes all messages of an ordering key, whether waiting, delayed, leased or dead, and answers how many; those of
///   other keys stay. Whoever holds one of them can still acknowledge it.
/// - `stats` counts what is not acknowledged and what is dead.
#[async_trait]
pub trait JobQueue: Send + Sync + 'static {
    /// Queues a message.
    async fn publish(&self, message: NewMessage) -> Result<MessageId>;

    /// Leases up to `max` messages for `lease`, waiting up to `wait` for the first.
    async fn receive(&self, max: usize, wait: Duration, lease: Duration) -> Result<Vec<Lease>>;

    /// Removes a message that was dealt with.
    async fn ack(&self, receipt: &Receipt) -> Result<()>;

    /// Gives a message back, to be delivered after `delay`.
    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<()>;

    /// Holds a message for `lease` from now; answers the new end.
    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Timestamp>;

    /// Gives a message up.
    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<()>;

    /// Lists dead letters, at most `limit` (1 to 1000) a page.
    async fn dead_letters(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<DeadLetter>>;

    /// Queues dead letters again; answers how many.
    async fn redrive(&self, ids: &[MessageId]) -> Result<u64>;

    /// Removes all messages of an ordering key; answers how many.
    async fn purge(&self, ordering_key: &str) -> Result<u64>;

    /// What is waiting.
    async fn stats(&self) -> Result<QueueStats>;
}
