use std::{collections::BTreeSet, time::Duration};

use ports::{Cursor, DeadLetter, ErrorKind, JobQueue, Lease, MessageId};

use super::{LEASE, dead_letters, keyed, message, publish_dead, receive, receive_one};
use crate::{JobQueueFixture, support::assert_refused};

/// Delivers the one message as often as the queue allows, giving it back in between by `give_back`.
async fn exhaust(fixture: &JobQueueFixture, give_back: impl AsyncFn(&Lease)) {
    for count in 1..=fixture.deliveries_max {
        let lease = receive_one(&*fixture.queue).await;
        assert_eq!(lease.delivery_count, count);
        give_back(&lease).await;
    }
}

/// Asserts that `id` is the one dead letter, was delivered as often as the queue allows, and comes no more.
async fn assert_given_up(fixture: &JobQueueFixture, id: &MessageId) {
    assert!(receive(&*fixture.queue).await.is_empty());
    let letters = dead_letters(&*fixture.queue, 10).await;
    let [DeadLetter { id: dead, body, reason, delivery_count }] = &letters[..] else {
        panic!("{} dead letters", letters.len())
    };
    assert_eq!((dead, &body[..], *delivery_count), (id, &b"hopeless"[..], fixture.deliveries_max));
    assert!(!reason.trim().is_empty(), "no reason is given");
}

pub async fn a_message_that_was_never_acknowledged_becomes_a_dead_letter(fixture: JobQueueFixture) {
    let id = fixture.queue.publish(message("hopeless")).await.unwrap();
    exhaust(&fixture, async |_| fixture.time.advance(LEASE).await).await;
    assert_given_up(&fixture, &id).await;
}

pub async fn a_message_that_was_always_released_becomes_a_dead_letter(fixture: JobQueueFixture) {
    let id = fixture.queue.publish(message("hopeless")).await.unwrap();
    exhaust(&fixture, async |lease| fixture.queue.release(&lease.receipt, Duration::ZERO).await.unwrap())
        .await;
    assert_given_up(&fixture, &id).await;
}

pub async fn the_last_delivery_can_still_be_acknowledged(fixture: JobQueueFixture) {
    fixture.queue.publish(message("at last")).await.unwrap();
    exhaust(&fixture, async |lease| {
        if lease.delivery_count < fixture.deliveries_max {
            fixture.time.advance(LEASE).await;
        } else {
            fixture.queue.ack(&lease.receipt).await.unwrap();
        }
    })
    .await;
    fixture.time.advance(LEASE).await;
    assert!(receive(&*fixture.queue).await.is_empty());
    assert!(dead_letters(&*fixture.queue, 10).await.is_empty());
}

pub async fn a_message_given_up_by_the_queue_no_longer_blocks_its_key(fixture: JobQueueFixture) {
    let id = fixture.queue.publish(keyed("key", "hopeless")).await.unwrap();
    fixture.queue.publish(keyed("key", "next")).await.unwrap();
    exhaust(&fixture, async |_| fixture.time.advance(LEASE).await).await;
    let next = receive_one(&*fixture.queue).await;
    assert_eq!((&next.body[..], next.delivery_count), (&b"next"[..], 1));
    assert_given_up(&fixture, &id).await;
}

pub async fn dead_letter_gives_a_message_up_at_once_with_the_reason(fixture: JobQueueFixture) {
    let id = fixture.queue.publish(message("unreadable")).await.unwrap();
    let lease = receive_one(&*fixture.queue).await;
    fixture.queue.dead_letter(&lease.receipt, "envelope version 9 is not known").await.unwrap();
    fixture.time.advance(LEASE).await;
    assert!(receive(&*fixture.queue).await.is_empty());
    let reason = "envelope version 9 is not known".to_owned();
    let expected = DeadLetter { id, body: "unreadable".into(), reason, delivery_count: 1 };
    assert_eq!(dead_letters(&*fixture.queue, 10).await, [expected]);
}

pub async fn a_message_given_up_by_its_holder_no_longer_blocks_its_key(fixture: JobQueueFixture) {
    publish_dead(&*fixture.queue, keyed("key", "bad")).await;
    fixture.queue.publish(keyed("key", "next")).await.unwrap();
    assert_eq!(receive_one(&*fixture.queue).await.body, "next");
}

