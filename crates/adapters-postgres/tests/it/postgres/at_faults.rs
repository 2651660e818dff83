//! The same promises, while 5 of 100 packets that go to the server meet a fault. The caller is one as the contracts want, see
//! [`conformance::Persistent`].

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    thread,
    time::Duration,
};

use conformance::{HealthDataFixture, JobQueueFixture, ManualClock, Persistent, TimeControl as _};
use harness::{Fault, FaultProxy, Weather};
use ports::{ErrorKind, HealthDataRepository, JobQueue, NewMessage};

use super::{DELIVERIES_MAX, jobs, open, own::key, own::repository, records, url};

/// Another number, other faults.
const SEED: u64 = 20_261_121;
const DELAY: Fault = Fault::Delay(Duration::from_millis(5));
const ALL: &[Fault] = &[DELAY, Fault::Reset, Fault::DropAnswer];
/// What was leased by an answer that got lost is leased to nobody, which is no case of the suite; see
/// [`what_is_published_is_done_however_much_is_lost`].
const NO_LOST_ANSWERS: &[Fault] = &[DELAY, Fault::Reset];

/// A way to the server of `url`, and the URL that leads through it. The first connection meets no fault.
async fn way(url: &str) -> (FaultProxy, String) {
    let port = url.split(':').nth(2).and_then(|rest| rest.split('/').next()).unwrap();
    let proxy = FaultProxy::start_stream(port.parse().unwrap()).await.unwrap();
    let through = url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port()));
    (proxy, through)
}

/// Faults that follow from the name of the test.
fn weather(faults: &'static [Fault]) -> Weather {
    let mut name = DefaultHasher::new();
    thread::current().name().hash(&mut name);
    Weather { seed: SEED ^ name.finish(), percent: 5, faults, must_be_answered: |_| false }
}

async fn health_data_fixture() -> HealthDataFixture {
    let (clock, (proxy, through)) = (Arc::new(ManualClock::default()), way(&url().await).await);
    let records = records(through, Arc::clone(&clock)).await;
    proxy.set_weather(weather(ALL));
    let repository: Arc<dyn HealthDataRepository> = Arc::new(Persistent(records));
    HealthDataFixture { repository, time: clock, reopen: None, guard: Box::new(proxy) }
}

async fn job_queue_fixture() -> JobQueueFixture {
    let (clock, (proxy, through)) = (Arc::new(ManualClock::default()), way(&url().await).await);
    let jobs = jobs(through, Arc::clone(&clock)).await;
    proxy.set_weather(weather(NO_LOST_ANSWERS));
    let queue: Arc<dyn JobQueue> = Arc::new(Persistent(jobs));
    let (deliveries_max, guard) = (DELIVERIES_MAX, Box::new(proxy));
    JobQueueFixture { queue, time: clock, deliveries_max, reopen: None, guard }
}

mod health_data {
    conformance::health_data!(super::health_data_fixture());
}

mod job_queue {
    conformance::job_queue!(super::job_queue_fixture());
}

/// Leases whose answer got lost run out, and what they held is delivered again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_is_done_however_much_is_lost() {
    const MESSAGES: u32 = 200;
    const LEASE: Duration = Duration::from_secs(10);
    let (clock, (proxy, through)) = (Arc::new(ManualClock::default()), way(&url().await).await);
    let database = open(&through).await;
    let jobs: Arc<dyn JobQueue> =
        Arc::new(adapters_postgres::PostgresJobQueue::new(database, Arc::clone(&clock) as _, u32::MAX));
    proxy.set_weather(weather(ALL));
    let queue = Persistent(jobs);
    for number in 0..MESSAGES {
        let (body, key) = (number.to_string().into(), Some((number % 7).to_string()));
        queue.publish(NewMessage { body, ordering_key: key, ..NewMessage::default() }).await.unwrap();
    }
    let mut done = BTreeSet::new();
    while done.len() < MESSAGES as usize {
        let leases = queue.receive(10, Duration::ZERO, LEASE).await.unwrap();
        if leases.is_empty() {
            clock.advance(LEASE).await;
        }
        for lease in leases {
            queue.ack(&lease.receipt).await.unwrap();
            assert!(done.insert(lease.body), "what was acknowledged came again");
        }
    }
    let left = queue.stats().await.unwrap();
    assert_eq!((left.depth, left.dead), (0, 0));
    assert!(proxy.faults() > 0);
}

/// What reads is tried five times at most, each time on a connection of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_are_bounded() {
    let (proxy, through) = way(&url().await).await;
    let repository = repository(open(&through).await);
    let before = proxy.connections();
    proxy.set_weather(Weather { percent: 100, ..weather(&[Fault::Reset]) });
    let error = repository.get(&key(1, "a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let tried = proxy.connections() - before;
    // The first attempt breaks the connection that is open; the pool itself may try to have its least number again.
    assert!((4..=6).contains(&tried), "{tried} connections");
}
