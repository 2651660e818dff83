//! Where the services are, and how long they may take.

use std::{path::PathBuf, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::Credentials;
use secrecy::{ExposeSecret as _, SecretString};

/// A fixed pair of keys, for emulators. On AWS the default chain finds the role of the machine.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// The half that names it.
    pub id: String,
    /// The half that signs.
    pub secret: SecretString,
}

/// Other addresses than AWS's own, such as an emulator's or a VPC endpoint's.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// Of every service that has none below.
    pub default: Option<String>,
    /// Of Cognito user pools.
    pub cognito: Option<String>,
    /// Of DynamoDB.
    pub dynamodb: Option<String>,
    /// Of S3.
    pub s3: Option<String>,
    /// Of SQS.
    pub sqs: Option<String>,
    /// Of SNS.
    pub sns: Option<String>,
    /// Of Secrets Manager.
    pub secrets_manager: Option<String>,
    /// Of Systems Manager.
    pub ssm: Option<String>,
}

/// Which of the two services keeps the secrets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecretService {
    /// Secrets Manager: up to 64 KiB, paid by the secret.
    SecretsManager,
    /// The parameters of Systems Manager: up to 6 KiB, without a price up to 3 KiB.
    Ssm,
}

/// How long a call may take. The SDK sets no limit of its own to any of these but the first.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until there is a connection.
    pub connect: Duration,
    /// Until one attempt has its answer.
    pub attempt: Duration,
    /// Until the call ends, all attempts and the pauses between them included.
    pub operation: Duration,
    /// Until one attempt to send or fetch a part of an object has its answer: 8 MiB may be under way.
    pub transfer: Duration,
}

impl Timeouts {
    /// Of calls that carry little.
    fn of_calls(&self) -> TimeoutConfig {
        self.of(self.attempt, self.operation)
    }

    /// Of calls that carry the bytes of objects.
    #[cfg(feature = "s3")]
    pub(crate) fn of_transfers(&self) -> TimeoutConfig {
        self.of(self.transfer, self.transfer * 2)
    }

    /// Of calls that may wait for up to `poll` for something to happen.
    #[cfg(feature = "sqs")]
    pub(crate) fn of_polls(&self, poll: Duration) -> TimeoutConfig {
        self.of(self.attempt + poll, self.operation + poll)
    }

    fn of(&self, attempt: Duration, operation: Duration) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .read_timeout(attempt)
            .operation_attempt_timeout(attempt)
            .operation_timeout(operation)
            .build()
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            attempt: Duration::from_secs(5),
            operation: Duration::from_secs(15),
            transfer: Duration::from_mins(1),
        }
    }
}

/// The user pool that [`init_user_pool`](crate::resources::init_user_pool) makes. Accounts may be in any other.
#[derive(Clone, Debug)]
pub struct UserPoolNames {
    /// The name of the pool, and of its app client.
    pub name: String,
    /// Whether people sign in by SRP, and not by sending the password.
    pub is_srp: bool,
    /// The groups that stand for roles.
    pub groups: Vec<String>,
}

/// How AWS knows that order is wanted.
const FIFO: &str = ".fifo";

/// How AWS is used. Names are of resources that exist; [`init`](crate::resources::init) makes them.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// Keys for an emulator; `None` for the default credential chain.
    pub access_key: Option<AccessKey>,
    /// Where the services are.
    pub endpoints: Endpoints,
    /// How long they may take.
    pub timeouts: Timeouts,
    /// How often a call is tried at most, the first time included. Only the SDK repeats calls.
    pub attempts_max: u32,
    /// The DynamoDB table of the records.
    pub table: String,
    /// The S3 bucket of the objects.
    pub bucket: String,
    /// Whether the bucket's name stands in the path of a URL and not in its host; emulators need it.
    pub is_path_style: bool,
    /// The KMS key that seals objects, queues and secrets; `None` for the keys that AWS keeps for each service.
    pub kms_key_id: Option<String>,
    /// Where a large body waits until its digest is known; `None` for the system's temporary folder.
    pub spool: Option<PathBuf>,
    /// The SQS queue of the jobs; ends in `.fifo`.
    pub queue: String,
    /// The SQS queue of the jobs that were given up; ends in `.fifo`.
    pub dead_letter_queue: String,
    /// How often a job is delivered before it is given up; at least 1.
    pub deliveries_max: u32,
    /// The ARN of the SNS topic of the events; ends in `.fifo`.
    pub topic_arn: String,
    /// The user pool.
    pub user_pool: UserPoolNames,
    /// Who keeps the secrets.
    pub secret_service: SecretService,
    /// What the names of secrets begin with, such as `clarity/production/`.
    pub secret_prefix: String,
    /// How long the latest version of a secret is believed to be the latest.
    pub secrets_cached_for: Duration,
}

impl AwsSettings {
    /// What cannot work, as a text for whoever configures.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        // Without a topic nothing is published.
        let names = [&self.queue, &self.dead_letter_queue, &self.topic_arn];
        if names.iter().any(|name| !name.is_empty() && !name.ends_with(FIFO)) {
            return Err("queues and the topic must be FIFO: their names end in .fifo");
        }
        if self.deliveries_max == 0 || self.attempts_max == 0 {
            return Err("a message must be delivered, and a call tried, once at least");
        }
        Ok(())
    }

    /// What all clients share.
    pub(crate) async fn load(&self) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .timeout_config(self.timeouts.of_calls())
            .retry_config(RetryConfig::standard().with_max_attempts(self.attempts_max));
        if let Some(AccessKey { id, secret }) = &self.access_key {
            loader = loader.credentials_provider(Credentials::from_keys(id, secret.expose_secret(), None));
        }
        if let Some(endpoint) = &self.endpoints.default {
            loader = loader.endpoint_url(endpoint);
        }
        loader.load().await
    }
}
