//! Who is erased stays erased, whatever was on its way.

use std::{sync::Arc, time::Duration};

use app::{
    App, AppError,
    consents::{Terms, Whom},
    export::Piece,
    records::UploadKind,
};
use conformance::{ManualClock, TimeControl as _};
use domain::record::{Kind, Partition, RecordKey, SortRange};
use ports::{Denial, ObjectKey, Precondition, PutOptions, Query, Write, denial};
use strum::IntoEnumIterator;

use crate::{
    bench::{app, app_at, body, caller, heart_rate, send},
    pipeline::settle,
};

/// Everything that is kept in a user's partition.
async fn kept(app: &App, number: u128) -> usize {
    let mut count = 0;
    for kind in Kind::iter() {
        let query = Query::new(Partition::User(caller(number).user_id), kind, SortRange::all());
        count += app.platform.health_data.query(&query).await.unwrap().items.len();
    }
    count
}

fn is_refused<T>(outcome: Result<T, AppError>) -> bool {
    matches!(outcome, Err(AppError::Port(error)) if denial(&error) == Some(Denial::InvalidToken))
}

/// A body that is too large for its record.
fn large(first: u128) -> Vec<u8> {
    let samples: Vec<_> = (0..600)
        .map(|n| heart_rate(first + n, u32::try_from(n).unwrap(), 60.0 + (n * 7919 % 997) as f64 / 13.0))
        .collect();
    body(&samples, &[])
}

