//! Cases of [`ports::SecretStore`].

use std::{collections::BTreeSet, sync::Arc};

use futures::future::join_all;
use ports::{ErrorKind, SecretName, SecretStore};
use secrecy::{ExposeSecret as _, SecretSlice};
use tokio::sync::Barrier;

use crate::{
    SecretStoreFixture,
    support::{assert_refused, in_time, noise, unique},
};

/// One test per case on the store of `$fixture`, a future of a [`SecretStoreFixture`](crate::SecretStoreFixture).
#[macro_export]
macro_rules! secret_store {
    ($($fixture:tt)+) => {
        $crate::tests_of! { secret_store [
            a_secret_reads_back_byte_for_byte,
            a_name_that_was_never_put_is_none,
            names_do_not_share_their_secrets,
            a_second_put_makes_a_new_version_and_keeps_the_old_one,
            the_same_value_again_is_a_version_of_its_own,
            a_version_that_is_not_there_is_none,
            of_puts_that_race_all_are_kept_and_one_is_the_latest,
            what_is_there_is_answered_in_place_of_a_put,
            where_nothing_is_a_get_or_put_stores_the_value,
            of_several_that_get_or_put_all_answer_the_same_version,
            a_value_of_64_kib_is_kept,
            an_empty_value_is_invalid,
            a_value_above_64_kib_is_invalid,
        ] $($fixture)+ }
    };
}

/// One test per case that opens the store a second time.
#[macro_export]
macro_rules! durable_secret_store {
    ($($fixture:tt)+) => {
        $crate::tests_of! { secret_store [
            secrets_are_there_after_the_store_is_opened_again,
            a_put_is_visible_to_another_process_at_once,
            of_two_processes_that_get_or_put_both_answer_the_same_version,
        ] $($fixture)+ }
    };
}

fn fresh_name() -> SecretName {
    SecretName::new(format!("conformance/{}.key_1-A", unique())).unwrap()
}

fn secret(bytes: impl Into<Vec<u8>>) -> SecretSlice<u8> {
    SecretSlice::from(bytes.into())
}

async fn put(store: &dyn SecretStore, name: &SecretName, bytes: impl Into<Vec<u8>>) -> String {
    store.put(name, secret(bytes)).await.unwrap()
}

/// Version and value.
async fn get(store: &dyn SecretStore, name: &SecretName, version: Option<&str>) -> Option<(String, Vec<u8>)> {
    let secret = store.get(name, version).await.unwrap()?;
    Some((secret.version, secret.value.expose_secret().to_vec()))
}

pub async fn a_secret_reads_back_byte_for_byte(fixture: SecretStoreFixture) {
    let every_byte: Vec<u8> = (0..=255).collect();
    for value in [b"a text".to_vec(), every_byte, vec![0], b"\n".to_vec(), vec![0xFF, 0xFE]] {
        let name = fresh_name();
        let version = put(&*fixture.store, &name, value.clone()).await;
        assert_eq!(get(&*fixture.store, &name, None).await, Some((version.clone(), value.clone())));
        assert_eq!(get(&*fixture.store, &name, Some(&version)).await, Some((version, value)));
    }
}

pub async fn a_name_that_was_never_put_is_none(fixture: SecretStoreFixture) {
    let version = put(&*fixture.store, &fresh_name(), "x").await;
    let never = fresh_name();
    assert_eq!(get(&*fixture.store, &never, None).await, None);
    assert_eq!(get(&*fixture.store, &never, Some(&version)).await, None);
}

pub async fn names_do_not_share_their_secrets(fixture: SecretStoreFixture) {
    let base = fresh_name();
    let names = ["", "/", "/a", ".a", "_a", "-a", "/A"]
        .map(|tail| SecretName::new(format!("{}{tail}", base.as_str())).unwrap());
    for name in &names {
        put(&*fixture.store, name, name.as_str()).await;
    }
    for name in &names {
        let (_, value) = get(&*fixture.store, name, None).await.unwrap();
        assert_eq!(value, name.as_str().as_bytes());
    }
}

