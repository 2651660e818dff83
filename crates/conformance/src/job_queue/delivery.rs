use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use ports::{NewMessage, QueueStats};
use tokio::sync::Barrier;

use super::{LEASE, bodies, keyed, message, receive, receive_one};
use crate::{
    JobQueueFixture,
    support::{in_time, unique},
    time::after,
};

pub async fn a_published_message_is_delivered_as_it_was_published(fixture: JobQueueFixture) {
    let body: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let earliest = fixture.time.now();
    let id = fixture.queue.publish(keyed("a key/1", body.clone())).await.unwrap();
    let latest = fixture.time.now();

    let lease = receive_one(&*fixture.queue).await;
    assert_eq!((lease.id, lease.body), (id, body));
    assert_eq!(lease.ordering_key.as_deref(), Some("a key/1"));
    assert_eq!(lease.delivery_count, 1);
    assert!((earliest..=latest).contains(&lease.published_at), "published at {}", lease.published_at);
    assert!(lease.expires_at >= after(latest, LEASE), "leased until {}", lease.expires_at);
    fixture.queue.ack(&lease.receipt).await.unwrap();

    fixture.queue.publish(message("without a key")).await.unwrap();
    assert_eq!(receive_one(&*fixture.queue).await.ordering_key, None);
}

pub async fn messages_without_a_key_are_all_delivered(fixture: JobQueueFixture) {
    let texts = ["a", "b", "c", "d", "e"];
    for text in texts {
        fixture.queue.publish(message(text)).await.unwrap();
    }
    assert_eq!(bodies(&receive(&*fixture.queue).await), texts);
}

fn delayed(body: &'static str, delay: Duration) -> NewMessage {
    NewMessage { delay, ..message(body) }
}

pub async fn a_delayed_message_is_not_delivered_before_its_delay(fixture: JobQueueFixture) {
    fixture.queue.publish(delayed("late", Duration::from_secs(5))).await.unwrap();
    assert!(receive(&*fixture.queue).await.is_empty());
    fixture.time.advance(Duration::from_secs(3)).await;
    assert!(receive(&*fixture.queue).await.is_empty());
    fixture.time.advance(Duration::from_secs(2)).await;
    let lease = receive_one(&*fixture.queue).await;
    assert_eq!((lease.body, lease.delivery_count), ("late".into(), 1));
}

pub async fn a_delay_holds_up_nobody_else(fixture: JobQueueFixture) {
    fixture.queue.publish(delayed("late", Duration::from_secs(5))).await.unwrap();
    fixture.queue.publish(message("now")).await.unwrap();
    assert_eq!(receive_one(&*fixture.queue).await.body, "now");
}

fn dedup(dedup_id: &str, body: &'static str) -> NewMessage {
    NewMessage { dedup_id: Some(dedup_id.to_owned()), ..message(body) }
}

pub async fn a_second_publish_of_a_dedup_id_queues_nothing(fixture: JobQueueFixture) {
    let dedup_id = unique().to_string();
    let first = fixture.queue.publish(dedup(&dedup_id, "first")).await.unwrap();
    let second = fixture.queue.publish(dedup(&dedup_id, "second")).await.unwrap();
    assert_eq!(second, first);
    assert_eq!(receive_one(&*fixture.queue).await.body, "first");
}

pub async fn a_dedup_id_is_remembered_after_the_ack(fixture: JobQueueFixture) {
    let dedup_id = unique().to_string();
    let first = fixture.queue.publish(dedup(&dedup_id, "first")).await.unwrap();
    let lease = receive_one(&*fixture.queue).await;
    fixture.queue.ack(&lease.receipt).await.unwrap();
    assert_eq!(fixture.queue.publish(dedup(&dedup_id, "second")).await.unwrap(), first);
    assert!(receive(&*fixture.queue).await.is_empty());
}

pub async fn a_dedup_id_is_remembered_for_five_minutes(fixture: JobQueueFixture) {
    let dedup_id = unique().to_string();
    let first = fixture.queue.publish(dedup(&dedup_id, "first")).await.unwrap();
    let lease = receive_one(&*fixture.queue).await;
    fixture.queue.ack(&lease.receipt).await.unwrap();
    fixture.time.advance(Duration::from_mins(5) - Duration::from_secs(5)).await;
    assert_eq!(fixture.queue.publish(dedup(&dedup_id, "second")).await.unwrap(), first);
    assert!(receive(&*fixture.queue).await.is_empty());
}

pub async fn other_dedup_ids_are_other_messages(fixture: JobQueueFixture) {
    for body in ["a", "b", "c"] {
        fixture.queue.publish(dedup(&unique().to_string(), body)).await.unwrap();
    }
    fixture.queue.publish(message("without")).await.unwrap();
    fixture.queue.publish(message("without")).await.unwrap();
    assert_eq!(bodies(&receive(&*fixture.queue).await), ["a", "b", "c", "without", "without"]);
}

pub async fn of_several_publishes_of_a_dedup_id_that_race_one_is_queued(fixture: JobQueueFixture) {
    const RIVALS: usize = 4;
    for _ in 0..10 {
        let (dedup_id, start) = (unique().to_string(), Arc::new(Barrier::new(RIVALS)));
        let publishes = (0..RIVALS).map(|_| {
            let (queue, start) = (Arc::clone(&fixture.queue), Arc::clone(&start));
            let message = dedup(&dedup_id, "once");
            tokio::spawn(async move {
                start.wait().await;
                queue.publish(message).await.unwrap()
            })
        });
        let ids: Vec<_> = in_time(join_all(publishes)).await.into_iter().map(|id| id.unwrap()).collect();
        let lease = receive_one(&*fixture.queue).await;
        assert!(ids.iter().all(|id| *id == lease.id), "a publish was answered with the id of no message");
        fixture.queue.ack(&lease.receipt).await.unwrap();
    }
}

pub async fn stats_count_what_is_not_acknowledged(fixture: JobQueueFixture) {
    fixture.queue.publish(message("leased")).await.unwrap();
    let leased = receive_one(&*fixture.queue).await;
    fixture.time.advance(Duration::from_secs(1)).await;
    fixture.queue.publish(message("leased later")).await.unwrap();
    let second = receive_one(&*fixture.queue).await;
    fixture.queue.publish(delayed("delayed", Duration::from_secs(5))).await.unwrap();
    fixture.queue.publish(message("waiting")).await.unwrap();
    let stats = fixture.queue.stats().await.unwrap();
    assert_eq!(stats, QueueStats { depth: 4, dead: 0, oldest_published_at: Some(leased.published_at) });

    fixture.queue.ack(&leased.receipt).await.unwrap();
    let stats = fixture.queue.stats().await.unwrap();
    assert_eq!(stats, QueueStats { depth: 3, dead: 0, oldest_published_at: Some(second.published_at) });
    assert!(second.published_at > leased.published_at);
}

pub async fn stats_of_an_empty_queue_are_zero(fixture: JobQueueFixture) {
    assert_eq!(fixture.queue.stats().await.unwrap(), QueueStats::default());
    fixture.queue.publish(message("x")).await.unwrap();
    let lease = receive_one(&*fixture.queue).await;
    fixture.queue.ack(&lease.receipt).await.unwrap();
    assert_eq!(fixture.queue.stats().await.unwrap(), QueueStats::default());
}
