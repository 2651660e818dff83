//! Logs and metrics.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    cli::person_watches,
    config::{LogFormat, Telemetry},
};

/// How often what was measured is added up.
const UPKEEP: Duration = Duration::from_secs(1);

/// Seconds; from a cached token check to a slow model.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Sends logs to standard error as the configuration says. Libraries speak at `warn` and above only: at lower levels some
/// of them print what they are given.
pub fn start_logs(telemetry: &Telemetry) -> anyhow::Result<()> {
    let level = &telemetry.log_level;
    let ours = ["adapters_insight", "adapters_local", "api", "app", "clarity", "inference", "metered"];
    let directives = if level.contains(['=', ',']) {
        level.clone()
    } else {
        ours.iter().fold("warn".to_owned(), |directives, name| format!("{directives},{name}={level}"))
    };
    let filter = EnvFilter::try_new(directives)?;
    let registry = tracing_subscriber::registry().with(filter);
    match telemetry.log_format {
        LogFormat::Json => {
            let lines = fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
            registry.with(lines).try_init()?;
        }
        LogFormat::Text => {
            let lines = fmt::layer().with_ansi(person_watches()).with_writer(std::io::stderr);
            registry.with(lines).try_init()?;
        }
    }
    Ok(())
}

/// Installs the recorder that `/metrics` renders.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("seconds".to_owned()), &BUCKETS)?;
    let handle = builder.install_recorder()?;
    metrics::describe_counter!("http_requests_total", "Requests by method, route and status");
    metrics::describe_histogram!(
        "http_request_duration_seconds",
        "Time to the response's head, by method and route"
    );
    metrics::describe_counter!("samples_accepted_total", "Samples that uploads brought");
    metrics::describe_counter!("jobs_published_total", "Jobs that the relay handed to the queue");
    metrics::describe_counter!("jobs_total", "Jobs that a worker ended, by outcome");
    metrics::describe_histogram!("job_duration_seconds", "Time that a worker spent on a job");
    metrics::describe_gauge!("queue_depth", "Messages that are not acknowledged");
    metrics::describe_gauge!("queue_dead_letters", "Messages that were given up");
    metrics::describe_gauge!(
        "queue_oldest_age_seconds",
        "Age of the oldest message that is not acknowledged"
    );
    metered::describe();
    inference::describe();
    let upkeep = handle.clone();
    // What is measured is kept one by one until somebody reads the metrics or this adds it up: without it, a process that nobody
    // scrapes would grow with each request.
    std::thread::Builder::new().name("metrics-upkeep".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(UPKEEP);
            upkeep.run_upkeep();
        }
    })?;
    Ok(handle)
}
