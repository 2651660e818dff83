//! Jobs in an SQS FIFO queue, and a second one for those that were given up.
//!
//! A message group is an ordering key, and a message without a key is a group of its own. What SQS lacks is made up for:
//!
//! - A receive of ten may answer ten messages of one group, so messages are received one by one: SQS holds a group back
//!   while one of its messages is leased.
//! - A FIFO queue delays no single message. One that comes before its time is hidden until then, which holds its group.
//! - A redrive policy gives no reason and counts on. So what was delivered too often is moved here, with its reason; the
//!   policy is only for what a crash left between two steps.
//! - The id of a message is ours: SQS would name it anew when it moves.
//!
//! A standard queue keeps neither order nor duplicates out, so it cannot be this port.

mod dead;
mod parcel;
mod queue;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_sqs::{Client, types::QueueAttributeName};
use jiff::{SignedDuration, Timestamp};
use ports::{
    Clock, Cursor, DeadLetter, Error, ErrorKind, IdSource, JobQueue, Lease, MessageId, NewMessage, Page,
    QueueStats, Receipt, Result,
};
use tokio::time::{Instant, sleep};

use self::{
    parcel::{Delivery, Parcel},
    queue::Queue,
};

/// SQS's limit of one long poll.
pub(crate) const POLL_MAX: Duration = Duration::from_secs(20);

/// SQS's limit of a lease.
const LEASE_MAX: Duration = Duration::from_hours(12);

/// How an [`SqsJobQueue`] uses its queues.
#[derive(Clone, Debug)]
pub struct SqsSettings {
    /// The queue's name; ends in `.fifo`.
    pub queue: String,
    /// The name of the queue of the dead letters; ends in `.fifo`.
    pub dead_letter_queue: String,
    /// How often a message is delivered before it is given up.
    pub deliveries_max: u32,
}

/// Jobs in a queue.
pub struct SqsJobQueue {
    live: Queue,
    dead: Queue,
    deliveries_max: u32,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl SqsJobQueue {
    /// The jobs of the settings' queues. Calls of `client` must not time out within a long poll of 20 seconds.
    pub fn new(
        client: &Client,
        settings: SqsSettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        let SqsSettings { queue, dead_letter_queue, deliveries_max } = settings;
        let queue_of = |name| Queue::new(client.clone(), name, Arc::clone(&ids));
        let (live, dead) = (queue_of(queue), queue_of(dead_letter_queue));
        Self { live, dead, deliveries_max, clock, ids }
    }

    /// The next message that is due; `None` where there is none within `wait`.
    async fn next(&self, wait: Duration, lease: Duration) -> Result<Option<Lease>> {
        const OPERATION: &str = "jobs.receive";
        loop {
            let Some(delivery) = self.live.receive(OPERATION, 1, wait, lease).await?.pop() else {
                return Ok(None);
            };
            let now = self.clock.now();
            let due = delivery.parcel.not_before.filter(|due| *due > now);
            if let Some(due) = due {
                let hidden = Duration::try_from(due.duration_since(now)).unwrap_or_default();
                self.live.hide(OPERATION, &delivery.handle, hidden).await?;
            } else if delivery.count() > self.deliveries_max {
                let reason = format!("delivered {} times and never acknowledged", self.deliveries_max);
                self.give_up(OPERATION, delivery.parcel, &reason, self.deliveries_max).await?;
                self.live.delete(OPERATION, &delivery.handle).await?;
            } else {
                return delivery.lease(now + signed(lease)).map(Some);
            }
        }
    }

    /// Puts a dead letter into the queue of those. Doing it again after a crash puts it there once.
    async fn give_up(&self, operation: &'static str, parcel: Parcel, reason: &str, count: u32) -> Result<()> {
        let dedup = format!("{}/{}", parcel.id, parcel.queued_as);
        let letter = Parcel { reason: Some(reason.to_owned()), delivery_count: count, ..parcel };
        // Each letter is a group of its own, so that all can be read at once.
        self.dead.send(operation, &letter, &letter.id, &dedup).await
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn check_lease(operation: &'static str, lease: Duration) -> Result<()> {
    if lease <= LEASE_MAX {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::InvalidInput, operation).with_cause("SQS leases for 12 hours at most"))
    }
}

#[async_trait]
impl JobQueue for SqsJobQueue {
    async fn publish(&self, message: NewMessage) -> Result<MessageId> {
        let parcel = Parcel::new(message, self.clock.now(), self.ids.next());
        let group = parcel.ordering_key.as_ref().unwrap_or(&parcel.id);
        self.live.send("jobs.publish", &parcel, group, &parcel.id).await?;
        Ok(MessageId(parcel.id))
    }

