//! Records in a table.

mod commit;

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey},
};
use ports::{
    Clock, CommitLimits, Cursor, Direction, Error, ErrorKind, HealthDataRepository, Page, Query, Record,
    Result, Write,
    paging::{Columns, check_limit},
};
use sqlx::{Row, postgres::PgRow};

use crate::{Database, error::sql_error};

/// Each key of a batch is a lock in the server's table of locks, which has room for 64 a connection.
const LIMITS: CommitLimits = CommitLimits { writes_max: 250, bytes_max: 8_000_000 };
/// A page ends before it holds more than this, so that a query's memory is bounded whatever the bodies are.
const PAGE_BYTES_MAX: i64 = 8_000_000;
/// Sorts after every user's partition and before nothing that is one.
const AFTER_USERS: &str = "user0";

/// One row more than asked tells whether there is a next page; the sizes of bodies are known without reading them.
macro_rules! page_sql {
    ($direction:literal) => {
        concat!(
            "SELECT sort, version, expires_at, body, is_more FROM (
                 SELECT *, row_number() OVER page AS number, sum(octet_length(body)) OVER page AS bytes,
                     lead(sort) OVER page IS NOT NULL AS is_more
                 FROM (
                     SELECT * FROM records
                     WHERE partition = $1 AND kind = $2 AND sort >= $3 AND sort < $4
                         AND (expires_at IS NULL OR expires_at > $5)
                     ORDER BY sort ",
            $direction,
            " LIMIT $6 + 1
                 ) AS asked WINDOW page AS (ORDER BY sort ",
            $direction,
            ")
             ) AS counted WHERE number <= $6 AND (number = 1 OR bytes <= $7) ORDER BY number"
        )
    };
}

/// Jumps from each partition to the next: the cost is one search of the index per user, not one step per record.
const PARTITIONS: &str = "
    WITH RECURSIVE users (name) AS (
        SELECT min(partition) FROM records WHERE partition > $1 AND partition < $2
        UNION ALL
        SELECT (SELECT min(partition) FROM records WHERE partition > users.name AND partition < $2)
        FROM users WHERE users.name IS NOT NULL
    )
    SELECT name, EXISTS (
        SELECT FROM records WHERE partition = name AND (expires_at IS NULL OR expires_at > $3)
    ) FROM users WHERE name IS NOT NULL LIMIT $4";

/// The records of a database.
#[derive(Clone)]
pub struct PostgresHealthData {
    database: Database,
    clock: Arc<dyn Clock>,
}

impl PostgresHealthData {
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock }
    }

    /// Removes up to `limit` records that have expired; answers how many. They are invisible already: this makes room.
    pub async fn sweep_expired(&self, limit: u32) -> Result<u64> {
        // Whoever writes such a record at this moment holds it, and is not waited for.
        let sweep = sqlx::query(
            "DELETE FROM records WHERE ctid = ANY (ARRAY (
                 SELECT ctid FROM records WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED
             ))",
        )
        .bind(self.now())
        .bind(i64::from(limit));
        let swept = self.database.tell("records.sweep", sweep.execute(self.database.pool())).await?;
        Ok(swept.rows_affected())
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }
}

#[async_trait]
impl HealthDataRepository for PostgresHealthData {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        const OPERATION: &str = "records.get";
        let get = || {
            sqlx::query(
                "SELECT sort, version, expires_at, body FROM records
                 WHERE partition = $1 AND kind = $2 AND sort = $3 AND (expires_at IS NULL OR expires_at > $4)",
            )
            .bind(key.partition.to_string())
            .bind(kind_name(key.kind))
            .bind(key.sort.as_str())
            .bind(self.now())
            .fetch_optional(self.database.pool())
        };
        let row = self.database.ask(OPERATION, get).await?;
        row.map(|row| decode(OPERATION, key.partition, key.kind, &row)).transpose()
    }

    async fn query(&self, query: &Query) -> Result<Page<Record>> {
        const OPERATION: &str = "records.query";
        let limit = checked_limit(OPERATION, query.limit)?;
        let (start, end) = query.bounds(OPERATION)?;
        let sql = match query.direction {
            Direction::Ascending => page_sql!(""),
            Direction::Descending => page_sql!("DESC"),
        };
        let ask = || {
            sqlx::query(sql)
                .bind(query.partition.to_string())
                .bind(kind_name(query.kind))
                .bind(&start)
                .bind(&end)
                .bind(self.now())
                .bind(limit)
                .bind(PAGE_BYTES_MAX)
                .fetch_all(self.database.pool())
        };
        let rows = self.database.ask(OPERATION, ask).await?;
        let is_more = rows.last().map(|row| row.try_get("is_more")).transpose();
        let is_more: Option<bool> = is_more.map_err(|error| sql_error(OPERATION, error))?;
        let decode = |row: &PgRow| decode(OPERATION, query.partition, query.kind, row);
        let items = rows.iter().map(decode).collect::<Result<Vec<Record>>>()?;
        let last = items.last().filter(|_| is_more == Some(true));
        let next = last.map(|last| Cursor::after(last.key.sort.as_str()));
        Ok(Page { items, next })
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<()> {
        const OPERATION: &str = "records.commit";
        check_size(OPERATION, &batch)?;
        if batch.is_empty() {
            return Ok(());
        }
        let (batch, now) = (&commit::Batch::of(batch), self.now());
        let done = self.database.transact(OPERATION, |transaction| batch.apply(transaction, now)).await?;
        done.ok_or_else(|| Error::new(ErrorKind::Conflict, OPERATION))
    }

    async fn partitions(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<UserId>> {
        const OPERATION: &str = "records.partitions";
        let rows_max = checked_limit(OPERATION, limit)? + 1;
        let after = match cursor {
            Some(cursor) => format!("user/{}", cursor.last_shown(OPERATION)?),
            None => "user/".to_owned(),
        };
        let ask = || {
            sqlx::query_as(PARTITIONS)
                .bind(&after)
                .bind(AFTER_USERS)
                .bind(self.now())
                .bind(rows_max)
                .fetch_all(self.database.pool())
        };
        let names: Vec<(String, bool)> = self.database.ask(OPERATION, ask).await?;
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

fn decode(operation: &'static str, partition: Partition, kind: Kind, row: &PgRow) -> Result<Record> {
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

/// Refuses a batch that is above the limits, names a key twice, or has a version that cannot be stored.
fn check_size(operation: &'static str, batch: &[Write]) -> Result<()> {
    let mut keys: Vec<&RecordKey> = batch.iter().map(|write| write.change.key()).collect();
    keys.sort_unstable();
    let is_repeated = keys.windows(2).any(|pair| pair[0] == pair[1]);
    let bytes: usize = batch.iter().map(commit::size_bytes).sum();
    let has_bad_version = batch.iter().any(|write| !commit::has_storable_version(write));
    if is_repeated || has_bad_version || batch.len() > LIMITS.writes_max || bytes > LIMITS.bytes_max {
        return Err(Error::new(ErrorKind::InvalidInput, operation));
    }
    Ok(())
}
