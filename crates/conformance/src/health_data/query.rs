use std::collections::BTreeSet;

use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey, SortRange},
};
use ports::{Cursor, Direction, ErrorKind, Precondition, Query, Write};

use super::{Repository, SOON, all_pages, fresh_user, insert, key, query, soon, sort, sorts};
use crate::{
    HealthDataFixture,
    support::{assert_refused, unique},
};

const DIRECTIONS: [Direction; 2] = [Direction::Ascending, Direction::Descending];

/// A fresh user with one record per sort key.
async fn user_with(repository: &Repository, texts: &[&str]) -> Partition {
    let user = fresh_user();
    for chunk in texts.chunks(100) {
        let batch = chunk.iter().map(|text| Write::insert(key(user, text), (*text).to_owned()));
        repository.commit(batch.collect()).await.unwrap();
    }
    user
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:04}")).collect()
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// `texts` as a query in `direction` shows them.
fn turned<'a>(texts: &[&'a str], direction: Direction) -> Vec<&'a str> {
    let mut texts = texts.to_vec();
    if direction == Direction::Descending {
        texts.reverse();
    }
    texts
}

fn ranged(user: Partition, start: Option<&str>, end: Option<&str>, direction: Direction) -> Query {
    let range = SortRange { start: start.map(sort), end: end.map(sort) };
    Query { range, ..query(user, 1000, direction) }
}

async fn shown(repository: &Repository, query: Query) -> Vec<String> {
    let records = all_pages(repository, query).await.concat();
    assert!(
        records.iter().all(|record| record.body == record.key.sort.as_str()),
        "a record has another's body"
    );
    sorts(&records).into_iter().map(str::to_owned).collect()
}

pub async fn a_query_answers_in_byte_order_either_way(fixture: HealthDataFixture) {
    // In the order of their bytes, which is not that of any language.
    let in_order = [
        " ", "!", "-", "-a", "/", "0", "10", "2", "A", "AB", "B", "Z", "_", "a", "a!", "a/1", "aB", "b", "~",
    ];
    let mut scattered = in_order;
    scattered.sort_by_key(|text| text.chars().rev().collect::<String>());
    let user = user_with(&fixture.repository, &scattered).await;
    for direction in DIRECTIONS {
        let answer = shown(&fixture.repository, query(user, 1000, direction)).await;
        assert_eq!(answer, turned(&in_order, direction));
    }
}

pub async fn a_query_answers_only_its_partition_and_kind(fixture: HealthDataFixture) {
    let user = user_with(&fixture.repository, &["mine"]).await;
    user_with(&fixture.repository, &["another user's"]).await;
    let other_kind = RecordKey { partition: user, kind: Kind::Tombstone, sort: sort("another kind") };
    insert(&fixture.repository, &other_kind).await;
    for direction in DIRECTIONS {
        assert_eq!(shown(&fixture.repository, query(user, 1000, direction)).await, ["mine"]);
        let tombstones = Query { kind: Kind::Tombstone, ..query(user, 1000, direction) };
        assert_eq!(shown(&fixture.repository, tombstones).await, ["another kind"]);
    }
}

pub async fn a_query_range_is_half_open_either_way(fixture: HealthDataFixture) {
    let user = user_with(&fixture.repository, &["a", "b", "b0", "c", "d"]).await;
    for direction in DIRECTIONS {
        let answer = shown(&fixture.repository, ranged(user, Some("b"), Some("d"), direction)).await;
        assert_eq!(answer, turned(&["b", "b0", "c"], direction));
        // Ends that are not keys themselves.
        let answer = shown(&fixture.repository, ranged(user, Some("aa"), Some("bz"), direction)).await;
        assert_eq!(answer, turned(&["b", "b0"], direction));
    }
}