    async fn receive(&self, max: usize, wait: Duration, lease: Duration) -> Result<Vec<Lease>> {
        const OPERATION: &str = "jobs.receive";
        if !(1..=10).contains(&max) {
            return Err(Error::new(ErrorKind::InvalidInput, OPERATION).with_cause("1 to 10 messages"));
        }
        check_lease(OPERATION, lease)?;
        let end = Instant::now() + wait;
        let mut leases: Vec<Lease> = Vec::new();
        while leases.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            // A long poll lasts for whole seconds.
            let poll = Duration::from_secs(left.min(POLL_MAX).as_secs());
            leases.extend(self.next(poll, lease).await?);
            if leases.is_empty() && left.is_zero() {
                return Ok(leases);
            }
            if leases.is_empty() && poll.is_zero() {
                sleep(left).await;
            }
        }
        while leases.len() < max {
            match self.next(Duration::ZERO, lease).await {
                Ok(Some(lease)) => leases.push(lease),
                // Those that are leased already are not held up by what happens to others.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(leases)
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        const OPERATION: &str = "jobs.ack";
        self.live.delete(OPERATION, &Delivery::open(OPERATION, receipt)?.handle).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<()> {
        const OPERATION: &str = "jobs.release";
        check_lease(OPERATION, delay)?;
        self.live.hide(OPERATION, &Delivery::open(OPERATION, receipt)?.handle, delay).await
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Timestamp> {
        const OPERATION: &str = "jobs.extend";
        check_lease(OPERATION, lease)?;
        let end = self.clock.now() + signed(lease);
        self.live.hide(OPERATION, &Delivery::open(OPERATION, receipt)?.handle, lease).await?;
        Ok(end)
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<()> {
        const OPERATION: &str = "jobs.dead_letter";
        /// Enough for the two calls that follow.
        const HOLD: Duration = Duration::from_secs(30);
        let delivery = Delivery::open(OPERATION, receipt)?;
        // Who lost the lease may not give the message up.
        self.live.hide(OPERATION, &delivery.handle, HOLD).await?;
        let count = delivery.count();
        self.give_up(OPERATION, delivery.parcel, reason, count).await?;
        self.live.delete(OPERATION, &delivery.handle).await
    }

    async fn dead_letters(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<DeadLetter>> {
        self.list_dead(cursor, limit).await
    }

    async fn redrive(&self, ids: &[MessageId]) -> Result<u64> {
        self.redrive_dead(ids).await
    }

    /// Reaches what waits and what is dead. SQS shows nobody what is leased or hidden: that is removed when its holder
    /// acknowledges it, or by the next purge, or by the queue's retention. What waits of other keys is received for a moment,
    /// so a purge counts as one of their deliveries.
    async fn purge(&self, ordering_key: &str) -> Result<u64> {
        self.purge_both(ordering_key).await
    }

    /// Approximate, as SQS counts. It tells nobody's age but `CloudWatch`, as `ApproximateAgeOfOldestMessage`.
    async fn stats(&self) -> Result<QueueStats> {
        const OPERATION: &str = "jobs.stats";
        Ok(QueueStats {
            depth: self.live.count(OPERATION).await?,
            dead: self.dead.count(OPERATION).await?,
            oldest_published_at: None,
        })
    }
}

/// What a queue's attributes count together.
const COUNTS: [QueueAttributeName; 3] = [
    QueueAttributeName::ApproximateNumberOfMessages,
    QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
];
