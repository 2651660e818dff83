//! The job queue in a table.
//!
//! Of the living messages of an ordering key exactly one has a `ready_at`: the head. Whatever takes that one away promotes the
//! next. Both happen under the key's lock, which is taken before any row is, so nobody waits in a circle.

mod heads;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use domain::time::timestamp;
use jiff::Timestamp;
use ports::{
    Clock, Cursor, DeadLetter, Error, ErrorKind, JobQueue, Lease, MessageId, NewMessage, Page, QueueStats,
    Receipt, Result,
};
use sqlx::{PgTransaction, Row, postgres::PgRow};
use tokio::time::{Instant, timeout};

use crate::{Database, error::sql_error};

/// How long a delay or a lease that has ended may go unnoticed, and a message of which nobody was told.
const POLL: Duration = Duration::from_millis(500);
/// The longest wait, lease and delay: SQS's longest lease and longer than its delays.
const DURATION_MAX: Duration = Duration::from_hours(12);
const RECEIVE_MAX: usize = 10;
const DEAD_LETTERS_MAX: usize = 1000;
/// For how long a deduplication id is remembered.
const DEDUP_MS: i64 = 10 * 60 * 1000;
/// Old deduplication ids are swept with one message in so many.
const SWEEP_EVERY: i64 = 64;
/// How many are buried by one transaction.
const BURIED_MAX: i64 = 100;
const DELIVERED_TOO_OFTEN: &str = "delivered as often as the queue allows and not acknowledged";

/// The job queue of a database.
#[derive(Clone)]
pub struct PostgresJobQueue {
    database: Database,
    clock: Arc<dyn Clock>,
    deliveries_max: u32,
}

/// What may be done now.
#[derive(sqlx::FromRow)]
struct Ready {
    is_deliverable: bool,
    is_exhausted: bool,
}

