//! The resources that the adapters use, and how they are made.
//!
//! [`Manifest`] says what they are. [`init`] makes what is missing of it and sets what can be set; it never removes anything. In
//! production, Terraform makes the same from the manifest's JSON.

mod access;
#[cfg(feature = "s3")]
mod bucket;
mod manifest;
#[cfg(feature = "cognito")]
mod pool;
#[cfg(feature = "sqs")]
pub(crate) mod queues;
#[cfg(feature = "dynamodb")]
mod table;
#[cfg(feature = "sns")]
mod topic;

use ports::Result;

#[cfg(debug_assertions)]
pub(crate) use access::is_foreseen;
pub use access::{Policy, Role, Statement};
pub use manifest::{Bucket, DeadLetters, Manifest, PoolClient, Queue, Secrets, Table, Topic, UserPool};
#[cfg(feature = "dynamodb")]
pub(crate) use manifest::{EXPIRY, PARTITION, SORT};
#[cfg(feature = "cognito")]
pub use pool::PoolIds;

use crate::AwsCloud;

/// Makes what the manifest of `cloud`'s settings names, but for the user pool. Doing it twice succeeds.
pub async fn init(cloud: &AwsCloud) -> Result<()> {
    let manifest = Manifest::of(cloud.settings());
    #[cfg(feature = "dynamodb")]
    for table in &manifest.tables {
        table::init(cloud, table).await?;
    }
    #[cfg(feature = "s3")]
    for bucket in &manifest.buckets {
        bucket::init(cloud, bucket).await?;
    }
    #[cfg(feature = "sqs")]
    queues::init(cloud, &manifest.queues).await?;
    #[cfg(feature = "sns")]
    for topic in &manifest.topics {
        topic::init(cloud, topic).await?;
    }
    Ok(())
}

/// Makes the user pool of the manifest, or finds the one of that name; answers what it is known by.
#[cfg(feature = "cognito")]
pub async fn init_user_pool(cloud: &AwsCloud) -> Result<Option<PoolIds>> {
    let manifest = Manifest::of(cloud.settings());
    match manifest.user_pools.first() {
        Some(pool) => pool::init(cloud, pool).await.map(Some),
        None => Ok(None),
    }
}
