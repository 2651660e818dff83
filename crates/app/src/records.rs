//! The bodies of records, and how they are read and written. Adapters never see inside them.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use domain::{
    envelope::Envelope,
    ids::{SampleId, UploadId, UserId},
    job::{JobEvent, JobState},
    metric::Metric,
    record::{Kind, Partition, RecordKey, SortRange},
    sample::Sample,
};
use jiff::{Timestamp, civil::Date};
use ports::{
    Direction, Error, ErrorKind, HealthDataRepository, Precondition, Query, Record, Result, Version, Write,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{days::DayRanges, ingest::Rejection};

/// A record's body and the version it was read at.
#[derive(Debug)]
pub struct Stored<T> {
    /// The body.
    pub body: T,
    /// Its version, for the precondition of the write that follows.
    pub version: Version,
}

/// Encodes a body. JSON, so that a person can read a record and a later build can add fields.
pub fn encode<T: Serialize>(body: &T) -> Result<Bytes> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "records.encode").with_cause(error))
}

/// Decodes a body; one that does not decode is `Corrupt`, with its kind and a hash of its key as the cause.
pub fn decode<T: DeserializeOwned>(record: &Record) -> Result<T> {
    serde_json::from_slice(&record.body).map_err(|error| corrupt(&record.key, &error))
}

pub(crate) fn corrupt(key: &RecordKey, error: &dyn std::error::Error) -> Error {
    // serde_json's text can quote what was stored, so only its place is kept.
    let _ = error;
    // Nor the key, which names a user: a hash of it finds the record for whoever looks.
    let hash = hex::encode(&Sha256::digest(key.to_string())[..8]);
    let cause = format!("a record of kind {:?} does not decode; its key hashes to {hash}", key.kind);
    Error::new(ErrorKind::Corrupt, "records.decode").with_cause(cause)
}

/// Reads one body.
pub async fn get<T: DeserializeOwned>(
    store: &dyn HealthDataRepository,
    key: &RecordKey,
) -> Result<Option<Stored<T>>> {
    let Some(record) = store.get(key).await? else { return Ok(None) };
    Ok(Some(Stored { body: decode(&record)?, version: record.version }))
}

/// Reads all records of a range, page by page.
pub async fn query_all(
    store: &dyn HealthDataRepository,
    partition: Partition,
    kind: Kind,
    range: SortRange,
) -> Result<Vec<Record>> {
    let mut query = Query::new(partition, kind, range);
    let mut records = Vec::new();
    loop {
        let page = store.query(&query).await?;
        records.extend(page.items);
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(records),
        }
    }
}

/// Reads the last `limit` records of a kind, newest first.
pub async fn query_newest(
    store: &dyn HealthDataRepository,
    partition: Partition,
    kind: Kind,
    range: SortRange,
    limit: usize,
) -> Result<Vec<Record>> {
    let query = Query { direction: Direction::Descending, limit, ..Query::new(partition, kind, range) };
    Ok(store.query(&query).await?.items)
}

/// The write that replaces what was read in that version.
pub fn replace(key: RecordKey, read: Version, body: Bytes) -> Write {
    Write::put(key, read.next(), body, Precondition::VersionEquals(read))
}

/// One per user: how many changes there were, and what is held. The record's version is its `sequence`.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Timeline {
    /// The number of the last change: the version of the samples it brought.
    pub sequence: u64,
    /// The UTC days that hold readings, by metric.
    #[serde(default)]
    pub held: BTreeMap<Metric, DayRanges>,
    /// When the last reading of a metric begins, in milliseconds. Readings that begin later are new, and phones mostly send
    /// those, so nothing need be read to tell. Missing where it was not kept from the first reading on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub latest_ms: BTreeMap<Metric, i64>,
    /// Whether anything was ever deleted.
    #[serde(default)]
    pub has_tombstones: bool,
}

impl Timeline {
    /// The user's timeline; that of a new user is empty.
    pub async fn read(store: &dyn HealthDataRepository, user: UserId) -> Result<Self> {
        let stored = get::<Self>(store, &RecordKey::timeline(user)).await?;
        Ok(stored.map_or_else(Self::default, |stored| stored.body))
    }

