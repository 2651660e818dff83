//! A server that goes away and comes back under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use adapters_postgres::Database;
use harness::{Durability, Postgres};
use ports::{ErrorKind, HealthDataRepository as _, Outcome, Write};

use super::{
    own::{key, repository},
    settings,
};

/// What became of a writer's commits, by their numbers.
#[derive(Default)]
struct Fates {
    kept: Vec<u32>,
    unknown: Vec<u32>,
    refused: Vec<u32>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_crash_under_load() {
    let mut server = Postgres::start(Durability::Full).unwrap();
    let mut settings = settings(&server.url("postgres"));
    settings.connect_timeout = Duration::from_secs(1);
    let database = Database::connect(&settings).await.unwrap();
    database.migrate().await.unwrap();
    let (repository, ends) = (repository(database), Arc::new(AtomicBool::new(false)));

    let writers: Vec<_> = (0..4)
        .map(|writer: u128| {
            let (repository, ends) = (Arc::clone(&repository), Arc::clone(&ends));
            tokio::spawn(async move {
                let mut fates = Fates::default();
                for number in 0.. {
                    if ends.load(Ordering::SeqCst) {
                        break;
                    }
                    let begun = Instant::now();
                    let write = Write::insert(key(writer, &format!("{number:08}")), "x");
                    match repository.commit(vec![write]).await.map_err(|error| (error.outcome(), error)) {
                        Ok(()) => fates.kept.push(number),
                        Err((outcome, error)) => {
                            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                            let is_unknown = outcome == Outcome::Unknown;
                            if is_unknown { &mut fates.unknown } else { &mut fates.refused }.push(number);
                        }
                    }
                    assert!(begun.elapsed() < Duration::from_secs(10), "an error took {:?}", begun.elapsed());
                }
                fates
            })
        })
        .collect();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        server = tokio::task::spawn_blocking(move || {
            server.stop().unwrap();
            std::thread::sleep(Duration::from_millis(1500));
            server.resume().unwrap();
            server
        })
        .await
        .unwrap();
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    ends.store(true, Ordering::SeqCst);

    let (mut refused, mut kept) = (0, 0);
    for (writer, task) in (0..).zip(writers) {
        let fates = task.await.unwrap();
        let is_there = async |number: &u32| {
            repository.get(&key(writer, &format!("{number:08}"))).await.unwrap().is_some()
        };
        for number in &fates.kept {
            assert!(is_there(number).await, "{number} was acknowledged and is lost");
        }
        for number in &fates.refused {
            assert!(!is_there(number).await, "{number} was refused and is there");
        }
        kept += fates.kept.len();
        refused += fates.refused.len();
    }
    assert!(kept > 50 && refused > 0, "{kept} were kept and {refused} refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_unavailable_soon() {
    let mut server = Postgres::start(Durability::None).unwrap();
    let mut settings = settings(&server.url("postgres"));
    settings.connect_timeout = Duration::from_secs(1);
    let database = Database::connect(&settings).await.unwrap();
    server.stop().unwrap();
    let begun = Instant::now();
    assert_eq!(database.health().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(Database::connect(&settings).await.err().unwrap().kind(), ErrorKind::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    server.resume().unwrap();
    database.health().await.unwrap();
}
