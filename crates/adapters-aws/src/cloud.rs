//! Everything of one AWS account, as a provider.

use std::sync::Arc;

use aws_config::SdkConfig;
use ports::{Clock, Error, ErrorKind, HealthDataRepository, IdSource, Result, Scrubber};

use crate::{AwsSettings, DynamoHealthData, scrubber::AwsScrubber};

/// The ports of an account. It opens no connection before a port is used.
pub struct AwsCloud {
    settings: AwsSettings,
    config: SdkConfig,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl AwsCloud {
    /// Reads what the default chains of the SDK find, and checks `settings`.
    pub async fn connect(
        settings: AwsSettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self> {
        settings.check().map_err(|cause| Error::new(ErrorKind::InvalidInput, "aws.settings").with_cause(cause))?;
        let config = settings.load().await;
        Ok(Self { settings, config, clock, ids })
    }

    /// The name that configuration uses.
    pub fn name(&self) -> &'static str {
        "aws"
    }

    /// What it was connected with.
    pub fn settings(&self) -> &AwsSettings {
        &self.settings
    }

    /// Records.
    #[cfg(feature = "dynamodb")]
    pub fn health_data(&self) -> Result<Arc<dyn HealthDataRepository>> {
        let (clock, ids) = (Arc::clone(&self.clock), Arc::clone(&self.ids));
        let deadline = self.settings.timeouts.operation;
        Ok(Arc::new(DynamoHealthData::new(self.dynamodb(), &self.settings.table, deadline, clock, ids)))
    }

    /// What removes the remains of what was deleted.
    pub fn scrubber(&self) -> Result<Arc<dyn Scrubber>> {
        Ok(Arc::new(AwsScrubber))
    }

    /// A client of DynamoDB.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::config::Builder::from(&self.config);
        config.set_endpoint_url(self.endpoint(self.settings.endpoints.dynamodb.as_ref()));
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// Where a service is: `own`, or what all have.
    fn endpoint(&self, own: Option<&String>) -> Option<String> {
        own.cloned().or_else(|| self.config.endpoint_url().map(str::to_owned))
    }
}