    /// Whether readings of that UTC day, none of which begins before `first_ms`, may be held already.
    pub fn may_hold(&self, metric: Metric, day: Date, first_ms: i64) -> bool {
        // An export tells times to the second: what is held may have begun within the same one.
        let second_ms = first_ms.div_euclid(1000) * 1000;
        let is_later = self.latest_ms.get(&metric).is_some_and(|latest_ms| second_ms > *latest_ms);
        !is_later && self.held.get(&metric).is_some_and(|days| days.contains(day))
    }

    /// Notes readings of that UTC day, none of which begins after `last_ms`.
    pub fn note(&mut self, metric: Metric, day: Date, last_ms: i64) {
        let is_known = !self.held.contains_key(&metric);
        match self.latest_ms.get_mut(&metric) {
            Some(latest_ms) => *latest_ms = last_ms.max(*latest_ms),
            None if is_known => drop(self.latest_ms.insert(metric, last_ms)),
            None => {}
        }
        self.held.entry(metric).or_default().insert(day);
    }

    /// The write that makes `self` the timeline, if nobody else changed it since it was at `sequence - 1`.
    pub fn write(&self, user: UserId) -> Result<Write> {
        let before = self.sequence - 1;
        let precondition =
            if before == 0 { Precondition::Absent } else { Precondition::VersionEquals(Version(before)) };
        Ok(Write::put(RecordKey::timeline(user), Version(self.sequence), encode(self)?, precondition))
    }
}

/// Which route an upload came by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadKind {
    /// `POST health-data`.
    HealthData,
    /// `POST healthkit`.
    HealthKit,
    /// One record of `POST health-data/batch`.
    BatchRecord,
    /// A part of a file that is imported. It has no raw body.
    Import,
}

/// What became of each sample of an upload.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipts {
    /// Samples that were new, or a newer version.
    pub accepted: usize,
    /// Samples that were held already.
    pub duplicate: usize,
    /// Samples that were refused; the first [`REJECTIONS_MAX`](crate::ingest::REJECTIONS_MAX) of them are listed.
    pub rejected_total: usize,
    /// The refused ones with their reasons.
    pub rejected: Vec<Rejection>,
}

/// Where an upload's raw body is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RawBody {
    /// SHA-256 of the decoded body, in hex.
    pub sha256: String,
    /// Length of the decoded body.
    pub size_bytes: usize,
    /// The object that holds it (zstd); `None`: the record of kind `raw_body` does.
    pub object: Option<String>,
}

/// An upload and its job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// Which route it came by.
    pub kind: UploadKind,
    /// Where its job stands.
    pub state: JobState,
    /// When it was acknowledged.
    pub received_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// The version of its samples.
    pub sequence: u64,
    /// What became of each sample.
    pub receipts: Receipts,
    /// Items of each list of the body.
    pub received: BTreeMap<String, usize>,
    /// For `health-data`: metrics that were new, known, refused.
    pub items: ItemCounts,
    /// The raw body.
    pub raw: RawBody,
    /// The segments it wrote.
    pub segments: Vec<(Metric, Date)>,
    /// The local days its samples touch.
    pub days: Vec<Date>,
    /// Whether it deleted samples, whose days are found when it is processed.
    pub has_deletions: bool,
    /// Why its job failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When the user deleted it. Its samples are gone; only this mark and its days stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

/// How many items of a body were new, known, refused.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ItemCounts {
    /// With at least one new reading.
    pub accepted: usize,
    /// With known readings only.
    pub duplicate: usize,
    /// With a refused reading.
    pub rejected: usize,
}

impl Upload {
    /// Whether its body was one of `samples`, as the shipped iOS apps send it to `health-data`.
    pub fn is_of_samples(&self) -> bool {
        self.kind == UploadKind::HealthData && self.received.contains_key("samples")
    }

    /// The upload after `event`; `None` where the event cannot happen in its state.
    pub fn after(&self, event: JobEvent, now: Timestamp) -> Option<Self> {
        let state = self.state.after(event).ok()?;
        Some(Self { state, updated_at: now, ..self.clone() })
    }
}

/// Samples that were deleted.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tombstones {
    /// Ids of which every reading is deleted: the phone deleted the sample.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<SampleId>,
    /// Single readings, by id and start (milliseconds): an upload was deleted, or a reading was joined with one that has an
    /// id of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<(SampleId, i64)>,
}

