use ports::{Cursor, ErrorKind, ObjectMeta, ObjectStore};

use super::{below, fresh_prefix, put};
use crate::{ObjectStoreFixture, support::assert_refused};

async fn put_all(store: &dyn ObjectStore, prefix: &str, names: &[&str]) {
    for name in names {
        put(store, &below(prefix, name), (*name).to_owned()).await;
    }
}

/// What is listed below `prefix`, by pages of `limit`.
async fn listed(store: &dyn ObjectStore, prefix: &str, limit: usize) -> Vec<ObjectMeta> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.list(prefix, cursor.as_ref(), limit).await.unwrap();
        assert!(page.items.len() <= limit, "a page holds more than was asked");
        all.extend(page.items);
        assert!(all.len() < 10_000, "the pages do not end");
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

/// The names below `prefix`, without it.
fn names<'a>(metas: &'a [ObjectMeta], prefix: &str) -> Vec<&'a str> {
    metas
        .iter()
        .map(|meta| meta.key.as_str().strip_prefix(prefix).expect("only names with the prefix"))
        .collect()
}

pub async fn a_list_shows_the_names_with_the_prefix_in_byte_order(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    let in_order = ["-", "1", "10", "2", "A", "Z", "_", "a", "a-b", "a.b", "a/b", "a/b/c", "a0", "aB", "b"];
    let mut scattered = in_order;
    scattered.reverse();
    put_all(&*fixture.store, &prefix, &scattered).await;
    put_all(&*fixture.store, &fresh_prefix(), &["another"]).await;
    let all = listed(&*fixture.store, &prefix, 1000).await;
    assert_eq!(names(&all, &prefix), in_order);
    let within = format!("{prefix}a/");
    assert_eq!(names(&listed(&*fixture.store, &within, 1000).await, &within), ["b", "b/c"]);
}

pub async fn a_prefix_may_end_within_a_segment(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    put_all(&*fixture.store, &prefix, &["up", "upload", "uploads/1", "uploads/2", "upper/1", "u", "v"]).await;
    let within = format!("{prefix}uplo");
    assert_eq!(
        names(&listed(&*fixture.store, &within, 1000).await, &prefix),
        ["upload", "uploads/1", "uploads/2"]
    );
    let exact = format!("{prefix}upper/1");
    assert_eq!(names(&listed(&*fixture.store, &exact, 1000).await, &prefix), ["upper/1"]);
}

pub async fn a_list_tells_what_head_tells(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    put_all(&*fixture.store, &prefix, &["a", "b/c"]).await;
    let all = listed(&*fixture.store, &prefix, 1000).await;
    assert_eq!(all.len(), 2);
    for meta in all {
        assert_eq!(fixture.store.head(&meta.key).await.unwrap(), Some(meta));
    }
}

pub async fn names_that_look_like_files_of_a_store_are_listed(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    let in_order = [".hidden", ".tmp/a", "...", "a", "a.json", "a.meta", "a.tmp", "tmp/a"];
    let mut sorted = in_order;
    sorted.sort_unstable();
    put_all(&*fixture.store, &prefix, &in_order).await;
    assert_eq!(names(&listed(&*fixture.store, &prefix, 1000).await, &prefix), sorted);
}

pub async fn a_prefix_that_nothing_has_is_one_empty_page(fixture: ObjectStoreFixture) {
    let page = fixture.store.list(&fresh_prefix(), None, 10).await.unwrap();
    assert_eq!((page.items.len(), page.next), (0, None));
}

pub async fn a_deleted_object_is_not_listed(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    put_all(&*fixture.store, &prefix, &["a", "b", "c"]).await;
    fixture.store.delete(&below(&prefix, "b")).await.unwrap();
    assert_eq!(names(&listed(&*fixture.store, &prefix, 1000).await, &prefix), ["a", "c"]);
}

/// `0000`, `0001`, ...
fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:04}")).collect()
}

pub async fn pages_show_each_object_once(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    let all = numbered(12);
    put_all(&*fixture.store, &prefix, &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for limit in [1, 4, 5, 12, 13] {
        assert_eq!(
            names(&listed(&*fixture.store, &prefix, limit).await, &prefix),
            all,
            "with pages of {limit}"
        );
    }
}

pub async fn paging_of_names_is_stable_under_inserts_and_deletes(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    let texts = numbered(30);
    let lasting: Vec<&str> = texts.iter().map(String::as_str).step_by(2).collect();
    put_all(&*fixture.store, &prefix, &lasting).await;
    let mut seen: Vec<String> = Vec::new();
    let mut cursor = None;
    for round in 0.. {
        let page = fixture.store.list(&prefix, cursor.as_ref(), 4).await.unwrap();
        seen.extend(names(&page.items, &prefix).into_iter().map(str::to_owned));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        // What was shown last may go, and come again.
        for odd in texts.iter().skip(1).step_by(2) {
            if round % 2 == 0 {
                put(&*fixture.store, &below(&prefix, odd), odd.clone()).await;
            } else {
                fixture.store.delete(&below(&prefix, odd)).await.unwrap();
            }
        }
    }
    let seen_lasting: Vec<_> = seen.iter().filter(|text| lasting.contains(&text.as_str())).collect();
    assert_eq!(seen_lasting, lasting);
    assert!(seen.is_sorted_by(|a, b| a < b), "a name was shown twice or out of order");
}

pub async fn a_list_refuses_bad_limits_and_cursors(fixture: ObjectStoreFixture) {
    let prefix = fresh_prefix();
    put_all(&*fixture.store, &prefix, &["a"]).await;
    for limit in [0, 1001] {
        assert_refused(fixture.store.list(&prefix, None, limit).await, ErrorKind::InvalidInput);
    }
    for text in ["", "not a cursor", "\u{1F980}"] {
        let cursor = Cursor(text.to_owned());
        assert_refused(fixture.store.list(&prefix, Some(&cursor), 10).await, ErrorKind::InvalidInput);
    }
}
