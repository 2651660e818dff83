//! Adapters on AWS, one file per port, each behind a feature of its own.
#![warn(missing_docs)]

mod cloud;
mod config;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod error;
pub mod resources;
mod scrubber;

pub use cloud::AwsCloud;
pub use config::{AccessKey, AwsSettings, Endpoints, Timeouts};
#[cfg(feature = "dynamodb")]
pub use dynamodb::DynamoHealthData;
pub use scrubber::AwsScrubber;
