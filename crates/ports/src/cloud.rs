//! One provider's ports.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Error, ErrorKind, EventBus, HealthDataRepository, IdentityProvider, JobQueue, MultiFactor, ObjectStore,
    Result, Scrubber, SecretStore, Sessions, TokenVerifier,
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

/// Hands out one provider's ports. The composition root picks each port from one of the providers that are linked. What a
/// provider does not serve, or was built without, is an error that says so.
#[async_trait]
pub trait CloudProvider: Send + Sync + 'static {
    /// The name that configuration uses, such as `local`.
    fn name(&self) -> &'static str;

    /// Records.
    fn health_data(&self) -> Result<Arc<dyn HealthDataRepository>> {
        not_served(self.name(), "health_data")
    }

    /// Objects.
    fn objects(&self) -> Result<Arc<dyn ObjectStore>> {
        not_served(self.name(), "objects")
    }

    /// The job queue.
    fn jobs(&self) -> Result<Arc<dyn JobQueue>> {
        not_served(self.name(), "jobs")
    }

    /// Events.
    fn events(&self) -> Result<Arc<dyn EventBus>> {
        not_served(self.name(), "events")
    }

    /// Accounts, and what belongs to them.
    fn identity(&self) -> Result<Identity> {
        not_served(self.name(), "identity")
    }

    /// Secrets.
    fn secrets(&self) -> Result<Arc<dyn SecretStore>> {
        not_served(self.name(), "secrets")
    }

    /// What removes the remains of what was deleted in any of these.
    fn scrubber(&self) -> Result<Arc<dyn Scrubber>>;

    /// Removes at most `limit` expired records, where the store does not do so itself; answers how many there were.
    async fn sweep(&self, limit: u32) -> Result<u64>;
}

fn not_served<T>(provider: &str, port: &str) -> Result<T> {
    let cause = format!("the provider {provider} does not serve {port}, or this binary was built without it");
    Err(Error::new(ErrorKind::InvalidInput, "provider.port").with_cause(cause))
}
