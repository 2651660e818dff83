use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, future::join_all, stream};
use ports::{
    ByteStream, Error, ErrorKind, ObjectKey, ObjectMeta, ObjectStore, Outcome, PutOptions, Result, objects,
};
use tokio::sync::{Barrier, oneshot};

use super::{below, digest, fresh, fresh_prefix, put, read};
use crate::{
    ObjectStoreFixture,
    support::{assert_refused, in_time, noise},
};

fn if_absent() -> PutOptions {
    PutOptions { if_absent: true, ..PutOptions::default() }
}

/// Two good pieces, then a failure.
fn failing() -> ByteStream {
    let failure = || Error::new(ErrorKind::Unavailable, "conformance.body");
    Box::pin(stream::iter([Ok(Bytes::from_static(b"half")), Ok(noise(1, 300_000).into()), Err(failure())]))
}

pub async fn what_was_put_reads_back_with_size_type_and_digest(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    let bytes: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let options =
        PutOptions { content_type: "application/x-clarity+zstd".to_owned(), ..PutOptions::default() };
    let meta = fixture.store.put(&key, objects::once(bytes.clone()), options).await.unwrap();

    let object = fixture.store.get(&key, None).await.unwrap().unwrap();
    assert_eq!(object.meta, meta);
    assert_eq!((object.meta.key, object.meta.size_bytes), (key.clone(), 256));
    assert_eq!(object.meta.content_type, "application/x-clarity+zstd");
    assert_eq!(object.meta.sha256, digest(&bytes));
    assert_eq!(read(&*fixture.store, &key, None).await, Some(bytes));
}

pub async fn head_says_the_same_as_get(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    put(&*fixture.store, &key, "some bytes").await;
    let object = fixture.store.get(&key, None).await.unwrap().unwrap();
    assert_eq!(fixture.store.head(&key).await.unwrap(), Some(object.meta));
}

pub async fn an_object_of_0_bytes_is_an_object(fixture: ObjectStoreFixture) {
    for (name, body) in
        [("no-bytes", objects::once("")), ("no-pieces", Box::pin(stream::empty()) as ByteStream)]
    {
        let key = fresh(name);
        fixture.store.put(&key, body, PutOptions::default()).await.unwrap();
        assert_eq!(read(&*fixture.store, &key, None).await, Some(Bytes::new()));
        let meta = fixture.store.head(&key).await.unwrap().unwrap();
        assert_eq!((meta.size_bytes, meta.sha256), (0, digest(b"")));
    }
}

pub async fn what_was_never_put_is_none(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    put(&*fixture.store, &below(&prefix, "present"), "x").await;
    let never = below(&prefix, "never");
    assert!(fixture.store.get(&never, None).await.unwrap().is_none());
    assert_eq!(fixture.store.head(&never).await.unwrap(), None);
}

pub async fn a_put_replaces_the_earlier_bytes_and_changes_the_version(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    let first = put(&*fixture.store, &key, "the first and longer one").await;
    let second = put(&*fixture.store, &key, "the second").await;
    assert_ne!(first.version, second.version);
    assert_eq!(fixture.store.head(&key).await.unwrap(), Some(second));
    assert_eq!(read(&*fixture.store, &key, None).await, Some("the second".into()));
}

pub async fn the_same_bytes_again_are_another_version(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    let first = put(&*fixture.store, &key, "same").await;
    let second = put(&*fixture.store, &key, "same").await;
    assert_eq!(first.sha256, second.sha256);
    assert_ne!(first.version, second.version);
}

pub async fn if_absent_puts_where_nothing_is(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    fixture.store.put(&key, objects::once("new"), if_absent()).await.unwrap();
    assert_eq!(read(&*fixture.store, &key, None).await, Some("new".into()));
}

pub async fn if_absent_is_a_conflict_where_something_is_and_changes_nothing(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    let first = put(&*fixture.store, &key, "first").await;
    let second = fixture.store.put(&key, objects::once("second"), if_absent()).await;
    assert_refused(second, ErrorKind::Conflict);
    assert_eq!(fixture.store.head(&key).await.unwrap(), Some(first));
    assert_eq!(read(&*fixture.store, &key, None).await, Some("first".into()));
}

pub async fn if_absent_puts_again_after_a_delete(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    put(&*fixture.store, &key, "first").await;
    fixture.store.delete(&key).await.unwrap();
    fixture.store.put(&key, objects::once("second"), if_absent()).await.unwrap();
    assert_eq!(read(&*fixture.store, &key, None).await, Some("second".into()));
}

