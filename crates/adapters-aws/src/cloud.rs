//! Everything of one AWS account, as a provider.

use std::sync::Arc;

use async_trait::async_trait;
use aws_config::SdkConfig;
#[cfg(feature = "sns")]
use ports::EventBus;
#[cfg(feature = "cognito")]
use ports::ExternalVerifier;
#[cfg(any(feature = "cognito", feature = "dynamodb"))]
use ports::HealthDataRepository;
#[cfg(feature = "sqs")]
use ports::JobQueue;
#[cfg(feature = "s3")]
use ports::ObjectStore;
#[cfg(any(feature = "secrets-manager", feature = "ssm"))]
use ports::SecretStore;
use ports::{Clock, CloudProvider, Error, ErrorKind, IdSource, Result, Scrubber};

#[cfg(feature = "dynamodb")]
use crate::DynamoHealthData;
#[cfg(any(feature = "secrets-manager", feature = "ssm"))]
use crate::SecretService;
#[cfg(feature = "sns")]
use crate::SnsEventBus;
#[cfg(debug_assertions)]
use crate::foreseen::Foreseen;
use crate::{AwsSettings, scrubber::AwsScrubber};
#[cfg(feature = "cognito")]
use crate::{CognitoIdentity, CognitoSettings};
#[cfg(feature = "s3")]
use crate::{S3ObjectStore, S3Settings};
#[cfg(feature = "secrets-manager")]
use crate::{SecretsManagerSettings, SecretsManagerStore};
#[cfg(feature = "sqs")]
use crate::{SqsJobQueue, SqsSettings};
#[cfg(feature = "ssm")]
use crate::{SsmSecretStore, SsmSettings};

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
        settings
            .check()
            .map_err(|cause| Error::new(ErrorKind::InvalidInput, "aws.settings").with_cause(cause))?;
        let config = settings.load().await;
        Ok(Self { settings, config, clock, ids })
    }

    /// What it was connected with.
    pub fn settings(&self) -> &AwsSettings {
        &self.settings
    }

    /// Accounts in a user pool. `signatures` verifies the pool's access tokens by its published keys; `store` keeps who is signed
    /// in.
    #[cfg(feature = "cognito")]
    pub fn user_pool(
        &self,
        pool: CognitoSettings,
        signatures: Arc<dyn ExternalVerifier>,
        store: Arc<dyn HealthDataRepository>,
    ) -> Result<ports::Identity> {
        let clock = Arc::clone(&self.clock);
        let identity = Arc::new(CognitoIdentity::new(self.cognito(), pool, signatures, store, clock)?);
        Ok(ports::Identity {
            accounts: Arc::clone(&identity) as _,
            tokens: Arc::clone(&identity) as _,
            sessions: Arc::clone(&identity) as _,
            multi_factor: identity,
        })
    }

    /// A client of Cognito user pools.
    #[cfg(feature = "cognito")]
    pub(crate) fn cognito(&self) -> aws_sdk_cognitoidentityprovider::Client {
        let mut config = aws_sdk_cognitoidentityprovider::config::Builder::from(&self.config);
        config.set_endpoint_url(self.endpoint(self.settings.endpoints.cognito.as_ref()));
        #[cfg(debug_assertions)]
        config.push_interceptor(Foreseen.into_shared());
        aws_sdk_cognitoidentityprovider::Client::from_conf(config.build())
    }

    /// A client of DynamoDB.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::config::Builder::from(&self.config);
        config.set_endpoint_url(self.endpoint(self.settings.endpoints.dynamodb.as_ref()));
        #[cfg(debug_assertions)]
        config.push_interceptor(Foreseen.into_shared());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// A client of S3. Calls that carry much get more time of their own.
    #[cfg(feature = "s3")]
    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};
        let mut config = Builder::from(&self.config)
            .force_path_style(self.settings.is_path_style)
            // SHA-256 goes with every body and is checked on its way back; another checksum beside it adds nothing.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        config.set_endpoint_url(self.endpoint(self.settings.endpoints.s3.as_ref()));
        #[cfg(debug_assertions)]
        config.push_interceptor(Foreseen.into_shared());
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// A client of SQS, whose calls may last as long as a poll.
    #[cfg(feature = "sqs")]
    pub(crate) fn sqs(&self) -> aws_sdk_sqs::Client {
        let timeouts = self.settings.timeouts.of_polls(crate::sqs::POLL_MAX);
        let mut config = aws_sdk_sqs::config::Builder::from(&self.config).timeout_config(timeouts);
        config.set_endpoint_url(self.endpoint(self.settings.endpoints.sqs.as_ref()));
        #[cfg(debug_assertions)]
        config.push_interceptor(Foreseen.into_shared());
        aws_sdk_sqs::Client::from_conf(config.build())
    }

    /// A client of SNS.
    #[cfg(feature = "sns")]
    pub(crate) fn sns(&self) -> aws_sdk_sns::Client {
        let mut config = aws_sdk_sns::config::Builder::from(&self.config);
        config.set_endpoint_url(self.endpoint(self.settings.endpoints.sns.as_ref()));
        #[cfg(debug_assertions)]
        config.push_interceptor(Foreseen.into_shared());
        aws_sdk_sns::Client::from_conf(config.build())
    }

    /// A client of Secrets Manager.
    #[cfg(feature = "secrets-manager")]
    fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        let mut config = aws_sdk_secretsmanager::config::Builder::from(&self.config);
        config.set_endpoint_url(self.endpoint(self.settings.endpoints.secrets_manager.as_ref()));
        #[cfg(debug_assertions)]
        config.push_interceptor(Foreseen.into_shared());
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }

    /// Secrets in Secrets Manager.
    #[cfg(feature = "secrets-manager")]
    fn secrets_manager_store(&self) -> SecretsManagerStore {
        let settings = SecretsManagerSettings {
            prefix: self.settings.secret_prefix.clone(),
            kms_key_id: self.settings.kms_key_id.clone(),
            cached_for: self.settings.secrets_cached_for,
        };
        let (clock, ids) = (Arc::clone(&self.clock), Arc::clone(&self.ids));
        SecretsManagerStore::new(self.secrets_manager(), settings, clock, ids)
    }

    /// Secrets in the parameters of Systems Manager.
    #[cfg(feature = "ssm")]
    fn ssm_store(&self) -> SsmSecretStore {
        let mut config = aws_sdk_ssm::config::Builder::from(&self.config);
        config.set_endpoint_url(self.endpoint(self.settings.endpoints.ssm.as_ref()));
        let settings = SsmSettings {
            prefix: self.settings.secret_prefix.clone(),
            kms_key_id: self.settings.kms_key_id.clone(),
            cached_for: self.settings.secrets_cached_for,
        };
        #[cfg(debug_assertions)]
        config.push_interceptor(Foreseen.into_shared());
        let client = aws_sdk_ssm::Client::from_conf(config.build());
        SsmSecretStore::new(client, settings, Arc::clone(&self.clock))
    }

    /// Where a service is: `own`, or what all have.
    fn endpoint(&self, own: Option<&String>) -> Option<String> {
        own.cloned().or_else(|| self.config.endpoint_url().map(str::to_owned))
    }
}

