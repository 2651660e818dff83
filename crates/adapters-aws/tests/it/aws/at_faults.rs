//! The same promises, while 5 of 100 requests meet a fault on their way to AWS: nothing is lost, nothing is done twice, and no
//! call is tried more often than it may be. The caller is one as the contracts want, see [`conformance::Persistent`].

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    thread,
    time::Duration,
};

use adapters_aws::{AwsCloud, AwsSettings, SecretService};
use conformance::{
    EventBusFixture, Guard, HealthDataFixture, JobQueueFixture, ObjectStoreFixture, Persistent,
    SecretStoreFixture,
};
use harness::{Fault, FaultProxy, Weather};
use ports::{CloudProvider as _, HealthDataRepository, JobQueue, ObjectStore, SecretStore};

use crate::fixture::{Account, DELIVERIES_MAX, open};

/// Another number, other faults.
const SEED: u64 = 20_261_121;

const FAULTS: &[Fault] = &[
    Fault::Delay(Duration::from_millis(20)),
    Fault::Reset,
    Fault::DropAnswer,
    Fault::Duplicate,
    Fault::Throttle,
    Fault::Unprocessed,
];

/// The way of one test, whose faults follow from the test's name.
struct Way {
    account: Account,
    proxy: FaultProxy,
}

impl Way {
    async fn open() -> (Self, AwsCloud) {
        Self::open_with(3).await
    }

    async fn open_with(attempts_max: u32) -> (Self, AwsCloud) {
        Self::open_as(|settings| settings.attempts_max = attempts_max).await
    }

    async fn open_as(change: impl FnOnce(&mut AwsSettings)) -> (Self, AwsCloud) {
        let mut account = Account::fresh().await;
        change(&mut account.settings);
        let proxy = FaultProxy::start(account.port).await.unwrap();
        let mut name = DefaultHasher::new();
        thread::current().name().hash(&mut name);
        let seed = SEED ^ name.finish();
        proxy.set_weather(Weather { seed, percent: 5, faults: FAULTS, must_be_answered: |_| false });
        let mut settings = account.settings.clone();
        settings.endpoints.default = Some(proxy.url());
        let cloud = open(settings, Arc::clone(&account.clock)).await;
        (Self { account, proxy }, cloud)
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        let tried = self.proxy.attempts_max();
        let allowed = self.account.settings.attempts_max as usize;
        // Each of the requests that the proxy sends twice counts once: it came once.
        if !thread::panicking() {
            assert!(tried <= allowed, "a call was tried {tried} times, and may be {allowed} times");
        }
    }
}

fn guard(way: Way) -> Guard {
    Box::new(way)
}

async fn health_data_fixture() -> HealthDataFixture {
    let (way, cloud) = Way::open().await;
    let repository: Arc<dyn HealthDataRepository> = Arc::new(Persistent(cloud.health_data().unwrap()));
    let time = Arc::clone(&way.account.clock) as _;
    HealthDataFixture { repository, time, reopen: None, guard: guard(way) }
}

async fn object_store_fixture() -> ObjectStoreFixture {
    let (way, cloud) = Way::open().await;
    let store: Arc<dyn ObjectStore> = Arc::new(Persistent(cloud.objects().unwrap()));
    ObjectStoreFixture { store, reopen: None, guard: guard(way) }
}

async fn job_queue_fixture() -> JobQueueFixture {
    let (way, cloud) = Way::open().await;
    let queue: Arc<dyn JobQueue> = Arc::new(Persistent(cloud.jobs().unwrap()));
    let time = Arc::clone(&way.account.clock) as _;
    JobQueueFixture { queue, time, deliveries_max: DELIVERIES_MAX, reopen: None, guard: guard(way) }
}

/// Nobody publishes an event again: it wakes those who listen, and they would be woken twice. So each gets more attempts.
async fn event_bus_fixture() -> EventBusFixture {
    let (way, cloud) = Way::open_with(8).await;
    let bus = cloud.events().unwrap();
    EventBusFixture { bus, backlog_max: adapters_aws::EVENT_BACKLOG_MAX, reopen: None, guard: guard(way) }
}

async fn secret_store_fixture() -> SecretStoreFixture {
    let (way, cloud) = Way::open().await;
    let store: Arc<dyn SecretStore> = Arc::new(Persistent(cloud.secrets().unwrap()));
    SecretStoreFixture { store, reopen: None, guard: guard(way) }
}

async fn ssm_fixture() -> SecretStoreFixture {
    let (way, cloud) = Way::open_as(|settings| settings.secret_service = SecretService::Ssm).await;
    let store: Arc<dyn SecretStore> = Arc::new(Persistent(cloud.secrets().unwrap()));
    SecretStoreFixture { store, reopen: None, guard: guard(way) }
}

mod health_data {
    conformance::health_data!(super::health_data_fixture());
}

mod object_store {
    conformance::object_store!(super::object_store_fixture());
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
}

mod event_bus {
    conformance::event_bus!(super::event_bus_fixture());
}

mod secret_store {
    conformance::secret_store!(super::secret_store_fixture());
}

mod ssm {
    conformance::secret_store!(super::ssm_fixture(), skip = {
        a_value_of_64_kib_is_kept: "a parameter has 8 KiB, as base64",
    });
}
