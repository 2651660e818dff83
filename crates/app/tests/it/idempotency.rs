//! One effect for one key, whatever happens to commits and replies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use app::{
    App, AppError,
    batch::Batch,
    idempotency::{Once, Outcome, Reply, Token},
    insights::{Insight, InsightRequest},
    records::{Upload, UploadKind},
    requests::Pending,
};
use async_trait::async_trait;
use conformance::{ManualClock, TimeControl as _};
use domain::{
    ids::{AnalysisId, InsightId, UserId},
    record::RecordKey,
};
use ports::{CommitLimits, Cursor, Error, ErrorKind, HealthDataRepository, Page, Query, Record, Write};
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

use crate::{
    bench::{app_at, app_with, body, caller, heart_rate, held},
    pipeline::settle,
};

/// A record store that commits and then loses the answer, when told to, and that can hold commits until several have come.
struct Faulty {
    inner: Arc<dyn HealthDataRepository>,
    loses_answer: AtomicBool,
    together: Option<Barrier>,
}

#[async_trait]
impl HealthDataRepository for Faulty {
    async fn get(&self, key: &RecordKey) -> ports::Result<Option<Record>> {
        self.inner.get(key).await
    }

    async fn query(&self, query: &Query) -> ports::Result<Page<Record>> {
        self.inner.query(query).await
    }

    async fn commit(&self, batch: Vec<Write>) -> ports::Result<()> {
        let keeps_a_reply =
            batch.iter().any(|write| write.change.key().kind == domain::record::Kind::Idempotency);
        if let Some(barrier) = self.together.as_ref().filter(|_| keeps_a_reply) {
            // Only the first round waits: whoever lost it does not come in company again.
            let _leader = tokio::time::timeout(Duration::from_millis(200), barrier.wait()).await;
        }
        self.inner.commit(batch).await?;
        if keeps_a_reply && self.loses_answer.swap(false, Ordering::SeqCst) {
            let error = Error::new(ErrorKind::Unavailable, "records.commit");
            return Err(error.with_outcome(ports::Outcome::Unknown));
        }
        Ok(())
    }

    async fn partitions(&self, cursor: Option<&Cursor>, limit: usize) -> ports::Result<Page<UserId>> {
        self.inner.partitions(cursor, limit).await
    }

    fn limits(&self) -> CommitLimits {
        self.inner.limits()
    }
}

fn reply_of(upload: &Upload) -> Result<Reply, AppError> {
    Reply::json(202, &upload.id.to_string())
}

async fn send(app: &App, user: u128, key: &str, content: Vec<u8>) -> Result<(bool, Reply), AppError> {
    let caller = caller(user);
    let token = Token::new(caller.user_id, key, &[&content]);
    let once = Once { token: &token, reply: &reply_of };
    Ok(match app.receive_once(&caller, UploadKind::HealthKit, content.into(), Some(&once)).await? {
        Outcome::Done(upload) => (true, reply_of(&upload)?),
        Outcome::Replayed(reply) => (false, reply),
    })
}

#[tokio::test]
async fn after_a_lost_answer_the_same_request_gets_the_reply_of_the_first() {
    let app =
        app_with(|inner| Arc::new(Faulty { inner, loses_answer: AtomicBool::new(true), together: None }));
    let content = body(&[heart_rate(1, 0, 61.0)], &[]);
    let lost = send(&app, 1, "k", content.clone()).await.unwrap_err();
    assert!(matches!(lost, AppError::Port(error) if error.outcome() == ports::Outcome::Unknown));
    let (is_new, first) = send(&app, 1, "k", content.clone()).await.unwrap();
    assert!(!is_new, "the effect came twice");
    let (is_new, second) = send(&app, 1, "k", content).await.unwrap();
    assert!(!is_new);
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    assert_eq!(held(&app, &caller(1)).await.len(), 1);
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_user() {
    let app = app_with(|inner| inner);
    let (one, other) = (body(&[heart_rate(1, 0, 61.0)], &[]), body(&[heart_rate(2, 9, 62.0)], &[]));
    let (_, first) = send(&app, 1, "k", one.clone()).await.unwrap();
    assert!(matches!(send(&app, 1, "k", other.clone()).await, Err(AppError::KeyReused)));
    assert_eq!(held(&app, &caller(1)).await.len(), 1, "a refused request changed something");
    let (is_new, of_another) = send(&app, 2, "k", one).await.unwrap();
    assert!(is_new);
    assert_ne!(first.body, of_another.body);
    assert!(send(&app, 1, "k2", other).await.unwrap().0);
}

/// Two processes of one store, whose commits meet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_one_acts_and_the_other_answers_the_same() {
    let slot = std::sync::Mutex::new(None);
    let first = app_with(|inner| {
        let together = Some(Barrier::new(2));
        let store: Arc<dyn HealthDataRepository> =
            Arc::new(Faulty { inner, loses_answer: AtomicBool::new(false), together });
        *slot.lock().unwrap() = Some(Arc::clone(&store));
        store
    });
    let shared = slot.into_inner().unwrap().unwrap();
    let second = app_with(|_| shared);
    let content = body(&[heart_rate(1, 0, 61.0), heart_rate(2, 9, 62.0)], &[]);
    let (one, two) =
        tokio::join!(send(&first, 1, "k", content.clone()), send(&second, 1, "k", content.clone()));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(usize::from(one.0) + usize::from(two.0), 1, "one of them acts");
    assert_eq!(one.1.body, two.1.body);
    assert_eq!(held(&first, &caller(1)).await.len(), 2);
}