#[async_trait]
impl CloudProvider for AwsCloud {
    fn name(&self) -> &'static str {
        "aws"
    }

    #[cfg(feature = "dynamodb")]
    fn health_data(&self) -> Result<Arc<dyn HealthDataRepository>> {
        let (clock, ids) = (Arc::clone(&self.clock), Arc::clone(&self.ids));
        let deadline = self.settings.timeouts.operation;
        Ok(Arc::new(DynamoHealthData::new(self.dynamodb(), &self.settings.table, deadline, clock, ids)))
    }

    #[cfg(feature = "s3")]
    fn objects(&self) -> Result<Arc<dyn ObjectStore>> {
        let settings = S3Settings {
            bucket: self.settings.bucket.clone(),
            kms_key_id: self.settings.kms_key_id.clone(),
            spool: self.settings.spool.clone(),
            transfer: self.settings.timeouts.of_transfers(),
        };
        Ok(Arc::new(S3ObjectStore::new(self.s3(), settings, Arc::clone(&self.ids))))
    }

    #[cfg(feature = "sqs")]
    fn jobs(&self) -> Result<Arc<dyn JobQueue>> {
        let settings = SqsSettings {
            queue: self.settings.queue.clone(),
            dead_letter_queue: self.settings.dead_letter_queue.clone(),
            deliveries_max: self.settings.deliveries_max,
        };
        Ok(Arc::new(SqsJobQueue::new(&self.sqs(), settings, Arc::clone(&self.clock), Arc::clone(&self.ids))))
    }

    #[cfg(feature = "sns")]
    fn events(&self) -> Result<Arc<dyn EventBus>> {
        let topic = self.settings.topic_arn.clone();
        Ok(Arc::new(SnsEventBus::new(self.sns(), self.sqs(), topic, Arc::clone(&self.ids))))
    }

    #[cfg(any(feature = "secrets-manager", feature = "ssm"))]
    fn secrets(&self) -> Result<Arc<dyn SecretStore>> {
        match self.settings.secret_service {
            #[cfg(feature = "secrets-manager")]
            SecretService::SecretsManager => Ok(Arc::new(self.secrets_manager_store())),
            #[cfg(feature = "ssm")]
            SecretService::Ssm => Ok(Arc::new(self.ssm_store())),
            #[cfg(not(all(feature = "secrets-manager", feature = "ssm")))]
            absent => {
                let cause = format!("this binary was built without the adapter for {absent:?}");
                Err(Error::new(ErrorKind::InvalidInput, "aws.secrets").with_cause(cause))
            }
        }
    }

    fn scrubber(&self) -> Result<Arc<dyn Scrubber>> {
        Ok(Arc::new(AwsScrubber))
    }

    /// DynamoDB removes what has expired by itself.
    async fn sweep(&self, _: u32) -> Result<u64> {
        Ok(0)
    }
}
