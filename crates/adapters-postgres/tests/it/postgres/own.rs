//! What only these adapters promise.

use std::{sync::Arc, time::Duration};

use adapters_postgres::{Database, MigrationState, PostgresHealthData, PostgresJobQueue};
use bytes::Bytes;
use conformance::ManualClock;
use domain::{
    ids::{EventId, UserId},
    record::{Kind, Partition, RecordKey, SortKey},
};
use futures::{StreamExt as _, future::join_all};
use ports::{
    ErrorKind, Event, EventBus as _, HealthDataRepository, JobQueue as _, NewMessage, Outcome, Precondition,
    Version, Write,
};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{DELIVERIES_MAX, open, settings, url};

pub(super) fn key(user: u128, sort: &str) -> RecordKey {
    let partition = Partition::User(UserId(Uuid::from_u128(user)));
    RecordKey { partition, kind: Kind::Segment, sort: SortKey::new(sort).unwrap() }
}

pub(super) fn repository(database: Database) -> Arc<PostgresHealthData> {
    Arc::new(PostgresHealthData::new(database, Arc::new(ManualClock::default())))
}

/// Ends all sessions of a database but the one that asks, as an operator or a failover does.
async fn end_sessions(url: &str) -> u64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let ended = sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    ended.execute(&mut connection).await.unwrap().rows_affected()
}

