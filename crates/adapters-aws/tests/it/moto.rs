//! The adapters on moto.

use std::sync::Arc;

use conformance::{HealthDataFixture, JobQueueFixture, ObjectStoreFixture, Reopen};
use futures::future::BoxFuture;
use ports::{HealthDataRepository, JobQueue, ObjectStore};

use crate::fixture::{Account, DELIVERIES_MAX, open};

/// Opens a port anew on the account of a fixture, with its clock.
fn reopen<T: ?Sized + 'static>(
    account: &Account,
    port: fn(adapters_aws::AwsCloud) -> ports::Result<Arc<T>>,
) -> Reopen<T> {
    let (settings, clock) = (account.settings.clone(), Arc::clone(&account.clock));
    Box::new(move || -> BoxFuture<'static, Arc<T>> {
        let (settings, clock) = (settings.clone(), Arc::clone(&clock));
        Box::pin(async move { port(open(settings, clock).await).unwrap() })
    })
}

async fn health_data_fixture() -> HealthDataFixture {
    let account = Account::fresh().await;
    let repository = account.open().await.health_data().unwrap();
    let reopen: Reopen<dyn HealthDataRepository> = reopen(&account, |cloud| cloud.health_data());
    HealthDataFixture {
        repository,
        time: Arc::clone(&account.clock) as _,
        reopen: Some(reopen),
        guard: Box::new(()),
    }
}

async fn object_store_fixture() -> ObjectStoreFixture {
    let account = Account::fresh().await;
    let store = account.open().await.objects().unwrap();
    let reopen: Reopen<dyn ObjectStore> = reopen(&account, |cloud| cloud.objects());
    ObjectStoreFixture { store, reopen: Some(reopen), guard: Box::new(()) }
}

async fn job_queue_fixture() -> JobQueueFixture {
    let account = Account::fresh().await;
    let queue = account.open().await.jobs().unwrap();
    let reopen: Reopen<dyn JobQueue> = reopen(&account, |cloud| cloud.jobs());
    JobQueueFixture {
        queue,
        time: Arc::clone(&account.clock) as _,
        deliveries_max: DELIVERIES_MAX,
        reopen: Some(reopen),
        guard: Box::new(()),
    }
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
