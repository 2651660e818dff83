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