pub async fn a_query_range_may_be_open_on_one_side(fixture: HealthDataFixture) {
    let user = user_with(&fixture.repository, &["a", "b", "c", "d"]).await;
    for direction in DIRECTIONS {
        let answer = shown(&fixture.repository, ranged(user, Some("c"), None, direction)).await;
        assert_eq!(answer, turned(&["c", "d"], direction));
        let answer = shown(&fixture.repository, ranged(user, None, Some("c"), direction)).await;
        assert_eq!(answer, turned(&["a", "b"], direction));
    }
}

pub async fn a_range_that_ends_before_it_begins_is_empty(fixture: HealthDataFixture) {
    let user = user_with(&fixture.repository, &["a", "b", "c"]).await;
    for direction in DIRECTIONS {
        for (start, end) in [("b", "b"), ("c", "a")] {
            let answer = shown(&fixture.repository, ranged(user, Some(start), Some(end), direction)).await;
            assert!(answer.is_empty(), "[{start}, {end}) holds {answer:?}");
        }
    }
}

pub async fn a_query_of_nothing_is_one_empty_page(fixture: HealthDataFixture) {
    for direction in DIRECTIONS {
        let page = fixture.repository.query(&query(fresh_user(), 10, direction)).await.unwrap();
        assert_eq!((page.items.len(), page.next), (0, None));
    }
}

pub async fn pages_show_each_record_once_in_either_direction(fixture: HealthDataFixture) {
    let texts = numbered(23);
    let user = user_with(&fixture.repository, &refs(&texts)).await;
    for direction in DIRECTIONS {
        for limit in [1, 2, 5, 22, 23, 24] {
            let pages = all_pages(&fixture.repository, query(user, limit, direction)).await;
            assert_eq!(sorts(&pages.concat()), turned(&refs(&texts), direction), "with pages of {limit}");
            assert!(
                pages.iter().rev().skip(1).all(|page| page.len() == limit),
                "a page before the last is not full"
            );
        }
    }
}

pub async fn the_last_page_has_no_next_also_where_it_is_full(fixture: HealthDataFixture) {
    let texts = numbered(6);
    let user = user_with(&fixture.repository, &refs(&texts)).await;
    for direction in DIRECTIONS {
        let pages = all_pages(&fixture.repository, query(user, 3, direction)).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
    }
}

pub async fn a_page_holds_up_to_1000_records(fixture: HealthDataFixture) {
    let texts = numbered(1001);
    let user = user_with(&fixture.repository, &refs(&texts)).await;
    let pages = all_pages(&fixture.repository, query(user, 1000, Direction::Ascending)).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1]);
    assert_eq!(sorts(&pages.concat()), texts);
}

pub async fn paging_keeps_to_the_range(fixture: HealthDataFixture) {
    let texts = numbered(20);
    let user = user_with(&fixture.repository, &refs(&texts)).await;
    for direction in DIRECTIONS {
        let in_range = Query { limit: 3, ..ranged(user, Some("0004"), Some("0013"), direction) };
        assert_eq!(shown(&fixture.repository, in_range).await, turned(&refs(&texts[4..13]), direction));
    }
}

pub async fn paging_is_stable_under_inserts_and_deletes(fixture: HealthDataFixture) {
    // The even ones are there all along; around each page odd ones come and others of them go.
    let texts = numbered(60);
    let lasting: Vec<&str> = texts.iter().map(String::as_str).step_by(2).collect();
    for direction in DIRECTIONS {
        let user = user_with(&fixture.repository, &lasting).await;
        let mut paged = query(user, 4, direction);
        let mut seen = Vec::new();
        for round in 0.. {
            let page = fixture.repository.query(&paged).await.unwrap();
            seen.extend(sorts(&page.items).into_iter().map(str::to_owned));
            paged.cursor = page.next;
            if paged.cursor.is_none() {
                break;
            }
            let odd = |number: usize| key(user, &texts[(number * 2 + 1) % 60]);
            let writes = (0..15).map(|step| match (round + step) % 2 {
                0 => Write::put(
                    odd(step * 2),
                    ports::Version(1),
                    odd(step * 2).sort.as_str().to_owned(),
                    Precondition::None,
                ),
                _ => Write::delete(odd(step * 2), Precondition::None),
            });
            fixture.repository.commit(writes.collect()).await.unwrap();
        }
        let seen_lasting: Vec<&str> =
            seen.iter().map(String::as_str).filter(|text| lasting.contains(text)).collect();
        assert_eq!(seen_lasting, turned(&lasting, direction));
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "a record was shown twice");
    }
}

