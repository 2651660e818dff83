//! What is in a data folder, by its bytes: to tell whether two hold the same.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use adapters_local::{
    SystemClock, SystemIds,
    embedded::{Database, FolderObjectStore, PresignKey, SqliteHealthData},
};
use anyhow::Context as _;
use domain::{
    ids::{SampleId, UserId},
    metric::Metric,
    record::{Kind, Partition, RecordKey, SortRange},
    sample::{Sample, Value},
    segment::{self, Reference},
};
use jiff::civil::Date;
use ports::{HealthDataRepository, ObjectKey, ObjectStore, Query, Record, objects};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

/// A data folder that a process may have open.
pub(crate) struct Stored {
    records: SqliteHealthData,
    objects: FolderObjectStore,
    user: UserId,
}

/// What is held, in a few words.
pub(crate) struct Held {
    pub(crate) readings: usize,
    /// Of days and nights with measures.
    pub(crate) results: usize,
    /// Of all readings and all measures.
    pub(crate) digest: String,
}

impl Stored {
    pub(crate) async fn open(data: &Path, user: UserId) -> anyhow::Result<Self> {
        let database = Database::open(data).await?;
        let key = PresignKey::new([0; 32]);
        let objects =
            FolderObjectStore::open(data, "", key, Arc::new(SystemClock), Arc::new(SystemIds)).await?;
        Ok(Self { records: SqliteHealthData::new(database, Arc::new(SystemClock)), objects, user })
    }

    /// The only import, as it stands; `None` before its first portion was kept.
    pub(crate) async fn import(&self) -> anyhow::Result<Option<Json>> {
        let mut import = None;
        self.each(Kind::Import, async |record| {
            import = Some(serde_json::from_slice(&record.body)?);
            Ok(())
        })
        .await?;
        Ok(import)
    }

    /// Whether days wait to be computed.
    pub(crate) async fn is_due(&self) -> anyhow::Result<bool> {
        let query = Query::new(Partition::User(self.user), Kind::DueDays, SortRange::all());
        Ok(!self.records.query(&query).await?.items.is_empty())
    }

    /// How many records hold readings.
    pub(crate) async fn segments(&self) -> anyhow::Result<usize> {
        let mut count = 0;
        self.each(Kind::Segment, async |_| {
            count += 1;
            Ok(())
        })
        .await?;
        Ok(count)
    }

    pub(crate) async fn held(&self) -> anyhow::Result<Held> {
        let (mut hash, mut readings, mut results) = (Sha256::new(), 0, 0);
        let mut day = Day::default();
        self.each(Kind::Segment, async |record| {
            let of = RecordKey::parse_segment(&record.key.sort).context("the key of a segment")?;
            let place = Some((of.0, of.1));
            if day.place != place {
                readings += std::mem::take(&mut day).hash_into(&mut hash);
                day.place = place;
            }
            for (sequence, sample) in segment::decode_numbered(&self.bytes(&record).await?, of.2)? {
                day.add(sequence, sample);
            }
            Ok(())
        })
        .await?;
        readings += day.hash_into(&mut hash);
        for kind in [Kind::Daily, Kind::Sleep, Kind::Circadian] {
            self.each(kind, async |record| {
                results += 1;
                hash.update(format!("{kind}/{}", record.key.sort.as_str()));
                hash.update(&record.body);
                Ok(())
            })
            .await?;
        }
        Ok(Held { readings, results, digest: hex::encode(hash.finalize()) })
    }

    async fn bytes(&self, record: &Record) -> anyhow::Result<bytes::Bytes> {
        let Some(reference) = Reference::decode(&record.body)? else { return Ok(record.body.clone()) };
        let object = self.objects.get(&ObjectKey::new(reference.object)?, None).await?;
        let body = object.context("an object that a segment names is not there")?.body;
        Ok(objects::collect(body, usize::MAX).await?)
    }

    async fn each(
        &self,
        kind: Kind,
        mut each: impl AsyncFnMut(Record) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut query = Query::new(Partition::User(self.user), kind, SortRange::all());
        query.limit = 16;
        loop {
            let page = self.records.query(&query).await?;
            for record in page.items {
                each(record).await?;
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(()),
            }
        }
    }
}

/// The newest version of each reading of a metric and day, in an order of its own.
#[derive(Default)]
struct Day {
    place: Option<(Metric, Date)>,
    newest: BTreeMap<(i64, SampleId), (u64, Sample)>,
}

impl Day {
    fn add(&mut self, sequence: u64, sample: Sample) {
        let identity = (sample.interval.start_ms(), sample.id);
        if self.newest.get(&identity).is_none_or(|(held, _)| *held < sequence) {
            self.newest.insert(identity, (sequence, sample));
        }
    }

    /// Answers how many there are. The numbers of the changes that brought them are no part of the digest.
    fn hash_into(self, hash: &mut Sha256) -> usize {
        let count = self.newest.len();
        for ((start_ms, id), (_, sample)) in self.newest {
            hash.update(sample.metric.identifier());
            hash.update(id.0.as_bytes());
            hash.update(start_ms.to_le_bytes());
            hash.update(sample.interval.end_ms().to_le_bytes());
            match sample.value {
                Value::Quantity(value) => hash.update(value.to_bits().to_le_bytes()),
                Value::Category(value) => hash.update(value.to_le_bytes()),
            }
            let clock = (sample.clock.offset_seconds, sample.clock.zone.as_ref().map(ToString::to_string));
            let source = [&sample.source.name, &sample.source.bundle, &sample.source.product_type];
            hash.update(format!("{clock:?}{source:?}{:?}", sample.metadata));
        }
        count
    }
}
