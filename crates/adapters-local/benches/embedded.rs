//! What a durable commit and a durable object cost, beside what the disk and SQLite cost by themselves.
//!
//! Each case is measured twice: time as it passes, which the disk decides, and time of the processor over all threads.

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something fails")]

use std::{fs, hint::black_box, io::Write, path::Path, sync::Arc, time::Duration};

use adapters_local::{
    SystemClock, SystemIds,
    embedded::{Database, FolderObjectStore, PresignKey, SqliteHealthData, SqliteJobQueue},
};
use criterion::{
    BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use domain::{
    ids::{AuditId, EventId, UploadId, UserId},
    record::{Kind, Partition, RecordKey, SortKey},
};
use futures::future::join_all;
use ports::{
    HealthDataRepository, IdSource, JobQueue, NewMessage, ObjectKey, ObjectStore, Precondition, PutOptions,
    Version, Write as Change, objects,
};
use sqlx::{
    ConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::runtime::Runtime;

const BODY: &[u8] = &[7; 300];
const OBJECT_BYTES: usize = 4096;

/// Time of the processor over all threads of this process.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let of_thread = |entry: std::io::Result<fs::DirEntry>| {
            // A thread may end between being listed and being read.
            let text = fs::read_to_string(entry.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(fs::read_dir("/proc/self/task").unwrap().filter_map(of_thread).sum())
    }

    fn end(&self, start: Duration) -> Duration {
        self.start().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// The commit of a small upload: timeline, segment, upload, audit, event and outbox.
fn batch(ids: SystemIds) -> Vec<Change> {
    let user = UserId(ids.next());
    let upload = UploadId(ids.next());
    let segment = RecordKey {
        partition: Partition::User(user),
        kind: Kind::Segment,
        sort: SortKey::new(format!("HKQuantityTypeIdentifierHeartRate/2026-03-01/{:016x}", 1)).unwrap(),
    };
    vec![
        Change::put(RecordKey::timeline(user), Version(1), BODY, Precondition::Absent),
        Change::put(segment, Version(1), BODY, Precondition::None),
        Change::put(RecordKey::upload(user, upload), Version(1), BODY, Precondition::Absent),
        Change::put(RecordKey::audit(user, AuditId(ids.next())), Version(1), BODY, Precondition::None),
        Change::put(RecordKey::event(user, EventId(ids.next())), Version(1), BODY, Precondition::None),
        Change::put(RecordKey::outbox(user, upload.0), Version(1), BODY, Precondition::Absent),
    ]
}

async fn commit_at_once(repository: &SqliteHealthData, batches: usize) {
    let commits = (0..batches).map(|_| {
        let (repository, batch) = (repository.clone(), batch(SystemIds));
        tokio::spawn(async move { repository.commit(batch).await })
    });
    for result in join_all(commits).await {
        result.unwrap().unwrap();
    }
}

async fn publish_and_ack_at_once(queue: &SqliteJobQueue, messages: usize) {
    let publish = |_| {
        let id = SystemIds.next().to_string();
        let message = NewMessage {
            body: BODY.into(),
            ordering_key: Some(id.clone()),
            dedup_id: Some(id),
            ..NewMessage::default()
        };
        async move { queue.publish(message).await }
    };
    join_all((0..messages).map(publish)).await;
    let mut left = messages;
    while left > 0 {
        let leases = queue.receive(10, Duration::from_secs(1), Duration::from_mins(1)).await.unwrap();
        left -= leases.len();
        join_all(leases.iter().map(|lease| queue.ack(&lease.receipt))).await;
    }
}

/// The same rows by one statement in one transaction, with the same pragmas and table.
async fn floor_connection(folder: &Path) -> sqlx::SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.join("floor.sqlite3")).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let mut connection = options.disable_statement_logging().connect().await.unwrap();
    sqlx::raw_sql(include_str!("../migrations/0001_embedded.sql")).execute(&mut connection).await.unwrap();
    connection
}

async fn floor_insert(connection: &mut sqlx::SqliteConnection, sql: &Arc<str>, rows: usize) {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.unwrap();
    let mut query = sqlx::query(sqlx::AssertSqlSafe(Arc::clone(sql)));
    for _ in 0..rows {
        let user = format!("user/{}", SystemIds.next());
        query = query.bind(user).bind("upload").bind(SystemIds.next().to_string()).bind(1).bind(BODY);
    }
    query.execute(&mut *connection).await.unwrap();
    sqlx::query("COMMIT").execute(&mut *connection).await.unwrap();
}

fn cases<M: Measurement>(criterion: &mut Criterion<M>, measure: &str) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = runtime.block_on(Database::open(folder.path())).unwrap();
    let repository = SqliteHealthData::new(database.clone(), Arc::new(SystemClock));
    let queue = SqliteJobQueue::new(database, Arc::new(SystemClock), 5);

    let mut group = criterion.benchmark_group(format!("{measure}/alone"));
    let written = batch(SystemIds);
    let key = written[0].change.key().clone();
    runtime.block_on(repository.commit(written)).unwrap();
    group.bench_function("get", |bencher| {
        bencher.to_async(&runtime).iter(|| async { repository.get(&key).await.unwrap().unwrap() });
    });
    group.bench_function("open", |bencher| {
        bencher.to_async(&runtime).iter(|| async { Database::open(folder.path()).await.unwrap() });
    });
    group.finish();

    let mut group = criterion.benchmark_group(format!("{measure}/batch of 6 records"));
    for batches in [1, 50] {
        group.throughput(Throughput::Elements(batches as u64));
        group.bench_function(BenchmarkId::new("commit, at once", batches), |bencher| {
            bencher.to_async(&runtime).iter(|| commit_at_once(&repository, batches));
        });
        let mut connection = runtime.block_on(floor_connection(folder.path()));
        let values = vec!["(?,?,?,?,?)"; 6 * batches].join(",");
        let sql =
            format!("INSERT INTO records (partition, kind, sort, version, body) VALUES {values}").into();
        group.bench_function(BenchmarkId::new("floor: raw insert, in one transaction", batches), |bencher| {
            bencher.iter(|| runtime.block_on(floor_insert(&mut connection, &sql, 6 * batches)));
        });
        drop(connection);
        for file in ["floor.sqlite3", "floor.sqlite3-wal", "floor.sqlite3-shm"] {
            fs::remove_file(folder.path().join(file)).ok();
        }
        group.bench_function(
            BenchmarkId::new("job published, leased and acknowledged, at once", batches),
            |bencher| {
                bencher.to_async(&runtime).iter(|| publish_and_ack_at_once(&queue, batches));
            },
        );
    }
    group.finish();
    object_cases(criterion, measure, &runtime, folder.path());
}