fn insight_request() -> InsightRequest {
    InsightRequest {
        insight_type: "comprehensive".to_owned(),
        include_recommendations: true,
        language: "en".to_owned(),
    }
}

#[tokio::test]
async fn an_insight_with_a_key_is_written_once() {
    let app = app_with(|inner| inner);
    let anna = caller(1);
    let token = Token::new(anna.user_id, "k", &[b"insight"]);
    let render = |insight: &Insight| Reply::json(200, &insight.id.to_string());
    let once = Once { token: &token, reply: &render };
    let Outcome::Done(insight) =
        app.write_insight(&anna, insight_request(), Some(&once), &mut |_| ()).await.unwrap()
    else {
        panic!("nothing was kept before");
    };
    let Outcome::Replayed(reply) =
        app.write_insight(&anna, insight_request(), Some(&once), &mut |_| ()).await.unwrap()
    else {
        panic!("it was written again");
    };
    assert_eq!(reply, render(&insight).unwrap());
    assert_eq!(app.insight_history(&anna, 0, 10).await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn what_was_promised_is_made_by_the_worker_under_the_promised_id() {
    let app = app_with(|inner| inner);
    let anna = caller(1);
    let Outcome::Done(Pending { id, .. }) =
        app.request_insight(&anna, insight_request(), None).await.unwrap()
    else {
        panic!("nothing was asked for before");
    };
    assert!(matches!(app.insight(&anna, InsightId(id.0)).await, Err(AppError::NotFound)));
    assert!(app.pending(&anna, id).await.unwrap().failure.is_none());
    assert!(matches!(app.pending(&caller(2), id).await, Err(AppError::NotFound)));
    settle(&app).await;
    app.insight(&anna, InsightId(id.0)).await.unwrap();
    assert!(matches!(app.pending(&anna, id).await, Err(AppError::NotFound)));
    let events = app.events_after(anna.user_id, None, 100).await.unwrap();
    assert_eq!(events.iter().map(|event| event.1.as_str()).collect::<Vec<_>>(), ["insight.completed"]);
}

#[tokio::test]
async fn what_cannot_be_made_says_so_and_is_never_made_up() {
    // No model is there, so the analysis is tried as often as the queue delivers it, and then given up.
    let clock: Arc<ManualClock> = Arc::default();
    let (app, anna) = (app_at(Arc::clone(&clock), |inner| inner), caller(1));
    let minutes = (0..1440).map(|minute| (1_709_251_200_000 + minute * 60_000, 3.0)).collect();
    let actigraphy = app::analysis::Actigraphy {
        minutes,
        zone: jiff::tz::TimeZone::UTC,
        source: "pat/step-analysis".to_owned(),
    };
    let Outcome::Done(Pending { id, .. }) = app.request_analysis(&anna, actigraphy, None).await.unwrap()
    else {
        panic!("nothing was asked for before");
    };
    while app.sweep_outbox().await.unwrap() > 0 {}
    let stop = CancellationToken::new();
    let worker = tokio::spawn({
        let (app, stop) = (Arc::clone(&app), stop.clone());
        async move { app.run_worker(stop, Duration::from_secs(10)).await }
    });
    while app.pending(&anna, id).await.unwrap().failure.is_none() {
        // The pauses between the deliveries pass.
        clock.advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    stop.cancel();
    worker.await.unwrap();
    assert!(matches!(app.analysis(&anna, AnalysisId(id.0)).await, Err(AppError::NotFound)));
}

async fn send_batch(app: &App, content: &[u8]) -> Result<(bool, String), AppError> {
    let caller = caller(1);
    let token = Token::new(caller.user_id, "k", &[content]);
    let reply = |batch: &Batch| Reply::json(201, &format!("{:?}", batch.uploads));
    let once = Once { token: &token, reply: &reply };
    Ok(match app.receive_batch(&caller, content.to_vec().into(), Some(&once)).await? {
        Outcome::Done(batch) => (true, reply(&batch)?.body),
        Outcome::Replayed(reply) => (false, reply.body),
    })
}

fn batch(values: &[u8]) -> Vec<u8> {
    let record = |(second, value): (usize, &u8)| {
        serde_json::json!({
            "data_type": "heart_rate", "value": value, "unit": "count/min",
            "recorded_at": format!("2024-03-01T08:00:{second:02}Z"),
        })
    };
    let records: Vec<_> = values.iter().enumerate().map(record).collect();
    serde_json::to_vec(&serde_json::json!({ "records": records })).unwrap()
}

#[tokio::test]
async fn a_batch_that_broke_off_goes_on_where_it_stopped() {
    let app =
        app_with(|inner| Arc::new(Faulty { inner, loses_answer: AtomicBool::new(true), together: None }));
    let content = batch(&[61, 62, 63]);
    // The first record is kept, and nobody hears of it.
    assert!(matches!(send_batch(&app, &content).await, Err(AppError::Port(_))));
    assert_eq!(held(&app, &caller(1)).await.len(), 1);
    // Another batch may not go on with the key.
    assert!(matches!(send_batch(&app, &batch(&[64])).await, Err(AppError::KeyReused)));
    let (is_new, first) = send_batch(&app, &content).await.unwrap();
    let (is_new_again, second) = send_batch(&app, &content).await.unwrap();
    assert_eq!((is_new, is_new_again, &first), (true, false, &second));
    assert_eq!(first.matches("UploadId").count(), 3, "{first}");
    assert_eq!(held(&app, &caller(1)).await.len(), 3);
}
