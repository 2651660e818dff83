use std::{
    collections::BTreeSet,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{future::join_all, poll};
use ports::{ErrorKind, JobQueue, NewMessage};
use tokio::sync::Barrier;

use super::{LEASE, message, receive, receive_one};
use crate::{
    JobQueueFixture,
    support::{PATIENCE, assert_refused, in_time},
};

pub async fn receive_returns_at_most_as_many_as_asked(fixture: JobQueueFixture) {
    for number in 0..15 {
        fixture.queue.publish(message(format!("{number}"))).await.unwrap();
    }
    let mut seen = BTreeSet::new();
    for max in [1, 3, 10, 10] {
        let leases = fixture.queue.receive(max, Duration::ZERO, LEASE).await.unwrap();
        assert!((1..=max).contains(&leases.len()), "{} messages where {max} were asked", leases.len());
        seen.extend(leases.into_iter().map(|lease| lease.body));
    }
    assert_eq!(seen.len(), 15);
}

pub async fn receive_refuses_0_and_more_than_10(fixture: JobQueueFixture) {
    fixture.queue.publish(message("x")).await.unwrap();
    for max in [0, 11] {
        assert_refused(fixture.queue.receive(max, Duration::ZERO, LEASE).await, ErrorKind::InvalidInput);
    }
    assert_eq!(receive_one(&*fixture.queue).await.delivery_count, 1);
}

pub async fn receive_on_an_empty_queue_waits_and_returns_nothing(fixture: JobQueueFixture) {
    let begin = Instant::now();
    let leases = in_time(fixture.queue.receive(10, Duration::from_millis(300), LEASE)).await.unwrap();
    assert!(leases.is_empty());
    assert!(begin.elapsed() >= Duration::from_millis(290), "it waited for {:?} only", begin.elapsed());
}

pub async fn receive_without_a_wait_returns_at_once(fixture: JobQueueFixture) {
    let answer = tokio::time::timeout(Duration::from_secs(5), receive(&*fixture.queue)).await;
    assert!(answer.expect("it waits").is_empty());
}

/// Asserts that a `receive` that has begun to wait returns long before its wait ends, once `happen` is over.
async fn assert_wakes(queue: &dyn JobQueue, happen: impl Future<Output = ()>) {
    let mut waiting = pin!(queue.receive(10, 10 * PATIENCE, LEASE));
    assert!(poll!(&mut waiting).is_pending(), "it did not wait");
    happen.await;
    let leases = in_time(waiting).await.unwrap();
    assert_eq!(super::bodies(&leases), ["awaited"]);
}

pub async fn a_waiting_receive_returns_early_when_a_message_comes(fixture: JobQueueFixture) {
    let publish = async {
        fixture.queue.publish(message("awaited")).await.unwrap();
    };
    assert_wakes(&*fixture.queue, publish).await;
}

pub async fn a_waiting_receive_gets_a_message_whose_delay_ends(fixture: JobQueueFixture) {
    let delayed = NewMessage { delay: Duration::from_secs(5), ..message("awaited") };
    fixture.queue.publish(delayed).await.unwrap();
    assert_wakes(&*fixture.queue, fixture.time.advance(Duration::from_secs(5))).await;
}

pub async fn a_waiting_receive_gets_a_message_that_is_released(fixture: JobQueueFixture) {
    fixture.queue.publish(message("awaited")).await.unwrap();
    let lease = receive_one(&*fixture.queue).await;
    let release = async { fixture.queue.release(&lease.receipt, Duration::ZERO).await.unwrap() };
    assert_wakes(&*fixture.queue, release).await;
}

/// Lets each receiver take until nothing is left; asserts that each of `count` messages was taken by one of them.
pub(super) async fn drain_at_once(receivers: Vec<Arc<dyn JobQueue>>, count: usize) {
    let start = Arc::new(Barrier::new(receivers.len()));
    let tasks = receivers.into_iter().map(|queue| {
        let start = Arc::clone(&start);
        tokio::spawn(async move {
            start.wait().await;
            let mut taken = Vec::new();
            loop {
                let leases = queue.receive(3, Duration::ZERO, LEASE).await.unwrap();
                if leases.is_empty() {
                    return taken;
                }
                taken.extend(leases.into_iter().map(|lease| lease.id.0));
            }
        })
    });
    let taken: Vec<String> =
        in_time(join_all(tasks)).await.into_iter().flat_map(|ids| ids.unwrap()).collect();
    assert_eq!(taken.len(), count);
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>().len(), count, "two receivers held one message");
}

pub async fn several_receivers_never_hold_the_same_message(fixture: JobQueueFixture) {
    for number in 0..60 {
        fixture.queue.publish(message(format!("{number}"))).await.unwrap();
    }
    drain_at_once(vec![Arc::clone(&fixture.queue); 4], 60).await;
}
