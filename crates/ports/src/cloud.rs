//! One provider's ports.

use std::sync::Arc;

use crate::{
    EventBus, HealthDataRepository, IdentityProvider, JobQueue, MultiFactor, ObjectStore, Result, Scrubber,
    SecretStore, Sessions, TokenVerifier,
};

/// The ports of people, which come from one provider because they speak of the same accounts.
#[derive(Clone)]
pub struct Identity {
    /// Accounts.
    pub accounts: Arc<dyn IdentityProvider>,
    /// The verifier of the tokens they are given.
    pub tokens: Arc<dyn TokenVerifier>,
    /// Their sessions.
    pub sessions: Arc<dyn Sessions>,
    /// Their second factors.
    pub multi_factor: Arc<dyn MultiFactor>,
}

/// Hands out one provider's ports. The composition root picks each port from one of the providers that are linked.
pub trait CloudProvider: Send + Sync + 'static {
    /// The name that configuration uses, such as `local`.
    fn name(&self) -> &'static str;

    /// Records.
    fn health_data(&self) -> Result<Arc<dyn HealthDataRepository>>;

    /// Objects.
    fn objects(&self) -> Result<Arc<dyn ObjectStore>>;

    /// The job queue.
    fn jobs(&self) -> Result<Arc<dyn JobQueue>>;

    /// Events.
    fn events(&self) -> Result<Arc<dyn EventBus>>;

    /// Accounts, and what belongs to them.
    fn identity(&self) -> Result<Identity>;

    /// What removes the remains of what was deleted in any of these.
    fn scrubber(&self) -> Result<Arc<dyn Scrubber>>;

    /// Secrets.
    fn secrets(&self) -> Result<Arc<dyn SecretStore>>;
}
