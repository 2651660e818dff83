//! The bucket of the objects.

use aws_sdk_s3::{
    Client,
    error::SdkError,
    operation::create_bucket::CreateBucketError,
    types::{
        AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint,
        BucketVersioningStatus, CreateBucketConfiguration, ExpirationStatus, LifecycleRule,
        LifecycleRuleFilter, PublicAccessBlockConfiguration, ServerSideEncryption,
        ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
        VersioningConfiguration,
    },
};
use aws_smithy_types::error::operation::BuildError;
use ports::{Error, ErrorKind, Result};

use super::manifest::Bucket;
use crate::{AwsCloud, error::of_read};

const OPERATION: &str = "aws.init.bucket";

/// The one region whose name S3 does not take as a place.
const FIRST_REGION: &str = "us-east-1";

pub(super) async fn init(cloud: &AwsCloud, bucket: &Bucket) -> Result<()> {
    let (client, region) = (cloud.s3(), cloud.settings().region.as_str());
    let place = (region != FIRST_REGION).then(|| {
        let place = BucketLocationConstraint::from(region);
        CreateBucketConfiguration::builder().location_constraint(place).build()
    });
    match client.create_bucket().bucket(&bucket.name).set_create_bucket_configuration(place).send().await {
        Err(SdkError::ServiceError(error))
            if matches!(error.err(), CreateBucketError::BucketAlreadyOwnedByYou(_)) => {}
        made => drop(made.map_err(|error| of_read(OPERATION, &error))?),
    }
    close(&client, bucket).await?;
    seal(&client, bucket).await?;
    keep_versions(&client, bucket).await?;
    tidy(&client, bucket).await
}

/// Nothing in it is ever public, whatever a policy says.
async fn close(client: &Client, bucket: &Bucket) -> Result<()> {
    let closed = PublicAccessBlockConfiguration::builder()
        .block_public_acls(bucket.public_access_blocked)
        .block_public_policy(bucket.public_access_blocked)
        .ignore_public_acls(bucket.public_access_blocked)
        .restrict_public_buckets(bucket.public_access_blocked);
    let request = client.put_public_access_block().bucket(&bucket.name);
    let answer = request.public_access_block_configuration(closed.build()).send().await;
    answer.map_err(|error| of_read(OPERATION, &error))?;
    Ok(())
}

async fn seal(client: &Client, bucket: &Bucket) -> Result<()> {
    let algorithm = ServerSideEncryption::from(bucket.encryption);
    let default = ServerSideEncryptionByDefault::builder().sse_algorithm(algorithm);
    let default = default.set_kms_master_key_id(bucket.kms_key_id.clone()).build().map_err(broken)?;
    // A bucket key saves a call to KMS for each object.
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default)
        .bucket_key_enabled(bucket.kms_key_id.is_some());
    let sealed = ServerSideEncryptionConfiguration::builder().rules(rule.build()).build().map_err(broken)?;
    let request = client.put_bucket_encryption().bucket(&bucket.name);
    let answer = request.server_side_encryption_configuration(sealed).send().await;
    answer.map_err(|error| of_read(OPERATION, &error))?;
    Ok(())
}

/// What is overwritten by mistake can be brought back; a delete removes every version.
async fn keep_versions(client: &Client, bucket: &Bucket) -> Result<()> {
    let status =
        if bucket.versioned { BucketVersioningStatus::Enabled } else { BucketVersioningStatus::Suspended };
    let versioned = VersioningConfiguration::builder().status(status).build();
    let request = client.put_bucket_versioning().bucket(&bucket.name).versioning_configuration(versioned);
    request.send().await.map_err(|error| of_read(OPERATION, &error))?;
    Ok(())
}

/// The parts of uploads that were never finished go after a day.
async fn tidy(client: &Client, bucket: &Bucket) -> Result<()> {
    let rule = LifecycleRule::builder()
        .id("unfinished-uploads")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder()
                .days_after_initiation(bucket.unfinished_uploads_days)
                .build(),
        );
    let rule = rule.build().map_err(broken)?;
    let rules = BucketLifecycleConfiguration::builder().rules(rule).build().map_err(broken)?;
    let request = client.put_bucket_lifecycle_configuration().bucket(&bucket.name);
    let answer = request.lifecycle_configuration(rules).send().await;
    answer.map_err(|error| of_read(OPERATION, &error))?;
    Ok(())
}

fn broken(error: BuildError) -> Error {
    Error::new(ErrorKind::Unexpected, OPERATION).with_cause(error)
}