fn object_cases<M: Measurement>(
    criterion: &mut Criterion<M>,
    measure: &str,
    runtime: &Runtime,
    folder: &Path,
) {
    let key = PresignKey::new([0; 32]);
    let store =
        FolderObjectStore::open(folder, "http://localhost", key, Arc::new(SystemClock), Arc::new(SystemIds));
    let store = runtime.block_on(store).unwrap();
    let mut group = criterion.benchmark_group(format!("{measure}/object of 4 KiB"));
    let new_key = || ObjectKey::new(format!("raw/{}", SystemIds.next())).unwrap();
    group.bench_function("put", |bencher| {
        let put = |key| {
            let body = objects::once(vec![7; OBJECT_BYTES]);
            let store = &store;
            async move { store.put(&key, body, PutOptions::default()).await.unwrap() }
        };
        bencher.to_async(runtime).iter(|| put(new_key()));
    });
    group.bench_function("floor: write, fsync, rename, fsync the folder", |bencher| {
        let floor = folder.join("floor");
        fs::create_dir_all(&floor).unwrap();
        bencher.iter(|| {
            let path = floor.join(new_key().as_str().replace('/', "-"));
            let new = path.with_extension("new");
            let mut file = fs::File::create(&new).unwrap();
            file.write_all(black_box(&[7; OBJECT_BYTES])).unwrap();
            file.sync_all().unwrap();
            fs::rename(&new, &path).unwrap();
            fs::File::open(&floor).unwrap().sync_all().unwrap();
        });
    });
    group.finish();
}

fn wall(criterion: &mut Criterion) {
    cases(criterion, "elapsed");
}

fn cpu(criterion: &mut Criterion<CpuTime>) {
    cases(criterion, "processor");
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
}

criterion_group!(name = elapsed; config = short(); targets = wall);
criterion_group!(name = processor; config = short().with_measurement(CpuTime); targets = cpu);
criterion_main!(elapsed, processor);
