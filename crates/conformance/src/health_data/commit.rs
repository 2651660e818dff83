use std::{sync::Arc, time::Duration};

use domain::record::{Kind, Partition, RecordKey};
use futures::future::join_all;
use ports::{CommitLimits, Direction, ErrorKind, Precondition, Version, Write};
use tokio::sync::Barrier;

use super::{Repository, all_pages, as_put, fresh_user, insert, key, keys, put, query, sort, stored};
use crate::{
    HealthDataFixture,
    support::{assert_refused, in_time, noise, unique},
};

pub async fn a_batch_is_written_whole_across_partitions_and_kinds(fixture: HealthDataFixture) {
    let unique_sort = sort(&unique().to_string());
    let user = fresh_user();
    let batch_keys = [
        key(user, "a"),
        RecordKey { partition: user, kind: Kind::Timeline, sort: sort("-") },
        key(fresh_user(), "a"),
        RecordKey { partition: Partition::Outbox(3), kind: Kind::Outbox, sort: unique_sort.clone() },
        RecordKey { partition: Partition::IdentityLinks, kind: Kind::IdentityLink, sort: unique_sort },
    ];
    let body = |index: usize| format!("body {index}");
    let batch = batch_keys.iter().enumerate().map(|(index, key)| Write::insert(key.clone(), body(index)));
    fixture.repository.commit(batch.collect()).await.unwrap();
    for (index, key) in batch_keys.iter().enumerate() {
        assert_eq!(stored(&fixture.repository, key).await, Some((1, body(index).into())));
    }
}

