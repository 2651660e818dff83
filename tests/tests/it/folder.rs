//! A data folder seen from outside, beside the processes that work in it.

use std::{path::Path, sync::Arc, time::Duration};

use adapters_local::{
    SystemClock, SystemIds,
    embedded::{Database, FolderObjectStore, PresignKey, SqliteHealthData, SqliteJobQueue},
};
use app::{
    events::StoredEvent,
    records::{Intent, Upload, decode, query_all},
};
use domain::{
    ids::{UploadId, UserId},
    record::{Kind, OUTBOX_SHARDS, Partition, RecordKey, SortRange},
};
use futures::TryStreamExt;
use ports::{
    Clock, DeadLetter, HealthDataRepository, JobQueue, NewMessage, ObjectKey, ObjectStore, Precondition,
    Record, Write,
};

/// The stores of a data folder.
pub(crate) struct Folder {
    pub(crate) database: Database,
    pub(crate) records: SqliteHealthData,
    pub(crate) jobs: SqliteJobQueue,
    objects: FolderObjectStore,
}

impl Folder {
    pub(crate) async fn open(data: &Path) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let database = Database::open(data).await?;
        let key = PresignKey::new([0; 32]);
        let time = || Arc::clone(&clock);
        Ok(Self {
            records: SqliteHealthData::new(database.clone(), time()),
            jobs: SqliteJobQueue::new(database.clone(), time(), u32::MAX),
            objects: FolderObjectStore::open(data, "http://localhost", key, time(), Arc::new(SystemIds))
                .await?,
            database,
        })
    }

    async fn all(&self, partition: Partition, kind: Kind) -> anyhow::Result<Vec<Record>> {
        Ok(query_all(&self.records, partition, kind, SortRange::all()).await?)
    }

    /// All uploads of a user, acknowledged or not, in the order in which they were committed.
    pub(crate) async fn uploads(&self, user: UserId) -> anyhow::Result<Vec<Upload>> {
        let records = self.all(Partition::User(user), Kind::Upload).await?;
        let mut uploads = records.iter().map(decode::<Upload>).collect::<ports::Result<Vec<_>>>()?;
        uploads.sort_unstable_by_key(|upload| upload.sequence);
        Ok(uploads)
    }

    /// The uploads that `upload.completed` was kept for, in the order of the events.
    pub(crate) async fn completed(&self, user: UserId) -> anyhow::Result<Vec<UploadId>> {
        let mut ids = Vec::new();
        for record in self.all(Partition::User(user), Kind::Event).await? {
            let event: StoredEvent = decode(&record)?;
            if event.name == "upload.completed" {
                ids.push(serde_json::from_value(event.subject["upload_id"].clone())?);
            }
        }
        Ok(ids)
    }

    /// The body of an upload as it was sent.
    pub(crate) async fn raw_body(&self, user: UserId, upload: &Upload) -> anyhow::Result<Option<Vec<u8>>> {
        let compressed = match &upload.raw.object {
            Some(key) => match self.objects.get(&ObjectKey::new(key)?, None).await? {
                Some(object) => object.body.try_collect::<Vec<_>>().await?.concat(),
                None => return Ok(None),
            },
            None => match self.records.get(&RecordKey::raw_body(user, upload.id)).await? {
                Some(record) => record.body.to_vec(),
                None => return Ok(None),
            },
        };
        Ok(Some(zstd::decode_all(compressed.as_slice())?))
    }

    /// How many jobs are not done: intents in the outbox and messages in the queue.
    pub(crate) async fn waiting(&self) -> anyhow::Result<u64> {
        let mut count = self.jobs.stats().await?.depth;
        for shard in 0..OUTBOX_SHARDS {
            count += self.all(Partition::Outbox(shard), Kind::Outbox).await?.len() as u64;
        }
        Ok(count)
    }

    /// How many messages somebody holds a lease on.
    pub(crate) async fn leased(&self) -> anyhow::Result<i64> {
        let mut reading = self.database.begin("test.leased").await?;
        let leased = "SELECT count(*) FROM messages WHERE dead_reason IS NULL AND ready_at > not_before AND ready_at > ?";
        let now_ms = SystemClock.now().as_millisecond();
        Ok(sqlx::query_scalar(leased).bind(now_ms).fetch_one(&mut *reading).await?)
    }

    pub(crate) async fn dead_letters(&self) -> anyhow::Result<Vec<DeadLetter>> {
        Ok(self.jobs.dead_letters(None, 1000).await?.items)
    }

    /// Moves the intents of the outbox to the queue, as the relay of a worker does.
    pub(crate) async fn relay(&self) -> anyhow::Result<()> {
        for shard in 0..OUTBOX_SHARDS {
            for record in self.all(Partition::Outbox(shard), Kind::Outbox).await? {
                let intent: Intent = decode(&record)?;
                let message = NewMessage {
                    body: intent.envelope.encode()?.into(),
                    ordering_key: Some(intent.envelope.user_id.to_string()),
                    dedup_id: Some(record.key.sort.as_str().to_owned()),
                    delay: Duration::ZERO,
                };
                self.jobs.publish(message).await?;
                self.records.commit(vec![Write::delete(record.key, Precondition::None)]).await?;
            }
        }
        Ok(())
    }

    /// What SQLite says of its own file: `ok`, or what is wrong.
    pub(crate) async fn integrity(&self) -> anyhow::Result<String> {
        let mut reading = self.database.begin("test.integrity").await?;
        Ok(sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut *reading).await?)
    }
}