/// Adds one to the version of `key`, however often others are first.
async fn increment(repository: &dyn HealthDataRepository, key: &RecordKey) {
    loop {
        let stored = repository.get(key).await.unwrap();
        let (version, condition) = match stored {
            Some(record) => (record.version.next(), Precondition::VersionEquals(record.version)),
            None => (Version::FIRST, Precondition::Absent),
        };
        match repository.commit(vec![Write::put(key.clone(), version, "x", condition)]).await {
            Ok(()) => return,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_increment_of_two_pools_is_lost() {
    let url = url().await;
    let (one, two) = (repository(open(&url).await), repository(open(&url).await));
    let contested = key(1, "contested");
    let writers = (0..8).map(|number| {
        let (repository, contested) =
            (Arc::clone(if number % 2 == 0 { &one } else { &two }), contested.clone());
        tokio::spawn(async move {
            for _ in 0..10 {
                increment(&*repository, &contested).await;
            }
        })
    });
    join_all(writers).await.into_iter().for_each(|writer| writer.unwrap());
    assert_eq!(one.get(&contested).await.unwrap().unwrap().version, Version(80));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_name_the_same_keys_in_any_order_all_succeed() {
    let url = url().await;
    let (one, two) = (repository(open(&url).await), repository(open(&url).await));
    let mut keys: Vec<RecordKey> = (0..40).map(|number| key(2, &format!("{number:02}"))).collect();
    for _ in 0..10 {
        let batch = |keys: &[RecordKey]| {
            let put = |key: &RecordKey| Write::put(key.clone(), Version(1), "x", Precondition::None);
            keys.iter().map(put).collect::<Vec<_>>()
        };
        let forth = batch(&keys);
        keys.reverse();
        let (one, two) = tokio::join!(one.commit(forth), two.commit(batch(&keys)));
        one.unwrap();
        two.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_were_ended_are_replaced_unnoticed() {
    let url = url().await;
    let repository = repository(open(&url).await);
    let key = key(3, "kept");
    for version in 1..=5 {
        let write =
            Write::put(key.clone(), Version(version), "x", Precondition::VersionLess(Version(version)));
        repository.commit(vec![write]).await.unwrap();
        assert!(end_sessions(&url).await > 0, "no session was ended");
    }
    assert_eq!(repository.get(&key).await.unwrap().unwrap().version, Version(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_is_told_of_a_lost_connection_and_goes_on() {
    let url = url().await;
    let bus = adapters_postgres::PostgresEventBus::new(open(&url).await, Arc::new(ManualClock::default()));
    let mut events = bus.subscribe().await.unwrap();
    end_sessions(&url).await;
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // A new subscription begins only when the server is listened to again, and that is one connection for all.
    let _other = bus.subscribe().await.unwrap();
    let (id, user_id) = (EventId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
    let event = Event { id, user_id, name: "upload.completed".to_owned(), body: "{}".into() };
    bus.publish(event.clone()).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap(), event);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_fits_into_no_notification_arrives_and_can_be_forgotten() {
    let url = url().await;
    let bus = adapters_postgres::PostgresEventBus::new(open(&url).await, Arc::new(ManualClock::default()));
    let mut events = bus.subscribe().await.unwrap();
    let user_id = UserId(Uuid::from_u128(2));
    let bodies: [Bytes; 3] = [vec![b'x'; 7990].into(), vec![b'y'; 1_000_000].into(), vec![0xff, 0].into()];
    for (number, body) in (1..).zip(&bodies) {
        let id = EventId(Uuid::from_u128(number));
        let event = Event { id, user_id, name: "large".to_owned(), body: body.clone() };
        bus.publish(event.clone()).await.unwrap();
        assert_eq!(events.next().await.unwrap().unwrap(), event);
    }
    assert_eq!(bus.forget(user_id).await.unwrap(), 3);
    assert_eq!(bus.forget(user_id).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_is_woken_by_another_process_before_it_looks_again() {
    let url = url().await;
    let queue =
        async || PostgresJobQueue::new(open(&url).await, Arc::new(ManualClock::default()), DELIVERIES_MAX);
    let (one, two) = (queue().await, queue().await);
    let lease = Duration::from_secs(10);
    // The first wait starts the listening.
    assert!(two.receive(1, Duration::from_millis(700), lease).await.unwrap().is_empty());
    let mut woken = 0;
    for _ in 0..5 {
        let waiting = tokio::spawn({
            let two = two.clone();
            async move { two.receive(1, Duration::from_secs(10), lease).await.unwrap() }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let begun = std::time::Instant::now();
        one.publish(NewMessage { body: "x".into(), ..NewMessage::default() }).await.unwrap();
        assert_eq!(waiting.await.unwrap().len(), 1);
        woken += u32::from(begun.elapsed() < Duration::from_millis(250));
    }
    assert!(woken >= 3, "only {woken} of 5 messages were noticed at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_of_the_pool_and_the_way() {
    let database = open(&url().await).await;
    let health = database.health().await.unwrap();
    assert_eq!(health.connections_max, 10);
    assert!(health.connections >= 1 && health.idle + health.in_use == health.connections, "{health:?}");
    assert!(health.latency > Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_go_up_and_down_and_up_with_data() {
    let url = url().await;
    let database = Database::connect(&settings(&url)).await.unwrap();
    let states = async || -> Vec<(i64, MigrationState)> {
        let all = database.migrations().await.unwrap();
        all.into_iter().map(|migration| (migration.version, migration.state)).collect()
    };
    let (applied, pending) = (MigrationState::Applied, MigrationState::Pending);
    assert_eq!(states().await, [(1, pending), (2, pending), (3, pending)]);
    database.migrate().await.unwrap();
    database.migrate().await.unwrap();
    assert_eq!(states().await, [(1, applied), (2, applied), (3, applied)]);

    let repository = repository(database.clone());
    let key = key(4, "stays");
    repository.commit(vec![Write::insert(key.clone(), "body")]).await.unwrap();
    let queue = PostgresJobQueue::new(database.clone(), Arc::new(ManualClock::default()), DELIVERIES_MAX);
    queue.publish(NewMessage { body: "x".into(), ..NewMessage::default() }).await.unwrap();

    database.rollback(1).await.unwrap();
    assert_eq!(states().await, [(1, applied), (2, pending), (3, pending)]);
    assert_eq!(&repository.get(&key).await.unwrap().unwrap().body[..], b"body");
    assert_eq!(queue.stats().await.unwrap_err().kind(), ErrorKind::Unexpected);

    database.migrate().await.unwrap();
    assert_eq!(&repository.get(&key).await.unwrap().unwrap().body[..], b"body");
    assert_eq!(queue.stats().await.unwrap().depth, 0);

    database.rollback(0).await.unwrap();
    assert_eq!(states().await, [(1, pending), (2, pending), (3, pending)]);
    assert_eq!(database.rollback(9).await.unwrap_err().kind(), ErrorKind::NotFound);
    database.migrate().await.unwrap();
    assert!(repository.get(&key).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_migrate_at_once_all_succeed() {
    let url = url().await;
    let databases =
        join_all((0..6).map(|_| async { Database::connect(&settings(&url)).await.unwrap() })).await;
    for migrated in join_all(databases.iter().map(Database::migrate)).await {
        migrated.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_of_a_newer_build_are_left_alone() {
    let url = url().await;
    let database = open(&url).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9000, 'of the future', true, '', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    assert_eq!(database.migrations().await.unwrap().last().unwrap().state, MigrationState::Unknown);
    assert_eq!(database.migrate().await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(database.rollback(0).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_too_long_is_ended() {
    let url = url().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut settings = settings(&url);
    settings.statement_timeout = Duration::from_secs(1);
    let database = Database::connect(&settings).await.unwrap();
    database.migrate().await.unwrap();
    let mut holder = connection.begin().await.unwrap();
    sqlx::query("LOCK TABLE records").execute(&mut *holder).await.unwrap();
    let write = Write::insert(key(5, "late"), "x");
    let error = repository(database.clone()).commit(vec![write.clone()]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    holder.rollback().await.unwrap();
    repository(database).commit(vec![write]).await.unwrap();
}
