//! What was deleted is in no file any more.

use std::{fs, path::Path, sync::Arc};

use adapters_local::{
    SystemIds,
    embedded::{Database, DatabaseScrubber, SqliteEventBus, SqliteHealthData, SqliteJobQueue},
};
use conformance::{ManualClock, TimeControl as _};
use domain::{
    ids::{AuditId, EventId, UploadId, UserId},
    record::RecordKey,
};
use ports::{
    Clock, Event, EventBus, HealthDataRepository, IdSource, JobQueue, NewMessage, Precondition, Scrubber,
    Version, Write,
};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use uuid::Uuid;

use super::{DELIVERIES_MAX, folder};

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn user(n: u64) -> UserId {
    UserId(Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0000 | u128::from(n + 1) << 64 | 0xabcd_ef01))
}

/// The body of a record of a user: full of a word that nobody else has.
fn body(user: UserId, length: u64) -> Vec<u8> {
    let word = format!("marker-of-{user};");
    word.bytes().cycle().take(usize::try_from(length).unwrap()).collect()
}

/// How often `needle` is in the files of a folder.
fn found(folder: &Path, needle: &[u8]) -> Vec<String> {
    let mut places = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            places.extend(found(&path, needle));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let hits = bytes.windows(needle.len()).filter(|window| *window == needle).count();
        if hits > 0 {
            places.push(format!("{hits} times in {}", path.file_name().unwrap().display()));
        }
    }
    places
}

struct House {
    records: Arc<SqliteHealthData>,
    jobs: SqliteJobQueue,
    events: SqliteEventBus,
    clock: Arc<ManualClock>,
    /// What each user has.
    keys: Vec<Vec<RecordKey>>,
}

impl House {
    async fn live(&mut self, numbers: &mut Numbers, turns: u64) {
        for turn in 0..turns {
            let n = numbers.below(self.keys.len() as u64);
            let (at, user) = (usize::try_from(n).unwrap(), user(n));
            let length = [30, 200, 700, 3000, 9000, 40_000][usize::try_from(numbers.below(6)).unwrap()];
            let body = body(user, length);
            let id = SystemIds.next();
            let of_user = &mut self.keys[at];
            let write = match numbers.below(10) {
                0 if !of_user.is_empty() => {
                    let key = of_user.swap_remove(usize::try_from(turn).unwrap() % of_user.len());
                    Write::delete(key, Precondition::None)
                }
                1 | 2 if !of_user.is_empty() => {
                    let key = of_user[usize::try_from(turn).unwrap() % of_user.len()].clone();
                    Write::put(key, Version(turn + 2), body.clone(), Precondition::None)
                }
                3 => {
                    let until = Clock::now(&*self.clock) + jiff::SignedDuration::from_secs(1);
                    Write::insert(RecordKey::event(user, EventId(id)), body.clone()).expiring_at(until)
                }
                kind => {
                    let key = if kind % 2 == 0 {
                        RecordKey::audit(user, AuditId(id))
                    } else {
                        RecordKey::upload(
                            user,
                            UploadId(Uuid::from_u128(
                                u128::from(numbers.below(1 << 30)) << 90 | u128::from(turn),
                            )),
                        )
                    };
                    of_user.push(key.clone());
                    Write::insert(key, body.clone())
                }
            };
            self.records.commit(vec![write]).await.unwrap();
            let key = Some(user.to_string());
            let small = body[..body.len().min(500)].to_vec();
            self.jobs
                .publish(NewMessage {
                    body: small.clone().into(),
                    ordering_key: key,
                    ..NewMessage::default()
                })
                .await
                .unwrap();
            self.events
                .publish(Event {
                    id: EventId(id),
                    user_id: user,
                    name: "upload.completed".to_owned(),
                    body: small.into(),
                })
                .await
                .unwrap();
        }
    }

