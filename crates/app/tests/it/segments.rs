//! Large segments are objects, and the many small ones of a day become one: nobody who reads or deletes notices.

use std::sync::Arc;

use app::{App, results::DayRange};
use domain::{
    record::{Kind, Partition, SortRange},
    segment::{self, Reference},
};
use ports::{Query, Record};

use crate::{
    bench::{app, body, caller, heart_rate, held, send},
    pipeline::settle,
};

async fn segments(app: &App, user: domain::ids::UserId) -> Vec<Record> {
    let query = Query::new(Partition::User(user), Kind::Segment, SortRange::all());
    app.platform.health_data.query(&query).await.unwrap().items
}

async fn objects(app: &App) -> Vec<String> {
    let page = app.platform.objects.list("segments/", None, 1000).await.unwrap();
    page.items.into_iter().map(|object| object.key.as_str().to_owned()).collect()
}

fn named(records: &[Record]) -> Vec<String> {
    let references = records.iter().filter_map(|record| Reference::decode(&record.body).unwrap());
    let mut names: Vec<String> = references.map(|reference| reference.object).collect();
    names.sort();
    names
}

/// `count` uploads of ten readings each, one after the other.
async fn uploads(app: &Arc<App>, count: u128) -> Vec<domain::ids::UploadId> {
    let anna = caller(1);
    let mut ids = Vec::new();
    for upload in 0..count {
        let readings: Vec<_> = (0..10)
            .map(|at| {
                let number = upload * 10 + at;
                heart_rate(number + 1, u32::try_from(number).unwrap(), 60.0 + (number % 40) as f64)
            })
            .collect();
        ids.push(send(app, &anna, body(&readings, &[])).await.id);
    }
    settle(app).await;
    ids
}

#[tokio::test]
async fn the_segments_of_a_day_stay_few_and_hold_the_same() {
    let (app, anna) = (app(), caller(1));
    uploads(&app, 20).await;
    let records = segments(&app, anna.user_id).await;
    assert!(records.len() < 6, "{} segments", records.len());
    let held = held(&app, &anna).await;
    assert_eq!(held.len(), 200);
    for (at, (_, second, value)) in (0_i32..).zip(&held) {
        assert_eq!((*second, *value), (i64::from(8 * 3_600 + at), 60.0 + f64::from(at % 40)));
    }
    let days = app.daily(&anna, DayRange::default()).await.unwrap();
    assert_eq!((days[0].heart_rate_min.value(), days[0].heart_rate_max.value()), (Some(60.0), Some(99.0)));
    // Known readings are known in whichever segment they are.
    let again = send(&app, &anna, body(&[heart_rate(1, 0, 60.0), heart_rate(151, 150, 90.0)], &[])).await;
    assert_eq!((again.receipts.accepted, again.receipts.duplicate), (0, 2));
}

#[tokio::test]
async fn no_object_is_left_that_no_record_names() {
    let (app, anna) = (app(), caller(1));
    let ids = uploads(&app, 12).await;
    let records = segments(&app, anna.user_id).await;
    assert!(!named(&records).is_empty(), "ten readings with ids are too large for a record here");
    assert_eq!(objects(&app).await, named(&records));
    app.delete_upload(&anna, ids[3]).await.unwrap();
    settle(&app).await;
    assert_eq!(objects(&app).await, named(&segments(&app, anna.user_id).await));
    assert_eq!(held(&app, &anna).await.len(), 110);
}

#[tokio::test]
async fn an_upload_whose_segment_was_joined_is_deleted_from_it() {
    let (app, anna) = (app(), caller(1));
    let ids = uploads(&app, 9).await;
    assert_eq!(app.delete_upload(&anna, ids[4]).await.unwrap(), 10);
    settle(&app).await;
    assert!(held(&app, &anna).await.iter().all(|(_, second, _)| !(40..50).contains(&(second - 8 * 3_600))));
    // Its bytes are gone, and not only hidden.
    for record in segments(&app, anna.user_id).await {
        let bytes = match Reference::decode(&record.body).unwrap() {
            None => record.body,
            Some(reference) => {
                let key = ports::ObjectKey::new(reference.object).unwrap();
                let object = app.platform.objects.get(&key, None).await.unwrap().unwrap();
                ports::objects::collect(object.body, 1 << 20).await.unwrap()
            }
        };
        let ids = segment::decode_ids(&bytes).unwrap();
        assert!(ids.iter().all(|id| !(41..=50).contains(&id.0.as_u128())), "{ids:?}");
    }
    let again = send(&app, &anna, body(&[heart_rate(45, 44, 64.0)], &[])).await;
    assert_eq!((again.receipts.accepted, again.receipts.rejected_total), (0, 1));
}

