//! Cases of [`ports::EventBus`].

use domain::ids::{EventId, UserId};
use futures::StreamExt as _;
use ports::{Event, EventBus, EventStream};

use crate::{
    EventBusFixture,
    support::{in_time, unique},
};

/// One test per case on the bus of `$fixture`, a future of an [`EventBusFixture`](crate::EventBusFixture).
#[macro_export]
macro_rules! event_bus {
    ($($fixture:tt)+) => {
        $crate::tests_of! { event_bus [
            a_subscriber_gets_an_event_as_it_was_published,
            two_subscribers_each_get_every_event,
            events_of_one_publisher_arrive_in_order,
            nothing_from_before_the_subscription_is_delivered,
            publishing_without_a_subscriber_succeeds,
            a_subscriber_that_does_not_read_holds_up_nobody,
            a_subscriber_that_was_too_slow_is_told_and_goes_on,
            dropping_a_stream_ends_its_subscription_only,
            forgetting_a_user_keeps_the_events_of_others,
        ] $($fixture)+ }
    };
}

/// One test per case that opens the bus a second time, as another process would.
#[macro_export]
macro_rules! shared_event_bus {
    ($($fixture:tt)+) => {
        $crate::tests_of! { event_bus [
            a_subscriber_gets_the_events_of_another_process_in_order,
        ] $($fixture)+ }
    };
}

fn event(body: &str) -> Event {
    let (id, user_id) = (EventId(unique()), UserId(unique()));
    Event { id, user_id, name: "upload.completed".to_owned(), body: body.to_owned().into() }
}

async fn next(events: &mut EventStream) -> Event {
    in_time(events.next()).await.expect("the stream goes on").expect("nothing was missed")
}

/// Publishes `count` events; answers them.
async fn publish(bus: &dyn EventBus, count: usize) -> Vec<Event> {
    let events: Vec<Event> = (0..count).map(|number| event(&number.to_string())).collect();
    for event in &events {
        bus.publish(event.clone()).await.unwrap();
    }
    events
}

async fn take(events: &mut EventStream, count: usize) -> Vec<Event> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(next(events).await);
    }
    taken
}

pub async fn a_subscriber_gets_an_event_as_it_was_published(fixture: EventBusFixture) {
    let mut events = fixture.bus.subscribe().await.unwrap();
    let published = event(r#"{"processing_id":"x"}"#);
    fixture.bus.publish(published.clone()).await.unwrap();
    assert_eq!(next(&mut events).await, published);
}

pub async fn two_subscribers_each_get_every_event(fixture: EventBusFixture) {
    let mut one = fixture.bus.subscribe().await.unwrap();
    let mut two = fixture.bus.subscribe().await.unwrap();
    let published = publish(&*fixture.bus, 20).await;
    assert_eq!(take(&mut one, 20).await, published);
    assert_eq!(take(&mut two, 20).await, published);
}

pub async fn events_of_one_publisher_arrive_in_order(fixture: EventBusFixture) {
    let mut events = fixture.bus.subscribe().await.unwrap();
    for _ in 0..5 {
        let published = publish(&*fixture.bus, fixture.backlog_max.min(50)).await;
        assert_eq!(take(&mut events, published.len()).await, published);
    }
}

pub async fn nothing_from_before_the_subscription_is_delivered(fixture: EventBusFixture) {
    publish(&*fixture.bus, 5).await;
    let mut events = fixture.bus.subscribe().await.unwrap();
    let published = publish(&*fixture.bus, 1).await;
    assert_eq!(take(&mut events, 1).await, published);
}

pub async fn publishing_without_a_subscriber_succeeds(fixture: EventBusFixture) {
    in_time(publish(&*fixture.bus, 5)).await;
}

pub async fn a_subscriber_that_does_not_read_holds_up_nobody(fixture: EventBusFixture) {
    let _asleep = fixture.bus.subscribe().await.unwrap();
    let mut awake = fixture.bus.subscribe().await.unwrap();
    for _ in 0..fixture.backlog_max + 10 {
        let published = in_time(publish(&*fixture.bus, 1)).await;
        assert_eq!(take(&mut awake, 1).await, published);
    }
}

pub async fn a_subscriber_that_was_too_slow_is_told_and_goes_on(fixture: EventBusFixture) {
    let mut events = fixture.bus.subscribe().await.unwrap();
    publish(&*fixture.bus, 2 * fixture.backlog_max + 10).await;
    let last = event("the last one");
    fixture.bus.publish(last.clone()).await.unwrap();
    let mut missed = 0;
    let read_to_the_last = async {
        loop {
            match events.next().await.expect("the stream goes on") {
                Ok(event) if event == last => break,
                Ok(_) => {}
                Err(_) => missed += 1,
            }
        }
    };
    in_time(read_to_the_last).await;
    assert!(missed > 0, "nobody said that events were missed");
    let published = publish(&*fixture.bus, 3).await;
    assert_eq!(take(&mut events, 3).await, published);
}

pub async fn dropping_a_stream_ends_its_subscription_only(fixture: EventBusFixture) {
    let mut stays = fixture.bus.subscribe().await.unwrap();
    for _ in 0..50 {
        let mut leaves = fixture.bus.subscribe().await.unwrap();
        let published = publish(&*fixture.bus, 1).await;
        assert_eq!(take(&mut leaves, 1).await, published);
        drop(leaves);
        assert_eq!(take(&mut stays, 1).await, published);
    }
    let published = in_time(publish(&*fixture.bus, 1)).await;
    assert_eq!(take(&mut stays, 1).await, published);
}

pub async fn forgetting_a_user_keeps_the_events_of_others(fixture: EventBusFixture) {
    let mut events = fixture.bus.subscribe().await.unwrap();
    let published = publish(&*fixture.bus, 5).await;
    // Read, so that none of them waits for this subscriber when its user is forgotten.
    assert_eq!(take(&mut events, 5).await, published);
    fixture.bus.forget(published[2].user_id).await.unwrap();
    assert_eq!(fixture.bus.forget(published[2].user_id).await.unwrap(), 0, "something was left");
    let later = publish(&*fixture.bus, 5).await;
    let mut got = Vec::new();
    while got.len() < later.len() {
        // An error item may say that some are missing.
        got.extend(in_time(events.next()).await.expect("the stream goes on").ok());
    }
    assert_eq!(got, later);
}

pub async fn a_subscriber_gets_the_events_of_another_process_in_order(fixture: EventBusFixture) {
    let reopen = fixture.reopen.as_ref().expect("a shared bus's fixture can open it again");
    let other = reopen().await;
    let mut events = fixture.bus.subscribe().await.unwrap();
    let published = publish(&*other, 20).await;
    assert_eq!(take(&mut events, 20).await, published);
    let mut events = other.subscribe().await.unwrap();
    let published = publish(&*fixture.bus, 20).await;
    assert_eq!(take(&mut events, 20).await, published);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_a_list() {
        let source = include_str!("event_bus.rs");
        crate::support::assert_all_listed(source, &[source]);
    }
}
