//! Everything a use case can reach: one handle a port.

use std::sync::Arc;

use ports::{
    Clock, EventBus, HealthDataRepository, IdSource, IdentityProvider, InsightWriter, JobQueue, MultiFactor,
    ObjectStore, Predictor, Scrubber, Sessions, TokenVerifier,
};

/// The ports of this process. Built once, in the composition root.
#[derive(Clone)]
pub struct Platform {
    /// Records.
    pub health_data: Arc<dyn HealthDataRepository>,
    /// Objects.
    pub objects: Arc<dyn ObjectStore>,
    /// Jobs.
    pub jobs: Arc<dyn JobQueue>,
    /// Events.
    pub events: Arc<dyn EventBus>,
    /// Accounts.
    pub identity: Arc<dyn IdentityProvider>,
    /// Tokens.
    pub tokens: Arc<dyn TokenVerifier>,
    /// Sessions.
    pub sessions: Arc<dyn Sessions>,
    /// Second factors.
    pub multi_factor: Arc<dyn MultiFactor>,
    /// Models.
    pub predictor: Arc<dyn Predictor>,
    /// Insights.
    pub insight: Arc<dyn InsightWriter>,
    /// What removes the remains of what was deleted.
    pub scrubber: Arc<dyn Scrubber>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn IdSource>,
}