impl PostgresJobQueue {
    /// A message is delivered at most `deliveries_max` times, then it is a dead letter.
    pub fn new(database: Database, clock: Arc<dyn Clock>, deliveries_max: u32) -> Self {
        Self { database, clock, deliveries_max }
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    fn after_ms(&self, operation: &'static str, duration: Duration) -> Result<i64> {
        if duration > DURATION_MAX {
            return Err(Error::new(ErrorKind::InvalidInput, operation));
        }
        Ok(self.now_ms() + i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    }

    /// One search of an index for each, so that an idle queue costs next to nothing.
    async fn ready(&self, operation: &'static str) -> Result<Ready> {
        let ask = || {
            sqlx::query_as(
                "SELECT
                     EXISTS (SELECT FROM messages WHERE ready_at <= $1 AND delivery_count < $2) AS is_deliverable,
                     EXISTS (SELECT FROM messages WHERE ready_at <= $1 AND delivery_count >= $2) AS is_exhausted",
            )
            .bind(self.now_ms())
            .bind(i64::from(self.deliveries_max))
            .fetch_one(self.database.pool())
        };
        self.database.ask(operation, ask).await
    }

    async fn lease(&self, operation: &'static str, max: usize, until_ms: i64) -> Result<Vec<Lease>> {
        // Rows that others are taking at this moment are passed over rather than waited for.
        let take = sqlx::query(
            "WITH next AS (
                 SELECT id FROM messages WHERE ready_at <= $1 AND delivery_count < $2
                 ORDER BY ready_at, delivery_count, id LIMIT $3 FOR UPDATE SKIP LOCKED
             )
             UPDATE messages SET ready_at = $4, delivery_count = delivery_count + 1, holding = holding + 1
             FROM next WHERE messages.id = next.id
             RETURNING messages.id, holding, delivery_count, published_at, ordering_key, body",
        )
        .bind(self.now_ms())
        .bind(i64::from(self.deliveries_max))
        .bind(i64::try_from(max).unwrap_or(i64::MAX))
        .bind(until_ms);
        let mut rows = self.database.tell(operation, take.fetch_all(self.database.pool())).await?;
        // The order in which rows come back from an UPDATE is not promised.
        rows.sort_by_key(|row| row.try_get::<i64, _>(0).unwrap_or(i64::MAX));
        let leases = rows.iter().map(|row| lease(row, until_ms)).collect::<sqlx::Result<_>>();
        leases.map_err(|error| sql_error(operation, error))
    }

    /// Makes dead letters of what was delivered for the last time and was not acknowledged.
    async fn bury(&self, operation: &'static str) -> Result<()> {
        let (now_ms, deliveries_max) = (self.now_ms(), i64::from(self.deliveries_max));
        loop {
            let buried = self
                .database
                .transact(operation, |transaction| heads::bury(transaction, now_ms, deliveries_max))
                .await?;
            if buried.unwrap_or(0) < BURIED_MAX {
                return Ok(());
            }
        }
    }

    async fn bury_if_any(&self, operation: &'static str) -> Result<()> {
        if self.ready(operation).await?.is_exhausted { self.bury(operation).await } else { Ok(()) }
    }

    /// Runs what may make a message ready, and tells those who wait. One that is not told looks again soon.
    async fn change<T, F>(
        &self,
        operation: &'static str,
        work: impl Fn(PgTransaction<'static>) -> F,
    ) -> Result<Option<T>>
    where
        F: Future<Output = sqlx::Result<(PgTransaction<'static>, Option<T>)>>,
    {
        let answer = self.database.transact(operation, work).await?;
        if answer.is_some() {
            self.database.tell_of_jobs();
        }
        Ok(answer)
    }
}

#[async_trait]
impl JobQueue for PostgresJobQueue {
    async fn publish(&self, message: NewMessage) -> Result<MessageId> {
        const OPERATION: &str = "jobs.publish";
        let (now_ms, not_before_ms) = (self.now_ms(), self.after_ms(OPERATION, message.delay)?);
        let message = &message;
        let id = self.change(OPERATION, |tx| heads::publish(tx, message, now_ms, not_before_ms)).await?;
        let id = id.ok_or_else(|| Error::new(ErrorKind::Unexpected, OPERATION))?;
        if id % SWEEP_EVERY == 0 {
            let sweep = sqlx::query("DELETE FROM published WHERE expires_at <= $1").bind(now_ms);
            if let Err(error) = sweep.execute(self.database.pool()).await {
                // The message is queued all the same; the next sweep takes what this one left.
                tracing::warn!(error = %error, "old deduplication ids cannot be swept");
            }
        }
        Ok(MessageId(id.to_string()))
    }

    async fn receive(&self, max: usize, wait: Duration, lease: Duration) -> Result<Vec<Lease>> {
        const OPERATION: &str = "jobs.receive";
        self.after_ms(OPERATION, lease)?;
        if !(1..=RECEIVE_MAX).contains(&max) {
            return Err(Error::new(ErrorKind::InvalidInput, OPERATION));
        }
        let deadline = Instant::now() + wait.min(DURATION_MAX);
        loop {
            // Before looking, so that what changes afterwards is not missed. Who does not wait needs nobody to listen.
            let change = (!wait.is_zero()).then(|| self.database.listener().jobs().notified());
            let mut change = std::pin::pin!(change);
            if let Some(change) = change.as_mut().as_pin_mut() {
                change.enable();
            }
            let mut ready = self.ready(OPERATION).await?;
            if ready.is_exhausted {
                self.bury(OPERATION).await?;
                // That may have let another of its key come forward.
                ready.is_deliverable = true;
            }
            if ready.is_deliverable {
                let leases = self.lease(OPERATION, max, self.after_ms(OPERATION, lease)?).await?;
                if !leases.is_empty() {
                    return Ok(leases);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(change) = change.as_mut().as_pin_mut().filter(|_| !left.is_zero()) else {
                return Ok(Vec::new());
            };
            // Either way the queue is looked at again.
            timeout(left.min(POLL), change).await.ok();
        }
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        const OPERATION: &str = "jobs.ack";
        let held = Held::parse(OPERATION, receipt)?;
        if self.change(OPERATION, |transaction| heads::ack(transaction, held)).await?.is_some() {
            return Ok(());
        }
        // What is not there any more was acknowledged before; what is there is another's now.
        let ask = || {
            let ask = sqlx::query_scalar("SELECT EXISTS (SELECT FROM messages WHERE id = $1)");
            ask.bind(held.id).fetch_one(self.database.pool())
        };
        let is_there: bool = self.database.ask(OPERATION, ask).await?;
        if is_there { Err(Error::new(ErrorKind::Conflict, OPERATION)) } else { Ok(()) }
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<()> {
        const OPERATION: &str = "jobs.release";
        let held = Held::parse(OPERATION, receipt)?;
        let not_before_ms = self.after_ms(OPERATION, delay)?;
        let deliveries_max = i64::from(self.deliveries_max);
        self.change(OPERATION, |tx| heads::release(tx, held, not_before_ms, deliveries_max))
            .await?
            .ok_or_else(|| Error::new(ErrorKind::Conflict, OPERATION))
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Timestamp> {
        const OPERATION: &str = "jobs.extend";
        let held = Held::parse(OPERATION, receipt)?;
        let until_ms = self.after_ms(OPERATION, lease)?;
        let extend = sqlx::query(
            "UPDATE messages SET ready_at = $1 WHERE id = $2 AND holding = $3 AND dead_reason IS NULL",
        )
        .bind(until_ms)
        .bind(held.id)
        .bind(held.holding);
        let extended = self.database.tell(OPERATION, extend.execute(self.database.pool())).await?;
        match extended.rows_affected() {
            0 => Err(Error::new(ErrorKind::Conflict, OPERATION)),
            _ => Ok(timestamp(until_ms)),
        }
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<()> {
        const OPERATION: &str = "jobs.dead_letter";
        let held = Held::parse(OPERATION, receipt)?;
        self.change(OPERATION, |transaction| heads::dead_letter(transaction, held, reason))
            .await?
            .ok_or_else(|| Error::new(ErrorKind::Conflict, OPERATION))
    }

    async fn dead_letters(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<DeadLetter>> {
        const OPERATION: &str = "jobs.dead_letters";
        let invalid = || Error::new(ErrorKind::InvalidInput, OPERATION);
        let after: i64 = match cursor {
            Some(cursor) => {
                cursor.0.strip_prefix("after:").and_then(|id| id.parse().ok()).ok_or_else(invalid)?
            }
            None => 0,
        };
        if !(1..=DEAD_LETTERS_MAX).contains(&limit) {
            return Err(invalid());
        }
        self.bury_if_any(OPERATION).await?;
        let ask = || {
            sqlx::query_as(
                "SELECT id, body, dead_reason, delivery_count FROM messages
                 WHERE dead_reason IS NOT NULL AND id > $1 ORDER BY id LIMIT $2",
            )
            .bind(after)
            .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
            .fetch_all(self.database.pool())
        };
        let mut rows: Vec<(i64, Vec<u8>, String, i64)> = self.database.ask(OPERATION, ask).await?;
        let is_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| is_more).map(|(id, ..)| Cursor(format!("after:{id}")));
        let letter = |(id, body, reason, count): (i64, Vec<u8>, String, i64)| DeadLetter {
            id: MessageId(id.to_string()),
            body: Bytes::from(body),
            reason,
            delivery_count: u32::try_from(count).unwrap_or(u32::MAX),
        };
        Ok(Page { items: rows.into_iter().map(letter).collect(), next })
    }

    async fn redrive(&self, ids: &[MessageId]) -> Result<u64> {
        let ids: &Vec<i64> = &ids.iter().filter_map(|id| id.0.parse().ok()).collect();
        let now_ms = self.now_ms();
        let count = self.change("jobs.redrive", |tx| heads::redrive(tx, ids, now_ms)).await?;
        Ok(count.unwrap_or(0))
    }

    async fn purge(&self, ordering_key: &str) -> Result<u64> {
        let purged = self.change("jobs.purge", |tx| heads::purge(tx, ordering_key)).await?;
        Ok(purged.unwrap_or(0))
    }

    async fn stats(&self) -> Result<QueueStats> {
        const OPERATION: &str = "jobs.stats";
        self.bury_if_any(OPERATION).await?;
        let ask = || {
            sqlx::query_as(
                "SELECT (SELECT count(*) FROM messages WHERE dead_reason IS NULL),
                        (SELECT count(*) FROM messages WHERE dead_reason IS NOT NULL),
                        (SELECT min(published_at) FROM messages WHERE dead_reason IS NULL)",
            )
            .fetch_one(self.database.pool())
        };
        let (depth, dead, oldest_ms): (i64, i64, Option<i64>) = self.database.ask(OPERATION, ask).await?;
        Ok(QueueStats {
            depth: depth.unsigned_abs(),
            dead: dead.unsigned_abs(),
            oldest_published_at: oldest_ms.map(timestamp),
        })
    }
}

fn lease(row: &PgRow, until_ms: i64) -> sqlx::Result<Lease> {
    let ordering_key: Option<String> = row.try_get(4)?;
    let held = Held { id: row.try_get(0)?, holding: row.try_get(1)?, is_keyed: ordering_key.is_some() };
    let delivery_count: i64 = row.try_get(2)?;
    Ok(Lease {
        id: MessageId(held.id.to_string()),
        receipt: held.receipt(),
        body: Bytes::from(row.try_get::<Vec<u8>, _>(5)?),
        ordering_key,
        delivery_count: u32::try_from(delivery_count).unwrap_or(u32::MAX),
        published_at: timestamp(row.try_get(3)?),
        expires_at: timestamp(until_ms),
    })
}

/// What a receipt says: which message, its how-manieth holding, and whether it has an ordering key.
#[derive(Clone, Copy)]
struct Held {
    id: i64,
    holding: i64,
    is_keyed: bool,
}

impl Held {
    fn parse(operation: &'static str, receipt: &Receipt) -> Result<Self> {
        let (text, is_keyed) = match receipt.0.strip_suffix(".key") {
            Some(text) => (text, true),
            None => (&*receipt.0, false),
        };
        let parts =
            text.split_once('.').and_then(|(id, holding)| Some((id.parse().ok()?, holding.parse().ok()?)));
        match parts {
            Some((id, holding)) => Ok(Self { id, holding, is_keyed }),
            None => Err(Error::new(ErrorKind::InvalidInput, operation)),
        }
    }

    fn receipt(self) -> Receipt {
        Receipt(format!("{}.{}{}", self.id, self.holding, if self.is_keyed { ".key" } else { "" }))
    }
}
