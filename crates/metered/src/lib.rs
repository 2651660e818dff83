//! Counts, times and traces what is asked of a port, whoever serves it.
//!
//! - `port_calls_total{provider, operation, outcome}`: `ok`, the kind of the error, or `abandoned` where the caller did not
//!   wait for the end.
//! - `port_call_duration_seconds{provider, operation}`: how long it took. For `jobs.receive` that includes the wait for a
//!   message; for `objects.get` it ends where the bytes begin.
//! - A span `port` at level `debug` with provider and operation around each call.
//!
//! Labels are fixed words, so nothing of a user can be in them.
#![warn(missing_docs)]

mod data;
mod people;
mod provider;
mod work;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ports::{ErrorKind, Result};
use tracing::Instrument as _;

pub use provider::{MeteredProvider, identity};

/// The counter of calls.
pub const CALLS: &str = "port_calls_total";
/// The histogram of their durations.
pub const DURATION: &str = "port_call_duration_seconds";

/// Tells the recorder what the metrics are.
pub fn describe() {
    metrics::describe_counter!(CALLS, "Calls of a port by provider, operation and outcome");
    metrics::describe_histogram!(DURATION, "Time that a call of a port took, by provider and operation");
}

/// The port `P` of a provider.
pub struct Metered<P: ?Sized> {
    inner: Arc<P>,
    provider: &'static str,
}

impl<P: ?Sized> Metered<P> {
    /// Measures `inner`, which `provider` serves.
    pub fn new(inner: Arc<P>, provider: &'static str) -> Self {
        Self { inner, provider }
    }

    /// Awaits `call`, and keeps what became of it.
    async fn run<T>(&self, operation: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        let mut measured = Measured::begin(self.provider, operation);
        let result = call.instrument(tracing::debug_span!("port", provider = self.provider, operation)).await;
        measured.outcome = result.as_ref().map_or_else(|error| name_of(error.kind()), |_| "ok");
        result
    }
}

/// A call that is under way. It is counted when this is dropped, so that one whose caller left is counted, too.
struct Measured {
    provider: &'static str,
    operation: &'static str,
    outcome: &'static str,
    begun: Instant,
}

impl Measured {
    fn begin(provider: &'static str, operation: &'static str) -> Self {
        Self { provider, operation, outcome: "abandoned", begun: Instant::now() }
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let Self { provider, operation, outcome, .. } = *self;
        metrics::counter!(CALLS, "provider" => provider, "operation" => operation, "outcome" => outcome)
            .increment(1);
        metrics::histogram!(DURATION, "provider" => provider, "operation" => operation)
            .record(self.elapsed().as_secs_f64());
    }
}

fn name_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "not_found",
        ErrorKind::Conflict => "conflict",
        ErrorKind::InvalidInput => "invalid_input",
        ErrorKind::PermissionDenied => "permission_denied",
        ErrorKind::RateLimited => "rate_limited",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Unexpected => "unexpected",
    }
}
