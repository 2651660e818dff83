//! What was accepted reads back, whatever the order of uploads, retries, corrections and deletions.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use uuid::Uuid;

use crate::bench::{app, body, caller, heart_rate, held, send};

/// What a phone does.
#[derive(Clone, Debug)]
enum Step {
    /// Uploads readings: (id, value) pairs; the id also gives the time.
    Upload(Vec<(u8, u8)>),
    /// Sends an earlier upload again.
    Retry(usize),
    /// Says that samples were deleted.
    Delete(Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let upload = proptest::collection::vec((0_u8..12, 60_u8..64), 1..8).prop_map(Step::Upload);
    let delete = proptest::collection::vec(0_u8..12, 1..3).prop_map(Step::Delete);
    let step = prop_oneof![4 => upload, 3 => (0_usize..8).prop_map(Step::Retry), 1 => delete];
    proptest::collection::vec(step, 1..14)
}

/// The rules in the plainest form.
#[derive(Default)]
struct Model {
    /// Each id's values in the order they were first seen; the last is the one that counts.
    versions: BTreeMap<u8, Vec<u8>>,
    deleted: BTreeSet<u8>,
}

impl Model {
    fn upload(&mut self, readings: &[(u8, u8)]) -> (usize, usize, usize) {
        let (mut accepted, mut duplicate, mut rejected) = (0, 0, 0);
        for (id, value) in readings {
            let versions = self.versions.entry(*id).or_default();
            if self.deleted.contains(id) {
                rejected += 1;
            } else if versions.contains(value) {
                duplicate += 1;
            } else {
                versions.push(*value);
                accepted += 1;
            }
        }
        (accepted, duplicate, rejected)
    }

    fn held(&self) -> Vec<(Uuid, i64, f64)> {
        let alive = self.versions.iter().filter(|(id, _)| !self.deleted.contains(id));
        let newest = alive.filter_map(|(id, versions)| Some((*id, *versions.last()?)));
        newest
            .map(|(id, value)| {
                (Uuid::from_u128(u128::from(id) + 1), 28_800 + i64::from(id), f64::from(value))
            })
            .collect()
    }
}

fn sent(readings: &[(u8, u8)]) -> Vec<serde_json::Value> {
    readings
        .iter()
        .map(|(id, value)| heart_rate(u128::from(*id) + 1, (*id).into(), (*value).into()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_accepted_reads_back(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (app, anna, mut model, mut uploads) = (app(), caller(1), Model::default(), Vec::new());
            for step in steps {
                let readings = match step {
                    Step::Upload(readings) => {
                        uploads.push(readings.clone());
                        readings
                    }
                    Step::Retry(which) => match uploads.get(which % uploads.len().max(1)) {
                        Some(readings) => readings.clone(),
                        None => continue,
                    },
                    Step::Delete(ids) => {
                        let numbers: Vec<u128> = ids.iter().map(|id| u128::from(*id) + 1).collect();
                        send(&app, &anna, body(&[], &numbers)).await;
                        model.deleted.extend(ids);
                        prop_assert_eq!(held(&app, &anna).await, model.held());
                        continue;
                    }
                };
                let receipts = send(&app, &anna, body(&sent(&readings), &[])).await.receipts;
                let expected = model.upload(&readings);
                prop_assert_eq!((receipts.accepted, receipts.duplicate, receipts.rejected_total), expected);
                prop_assert_eq!(held(&app, &anna).await, model.held());
            }
            Ok(())
        })?;
    }
}

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
