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

use crate::{AwsCloud, error::of_read};

const OPERATION: &str = "aws.init.bucket";

/// The one region whose name S3 does not take as a place.
const FIRST_REGION: &str = "us-east-1";

pub(super) async fn init(cloud: &AwsCloud) -> Result<()> {
    let (client, settings) = (cloud.s3(), cloud.settings());
    let bucket = settings.bucket.as_str();
    let place = (settings.region != FIRST_REGION).then(|| {
        let place = BucketLocationConstraint::from(settings.region.as_str());
        CreateBucketConfiguration::builder().location_constraint(place).build()
    });
    match client.create_bucket().bucket(bucket).set_create_bucket_configuration(place).send().await {
        Err(SdkError::ServiceError(error))
            if matches!(error.err(), CreateBucketError::BucketAlreadyOwnedByYou(_)) => {}
        made => drop(made.map_err(|error| of_read(OPERATION, &error))?),
    }
    close(&client, bucket).await?;
    seal(&client, bucket, settings.kms_key_id.as_deref()).await?;
    keep_versions(&client, bucket).await?;
    tidy(&client, bucket).await
}

/// Nothing in it is ever public, whatever a policy says.
async fn close(client: &Client, bucket: &str) -> Result<()> {
    let closed = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .block_public_policy(true)
        .ignore_public_acls(true)
        .restrict_public_buckets(true);
    let request = client.put_public_access_block().bucket(bucket);
    let answer = request.public_access_block_configuration(closed.build()).send().await;
    answer.map_err(|error| of_read(OPERATION, &error))?;
    Ok(())
}

async fn seal(client: &Client, bucket: &str, kms_key_id: Option<&str>) -> Result<()> {
    let algorithm =
        if kms_key_id.is_some() { ServerSideEncryption::AwsKms } else { ServerSideEncryption::Aes256 };
    let default = ServerSideEncryptionByDefault::builder().sse_algorithm(algorithm);
    let default = default.set_kms_master_key_id(kms_key_id.map(str::to_owned)).build().map_err(broken)?;
    // A bucket key saves a call to KMS for each object.
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default)
        .bucket_key_enabled(kms_key_id.is_some());
    let sealed = ServerSideEncryptionConfiguration::builder().rules(rule.build()).build().map_err(broken)?;
    let request = client.put_bucket_encryption().bucket(bucket);
    let answer = request.server_side_encryption_configuration(sealed).send().await;
    answer.map_err(|error| of_read(OPERATION, &error))?;
    Ok(())
}

/// What is overwritten by mistake can be brought back; a delete removes every version.
async fn keep_versions(client: &Client, bucket: &str) -> Result<()> {
    let versioned = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let request = client.put_bucket_versioning().bucket(bucket).versioning_configuration(versioned);
    request.send().await.map_err(|error| of_read(OPERATION, &error))?;
    Ok(())
}

/// The parts of uploads that were never finished go after a day.
async fn tidy(client: &Client, bucket: &str) -> Result<()> {
    let rule = LifecycleRule::builder()
        .id("unfinished-uploads")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder().days_after_initiation(1).build(),
        );
    let rule = rule.build().map_err(broken)?;
    let rules = BucketLifecycleConfiguration::builder().rules(rule).build().map_err(broken)?;
    let request = client.put_bucket_lifecycle_configuration().bucket(bucket);
    let answer = request.lifecycle_configuration(rules).send().await;
    answer.map_err(|error| of_read(OPERATION, &error))?;
    Ok(())
}

fn broken(error: BuildError) -> Error {
    Error::new(ErrorKind::Unexpected, OPERATION).with_cause(error)
}