pub async fn paging_goes_on_where_the_last_shown_record_was_deleted(fixture: HealthDataFixture) {
    let texts = numbered(9);
    for direction in DIRECTIONS {
        let user = user_with(&fixture.repository, &refs(&texts)).await;
        let mut paged = query(user, 3, direction);
        let first = fixture.repository.query(&paged).await.unwrap();
        let delete = |record: &ports::Record| Write::delete(record.key.clone(), Precondition::None);
        fixture.repository.commit(first.items.iter().map(delete).collect()).await.unwrap();

        paged.cursor = first.next;
        let rest = all_pages(&fixture.repository, paged).await.concat();
        assert_eq!(sorts(&rest), turned(&refs(&texts), direction)[3..]);
    }
}

pub async fn paging_steps_over_expired_records(fixture: HealthDataFixture) {
    let user = fresh_user();
    let expires_at = soon(&*fixture.time);
    let texts = numbered(30);
    let writes = texts.iter().enumerate().map(|(index, text)| {
        let write = Write::insert(key(user, text), text.clone());
        if index % 3 == 0 { write } else { write.expiring_at(expires_at) }
    });
    fixture.repository.commit(writes.collect()).await.unwrap();
    fixture.time.advance(SOON).await;
    let lasting: Vec<&str> = texts.iter().map(String::as_str).step_by(3).collect();
    for direction in DIRECTIONS {
        for limit in [2, 5, 10] {
            let answer = shown(&fixture.repository, query(user, limit, direction)).await;
            assert_eq!(answer, turned(&lasting, direction));
        }
    }
}

pub async fn a_limit_of_0_or_above_1000_is_invalid(fixture: HealthDataFixture) {
    let user = user_with(&fixture.repository, &["a"]).await;
    for limit in [0, 1001, usize::MAX] {
        let refused = fixture.repository.query(&query(user, limit, Direction::Ascending)).await;
        assert_refused(refused, ErrorKind::InvalidInput);
    }
}

/// Texts that no store hands out as a cursor.
const NO_CURSORS: [&str; 4] = ["", "not a cursor", "\u{1F980}", "-1"];

pub async fn a_cursor_that_is_not_one_is_invalid(fixture: HealthDataFixture) {
    let user = user_with(&fixture.repository, &["a", "b"]).await;
    for direction in DIRECTIONS {
        for text in NO_CURSORS {
            let refused = Query { cursor: Some(Cursor(text.to_owned())), ..query(user, 10, direction) };
            assert_refused(fixture.repository.query(&refused).await, ErrorKind::InvalidInput);
        }
    }
}

/// The users on all pages of `limit`; `between` runs after each page but the last.
async fn scan(repository: &Repository, limit: usize, between: impl AsyncFn()) -> Vec<UserId> {
    let mut users = Vec::new();
    let mut cursor = None;
    loop {
        let page = repository.partitions(cursor.as_ref(), limit).await.unwrap();
        assert!(page.items.len() <= limit, "a page holds more than was asked");
        users.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return users;
        }
        between().await;
    }
}

fn of_user(partition: Partition) -> UserId {
    match partition {
        Partition::User(user) => user,
        Partition::Outbox(_) | Partition::IdentityLinks | Partition::Erasures => {
            panic!("not a user's partition")
        }
    }
}

/// Asserts that `all` names nobody twice and each of `expected` once.
#[track_caller]
fn assert_lists(all: &[UserId], expected: &[Partition]) {
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "a user was listed twice");
    assert!(expected.iter().all(|user| distinct.contains(&of_user(*user))), "a user was not listed");
}

