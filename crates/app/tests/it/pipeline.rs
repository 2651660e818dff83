//! From the outbox to the results.

use app::{App, results::DayRange};
use domain::{
    job::JobState,
    record::{Kind, Partition, SortRange},
};
use ports::{Query, Record};
use strum::IntoEnumIterator;

pub(crate) use crate::bench::settle;
use crate::bench::{app, body, caller, heart_rate, send};

async fn records(app: &App, partition: Partition) -> Vec<Record> {
    let mut all = Vec::new();
    for kind in Kind::iter().filter(|kind| *kind != Kind::Audit) {
        let query = Query::new(partition, kind, SortRange::all());
        all.extend(app.platform.health_data.query(&query).await.unwrap().items);
    }
    all
}

#[tokio::test]
async fn an_upload_is_processed_and_its_status_says_so() {
    let (app, anna) = (app(), caller(1));
    let upload = send(&app, &anna, body(&[heart_rate(1, 0, 61.0), heart_rate(2, 60, 83.0)], &[])).await;
    assert_eq!(app.upload(&anna, upload.id).await.unwrap().state, JobState::Stored);
    while app.sweep_outbox().await.unwrap() > 0 {}
    assert_eq!(app.upload(&anna, upload.id).await.unwrap().state, JobState::Queued);
    settle(&app).await;
    assert_eq!(app.upload(&anna, upload.id).await.unwrap().state, JobState::Completed);
    let days = app.daily(&anna, DayRange::default()).await.unwrap();
    assert_eq!(days.len(), 1);
    assert_eq!((days[0].heart_rate_min.value(), days[0].heart_rate_max.value()), (Some(61.0), Some(83.0)));
    assert_eq!(days[0].step_count.value(), None);
    assert_eq!(app.events_after(anna.user_id, None, 100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_message_that_is_delivered_again_changes_nothing() {
    let (app, anna) = (app(), caller(1));
    let upload = send(&app, &anna, body(&[heart_rate(1, 0, 61.0)], &[])).await;
    settle(&app).await;
    let before = records(&app, Partition::User(anna.user_id)).await;
    let work = domain::envelope::Work::ProcessUpload { upload_id: upload.id };
    let envelope = domain::envelope::Envelope::new(anna.user_id, work);
    let message =
        ports::NewMessage { body: envelope.encode().unwrap().into(), ..ports::NewMessage::default() };
    app.platform.jobs.publish(message).await.unwrap();
    settle(&app).await;
    assert_eq!(records(&app, Partition::User(anna.user_id)).await, before);
}

#[tokio::test]
async fn an_upload_of_known_readings_changes_no_result() {
    let (app, anna) = (app(), caller(1));
    send(&app, &anna, body(&[heart_rate(1, 0, 61.0)], &[])).await;
    settle(&app).await;
    let of_kind =
        |records: Vec<Record>| records.into_iter().filter(|record| record.key.kind == Kind::Daily).collect();
    let before: Vec<Record> = of_kind(records(&app, Partition::User(anna.user_id)).await);
    send(&app, &anna, body(&[heart_rate(1, 0, 61.0)], &[])).await;
    settle(&app).await;
    let after: Vec<Record> = of_kind(records(&app, Partition::User(anna.user_id)).await);
    assert_eq!(after, before);
    assert_eq!(after.len(), 1);
}

#[tokio::test]
async fn a_message_that_is_no_envelope_becomes_a_dead_letter() {
    let app = app();
    let message = ports::NewMessage { body: "nonsense".into(), ..ports::NewMessage::default() };
    app.platform.jobs.publish(message).await.unwrap();
    settle(&app).await;
    let dead = app.platform.jobs.dead_letters(None, 10).await.unwrap().items;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].reason, "the message is not an envelope");
}

#[tokio::test]
async fn an_intent_that_cannot_be_read_does_not_hold_up_others() {
    let (app, anna) = (app(), caller(1));
    // A newer build's intent, in the shard of this user, before theirs.
    let key = domain::record::RecordKey::outbox(anna.user_id, uuid::Uuid::nil());
    let newer = ports::Write::insert(key, "{\"of\":\"a newer build\"}");
    app.platform.health_data.commit(vec![newer]).await.unwrap();
    let upload = send(&app, &anna, body(&[heart_rate(1, 0, 61.0)], &[])).await;
    assert!(app.sweep_outbox().await.is_err(), "it is told of");
    assert_eq!(app.upload(&anna, upload.id).await.unwrap().state, JobState::Queued);
}

fn asleep(id: u128, start: &str, end: &str) -> serde_json::Value {
    serde_json::json!({
        "identifier": uuid::Uuid::from_u128(id).to_string(), "type": "HKCategoryTypeIdentifierSleepAnalysis",
        "value": 3, "start_date": start, "end_date": end,
    })
}

#[tokio::test]
async fn a_night_that_comes_in_two_uploads_is_one_night() {
    let (app, anna) = (app(), caller(1));
    let body = |sample| serde_json::to_vec(&serde_json::json!({ "category_samples": [sample] })).unwrap();
    send(&app, &anna, body(asleep(1, "2024-03-01T22:00:00Z", "2024-03-01T23:50:00Z"))).await;
    settle(&app).await;
    send(&app, &anna, body(asleep(2, "2024-03-02T00:00:00Z", "2024-03-02T06:00:00Z"))).await;
    settle(&app).await;
    let nights = app.nights(&anna, DayRange::default()).await.unwrap();
    let found: Vec<_> =
        nights.iter().map(|night| (night.date.to_string(), night.total_sleep_time.value())).collect();
    assert_eq!(found, [("2024-03-02".to_owned(), Some(470.0))]);
}
