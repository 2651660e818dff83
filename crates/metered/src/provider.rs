//! All ports of a provider.

use std::sync::Arc;

use async_trait::async_trait;
use ports::{
    CloudProvider, EventBus, HealthDataRepository, Identity, JobQueue, ObjectStore, Result, Scrubber,
    SecretStore,
};

use crate::Metered;

/// A provider whose ports are measured under its name.
pub struct MeteredProvider(pub Arc<dyn CloudProvider>);

/// The ports of people, measured under the name of who serves them.
pub fn identity(identity: Identity, provider: &'static str) -> Identity {
    Identity {
        accounts: Arc::new(Metered::new(identity.accounts, provider)),
        tokens: Arc::new(Metered::new(identity.tokens, provider)),
        sessions: Arc::new(Metered::new(identity.sessions, provider)),
        multi_factor: Arc::new(Metered::new(identity.multi_factor, provider)),
    }
}

#[async_trait]
impl CloudProvider for MeteredProvider {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn health_data(&self) -> Result<Arc<dyn HealthDataRepository>> {
        Ok(Arc::new(Metered::new(self.0.health_data()?, self.name())))
    }

    fn objects(&self) -> Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(Metered::new(self.0.objects()?, self.name())))
    }

    fn jobs(&self) -> Result<Arc<dyn JobQueue>> {
        Ok(Arc::new(Metered::new(self.0.jobs()?, self.name())))
    }

    fn events(&self) -> Result<Arc<dyn EventBus>> {
        Ok(Arc::new(Metered::new(self.0.events()?, self.name())))
    }

    fn identity(&self) -> Result<Identity> {
        Ok(identity(self.0.identity()?, self.name()))
    }

    fn secrets(&self) -> Result<Arc<dyn SecretStore>> {
        Ok(Arc::new(Metered::new(self.0.secrets()?, self.name())))
    }

    fn scrubber(&self) -> Result<Arc<dyn Scrubber>> {
        Ok(Arc::new(Metered::new(self.0.scrubber()?, self.name())))
    }

    async fn sweep(&self, limit: u32) -> Result<u64> {
        self.0.sweep(limit).await
    }
}
