//! What a version of a model did: as statistics for the port, and as metrics. The set is Triton's; the names are ours.
//!
//! | metric | Triton's |
//! |---|---|
//! | `inference_requests_total{outcome}` | `nv_inference_request_success`, `nv_inference_request_failure{reason}` |
//! | `inference_request_seconds` | `nv_inference_request_duration_us` |
//! | `inference_rows_total` | `nv_inference_count` |
//! | `inference_executions_total` | `nv_inference_exec_count` |
//! | `inference_pending_requests` | `nv_inference_pending_request_count` |
//! | `inference_queue_seconds` | `nv_inference_queue_duration_us` |
//! | `inference_preprocess_seconds` | `nv_inference_compute_input_duration_us` |
//! | `inference_compute_seconds` | `nv_inference_compute_infer_duration_us` |
//! | `inference_postprocess_seconds` | `nv_inference_compute_output_duration_us` |
//! | `inference_cache_hits_total`, `inference_cache_misses_total` | `nv_cache_num_hits_per_model`, `nv_cache_num_misses_per_model` |
//!
//! All of them have the labels `model` and `version`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::Label;
use ports::{Clock, FailureReason, ModelStatistics, SystemClock};

/// Tells the recorder what the metrics are.
pub fn describe() {
    for (counter, what) in [
        ("inference_requests_total", "Requests of a model by outcome"),
        ("inference_rows_total", "Rows that a model computed"),
        ("inference_executions_total", "Times that a model was run; rows divided by it is the batch size"),
        ("inference_cache_hits_total", "Requests of a model that its cache answered"),
        ("inference_cache_misses_total", "Requests of a model that its cache could not answer"),
    ] {
        metrics::describe_counter!(counter, what);
    }
    for (histogram, what) in [
        ("inference_request_seconds", "From a request of a model to its answer"),
        ("inference_queue_seconds", "Wait of a request in a model's queue"),
        ("inference_preprocess_seconds", "Putting the rows of an execution together"),
        ("inference_compute_seconds", "Running a model once"),
        ("inference_postprocess_seconds", "Taking the outputs of an execution apart"),
    ] {
        metrics::describe_histogram!(histogram, what);
    }
    metrics::describe_gauge!("inference_pending_requests", "Requests that wait for a model");
    metrics::describe_gauge!("inference_model_ready", "Whether a model answers");
}

pub(crate) struct Counters {
    labels: Vec<Label>,
    statistics: Mutex<ModelStatistics>,
}

/// How long the parts of one execution took.
#[derive(Clone, Copy)]
pub(crate) struct Execution {
    pub(crate) rows: usize,
    pub(crate) preprocess: Duration,
    pub(crate) compute: Duration,
    pub(crate) postprocess: Duration,
}

impl Counters {
    pub(crate) fn new(name: &str, version: &str) -> Arc<Self> {
        let label = |key: &'static str, value: &str| Label::new(key, value.to_owned());
        let statistics = ModelStatistics {
            name: name.to_owned(),
            version: version.to_owned(),
            ..ModelStatistics::default()
        };
        let labels = vec![label("model", name), label("version", version)];
        Arc::new(Self { labels, statistics: Mutex::new(statistics) })
    }

    pub(crate) fn statistics(&self) -> ModelStatistics {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, ModelStatistics> {
        self.statistics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self, outcome: &'static str, time: Duration) {
        let mut labels = self.labels.clone();
        labels.push(Label::from_static_parts("outcome", outcome));
        metrics::counter!("inference_requests_total", labels).increment(1);
        metrics::histogram!("inference_request_seconds", self.labels.clone()).record(time);
    }

    pub(crate) fn succeeded(&self, time: Duration) {
        self.requests("ok", time);
        let mut statistics = self.lock();
        statistics.success.add(time);
        statistics.last_inference = Some(SystemClock.now());
    }

    pub(crate) fn failed(&self, reason: FailureReason, time: Duration) {
        self.requests(reason.as_str(), time);
        self.lock().failure.entry(reason).or_default().add(time);
    }

    pub(crate) fn hit(&self, time: Duration) {
        metrics::counter!("inference_cache_hits_total", self.labels.clone()).increment(1);
        self.lock().cache_hit.add(time);
    }

    pub(crate) fn missed(&self, time: Duration) {
        metrics::counter!("inference_cache_misses_total", self.labels.clone()).increment(1);
        self.lock().cache_miss.add(time);
    }

    pub(crate) fn waited(&self, time: Duration) {
        metrics::histogram!("inference_queue_seconds", self.labels.clone()).record(time);
        self.lock().queue.add(time);
    }

    pub(crate) fn pending(&self, requests: usize) {
        metrics::gauge!("inference_pending_requests", self.labels.clone()).set(requests as f64);
    }

    pub(crate) fn ready(&self, is_ready: bool) {
        metrics::gauge!("inference_model_ready", self.labels.clone()).set(f64::from(u8::from(is_ready)));
    }

    pub(crate) fn executed(&self, execution: Execution) {
        let Execution { rows, preprocess, compute, postprocess } = execution;
        metrics::counter!("inference_rows_total", self.labels.clone()).increment(rows as u64);
        metrics::counter!("inference_executions_total", self.labels.clone()).increment(1);
        metrics::histogram!("inference_preprocess_seconds", self.labels.clone()).record(preprocess);
        metrics::histogram!("inference_compute_seconds", self.labels.clone()).record(compute);
        metrics::histogram!("inference_postprocess_seconds", self.labels.clone()).record(postprocess);
        let mut statistics = self.lock();
        statistics.inference_count += rows as u64;
        statistics.execution_count += 1;
        statistics.preprocess.add(preprocess);
        statistics.compute.add(compute);
        statistics.postprocess.add(postprocess);
        let batch = statistics.batches.entry(rows).or_default();
        batch.preprocess.add(preprocess);
        batch.compute.add(compute);
        batch.postprocess.add(postprocess);
    }
}

/// Counts a request when it is over, also when its future was dropped.
pub(crate) struct Outcome {
    counters: Arc<Counters>,
    arrived: Instant,
    failure: Option<FailureReason>,
}

impl Outcome {
    pub(crate) fn of(counters: Arc<Counters>) -> Self {
        Self { counters, arrived: Instant::now(), failure: Some(FailureReason::Abandoned) }
    }

    pub(crate) fn is(mut self, failure: Option<FailureReason>) {
        self.failure = failure;
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let time = self.arrived.elapsed();
        match self.failure {
            None => self.counters.succeeded(time),
            Some(reason) => self.counters.failed(reason, time),
        }
    }
}
