//! Which models there are, which of them are loaded, and what they did.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{ModelStatus, Result};

/// How often something was done, and how long it took altogether.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// How often.
    pub count: u64,
    /// How long altogether.
    pub time: Duration,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, time: Duration) {
        self.count += 1;
        self.time = self.time.saturating_add(time);
    }
}

/// Why a request had no prediction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FailureReason {
    /// The request itself was wrong.
    InvalidInput,
    /// The queue was full.
    Refused,
    /// Its deadline passed.
    Expired,
    /// The client left before there was an answer.
    Abandoned,
    /// The model is not loaded.
    NotReady,
    /// The model failed.
    Failed,
}

impl FailureReason {
    /// As it is written in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Abandoned => "abandoned",
            Self::NotReady => "not_ready",
            Self::Failed => "failed",
        }
    }
}

/// What was done in executions of one size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BatchStatistics {
    /// Putting the requests' rows together.
    pub preprocess: Tally,
    /// Running the model.
    pub compute: Tally,
    /// Taking the outputs apart.
    pub postprocess: Tally,
}

/// What a version of a model did since the process started. Warm-up and golden vectors are not counted.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ModelStatistics {
    /// The model's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// When a request was last answered.
    pub last_inference: Option<Timestamp>,
    /// Rows that were computed; those out of the cache are not counted.
    pub inference_count: u64,
    /// Times that the model was run; fewer than rows where rows were batched.
    pub execution_count: u64,
    /// Requests that were answered, from arrival to answer.
    pub success: Tally,
    /// Requests that were not, by reason.
    pub failure: BTreeMap<FailureReason, Tally>,
    /// Waits in the queue, one a request.
    pub queue: Tally,
    /// Putting rows together, one an execution.
    pub preprocess: Tally,
    /// Running the model, one an execution.
    pub compute: Tally,
    /// Taking outputs apart, one an execution.
    pub postprocess: Tally,
    /// Requests that the result cache answered.
    pub cache_hit: Tally,
    /// Requests that it could not answer.
    pub cache_miss: Tally,
    /// The executions by their number of rows.
    pub batches: BTreeMap<usize, BatchStatistics>,
}

/// The models that a server has or can have.
///
/// # Contract
/// - `index` shows every version that is loaded, or could be.
/// - `load` returns when the version answers requests; a version that nobody knows is `NotFound`, and one that is not what its
///   manifest says is `Corrupt` and is not served. What was served before is served on.
/// - `load` without a version loads the one that was activated last, and makes it the active one.
/// - After `unload` returned, requests are `Unavailable`; those that were taken before are answered. Unloading what is not loaded
///   succeeds, unless nobody knows it: that is `NotFound`.
#[async_trait]
pub trait ModelRepository: Send + Sync + 'static {
    /// Every known version.
    async fn index(&self) -> Result<Vec<ModelStatus>>;

    /// Loads a version of `model`, or its active one.
    async fn load(&self, model: &str, version: Option<&str>) -> Result<()>;

    /// Unloads a version of `model`, or all of them.
    async fn unload(&self, model: &str, version: Option<&str>) -> Result<()>;

    /// What each version did that is or was loaded.
    async fn statistics(&self) -> Vec<ModelStatistics>;
}
