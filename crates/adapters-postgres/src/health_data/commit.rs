//! A batch as three statements: lock its keys, decide and write, commit.
//!
//! A record that is not there cannot be locked, and a check of its absence must hold until the commit. So each key is locked
//! by its hash, for all writers alike and in one order, and what is decided after that is decided alone. A check shares its
//! lock with other checks.

use domain::record::RecordKey;
use jiff::Timestamp;
use ports::{Change, Precondition, Write};
use sqlx::PgTransaction;

use super::kind_name;

const LOCK: &str = "
    SELECT CASE WHEN is_written THEN pg_advisory_xact_lock(hash) ELSE pg_advisory_xact_lock_shared(hash) END
    FROM (
        SELECT hashtextextended(concat_ws('/', partition, kind, sort), 1) AS hash, bool_or(action <> 0) AS is_written
        FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[]) AS asked (partition, kind, sort, action)
        GROUP BY hash ORDER BY hash
    ) AS locks";

const APPLY: &str = "
    WITH asked AS MATERIALIZED (
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::smallint[], $6::bigint[],
                             $7::bigint[], $8::bigint[], $9::bytea[])
            AS asked (partition, kind, sort, action, precondition, bound, version, expires_at, body)
    ), failed AS MATERIALIZED (
        SELECT FROM asked LEFT JOIN LATERAL (
            SELECT records.version FROM records
            WHERE records.partition = asked.partition AND records.kind = asked.kind AND records.sort = asked.sort
                AND (records.expires_at IS NULL OR records.expires_at > $10)
        ) AS stored ON true
        WHERE NOT CASE precondition
            WHEN 0 THEN true
            WHEN 1 THEN stored.version IS NULL
            WHEN 2 THEN coalesce(stored.version = bound, false)
            ELSE coalesce(stored.version < bound, true)
        END
        LIMIT 1
    ), put AS (
        INSERT INTO records (partition, kind, sort, version, expires_at, body)
        SELECT partition, kind, sort, version, expires_at, body FROM asked
        WHERE action = 1 AND NOT EXISTS (SELECT FROM failed)
        ON CONFLICT (partition, kind, sort) DO UPDATE
        SET version = excluded.version, expires_at = excluded.expires_at, body = excluded.body
    ), deleted AS (
        DELETE FROM records USING asked
        WHERE records.partition = asked.partition AND records.kind = asked.kind AND records.sort = asked.sort
            AND action = 2 AND NOT EXISTS (SELECT FROM failed)
    )
    SELECT NOT EXISTS (SELECT FROM failed)";

/// The columns of a batch, as the statements take them.
#[derive(Default)]
pub(super) struct Batch {
    partitions: Vec<String>,
    kinds: Vec<&'static str>,
    sorts: Vec<String>,
    /// 0 checks, 1 puts, 2 deletes.
    actions: Vec<i16>,
    /// 0 none, 1 absent, 2 version equals, 3 version less.
    preconditions: Vec<i16>,
    bounds: Vec<i64>,
    versions: Vec<Option<i64>>,
    ends: Vec<Option<i64>>,
    bodies: Vec<Option<Vec<u8>>>,
}

impl Batch {
    pub(super) fn of(writes: Vec<Write>) -> Self {
        let mut batch = Self::default();
        for Write { change, precondition } in writes {
            batch.add_key(change.key());
            let (action, record) = match change {
                Change::Check(_) => (0, None),
                Change::Put(record) => (1, Some(record)),
                Change::Delete(_) => (2, None),
            };
            let (code, bound) = match precondition {
                Precondition::None => (0, 0),
                Precondition::Absent => (1, 0),
                Precondition::VersionEquals(version) => (2, stored_version(version.0)),
                Precondition::VersionLess(version) => (3, stored_version(version.0)),
            };
            batch.actions.push(action);
            batch.preconditions.push(code);
            batch.bounds.push(bound);
            batch.versions.push(record.as_ref().map(|record| stored_version(record.version.0)));
            batch.ends.push(record.as_ref().and_then(|record| record.expires_at).map(Timestamp::as_second));
            batch.bodies.push(record.map(|record| Vec::from(record.body)));
        }
        batch
    }

    fn add_key(&mut self, key: &RecordKey) {
        self.partitions.push(key.partition.to_string());
        self.kinds.push(kind_name(key.kind));
        self.sorts.push(key.sort.as_str().to_owned());
    }

    /// Writes all of it, or answers `None` where a precondition does not hold at `now`.
    pub(super) async fn apply(
        &self,
        mut transaction: PgTransaction<'static>,
        now: i64,
    ) -> sqlx::Result<(PgTransaction<'static>, Option<()>)> {
        // A statement sees what was committed before it began: the locks must be held by then.
        sqlx::query(LOCK)
            .bind(&self.partitions)
            .bind(&self.kinds)
            .bind(&self.sorts)
            .bind(&self.actions)
            .execute(&mut *transaction)
            .await?;
        let holds: bool = sqlx::query_scalar(APPLY)
            .bind(&self.partitions)
            .bind(&self.kinds)
            .bind(&self.sorts)
            .bind(&self.actions)
            .bind(&self.preconditions)
            .bind(&self.bounds)
            .bind(&self.versions)
            .bind(&self.ends)
            .bind(&self.bodies)
            .bind(now)
            .fetch_one(&mut *transaction)
            .await?;
        Ok((transaction, holds.then_some(())))
    }
}

/// No version above the largest is stored, so as a bound the largest means the same.
fn stored_version(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

pub(super) fn has_storable_version(write: &Write) -> bool {
    match &write.change {
        Change::Put(record) => record.version.0 >= 1 && i64::try_from(record.version.0).is_ok(),
        Change::Delete(_) | Change::Check(_) => true,
    }
}

/// The size of the key and body of a write.
pub(super) fn size_bytes(write: &Write) -> usize {
    let key = write.change.key();
    let body_bytes = if let Change::Put(record) = &write.change { record.body.len() } else { 0 };
    key.partition.to_string().len() + kind_name(key.kind).len() + key.sort.as_str().len() + body_bytes
}
