//! What of the configuration the use cases need.

use std::time::Duration;

use domain::measures::screening::Rules;

/// Checked settings; `config/default.toml` explains each and holds its default.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `limits.metrics_per_upload_max`.
    pub metrics_per_upload_max: usize,
    /// `limits.samples_per_upload_max`.
    pub samples_per_upload_max: usize,
    /// `limits.step_minutes_max`.
    pub step_minutes_max: usize,
    /// `ingest.raw_inline_bytes_max`.
    pub raw_inline_bytes_max: usize,
    /// `ingest.segment_inline_bytes_max`.
    pub segment_inline_bytes_max: usize,
    /// `worker.join_segments_min`.
    pub join_segments_min: usize,
    /// `ingest.commit_attempts_max`.
    pub commit_attempts_max: u32,
    /// `worker.concurrency`.
    pub worker_concurrency: usize,
    /// `worker.lease_ms`.
    pub lease: Duration,
    /// `worker.heartbeat_ms`.
    pub heartbeat: Duration,
    /// `worker.deliveries_max`.
    pub deliveries_max: u32,
    /// `worker.retry_base_ms`.
    pub retry_base: Duration,
    /// `worker.retry_max_ms`.
    pub retry_max: Duration,
    /// `worker.relay_interval_ms`.
    pub relay_interval: Duration,
    /// `measures.sleep_gap_minutes`.
    pub sleep_gap_minutes: u32,
    /// `measures.circadian_days`.
    pub circadian_days: u32,
    /// `measures.circadian_days_min`.
    pub circadian_days_min: u32,
    /// `measures.pat_coverage_min`, 0 to 1.
    pub pat_coverage_min: f64,
    /// `measures.screening`.
    pub screening: Rules,
    /// The name of the PAT model.
    pub pat_model: String,
    /// `inference.retina_model`.
    pub retina_model: String,
}
