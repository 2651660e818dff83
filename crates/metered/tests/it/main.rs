//! A measured port keeps its promises, and tells what was asked of it.

mod figures;

use std::{future::ready, sync::Arc, time::Duration};

use adapters_local::memory::{
    EVENT_BACKLOG_MAX, JobQueueSettings, MemoryEventBus, MemoryHealthData, MemoryJobQueue, MemoryObjectStore,
    MemorySecretStore, MemorySharedState,
};
use conformance::{
    EventBusFixture, HealthDataFixture, JobQueueFixture, ManualClock, ObjectStoreFixture, SecretStoreFixture,
    SharedStateFixture,
};
use metered::Metered;
use ports::{EventBus, HealthDataRepository, JobQueue, ObjectStore, SecretStore, SharedState};
use secrecy::SecretSlice;

fn measured<P: ?Sized>(port: Arc<P>) -> Arc<Metered<P>> {
    Arc::new(Metered::new(port, "memory"))
}

fn health_data() -> HealthDataFixture {
    let time = Arc::new(ManualClock::default());
    let port: Arc<dyn HealthDataRepository> = Arc::new(MemoryHealthData::new(Arc::clone(&time) as _));
    HealthDataFixture { repository: measured(port), time, reopen: None, guard: Box::new(()) }
}

fn object_store() -> ObjectStoreFixture {
    let presign = ("http://127.0.0.1:8000/objects".to_owned(), SecretSlice::from(vec![7; 32]));
    let port: Arc<dyn ObjectStore> =
        Arc::new(MemoryObjectStore::new(Arc::new(ManualClock::default()), presign));
    ObjectStoreFixture { store: measured(port), reopen: None, guard: Box::new(()) }
}

fn job_queue() -> JobQueueFixture {
    let time = Arc::new(ManualClock::default());
    let settings = JobQueueSettings { deliveries_max: 3, dedup_window: Duration::from_mins(5) };
    let port: Arc<dyn JobQueue> = Arc::new(MemoryJobQueue::new(Arc::clone(&time) as _, settings));
    JobQueueFixture { queue: measured(port), time, deliveries_max: 3, reopen: None, guard: Box::new(()) }
}

fn event_bus() -> EventBusFixture {
    let port: Arc<dyn EventBus> = Arc::new(MemoryEventBus::new());
    let bus = measured(port);
    EventBusFixture { bus, backlog_max: EVENT_BACKLOG_MAX, reopen: None, guard: Box::new(()) }
}

fn secret_store() -> SecretStoreFixture {
    let port: Arc<dyn SecretStore> = Arc::new(MemorySecretStore::new());
    SecretStoreFixture { store: measured(port), reopen: None, guard: Box::new(()) }
}

fn shared_state() -> SharedStateFixture {
    let time = Arc::new(ManualClock::default());
    let port: Arc<dyn SharedState> = Arc::new(MemorySharedState::new(Arc::clone(&time) as _));
    SharedStateFixture { state: measured(port), time, reopen: None, guard: Box::new(()) }
}

mod promises {
    use super::ready;

    mod health_data {
        conformance::health_data!(super::ready(crate::health_data()));
    }
    mod object_store {
        conformance::object_store!(super::ready(crate::object_store()));
    }
    mod job_queue {
        conformance::job_queue!(super::ready(crate::job_queue()));
    }
    mod event_bus {
        conformance::event_bus!(super::ready(crate::event_bus()));
    }
    mod secret_store {
        conformance::secret_store!(super::ready(crate::secret_store()));
    }
    mod shared_state {
        conformance::shared_state!(super::ready(crate::shared_state()));
    }
}
