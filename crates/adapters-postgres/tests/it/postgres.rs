//! The PostgreSQL adapters. `make emulators` installs the server; the tests of this binary share one, with a database each.
#![expect(clippy::unwrap_used, reason = "all of this is tests")]

mod at_faults;
mod lost;
mod own;
mod restart;
mod scrub;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use adapters_postgres::{
    Database, EVENT_BACKLOG_MAX, PlainText, PostgresEventBus, PostgresHealthData, PostgresJobQueue, Settings,
};
use conformance::{EventBusFixture, HealthDataFixture, JobQueueFixture, ManualClock, Reopen};
use futures::future::BoxFuture;
use harness::{Durability, Postgres};
use ports::{EventBus, HealthDataRepository, JobQueue};
use secrecy::SecretString;
use sqlx::migrate::MigrateDatabase as _;
use tokio::sync::OnceCell;

const DELIVERIES_MAX: u32 = 3;

/// A URL of a new empty database.
async fn url() -> String {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let server = SERVER.get_or_init(|| Postgres::start(Durability::None).unwrap());
    let url = server.url(&name);
    sqlx::Postgres::create_database(&url).await.unwrap();
    url
}

fn settings(url: &str) -> Settings {
    Settings::parse(&SecretString::from(url), PlainText::LoopbackOnly).unwrap()
}

/// A handle of its own, as another process would have.
async fn open(url: &str) -> Database {
    let database = Database::connect(&settings(url)).await.unwrap();
    database.migrate().await.unwrap();
    database
}

/// Opens an adapter anew on the database of a fixture, with its clock.
fn reopen<T: ?Sized + 'static>(
    url: &str,
    clock: &Arc<ManualClock>,
    open: fn(String, Arc<ManualClock>) -> BoxFuture<'static, Arc<T>>,
) -> Reopen<T> {
    let (url, clock) = (url.to_owned(), Arc::clone(clock));
    Box::new(move || open(url.clone(), Arc::clone(&clock)))
}

async fn records(url: String, clock: Arc<ManualClock>) -> Arc<dyn HealthDataRepository> {
    Arc::new(PostgresHealthData::new(open(&url).await, clock))
}

/// In one database for all: the cases keep to users of their own.
async fn health_data_fixture() -> HealthDataFixture {
    static URL: OnceCell<String> = OnceCell::const_new();
    let (url, clock) = (URL.get_or_init(url).await, Arc::new(ManualClock::default()));
    HealthDataFixture {
        repository: records(url.clone(), Arc::clone(&clock)).await,
        reopen: Some(reopen(url, &clock, |url, clock| Box::pin(records(url, clock)))),
        time: clock,
        guard: Box::new(()),
    }
}

mod health_data {
    conformance::health_data!(super::health_data_fixture());
    conformance::durable_health_data!(super::health_data_fixture());
}

async fn jobs(url: String, clock: Arc<ManualClock>) -> Arc<dyn JobQueue> {
    Arc::new(PostgresJobQueue::new(open(&url).await, clock, DELIVERIES_MAX))
}

async fn job_queue_fixture() -> JobQueueFixture {
    let (url, clock) = (url().await, Arc::new(ManualClock::default()));
    JobQueueFixture {
        queue: jobs(url.clone(), Arc::clone(&clock)).await,
        reopen: Some(reopen(&url, &clock, |url, clock| Box::pin(jobs(url, clock)))),
        time: clock,
        deliveries_max: DELIVERIES_MAX,
        guard: Box::new(()),
    }
}

async fn events(url: String, clock: Arc<ManualClock>) -> Arc<dyn EventBus> {
    Arc::new(PostgresEventBus::new(open(&url).await, clock))
}

async fn event_bus_fixture() -> EventBusFixture {
    let (url, clock) = (url().await, Arc::new(ManualClock::default()));
    EventBusFixture {
        bus: events(url.clone(), Arc::clone(&clock)).await,
        backlog_max: EVENT_BACKLOG_MAX,
        reopen: Some(reopen(&url, &clock, |url, clock| Box::pin(events(url, clock)))),
        guard: Box::new(()),
    }
}

mod job_queue {
    conformance::job_queue!(super::job_queue_fixture());
    conformance::durable_job_queue!(super::job_queue_fixture());
}

mod event_bus {
    conformance::event_bus!(super::event_bus_fixture());
    conformance::shared_event_bus!(super::event_bus_fixture());
}
