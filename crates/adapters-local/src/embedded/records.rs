//! Records in SQLite.

mod group;

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey},
};
use futures::TryStreamExt;
use ports::{
    Change, Clock, CommitLimits, Cursor, Direction, Error, ErrorKind, HealthDataRepository, Page, Query,
    Record, Result, Write,
    paging::{Columns, check_limit},
};
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    Database,
    error::sql_error,
    writer::{Reply, Request},
};

pub(super) use group::{CommitRequest, apply};

const LIMITS: CommitLimits = CommitLimits { writes_max: 1000, bytes_max: 16_000_000 };
/// A page ends before it holds more than this, so that a query's memory is bounded whatever the bodies are.
const PAGE_BYTES_MAX: usize = 8_000_000;
/// Sorts after every user's partition and before nothing that is one.
const AFTER_USERS: &str = "user0";

/// The records of a data folder.
#[derive(Clone)]
pub struct SqliteHealthData {
    database: Database,
    clock: Arc<dyn Clock>,
}

impl SqliteHealthData {
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock }
    }

    /// Removes up to `limit` records that have expired; answers how many. They are invisible already: this makes room.
    pub async fn sweep_expired(&self, limit: u32) -> Result<u64> {
        const OPERATION: &str = "records.sweep";
        let mut transaction = self.database.begin(OPERATION).await?;
        let swept = sqlx::query(
            "DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE expires_at <= ? LIMIT ?)",
        )
        .bind(self.now())
        .bind(i64::from(limit))
        .execute(&mut *transaction)
        .await
        .map_err(|error| sql_error(OPERATION, error))?
        .rows_affected();
        transaction.commit(OPERATION).await?;
        Ok(swept)
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }
}

#[async_trait]
impl HealthDataRepository for SqliteHealthData {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        const OPERATION: &str = "records.get";
        let row = sqlx::query(
            "SELECT sort, version, expires_at, body FROM records
             WHERE partition = ? AND kind = ? AND sort = ? AND (expires_at IS NULL OR expires_at > ?)",
        )
        .bind(key.partition.to_string())
        .bind(kind_name(key.kind))
        .bind(key.sort.as_str())
        .bind(self.now())
        .fetch_optional(self.database.readers())
        .await
        .map_err(|error| sql_error(OPERATION, error))?;
        row.map(|row| decode(OPERATION, key.partition, key.kind, &row)).transpose()
    }

    async fn query(&self, query: &Query) -> Result<Page<Record>> {
        const OPERATION: &str = "records.query";
        let limit = checked_limit(OPERATION, query.limit)?;
        let (start, end) = query.bounds(OPERATION)?;
        let sql = match query.direction {
            Direction::Ascending => {
                "SELECT sort, version, expires_at, body FROM records
                 WHERE partition = ? AND kind = ? AND sort >= ? AND sort < ? AND (expires_at IS NULL OR expires_at > ?)
                 ORDER BY sort LIMIT ?"
            }
            Direction::Descending => {
                "SELECT sort, version, expires_at, body FROM records
                 WHERE partition = ? AND kind = ? AND sort >= ? AND sort < ? AND (expires_at IS NULL OR expires_at > ?)
                 ORDER BY sort DESC LIMIT ?"
            }
        };
        let mut rows = sqlx::query(sql)
            .bind(query.partition.to_string())
            .bind(kind_name(query.kind))
            .bind(start)
            .bind(end)
            .bind(self.now())
            .bind(limit + 1)
            .fetch(self.database.readers());
        let mut items: Vec<Record> = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.try_next().await.map_err(|error| sql_error(OPERATION, error))? {
            let record = decode(OPERATION, query.partition, query.kind, &row)?;
            bytes += record.body.len();
            if items.len() == query.limit || (bytes > PAGE_BYTES_MAX && !items.is_empty()) {
                let next = items.last().map(|last| Cursor::after(last.key.sort.as_str()));
                return Ok(Page { items, next });
            }
            items.push(record);
        }
        Ok(Page { items, next: None })
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<()> {
        const OPERATION: &str = "records.commit";
        let size_bytes = checked_size(OPERATION, &batch)?;
        if batch.is_empty() {
            return Ok(());
        }
        let (reply, answer) = Reply::new(OPERATION);
        let request = CommitRequest { batch, size_bytes, now: self.now(), reply };
        self.database.request(OPERATION, Request::Commit(request), answer).await
    }

    async fn partitions(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<UserId>> {
        const OPERATION: &str = "records.partitions";
        let rows_max = checked_limit(OPERATION, limit)? + 1;
        let after = match cursor {
            Some(cursor) => format!("user/{}", cursor.last_shown(OPERATION)?),
            None => "user/".to_owned(),
        };
        // Jumps from each partition to the next: the cost is one search of the index per user, not one step per record.
        let names: Vec<(String, bool)> = sqlx::query_as(
            "WITH RECURSIVE users (name) AS (
                 SELECT min(partition) FROM records WHERE partition > ? AND partition < ?
                 UNION ALL
                 SELECT (SELECT min(partition) FROM records WHERE partition > users.name AND partition < ?)
                 FROM users WHERE users.name IS NOT NULL
                 LIMIT ?
             )
             SELECT name, EXISTS (
                 SELECT 1 FROM records WHERE partition = name AND (expires_at IS NULL OR expires_at > ?)
             ) FROM users WHERE name IS NOT NULL",
        )
        .bind(after)
        .bind(AFTER_USERS)
        .bind(AFTER_USERS)
        .bind(rows_max)
        .bind(self.now())
        .fetch_all(self.database.readers())
        .await
        .map_err(|error| sql_error(OPERATION, error))?;
        Page::of_users(OPERATION, names, limit)
    }

    fn limits(&self) -> CommitLimits {
        LIMITS
    }
}

