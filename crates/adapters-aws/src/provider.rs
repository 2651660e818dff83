//! The account as one of the providers that a configuration can name.

#[cfg(any(
    feature = "dynamodb",
    feature = "s3",
    feature = "sqs",
    feature = "sns",
    feature = "secrets-manager"
))]
use std::sync::Arc;

use async_trait::async_trait;
use ports::CloudProvider;

use crate::AwsCloud;

#[async_trait]
impl CloudProvider for AwsCloud {
    fn name(&self) -> &'static str {
        "aws"
    }

    #[cfg(feature = "dynamodb")]
    fn health_data(&self) -> ports::Result<Arc<dyn ports::HealthDataRepository>> {
        Self::health_data(self)
    }

    #[cfg(feature = "s3")]
    fn objects(&self) -> ports::Result<Arc<dyn ports::ObjectStore>> {
        Self::objects(self)
    }

    #[cfg(feature = "sqs")]
    fn jobs(&self) -> ports::Result<Arc<dyn ports::JobQueue>> {
        Self::jobs(self)
    }

    fn scrubber(&self) -> ports::Result<std::sync::Arc<dyn ports::Scrubber>> {
        Self::scrubber(self)
    }

    /// DynamoDB removes what has expired by itself.
    async fn sweep(&self, _: u32) -> ports::Result<u64> {
        Ok(0)
    }
}
