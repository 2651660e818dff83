use bytes::Bytes;
use domain::record::SortRange;
use ports::{Direction, Precondition, Query, Record, Version, Write};

use super::{SOON, all_pages, as_put, fresh_user, insert, key, keys, put, query, soon, sorts, stored};
use crate::{HealthDataFixture, support::noise};

pub async fn a_committed_record_reads_back_as_it_was_written(fixture: HealthDataFixture) {
    let [written, bystander] = keys(["a/1", "a/2"]);
    let body: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let expires_at = soon(&*fixture.time);
    let write =
        Write::put(written.clone(), Version(7), body.clone(), Precondition::None).expiring_at(expires_at);
    let other = Write::put(bystander.clone(), Version(8), "other", Precondition::None);
    fixture.repository.commit(vec![write, other]).await.unwrap();

    let expected = Record { key: written.clone(), version: Version(7), body, expires_at: Some(expires_at) };
    assert_eq!(fixture.repository.get(&written).await.unwrap(), Some(expected));
    let other =
        Record { key: bystander.clone(), version: Version(8), body: "other".into(), expires_at: None };
    assert_eq!(fixture.repository.get(&bystander).await.unwrap(), Some(other));
}

pub async fn an_empty_body_reads_back(fixture: HealthDataFixture) {
    let [empty] = keys(["empty"]);
    put(&fixture.repository, &empty, 1, "").await;
    assert_eq!(stored(&fixture.repository, &empty).await, as_put(1, ""));
}

pub async fn a_large_body_reads_back(fixture: HealthDataFixture) {
    let [large] = keys(["large"]);
    let body = Bytes::from(noise(1, 350_000));
    fixture.repository.commit(vec![Write::insert(large.clone(), body.clone())]).await.unwrap();
    assert_eq!(stored(&fixture.repository, &large).await, Some((1, body)));
}

pub async fn a_large_version_reads_back(fixture: HealthDataFixture) {
    let [newest] = keys(["newest"]);
    let version = i64::MAX.unsigned_abs();
    put(&fixture.repository, &newest, version, "x").await;
    assert_eq!(stored(&fixture.repository, &newest).await, as_put(version, "x"));
}

pub async fn what_was_never_written_is_none(fixture: HealthDataFixture) {
    let [written, never] = keys(["a", "b"]);
    insert(&fixture.repository, &written).await;
    assert_eq!(fixture.repository.get(&never).await.unwrap(), None);
    assert_eq!(fixture.repository.get(&key(fresh_user(), "a")).await.unwrap(), None);
    let other_kind = domain::record::RecordKey { kind: domain::record::Kind::Audit, ..written };
    assert_eq!(fixture.repository.get(&other_kind).await.unwrap(), None);
}

pub async fn a_record_is_gone_from_the_second_of_its_expiry_on(fixture: HealthDataFixture) {
    let [short_lived] = keys(["short-lived"]);
    let write = Write::insert(short_lived.clone(), "x").expiring_at(soon(&*fixture.time));
    fixture.repository.commit(vec![write]).await.unwrap();
    assert_eq!(stored(&fixture.repository, &short_lived).await, as_put(1, "x"));

    fixture.time.advance(SOON).await;
    assert_eq!(fixture.repository.get(&short_lived).await.unwrap(), None);
}

pub async fn an_expired_record_is_in_no_page(fixture: HealthDataFixture) {
    let user = fresh_user();
    let write = Write::insert(key(user, "b"), "x").expiring_at(soon(&*fixture.time));
    fixture.repository.commit(vec![write]).await.unwrap();
    insert(&fixture.repository, &key(user, "a")).await;
    insert(&fixture.repository, &key(user, "c")).await;
    let all = query(user, 10, Direction::Ascending);
    assert_eq!(sorts(&fixture.repository.query(&all).await.unwrap().items), ["a", "b", "c"]);

    fixture.time.advance(SOON).await;
    assert_eq!(sorts(&fixture.repository.query(&all).await.unwrap().items), ["a", "c"]);
    let backwards = Query { direction: Direction::Descending, ..all };
    assert_eq!(sorts(&fixture.repository.query(&backwards).await.unwrap().items), ["c", "a"]);
}

pub async fn an_expired_record_can_be_written_anew(fixture: HealthDataFixture) {
    let [phoenix] = keys(["phoenix"]);
    let write = Write::put(phoenix.clone(), Version(5), "old", Precondition::None);
    fixture.repository.commit(vec![write.expiring_at(soon(&*fixture.time))]).await.unwrap();
    fixture.time.advance(SOON).await;
    fixture.repository.commit(vec![Write::insert(phoenix.clone(), "new")]).await.unwrap();

    let expected = Record { key: phoenix.clone(), version: Version(1), body: "new".into(), expires_at: None };
    assert_eq!(fixture.repository.get(&phoenix).await.unwrap(), Some(expected));
}

pub async fn a_commit_is_visible_at_once_to_get_and_query(fixture: HealthDataFixture) {
    let user = fresh_user();
    let all = Query::new(user, domain::record::Kind::Segment, SortRange::all());
    for count in 1..=20 {
        let next = key(user, &format!("{count:02}"));
        insert(&fixture.repository, &next).await;
        assert!(fixture.repository.get(&next).await.unwrap().is_some());
        let pages = all_pages(&fixture.repository, all.clone()).await;
        assert_eq!(pages.concat().len(), count);
    }
}
