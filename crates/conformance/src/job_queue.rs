//! Cases of [`ports::JobQueue`].

mod dead;
mod delivery;
mod durable;
mod leases;
mod order;
mod purge;
mod receiving;

use std::time::Duration;

use bytes::Bytes;
use ports::{Cursor, DeadLetter, JobQueue, Lease, MessageId, NewMessage};

pub use self::{dead::*, delivery::*, durable::*, leases::*, order::*, purge::*, receiving::*};

/// One test per case on the queue of `$fixture`, a future of a [`JobQueueFixture`](crate::JobQueueFixture).
#[macro_export]
macro_rules! job_queue {
    ($($fixture:tt)+) => {
        $crate::tests_of! { job_queue [
            // Publishing and delivery.
            a_published_message_is_delivered_as_it_was_published,
            messages_without_a_key_are_all_delivered,
            a_delayed_message_is_not_delivered_before_its_delay,
            a_delay_holds_up_nobody_else,
            a_second_publish_of_a_dedup_id_queues_nothing,
            a_dedup_id_is_remembered_after_the_ack,
            a_dedup_id_is_remembered_for_five_minutes,
            other_dedup_ids_are_other_messages,
            of_several_publishes_of_a_dedup_id_that_race_one_is_queued,
            stats_count_what_is_not_acknowledged,
            stats_of_an_empty_queue_are_zero,
            purge_removes_the_messages_of_one_key_in_every_state,
            a_purged_message_can_still_be_acknowledged,
            // Receiving.
            receive_returns_at_most_as_many_as_asked,
            receive_refuses_0_and_more_than_10,
            receive_on_an_empty_queue_waits_and_returns_nothing,
            receive_without_a_wait_returns_at_once,
            a_waiting_receive_returns_early_when_a_message_comes,
            a_waiting_receive_gets_a_message_whose_delay_ends,
            a_waiting_receive_gets_a_message_that_is_released,
            several_receivers_never_hold_the_same_message,
            // Leases.
            a_leased_message_is_delivered_to_nobody_else,
            a_message_whose_lease_ran_out_is_delivered_again,
            each_delivery_has_a_receipt_of_its_own_and_a_higher_count,
            extend_moves_the_end_of_the_lease,
            extend_may_move_the_end_nearer,
            extend_with_a_replaced_receipt_is_a_conflict,
            an_acknowledged_message_is_never_delivered_again,
            acknowledging_twice_succeeds,
            an_ack_with_a_replaced_receipt_removes_nothing,
            a_release_with_a_replaced_receipt_changes_nothing,
            a_released_message_is_delivered_after_its_delay,
            a_message_released_without_a_delay_is_delivered_at_once,
            // Ordering keys.
            messages_of_a_key_come_one_at_a_time_and_in_order,
            a_leased_message_holds_up_its_key_and_no_other,
            a_released_message_holds_up_its_key_and_no_other,
            a_delayed_message_holds_up_its_key_and_no_other,
            a_message_whose_lease_ran_out_comes_before_later_ones_of_its_key,
            racing_receivers_keep_the_order_of_each_key,
            // Dead letters.
            a_message_that_was_never_acknowledged_becomes_a_dead_letter,
            a_message_that_was_always_released_becomes_a_dead_letter,
            the_last_delivery_can_still_be_acknowledged,
            a_message_given_up_by_the_queue_no_longer_blocks_its_key,
            dead_letter_gives_a_message_up_at_once_with_the_reason,
            a_message_given_up_by_its_holder_no_longer_blocks_its_key,
            a_redriven_message_is_delivered_with_a_count_from_0,
            a_redriven_message_has_as_many_deliveries_as_a_new_one,
            redrive_leaves_out_what_is_no_dead_letter,
            stats_count_dead_letters_apart,
            dead_letters_are_listed_by_pages,
            dead_letters_refuses_bad_limits_and_cursors,
        ] $($fixture)+ }
    };
}

/// One test per case that opens the data a second time.
#[macro_export]
macro_rules! durable_job_queue {
    ($($fixture:tt)+) => {
        $crate::tests_of! { job_queue [
            a_publish_is_there_after_the_queue_is_opened_again,
            leases_and_acks_and_dead_letters_are_there_after_the_queue_is_opened_again,
            two_processes_never_hold_the_same_message,
            a_waiting_receive_gets_what_another_process_publishes,
        ] $($fixture)+ }
    };
}

const LEASE: Duration = Duration::from_secs(10);

fn message(body: impl Into<Bytes>) -> NewMessage {
    NewMessage { body: body.into(), ..NewMessage::default() }
}

fn keyed(key: &str, body: impl Into<Bytes>) -> NewMessage {
    NewMessage { ordering_key: Some(key.to_owned()), ..message(body) }
}

/// What can be delivered now, at most ten.
async fn receive(queue: &dyn JobQueue) -> Vec<Lease> {
    queue.receive(10, Duration::ZERO, LEASE).await.unwrap()
}

/// The one message that can be delivered now.
async fn receive_one(queue: &dyn JobQueue) -> Lease {
    let mut leases = receive(queue).await;
    assert_eq!(leases.len(), 1, "one message was expected: {:?}", bodies(&leases));
    leases.remove(0)
}

/// The bodies as text, in the order of their bytes: messages without a key may come in any order.
fn bodies(leases: &[Lease]) -> Vec<String> {
    let mut bodies: Vec<_> =
        leases.iter().map(|lease| String::from_utf8_lossy(&lease.body).into_owned()).collect();
    bodies.sort();
    bodies
}

/// All dead letters, by pages of `limit`.
async fn dead_letters(queue: &dyn JobQueue, limit: usize) -> Vec<DeadLetter> {
    let mut all = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = queue.dead_letters(cursor.as_ref(), limit).await.unwrap();
        assert!(page.items.len() <= limit, "a page holds more than was asked");
        all.extend(page.items);
        assert!(all.len() < 10_000, "the pages do not end");
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

/// Publishes `message` and gives it up at once.
async fn publish_dead(queue: &dyn JobQueue, message: NewMessage) -> MessageId {
    let id = queue.publish(message).await.unwrap();
    let lease = receive_one(queue).await;
    assert_eq!(lease.id, id);
    queue.dead_letter(&lease.receipt, "given up").await.unwrap();
    id
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_a_list() {
        crate::support::assert_all_listed(
            include_str!("job_queue.rs"),
            &[
                include_str!("job_queue/dead.rs"),
                include_str!("job_queue/delivery.rs"),
                include_str!("job_queue/durable.rs"),
                include_str!("job_queue/leases.rs"),
                include_str!("job_queue/order.rs"),
                include_str!("job_queue/purge.rs"),
                include_str!("job_queue/receiving.rs"),
            ],
        );
    }
}
