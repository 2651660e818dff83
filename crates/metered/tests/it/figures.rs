//! What the figures say.

use std::{sync::Arc, time::Duration};

use adapters_local::memory::{JobQueueSettings, MemoryJobQueue};
use conformance::ManualClock;
use metered::Metered;
use metrics_exporter_prometheus::PrometheusBuilder;
use ports::{JobQueue, Receipt};

/// One queue, asked in every way a call can end.
#[test]
fn calls_are_counted_by_how_they_ended_and_timed() {
    let recorder = PrometheusBuilder::new().set_buckets(&[60.0]).unwrap().build_recorder();
    let shown = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        metered::describe();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let clock = Arc::new(ManualClock::default());
            let port: Arc<dyn JobQueue> = Arc::new(MemoryJobQueue::new(clock, JobQueueSettings::default()));
            let queue = Metered::new(port, "memory");
            queue.stats().await.unwrap();
            queue.stats().await.unwrap();
            queue.ack(&Receipt("none".to_owned())).await.unwrap_err();
            // Its caller does not wait for as long as it would.
            let long = queue.receive(1, Duration::from_mins(1), Duration::from_secs(1));
            tokio::time::timeout(Duration::from_millis(1), long).await.unwrap_err();
        });
    });
    let text = shown.render();
    for line in [
        r#"port_calls_total{provider="memory",operation="jobs.stats",outcome="ok"} 2"#,
        r#"port_calls_total{provider="memory",operation="jobs.ack",outcome="invalid_input"} 1"#,
        r#"port_calls_total{provider="memory",operation="jobs.receive",outcome="abandoned"} 1"#,
        r#"port_call_duration_seconds_count{provider="memory",operation="jobs.stats"} 2"#,
        r#"port_call_duration_seconds_bucket{provider="memory",operation="jobs.stats",le="60"} 2"#,
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}
