use std::{collections::BTreeSet, time::Duration};

use ports::{ErrorKind, JobQueue, Lease};

use super::{LEASE, message, receive, receive_one};
use crate::{JobQueueFixture, support::assert_refused, time::after};

const SECOND: Duration = Duration::from_secs(1);
const NEARLY_A_LEASE: Duration = Duration::from_secs(8);

async fn published_and_leased(queue: &dyn JobQueue) -> Lease {
    queue.publish(message("x")).await.unwrap();
    receive_one(queue).await
}

/// A lease that ran out, and the delivery that replaced it.
async fn replaced(fixture: &JobQueueFixture) -> (Lease, Lease) {
    let first = published_and_leased(&*fixture.queue).await;
    fixture.time.advance(LEASE).await;
    let second = receive_one(&*fixture.queue).await;
    assert_eq!((&second.id, second.delivery_count), (&first.id, 2));
    (first, second)
}

pub async fn a_leased_message_is_delivered_to_nobody_else(fixture: JobQueueFixture) {
    published_and_leased(&*fixture.queue).await;
    assert!(receive(&*fixture.queue).await.is_empty());
    fixture.time.advance(NEARLY_A_LEASE).await;
    assert!(receive(&*fixture.queue).await.is_empty());
}

pub async fn a_message_whose_lease_ran_out_is_delivered_again(fixture: JobQueueFixture) {
    let (first, second) = replaced(&fixture).await;
    assert_eq!((&second.id, &second.body), (&first.id, &first.body));
    assert_eq!(second.published_at, first.published_at);
    assert!(second.expires_at > first.expires_at);
    fixture.queue.ack(&second.receipt).await.unwrap();
}

pub async fn each_delivery_has_a_receipt_of_its_own_and_a_higher_count(fixture: JobQueueFixture) {
    fixture.queue.publish(message("x")).await.unwrap();
    let mut receipts = BTreeSet::new();
    for count in 1..=fixture.deliveries_max {
        let lease = receive_one(&*fixture.queue).await;
        assert_eq!(lease.delivery_count, count);
        assert!(receipts.insert(lease.receipt.0), "a receipt came twice");
        fixture.time.advance(LEASE).await;
    }
}

pub async fn extend_moves_the_end_of_the_lease(fixture: JobQueueFixture) {
    let lease = published_and_leased(&*fixture.queue).await;
    fixture.time.advance(NEARLY_A_LEASE).await;
    let earliest = after(fixture.time.now(), 2 * LEASE);
    let end = fixture.queue.extend(&lease.receipt, 2 * LEASE).await.unwrap();
    assert!((earliest..=after(fixture.time.now(), 2 * LEASE)).contains(&end), "extended to {end}");

    fixture.time.advance(LEASE + NEARLY_A_LEASE).await;
    assert!(receive(&*fixture.queue).await.is_empty());
    fixture.time.advance(2 * SECOND).await;
    assert_eq!(receive_one(&*fixture.queue).await.delivery_count, 2);
}

pub async fn extend_may_move_the_end_nearer(fixture: JobQueueFixture) {
    let lease = published_and_leased(&*fixture.queue).await;
    fixture.queue.extend(&lease.receipt, SECOND).await.unwrap();
    fixture.time.advance(SECOND).await;
    assert_eq!(receive_one(&*fixture.queue).await.delivery_count, 2);
}

pub async fn extend_with_a_replaced_receipt_is_a_conflict(fixture: JobQueueFixture) {
    let (old, new) = replaced(&fixture).await;
    assert_refused(fixture.queue.extend(&old.receipt, 10 * LEASE).await, ErrorKind::Conflict);
    fixture.time.advance(LEASE).await;
    // The new lease ended when it would have; so nothing was extended.
    let leases = receive(&*fixture.queue).await;
    let is_given_up = fixture.deliveries_max == 2;
    assert_eq!(leases.len(), usize::from(!is_given_up));
    assert!(leases.iter().all(|lease| lease.id == new.id && lease.delivery_count == 3));
}

pub async fn an_acknowledged_message_is_never_delivered_again(fixture: JobQueueFixture) {
    let lease = published_and_leased(&*fixture.queue).await;
    fixture.queue.ack(&lease.receipt).await.unwrap();
    for _ in 0..3 {
        assert!(receive(&*fixture.queue).await.is_empty());
        fixture.time.advance(LEASE).await;
    }
    assert_eq!(fixture.queue.stats().await.unwrap().depth, 0);
}

pub async fn acknowledging_twice_succeeds(fixture: JobQueueFixture) {
    let lease = published_and_leased(&*fixture.queue).await;
    fixture.queue.ack(&lease.receipt).await.unwrap();
    fixture.queue.ack(&lease.receipt).await.unwrap();
    assert!(receive(&*fixture.queue).await.is_empty());
}

pub async fn an_ack_with_a_replaced_receipt_removes_nothing(fixture: JobQueueFixture) {
    let (old, new) = replaced(&fixture).await;
    assert_refused(fixture.queue.ack(&old.receipt).await, ErrorKind::Conflict);
    assert_eq!(fixture.queue.stats().await.unwrap().depth, 1);
    // The holder still holds it.
    fixture.queue.extend(&new.receipt, LEASE).await.unwrap();
    fixture.queue.ack(&new.receipt).await.unwrap();
    assert_eq!(fixture.queue.stats().await.unwrap().depth, 0);
}

pub async fn a_release_with_a_replaced_receipt_changes_nothing(fixture: JobQueueFixture) {
    let (old, new) = replaced(&fixture).await;
    assert_refused(fixture.queue.release(&old.receipt, Duration::ZERO).await, ErrorKind::Conflict);
    assert!(receive(&*fixture.queue).await.is_empty(), "the holder's message was given to another");
    fixture.queue.ack(&new.receipt).await.unwrap();
}

pub async fn a_released_message_is_delivered_after_its_delay(fixture: JobQueueFixture) {
    let first = published_and_leased(&*fixture.queue).await;
    fixture.queue.release(&first.receipt, Duration::from_secs(5)).await.unwrap();
    assert!(receive(&*fixture.queue).await.is_empty());
    fixture.time.advance(Duration::from_secs(3)).await;
    assert!(receive(&*fixture.queue).await.is_empty());
    fixture.time.advance(Duration::from_secs(2)).await;
    let second = receive_one(&*fixture.queue).await;
    assert_eq!((&second.id, second.delivery_count), (&first.id, 2));
    assert_ne!(second.receipt, first.receipt);
}

pub async fn a_message_released_without_a_delay_is_delivered_at_once(fixture: JobQueueFixture) {
    let first = published_and_leased(&*fixture.queue).await;
    fixture.queue.release(&first.receipt, Duration::ZERO).await.unwrap();
    let second = receive_one(&*fixture.queue).await;
    assert_eq!((&second.id, second.delivery_count), (&first.id, 2));
}
