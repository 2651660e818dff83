//! Files: what was acknowledged is kept and counts, whatever dies or is away meanwhile.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use app::{
    App,
    audit::Caller,
    idempotency::Outcome,
    import::{Announced, Ended, Form, Import, Source, State, UploadPlace, import_id},
    records::UploadKind,
    results::DayRange,
};
use async_trait::async_trait;
use conformance::{ManualClock, TimeControl as _};
use domain::{
    ids::{ImportId, UserId},
    record::{Kind, OUTBOX_SHARDS, Partition, SortRange, hash_of},
};
use ports::{
    ByteRange, ByteStream, Change, CommitLimits, Cursor, Error, ErrorKind, HealthDataRepository, Object,
    ObjectKey, ObjectMeta, ObjectStore, Page, PresignedMethod, PutOptions, Query, Record, Result, Write,
    objects,
};

use crate::bench::{app_at, app_of, body, caller, heart_rate, held, settings, settle};

/// A store that is away from time to time.
struct Unsteady<T: ?Sized> {
    inner: Arc<T>,
    is_away: Arc<AtomicBool>,
}

impl<T: ?Sized> Unsteady<T> {
    fn check(&self) -> Result<()> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "outage"));
        }
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for Unsteady<dyn ObjectStore> {
    async fn put(&self, key: &ObjectKey, body: ByteStream, options: PutOptions) -> Result<ObjectMeta> {
        self.inner.put(key, body, options).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<Object>> {
        self.check()?;
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>> {
        self.inner.head(key).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &str, cursor: Option<&Cursor>, limit: usize) -> Result<Page<ObjectMeta>> {
        self.inner.list(prefix, cursor, limit).await
    }

    async fn presign(&self, key: &ObjectKey, method: PresignedMethod, valid_for: Duration) -> Result<String> {
        self.inner.presign(key, method, valid_for).await
    }
}

/// Only commits of readings fail.
#[async_trait]
impl HealthDataRepository for Unsteady<dyn HealthDataRepository> {
    async fn get(&self, key: &domain::record::RecordKey) -> Result<Option<Record>> {
        self.inner.get(key).await
    }

    async fn query(&self, query: &Query) -> Result<Page<Record>> {
        self.inner.query(query).await
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<()> {
        let is_reading =
            |write: &Write| matches!(&write.change, Change::Put(record) if record.key.kind == Kind::Segment);
        if batch.iter().any(is_reading) {
            self.check()?;
        }
        self.inner.commit(batch).await
    }

    async fn partitions(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<UserId>> {
        self.inner.partitions(cursor, limit).await
    }

    fn limits(&self) -> CommitLimits {
        self.inner.limits()
    }
}

/// A platform whose objects, and whose commits of readings, may be away; a job is given up when it fails once.
struct House {
    app: Arc<App>,
    clock: Arc<ManualClock>,
    objects_away: Arc<AtomicBool>,
    commits_away: Arc<AtomicBool>,
}

impl House {
    fn new() -> Self {
        let clock: Arc<ManualClock> = Arc::default();
        let (objects_away, commits_away) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let once = app::Settings { deliveries_max: 1, ..settings() };
        let is_away = Arc::clone(&commits_away);
        let steady = app_of(once.clone(), Arc::clone(&clock), |inner| Arc::new(Unsteady { inner, is_away }));
        let mut platform = steady.platform.clone();
        let (inner, is_away) = (Arc::clone(&platform.objects), Arc::clone(&objects_away));
        platform.objects = Arc::new(Unsteady { inner, is_away });
        Self { app: Arc::new(App::new(platform, once)), clock, objects_away, commits_away }
    }

    async fn announce(&self, caller: &Caller, bytes: &[u8]) -> (ImportId, ObjectKey) {
        let announced = Announced { form: Form::Lines, size_bytes: bytes.len() as u64, time_zone: None };
        let Outcome::Done(UploadPlace { import, url, .. }) =
            self.app.announce_import(caller, announced, None).await.unwrap()
        else {
            panic!("nothing is replayed without a key")
        };
        let key = url.strip_prefix("http://localhost/").unwrap().split('?').next().unwrap();
        (import.id, ObjectKey::new(key).unwrap())
    }

    async fn put(&self, key: &ObjectKey, bytes: &[u8]) {
        let body = objects::once(bytes.to_vec());
        self.app.platform.objects.put(key, body, PutOptions::default()).await.unwrap();
    }

    async fn is_there(&self, key: &ObjectKey) -> bool {
        self.app.platform.objects.head(key).await.unwrap().is_some()
    }

    async fn import(&self, caller: &Caller, id: ImportId) -> Import {
        self.app.import(caller, id).await.unwrap().unwrap()
    }

    /// The entries of imports that touched days which no job has.
    async fn entries(&self) -> usize {
        let mut count = 0;
        for shard in 0..OUTBOX_SHARDS {
            let query = Query::new(Partition::Outbox(shard), Kind::Importing, SortRange::all());
            count += self.app.platform.health_data.query(&query).await.unwrap().items.len();
        }
        count
    }
}

/// Heart rates, one a second, as lines.
fn lines(seconds: std::ops::Range<u32>) -> Vec<u8> {
    let line = |second: u32| format!("{}\n", heart_rate(u128::from(second) + 1, second, 61.0));
    seconds.map(line).collect::<String>().into_bytes()
}

/// What is sent piece by piece; a piece that is none breaks it off.
struct Pieces(mpsc::Receiver<Option<Vec<u8>>>, Vec<u8>);

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.1.is_empty() {
            match self.0.recv() {
                Ok(Some(piece)) => self.1 = piece,
                Ok(None) => return Err(io::Error::other("the line broke")),
                Err(_ended) => return Ok(0),
            }
        }
        let length = into.len().min(self.1.len());
        into[..length].copy_from_slice(&self.1[..length]);
        self.1.drain(..length);
        Ok(length)
    }
}

fn pieces(sent: impl IntoIterator<Item = Option<Vec<u8>>>) -> (mpsc::Sender<Option<Vec<u8>>>, Source) {
    let (sender, receiver) = mpsc::channel();
    for piece in sent {
        sender.send(piece).unwrap();
    }
    (sender, Source::Lines(Box::new(Pieces(receiver, Vec::new())), None))
}

#[tokio::test]
async fn a_file_outlives_an_outage_and_is_imported_when_it_is_started_again() {
    let (house, anna) = (House::new(), caller(1));
    let (restarted, redriven) = (lines(0..3), lines(3..7));
    let (one, one_key) = house.announce(&anna, &restarted).await;
    let (other, other_key) = house.announce(&anna, &redriven).await;
    house.put(&one_key, &restarted).await;
    house.put(&other_key, &redriven).await;
    house.objects_away.store(true, Ordering::SeqCst);
    for id in [one, other] {
        assert_eq!(house.app.start_import(&anna, id).await.unwrap().state, State::Queued);
    }
    settle(&house.app).await;
    for (id, key) in [(one, &one_key), (other, &other_key)] {
        assert_eq!(house.import(&anna, id).await.state, State::Failed);
        assert!(house.is_there(key).await, "it was acknowledged");
    }
    house.objects_away.store(false, Ordering::SeqCst);
    let dead = house.app.platform.jobs.dead_letters(None, 10).await.unwrap().items;
    assert_eq!(dead.len(), 2);
    let again = house.app.start_import(&anna, one).await.unwrap();
    assert_eq!((again.state, again.failure), (State::Queued, None));
    // Its first message still lies among those that were given up.
    house.app.settle_dead_letters().await.unwrap();
    assert_eq!(house.import(&anna, one).await.state, State::Queued);
    settle(&house.app).await;
    assert_eq!(held(&house.app, &anna).await.len(), 3);
    let ids: Vec<_> = dead.into_iter().map(|letter| letter.id).collect();
    house.app.platform.jobs.redrive(&ids).await.unwrap();
    settle(&house.app).await;
    assert_eq!(held(&house.app, &anna).await.len(), 7);
    for (id, key) in [(one, &one_key), (other, &other_key)] {
        assert_eq!(house.import(&anna, id).await.state, State::Completed);
        assert!(!house.is_there(key).await, "it is not needed any more");
    }
}

#[tokio::test]
async fn a_file_that_is_kept_for_another_try_goes_in_the_end() {
    let (house, anna) = (House::new(), caller(1));
    let bytes = lines(0..3);
    let (id, key) = house.announce(&anna, &bytes).await;
    house.put(&key, &bytes).await;
    house.objects_away.store(true, Ordering::SeqCst);
    house.app.start_import(&anna, id).await.unwrap();
    settle(&house.app).await;
    house.clock.advance(Duration::from_hours(29 * 24)).await;
    house.app.sweep_objects(Duration::ZERO).await.unwrap();
    assert!(house.is_there(&key).await);
    house.clock.advance(Duration::from_hours(24)).await;
    house.app.sweep_objects(Duration::ZERO).await.unwrap();
    settle(&house.app).await;
    assert!(!house.is_there(&key).await);
    assert_eq!(house.app.start_import(&anna, id).await.unwrap().state, State::Failed);
}

#[tokio::test]
async fn a_file_that_was_put_is_imported_although_nobody_started_it_in_time() {
    let (house, anna) = (House::new(), caller(1));
    let (bytes, late) = (lines(0..3), Duration::from_hours(7));
    let (put, key) = house.announce(&anna, &bytes).await;
    house.put(&key, &bytes).await;
    let (never, _) = house.announce(&anna, &bytes).await;
    house.clock.advance(late).await;
    let second = lines(3..7);
    let (swept, key) = house.announce(&anna, &second).await;
    assert_eq!(house.import(&anna, put).await.state, State::Queued);
    let never = house.import(&anna, never).await;
    assert_eq!(never.state, State::Failed);
    assert!(never.failure.unwrap().contains("not put in time"));
    house.put(&key, &second).await;
    house.clock.advance(late).await;
    house.app.sweep_objects(Duration::ZERO).await.unwrap();
    assert_eq!(house.import(&anna, swept).await.state, State::Queued);
    settle(&house.app).await;
    assert_eq!(house.import(&anna, put).await.state, State::Completed);
    assert_eq!(house.import(&anna, swept).await.state, State::Completed);
    assert_eq!(held(&house.app, &anna).await.len(), 7);
}

#[tokio::test]
async fn what_an_import_brought_is_computed_although_its_process_died() {
    let (house, anna) = (House::new(), caller(1));
    let (sender, source) = pieces([Some(lines(0..1000))]);
    let (kept, mut is_kept) = tokio::sync::mpsc::unbounded_channel();
    let reads = house.app.import_file(&anna, import_id(1, b"x"), source, |import, _| {
        kept.send(import.counts.accepted).unwrap();
        Ok(())
    });
    // Nothing of it runs any more, as after a kill.
    let accepted = tokio::select! {
        _ = reads => panic!("it waits for more"),
        accepted = is_kept.recv() => accepted,
    };
    drop(sender);
    assert_eq!(accepted, Some(1000));
    house.app.resume_imports().await.unwrap();
    settle(&house.app).await;
    assert!(house.app.daily(&anna, DayRange::default()).await.unwrap().is_empty(), "somebody may be at it");
    house.clock.advance(Duration::from_hours(1)).await;
    house.app.resume_imports().await.unwrap();
    settle(&house.app).await;
    assert_eq!(house.app.daily(&anna, DayRange::default()).await.unwrap().len(), 1);
    assert_eq!(house.entries().await, 0);
}

#[tokio::test]
async fn what_an_import_brought_is_computed_although_the_rest_could_not_be_kept() {
    let (house, anna) = (House::new(), caller(1));
    let (sender, source) = pieces([Some(lines(0..1000)), Some(lines(1000..2000))]);
    drop(sender);
    let broke = house.app.import_file(&anna, import_id(1, b"x"), source, |_, _| {
        house.commits_away.store(true, Ordering::SeqCst);
        Ok(())
    });
    assert!(broke.await.is_err());
    house.commits_away.store(false, Ordering::SeqCst);
    settle(&house.app).await;
    assert_eq!(house.app.daily(&anna, DayRange::default()).await.unwrap().len(), 1);
    assert_eq!((held(&house.app, &anna).await.len(), house.entries().await), (1000, 0));
}

#[tokio::test]
async fn an_import_that_ended_leaves_no_entry() {
    let (house, anna) = (House::new(), caller(1));
    let (sender, source) = pieces([Some(lines(0..2000))]);
    drop(sender);
    let ended = house.app.import_file(&anna, import_id(1, b"x"), source, |_, _| Ok(())).await.unwrap();
    assert!(matches!(ended, Ended::Read(import) if import.counts.accepted == 2000));
    assert_eq!(house.entries().await, 0);
}

#[tokio::test]
async fn the_position_is_behind_the_last_whole_line() {
    let (house, anna) = (House::new(), caller(1));
    let whole = lines(0..1000);
    let begun = [&whole[..], br#"{"identifier": "0000"#].concat();
    let (_sender, source) = pieces([Some(begun), None]);
    let ended = house.app.import_file(&anna, import_id(1, b"x"), source, |_, _| Ok(())).await.unwrap();
    let Ended::BrokeOff(import, _) = ended else { panic!("the line broke") };
    assert_eq!((import.position.offset, import.position.line), (whole.len() as u64, 1001));
}

#[tokio::test]
async fn a_raw_body_goes_with_the_upload_that_could_not_be_kept() {
    let (house, anna) = (House::new(), caller(1));
    let samples: Vec<_> = (0..600_u32)
        .map(|n| heart_rate(u128::from(n) + 1, n, 60.0 + f64::from(n * 7919 % 997) / 13.0))
        .collect();
    house.commits_away.store(true, Ordering::SeqCst);
    house.app.receive(&anna, UploadKind::HealthKit, body(&samples, &[]).into()).await.unwrap_err();
    assert!(house.app.platform.objects.list("", None, 10).await.unwrap().items.is_empty());
    house.commits_away.store(false, Ordering::SeqCst);
    house.app.receive(&anna, UploadKind::HealthKit, body(&samples, &[]).into()).await.unwrap();
    assert_eq!(house.app.platform.objects.list("raw/", None, 10).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn old_bodies_and_attachments_that_no_record_names_are_swept() {
    let clock: Arc<ManualClock> = Arc::default();
    let (app, anna) = (app_at(Arc::clone(&clock), |store| store), caller(1));
    let samples: Vec<_> = (0..600_u32)
        .map(|n| heart_rate(u128::from(n) + 1, n, 60.0 + f64::from(n * 7919 % 997) / 13.0))
        .collect();
    app.receive(&anna, UploadKind::HealthKit, body(&samples, &[]).into()).await.unwrap();
    let names = async || {
        let items = app.platform.objects.list("raw/", None, 10).await.unwrap().items;
        items.into_iter().map(|object| object.key).collect::<Vec<_>>()
    };
    let kept = names().await;
    assert_eq!(kept.len(), 1);
    let folder = format!("raw/{}/", hash_of("objects", anna.user_id));
    for stray in [
        format!("{folder}{}.zst", app.platform.ids.next()),
        format!("{folder}imports/{}/{}", import_id(1, b"x"), "ab".repeat(32)),
    ] {
        let key = ObjectKey::new(stray).unwrap();
        app.platform.objects.put(&key, objects::once("x"), PutOptions::default()).await.unwrap();
    }
    // Ids tell the time by the system's clock.
    let now =
        ports::Clock::now(&ports::SystemClock).as_millisecond() - ports::Clock::now(&*clock).as_millisecond();
    clock.advance_by(Duration::from_millis(u64::try_from(now).unwrap() + 25 * 3_600_000));
    assert_eq!(app.sweep_objects(Duration::ZERO).await.unwrap(), 2);
    assert_eq!(names().await, kept);
}

#[tokio::test]
async fn a_file_that_is_put_after_an_erasure_is_removed() {
    let (house, anna) = (House::new(), caller(1));
    let bytes = lines(0..3);
    let (_, key) = house.announce(&anna, &bytes).await;
    let counts = house.app.begin_erasure(&anna).await.unwrap();
    house.app.finish_erasure(anna.user_id, counts).await.unwrap();
    let entries = async || {
        let query = Query::new(Partition::Erasures, Kind::Erasing, SortRange::all());
        house.app.platform.health_data.query(&query).await.unwrap().items.len()
    };
    // The URL is good all the same.
    house.put(&key, &bytes).await;
    house.app.resume_erasures(Duration::ZERO).await.unwrap();
    assert_eq!((house.is_there(&key).await, entries().await), (true, 1), "more may come");
    house.clock.advance(Duration::from_hours(12)).await;
    house.app.resume_erasures(Duration::ZERO).await.unwrap();
    assert_eq!((house.is_there(&key).await, entries().await), (false, 0));
}

#[tokio::test]
async fn an_erasure_removes_imports_that_were_given_up() {
    let (house, anna) = (House::new(), caller(1));
    let bytes = lines(0..3);
    let (id, key) = house.announce(&anna, &bytes).await;
    house.put(&key, &bytes).await;
    house.objects_away.store(true, Ordering::SeqCst);
    house.app.start_import(&anna, id).await.unwrap();
    settle(&house.app).await;
    assert_eq!(house.app.platform.jobs.stats().await.unwrap().dead, 1);
    let counts = house.app.begin_erasure(&anna).await.unwrap();
    house.app.finish_erasure(anna.user_id, counts).await.unwrap();
    assert_eq!(house.app.platform.jobs.stats().await.unwrap().dead, 0, "it names the user");
}

#[tokio::test]
async fn an_announced_file_that_is_read_again_counts_what_it_brought_as_new() {
    let (house, anna) = (House::new(), caller(1));
    let bytes = lines(0..2000);
    let (id, key) = house.announce(&anna, &bytes).await;
    house.put(&key, &bytes).await;
    house.app.start_import(&anna, id).await.unwrap();
    // The worker that reads it is killed behind the first portion.
    let (sender, source) = pieces([Some(lines(0..1000))]);
    let (kept, mut is_kept) = tokio::sync::mpsc::unbounded_channel();
    let reads = house.app.import_file(&anna, id, source, |_, _| {
        kept.send(()).unwrap();
        Ok(())
    });
    tokio::select! {
        _ = reads => panic!("it waits for more"),
        _ = is_kept.recv() => {}
    }
    drop(sender);
    settle(&house.app).await;
    let import = house.import(&anna, id).await;
    assert_eq!((import.state, import.counts.accepted, import.counts.duplicate), (State::Completed, 2000, 0));
}