    async fn erase(&mut self, n: u64) {
        let keys = std::mem::take(&mut self.keys[usize::try_from(n).unwrap()]);
        for batch in keys.chunks(100) {
            let deletes = batch.iter().map(|key| Write::delete(key.clone(), Precondition::None));
            self.records.commit(deletes.collect()).await.unwrap();
        }
        self.jobs.purge(&user(n).to_string()).await.unwrap();
        self.events.forget(user(n)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_scrubbing_nothing_of_what_was_deleted_is_in_the_files() {
    let folder = folder();
    let clock = Arc::new(ManualClock::default());
    let database = Database::open(folder.path()).await.unwrap();
    let records = Arc::new(SqliteHealthData::new(database.clone(), Arc::clone(&clock) as _));
    let scrubber = DatabaseScrubber::new(database.clone(), Arc::clone(&records));
    let mut house = House {
        records,
        jobs: SqliteJobQueue::new(database.clone(), Arc::clone(&clock) as _, DELIVERIES_MAX),
        events: SqliteEventBus::new(database, Arc::clone(&clock) as _),
        clock: Arc::clone(&clock),
        keys: vec![Vec::new(); 40],
    };
    let mut numbers = Numbers(42);
    for n in 0..20 {
        house.live(&mut numbers, 150).await;
        // Whoever looks can be sure that there was something to find.
        assert!(!found(folder.path(), format!("marker-of-{}", user(n)).as_bytes()).is_empty());
        house.erase(n).await;
        clock.advance(std::time::Duration::from_secs(2)).await;
        scrubber.scrub().await.unwrap();
        for needle in [
            user(n).to_string().into_bytes(),
            user(n).0.as_bytes().to_vec(),
            user(n).0.simple().to_string().into_bytes(),
        ] {
            assert_eq!(found(folder.path(), &needle), Vec::<String>::new(), "user {n}");
        }
        // Others are whole.
        assert!(!found(folder.path(), format!("marker-of-{}", user(n + 20)).as_bytes()).is_empty());
    }
}

/// Whether each page of the file is what its tree says it is.
async fn integrity(folder: &Path) -> String {
    let file = folder.join("clarity.sqlite3");
    let mut connection = SqliteConnectOptions::new().filename(file).read_only(true).connect().await.unwrap();
    sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap()
}

/// SQLite zeroes a row where it is deleted, but not the copies that are left when it moves rows to another page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_rows_that_moved_are_gone_too() {
    let folder = folder();
    let clock = Arc::new(ManualClock::default());
    let database = Database::open(folder.path()).await.unwrap();
    let records = Arc::new(SqliteHealthData::new(database.clone(), clock as _));
    let scrubber = DatabaseScrubber::new(database, Arc::clone(&records));
    let mut numbers = Numbers(7);
    let (mut keys, mut others) = (Vec::new(), Vec::new());
    for turn in 0..3000 {
        let n = numbers.below(12);
        let user = user(n);
        let id = Uuid::from_u128(u128::from(numbers.below(20)) << 90);
        let key = RecordKey::upload(user, UploadId(id));
        let body = body(user, 100 + numbers.below(900));
        let write = Write::put(key.clone(), Version(turn + 1), body.clone(), Precondition::None);
        records.commit(vec![write]).await.unwrap();
        if n == 0 {
            keys.push(key);
        } else {
            others.retain(|(other, _)| *other != key);
            others.push((key, body));
        }
    }
    keys.sort();
    keys.dedup();
    let deletes = keys.into_iter().map(|key| Write::delete(key, Precondition::None));
    records.commit(deletes.collect()).await.unwrap();
    // Nothing of the log is left, and yet something is found.
    let file = SqliteConnectOptions::new().filename(folder.path().join("clarity.sqlite3"));
    let mut beside = file.connect().await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut beside).await.unwrap();
    beside.close().await.unwrap();
    assert_ne!(found(folder.path(), user(0).to_string().as_bytes()), Vec::<String>::new());
    // Another process goes on to write.
    let database = Database::open(folder.path()).await.unwrap();
    let elsewhere = SqliteHealthData::new(database, Arc::new(ManualClock::default()) as _);
    let writes = async {
        for turn in 0..50 {
            let key = RecordKey::upload(user(30), UploadId(Uuid::from_u128(turn << 90)));
            let body = body(user(30), 500);
            elsewhere.commit(vec![Write::insert(key.clone(), body.clone())]).await.unwrap();
            others.push((key, body));
        }
    };
    let (outcome, ()) = tokio::join!(scrubber.scrub(), writes);
    outcome.unwrap();
    assert_eq!(found(folder.path(), user(0).to_string().as_bytes()), Vec::<String>::new());
    assert_eq!(integrity(folder.path()).await, "ok");
    for (key, body) in others {
        assert_eq!(records.get(&key).await.unwrap().unwrap().body, body);
    }
}
