use bytes::Bytes;
use ports::{ByteRange, ErrorKind, ObjectStore};

use super::{digest, fresh, put, read};
use crate::{
    ObjectStoreFixture,
    support::{assert_refused, noise},
};

fn range(start: u64, end: impl Into<Option<u64>>) -> ByteRange {
    ByteRange { start, end: end.into() }
}

const TEXT: &str = "0123456789";

/// Asserts what the range of [`TEXT`] holds.
async fn assert_range(store: &dyn ObjectStore, cases: &[(ByteRange, &'static str)]) {
    let key = fresh("object");
    put(store, &key, TEXT).await;
    for (range, expected) in cases {
        let bytes = read(store, &key, Some(*range)).await;
        assert_eq!(bytes, Some(Bytes::from_static(expected.as_bytes())), "{range:?}");
    }
}

pub async fn a_range_returns_exactly_its_bytes(fixture: ObjectStoreFixture) {
    let cases = [
        (range(0, 1), "0"),
        (range(0, 10), TEXT),
        (range(3, 7), "3456"),
        (range(9, 10), "9"),
        (range(3, 3), ""),
    ];
    assert_range(&*fixture.store, &cases).await;
}

pub async fn an_open_range_returns_the_rest(fixture: ObjectStoreFixture) {
    assert_range(
        &*fixture.store,
        &[(range(0, None), TEXT), (range(4, None), "456789"), (range(9, None), "9")],
    )
    .await;
}

pub async fn a_range_that_ends_beyond_the_object_is_cut(fixture: ObjectStoreFixture) {
    assert_range(&*fixture.store, &[(range(7, 11), "789"), (range(0, u64::MAX), TEXT)]).await;
}

pub async fn a_range_that_starts_beyond_the_object_is_invalid(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    put(&*fixture.store, &key, TEXT).await;
    for beyond in [range(11, None), range(11, 20), range(u64::MAX, None)] {
        assert_refused(fixture.store.get(&key, Some(beyond)).await, ErrorKind::InvalidInput);
    }
}

pub async fn a_range_tells_of_the_whole_object(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    let meta = put(&*fixture.store, &key, TEXT).await;
    let object = fixture.store.get(&key, Some(range(3, 7))).await.unwrap().unwrap();
    assert_eq!(object.meta, meta);
    assert_eq!((object.meta.size_bytes, object.meta.sha256), (10, digest(TEXT.as_bytes())));
}

pub async fn a_range_of_what_is_not_there_is_none(fixture: ObjectStoreFixture) {
    assert!(fixture.store.get(&fresh("never"), Some(range(0, 1))).await.unwrap().is_none());
}

pub async fn a_range_within_a_large_object_returns_exactly_its_bytes(fixture: ObjectStoreFixture) {
    let key = fresh("object");
    let bytes = Bytes::from(noise(3, 3_000_001));
    put(&*fixture.store, &key, bytes.clone()).await;
    for (start, end) in
        [(0, 65_536), (65_535, 65_537), (1_048_575, 2_097_153), (2_999_999, 3_000_001), (1, 3_000_000)]
    {
        let part = read(&*fixture.store, &key, Some(range(start as u64, end as u64))).await;
        assert!(part == Some(bytes.slice(start..end)), "[{start}, {end}) holds other bytes");
    }
}