pub async fn a_redriven_message_is_delivered_with_a_count_from_0(fixture: JobQueueFixture) {
    let id = fixture.queue.publish(keyed("key", "again")).await.unwrap();
    let first = receive_one(&*fixture.queue).await;
    fixture.queue.dead_letter(&first.receipt, "for now").await.unwrap();
    assert_eq!(fixture.queue.redrive(std::slice::from_ref(&id)).await.unwrap(), 1);

    let again = receive_one(&*fixture.queue).await;
    assert_eq!((&again.id, &again.body[..], again.delivery_count), (&id, &b"again"[..], 1));
    assert_eq!(again.ordering_key.as_deref(), Some("key"));
    assert_ne!(again.receipt, first.receipt);
    assert_refused(fixture.queue.ack(&first.receipt).await, ErrorKind::Conflict);
    assert!(dead_letters(&*fixture.queue, 10).await.is_empty());
    fixture.queue.ack(&again.receipt).await.unwrap();
    assert_eq!(fixture.queue.stats().await.unwrap().depth, 0);
}

pub async fn a_redriven_message_has_as_many_deliveries_as_a_new_one(fixture: JobQueueFixture) {
    let id = fixture.queue.publish(message("hopeless")).await.unwrap();
    for _ in 0..2 {
        exhaust(&fixture, async |_| fixture.time.advance(LEASE).await).await;
        assert_given_up(&fixture, &id).await;
        assert_eq!(fixture.queue.redrive(std::slice::from_ref(&id)).await.unwrap(), 1);
    }
}

pub async fn redrive_leaves_out_what_is_no_dead_letter(fixture: JobQueueFixture) {
    let dead = publish_dead(&*fixture.queue, message("dead")).await;
    let waiting = fixture.queue.publish(message("waiting")).await.unwrap();
    let unknown = MessageId("no such message".to_owned());
    let ids = [waiting, dead, unknown];
    assert_eq!(fixture.queue.redrive(&ids).await.unwrap(), 1);
    assert_eq!(fixture.queue.redrive(&ids).await.unwrap(), 0);
    assert_eq!(fixture.queue.redrive(&[]).await.unwrap(), 0);
    let leases = receive(&*fixture.queue).await;
    assert_eq!(super::bodies(&leases), ["dead", "waiting"]);
}

pub async fn stats_count_dead_letters_apart(fixture: JobQueueFixture) {
    let dead = publish_dead(&*fixture.queue, message("dead")).await;
    publish_dead(&*fixture.queue, message("dead, too")).await;
    fixture.time.advance(Duration::from_secs(1)).await;
    fixture.queue.publish(message("waiting")).await.unwrap();
    let stats = fixture.queue.stats().await.unwrap();
    assert_eq!((stats.depth, stats.dead), (1, 2));
    let waiting = receive_one(&*fixture.queue).await;
    assert_eq!(stats.oldest_published_at, Some(waiting.published_at));

    fixture.queue.redrive(&[dead]).await.unwrap();
    let stats = fixture.queue.stats().await.unwrap();
    assert_eq!((stats.depth, stats.dead), (2, 1));
}

pub async fn dead_letters_are_listed_by_pages(fixture: JobQueueFixture) {
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(publish_dead(&*fixture.queue, message(number.to_string())).await.0);
    }
    for limit in [1, 2, 3, 6, 1000] {
        let letters = dead_letters(&*fixture.queue, limit).await;
        assert_eq!(letters.len(), 6, "with pages of {limit}");
        let distinct: BTreeSet<_> = letters.into_iter().map(|letter| letter.id.0).collect();
        assert_eq!(distinct, ids.iter().cloned().collect());
    }
}

pub async fn dead_letters_refuses_bad_limits_and_cursors(fixture: JobQueueFixture) {
    let queue: &dyn JobQueue = &*fixture.queue;
    for limit in [0, 1001] {
        assert_refused(queue.dead_letters(None, limit).await, ErrorKind::InvalidInput);
    }
    for text in ["", "not a cursor", "\u{1F980}"] {
        let cursor = Cursor(text.to_owned());
        assert_refused(queue.dead_letters(Some(&cursor), 10).await, ErrorKind::InvalidInput);
    }
}
