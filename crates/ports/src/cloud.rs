//! One provider's ports.

use std::sync::Arc;

use crate::{
    EventBus, HealthDataRepository, IdentityProvider, JobQueue, ObjectStore, Result, SecretStore,
    TokenVerifier,
};

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

    /// Accounts, and the verifier of the tokens they are given.
    fn identity(&self) -> Result<(Arc<dyn IdentityProvider>, Arc<dyn TokenVerifier>)>;

    /// Secrets.
    fn secrets(&self) -> Result<Arc<dyn SecretStore>>;
}
