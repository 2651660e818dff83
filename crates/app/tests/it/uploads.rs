//! What was accepted reads back.

use uuid::Uuid;

use crate::bench::{app, body, caller, heart_rate, held, send};

#[tokio::test]
async fn ten_readings_read_back_as_ten_and_again_as_ten_duplicates() {
    let (app, anna) = (app(), caller(1));
    let ten: Vec<_> = (0..10).map(|at| heart_rate(u128::from(at) + 1, at, 60.0 + f64::from(at))).collect();
    let first = send(&app, &anna, body(&ten, &[])).await;
    assert_eq!((first.receipts.accepted, first.receipts.duplicate), (10, 0));
    let before = held(&app, &anna).await;
    assert_eq!(before.len(), 10);
    let again = send(&app, &anna, body(&ten, &[])).await;
    assert_eq!((again.receipts.accepted, again.receipts.duplicate), (0, 10));
    assert_eq!(held(&app, &anna).await, before);
    assert_eq!(held(&app, &caller(2)).await, []);
}

#[tokio::test]
async fn of_identical_uploads_that_race_one_is_accepted() {
    let (app, anna) = (app(), caller(1));
    let ten: Vec<_> = (0..10).map(|at| heart_rate(u128::from(at) + 1, at, 60.0)).collect();
    let racing = (0..20).map(|_| send(&app, &anna, body(&ten, &[])));
    let uploads = futures::future::join_all(racing).await;
    assert_eq!(uploads.iter().map(|upload| upload.receipts.accepted).sum::<usize>(), 10);
    assert_eq!(uploads.iter().map(|upload| upload.receipts.duplicate).sum::<usize>(), 190);
    assert_eq!(held(&app, &anna).await.len(), 10);
}

#[tokio::test]
async fn a_reading_without_an_id_is_the_same_as_with_one() {
    let (app, anna) = (app(), caller(1));
    let with_id = heart_rate(1, 0, 61.0);
    let mut without = with_id.clone();
    without.as_object_mut().unwrap().remove("identifier");
    assert_eq!(send(&app, &anna, body(&[without.clone()], &[])).await.receipts.accepted, 1);
    assert_eq!(
        send(&app, &anna, body(std::slice::from_ref(&with_id), &[])).await.receipts.accepted,
        1,
        "under its own id"
    );
    let once = held(&app, &anna).await;
    assert_eq!(once.iter().map(|reading| reading.0).collect::<Vec<_>>(), [Uuid::from_u128(1)]);
    for again in [without, with_id] {
        assert_eq!(send(&app, &anna, body(&[again], &[])).await.receipts.accepted, 0);
        assert_eq!(held(&app, &anna).await, once);
    }
    send(&app, &anna, body(&[], &[1])).await;
    assert_eq!(held(&app, &anna).await, [], "the phone deletes it by its id");
}

#[tokio::test]
async fn a_reading_that_lasts_too_long_or_ends_in_the_future_is_refused() {
    let (app, anna) = (app(), caller(1));
    for (end, code) in [("9999-12-30T10:00:00Z", "in_the_future"), ("2024-03-05T08:00:00Z", "too_long")] {
        let mut long = heart_rate(1, 0, 61.0);
        long["end_date"] = end.into();
        let receipts = send(&app, &anna, body(&[long, heart_rate(2, 1, 62.0)], &[])).await.receipts;
        assert_eq!(receipts.rejected.len(), 1, "{end}");
        assert_eq!(receipts.rejected[0].code, code, "{end}");
    }
    assert_eq!(held(&app, &anna).await.len(), 1);
}

#[tokio::test]
async fn two_ids_of_the_phones_own_are_two_readings() {
    let (app, anna) = (app(), caller(1));
    let twins = [heart_rate(1, 0, 61.0), heart_rate(2, 0, 61.0)];
    assert_eq!(send(&app, &anna, body(&twins, &[])).await.receipts.accepted, 2);
    assert_eq!(held(&app, &anna).await.len(), 2);
}

#[tokio::test]
async fn a_body_that_names_someone_else_is_refused_whole() {
    let (app, anna) = (app(), caller(1));
    let mut named: serde_json::Value = serde_json::from_slice(&body(&[heart_rate(1, 0, 61.0)], &[])).unwrap();
    named["user_id"] = caller(2).user_id.to_string().into();
    let kind = app::records::UploadKind::HealthKit;
    let refused = app.receive(&anna, kind, named.to_string().into()).await;
    assert!(matches!(refused, Err(app::AppError::ForeignUser)));
    assert_eq!(held(&app, &anna).await, []);
}
