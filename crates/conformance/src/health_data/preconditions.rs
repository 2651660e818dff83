use domain::record::RecordKey;
use ports::{ErrorKind, Precondition, Version, Write};

use super::{Repository, SOON, as_put, keys, put, soon, stored};
use crate::{HealthDataFixture, support::assert_refused};

fn write(key: &RecordKey, version: u64, precondition: Precondition) -> Vec<Write> {
    vec![Write::put(key.clone(), Version(version), "after", precondition)]
}

/// Asserts that a put of version 1000 under `precondition` is a conflict and leaves `key` as it is.
async fn assert_conflict(repository: &Repository, key: &RecordKey, precondition: Precondition) {
    let before = stored(repository, key).await;
    assert_refused(repository.commit(write(key, 1000, precondition)).await, ErrorKind::Conflict);
    assert_eq!(stored(repository, key).await, before);
}

/// Stores version 9 under `key` and lets it expire.
async fn put_expired(fixture: &HealthDataFixture, key: &RecordKey) {
    let expires_at = soon(&*fixture.time);
    let put = Write::put(key.clone(), Version(9), "before", Precondition::None).expiring_at(expires_at);
    fixture.repository.commit(vec![put]).await.unwrap();
    fixture.time.advance(SOON).await;
}

pub async fn none_replaces_whatever_is_there(fixture: HealthDataFixture) {
    let [replaced] = keys(["replaced"]);
    for (version, body) in [(5, "first"), (6, "newer"), (2, "older"), (2, "same")] {
        put(&fixture.repository, &replaced, version, body).await;
        assert_eq!(stored(&fixture.repository, &replaced).await, as_put(version, body));
    }
}

pub async fn absent_holds_where_nothing_is_stored_and_nowhere_else(fixture: HealthDataFixture) {
    let [new] = keys(["new"]);
    fixture.repository.commit(write(&new, 3, Precondition::Absent)).await.unwrap();
    assert_eq!(stored(&fixture.repository, &new).await, as_put(3, "after"));
    assert_conflict(&fixture.repository, &new, Precondition::Absent).await;
}

pub async fn absent_holds_again_after_a_delete(fixture: HealthDataFixture) {
    let [again] = keys(["again"]);
    put(&fixture.repository, &again, 3, "before").await;
    fixture.repository.commit(vec![Write::delete(again.clone(), Precondition::None)]).await.unwrap();
    fixture.repository.commit(write(&again, 1, Precondition::Absent)).await.unwrap();
    assert_eq!(stored(&fixture.repository, &again).await, as_put(1, "after"));
}

pub async fn absent_holds_where_the_record_has_expired(fixture: HealthDataFixture) {
    let [expired] = keys(["expired"]);
    put_expired(&fixture, &expired).await;
    fixture.repository.commit(vec![Write::check(expired.clone(), Precondition::Absent)]).await.unwrap();
    fixture.repository.commit(write(&expired, 1, Precondition::Absent)).await.unwrap();
    assert_eq!(stored(&fixture.repository, &expired).await, as_put(1, "after"));
}

pub async fn version_equals_holds_for_exactly_the_stored_version(fixture: HealthDataFixture) {
    let [versioned] = keys(["versioned"]);
    put(&fixture.repository, &versioned, 10, "before").await;
    for wrong in [1, 9, 11, 100] {
        let condition = Precondition::VersionEquals(Version(wrong));
        assert_conflict(&fixture.repository, &versioned, condition).await;
    }
    fixture.repository.commit(write(&versioned, 11, Precondition::VersionEquals(Version(10)))).await.unwrap();
    assert_eq!(stored(&fixture.repository, &versioned).await, as_put(11, "after"));
}

pub async fn version_equals_never_holds_where_nothing_is_stored(fixture: HealthDataFixture) {
    let [nothing] = keys(["nothing"]);
    for version in [0, 1, 1000] {
        let condition = Precondition::VersionEquals(Version(version));
        assert_conflict(&fixture.repository, &nothing, condition).await;
    }
}

pub async fn version_equals_does_not_hold_for_an_expired_record(fixture: HealthDataFixture) {
    let [expired] = keys(["expired"]);
    put_expired(&fixture, &expired).await;
    assert_conflict(&fixture.repository, &expired, Precondition::VersionEquals(Version(9))).await;
}

pub async fn version_less_holds_where_nothing_is_stored(fixture: HealthDataFixture) {
    let [new] = keys(["new"]);
    fixture.repository.commit(write(&new, 4, Precondition::VersionLess(Version(4)))).await.unwrap();
    assert_eq!(stored(&fixture.repository, &new).await, as_put(4, "after"));
}

