//! The embedded adapters.
#![expect(clippy::unwrap_used, reason = "all of this is tests")]

mod own;
mod scrub;

use std::{path::Path, sync::Arc};

use adapters_local::{
    SystemIds,
    embedded::{
        Database, EVENT_BACKLOG_MAX, FileSecretStore, FolderObjectStore, PresignKey, SqliteEventBus,
        SqliteHealthData, SqliteJobQueue,
    },
};
use conformance::{
    EventBusFixture, HealthDataFixture, JobQueueFixture, ManualClock, ObjectStoreFixture, Reopen,
    SecretStoreFixture,
};
use futures::future::BoxFuture;
use ports::{EventBus, HealthDataRepository, JobQueue, ObjectStore, SecretStore};
use tempfile::TempDir;

const DELIVERIES_MAX: u32 = 3;

/// Opens an adapter anew on the data of a fixture, with its clock.
fn reopen<T: ?Sized + 'static>(
    folder: &Arc<TempDir>,
    clock: &Arc<ManualClock>,
    open: fn(Arc<TempDir>, Arc<ManualClock>) -> BoxFuture<'static, Arc<T>>,
) -> Reopen<T> {
    let (folder, clock) = (Arc::clone(folder), Arc::clone(clock));
    Box::new(move || open(Arc::clone(&folder), Arc::clone(&clock)))
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

async fn records(folder: &Path, clock: Arc<ManualClock>) -> SqliteHealthData {
    SqliteHealthData::new(Database::open(folder).await.unwrap(), clock)
}

async fn jobs(folder: &Path, clock: Arc<ManualClock>) -> SqliteJobQueue {
    SqliteJobQueue::new(Database::open(folder).await.unwrap(), clock, DELIVERIES_MAX)
}

async fn events(folder: &Path) -> SqliteEventBus {
    SqliteEventBus::new(Database::open(folder).await.unwrap(), Arc::new(ManualClock::default()))
}

async fn objects(folder: &Path) -> FolderObjectStore {
    let (key, clock) = (PresignKey::new([7; 32]), Arc::new(ManualClock::default()));
    FolderObjectStore::open(folder, "http://127.0.0.1:8000", key, clock, Arc::new(SystemIds)).await.unwrap()
}

async fn health_data_fixture() -> HealthDataFixture {
    let (folder, clock) = (folder(), Arc::new(ManualClock::default()));
    let repository = Arc::new(records(folder.path(), Arc::clone(&clock)).await);
    let reopen = reopen(&folder, &clock, |folder, clock| {
        Box::pin(
            async move { Arc::new(records(folder.path(), clock).await) as Arc<dyn HealthDataRepository> },
        )
    });
    HealthDataFixture { repository, time: clock, reopen: Some(reopen), guard: Box::new(folder) }
}

async fn object_store_fixture() -> ObjectStoreFixture {
    let (folder, clock) = (folder(), Arc::new(ManualClock::default()));
    let store = Arc::new(objects(folder.path()).await);
    let reopen = reopen(&folder, &clock, |folder, _| {
        Box::pin(async move { Arc::new(objects(folder.path()).await) as Arc<dyn ObjectStore> })
    });
    ObjectStoreFixture { store, reopen: Some(reopen), guard: Box::new(folder) }
}

async fn job_queue_fixture() -> JobQueueFixture {
    let (folder, clock) = (folder(), Arc::new(ManualClock::default()));
    let queue = Arc::new(jobs(folder.path(), Arc::clone(&clock)).await);
    let reopen = reopen(&folder, &clock, |folder, clock| {
        Box::pin(async move { Arc::new(jobs(folder.path(), clock).await) as Arc<dyn JobQueue> })
    });
    JobQueueFixture {
        queue,
        time: clock,
        deliveries_max: DELIVERIES_MAX,
        reopen: Some(reopen),
        guard: Box::new(folder),
    }
}

async fn event_bus_fixture() -> EventBusFixture {
    let (folder, clock) = (folder(), Arc::new(ManualClock::default()));
    let bus = Arc::new(events(folder.path()).await);
    let reopen = reopen(&folder, &clock, |folder, _| {
        Box::pin(async move { Arc::new(events(folder.path()).await) as Arc<dyn EventBus> })
    });
    EventBusFixture { bus, backlog_max: EVENT_BACKLOG_MAX, reopen: Some(reopen), guard: Box::new(folder) }
}

async fn secret_store_fixture() -> SecretStoreFixture {
    let (folder, clock) = (folder(), Arc::new(ManualClock::default()));
    let store = Arc::new(FileSecretStore::open(folder.path()).await.unwrap());
    let reopen = reopen(&folder, &clock, |folder, _| {
        Box::pin(async move {
            Arc::new(FileSecretStore::open(folder.path()).await.unwrap()) as Arc<dyn SecretStore>
        })
    });
    SecretStoreFixture { store, reopen: Some(reopen), guard: Box::new(folder) }
}

mod health_data {
    conformance::health_data!(super::health_data_fixture());
    conformance::durable_health_data!(super::health_data_fixture());
}

mod object_store {
    conformance::object_store!(super::object_store_fixture());
    conformance::durable_object_store!(super::object_store_fixture());
}

mod job_queue {
    conformance::job_queue!(super::job_queue_fixture());
    conformance::durable_job_queue!(super::job_queue_fixture());
}

mod event_bus {
    conformance::event_bus!(super::event_bus_fixture());
    conformance::shared_event_bus!(super::event_bus_fixture());
}

mod secret_store {
    conformance::secret_store!(super::secret_store_fixture());
    conformance::durable_secret_store!(super::secret_store_fixture());
}