/// How many ids and readings one record of tombstones holds at most. As JSON each takes up to 58 bytes, and DynamoDB's records are
/// the smallest, with 400 KiB.
pub(crate) const TOMBSTONES_MAX: usize = 6_000;
/// The most bytes that one takes.
pub(crate) const TOMBSTONE_BYTES: usize = 58;

impl Tombstones {
    /// The writes that keep them, for one commit: a record, or as many as they need.
    pub(crate) fn writes(&self, user: UserId, sequence: u64) -> Result<Vec<Write>> {
        let ids = self.ids.chunks(TOMBSTONES_MAX).map(|ids| Self { ids: ids.to_vec(), readings: Vec::new() });
        let readings = self.readings.chunks(TOMBSTONES_MAX);
        let readings = readings.map(|readings| Self { ids: Vec::new(), readings: readings.to_vec() });
        let write = |(part, tombstones)| {
            Ok(Write::insert(RecordKey::tombstone(user, sequence, part), encode(&tombstones)?))
        };
        ids.chain(readings).enumerate().map(write).collect()
    }

    /// Those that change number `sequence` wrote.
    pub(crate) async fn of_change(
        store: &dyn HealthDataRepository,
        user: UserId,
        sequence: u64,
    ) -> Result<Self> {
        let range = RecordKey::tombstones_of(sequence);
        let mut all = Self::default();
        for record in &query_all(store, Partition::User(user), Kind::Tombstone, range).await? {
            let part = decode::<Self>(record)?;
            all.ids.extend(part.ids);
            all.readings.extend(part.readings);
        }
        Ok(all)
    }
}

/// Everything that a user ever deleted.
#[derive(Default)]
pub struct Deleted {
    ids: HashSet<SampleId>,
    readings: HashSet<(SampleId, i64)>,
}

impl Deleted {
    /// Reads all tombstones of a user.
    pub async fn read(store: &dyn HealthDataRepository, user: UserId, timeline: &Timeline) -> Result<Self> {
        let mut deleted = Self::default();
        if timeline.has_tombstones {
            let records = query_all(store, Partition::User(user), Kind::Tombstone, SortRange::all()).await?;
            for record in &records {
                let tombstones = decode::<Tombstones>(record)?;
                deleted.ids.extend(tombstones.ids);
                deleted.readings.extend(tombstones.readings);
            }
        }
        Ok(deleted)
    }

    /// Whether it is deleted as a single reading, and not with its id.
    pub fn holds_reading(&self, sample: &Sample) -> bool {
        self.readings.contains(&(sample.id, sample.interval.start_ms()))
    }

    /// Whether the reading is deleted.
    pub fn holds(&self, sample: &Sample) -> bool {
        self.ids.contains(&sample.id) || self.readings.contains(&(sample.id, sample.interval.start_ms()))
    }
}

/// The intent to publish a job, committed with what the job is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Intent {
    /// What will be published.
    pub envelope: Envelope,
    /// When it was committed.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Date = jiff::civil::date(2026, 3, 1);

    #[test]
    fn only_what_begins_after_all_that_is_held_is_new_without_a_look() {
        let (metric, other) = (Metric::HEART_RATE, Metric::STEP_COUNT);
        let mut timeline = Timeline::default();
        assert!(!timeline.may_hold(metric, DAY, 5));
        timeline.note(metric, DAY, 20);
        timeline.note(metric, DAY, 10);
        assert!(!timeline.may_hold(metric, DAY, 1000));
        assert!(timeline.may_hold(metric, DAY, 999) && timeline.may_hold(metric, DAY, 20));
        assert!(!timeline.may_hold(metric, DAY.tomorrow().unwrap(), 20));
        assert!(!timeline.may_hold(other, DAY, 20));
    }

    #[test]
    fn a_timeline_that_did_not_keep_its_latest_readings_is_not_guessed_at() {
        let mut timeline = Timeline::default();
        timeline.note(Metric::HEART_RATE, DAY, 20);
        timeline.latest_ms.clear();
        timeline.note(Metric::HEART_RATE, DAY, 10);
        assert!(timeline.may_hold(Metric::HEART_RATE, DAY, 11));
    }
}