pub async fn version_less_holds_only_for_smaller_versions(fixture: HealthDataFixture) {
    let [versioned] = keys(["versioned"]);
    put(&fixture.repository, &versioned, 5, "before").await;
    for not_newer in [4, 5] {
        let condition = Precondition::VersionLess(Version(not_newer));
        assert_conflict(&fixture.repository, &versioned, condition).await;
    }
    fixture.repository.commit(write(&versioned, 6, Precondition::VersionLess(Version(6)))).await.unwrap();
    assert_eq!(stored(&fixture.repository, &versioned).await, as_put(6, "after"));
}

pub async fn versions_compare_as_numbers(fixture: HealthDataFixture) {
    // As texts, 10 would be below 9, and 2^62 below 3.
    let [versioned] = keys(["versioned"]);
    for (stored_version, newer) in [(9, 10), (3, 1 << 62)] {
        put(&fixture.repository, &versioned, stored_version, "before").await;
        let condition = Precondition::VersionLess(Version(newer));
        fixture.repository.commit(write(&versioned, newer, condition)).await.unwrap();
        let condition = Precondition::VersionLess(Version(stored_version));
        assert_conflict(&fixture.repository, &versioned, condition).await;
    }
}

pub async fn version_less_holds_where_a_newer_record_has_expired(fixture: HealthDataFixture) {
    let [expired] = keys(["expired"]);
    put_expired(&fixture, &expired).await;
    fixture.repository.commit(write(&expired, 2, Precondition::VersionLess(Version(2)))).await.unwrap();
    assert_eq!(stored(&fixture.repository, &expired).await, as_put(2, "after"));
}

pub async fn a_check_tests_and_changes_nothing(fixture: HealthDataFixture) {
    let [present, missing] = keys(["present", "missing"]);
    put(&fixture.repository, &present, 5, "before").await;
    let check = async |key: &RecordKey, precondition| {
        fixture.repository.commit(vec![Write::check(key.clone(), precondition)]).await
    };
    check(&present, Precondition::None).await.unwrap();
    check(&present, Precondition::VersionEquals(Version(5))).await.unwrap();
    check(&present, Precondition::VersionLess(Version(6))).await.unwrap();
    check(&missing, Precondition::None).await.unwrap();
    check(&missing, Precondition::Absent).await.unwrap();
    check(&missing, Precondition::VersionLess(Version(1))).await.unwrap();
    assert_refused(check(&present, Precondition::Absent).await, ErrorKind::Conflict);
    assert_refused(check(&present, Precondition::VersionEquals(Version(4))).await, ErrorKind::Conflict);
    assert_refused(check(&present, Precondition::VersionLess(Version(5))).await, ErrorKind::Conflict);
    assert_refused(check(&missing, Precondition::VersionEquals(Version(5))).await, ErrorKind::Conflict);

    assert_eq!(stored(&fixture.repository, &present).await, as_put(5, "before"));
    assert_eq!(stored(&fixture.repository, &missing).await, None);
}

pub async fn a_check_that_fails_stops_its_batch(fixture: HealthDataFixture) {
    let [guard, written] = keys(["guard", "written"]);
    put(&fixture.repository, &guard, 2, "before").await;
    let batch = |version| {
        let guarded = Write::check(guard.clone(), Precondition::VersionEquals(Version(version)));
        vec![Write::insert(written.clone(), "x"), guarded]
    };
    assert_refused(fixture.repository.commit(batch(1)).await, ErrorKind::Conflict);
    assert_eq!(stored(&fixture.repository, &written).await, None);
    fixture.repository.commit(batch(2)).await.unwrap();
    assert_eq!(stored(&fixture.repository, &written).await, as_put(1, "x"));
}

pub async fn a_delete_under_version_equals_takes_only_that_version(fixture: HealthDataFixture) {
    let [versioned] = keys(["versioned"]);
    put(&fixture.repository, &versioned, 5, "before").await;
    let delete =
        |version| vec![Write::delete(versioned.clone(), Precondition::VersionEquals(Version(version)))];
    assert_refused(fixture.repository.commit(delete(4)).await, ErrorKind::Conflict);
    assert_eq!(stored(&fixture.repository, &versioned).await, as_put(5, "before"));
    fixture.repository.commit(delete(5)).await.unwrap();
    assert_eq!(stored(&fixture.repository, &versioned).await, None);
}

pub async fn a_delete_under_version_equals_of_what_is_not_there_is_a_conflict(fixture: HealthDataFixture) {
    let [gone, bystander] = keys(["gone", "bystander"]);
    let delete = Write::delete(gone, Precondition::VersionEquals(Version(1)));
    let batch = vec![Write::insert(bystander.clone(), "x"), delete];
    assert_refused(fixture.repository.commit(batch).await, ErrorKind::Conflict);
    assert_eq!(stored(&fixture.repository, &bystander).await, None);
}
