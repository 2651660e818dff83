//! Adapters on AWS, one file per port, each behind a feature of its own.
#![warn(missing_docs)]
#![cfg_attr(
    not(all(feature = "dynamodb", feature = "s3", feature = "sns", feature = "secrets-manager")),
    allow(dead_code, unused_variables, reason = "what services share is not used whole by one alone")
)]

mod cloud;
#[cfg(feature = "cognito")]
mod cognito;
mod config;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod error;
#[cfg(debug_assertions)]
mod foreseen;
#[cfg(any(feature = "secrets-manager", feature = "ssm"))]
mod latest;
pub mod resources;
#[cfg(feature = "s3")]
mod s3;
mod scrubber;
#[cfg(feature = "secrets-manager")]
mod secrets_manager;
#[cfg(feature = "sns")]
mod sns;
#[cfg(feature = "sqs")]
mod sqs;
#[cfg(feature = "ssm")]
mod ssm;

pub use cloud::AwsCloud;
#[cfg(feature = "cognito")]
pub use cognito::{CognitoGroups, CognitoIdentity, CognitoSettings, SignInFlow};
pub use config::{AccessKey, AwsSettings, Endpoints, SecretService, Timeouts, UserPoolNames};
#[cfg(feature = "dynamodb")]
pub use dynamodb::{DynamoHealthData, item_bytes, write_units};
#[cfg(feature = "s3")]
pub use s3::{S3ObjectStore, S3Settings};
pub use scrubber::AwsScrubber;
#[cfg(feature = "secrets-manager")]
pub use secrets_manager::{SecretsManagerSettings, SecretsManagerStore};
#[cfg(feature = "sns")]
pub use sns::{EVENT_BACKLOG_MAX, SnsEventBus};
#[cfg(feature = "sqs")]
pub use sqs::{SqsJobQueue, SqsSettings};
#[cfg(feature = "ssm")]
pub use ssm::{SsmSecretStore, SsmSettings};
