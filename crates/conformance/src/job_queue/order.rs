use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use ports::{JobQueue, Lease, NewMessage};

use super::{LEASE, bodies, keyed, message, receive, receive_one};
use crate::{JobQueueFixture, support::in_time};

async fn publish_all(queue: &dyn JobQueue, key: &str, texts: &[&'static str]) {
    for text in texts {
        queue.publish(keyed(key, *text)).await.unwrap();
    }
}

pub async fn messages_of_a_key_come_one_at_a_time_and_in_order(fixture: JobQueueFixture) {
    let texts = ["1", "2", "3", "4", "5"];
    publish_all(&*fixture.queue, "key", &texts).await;
    for text in texts {
        let lease = receive_one(&*fixture.queue).await;
        assert_eq!(lease.body, text);
        assert!(receive(&*fixture.queue).await.is_empty(), "a second message of the key came");
        fixture.queue.ack(&lease.receipt).await.unwrap();
    }
}

/// Publishes another key's message and one without a key, and asserts that they come, and no other.
async fn assert_only_others_come(queue: &dyn JobQueue) {
    queue.publish(keyed("another key", "another's")).await.unwrap();
    queue.publish(message("nobody's")).await.unwrap();
    let leases = receive(queue).await;
    assert_eq!(bodies(&leases), ["another's", "nobody's"]);
    for Lease { receipt, .. } in leases {
        queue.ack(&receipt).await.unwrap();
    }
}

pub async fn a_leased_message_holds_up_its_key_and_no_other(fixture: JobQueueFixture) {
    publish_all(&*fixture.queue, "key", &["1", "2"]).await;
    let first = receive_one(&*fixture.queue).await;
    assert_eq!(first.body, "1");
    assert_only_others_come(&*fixture.queue).await;
    fixture.queue.ack(&first.receipt).await.unwrap();
    assert_eq!(receive_one(&*fixture.queue).await.body, "2");
}

pub async fn a_released_message_holds_up_its_key_and_no_other(fixture: JobQueueFixture) {
    publish_all(&*fixture.queue, "key", &["1", "2"]).await;
    let first = receive_one(&*fixture.queue).await;
    fixture.queue.release(&first.receipt, Duration::from_secs(5)).await.unwrap();
    assert_only_others_come(&*fixture.queue).await;
    fixture.time.advance(Duration::from_secs(5)).await;
    let again = receive_one(&*fixture.queue).await;
    assert_eq!((again.body, again.delivery_count), ("1".into(), 2));
}

pub async fn a_delayed_message_holds_up_its_key_and_no_other(fixture: JobQueueFixture) {
    let delayed = NewMessage { delay: Duration::from_secs(5), ..keyed("key", "1") };
    fixture.queue.publish(delayed).await.unwrap();
    publish_all(&*fixture.queue, "key", &["2"]).await;
    assert_only_others_come(&*fixture.queue).await;
    fixture.time.advance(Duration::from_secs(5)).await;
    assert_eq!(receive_one(&*fixture.queue).await.body, "1");
}

pub async fn a_message_whose_lease_ran_out_comes_before_later_ones_of_its_key(fixture: JobQueueFixture) {
    publish_all(&*fixture.queue, "key", &["1", "2", "3"]).await;
    assert_eq!(receive_one(&*fixture.queue).await.body, "1");
    fixture.time.advance(LEASE).await;
    let again = receive_one(&*fixture.queue).await;
    assert_eq!((&again.body[..], again.delivery_count), (&b"1"[..], 2));
    fixture.queue.ack(&again.receipt).await.unwrap();
    assert_eq!(receive_one(&*fixture.queue).await.body, "2");
}

pub async fn racing_receivers_keep_the_order_of_each_key(fixture: JobQueueFixture) {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    const PER_KEY: u32 = 10;
    for number in 0..PER_KEY {
        for key in KEYS {
            fixture.queue.publish(keyed(key, number.to_string())).await.unwrap();
        }
    }
    let seen: Arc<Mutex<BTreeMap<String, Vec<u32>>>> = Arc::default();
    let receivers = (0..3).map(|_| {
        let (queue, seen) = (Arc::clone(&fixture.queue), Arc::clone(&seen));
        tokio::spawn(async move {
            while seen.lock().unwrap().values().map(Vec::len).sum::<usize>() < KEYS.len() * PER_KEY as usize {
                for lease in queue.receive(2, Duration::from_millis(10), LEASE).await.unwrap() {
                    let number = String::from_utf8_lossy(&lease.body).parse().unwrap();
                    seen.lock().unwrap().entry(lease.ordering_key.unwrap()).or_default().push(number);
                    queue.ack(&lease.receipt).await.unwrap();
                }
            }
        })
    });
    for receiver in in_time(join_all(receivers)).await {
        receiver.unwrap();
    }
    let seen = seen.lock().unwrap();
    for key in KEYS {
        assert_eq!(seen[key], (0..PER_KEY).collect::<Vec<_>>(), "the messages of {key}");
    }
}
