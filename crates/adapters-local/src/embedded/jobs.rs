//! The job queue in SQLite.

mod group;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use ports::{
    Clock, Cursor, DeadLetter, Error, ErrorKind, JobQueue, Lease, MessageId, NewMessage, Page, QueueStats,
    Receipt, Result,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    Database,
    error::sql_error,
    writer::{Reply, Request},
};
use group::{Ack, DeadLettering, Extend, Publish, Receive, Redrive, Release};

pub(super) use group::{JobRequest, apply};

/// How long a message published by another process may go unnoticed.
const POLL: Duration = Duration::from_millis(100);
/// The longest wait, lease and delay: SQS's longest lease and longer than its delays.
const DURATION_MAX: Duration = Duration::from_hours(12);
const RECEIVE_MAX: usize = 10;
const DEAD_LETTERS_MAX: usize = 1000;

/// The job queue of a data folder.
#[derive(Clone)]
pub struct SqliteJobQueue {
    database: Database,
    clock: Arc<dyn Clock>,
    deliveries_max: u32,
}

impl SqliteJobQueue {
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

    async fn ask<T>(
        &self,
        operation: &'static str,
        request: impl FnOnce(Reply<T>) -> JobRequest,
    ) -> Result<T> {
        let (reply, answer): (_, oneshot::Receiver<Result<T>>) = Reply::new(operation);
        self.database.request(operation, Request::Job(request(reply)), answer).await
    }

    /// Whether a message may be delivered now. One search of an index, so that an idle queue costs next to nothing.
    async fn is_ready(&self, operation: &'static str) -> Result<bool> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM messages WHERE ready_at <= ?)")
            .bind(self.now_ms())
            .fetch_one(self.database.readers())
            .await
            .map_err(|error| sql_error(operation, error))
    }

