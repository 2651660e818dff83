use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    num::ParseIntError,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use ports::{
    Clock, Cursor, DeadLetter, Error, ErrorKind, JobQueue, Lease, MessageId, NewMessage, Page, QueueStats,
    Receipt, Result,
};
use tokio::{sync::Notify, time::Instant};

use super::lock;

const RECEIVE_MAX: usize = 10;
const DEAD_LETTERS_LIMIT_MAX: usize = 1000;

/// How often a waiting `receive` looks again: a lease or a delay may have run out, and the clock may not be tokio's.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a queue is told once.
#[derive(Clone, Copy, Debug)]
pub struct JobQueueSettings {
    /// How often a message is delivered before it is given up.
    pub deliveries_max: u32,
    /// For how long a second message of one dedup id is not queued.
    pub dedup_window: Duration,
}

impl Default for JobQueueSettings {
    fn default() -> Self {
        Self { deliveries_max: 5, dedup_window: Duration::from_mins(10) }
    }
}

/// A message in the order of its publication: the number is its id and its place.
struct Message {
    new: NewMessage,
    published_at: Timestamp,
    delivery_count: u32,
    /// The number of its latest delivery among all of the queue, for its receipt: the count begins anew on a redrive.
    delivery: u64,
    state: State,
}

enum State {
    WaitingUntil(Timestamp),
    LeasedUntil(Timestamp),
    Dead { reason: String },
}

#[derive(Default)]
struct Messages {
    published: u64,
    delivered: u64,
    by_number: BTreeMap<u64, Message>,
    by_dedup_id: HashMap<String, (u64, Timestamp)>,
}

/// A queue in a map.
pub struct MemoryJobQueue {
    clock: Arc<dyn Clock>,
    settings: JobQueueSettings,
    messages: Mutex<Messages>,
    changed: Notify,
}

impl MemoryJobQueue {
    /// An empty queue that lives by `clock`.
    pub fn new(clock: Arc<dyn Clock>, settings: JobQueueSettings) -> Self {
        Self { clock, settings, messages: Mutex::default(), changed: Notify::new() }
    }

    /// Leases what can be delivered now.
    fn lease(&self, max: usize, lease: Duration) -> Result<Vec<Lease>> {
        let now = self.clock.now();
        let expires_at = later(now, lease, "jobs.receive")?;
        let mut messages = lock(&self.messages);
        messages.end_leases(now, self.settings.deliveries_max);
        let Messages { by_number, delivered, .. } = &mut *messages;
        let held = by_number.values().filter(|message| matches!(message.state, State::LeasedUntil(_)));
        let mut busy_keys: BTreeSet<_> =
            held.filter_map(|message| message.new.ordering_key.clone()).collect();
        let mut leases = Vec::new();
        for (number, message) in by_number {
            let State::WaitingUntil(due_at) = message.state else { continue };
            // The first waiting message of a key holds up the others, whatever it waits for.
            let is_next = message.new.ordering_key.as_ref().is_none_or(|key| busy_keys.insert(key.clone()));
            if is_next && due_at <= now && leases.len() < max {
                *delivered += 1;
                message.delivery = *delivered;
                message.delivery_count += 1;
                message.state = State::LeasedUntil(expires_at);
                leases.push(message.lease(*number, expires_at));
            }
        }
        Ok(leases)
    }

    /// Changes the message that `receipt` holds.
    fn with_held(
        &self,
        receipt: &Receipt,
        operation: &'static str,
        change: impl FnOnce(&mut Message),
    ) -> Result<()> {
        let conflict = || Error::new(ErrorKind::Conflict, operation);
        let (number, delivery) = parse_receipt(receipt, operation)?;
        let mut messages = lock(&self.messages);
        messages.end_leases(self.clock.now(), self.settings.deliveries_max);
        let message = messages.by_number.get_mut(&number).ok_or_else(conflict)?;
        if !message.is_held_by(delivery) {
            return Err(conflict());
        }
        change(message);
        drop(messages);
        self.changed.notify_waiters();
        Ok(())
    }
}

impl Message {
    fn lease(&self, number: u64, expires_at: Timestamp) -> Lease {
        Lease {
            id: MessageId(number.to_string()),
            receipt: Receipt(format!("{number}:{}", self.delivery)),
            body: self.new.body.clone(),
            ordering_key: self.new.ordering_key.clone(),
            delivery_count: self.delivery_count,
            published_at: self.published_at,
            expires_at,
        }
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead { .. })
    }

    /// Whether no later delivery, release or giving up replaced this one. A lease that ran out is still the latest one.
    fn is_held_by(&self, delivery: u64) -> bool {
        self.delivery == delivery && !self.is_dead()
    }

    /// Ends a delivery without success: once more at `instant`, or never again.
    fn give_back(&mut self, instant: Timestamp, deliveries_max: u32) {
        self.state = if self.delivery_count < deliveries_max {
            State::WaitingUntil(instant)
        } else {
            State::Dead { reason: format!("gave up after {} deliveries", self.delivery_count) }
        };
    }
}

impl Messages {
    fn end_leases(&mut self, now: Timestamp, deliveries_max: u32) {
        for message in self.by_number.values_mut() {
            if matches!(message.state, State::LeasedUntil(end) if end <= now) {
                message.give_back(now, deliveries_max);
            }
        }
    }
}

fn later(now: Timestamp, by: Duration, operation: &'static str) -> Result<Timestamp> {
    let by = SignedDuration::try_from(by).and_then(|by| now.checked_add(by));
    by.map_err(|error| Error::new(ErrorKind::InvalidInput, operation).with_cause(error))
}

