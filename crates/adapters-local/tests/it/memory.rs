//! The adapters in memory.

use std::{future::ready, sync::Arc, time::Duration};

use adapters_local::memory::{
    EVENT_BACKLOG_MAX, JobQueueSettings, MemoryEventBus, MemoryHealthData, MemoryJobQueue, MemoryObjectStore,
    MemorySecretStore, MemorySharedState,
};
use conformance::{
    EventBusFixture, HealthDataFixture, JobQueueFixture, ManualClock, ObjectStoreFixture, SecretStoreFixture,
    SharedStateFixture,
};
use ports::Clock;
use secrecy::SecretSlice;

fn clock() -> (Arc<ManualClock>, Arc<dyn Clock>) {
    let clock = Arc::new(ManualClock::default());
    (Arc::clone(&clock), clock)
}

mod health_data {
    use super::{Arc, HealthDataFixture, MemoryHealthData, clock, ready};

    fn fixture() -> HealthDataFixture {
        let (time, clock) = clock();
        let repository = Arc::new(MemoryHealthData::new(clock));
        HealthDataFixture { repository, time, reopen: None, guard: Box::new(()) }
    }

    conformance::health_data!(ready(fixture()));
}

mod object_store {
    use super::{Arc, MemoryObjectStore, ObjectStoreFixture, SecretSlice, clock, ready};

    fn fixture() -> ObjectStoreFixture {
        let presign = ("http://127.0.0.1:8000/objects".to_owned(), SecretSlice::from(vec![7; 32]));
        let store = Arc::new(MemoryObjectStore::new(clock().1, presign));
        ObjectStoreFixture { store, reopen: None, guard: Box::new(()) }
    }

    conformance::object_store!(ready(fixture()));
}

mod job_queue {
    use super::{Arc, Duration, JobQueueFixture, JobQueueSettings, MemoryJobQueue, clock, ready};

    fn fixture() -> JobQueueFixture {
        let (time, clock) = clock();
        let settings = JobQueueSettings { deliveries_max: 3, dedup_window: Duration::from_mins(5) };
        let queue = Arc::new(MemoryJobQueue::new(clock, settings));
        JobQueueFixture { queue, time, deliveries_max: 3, reopen: None, guard: Box::new(()) }
    }

    conformance::job_queue!(ready(fixture()));
}

mod event_bus {
    use super::{Arc, EVENT_BACKLOG_MAX, EventBusFixture, MemoryEventBus, ready};

    fn fixture() -> EventBusFixture {
        let bus = Arc::new(MemoryEventBus::new());
        EventBusFixture { bus, backlog_max: EVENT_BACKLOG_MAX, reopen: None, guard: Box::new(()) }
    }

    conformance::event_bus!(ready(fixture()));
}

mod secret_store {
    use super::{Arc, MemorySecretStore, SecretStoreFixture, ready};

    fn fixture() -> SecretStoreFixture {
        SecretStoreFixture { store: Arc::new(MemorySecretStore::new()), reopen: None, guard: Box::new(()) }
    }

    conformance::secret_store!(ready(fixture()));
}

mod shared_state {
    use super::{Arc, MemorySharedState, SharedStateFixture, clock, ready};

    fn fixture() -> SharedStateFixture {
        let (time, clock) = clock();
        let state = Arc::new(MemorySharedState::new(clock));
        SharedStateFixture { state, time, reopen: None, guard: Box::new(()) }
    }

    conformance::shared_state!(ready(fixture()));
}
