//! The queue of the jobs, and that of the dead letters.

use std::collections::HashMap;

use aws_sdk_sqs::{Client, types::QueueAttributeName as Attribute};
use ports::{Error, ErrorKind, Result};

use crate::{AwsCloud, error::of_read};

const OPERATION: &str = "aws.init.queues";

/// SQS's most: 14 days.
const RETENTION_SECONDS: u32 = 14 * 24 * 60 * 60;

/// The adapter moves dead letters itself, with their reason. SQS moves what a crash left, after so many deliveries more.
const DELIVERIES_BEYOND: u32 = 10;

pub(super) async fn init(cloud: &AwsCloud) -> Result<()> {
    let (client, settings) = (cloud.sqs(), cloud.settings());
    let mut attributes = HashMap::from([
        (Attribute::FifoQueue, "true".to_owned()),
        (Attribute::MessageRetentionPeriod, RETENTION_SECONDS.to_string()),
    ]);
    match &settings.kms_key_id {
        Some(key) => attributes.insert(Attribute::KmsMasterKeyId, key.clone()),
        None => attributes.insert(Attribute::SqsManagedSseEnabled, "true".to_owned()),
    };
    let dead = create(&client, &settings.dead_letter_queue, attributes.clone()).await?;
    let policy = serde_json::json!({
        "deadLetterTargetArn": arn(&client, &dead).await?,
        "maxReceiveCount": settings.deliveries_max.saturating_add(DELIVERIES_BEYOND),
    });
    attributes.insert(Attribute::RedrivePolicy, policy.to_string());
    create(&client, &settings.queue, attributes).await?;
    Ok(())
}

/// Answers the queue's address. Making a queue again with the same attributes succeeds.
async fn create(client: &Client, name: &str, attributes: HashMap<Attribute, String>) -> Result<String> {
    let answer = client.create_queue().queue_name(name).set_attributes(Some(attributes)).send().await;
    let url = answer.map_err(|error| of_read(OPERATION, &error))?.queue_url;
    url.ok_or_else(|| Error::new(ErrorKind::Unexpected, OPERATION).with_cause("a queue without an address"))
}

/// The name by which policies know a queue.
pub(crate) async fn arn(client: &Client, url: &str) -> Result<String> {
    let request = client.get_queue_attributes().queue_url(url).attribute_names(Attribute::QueueArn);
    let answer = request.send().await.map_err(|error| of_read(OPERATION, &error))?;
    let arn = answer.attributes.and_then(|mut attributes| attributes.remove(&Attribute::QueueArn));
    arn.ok_or_else(|| Error::new(ErrorKind::Unexpected, OPERATION).with_cause("a queue without an ARN"))
}
