//! Cases of [`ports::HealthDataRepository`].

mod commit;
mod durable;
mod preconditions;
mod query;
mod read;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey, SortKey, SortRange},
};
use jiff::Timestamp;
use ports::{Direction, HealthDataRepository, Precondition, Query, Record, Version, Write};

pub use self::{commit::*, durable::*, preconditions::*, query::*, read::*};
use crate::{TimeControl, support::unique};

/// How long records that expire are there: longer than a slow machine takes for a case.
const SOON: Duration = Duration::from_secs(30);

/// The whole second that begins [`SOON`] after the present one.
fn soon(time: &dyn TimeControl) -> Timestamp {
    Timestamp::from_second(time.now().as_second() + 30).unwrap()
}

/// One test per case on the repository of `$fixture`, a future of a [`HealthDataFixture`](crate::HealthDataFixture).
#[macro_export]
macro_rules! health_data {
    ($($fixture:tt)+) => {
        $crate::tests_of! { health_data [
            // Reading.
            a_committed_record_reads_back_as_it_was_written,
            an_empty_body_reads_back,
            a_large_body_reads_back,
            a_large_version_reads_back,
            what_was_never_written_is_none,
            a_record_is_gone_from_the_second_of_its_expiry_on,
            an_expired_record_is_in_no_page,
            an_expired_record_can_be_written_anew,
            a_commit_is_visible_at_once_to_get_and_query,
            // Commits.
            a_batch_is_written_whole_across_partitions_and_kinds,
            a_reader_never_sees_half_a_batch,
            a_batch_with_one_failed_precondition_writes_nothing,
            the_place_of_the_failed_precondition_does_not_matter,
            an_empty_batch_succeeds,
            a_key_twice_in_a_batch_is_invalid,
            the_limits_are_at_least_100_writes_and_4_mb,
            a_batch_of_as_many_writes_as_the_limit_is_written,
            a_batch_of_nearly_as_many_bytes_as_the_limit_is_written,
            a_batch_of_too_many_writes_writes_nothing,
            a_batch_of_too_many_bytes_writes_nothing,
            deleting_removes_from_get_and_query,
            deleting_what_is_not_there_succeeds,
            of_two_commits_that_race_on_one_precondition_exactly_one_succeeds,
            of_two_commits_that_check_each_others_keys_at_most_one_succeeds,
            no_increment_of_racing_writers_is_lost,
            // Preconditions.
            none_replaces_whatever_is_there,
            absent_holds_where_nothing_is_stored_and_nowhere_else,
            absent_holds_again_after_a_delete,
            absent_holds_where_the_record_has_expired,
            version_equals_holds_for_exactly_the_stored_version,
            version_equals_never_holds_where_nothing_is_stored,
            version_equals_does_not_hold_for_an_expired_record,
            version_less_holds_where_nothing_is_stored,
            version_less_holds_only_for_smaller_versions,
            versions_compare_as_numbers,
            version_less_holds_where_a_newer_record_has_expired,
            a_check_tests_and_changes_nothing,
            a_check_that_fails_stops_its_batch,
            a_delete_under_version_equals_takes_only_that_version,
            a_delete_under_version_equals_of_what_is_not_there_is_a_conflict,
            // Queries.
            a_query_answers_in_byte_order_either_way,
            a_query_answers_only_its_partition_and_kind,
            a_query_range_is_half_open_either_way,
            a_query_range_may_be_open_on_one_side,
            a_range_that_ends_before_it_begins_is_empty,
            a_query_of_nothing_is_one_empty_page,
            pages_show_each_record_once_in_either_direction,
            the_last_page_has_no_next_also_where_it_is_full,
            a_page_holds_up_to_1000_records,
            paging_keeps_to_the_range,
            paging_is_stable_under_inserts_and_deletes,
            paging_goes_on_where_the_last_shown_record_was_deleted,
            paging_steps_over_expired_records,
            a_limit_of_0_or_above_1000_is_invalid,
            a_cursor_that_is_not_one_is_invalid,
            // The partition scan.
            partitions_lists_each_user_once_by_pages,
            partitions_leaves_out_system_partitions,
            partitions_leaves_out_users_whose_records_are_gone,
            partitions_is_stable_under_inserts_between_pages,
            partitions_refuses_bad_limits_and_cursors,
        ] $($fixture)+ }
    };
}

/// One test per case that opens the data a second time.
#[macro_export]
macro_rules! durable_health_data {
    ($($fixture:tt)+) => {
        $crate::tests_of! { health_data [
            a_commit_is_there_after_the_store_is_opened_again,
            a_commit_is_visible_to_another_process_at_once,
            of_two_processes_that_race_on_one_precondition_exactly_one_succeeds,
        ] $($fixture)+ }
    };
}

type Repository = Arc<dyn HealthDataRepository>;

fn fresh_user() -> Partition {
    Partition::User(UserId(unique()))
}

fn sort(text: &str) -> SortKey {
    SortKey::new(text).unwrap()
}

fn key(partition: Partition, text: &str) -> RecordKey {
    RecordKey { partition, kind: Kind::Segment, sort: sort(text) }
}

/// Keys of a fresh user.
fn keys<const N: usize>(texts: [&str; N]) -> [RecordKey; N] {
    let user = fresh_user();
    texts.map(|text| key(user, text))
}

fn query(partition: Partition, limit: usize, direction: Direction) -> Query {
    Query { limit, direction, ..Query::new(partition, Kind::Segment, SortRange::all()) }
}

fn sorts(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.key.sort.as_str()).collect()
}

async fn insert(repository: &Repository, key: &RecordKey) {
    repository.commit(vec![Write::insert(key.clone(), key.sort.as_str().to_owned())]).await.unwrap();
}

async fn put(repository: &Repository, key: &RecordKey, version: u64, body: &'static str) {
    let write = Write::put(key.clone(), Version(version), body, Precondition::None);
    repository.commit(vec![write]).await.unwrap();
}

/// Version and body of what is stored.
async fn stored(repository: &Repository, key: &RecordKey) -> Option<(u64, Bytes)> {
    repository.get(key).await.unwrap().map(|record| (record.version.0, record.body))
}

/// What [`stored`] answers for a record that [`put`] wrote.
#[expect(clippy::unnecessary_wraps, reason = "it is compared with what `stored` answers")]
fn as_put(version: u64, body: &'static str) -> Option<(u64, Bytes)> {
    Some((version, Bytes::from_static(body.as_bytes())))
}

/// All pages of `query` from its cursor on.
async fn all_pages(repository: &Repository, mut query: Query) -> Vec<Vec<Record>> {
    let mut pages = Vec::new();
    loop {
        let page = repository.query(&query).await.unwrap();
        assert!(page.items.len() <= query.limit, "a page holds more than was asked");
        pages.push(page.items);
        assert!(pages.len() < 1000, "the pages do not end");
        query.cursor = page.next;
        if query.cursor.is_none() {
            return pages;
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_a_list() {
        crate::support::assert_all_listed(
            include_str!("health_data.rs"),
            &[
                include_str!("health_data/commit.rs"),
                include_str!("health_data/durable.rs"),
                include_str!("health_data/preconditions.rs"),
                include_str!("health_data/query.rs"),
                include_str!("health_data/read.rs"),
            ],
        );
    }
}