fn parse_receipt(Receipt(text): &Receipt, operation: &'static str) -> Result<(u64, u64)> {
    let parts = text.split_once(':');
    let numbers = parts.and_then(|(number, delivery)| Some((number.parse().ok()?, delivery.parse().ok()?)));
    numbers.ok_or_else(|| Error::new(ErrorKind::InvalidInput, operation))
}

#[async_trait]
impl JobQueue for MemoryJobQueue {
    async fn publish(&self, message: NewMessage) -> Result<MessageId> {
        let now = self.clock.now();
        let due_at = later(now, message.delay, "jobs.publish")?;
        let mut messages = lock(&self.messages);
        let number = messages.published + 1;
        if let Some(dedup_id) = &message.dedup_id {
            let known_until = later(now, self.settings.dedup_window, "jobs.publish")?;
            match messages.by_dedup_id.get(dedup_id) {
                Some((first, until)) if now < *until => return Ok(MessageId(first.to_string())),
                _ => drop(messages.by_dedup_id.insert(dedup_id.clone(), (number, known_until))),
            }
        }
        messages.published = number;
        let state = State::WaitingUntil(due_at);
        let message = Message { new: message, published_at: now, delivery_count: 0, delivery: 0, state };
        messages.by_number.insert(number, message);
        drop(messages);
        self.changed.notify_waiters();
        Ok(MessageId(number.to_string()))
    }

    async fn receive(&self, max: usize, wait: Duration, lease: Duration) -> Result<Vec<Lease>> {
        if !(1..=RECEIVE_MAX).contains(&max) {
            return Err(Error::new(ErrorKind::InvalidInput, "jobs.receive"));
        }
        let deadline = Instant::now() + wait;
        loop {
            // Made before looking, so that no change in between goes unnoticed.
            let changed = self.changed.notified();
            let leases = self.lease(max, lease)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if !leases.is_empty() || left.is_zero() {
                return Ok(leases);
            }
            // Running out of time means looking again, as being told does.
            drop(tokio::time::timeout(left.min(LOOK_AGAIN), changed).await);
        }
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        let (number, delivery) = parse_receipt(receipt, "jobs.ack")?;
        let mut messages = lock(&self.messages);
        messages.end_leases(self.clock.now(), self.settings.deliveries_max);
        match messages.by_number.get(&number) {
            Some(message) if !message.is_held_by(delivery) => {
                Err(Error::new(ErrorKind::Conflict, "jobs.ack"))
            }
            _ => {
                messages.by_number.remove(&number);
                drop(messages);
                self.changed.notify_waiters();
                Ok(())
            }
        }
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<()> {
        let due_at = later(self.clock.now(), delay, "jobs.release")?;
        let deliveries_max = self.settings.deliveries_max;
        self.with_held(receipt, "jobs.release", |message| message.give_back(due_at, deliveries_max))
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Timestamp> {
        let expires_at = later(self.clock.now(), lease, "jobs.extend")?;
        self.with_held(receipt, "jobs.extend", |message| message.state = State::LeasedUntil(expires_at))?;
        Ok(expires_at)
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<()> {
        let reason = reason.to_owned();
        self.with_held(receipt, "jobs.dead_letter", |message| message.state = State::Dead { reason })
    }

    async fn dead_letters(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<DeadLetter>> {
        let refuse = || Error::new(ErrorKind::InvalidInput, "jobs.dead_letters");
        let no_cursor = |error: ParseIntError| refuse().with_cause(error);
        if !(1..=DEAD_LETTERS_LIMIT_MAX).contains(&limit) {
            return Err(refuse());
        }
        let last_shown: u64 = cursor.map_or(Ok(0), |Cursor(text)| text.parse().map_err(no_cursor))?;
        let mut messages = lock(&self.messages);
        messages.end_leases(self.clock.now(), self.settings.deliveries_max);
        let dead =
            messages.by_number.range(last_shown.saturating_add(1)..).filter_map(|(number, message)| {
                let State::Dead { reason } = &message.state else { return None };
                let (body, reason) = (message.new.body.clone(), reason.clone());
                let id = MessageId(number.to_string());
                Some(DeadLetter { id, body, reason, delivery_count: message.delivery_count })
            });
        let mut items: Vec<_> = dead.take(limit + 1).collect();
        let is_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| is_more).map(|letter| Cursor(letter.id.0.clone()));
        Ok(Page { items, next })
    }

    async fn redrive(&self, ids: &[MessageId]) -> Result<u64> {
        let now = self.clock.now();
        let mut messages = lock(&self.messages);
        let mut count = 0;
        for MessageId(id) in ids {
            let message = id.parse().ok().and_then(|number: u64| messages.by_number.get_mut(&number));
            if let Some(message) = message.filter(|message| message.is_dead()) {
                message.delivery_count = 0;
                message.state = State::WaitingUntil(now);
                count += 1;
            }
        }
        drop(messages);
        self.changed.notify_waiters();
        Ok(count)
    }

    async fn purge(&self, ordering_key: &str) -> Result<u64> {
        let mut messages = lock(&self.messages);
        let before = messages.by_number.len();
        messages.by_number.retain(|_, message| message.new.ordering_key.as_deref() != Some(ordering_key));
        Ok((before - messages.by_number.len()) as u64)
    }

    async fn stats(&self) -> Result<QueueStats> {
        let mut messages = lock(&self.messages);
        messages.end_leases(self.clock.now(), self.settings.deliveries_max);
        let dead = messages.by_number.values().filter(|message| message.is_dead()).count() as u64;
        let depth = messages.by_number.len() as u64 - dead;
        let alive = messages.by_number.values().find(|message| !message.is_dead());
        Ok(QueueStats { depth, dead, oldest_published_at: alive.map(|message| message.published_at) })
    }
}