    /// Makes dead letters of what was delivered for the last time and was not acknowledged; `receive` does it as well.
    async fn bury(&self, operation: &'static str) -> Result<()> {
        let is_any: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM messages WHERE ready_at <= ? AND delivery_count >= ?)",
        )
        .bind(self.now_ms())
        .bind(self.deliveries_max)
        .fetch_one(self.database.readers())
        .await
        .map_err(|error| sql_error(operation, error))?;
        if is_any {
            let (now_ms, deliveries_max) = (self.now_ms(), self.deliveries_max);
            self.ask(operation, |reply| JobRequest::Bury { now_ms, deliveries_max, reply }).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl JobQueue for SqliteJobQueue {
    async fn publish(&self, message: NewMessage) -> Result<MessageId> {
        const OPERATION: &str = "jobs.publish";
        let now_ms = self.now_ms();
        let not_before_ms = self.after_ms(OPERATION, message.delay)?;
        self.ask(OPERATION, |reply| JobRequest::Publish(Publish { message, now_ms, not_before_ms, reply }))
            .await
    }

    async fn receive(&self, max: usize, wait: Duration, lease: Duration) -> Result<Vec<Lease>> {
        const OPERATION: &str = "jobs.receive";
        self.after_ms(OPERATION, lease)?;
        if !(1..=RECEIVE_MAX).contains(&max) {
            return Err(Error::new(ErrorKind::InvalidInput, OPERATION));
        }
        let deadline = Instant::now() + wait.min(DURATION_MAX);
        loop {
            // Before looking, so that what changes afterwards is not missed.
            let mut change = std::pin::pin!(self.database.signals().jobs.notified());
            change.as_mut().enable();
            if self.is_ready(OPERATION).await? {
                let (now_ms, until_ms) = (self.now_ms(), self.after_ms(OPERATION, lease)?);
                let deliveries_max = self.deliveries_max;
                let receive =
                    |reply| JobRequest::Receive(Receive { max, now_ms, until_ms, deliveries_max, reply });
                let leases = self.ask(OPERATION, receive).await?;
                if !leases.is_empty() {
                    return Ok(leases);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            // Either way the queue is looked at again.
            timeout(left.min(POLL), change).await.ok();
        }
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        const OPERATION: &str = "jobs.ack";
        let held = Held::parse(OPERATION, receipt)?;
        self.ask(OPERATION, |reply| JobRequest::Ack(Ack { held, reply })).await
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<()> {
        const OPERATION: &str = "jobs.release";
        let held = Held::parse(OPERATION, receipt)?;
        let not_before_ms = self.after_ms(OPERATION, delay)?;
        let deliveries_max = self.deliveries_max;
        self.ask(OPERATION, |reply| {
            JobRequest::Release(Release { held, not_before_ms, deliveries_max, reply })
        })
        .await
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Timestamp> {
        const OPERATION: &str = "jobs.extend";
        let held = Held::parse(OPERATION, receipt)?;
        let until_ms = self.after_ms(OPERATION, lease)?;
        self.ask(OPERATION, |reply| JobRequest::Extend(Extend { held, until_ms, reply })).await
    }

    async fn dead_letter(&self, receipt: &Receipt, reason: &str) -> Result<()> {
        const OPERATION: &str = "jobs.dead_letter";
        let held = Held::parse(OPERATION, receipt)?;
        let reason = reason.to_owned();
        self.ask(OPERATION, |reply| JobRequest::DeadLetter(DeadLettering { held, reason, reply })).await
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
        self.bury(OPERATION).await?;
        let mut rows: Vec<(i64, Vec<u8>, String, u32)> = sqlx::query_as(
            "SELECT id, body, dead_reason, delivery_count FROM messages
             WHERE dead_reason IS NOT NULL AND id > ? ORDER BY id LIMIT ?",
        )
        .bind(after)
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .fetch_all(self.database.readers())
        .await
        .map_err(|error| sql_error(OPERATION, error))?;
        let is_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| is_more).map(|(id, ..)| Cursor(format!("after:{id}")));
        let letter = |(id, body, reason, delivery_count): (i64, Vec<u8>, String, u32)| DeadLetter {
            id: MessageId(id.to_string()),
            body: Bytes::from(body),
            reason,
            delivery_count,
        };
        Ok(Page { items: rows.into_iter().map(letter).collect(), next })
    }

    async fn redrive(&self, ids: &[MessageId]) -> Result<u64> {
        let mut ids: Vec<i64> = ids.iter().filter_map(|id| id.0.parse().ok()).collect();
        // In the order of their publication, which those of one ordering key keep.
        ids.sort_unstable();
        ids.dedup();
        let now_ms = self.now_ms();
        self.ask("jobs.redrive", |reply| JobRequest::Redrive(Redrive { ids, now_ms, reply })).await
    }

    async fn purge(&self, ordering_key: &str) -> Result<u64> {
        const OPERATION: &str = "jobs.purge";
        let mut transaction = self.database.begin(OPERATION).await?;
        let purged = sqlx::query("DELETE FROM messages WHERE ordering_key = ?")
            .bind(ordering_key)
            .execute(&mut *transaction)
            .await
            .map_err(|error| sql_error(OPERATION, error))?
            .rows_affected();
        transaction.commit(OPERATION).await?;
        Ok(purged)
    }

    async fn stats(&self) -> Result<QueueStats> {
        const OPERATION: &str = "jobs.stats";
        self.bury(OPERATION).await?;
        let (depth, dead, oldest_ms): (i64, i64, Option<i64>) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM messages WHERE dead_reason IS NULL),
                    (SELECT count(*) FROM messages WHERE dead_reason IS NOT NULL),
                    (SELECT min(published_at) FROM messages WHERE dead_reason IS NULL)",
        )
        .fetch_one(self.database.readers())
        .await
        .map_err(|error| sql_error(OPERATION, error))?;
        Ok(QueueStats {
            depth: depth.unsigned_abs(),
            dead: dead.unsigned_abs(),
            oldest_published_at: oldest_ms.map(domain::time::timestamp),
        })
    }
}

/// What a receipt says: which message, and its how-manieth holding.
#[derive(Clone, Copy)]
struct Held {
    id: i64,
    holding: i64,
}

impl Held {
    fn parse(operation: &'static str, receipt: &Receipt) -> Result<Self> {
        let parts = receipt
            .0
            .split_once('.')
            .and_then(|(id, holding)| Some((id.parse().ok()?, holding.parse().ok()?)));
        match parts {
            Some((id, holding)) => Ok(Self { id, holding }),
            None => Err(Error::new(ErrorKind::InvalidInput, operation)),
        }
    }

    fn receipt(self) -> Receipt {
        Receipt(format!("{}.{}", self.id, self.holding))
    }
}
