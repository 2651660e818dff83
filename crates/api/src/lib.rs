//! The HTTP API, the composition root and the `clarity` binary.

mod address;
pub mod cli;
mod commands;
pub mod config;
mod connection;
mod context;
mod cursor;
mod export;
mod extract;
mod limits;
#[cfg(feature = "local")]
mod mail;
mod middleware;
pub mod platform;
mod problem;
mod routes;
mod seats;
pub mod server;
pub mod telemetry;
mod terms;

use std::time::Duration;

pub use routes::openapi::{ClarityApi, contract};

/// What of the configuration the use cases need.
pub fn settings(config: &config::Config) -> app::Settings {
    let (limits, worker, measures) = (&config.limits, &config.worker, &config.measures);
    app::Settings {
        metrics_per_upload_max: limits.metrics_per_upload_max,
        samples_per_upload_max: limits.samples_per_upload_max,
        step_minutes_max: limits.step_minutes_max,
        raw_inline_bytes_max: config.ingest.raw_inline_bytes_max,
        segment_inline_bytes_max: config.ingest.segment_inline_bytes_max,
        join_segments_min: worker.join_segments_min,
        commit_attempts_max: config.ingest.commit_attempts_max,
        worker_concurrency: worker.concurrency,
        lease: Duration::from_millis(worker.lease_ms),
        heartbeat: Duration::from_millis(worker.heartbeat_ms),
        deliveries_max: worker.deliveries_max,
        retry_base: Duration::from_millis(worker.retry_base_ms),
        retry_max: Duration::from_millis(worker.retry_max_ms),
        relay_interval: Duration::from_millis(worker.relay_interval_ms),
        sleep_gap_minutes: measures.sleep_gap_minutes,
        circadian_days: measures.circadian_days,
        circadian_days_min: measures.circadian_days_min,
        pat_coverage_min: measures.pat_coverage_min,
        screening: measures.screening.clone(),
        pat_model: "pat-s".to_owned(),
        retina_model: config.inference.retina_model.clone(),
    }
}
