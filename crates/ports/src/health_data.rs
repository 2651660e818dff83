//! A store of records. Its typed views are written once, in `app`.

use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey, SortRange},
};
use jiff::Timestamp;

use crate::{Cursor, Result};

/// A record's version: chosen by the writer, at least 1, and compared as a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version(pub u64);

impl Version {
    /// The version of a record's first writing.
    pub const FIRST: Self = Self(1);

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What is stored under a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: RecordKey,
    /// Its version.
    pub version: Version,
    /// Its body: opaque to the store.
    pub body: Bytes,
    /// When it stops being visible; `None` for never. Whole seconds count.
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({}, {:?}, {} bytes)", self.key, self.version, self.body.len())
    }
}

/// What must hold of the stored record for a write to be done. An expired record counts as absent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precondition {
    /// Anything.
    None,
    /// Nothing is stored under the key.
    Absent,
    /// The stored record has exactly this version.
    VersionEquals(Version),
    /// Nothing is stored, or a record with a version below this one ("put if newer").
    VersionLess(Version),
}

/// What a write does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Stores the record in place of whatever is there.
    Put(Record),
    /// Removes the record; removing what is not there succeeds.
    Delete(RecordKey),
    /// Changes nothing: only the precondition counts.
    Check(RecordKey),
}

impl Change {
    /// The key it is about.
    pub fn key(&self) -> &RecordKey {
        match self {
            Self::Put(record) => &record.key,
            Self::Delete(key) | Self::Check(key) => key,
        }
    }
}

/// One write of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// What it does.
    pub change: Change,
    /// What must hold for it, and so for the whole batch.
    pub precondition: Precondition,
}

impl Write {
    /// Stores `body` under `key` with `version` if `precondition` holds.
    pub fn put(key: RecordKey, version: Version, body: impl Into<Bytes>, precondition: Precondition) -> Self {
        let record = Record { key, version, body: body.into(), expires_at: None };
        Self { change: Change::Put(record), precondition }
    }

    /// Stores a record of version 1 where there is none.
    pub fn insert(key: RecordKey, body: impl Into<Bytes>) -> Self {
        Self::put(key, Version::FIRST, body, Precondition::Absent)
    }

    /// Lets a put expire.
    #[must_use]
    pub fn expiring_at(mut self, instant: Timestamp) -> Self {
        if let Change::Put(record) = &mut self.change {
            record.expires_at = Some(instant);
        }
        self
    }

    /// Removes `key`.
    pub fn delete(key: RecordKey, precondition: Precondition) -> Self {
        Self { change: Change::Delete(key), precondition }
    }

    /// Only checks `precondition` of `key`.
    pub fn check(key: RecordKey, precondition: Precondition) -> Self {
        Self { change: Change::Check(key), precondition }
    }
}

/// Which way a query walks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Direction {
    /// From the smallest sort key up.
    #[default]
    Ascending,
    /// From the largest sort key down.
    Descending,
}

/// A question for records of one kind in one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// Where.
    pub partition: Partition,
    /// Of which kind.
    pub kind: Kind,
    /// Which sort keys.
    pub range: SortRange,
    /// Continue behind the page this came from.
    pub cursor: Option<Cursor>,
    /// How many records a page has at most, 1 to 1000.
    pub limit: usize,
    /// Which way.
    pub direction: Direction,
}

impl Query {
    /// The first page, ascending, of 1000 records.
    pub fn new(partition: Partition, kind: Kind, range: SortRange) -> Self {
        Self { partition, kind, range, cursor: None, limit: QUERY_LIMIT_MAX, direction: Direction::Ascending }
    }
}

/// The most records in a page.
pub const QUERY_LIMIT_MAX: usize = 1000;

/// A page of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins; `None` when there is no more.
    pub next: Option<Cursor>,
}

/// What one commit can hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitLimits {
    /// Writes, at least 100.
    pub writes_max: usize,
    /// Bytes of all keys and bodies, at least 4 MB (4,000,000).
    pub bytes_max: usize,
}

/// A record store: `(partition, kind, sort key) -> (version, body, expires_at?)`.
///
/// # Contract
/// - A committed record reads back with the same version, body and expiry, also when its body is empty.
/// - What was never written is `None`; so is a record from the second of its `expires_at` on, in `get` and in `query`.
/// - A commit is atomic, also across partitions and kinds: a reader sees all of it or none.
/// - A commit of which one precondition fails writes nothing and is a `Conflict` with outcome `NotApplied`.
/// - `Absent` holds where nothing is stored or what is stored has expired.
/// - `VersionEquals` holds for exactly the stored version, and never where nothing is stored.
/// - `VersionLess` holds where nothing is stored or the stored version is smaller.
/// - `Check` tests its precondition and changes nothing.
/// - Deleting what is not there succeeds; deleting under `VersionEquals` what is not there is a `Conflict`.
/// - Of two commits that race on one precondition exactly one succeeds.
/// - A commit that returned `Ok` is visible to every later `get` and `query`, of any process, and survives a crash.
/// - A key may appear once in a batch; twice is `InvalidInput`. An empty batch succeeds.
/// - A batch above the stated limits is `InvalidInput` and writes nothing; the limits are at least 100 writes and 4 MB.
/// - `query` answers in byte order of the sort key, either way, only the asked partition, kind and half-open range.
/// - Paging by cursor shows each record that is there all along exactly once, however many are inserted or deleted
///   between pages; the last page has no `next`; a cursor works for the query it came from and either direction.
/// - A `limit` of 0 or above 1000 and a cursor that is not one are `InvalidInput`.
/// - `partitions` lists each user that has a record exactly once, in a stable order, by pages; system partitions are not in it.
#[async_trait]
pub trait HealthDataRepository: Send + Sync + 'static {
    /// Reads one record.
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>>;

    /// Reads a page of records.
    async fn query(&self, query: &Query) -> Result<Page<Record>>;

    /// Does all writes or none.
    async fn commit(&self, batch: Vec<Write>) -> Result<()>;

    /// Lists the users that have records, for backfill and verification.
    async fn partitions(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<UserId>>;

    /// What one commit can hold.
    fn limits(&self) -> CommitLimits;
}
