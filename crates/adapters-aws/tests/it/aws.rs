//! The promises of the ports.

mod at_faults;

use std::sync::Arc;

use adapters_aws::{EVENT_BACKLOG_MAX, SecretService};

use conformance::{
    EventBusFixture, HealthDataFixture, JobQueueFixture, ObjectStoreFixture, Reopen, SecretStoreFixture,
};
use futures::future::BoxFuture;
use ports::{CloudProvider as _, EventBus, HealthDataRepository, JobQueue, ObjectStore, SecretStore};

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

async fn event_bus_fixture() -> EventBusFixture {
    let account = Account::fresh().await;
    let bus = account.open().await.events().unwrap();
    let reopen: Reopen<dyn EventBus> = reopen(&account, |cloud| cloud.events());
    EventBusFixture { bus, backlog_max: EVENT_BACKLOG_MAX, reopen: Some(reopen), guard: Box::new(()) }
}

async fn secret_store_fixture() -> SecretStoreFixture {
    let account = Account::fresh().await;
    let store = account.open().await.secrets().unwrap();
    let reopen: Reopen<dyn SecretStore> = reopen(&account, |cloud| cloud.secrets());
    SecretStoreFixture { store, reopen: Some(reopen), guard: Box::new(()) }
}

async fn ssm_fixture() -> SecretStoreFixture {
    let mut account = Account::fresh().await;
    account.settings.secret_service = SecretService::Ssm;
    let store = account.open().await.secrets().unwrap();
    let reopen: Reopen<dyn SecretStore> = reopen(&account, |cloud| cloud.secrets());
    SecretStoreFixture { store, reopen: Some(reopen), guard: Box::new(()) }
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
    conformance::job_queue!(super::job_queue_fixture(), skip = {
        an_ack_with_a_replaced_receipt_removes_nothing: "moto takes every receipt that a message ever had",
        extend_with_a_replaced_receipt_is_a_conflict: "moto takes every receipt that a message ever had",
        a_release_with_a_replaced_receipt_changes_nothing: "moto takes every receipt that a message ever had",
        a_redriven_message_is_delivered_with_a_count_from_0: "SQS lets a deleted message be deleted again, so its old receipt is no conflict",
        stats_count_what_is_not_acknowledged: "SQS does not tell when the oldest message was sent",
        stats_count_dead_letters_apart: "SQS does not tell when the oldest message was sent",
        purge_removes_the_messages_of_one_key_in_every_state: "SQS shows nobody what is leased or delayed",
        a_purged_message_can_still_be_acknowledged: "SQS shows nobody what is leased or delayed",
    });
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

mod ssm {
    conformance::secret_store!(super::ssm_fixture(), skip = {
        a_value_of_64_kib_is_kept: "a parameter has 8 KiB, as base64",
    });
    conformance::durable_secret_store!(super::ssm_fixture());
}
