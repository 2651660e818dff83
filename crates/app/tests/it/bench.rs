//! A platform in memory, and bodies to send to it.

use std::{sync::Arc, time::Duration};

use adapters_local::{
    SystemIds,
    identity::{LocalIdentity, Settings as IdentitySettings},
    memory::{JobQueueSettings, MemoryEventBus, MemoryHealthData, MemoryJobQueue, MemoryObjectStore},
};
use app::{
    App, Platform, Settings,
    audit::Caller,
    readings::Listing,
    records::{Upload, UploadKind},
};
use async_trait::async_trait;
use conformance::ManualClock;
use domain::{
    ids::UserId,
    metric::Metric,
    sample::{Sample, Value},
};
use ports::{
    Clock, Error, ErrorKind, HealthDataRepository, IdSource, ModelStatus, Prediction, PredictionRequest,
    Predictor,
};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A predictor without a model.
struct NoModels;

#[async_trait]
impl Predictor for NoModels {
    async fn predict(&self, _: PredictionRequest) -> ports::Result<Prediction> {
        Err(Error::new(ErrorKind::NotFound, "predictor.predict"))
    }

    async fn models(&self) -> Vec<ModelStatus> {
        Vec::new()
    }
}

pub(crate) fn app() -> Arc<App> {
    app_with(|store| store)
}

/// A platform whose record store is made from the one in memory.
pub(crate) fn app_with(
    store: impl FnOnce(Arc<dyn HealthDataRepository>) -> Arc<dyn HealthDataRepository>,
) -> Arc<App> {
    app_at(Arc::default(), store)
}

/// The same, by this clock.
pub(crate) fn app_at(
    manual: Arc<ManualClock>,
    store: impl FnOnce(Arc<dyn HealthDataRepository>) -> Arc<dyn HealthDataRepository>,
) -> Arc<App> {
    app_of(settings(), manual, store)
}

/// The same, with these settings.
pub(crate) fn app_of(
    settings: Settings,
    manual: Arc<ManualClock>,
    store: impl FnOnce(Arc<dyn HealthDataRepository>) -> Arc<dyn HealthDataRepository>,
) -> Arc<App> {
    Arc::new(App::new(platform(manual, store), settings))
}

/// A platform in memory, whose record store is made from the one in memory.
pub(crate) fn platform(
    manual: Arc<ManualClock>,
    store: impl FnOnce(Arc<dyn HealthDataRepository>) -> Arc<dyn HealthDataRepository>,
) -> Platform {
    let clock: Arc<dyn Clock> = manual;
    let ids: Arc<dyn IdSource> = Arc::new(SystemIds);
    let identity =
        LocalIdentity::memory(IdentitySettings::new("test", "test"), Arc::clone(&clock), Arc::clone(&ids))
            .unwrap();
    let key = b"presign".to_vec().into();
    Platform {
        health_data: store(Arc::new(MemoryHealthData::new(Arc::clone(&clock)))),
        objects: Arc::new(MemoryObjectStore::new(Arc::clone(&clock), ("http://localhost".to_owned(), key))),
        jobs: Arc::new(MemoryJobQueue::new(Arc::clone(&clock), JobQueueSettings::default())),
        events: Arc::new(MemoryEventBus::new()),
        tokens: Arc::clone(&identity) as _,
        sessions: Arc::clone(&identity) as _,
        multi_factor: Arc::clone(&identity) as _,
        identity,
        scrubber: Arc::new(adapters_local::memory::MemoryScrubber),
        predictor: Arc::new(NoModels),
        insight: Arc::new(adapters_insight::TemplateWriter),
        clock,
        ids,
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        metrics_per_upload_max: 1000,
        samples_per_upload_max: 50_000,
        step_minutes_max: 20_160,
        raw_inline_bytes_max: 4096,
        // Low, so that every test also has objects and joined segments.
        segment_inline_bytes_max: 160,
        join_segments_min: 3,
        commit_attempts_max: 8,
        worker_concurrency: 4,
        lease: Duration::from_secs(30),
        heartbeat: Duration::from_secs(10),
        deliveries_max: 5,
        retry_base: Duration::from_millis(10),
        retry_max: Duration::from_millis(100),
        relay_interval: Duration::from_millis(10),
        sleep_gap_minutes: 60,
        circadian_days: 14,
        circadian_days_min: 3,
        pat_coverage_min: 0.9,
        screening: domain::measures::screening::Rules::default(),
        pat_model: "pat-s".to_owned(),
        retina_model: "retina-synthetic".to_owned(),
    }
}

pub(crate) fn caller(number: u128) -> Caller {
    let user_id = UserId(Uuid::from_u128(number));
    Caller { user_id, actor: user_id, request_id: "test".to_owned(), traceparent: None }
}

/// A heart rate: id, second of 1 March 2024, value.
pub(crate) fn heart_rate(id: u128, second: u32, value: f64) -> Json {
    let at = format!("2024-03-01T08:{:02}:{:02}Z", second / 60, second % 60);
    json!({
        "identifier": Uuid::from_u128(id).to_string(),
        "type": "HKQuantityTypeIdentifierHeartRate",
        "value": value,
        "unit": "count/min",
        "start_date": at,
        "end_date": at,
    })
}

pub(crate) fn body(samples: &[Json], deleted: &[u128]) -> Vec<u8> {
    let deleted: Vec<String> = deleted.iter().map(|id| Uuid::from_u128(*id).to_string()).collect();
    serde_json::to_vec(&json!({ "quantity_samples": samples, "deleted_samples": deleted })).unwrap()
}

pub(crate) async fn send(app: &App, caller: &Caller, body: Vec<u8>) -> Upload {
    app.receive(caller, UploadKind::HealthKit, body.into()).await.unwrap()
}

/// All heart rates that are held, oldest first: id, second of the day, value.
pub(crate) async fn held(app: &App, caller: &Caller) -> Vec<(Uuid, i64, f64)> {
    let listing = Listing { metric: Some(Metric::HEART_RATE), limit: 1000, ..Listing::default() };
    let mut samples = app.list_readings(caller, &listing).await.unwrap().samples;
    samples.reverse();
    samples.iter().map(flat).collect()
}

fn flat(sample: &Sample) -> (Uuid, i64, f64) {
    let Value::Quantity(value) = sample.value else { panic!("a heart rate is a quantity") };
    (sample.id.0, sample.interval.start_ms() / 1000 % 86_400, value)
}

/// Runs relay and worker until nothing is left to do.
pub(crate) async fn settle(app: &Arc<App>) {
    let stop = CancellationToken::new();
    let worker = tokio::spawn({
        let (app, stop) = (Arc::clone(app), stop.clone());
        async move { app.run_worker(stop, Duration::from_secs(10)).await }
    });
    // A job may leave an intent to do another.
    while app.sweep_outbox().await.unwrap() > 0 || app.platform.jobs.stats().await.unwrap().depth > 0 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    worker.await.unwrap();
}