/// Puts each rival's own bytes under `key` at the same moment with `if_absent`, and asserts that one wins and stays.
pub(super) async fn race(rivals: &[Arc<dyn ObjectStore>], key: &ObjectKey) {
    let start = Arc::new(Barrier::new(rivals.len()));
    let body = |index: usize| Bytes::from(vec![u8::try_from(index).unwrap(); 10_000 + index]);
    let puts = rivals.iter().enumerate().map(|(index, store)| {
        let (store, start, key) = (Arc::clone(store), Arc::clone(&start), key.clone());
        tokio::spawn(async move {
            start.wait().await;
            store.put(&key, objects::once(body(index)), if_absent()).await
        })
    });
    let results: Vec<Result<ObjectMeta>> =
        in_time(join_all(puts)).await.into_iter().map(|result| result.unwrap()).collect();
    let winners: Vec<usize> =
        results.iter().enumerate().filter(|(_, result)| result.is_ok()).map(|(index, _)| index).collect();
    assert_eq!(winners.len(), 1, "the writers {winners:?} all succeeded");
    for loser in results.into_iter().filter(Result::is_err) {
        assert_refused(loser, ErrorKind::Conflict);
    }
    assert_eq!(read(&*rivals[0], key, None).await, Some(body(winners[0])));
}

pub async fn of_several_puts_that_race_with_if_absent_exactly_one_succeeds(fixture: ObjectStoreFixture) {
    for _ in 0..10 {
        race(&vec![Arc::clone(&fixture.store); 6], &fresh("contested")).await;
    }
}

pub async fn readers_never_see_half_of_a_replacement(fixture: ObjectStoreFixture) {
    const ROUNDS: u8 = 40;
    let key = fresh("object");
    // Every version has bytes of its own and a length of its own.
    let body = |round: u8| Bytes::from(vec![round; 50_000 + usize::from(round) * 1000]);
    put(&*fixture.store, &key, body(0)).await;
    let writer = tokio::spawn({
        let (store, key) = (Arc::clone(&fixture.store), key.clone());
        async move {
            for round in 1..=ROUNDS {
                put(&*store, &key, body(round)).await;
            }
        }
    });
    let mut last_seen = 0;
    while last_seen < ROUNDS {
        let object = fixture.store.get(&key, None).await.unwrap().unwrap();
        let bytes = in_time(objects::collect(object.body, 1 << 20)).await.unwrap();
        assert_eq!(object.meta.size_bytes, bytes.len() as u64);
        assert_eq!(object.meta.sha256, digest(&bytes));
        assert!(bytes[0] >= last_seen, "an earlier version came back");
        last_seen = bytes[0];
        assert!(bytes == body(last_seen), "the bytes are of no single version");
    }
    writer.await.unwrap();
}

pub async fn an_unfinished_put_is_not_visible(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    let (new, replaced) = (below(&prefix, "new"), below(&prefix, "replaced"));
    put(&*fixture.store, &replaced, "before").await;
    for (key, before) in [(&new, None), (&replaced, Some(Bytes::from_static(b"before")))] {
        let (asked, has_asked) = oneshot::channel();
        let (finish, may_finish) = oneshot::channel::<()>();
        let first = stream::iter([Ok(Bytes::from(noise(1, 300_000)))]);
        // The second piece is asked for only when the first was taken, and comes only when this case has looked.
        let second = stream::once(async move {
            asked.send(()).unwrap();
            may_finish.await.unwrap();
            Ok(Bytes::from_static(b"end"))
        });
        let putting = tokio::spawn({
            let (store, key) = (Arc::clone(&fixture.store), key.clone());
            async move { store.put(&key, Box::pin(first.chain(second)), PutOptions::default()).await }
        });
        in_time(has_asked).await.unwrap();
        assert_eq!(read(&*fixture.store, key, None).await, before);
        let listed = fixture.store.list(&prefix, None, 10).await.unwrap().items;
        assert_eq!(listed.iter().any(|meta| meta.key == *key), before.is_some());

        finish.send(()).unwrap();
        let meta = in_time(putting).await.unwrap().unwrap();
        assert_eq!(meta.size_bytes, 300_003);
        assert_eq!(fixture.store.head(key).await.unwrap(), Some(meta));
        fixture.store.delete(&new).await.unwrap();
    }
}

/// Asserts that nothing is under `key` or beside it.
async fn assert_nothing(store: &dyn ObjectStore, prefix: &str, key: &ObjectKey) {
    assert_eq!(read(store, key, None).await, None);
    assert_eq!(store.head(key).await.unwrap(), None);
    assert!(store.list(prefix, None, 10).await.unwrap().items.is_empty(), "something was left behind");
}

