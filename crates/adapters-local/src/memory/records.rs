use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey, SortKey},
};
use jiff::Timestamp;
use ports::{
    Change, Clock, CommitLimits, Cursor, Direction, Error, ErrorKind, HealthDataRepository, Page,
    Precondition, Query, Record, Result, Write, paging::check_limit,
};

use super::lock;

/// The least that the contract asks for, so that code which needs more fails in its first test.
const LIMITS: CommitLimits = CommitLimits { writes_max: 100, bytes_max: 4_000_000 };

type Records = BTreeMap<(Partition, Kind), BTreeMap<SortKey, Record>>;

/// Records in a map.
pub struct MemoryHealthData {
    clock: Arc<dyn Clock>,
    records: Mutex<Records>,
}

impl MemoryHealthData {
    /// An empty store that lives by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, records: Mutex::default() }
    }
}

/// What a reader sees under `key`.
fn visible<'a>(records: &'a Records, key: &RecordKey, now: Timestamp) -> Option<&'a Record> {
    let of_kind = records.get(&(key.partition, key.kind))?;
    of_kind.get(&key.sort).filter(|record| is_visible(record, now))
}

fn is_visible(record: &Record, now: Timestamp) -> bool {
    record.expires_at.is_none_or(|end| now.as_second() < end.as_second())
}

fn holds(precondition: Precondition, stored: Option<&Record>) -> bool {
    match precondition {
        Precondition::None => true,
        Precondition::Absent => stored.is_none(),
        Precondition::VersionEquals(version) => stored.is_some_and(|record| record.version == version),
        Precondition::VersionLess(version) => stored.is_none_or(|record| record.version < version),
    }
}

/// Refuses a batch that names a key twice or is above the limits.
fn check_batch(batch: &[Write]) -> Result<()> {
    let keys: BTreeSet<_> = batch.iter().map(|write| write.change.key()).collect();
    let size = |write: &Write| {
        let body_bytes = if let Change::Put(record) = &write.change { record.body.len() } else { 0 };
        write.change.key().to_string().len() + body_bytes
    };
    let size_bytes: usize = batch.iter().map(size).sum();
    if keys.len() < batch.len() || batch.len() > LIMITS.writes_max || size_bytes > LIMITS.bytes_max {
        return Err(Error::new(ErrorKind::InvalidInput, "records.commit"));
    }
    Ok(())
}

#[async_trait]
impl HealthDataRepository for MemoryHealthData {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        let now = self.clock.now();
        Ok(visible(&lock(&self.records), key, now).cloned())
    }

    async fn query(&self, query: &Query) -> Result<Page<Record>> {
        const OPERATION: &str = "records.query";
        check_limit(OPERATION, query.limit)?;
        let last_shown = query.cursor.as_ref().map(|cursor| cursor.last_shown(OPERATION)).transpose()?;
        let is_behind_cursor = |sort: &SortKey| {
            last_shown.is_none_or(|last| match query.direction {
                Direction::Ascending => sort.as_str() > last,
                Direction::Descending => sort.as_str() < last,
            })
        };
        let now = self.clock.now();
        let records = lock(&self.records);
        let found =
            records.get(&(query.partition, query.kind)).into_iter().flatten().filter(|(sort, record)| {
                query.range.contains(sort) && is_behind_cursor(sort) && is_visible(record, now)
            });
        let found = found.map(|(_, record)| record.clone());
        let items = match query.direction {
            Direction::Ascending => found.take(query.limit + 1).collect(),
            Direction::Descending => found.rev().take(query.limit + 1).collect(),
        };
        Ok(Page::cut(items, query.limit, |record| record.key.sort.as_str().to_owned()))
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<()> {
        check_batch(&batch)?;
        let now = self.clock.now();
        let mut records = lock(&self.records);
        let is_fulfilled =
            |write: &Write| holds(write.precondition, visible(&records, write.change.key(), now));
        if !batch.iter().all(is_fulfilled) {
            return Err(Error::new(ErrorKind::Conflict, "records.commit"));
        }
        for write in batch {
            let of_kind = records.entry((write.change.key().partition, write.change.key().kind)).or_default();
            match write.change {
                Change::Put(record) => drop(of_kind.insert(record.key.sort.clone(), record)),
                Change::Delete(key) => drop(of_kind.remove(&key.sort)),
                Change::Check(_) => {}
            }
        }
        Ok(())
    }

    async fn partitions(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<UserId>> {
        const OPERATION: &str = "records.partitions";
        check_limit(OPERATION, limit)?;
        let last_shown = cursor.map(|cursor| cursor.last_shown(OPERATION)).transpose()?;
        let last_shown = last_shown.map(str::parse::<UserId>).transpose();
        let last_shown =
            last_shown.map_err(|error| Error::new(ErrorKind::InvalidInput, OPERATION).with_cause(error))?;
        let now = self.clock.now();
        let users: BTreeSet<UserId> = lock(&self.records)
            .iter()
            .filter(|(_, of_kind)| of_kind.values().any(|record| is_visible(record, now)))
            .filter_map(
                |((partition, _), _)| if let Partition::User(user) = partition { Some(*user) } else { None },
            )
            .filter(|user| last_shown.is_none_or(|last| *user > last))
            .collect();
        Ok(Page::cut(users.into_iter().collect(), limit, UserId::to_string))
    }

    fn limits(&self) -> CommitLimits {
        LIMITS
    }
}