pub async fn a_second_put_makes_a_new_version_and_keeps_the_old_one(fixture: SecretStoreFixture) {
    let name = fresh_name();
    let mut versions = Vec::new();
    for value in ["first", "second", "third"] {
        versions.push((put(&*fixture.store, &name, value).await, value.as_bytes().to_vec()));
        assert_eq!(get(&*fixture.store, &name, None).await.as_ref(), versions.last());
    }
    for (version, value) in versions {
        let read = get(&*fixture.store, &name, Some(&version)).await;
        assert_eq!(read, Some((version, value)));
    }
}

pub async fn the_same_value_again_is_a_version_of_its_own(fixture: SecretStoreFixture) {
    let name = fresh_name();
    let first = put(&*fixture.store, &name, "same").await;
    let second = put(&*fixture.store, &name, "same").await;
    assert_ne!(first, second);
    assert_eq!(get(&*fixture.store, &name, None).await, Some((second, b"same".to_vec())));
}

pub async fn a_version_that_is_not_there_is_none(fixture: SecretStoreFixture) {
    let name = fresh_name();
    let version = put(&*fixture.store, &name, "x").await;
    for other in ["", "0", "-1", "no such version", "99999999999999999999999", &format!("{version}0")] {
        assert_eq!(get(&*fixture.store, &name, Some(other)).await, None, "version {other:?}");
    }
}

pub async fn of_puts_that_race_all_are_kept_and_one_is_the_latest(fixture: SecretStoreFixture) {
    const RIVALS: u8 = 4;
    for _ in 0..5 {
        let (name, start) = (fresh_name(), Arc::new(Barrier::new(RIVALS.into())));
        let puts = (0..RIVALS).map(|rival| {
            let (store, name, start) = (Arc::clone(&fixture.store), name.clone(), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                (put(&*store, &name, [rival]).await, vec![rival])
            })
        });
        let kept: Vec<_> = in_time(join_all(puts)).await.into_iter().map(|put| put.unwrap()).collect();
        let versions: BTreeSet<_> = kept.iter().map(|(version, _)| version).collect();
        assert_eq!(versions.len(), kept.len(), "two puts made one version");
        for (version, value) in &kept {
            let read = get(&*fixture.store, &name, Some(version)).await;
            assert_eq!(read, Some((version.clone(), value.clone())));
        }
        let latest = get(&*fixture.store, &name, None).await.unwrap();
        assert!(kept.contains(&latest), "the latest is none of those that were put");
    }
}

/// What `get_or_put` answers.
async fn get_or_put(store: &dyn SecretStore, name: &SecretName, bytes: &[u8]) -> (String, Vec<u8>) {
    let secret = store.get_or_put(name, secret(bytes)).await.unwrap();
    (secret.version, secret.value.expose_secret().to_vec())
}

pub async fn what_is_there_is_answered_in_place_of_a_put(fixture: SecretStoreFixture) {
    let name = fresh_name();
    for value in ["first", "second"] {
        let there = (put(&*fixture.store, &name, value).await, value.as_bytes().to_vec());
        assert_eq!(get_or_put(&*fixture.store, &name, b"another").await, there);
        assert_eq!(get(&*fixture.store, &name, None).await, Some(there));
    }
}

pub async fn where_nothing_is_a_get_or_put_stores_the_value(fixture: SecretStoreFixture) {
    let name = fresh_name();
    assert_refused(fixture.store.get_or_put(&name, secret("")).await, ErrorKind::InvalidInput);
    let first = get_or_put(&*fixture.store, &name, b"first").await;
    assert_eq!(first.1, b"first");
    assert_eq!(get(&*fixture.store, &name, None).await, Some(first.clone()));
    // It is a version as any other.
    let second = put(&*fixture.store, &name, "second").await;
    let third = put(&*fixture.store, &name, "third").await;
    assert_eq!(get(&*fixture.store, &name, Some(&first.0)).await, Some(first));
    assert_eq!(get(&*fixture.store, &name, Some(&second)).await, Some((second, b"second".to_vec())));
    assert_eq!(get(&*fixture.store, &name, None).await, Some((third, b"third".to_vec())));
}