fn kind_name(kind: Kind) -> &'static str {
    kind.into()
}

fn checked_limit(operation: &'static str, limit: usize) -> Result<i64> {
    check_limit(operation, limit)?;
    // At most 1000.
    Ok(i64::try_from(limit).unwrap_or(i64::MAX))
}

fn decode(operation: &'static str, partition: Partition, kind: Kind, row: &SqliteRow) -> Result<Record> {
    let decoded = || -> sqlx::Result<Record> {
        let columns = Columns {
            sort: row.try_get(0)?,
            version: row.try_get(1)?,
            expires_at: row.try_get(2)?,
            body: row.try_get(3)?,
        };
        columns.record(partition, kind).map_err(sqlx::Error::Decode)
    };
    decoded().map_err(|error| sql_error(operation, error))
}

/// The size of a batch that keeps the limits and names each key once.
fn checked_size(operation: &'static str, batch: &[Write]) -> Result<usize> {
    let mut keys: Vec<&RecordKey> = batch.iter().map(|write| write.change.key()).collect();
    keys.sort_unstable();
    let is_repeated = keys.windows(2).any(|pair| pair[0] == pair[1]);
    let mut bytes = 0;
    let mut has_bad_version = false;
    for write in batch {
        bytes += key_bytes(write.change.key());
        if let Change::Put(record) = &write.change {
            bytes += record.body.len();
            has_bad_version |= record.version.0 < 1 || i64::try_from(record.version.0).is_err();
        }
    }
    if is_repeated || has_bad_version || batch.len() > LIMITS.writes_max || bytes > LIMITS.bytes_max {
        return Err(Error::new(ErrorKind::InvalidInput, operation));
    }
    Ok(bytes)
}

/// The length of a key as it is stored. Nearly all belong to users, whose partitions' names are equally long.
fn key_bytes(key: &RecordKey) -> usize {
    let partition_bytes = match key.partition {
        Partition::User(_) => "user/".len() + uuid::fmt::Hyphenated::LENGTH,
        Partition::Outbox(_) | Partition::IdentityLinks | Partition::Erasures => {
            key.partition.to_string().len()
        }
    };
    partition_bytes + kind_name(key.kind).len() + key.sort.as_str().len()
}
