//! What is larger than a commit or a record of DynamoDB holds, on a store that refuses as DynamoDB's adapter does.

use std::{collections::BTreeSet, sync::Arc};

use app::{App, Settings, audit::Caller, records::Tombstones};
use async_trait::async_trait;
use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey, SortRange},
};
use ports::{
    Change, CommitLimits, Cursor, Error, ErrorKind, HealthDataRepository, Page, Query, Record, Result, Write,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    bench::{app_of, body, caller, send, settings},
    pipeline::settle,
};

const LIMITS: CommitLimits = CommitLimits { writes_max: 100, bytes_max: 4_000_000 };
/// Of a record, with the names of its attributes, which take less than 400 bytes.
const RECORD_BYTES_MAX: usize = 400 * 1024 - 400;

/// A store with DynamoDB's limits.
struct Strict(Arc<dyn HealthDataRepository>);

#[async_trait]
impl HealthDataRepository for Strict {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        self.0.get(key).await
    }

    async fn query(&self, query: &Query) -> Result<Page<Record>> {
        self.0.query(query).await
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<()> {
        let bytes = |write: &Write| match &write.change {
            Change::Put(record) => record.body.len() + 100,
            Change::Delete(_) | Change::Check(_) => 100,
        };
        let is_within = batch.len() <= LIMITS.writes_max
            && batch.iter().map(bytes).sum::<usize>() <= LIMITS.bytes_max
            && batch.iter().all(|write| bytes(write) <= RECORD_BYTES_MAX);
        if !is_within {
            return Err(Error::new(ErrorKind::InvalidInput, "records.commit"));
        }
        self.0.commit(batch).await
    }

    async fn partitions(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<UserId>> {
        self.0.partitions(cursor, limit).await
    }

    fn limits(&self) -> CommitLimits {
        LIMITS
    }
}

fn strict() -> Arc<App> {
    // As `config/default.toml` has it.
    let settings = Settings { segment_inline_bytes_max: 65_536, ..settings() };
    app_of(settings, Arc::default(), |inner| Arc::new(Strict(inner)))
}

/// Heart rates of the same hour, each with an id of its own.
fn many(count: u128) -> Vec<Value> {
    (1..=count).map(|id| crate::bench::heart_rate(id, u32::try_from(id % 3600).unwrap(), 61.0)).collect()
}

async fn records(app: &App, caller: &Caller, kind: Kind) -> Vec<Record> {
    let query = Query::new(Partition::User(caller.user_id), kind, SortRange::all());
    app.platform.health_data.query(&query).await.unwrap().items
}

/// Which ids and readings the tombstones name, and in how many records.
async fn tombstones(app: &App, caller: &Caller) -> (BTreeSet<Uuid>, BTreeSet<Uuid>, usize) {
    let (mut ids, mut readings) = (BTreeSet::new(), BTreeSet::new());
    let found = records(app, caller, Kind::Tombstone).await;
    for record in &found {
        let tombstones: Tombstones = serde_json::from_slice(&record.body).unwrap();
        ids.extend(tombstones.ids.iter().map(|id| id.0));
        readings.extend(tombstones.readings.iter().map(|(id, _)| id.0));
    }
    (ids, readings, found.len())
}

const COUNT: u128 = 20_000;

fn all_ids() -> BTreeSet<Uuid> {
    (1..=COUNT).map(Uuid::from_u128).collect()
}

#[tokio::test]
async fn an_upload_of_20_000_readings_can_be_deleted_and_none_comes_back() {
    let (app, anna) = (strict(), caller(1));
    let upload = send(&app, &anna, body(&many(COUNT), &[])).await;
    assert_eq!(upload.receipts.accepted, 20_000);
    assert_eq!(app.delete_upload(&anna, upload.id).await.unwrap(), 20_000);
    let (ids, readings, count) = tombstones(&app, &anna).await;
    assert_eq!((ids.len(), readings, count), (0, all_ids(), 4));
    let again = send(&app, &anna, body(&many(COUNT), &[])).await;
    assert_eq!((again.receipts.accepted, again.receipts.rejected_total), (0, 20_000));
}

#[tokio::test]
async fn a_phone_may_delete_20_000_samples_at_once() {
    let (app, anna) = (strict(), caller(1));
    // Held are the first and the last, whose tombstones are in different records.
    let held = [crate::bench::heart_rate(1, 0, 61.0), crate::bench::heart_rate(COUNT, 60, 62.0)];
    send(&app, &anna, body(&held, &[])).await;
    settle(&app).await;
    assert_eq!(app.daily(&anna, app::results::DayRange::default()).await.unwrap().len(), 1);
    let deleted: Vec<u128> = (1..=COUNT).collect();
    send(&app, &anna, body(&[], &deleted)).await;
    settle(&app).await;
    let (ids, _, count) = tombstones(&app, &anna).await;
    assert_eq!((ids, count), (all_ids(), 4));
    assert_eq!(app.daily(&anna, app::results::DayRange::default()).await.unwrap(), []);
    assert_eq!(crate::bench::held(&app, &anna).await, []);
}

/// Text that no compressor makes smaller than three quarters of it.
fn noise(seed: u64, length: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[usize::try_from(state >> 58).unwrap()])
    };
    (0..length).map(letter).collect()
}

/// 85 days, each of which is a segment of 50 to 64 KiB.
#[tokio::test]
async fn segments_that_are_too_many_for_a_commit_are_objects() {
    const DAYS: u32 = 85;
    let (app, anna) = (strict(), caller(1));
    let samples = (0..DAYS * 36).map(|n| {
        let at = jiff::civil::date(2024, 3, 1).at(8, 0, 0, 0).in_tz("UTC").unwrap();
        let at = at.timestamp() + jiff::SignedDuration::from_hours(24 * i64::from(n / 36));
        let at = at + jiff::SignedDuration::from_secs(i64::from(n % 36));
        json!({
            "identifier": Uuid::from_u128(u128::from(n) + 1).to_string(),
            "type": "HKQuantityTypeIdentifierHeartRate",
            "value": 61.0,
            "unit": "count/min",
            "start_date": at.to_string(),
            "end_date": at.to_string(),
            "metadata": { "note": noise(u64::from(n), 1600) },
        })
    });
    let upload = send(&app, &anna, body(&samples.collect::<Vec<_>>(), &[])).await;
    assert_eq!(upload.receipts.accepted, (DAYS * 36) as usize);
    let segments = records(&app, &anna, Kind::Segment).await;
    let inline: usize = segments.iter().map(|record| record.body.len()).sum();
    let objects = app.platform.objects.list("segments/", None, 1000).await.unwrap().items;
    assert_eq!(segments.len(), DAYS as usize);
    let stored: u64 = objects.iter().map(|object| object.size_bytes).sum();
    assert!(inline as u64 + stored > 4_000_000, "{inline} and {stored} bytes fit anyway");
    assert!(!objects.is_empty() && objects.len() < 60, "{} of them are objects", objects.len());
    assert!(objects.iter().all(|object| object.size_bytes <= 65_536), "they are large ones");
    assert_eq!(crate::bench::held(&app, &anna).await.len(), 1000, "a page of them reads back");
    // What was accepted can be deleted, too.
    assert_eq!(app.delete_upload(&anna, upload.id).await.unwrap(), (DAYS * 36) as usize);
    settle(&app).await;
    assert_eq!(crate::bench::held(&app, &anna).await, []);
    assert_eq!(app.platform.objects.list("segments/", None, 1000).await.unwrap().items.len(), 0);
}
