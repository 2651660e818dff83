//! The order of events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use app::{
    App, Platform,
    events::{Position, StoredEvent},
};
use conformance::ManualClock;
use domain::ids::{EventId, UserId};
use ports::{Clock, IdSource};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    bench::{app, app_at, body, caller, heart_rate, send, settings},
    pipeline::settle,
};

async fn ids(app: &App, user: UserId, after: Option<EventId>) -> Vec<EventId> {
    app.events_after(user, after, 1000).await.unwrap().into_iter().map(|(id, ..)| id).collect()
}

/// Of a process whose clock runs backwards.
struct Backwards(AtomicU64);

impl IdSource for Backwards {
    fn next(&self) -> Uuid {
        Uuid::from_u64_pair(self.0.fetch_sub(1, Ordering::Relaxed), 0x8000_0000_0000_0000)
    }
}

#[tokio::test]
async fn a_process_whose_clock_is_behind_puts_its_events_behind_the_others() {
    let first = app();
    let anna = caller(1);
    send(&first, &anna, body(&[heart_rate(1, 0, 61.0)], &[])).await;
    settle(&first).await;
    let ids_behind = Arc::new(Backwards(AtomicU64::new(0x0190_0000_0000_7000)));
    let platform = Platform { ids: ids_behind, ..first.platform.clone() };
    let behind = Arc::new(App::new(platform, settings()));
    let mut seen = ids(&first, anna.user_id, None).await;
    for number in 2..6 {
        send(&behind, &anna, body(&[heart_rate(number, 60, 62.0)], &[])).await;
        settle(&behind).await;
        let last = *seen.last().unwrap();
        let new = ids(&first, anna.user_id, Some(last)).await;
        assert_eq!(new.len(), 1, "behind the last one comes the next one");
        seen.extend(new);
    }
    assert_eq!(ids(&first, anna.user_id, None).await, seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_listener_that_reads_behind_the_last_event_misses_none_of_many_at_once() {
    let (app, anna) = (app(), caller(1));
    for number in 0..40 {
        send(&app, &anna, body(&[heart_rate(number, u32::try_from(number).unwrap() * 60, 61.0)], &[])).await;
    }
    while app.sweep_outbox().await.unwrap() > 0 {}
    let stop = CancellationToken::new();
    let worker = tokio::spawn({
        let (app, stop) = (Arc::clone(&app), stop.clone());
        async move { app.run_worker(stop, Duration::from_secs(10)).await }
    });
    let mut seen: Vec<EventId> = Vec::new();
    while seen.len() < 40 {
        let new = ids(&app, anna.user_id, seen.last().copied()).await;
        seen.extend(new);
        assert!(seen.is_sorted());
        // Nothing came to be before what was seen.
        assert_eq!(ids(&app, anna.user_id, None).await[..seen.len()], seen);
        tokio::task::yield_now().await;
    }
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_or_says_that_it_cannot() {
    let clock = Arc::new(ManualClock::default());
    let (app, anna) = (app_at(Arc::clone(&clock), |store| store), caller(1));
    let user = anna.user_id;
    let position = async |last| app.event_position(user, last).await.unwrap();
    let unknown = EventId(Uuid::from_u128(77));
    let beginning = position(None).await;
    assert!(!beginning.has_gap);
    assert_eq!(position(Some(unknown)).await, Position { after: beginning.after, has_gap: true });
    for number in 1..4 {
        send(&app, &anna, body(&[heart_rate(number, 60, 61.0)], &[])).await;
        settle(&app).await;
        clock.advance_by(Duration::from_hours(72));
    }
    // Nine days have passed: the first is gone.
    let events = app.events_after(user, None, 10).await.unwrap();
    let kept: Vec<StoredEvent> =
        events.iter().map(|(_, _, body)| serde_json::from_slice(body).unwrap()).collect();
    assert_eq!(kept.len(), 2);
    for event in &kept {
        assert_eq!(position(Some(event.id)).await, Position { after: event.id, has_gap: false });
    }
    let latest = kept[1].id;
    assert_eq!(position(None).await, Position { after: latest, has_gap: false });
    let from_the_oldest = Position { after: beginning.after, has_gap: true };
    assert_eq!(position(Some(unknown)).await, from_the_oldest);
    assert_eq!(position(Some(beginning.after)).await, from_the_oldest, "the first one is gone");
    assert_eq!(
        ids(&app, user, Some(beginning.after)).await,
        kept.iter().map(|event| event.id).collect::<Vec<_>>()
    );
    // The latest is where it was when it is gone, too: nothing has come since.
    clock.advance_by(Duration::from_hours(720));
    assert!(ids(&app, user, None).await.is_empty());
    assert_eq!(position(Some(latest)).await, Position { after: latest, has_gap: false });
    assert!(clock.now() > kept[1].at);
}

#[tokio::test]
async fn pages_join_without_a_seam() {
    let (app, anna) = (app(), caller(1));
    for number in 0..7 {
        send(&app, &anna, body(&[heart_rate(number, 60, 61.0)], &[])).await;
        settle(&app).await;
    }
    let all = ids(&app, anna.user_id, None).await;
    let mut joined: Vec<EventId> = Vec::new();
    loop {
        let page = app.events_after(anna.user_id, joined.last().copied(), 3).await.unwrap();
        let is_last = page.len() < 3;
        joined.extend(page.into_iter().map(|(id, ..)| id));
        if is_last {
            break;
        }
    }
    assert_eq!((joined.len(), joined), (7, all));
}
