//! What is deleted is gone, from the readings and from what was computed of them.

use app::{AppError, results::DayRange};

use crate::{
    bench::{app, body, caller, heart_rate, held, send},
    pipeline::settle,
};

#[tokio::test]
async fn a_deleted_upload_takes_its_readings_and_results_with_it() {
    let (app, anna) = (app(), caller(1));
    let kept = send(&app, &anna, body(&[heart_rate(1, 0, 61.0)], &[])).await;
    let gone = send(&app, &anna, body(&[heart_rate(1, 0, 61.0), heart_rate(2, 60, 140.0)], &[])).await;
    settle(&app).await;
    assert_eq!(app.daily(&anna, DayRange::default()).await.unwrap()[0].heart_rate_max.value(), Some(140.0));
    assert_eq!(app.delete_upload(&anna, gone.id).await.unwrap(), 1);
    assert_eq!(held(&app, &anna).await.len(), 1, "the other upload's reading stays");
    settle(&app).await;
    assert_eq!(app.daily(&anna, DayRange::default()).await.unwrap()[0].heart_rate_max.value(), Some(61.0));
    assert!(matches!(app.upload(&anna, gone.id).await, Err(AppError::NotFound)));
    assert!(matches!(app.delete_upload(&anna, gone.id).await, Err(AppError::NotFound)));
    assert!(app.upload(&anna, kept.id).await.is_ok());
    let again = send(&app, &anna, body(&[heart_rate(2, 60, 140.0)], &[])).await;
    assert_eq!((again.receipts.accepted, again.receipts.rejected_total), (0, 1));
    assert_eq!(again.receipts.rejected[0].code, "deleted");
}

#[tokio::test]
async fn a_day_whose_last_reading_is_deleted_has_no_results() {
    let (app, anna) = (app(), caller(1));
    let upload = send(&app, &anna, body(&[heart_rate(1, 0, 61.0)], &[])).await;
    settle(&app).await;
    assert_eq!(app.daily(&anna, DayRange::default()).await.unwrap().len(), 1);
    app.delete_upload(&anna, upload.id).await.unwrap();
    settle(&app).await;
    assert_eq!(app.daily(&anna, DayRange::default()).await.unwrap(), []);
}

#[tokio::test]
async fn samples_that_the_phone_deleted_leave_the_results() {
    let (app, anna) = (app(), caller(1));
    send(&app, &anna, body(&[heart_rate(1, 0, 61.0), heart_rate(2, 60, 140.0)], &[])).await;
    settle(&app).await;
    send(&app, &anna, body(&[], &[2])).await;
    assert_eq!(held(&app, &anna).await.len(), 1);
    settle(&app).await;
    assert_eq!(app.daily(&anna, DayRange::default()).await.unwrap()[0].heart_rate_max.value(), Some(61.0));
}

#[tokio::test]
async fn nobody_deletes_what_is_someone_elses() {
    let (app, anna) = (app(), caller(1));
    let upload = send(&app, &anna, body(&[heart_rate(1, 0, 61.0)], &[])).await;
    assert!(matches!(app.delete_upload(&caller(2), upload.id).await, Err(AppError::NotFound)));
    assert_eq!(held(&app, &anna).await.len(), 1);
}

/// Steps of one minute, at 08:00 of a day of March 2024; the same id makes a series.
fn steps(id: u128, day: u32, count: u32) -> serde_json::Value {
    serde_json::json!({
        "identifier": uuid::Uuid::from_u128(id).to_string(), "type": "HKQuantityTypeIdentifierStepCount", "unit": "count",
        "value": count, "start_date": format!("2024-02-{day:02}T08:00:00Z"), "end_date": format!("2024-02-{day:02}T08:01:00Z"),
    })
}

#[tokio::test]
async fn deleting_one_upload_of_a_series_leaves_the_others_points() {
    let (app, anna) = (app(), caller(1));
    let first = send(&app, &anna, body(&[steps(9, 1, 100)], &[])).await;
    send(&app, &anna, body(&[steps(9, 10, 70)], &[])).await;
    settle(&app).await;
    app.delete_upload(&anna, first.id).await.unwrap();
    settle(&app).await;
    let days = app.daily(&anna, DayRange::default()).await.unwrap();
    let found: Vec<_> = days.iter().map(|day| (day.date.to_string(), day.step_count.value())).collect();
    assert_eq!(found, [("2024-02-10".to_owned(), Some(70.0))]);
}

#[tokio::test]
async fn deleting_an_upload_that_deleted_samples_still_updates_their_days() {
    let (app, anna) = (app(), caller(1));
    send(&app, &anna, body(&[steps(1, 1, 500), steps(2, 1, 7)], &[])).await;
    settle(&app).await;
    let deleting = send(&app, &anna, body(&[], &[1])).await;
    app.delete_upload(&anna, deleting.id).await.unwrap();
    settle(&app).await;
    let day = &app.daily(&anna, DayRange::default()).await.unwrap()[0];
    // Both are of the same minute and source; what is left is the smaller.
    assert_eq!(day.step_count.value(), Some(7.0));
}

#[tokio::test]
async fn the_circadian_window_is_the_same_before_and_after_days_that_were_deleted() {
    let (app, anna) = (app(), caller(1));
    let days = |from, to| (from..to).map(|day| steps(u128::from(day), day, 100 + day)).collect::<Vec<_>>();
    send(&app, &anna, body(&days(1, 8), &[])).await;
    settle(&app).await;
    let (before, _) = app.circadian(&anna).await.unwrap();
    let later = send(&app, &anna, body(&days(18, 22), &[])).await;
    settle(&app).await;
    assert!(app.circadian(&anna).await.unwrap().0 != before);
    app.delete_upload(&anna, later.id).await.unwrap();
    settle(&app).await;
    assert!(app.circadian(&anna).await.unwrap().0 == before);
    assert!(before.is_some());
}
