use std::{pin::pin, sync::Arc, time::Duration};

use futures::poll;
use ports::JobQueue;

use super::{
    LEASE, bodies, dead_letters, keyed, message, publish_dead, receive, receive_one, receiving::drain_at_once,
};
use crate::{
    JobQueueFixture, Reopen,
    support::{PATIENCE, in_time},
};

fn reopen(fixture: &JobQueueFixture) -> &Reopen<dyn JobQueue> {
    fixture.reopen.as_ref().expect("a durable queue's fixture can open it again")
}

pub async fn a_publish_is_there_after_the_queue_is_opened_again(mut fixture: JobQueueFixture) {
    let mut ids = Vec::new();
    for text in ["1", "2", "3"] {
        ids.push(fixture.queue.publish(keyed("key", text)).await.unwrap());
    }
    fixture.queue = reopen(&fixture)().await;
    for (id, text) in ids.into_iter().zip(["1", "2", "3"]) {
        let lease = receive_one(&*fixture.queue).await;
        assert_eq!((lease.id, &lease.body[..]), (id, text.as_bytes()));
        assert_eq!(lease.ordering_key.as_deref(), Some("key"));
        fixture.queue.ack(&lease.receipt).await.unwrap();
    }
}

pub async fn leases_and_acks_and_dead_letters_are_there_after_the_queue_is_opened_again(
    mut fixture: JobQueueFixture,
) {
    let dead = publish_dead(&*fixture.queue, message("dead")).await;
    fixture.queue.publish(message("done")).await.unwrap();
    let done = receive_one(&*fixture.queue).await;
    fixture.queue.ack(&done.receipt).await.unwrap();
    fixture.queue.publish(message("leased")).await.unwrap();
    let leased = receive_one(&*fixture.queue).await;

    fixture.queue = reopen(&fixture)().await;
    assert!(receive(&*fixture.queue).await.is_empty());
    fixture.queue.extend(&leased.receipt, LEASE).await.unwrap();
    let letters = dead_letters(&*fixture.queue, 10).await;
    assert_eq!(letters.into_iter().map(|letter| letter.id).collect::<Vec<_>>(), [dead]);
    fixture.time.advance(LEASE).await;
    let again = receive_one(&*fixture.queue).await;
    assert_eq!((again.id, again.delivery_count), (leased.id, 2));
}

pub async fn two_processes_never_hold_the_same_message(fixture: JobQueueFixture) {
    for number in 0..60 {
        fixture.queue.publish(message(number.to_string())).await.unwrap();
    }
    drain_at_once(vec![Arc::clone(&fixture.queue), reopen(&fixture)().await], 60).await;
}

pub async fn a_waiting_receive_gets_what_another_process_publishes(fixture: JobQueueFixture) {
    let other = reopen(&fixture)().await;
    let mut waiting = pin!(other.receive(10, 10 * PATIENCE, LEASE));
    assert!(poll!(&mut waiting).is_pending(), "it did not wait");
    fixture.queue.publish(message("from afar")).await.unwrap();
    let leases = in_time(waiting).await.unwrap();
    assert_eq!(bodies(&leases), ["from afar"]);
    assert!(fixture.queue.receive(10, Duration::ZERO, LEASE).await.unwrap().is_empty());
}