/// Each of `stores` gets or puts a value of its own at the same moment; asserts that all answer the one that is stored.
async fn assert_all_answer_one(stores: Vec<Arc<dyn SecretStore>>) {
    let (name, start) = (fresh_name(), Arc::new(Barrier::new(stores.len())));
    let reader = Arc::clone(&stores[0]);
    let rivals = stores.into_iter().zip(0_u8..).map(|(store, rival)| {
        let (name, start) = (name.clone(), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            get_or_put(&*store, &name, &[rival]).await
        })
    });
    let answers: Vec<_> = in_time(join_all(rivals)).await.into_iter().map(|answer| answer.unwrap()).collect();
    let latest = get(&*reader, &name, None).await.unwrap();
    assert!(answers.iter().all(|answer| *answer == latest), "{answers:?}, and {latest:?} is stored");
}

pub async fn of_several_that_get_or_put_all_answer_the_same_version(fixture: SecretStoreFixture) {
    for _ in 0..5 {
        assert_all_answer_one(vec![Arc::clone(&fixture.store); 4]).await;
    }
}

pub async fn of_two_processes_that_get_or_put_both_answer_the_same_version(fixture: SecretStoreFixture) {
    let reopen = fixture.reopen.as_ref().expect("a durable store's fixture can open it again");
    let other = reopen().await;
    for _ in 0..5 {
        assert_all_answer_one(vec![Arc::clone(&fixture.store), Arc::clone(&other)]).await;
    }
}

const LARGEST: usize = 64 * 1024;

pub async fn a_value_of_64_kib_is_kept(fixture: SecretStoreFixture) {
    let (name, value) = (fresh_name(), noise(1, LARGEST));
    let version = put(&*fixture.store, &name, value.clone()).await;
    assert!(get(&*fixture.store, &name, None).await == Some((version, value)), "another value reads back");
}

pub async fn an_empty_value_is_invalid(fixture: SecretStoreFixture) {
    let name = fresh_name();
    assert_refused(fixture.store.put(&name, secret("")).await, ErrorKind::InvalidInput);
    assert_eq!(get(&*fixture.store, &name, None).await, None);
}

pub async fn a_value_above_64_kib_is_invalid(fixture: SecretStoreFixture) {
    let name = fresh_name();
    let before = put(&*fixture.store, &name, "before").await;
    assert_refused(fixture.store.put(&name, secret(noise(2, LARGEST + 1))).await, ErrorKind::InvalidInput);
    assert_eq!(get(&*fixture.store, &name, None).await, Some((before, b"before".to_vec())));
}

pub async fn secrets_are_there_after_the_store_is_opened_again(mut fixture: SecretStoreFixture) {
    let reopen = fixture.reopen.take().expect("a durable store's fixture can open it again");
    let name = fresh_name();
    let first = put(&*fixture.store, &name, "first").await;
    let second = put(&*fixture.store, &name, "second").await;
    fixture.store = reopen().await;
    assert_eq!(get(&*fixture.store, &name, None).await, Some((second, b"second".to_vec())));
    assert_eq!(get(&*fixture.store, &name, Some(&first)).await, Some((first, b"first".to_vec())));
}

pub async fn a_put_is_visible_to_another_process_at_once(fixture: SecretStoreFixture) {
    let reopen = fixture.reopen.as_ref().expect("a durable store's fixture can open it again");
    let other = reopen().await;
    let name = fresh_name();
    for value in ["first", "second"] {
        let version = put(&*fixture.store, &name, value).await;
        assert_eq!(get(&*other, &name, None).await, Some((version, value.as_bytes().to_vec())));
    }
    let third = put(&*other, &name, "third").await;
    assert_eq!(get(&*fixture.store, &name, None).await, Some((third, b"third".to_vec())));
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_a_list() {
        let source = include_str!("secret_store.rs");
        crate::support::assert_all_listed(source, &[source]);
    }
}