#[tokio::test]
async fn nothing_is_added_once_an_erasure_has_begun() {
    let (app, anna, berta) = (app(), caller(1), caller(2));
    send(&app, &anna, body(&[heart_rate(1, 0, 61.0)], &[])).await;
    send(&app, &berta, body(&[heart_rate(2, 0, 62.0)], &[])).await;
    app.begin_erasure(&anna).await.unwrap();
    let counts = app.begin_erasure(&anna).await.unwrap();
    // The timeline is remembered: this upload would not have looked.
    for content in [body(&[heart_rate(3, 9, 63.0)], &[]), large(1000)] {
        assert!(is_refused(app.receive(&anna, UploadKind::HealthKit, content.into()).await));
    }
    assert!(is_refused(app.daily(&anna, app::results::DayRange::default()).await), "reads are audited");
    assert_eq!(
        app.platform.objects.list("raw/", None, 10).await.unwrap().items.len(),
        0,
        "its raw body is left"
    );
    let receipt = app.finish_erasure(anna.user_id, counts).await.unwrap();
    assert!(
        receipt.stores.iter().any(|emptied| emptied.store == "records" && emptied.count >= 4),
        "{receipt:?}"
    );
    assert_eq!(kept(&app, 1).await, 0);
    assert!(is_refused(
        app.receive(&anna, UploadKind::HealthKit, body(&[heart_rate(3, 9, 63.0)], &[]).into()).await
    ));
    assert_eq!(kept(&app, 1).await, 0);
    // Nobody else is touched.
    settle(&app).await;
    send(&app, &berta, large(5000)).await;
    assert!(kept(&app, 2).await > 4);
    assert_eq!(app.platform.objects.list("raw/", None, 10).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn raw_bodies_under_the_names_of_the_first_builds_are_erased_as_well() {
    let (app, anna, berta) = (app(), caller(1), caller(2));
    for owner in [&anna, &berta] {
        let key = ObjectKey::new(format!("raw/{}/{}.zst", owner.user_id, anna.user_id)).unwrap();
        let content = ports::objects::once(&b"what a phone sent"[..]);
        app.platform.objects.put(&key, content, PutOptions::default()).await.unwrap();
    }
    let counts = app.begin_erasure(&anna).await.unwrap();
    let receipt = app.finish_erasure(anna.user_id, counts).await.unwrap();
    assert!(receipt.stores.iter().any(|emptied| emptied.store == "objects" && emptied.count == 1));
    let left = app.platform.objects.list("raw/", None, 10).await.unwrap().items;
    let left: Vec<_> = left.iter().map(|object| object.key.as_str().to_owned()).collect();
    assert_eq!(left, [format!("raw/{}/{}.zst", berta.user_id, anna.user_id)]);
}

#[tokio::test]
async fn jobs_of_the_erased_are_neither_done_nor_buried() {
    let (app, anna) = (app(), caller(1));
    let upload = send(&app, &anna, body(&[heart_rate(1, 0, 61.0)], &[])).await;
    while app.sweep_outbox().await.unwrap() > 0 {}
    // A relay that read its intent before it was removed publishes it afterwards.
    let message =
        app.platform.jobs.receive(1, Duration::ZERO, Duration::from_secs(1)).await.unwrap().remove(0);
    let counts = app.begin_erasure(&anna).await.unwrap();
    app.finish_erasure(anna.user_id, counts).await.unwrap();
    assert_eq!(app.platform.jobs.stats().await.unwrap().depth, 0);
    let late = ports::NewMessage {
        body: message.body,
        ordering_key: message.ordering_key,
        ..ports::NewMessage::default()
    };
    app.platform.jobs.publish(late).await.unwrap();
    settle(&app).await;
    let stats = app.platform.jobs.stats().await.unwrap();
    assert_eq!((stats.depth, stats.dead), (0, 0), "{} was buried", upload.id);
    assert_eq!(kept(&app, 1).await, 0);
}

#[tokio::test]
async fn an_erasure_that_stopped_half_way_is_finished() {
    let clock: Arc<ManualClock> = Arc::default();
    let (app, anna) = (app_at(Arc::clone(&clock), |inner| inner), caller(1));
    send(&app, &anna, large(1)).await;
    app.begin_erasure(&anna).await.unwrap();
    // Some of it was done.
    let key = RecordKey::timeline(anna.user_id);
    app.platform.health_data.commit(vec![Write::delete(key, Precondition::None)]).await.unwrap();
    app.resume_erasures(Duration::from_secs(30)).await.unwrap();
    assert!(kept(&app, 1).await > 0, "whoever began may still be at it");
    clock.advance(Duration::from_secs(30)).await;
    app.resume_erasures(Duration::from_secs(30)).await.unwrap();
    assert_eq!(kept(&app, 1).await, 0);
    assert_eq!(app.platform.objects.list("", None, 10).await.unwrap().items.len(), 0);
    // What stays is one mark, and it names nobody.
    let (mut marks, id) = (Vec::new(), anna.user_id.to_string());
    for kind in Kind::iter() {
        let query = Query::new(Partition::Erasures, kind, SortRange::all());
        marks.extend(app.platform.health_data.query(&query).await.unwrap().items);
    }
    assert_eq!(marks.iter().map(|mark| mark.key.kind).collect::<Vec<_>>(), [Kind::Erasure]);
    let text = format!("{} {}", marks[0].key, String::from_utf8_lossy(&marks[0].body));
    assert!(!text.contains(&id) && !text.contains(&anna.user_id.0.simple().to_string()), "{text}");
    app.resume_erasures(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn an_export_is_read_only_as_fast_as_it_is_taken() {
    let (app, anna) = (app(), caller(1));
    for n in 0..40 {
        send(&app, &anna, body(&[heart_rate(n, u32::try_from(n).unwrap(), 61.0)], &[])).await;
    }
    let mut pieces = app.export(&anna).await.unwrap();
    // The reader sleeps; the writer fills what waits and no more.
    while pieces.len() < pieces.max_capacity() {
        tokio::task::yield_now().await;
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pieces.len(), pieces.max_capacity());
    let (mut files, mut readings) = (Vec::new(), 0);
    loop {
        match pieces.recv().await.expect("an end is said").unwrap() {
            Piece::File(name) => files.push(name),
            Piece::Readings(samples) => readings += samples.len(),
            Piece::End => break,
            Piece::Missing(name) => panic!("{name} is missing"),
            Piece::Line(_) | Piece::Bytes(_) => {}
        }
    }
    assert_eq!(readings, 40);
    assert_eq!(files.iter().filter(|name| name.starts_with("raw/")).count(), 40);
    assert!(pieces.recv().await.is_none());
}

#[tokio::test]
async fn a_consent_names_a_clinician_only() {
    let (app, anna) = (app(), caller(1));
    let refused = app.grant(&anna, Whom::Id(caller(2).user_id), Terms::default(), None).await;
    assert!(matches!(refused, Err(AppError::Parameter { name: "/clinician_id", .. })));
}
