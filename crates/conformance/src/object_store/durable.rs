use std::sync::Arc;

use ports::ObjectStore;

use super::{below, fresh, fresh_prefix, put, put::race, read};
use crate::{ObjectStoreFixture, Reopen, support::noise};

fn reopen(fixture: &ObjectStoreFixture) -> &Reopen<dyn ObjectStore> {
    fixture.reopen.as_ref().expect("a durable store's fixture can open it again")
}

pub async fn a_put_is_there_after_the_store_is_opened_again(mut fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    let (kept, gone) = (below(&prefix, "kept"), below(&prefix, "gone"));
    let bytes = noise(7, 1_000_000);
    let meta = put(&*fixture.store, &kept, bytes.clone()).await;
    put(&*fixture.store, &gone, "x").await;
    fixture.store.delete(&gone).await.unwrap();

    fixture.store = reopen(&fixture)().await;
    assert_eq!(fixture.store.list(&prefix, None, 10).await.unwrap().items, [meta]);
    assert!(read(&*fixture.store, &kept, None).await == Some(bytes.into()), "other bytes read back");
}

pub async fn a_put_is_visible_to_another_process_at_once(fixture: ObjectStoreFixture) {
    let other = reopen(&fixture)().await;
    let key = fresh("shared");
    for round in 0..10 {
        let meta = put(&*fixture.store, &key, format!("round {round}")).await;
        assert_eq!(other.head(&key).await.unwrap(), Some(meta));
        assert_eq!(read(&*other, &key, None).await, Some(format!("round {round}").into()));
    }
    other.delete(&key).await.unwrap();
    assert!(fixture.store.get(&key, None).await.unwrap().is_none());
}

pub async fn of_two_processes_that_race_with_if_absent_exactly_one_succeeds(fixture: ObjectStoreFixture) {
    let other = reopen(&fixture)().await;
    for _ in 0..10 {
        race(&[Arc::clone(&fixture.store), Arc::clone(&other)], &fresh("contested")).await;
    }
}
