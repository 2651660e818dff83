//! Cases of [`ports::ObjectStore`].

mod durable;
mod list;
mod presign;
mod put;
mod range;
mod stream;

use bytes::Bytes;
use ports::{ByteRange, ObjectKey, ObjectMeta, ObjectStore, PutOptions, Sha256Digest, objects};
use sha2::{Digest as _, Sha256};

pub use self::{durable::*, list::*, presign::*, put::*, range::*, stream::*};
use crate::support::unique;

/// One test per case on the store of `$fixture`, a future of an [`ObjectStoreFixture`](crate::ObjectStoreFixture).
#[macro_export]
macro_rules! object_store {
    ($($fixture:tt)+) => {
        $crate::tests_of! { object_store [
            // Putting, reading, deleting.
            what_was_put_reads_back_with_size_type_and_digest,
            head_says_the_same_as_get,
            an_object_of_0_bytes_is_an_object,
            what_was_never_put_is_none,
            a_put_replaces_the_earlier_bytes_and_changes_the_version,
            the_same_bytes_again_are_another_version,
            if_absent_puts_where_nothing_is,
            if_absent_is_a_conflict_where_something_is_and_changes_nothing,
            if_absent_puts_again_after_a_delete,
            of_several_puts_that_race_with_if_absent_exactly_one_succeeds,
            readers_never_see_half_of_a_replacement,
            an_unfinished_put_is_not_visible,
            a_put_whose_stream_fails_stores_nothing,
            a_replacement_whose_stream_fails_keeps_the_earlier_object,
            a_put_with_its_right_digest_is_stored,
            a_put_with_another_digest_stores_nothing,
            a_replacement_with_another_digest_keeps_the_earlier_object,
            deleting_twice_succeeds,
            what_was_deleted_is_none,
            names_that_differ_only_in_case_are_two_objects,
            a_name_and_a_name_below_it_are_two_objects,
            a_name_may_have_512_characters,
            // Ranges.
            a_range_returns_exactly_its_bytes,
            an_open_range_returns_the_rest,
            a_range_that_ends_beyond_the_object_is_cut,
            a_range_that_starts_beyond_the_object_is_invalid,
            a_range_tells_of_the_whole_object,
            a_range_of_what_is_not_there_is_none,
            a_range_within_a_large_object_returns_exactly_its_bytes,
            // Streams.
            a_body_of_many_small_pieces_reads_back_whole,
            a_body_of_100_mb_is_put_and_read_with_bounded_memory,
            a_reader_may_leave_in_the_middle,
            // Lists.
            a_list_shows_the_names_with_the_prefix_in_byte_order,
            a_prefix_may_end_within_a_segment,
            a_list_tells_what_head_tells,
            names_that_look_like_files_of_a_store_are_listed,
            a_prefix_that_nothing_has_is_one_empty_page,
            a_deleted_object_is_not_listed,
            pages_show_each_object_once,
            paging_of_names_is_stable_under_inserts_and_deletes,
            a_list_refuses_bad_limits_and_cursors,
            // Presigned URLs.
            a_presigned_url_names_its_object_and_is_signed,
            each_presigned_permission_has_a_signature_of_its_own,
            a_presigned_url_is_issued_for_1_second_to_7_days,
        ] $($fixture)+ }
    };
}

/// One test per case that opens the data a second time.
#[macro_export]
macro_rules! durable_object_store {
    ($($fixture:tt)+) => {
        $crate::tests_of! { object_store [
            a_put_is_there_after_the_store_is_opened_again,
            a_put_is_visible_to_another_process_at_once,
            of_two_processes_that_race_with_if_absent_exactly_one_succeeds,
        ] $($fixture)+ }
    };
}

/// A name that no other test has, which ends in `text`.
fn fresh(text: &str) -> ObjectKey {
    below(&fresh_prefix(), text)
}

fn fresh_prefix() -> String {
    format!("conformance/{}/", unique())
}

fn below(prefix: &str, text: &str) -> ObjectKey {
    ObjectKey::new(format!("{prefix}{text}")).unwrap()
}

fn digest(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest(Sha256::digest(bytes).into())
}

async fn put(store: &dyn ObjectStore, key: &ObjectKey, bytes: impl Into<Bytes>) -> ObjectMeta {
    store.put(key, objects::once(bytes), PutOptions::default()).await.unwrap()
}

/// The bytes of `range`; `None` if nothing is there.
async fn read(store: &dyn ObjectStore, key: &ObjectKey, range: Option<ByteRange>) -> Option<Bytes> {
    let object = store.get(key, range).await.unwrap()?;
    Some(objects::collect(object.body, 64 << 20).await.unwrap())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_a_list() {
        crate::support::assert_all_listed(
            include_str!("object_store.rs"),
            &[
                include_str!("object_store/durable.rs"),
                include_str!("object_store/list.rs"),
                include_str!("object_store/presign.rs"),
                include_str!("object_store/put.rs"),
                include_str!("object_store/range.rs"),
                include_str!("object_store/stream.rs"),
            ],
        );
    }
}