pub async fn a_reader_never_sees_half_a_batch(fixture: HealthDataFixture) {
    const COMMITS: u64 = 100;
    let (first, second) = (key(fresh_user(), "first"), key(fresh_user(), "second"));
    let version =
        async |key: &RecordKey| stored(&fixture.repository, key).await.map_or(0, |(version, _)| version);
    let writer = tokio::spawn({
        let (repository, keys) = (Arc::clone(&fixture.repository), [first.clone(), second.clone()]);
        async move {
            for version in 1..=COMMITS {
                let put =
                    |key: &RecordKey| Write::put(key.clone(), Version(version), "x", Precondition::None);
                repository.commit(keys.iter().map(put).collect()).await.unwrap();
            }
        }
    });
    // Both are written together, so whichever is read later is never the older one.
    let reader = async {
        loop {
            let (seen_first, then_second) = (version(&first).await, version(&second).await);
            assert!(seen_first <= then_second, "{seen_first} of one record, then {then_second} of the other");
            let (seen_second, then_first) = (version(&second).await, version(&first).await);
            assert!(seen_second <= then_first, "{seen_second} of one record, then {then_first} of the other");
            if then_first == COMMITS {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    in_time(reader).await;
    writer.await.unwrap();
}

/// A batch with a put, a replacement and a delete that are fine, and `bad` at `place`; asserts that nothing happens.
async fn assert_writes_nothing(repository: &Repository, bad: fn(RecordKey) -> Write, place: usize) {
    let [new, replaced, deleted] = keys(["new", "replaced", "deleted"]);
    let stranger = key(fresh_user(), "stranger");
    for present in [&replaced, &deleted, &stranger] {
        put(repository, present, 4, "before").await;
    }
    let mut batch = vec![
        Write::insert(new.clone(), "after"),
        Write::put(replaced.clone(), Version(5), "after", Precondition::VersionEquals(Version(4))),
        Write::delete(deleted.clone(), Precondition::VersionEquals(Version(4))),
    ];
    batch.insert(place, bad(stranger.clone()));
    assert_refused(repository.commit(batch).await, ErrorKind::Conflict);

    assert_eq!(stored(repository, &new).await, None);
    for untouched in [&replaced, &deleted, &stranger] {
        assert_eq!(stored(repository, untouched).await, as_put(4, "before"));
    }
}

pub async fn a_batch_with_one_failed_precondition_writes_nothing(fixture: HealthDataFixture) {
    let failing: [fn(RecordKey) -> Write; 5] = [
        |key| Write::insert(key, "after"),
        |key| Write::put(key, Version(5), "after", Precondition::VersionEquals(Version(3))),
        |key| Write::put(key, Version(4), "after", Precondition::VersionLess(Version(4))),
        |key| Write::delete(key, Precondition::VersionEquals(Version(5))),
        |key| Write::check(key, Precondition::Absent),
    ];
    for bad in failing {
        assert_writes_nothing(&fixture.repository, bad, 3).await;
    }
}

pub async fn the_place_of_the_failed_precondition_does_not_matter(fixture: HealthDataFixture) {
    for place in 0..=3 {
        assert_writes_nothing(&fixture.repository, |key| Write::insert(key, "after"), place).await;
    }
}

pub async fn an_empty_batch_succeeds(fixture: HealthDataFixture) {
    fixture.repository.commit(Vec::new()).await.unwrap();
}

pub async fn a_key_twice_in_a_batch_is_invalid(fixture: HealthDataFixture) {
    let [other, twice] = keys(["other", "twice"]);
    let again = [
        Write::put(twice.clone(), Version(2), "b", Precondition::None),
        Write::delete(twice.clone(), Precondition::None),
        Write::check(twice.clone(), Precondition::None),
    ];
    for again in again {
        let batch = vec![Write::insert(other.clone(), "x"), Write::insert(twice.clone(), "a"), again];
        assert_refused(fixture.repository.commit(batch).await, ErrorKind::InvalidInput);
    }
    assert_eq!(stored(&fixture.repository, &other).await, None);
    assert_eq!(stored(&fixture.repository, &twice).await, None);
}

#[expect(clippy::unused_async, reason = "every case is async")]
pub async fn the_limits_are_at_least_100_writes_and_4_mb(fixture: HealthDataFixture) {
    let CommitLimits { writes_max, bytes_max } = fixture.repository.limits();
    assert!(writes_max >= 100, "{writes_max} writes");
    assert!(bytes_max >= 4_000_000, "{bytes_max} bytes");
}

pub async fn a_batch_of_as_many_writes_as_the_limit_is_written(fixture: HealthDataFixture) {
    let user = fresh_user();
    let writes_max = fixture.repository.limits().writes_max;
    let batch =
        (0..writes_max).map(|number| Write::insert(key(user, &format!("{number:06}")), "x")).collect();
    fixture.repository.commit(batch).await.unwrap();
    let pages = all_pages(&fixture.repository, query(user, 1000, Direction::Ascending)).await;
    assert_eq!(pages.concat().len(), writes_max);
}

/// A batch of equal records whose bodies have `size_bytes` together, each below 400,000 bytes.
fn batch_of(user: Partition, size_bytes: usize) -> Vec<Write> {
    let count = size_bytes.div_ceil(390_000);
    let body = bytes::Bytes::from(noise(2, size_bytes.div_ceil(count)));
    (0..count).map(|number| Write::insert(key(user, &format!("{number:06}")), body.clone())).collect()
}

pub async fn a_batch_of_nearly_as_many_bytes_as_the_limit_is_written(fixture: HealthDataFixture) {
    let user = fresh_user();
    // Each key may count for its longest text, and some more.
    let batch = batch_of(user, fixture.repository.limits().bytes_max - 20_000);
    fixture.repository.commit(batch.clone()).await.unwrap();
    let pages = all_pages(&fixture.repository, query(user, 5, Direction::Ascending)).await;
    let read: Vec<_> =
        pages.concat().into_iter().map(|record| Write::insert(record.key.clone(), record.body)).collect();
    assert!(read == batch, "the records read back differ from those that were written");
}

pub async fn a_batch_of_too_many_writes_writes_nothing(fixture: HealthDataFixture) {
    let user = fresh_user();
    let writes_max = fixture.repository.limits().writes_max;
    let batch =
        (0..=writes_max).map(|number| Write::insert(key(user, &format!("{number:06}")), "x")).collect();
    assert_refused(fixture.repository.commit(batch).await, ErrorKind::InvalidInput);
    let page = fixture.repository.query(&query(user, 1000, Direction::Ascending)).await.unwrap();
    assert!(page.items.is_empty());
}

pub async fn a_batch_of_too_many_bytes_writes_nothing(fixture: HealthDataFixture) {
    let user = fresh_user();
    let batch = batch_of(user, fixture.repository.limits().bytes_max + 1);
    assert_refused(fixture.repository.commit(batch).await, ErrorKind::InvalidInput);
    let page = fixture.repository.query(&query(user, 1000, Direction::Ascending)).await.unwrap();
    assert!(page.items.is_empty());
}

pub async fn deleting_removes_from_get_and_query(fixture: HealthDataFixture) {
    let user = fresh_user();
    let (gone, left) = (key(user, "gone"), key(user, "left"));
    insert(&fixture.repository, &gone).await;
    insert(&fixture.repository, &left).await;
    fixture.repository.commit(vec![Write::delete(gone.clone(), Precondition::None)]).await.unwrap();

    assert_eq!(fixture.repository.get(&gone).await.unwrap(), None);
    let page = fixture.repository.query(&query(user, 10, Direction::Ascending)).await.unwrap();
    assert_eq!(super::sorts(&page.items), ["left"]);
}

pub async fn deleting_what_is_not_there_succeeds(fixture: HealthDataFixture) {
    let [gone, never] = keys(["gone", "never"]);
    insert(&fixture.repository, &gone).await;
    for _ in 0..2 {
        fixture.repository.commit(vec![Write::delete(gone.clone(), Precondition::None)]).await.unwrap();
    }
    fixture.repository.commit(vec![Write::delete(never, Precondition::None)]).await.unwrap();
    assert_eq!(fixture.repository.get(&gone).await.unwrap(), None);
}

/// Commits the batches at the same moment, each through its own handle; answers which succeeded. The others are conflicts.
pub(super) async fn race(rivals: Vec<(Repository, Vec<Write>)>) -> Vec<usize> {
    let start = Arc::new(Barrier::new(rivals.len()));
    let tasks = rivals.into_iter().map(|(repository, batch)| {
        let start = Arc::clone(&start);
        tokio::spawn(async move {
            start.wait().await;
            repository.commit(batch).await
        })
    });
    let results = in_time(join_all(tasks)).await;
    let mut winners = Vec::new();
    for (index, result) in results.into_iter().enumerate() {
        match result.unwrap() {
            Ok(()) => winners.push(index),
            error => assert_refused(error, ErrorKind::Conflict),
        }
    }
    winners
}

pub async fn of_two_commits_that_race_on_one_precondition_exactly_one_succeeds(fixture: HealthDataFixture) {
    const RIVALS: usize = 4;
    for _ in 0..20 {
        let [contested] = keys(["contested"]);
        let insert = |index: usize| Write::insert(contested.clone(), format!("{index}"));
        let rivals = (0..RIVALS).map(|index| (Arc::clone(&fixture.repository), vec![insert(index)]));
        let winners = race(rivals.collect()).await;
        assert_eq!(winners.len(), 1, "the writers {winners:?} all succeeded");
        let body = format!("{}", winners[0]).into();
        assert_eq!(stored(&fixture.repository, &contested).await, Some((1, body)));
    }
}

pub async fn of_two_commits_that_check_each_others_keys_at_most_one_succeeds(fixture: HealthDataFixture) {
    for _ in 0..20 {
        let (left, right) = (key(fresh_user(), "left"), key(fresh_user(), "right"));
        let batch = |mine: &RecordKey, other: &RecordKey| {
            let check = Write::check(other.clone(), Precondition::Absent);
            (Arc::clone(&fixture.repository), vec![check, Write::insert(mine.clone(), "x")])
        };
        let winners = race(vec![batch(&left, &right), batch(&right, &left)]).await;
        let present = [&left, &right].map(|key| stored(&fixture.repository, key));
        let present = join_all(present).await.into_iter().flatten().count();
        assert!(winners.len() <= 1, "both were written although each needed the other's absence");
        assert_eq!(present, winners.len());
    }
}

pub async fn no_increment_of_racing_writers_is_lost(fixture: HealthDataFixture) {
    const WRITERS: u64 = 4;
    const INCREMENTS: u64 = 10;
    let [counter] = keys(["counter"]);
    put(&fixture.repository, &counter, 1, "x").await;
    let writers = (0..WRITERS).map(|_| {
        let (repository, counter) = (Arc::clone(&fixture.repository), counter.clone());
        tokio::spawn(async move {
            let mut done = 0;
            while done < INCREMENTS {
                let version = repository.get(&counter).await.unwrap().unwrap().version;
                let condition = Precondition::VersionEquals(version);
                match repository
                    .commit(vec![Write::put(counter.clone(), version.next(), "x", condition)])
                    .await
                {
                    Ok(()) => done += 1,
                    error => assert_refused(error, ErrorKind::Conflict),
                }
                // A store may need a moment between rivals; who waits a little lets the other finish.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    });
    for writer in in_time(join_all(writers)).await {
        writer.unwrap();
    }
    assert_eq!(stored(&fixture.repository, &counter).await, as_put(1 + WRITERS * INCREMENTS, "x"));
}