#[tokio::test]
async fn an_older_version_stays_known_after_its_segment_was_joined() {
    let (app, anna) = (app(), caller(1));
    send(&app, &anna, body(&[heart_rate(1, 0, 61.0)], &[])).await;
    send(&app, &anna, body(&[heart_rate(1, 0, 99.0)], &[])).await;
    uploads(&app, 6).await;
    // The first is sent once more, late.
    let late = send(&app, &anna, body(&[heart_rate(1, 0, 61.0)], &[])).await;
    assert_eq!((late.receipts.accepted, late.receipts.duplicate), (0, 1));
    settle(&app).await;
    let held = held(&app, &anna).await;
    let newest = held.iter().find(|(id, ..)| id.as_u128() == 1).map(|(_, _, value)| *value);
    assert_eq!(newest, Some(60.0));
}

#[tokio::test]
async fn uploads_and_deletions_while_segments_are_joined_lose_nothing() {
    let (app, anna) = (app(), caller(1));
    let stop = tokio_util::sync::CancellationToken::new();
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let (app, stop) = (Arc::clone(&app), stop.clone());
            tokio::spawn(async move { app.run_worker(stop, std::time::Duration::from_secs(10)).await })
        })
        .collect();
    let mut expected = std::collections::BTreeSet::new();
    let mut sent = Vec::new();
    for upload in 0..40_u128 {
        let readings: Vec<_> = (0..5)
            .map(|at| heart_rate(upload * 5 + at + 1, u32::try_from(upload * 5 + at).unwrap(), 70.0))
            .collect();
        let kept = send(&app, &anna, body(&readings, &[])).await;
        assert_eq!(kept.receipts.accepted, 5);
        expected.extend(upload * 5 + 1..=upload * 5 + 5);
        sent.push((kept.id, upload));
        while app.sweep_outbox().await.unwrap() > 0 {}
        if upload % 4 == 3 {
            let (id, number) = sent.swap_remove((upload / 2) as usize % sent.len());
            assert_eq!(app.delete_upload(&anna, id).await.unwrap(), 5);
            for reading in number * 5 + 1..=number * 5 + 5 {
                expected.remove(&reading);
            }
        }
    }
    settle(&app).await;
    stop.cancel();
    for worker in workers {
        worker.await.unwrap();
    }
    let found: std::collections::BTreeSet<u128> =
        held(&app, &anna).await.iter().map(|(id, ..)| id.as_u128()).collect();
    assert_eq!(found, expected);
    let records = segments(&app, anna.user_id).await;
    assert_eq!(objects(&app).await, named(&records));
}

#[tokio::test]
async fn objects_that_no_record_names_go_when_they_are_old() {
    let clock = Arc::new(conformance::ManualClock::default());
    let app = crate::bench::app_at(Arc::clone(&clock), |store| store);
    let anna = caller(1);
    uploads(&app, 4).await;
    let kept = objects(&app).await;
    assert!(!kept.is_empty());
    // Of a commit that a crash came before.
    let folder = kept[0].rsplit_once('/').unwrap().0;
    let stray = ports::ObjectKey::new(format!("{folder}/{}.segment", app.platform.ids.next())).unwrap();
    app.platform.objects.put(&stray, ports::objects::once("x"), ports::PutOptions::default()).await.unwrap();
    assert_eq!(
        app.sweep_objects(std::time::Duration::ZERO).await.unwrap(),
        0,
        "perhaps its commit is yet to come"
    );
    // Ids tell the time by the system's clock.
    let now =
        ports::Clock::now(&ports::SystemClock).as_millisecond() - ports::Clock::now(&*clock).as_millisecond();
    clock.advance_by(std::time::Duration::from_millis(u64::try_from(now).unwrap() + 25 * 3_600_000));
    assert_eq!(app.sweep_objects(std::time::Duration::ZERO).await.unwrap(), 1);
    assert_eq!(objects(&app).await, kept);
    assert_eq!(held(&app, &anna).await.len(), 40);
}