pub async fn partitions_lists_each_user_once_by_pages(fixture: HealthDataFixture) {
    let mut users = Vec::new();
    for _ in 0..7 {
        users.push(user_with(&fixture.repository, &["a", "b", "c"]).await);
    }
    let timeline = RecordKey { partition: users[0], kind: Kind::Timeline, sort: sort("-") };
    insert(&fixture.repository, &timeline).await;
    let by_two = scan(&fixture.repository, 2, async || ()).await;
    assert_lists(&by_two, &users);
    let ours = |all: Vec<UserId>| -> Vec<UserId> {
        all.into_iter().filter(|user| users.iter().any(|ours| of_user(*ours) == *user)).collect()
    };
    let at_once = scan(&fixture.repository, 1000, async || ()).await;
    assert_eq!(ours(by_two), ours(at_once), "the order changed between two scans");
}

pub async fn partitions_leaves_out_system_partitions(fixture: HealthDataFixture) {
    let user = user_with(&fixture.repository, &["a"]).await;
    let before = scan(&fixture.repository, 1000, async || ()).await;
    assert_lists(&before, &[user]);
    let system = |partition, kind| RecordKey { partition, kind, sort: sort(&unique().to_string()) };
    insert(&fixture.repository, &system(Partition::Outbox(0), Kind::Outbox)).await;
    insert(&fixture.repository, &system(Partition::Outbox(7), Kind::Outbox)).await;
    insert(&fixture.repository, &system(Partition::IdentityLinks, Kind::IdentityLink)).await;
    let after = scan(&fixture.repository, 1000, async || ()).await;
    assert_lists(&after, &[user]);
    // Other tests may add users, who have segments; what stands for a system partition has none.
    for added in after.into_iter().filter(|user| !before.contains(user)) {
        let segments = query(Partition::User(added), 1, Direction::Ascending);
        let page = fixture.repository.query(&segments).await.unwrap();
        assert_eq!(page.items.len(), 1, "a system partition is listed as a user");
    }
}

pub async fn partitions_leaves_out_users_whose_records_are_gone(fixture: HealthDataFixture) {
    let deleted = user_with(&fixture.repository, &["a"]).await;
    let expired = fresh_user();
    let expires_at = soon(&*fixture.time);
    let write = Write::insert(key(expired, "a"), "a").expiring_at(expires_at);
    fixture.repository.commit(vec![write]).await.unwrap();
    let before = scan(&fixture.repository, 1000, async || ()).await;
    assert_lists(&before, &[deleted, expired]);

    fixture.repository.commit(vec![Write::delete(key(deleted, "a"), Precondition::None)]).await.unwrap();
    fixture.time.advance(SOON).await;
    let after = scan(&fixture.repository, 1000, async || ()).await;
    assert!(!after.contains(&of_user(deleted)), "a user without records is listed");
    assert!(!after.contains(&of_user(expired)), "a user whose records expired is listed");
}

pub async fn partitions_is_stable_under_inserts_between_pages(fixture: HealthDataFixture) {
    let mut users = Vec::new();
    for _ in 0..12 {
        users.push(user_with(&fixture.repository, &["a"]).await);
    }
    let more = async || {
        user_with(&fixture.repository, &["a"]).await;
    };
    assert_lists(&scan(&fixture.repository, 3, more).await, &users);
}

pub async fn partitions_refuses_bad_limits_and_cursors(fixture: HealthDataFixture) {
    user_with(&fixture.repository, &["a"]).await;
    for limit in [0, 1001] {
        assert_refused(fixture.repository.partitions(None, limit).await, ErrorKind::InvalidInput);
    }
    for text in NO_CURSORS {
        let cursor = Cursor(text.to_owned());
        assert_refused(fixture.repository.partitions(Some(&cursor), 10).await, ErrorKind::InvalidInput);
    }
}
