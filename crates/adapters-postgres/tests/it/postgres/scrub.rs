//! What is left in the server's files.

use std::{fs, path::Path, sync::Arc};

use adapters_postgres::{Database, PostgresScrubber, Thoroughness};
use harness::{Durability, Postgres};
use ports::{ErrorKind, HealthDataRepository as _, Precondition, Scrubber as _, Write};
use sqlx::Connection as _;

use super::{
    own::{key, repository},
    settings,
};

/// How many files below `folder` hold `needle`.
fn files_with(folder: &Path, needle: &str) -> usize {
    let holds = |path: &Path| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    };
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { files_with(&path, needle) } else { usize::from(holds(&path)) }).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrite_leaves_nothing_of_what_was_deleted_in_the_tables() {
    let server = Postgres::start(Durability::None).unwrap();
    let url = server.url("postgres");
    let database = Database::connect(&settings(&url)).await.unwrap();
    database.migrate().await.unwrap();
    let records = repository(database.clone());
    let scrubber = PostgresScrubber::new(database, Arc::clone(&records), Thoroughness::Rewrite);
    let (deleted, kept) = (key(1, "deleted"), key(1, "kept"));
    let insert = |key, body: &'static str| Write::insert(key, body);
    records
        .commit(vec![insert(deleted.clone(), "canary-7f3a"), insert(kept.clone(), "heron-52c1")])
        .await
        .unwrap();
    let mut late = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::query("CHECKPOINT").execute(&mut late).await.unwrap();
    let tables = server.data().join("base");
    assert_eq!(files_with(&tables, "canary-7f3a"), 1);

    records.commit(vec![Write::delete(deleted, Precondition::None)]).await.unwrap();
    scrubber.scrub().await.unwrap();
    scrubber.scrub().await.unwrap();
    assert_eq!(files_with(&tables, "canary-7f3a"), 0);
    assert_eq!(files_with(&tables, "heron-52c1"), 1);
    assert!(records.get(&kept).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_still_see_the_deleted_is_not_overlooked() {
    let url = super::url().await;
    let database = super::open(&url).await;
    let records = repository(database.clone());
    let scrubber = PostgresScrubber::new(database, records, Thoroughness::Reuse);
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    let mut reader = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    sqlx::query("SELECT count(*) FROM records").execute(&mut *reader).await.unwrap();
    let waiting = tokio::spawn(async move { scrubber.scrub().await });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!waiting.is_finished(), "it did not wait");
    reader.rollback().await.unwrap();
    waiting.await.unwrap().map_err(|error| error.kind()).unwrap_or_else(|kind: ErrorKind| panic!("{kind:?}"));
}
