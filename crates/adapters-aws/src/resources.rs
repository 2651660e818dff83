//! The resources that the adapters use, and how they are made.
//!
//! [`init`] makes what is missing and sets what can be set; it never removes anything. In production, Terraform makes the
//! same resources; what stands here is what they must be.

#[cfg(feature = "s3")]
mod bucket;
#[cfg(feature = "sqs")]
pub(crate) mod queues;
#[cfg(feature = "dynamodb")]
mod table;
#[cfg(feature = "sns")]
mod topic;

use ports::Result;

use crate::AwsCloud;

/// Makes the resources of `cloud`'s settings. Doing it twice succeeds.
pub async fn init(cloud: &AwsCloud) -> Result<()> {
    #[cfg(feature = "dynamodb")]
    table::init(cloud).await?;
    #[cfg(feature = "s3")]
    bucket::init(cloud).await?;
    #[cfg(feature = "sqs")]
    queues::init(cloud).await?;
    #[cfg(feature = "sns")]
    topic::init(cloud).await?;
    Ok(())
}