pub async fn a_put_whose_stream_fails_stores_nothing(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    let key = below(&prefix, "object");
    for options in [PutOptions::default(), if_absent()] {
        let error = fixture.store.put(&key, failing(), options).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert_nothing(&*fixture.store, &prefix, &key).await;
    }
}

pub async fn a_replacement_whose_stream_fails_keeps_the_earlier_object(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    let before = put(&*fixture.store, &key, "before").await;
    let error = fixture.store.put(&key, failing(), PutOptions::default()).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(fixture.store.head(&key).await.unwrap(), Some(before));
    assert_eq!(read(&*fixture.store, &key, None).await, Some("before".into()));
}

pub async fn a_put_with_its_right_digest_is_stored(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    let options = PutOptions { sha256: Some(digest(b"exactly this")), ..PutOptions::default() };
    let meta = fixture.store.put(&key, objects::once("exactly this"), options).await.unwrap();
    assert_eq!(meta.sha256, digest(b"exactly this"));
    assert_eq!(read(&*fixture.store, &key, None).await, Some("exactly this".into()));
}

pub async fn a_put_with_another_digest_stores_nothing(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    let key = below(&prefix, "object");
    let options = PutOptions { sha256: Some(digest(b"exactly this")), ..PutOptions::default() };
    let refused = fixture.store.put(&key, objects::once("something else"), options).await;
    assert_refused(refused, ErrorKind::InvalidInput);
    assert_nothing(&*fixture.store, &prefix, &key).await;
}

pub async fn a_replacement_with_another_digest_keeps_the_earlier_object(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    let before = put(&*fixture.store, &key, "before").await;
    let options = PutOptions { sha256: Some(digest(b"exactly this")), ..PutOptions::default() };
    let refused = fixture.store.put(&key, objects::once("something else"), options).await;
    assert_refused(refused, ErrorKind::InvalidInput);
    assert_eq!(fixture.store.head(&key).await.unwrap(), Some(before));
}

pub async fn deleting_twice_succeeds(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    put(&*fixture.store, &key, "x").await;
    fixture.store.delete(&key).await.unwrap();
    fixture.store.delete(&key).await.unwrap();
    fixture.store.delete(&fresh("never")).await.unwrap();
}

pub async fn what_was_deleted_is_none(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    let (gone, left) = (below(&prefix, "gone"), below(&prefix, "left"));
    put(&*fixture.store, &gone, "x").await;
    put(&*fixture.store, &left, "y").await;
    fixture.store.delete(&gone).await.unwrap();
    assert!(fixture.store.get(&gone, None).await.unwrap().is_none());
    assert_eq!(fixture.store.head(&gone).await.unwrap(), None);
    assert_eq!(read(&*fixture.store, &left, None).await, Some("y".into()));
}

/// Puts each name's own text, then asserts that each reads back.
async fn assert_all_distinct(store: &dyn ObjectStore, names: &[ObjectKey]) {
    for name in names {
        put(store, name, name.to_string()).await;
    }
    for name in names {
        assert_eq!(read(store, name, None).await, Some(name.to_string().into()));
    }
}

pub async fn names_that_differ_only_in_case_are_two_objects(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    let names = ["name", "Name", "NAME"].map(|text| below(&prefix, text));
    assert_all_distinct(&*fixture.store, &names).await;
}

pub async fn a_name_and_a_name_below_it_are_two_objects(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    let names = ["a/b", "a", "a/b/c/d", "a/b/c"].map(|text| below(&prefix, text));
    assert_all_distinct(&*fixture.store, &names).await;
    fixture.store.delete(&names[0]).await.unwrap();
    assert!(fixture.store.get(&names[0], None).await.unwrap().is_none());
    assert_eq!(read(&*fixture.store, &names[2], None).await, Some(names[2].to_string().into()));
}

pub async fn a_name_may_have_512_characters(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    let left = 512 - prefix.len();
    let long_segment = "x".repeat(left);
    let many_segments = "y/".repeat(left / 2 - 1) + &"z".repeat(left - (left / 2 - 1) * 2);
    let names = [below(&prefix, &long_segment), below(&prefix, &many_segments)];
    assert!(names.iter().all(|name| name.as_str().len() == 512));
    assert_all_distinct(&*fixture.store, &names).await;
    let listed = fixture.store.list(&prefix, None, 10).await.unwrap().items;
    assert_eq!(listed.into_iter().map(|meta| meta.key).collect::<Vec<_>>(), names);
}
