//! What the embedded adapters promise beyond their ports.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::Duration,
};

use adapters_local::{
    LocalCloud, LocalSettings, SystemIds,
    embedded::{Database, FileSecretStore, PresignQuery, SqliteHealthData, SqliteJobQueue},
    identity,
};
use conformance::ManualClock;
use domain::{
    ids::{UploadId, UserId},
    record::{Kind, Partition, RecordKey, SortRange},
};
use futures::future::join_all;
use jiff::SignedDuration;
use ports::{
    Clock, CloudProvider, ErrorKind, HealthDataRepository, JobQueue, NewMessage, ObjectKey, ObjectStore,
    Outcome, Precondition, PresignedMethod, PutOptions, Query, SecretName, SecretStore, Version, Write,
    objects,
};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::{folder, jobs, objects, records};

const USER: UserId = UserId(Uuid::from_u128(1));

fn upload(n: u128) -> RecordKey {
    RecordKey::upload(USER, UploadId(Uuid::from_u128(n)))
}

async fn stored(repository: &SqliteHealthData) -> usize {
    repository
        .query(&Query::new(Partition::User(USER), Kind::Upload, SortRange::all()))
        .await
        .unwrap()
        .items
        .len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_commits_at_once_are_each_answered_for_themselves() {
    let folder = folder();
    let repository = records(folder.path(), Arc::default()).await;
    repository.commit(vec![Write::insert(upload(7), "first")]).await.unwrap();
    let commits = (0..200).map(|n| repository.commit(vec![Write::insert(upload(n), "body")]));
    let results = join_all(commits).await;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(
            result.as_ref().err().map(ports::Error::kind),
            (n == 7).then_some(ErrorKind::Conflict),
            "{n}"
        );
    }
    assert_eq!(stored(&repository).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_one_group_see_each_others_effects() {
    let folder = folder();
    let repository = records(folder.path(), Arc::default()).await;
    let timeline = RecordKey::timeline(USER);
    repository.commit(vec![Write::insert(timeline.clone(), "0")]).await.unwrap();
    // Each writer reads and writes under the version it saw until it wins, as uploads do.
    let add_one = || async {
        loop {
            let record = repository.get(&timeline).await.unwrap().unwrap();
            let count: u32 = std::str::from_utf8(&record.body).unwrap().parse().unwrap();
            let precondition = Precondition::VersionEquals(record.version);
            let write =
                Write::put(timeline.clone(), record.version.next(), (count + 1).to_string(), precondition);
            match repository.commit(vec![write]).await {
                Ok(()) => return,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
            }
        }
    };
    join_all((0..40).map(|_| add_one())).await;
    let record = repository.get(&timeline).await.unwrap().unwrap();
    assert_eq!((record.version, &*record.body), (Version(41), &b"40"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_databases_on_one_folder_race_and_lose_nothing() {
    let folder = folder();
    let (one, other) =
        tokio::join!(records(folder.path(), Arc::default()), records(folder.path(), Arc::default()));
    let race = |repository: SqliteHealthData| async move {
        let commits = (0..100).map(|n| repository.commit(vec![Write::insert(upload(n), "body")]));
        join_all(commits).await
    };
    let (ones, others) = tokio::join!(tokio::spawn(race(one.clone())), tokio::spawn(race(other)));
    for (n, (one, other)) in ones.unwrap().iter().zip(&others.unwrap()).enumerate() {
        assert!(one.is_ok() != other.is_ok(), "{n}: {one:?} {other:?}");
        let lost = one.as_ref().err().or(other.as_ref().err()).unwrap();
        assert_eq!(lost.kind(), ErrorKind::Conflict);
    }
    assert_eq!(stored(&one).await, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_may_open_a_new_folder_at_once() {
    let folder = folder();
    let opened = join_all((0..8).map(|_| {
        let path = folder.path().join("new");
        tokio::spawn(async move { Database::open(&path).await.map(drop) })
    }));
    for result in opened.await {
        result.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_does_not_undo_or_halve_a_commit() {
    let folder = folder();
    let repository = records(folder.path(), Arc::default()).await;
    let commits = (0..50).map(|n| {
        let repository = repository.clone();
        let batch = vec![Write::insert(upload(2 * n), "a"), Write::insert(upload(2 * n + 1), "b")];
        tokio::spawn(async move { repository.commit(batch).await })
    });
    for commit in commits.collect::<Vec<_>>() {
        tokio::task::yield_now().await;
        commit.abort();
    }
    // Answered after everything that was asked before.
    repository.commit(vec![Write::insert(upload(1000), "last")]).await.unwrap();
    let count = stored(&repository).await - 1;
    assert!(count.is_multiple_of(2), "{count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_waits_too_long_for_another_process_is_not_applied() {
    let folder = folder();
    let (repository, other) =
        (records(folder.path(), Arc::default()).await, Database::open(folder.path()).await.unwrap());
    let holding = other.begin("test").await.unwrap();
    let error = repository.commit(vec![Write::insert(upload(1), "body")]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    assert_eq!(stored(&repository).await, 0);
    // Dropped, a transaction does not hold up the others.
    drop(holding);
    repository.commit(vec![Write::insert(upload(1), "body")]).await.unwrap();
}

#[tokio::test]
async fn what_expired_is_swept() {
    let (folder, clock) = (folder(), Arc::new(ManualClock::default()));
    let repository = records(folder.path(), Arc::clone(&clock)).await;
    let soon = clock.now() + SignedDuration::from_secs(5);
    let batch = vec![Write::insert(upload(1), "a").expiring_at(soon), Write::insert(upload(2), "b")];
    repository.commit(batch).await.unwrap();
    assert_eq!(repository.sweep_expired(10).await.unwrap(), 0);
    clock.advance_by(Duration::from_secs(5));
    assert_eq!(repository.sweep_expired(10).await.unwrap(), 1);
    assert_eq!(repository.sweep_expired(10).await.unwrap(), 0);
    assert_eq!(stored(&repository).await, 1);
}

#[tokio::test]
async fn a_damaged_object_is_corrupt_and_never_other_bytes() {
    let folder = folder();
    let store = objects(folder.path()).await;
    for (name, size) in [("small", 1000), ("large", 3_000_000)] {
        let key = ObjectKey::new(name).unwrap();
        store.put(&key, objects::once(vec![5; size]), PutOptions::default()).await.unwrap();
        let path = folder.path().join(format!("objects/kept/{name}="));
        let good = fs::read(&path).unwrap();
        // A flipped bit of the body, of the description, and a lost end.
        for (index, length) in [(good.len() - 1, good.len()), (20, good.len()), (0, good.len() - 1)] {
            let mut bad = good[..length].to_vec();
            if index > 0 {
                bad[index] ^= 1;
            }
            fs::write(&path, bad).unwrap();
            let read = match store.get(&key, None).await {
                Ok(object) => objects::collect(object.unwrap().body, usize::MAX).await,
                Err(error) => Err(error),
            };
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt, "{name} {index} {length}");
        }
    }
}

#[tokio::test]
async fn what_a_crashed_put_left_behind_is_removed_and_a_running_put_is_not() {
    let folder = folder();
    let incoming = folder.path().join("objects/incoming");
    let store = objects(folder.path()).await;
    fs::write(incoming.join("left-behind"), "half").unwrap();
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let body = Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let running =
        tokio::spawn(
            async move { store.put(&ObjectKey::new("a").unwrap(), body, PutOptions::default()).await },
        );
    // More than the writer takes without writing: once all are sent, the file is there and locked.
    for _ in 0..16 {
        sender.send(Ok(vec![1; 100_000].into())).await.unwrap();
    }
    objects(folder.path()).await;
    assert!(!incoming.join("left-behind").exists());
    drop(sender);
    assert_eq!(running.await.unwrap().unwrap().size_bytes, 1_600_000);
    assert_eq!(fs::read_dir(incoming).unwrap().count(), 0);
}

#[tokio::test]
async fn secrets_are_in_a_file_for_its_owner_only() {
    let folder = folder();
    let store = FileSecretStore::open(folder.path()).await.unwrap();
    let name = SecretName::new("signing").unwrap();
    store.put(&name, b"\x00\xff".to_vec().into()).await.unwrap();
    let path = folder.path().join("secrets.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(store.get(&name, None).await.unwrap().unwrap().value.expose_secret(), b"\x00\xff");

    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    for error in
        [store.get(&name, None).await.unwrap_err(), FileSecretStore::open(folder.path()).await.unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("chmod 600"));
    }
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_made_is_a_clear_error() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Database::open(&file.join("data")).await.err().unwrap();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("cannot be created") && cause.contains("file/data"), "{cause}");
}

#[tokio::test]
async fn a_lease_outlives_the_process_that_holds_it() {
    const LEASE: Duration = Duration::from_mins(1);
    let (folder, clock) = (folder(), Arc::new(ManualClock::default()));
    let queue = jobs(folder.path(), Arc::clone(&clock)).await;
    queue.publish(NewMessage { body: "work".into(), ..NewMessage::default() }).await.unwrap();
    let lease = queue.receive(1, Duration::ZERO, LEASE).await.unwrap().remove(0);
    drop(queue);
    let queue = jobs(folder.path(), Arc::clone(&clock)).await;
    assert_eq!(queue.receive(1, Duration::ZERO, LEASE).await.unwrap(), []);
    clock.advance_by(LEASE);
    let again = queue.receive(1, Duration::ZERO, LEASE).await.unwrap().remove(0);
    assert_eq!((again.delivery_count, &*again.body), (2, &b"work"[..]));
    assert_eq!(queue.ack(&lease.receipt).await.unwrap_err().kind(), ErrorKind::Conflict);
    queue.ack(&again.receipt).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_the_messages_and_take_none_twice() {
    const COUNT: usize = 100;
    let folder = folder();
    let (one, other) = (jobs(folder.path(), Arc::default()).await, jobs(folder.path(), Arc::default()).await);
    let publish = |n: usize| {
        let key = Some(format!("key {}", n % 7));
        one.publish(NewMessage { body: n.to_string().into(), ordering_key: key, ..NewMessage::default() })
    };
    for result in join_all((0..COUNT).map(publish)).await {
        result.unwrap();
    }
    let work = |queue: SqliteJobQueue| async move {
        let mut done: Vec<usize> = Vec::new();
        while queue.stats().await.unwrap().depth > 0 {
            for lease in queue.receive(3, Duration::from_millis(10), Duration::from_mins(1)).await.unwrap() {
                done.push(std::str::from_utf8(&lease.body).unwrap().parse().unwrap());
                queue.ack(&lease.receipt).await.unwrap();
            }
        }
        done
    };
    let (ones, others) = tokio::join!(tokio::spawn(work(one.clone())), tokio::spawn(work(other)));
    let mut done = [ones.unwrap(), others.unwrap()].concat();
    done.sort_unstable();
    assert_eq!(done, (0..COUNT).collect::<Vec<_>>());
}

async fn cloud(folder: &std::path::Path, clock: Arc<ManualClock>) -> LocalCloud {
    let settings = LocalSettings {
        data: folder.to_owned(),
        base_url: "http://127.0.0.1:8000".to_owned(),
        deliveries_max: 3,
        identity: identity::Settings::new("http://127.0.0.1:8000", "clarity"),
    };
    LocalCloud::open(settings, clock, Arc::new(SystemIds)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_presigned_url_of_one_process_is_granted_by_another() {
    let (folder, clock) = (folder(), Arc::new(ManualClock::default()));
    let (one, other) =
        tokio::join!(cloud(folder.path(), Arc::clone(&clock)), cloud(folder.path(), Arc::clone(&clock)));
    let key = ObjectKey::new("raw/a").unwrap();
    let url =
        one.objects().unwrap().presign(&key, PresignedMethod::Get, Duration::from_secs(5)).await.unwrap();
    let field = |name: &str| {
        let (_, query) = url.split_once('?').unwrap();
        let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap();
        pair.trim_start_matches('=').to_owned()
    };
    let query = PresignQuery {
        method: field("method"),
        expires: field("expires").parse().unwrap(),
        size_max: None,
        signature: field("signature"),
    };
    assert_eq!(other.verify_presigned("GET", &key, &query).unwrap().method, PresignedMethod::Get);
    clock.advance_by(Duration::from_secs(5));
    assert_eq!(other.verify_presigned("GET", &key, &query).unwrap_err().kind(), ErrorKind::PermissionDenied);
}
