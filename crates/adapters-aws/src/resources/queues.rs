//! The queue of the jobs, and that of the dead letters.

use std::collections::HashMap;

use aws_sdk_sqs::{Client, types::QueueAttributeName as Attribute};
use ports::{Error, ErrorKind, Result};

use super::manifest::Queue;
use crate::{AwsCloud, error::of_read};

const OPERATION: &str = "aws.init.queues";

/// Makes them in their order: one names those before it.
pub(super) async fn init(cloud: &AwsCloud, queues: &[Queue]) -> Result<()> {
    let client = cloud.sqs();
    let mut made = HashMap::new();
    for queue in queues {
        let mut attributes = HashMap::from([
            (Attribute::FifoQueue, queue.fifo.to_string()),
            (Attribute::MessageRetentionPeriod, queue.retention_seconds.to_string()),
        ]);
        match &queue.kms_key_id {
            Some(key) => attributes.insert(Attribute::KmsMasterKeyId, key.clone()),
            None => attributes.insert(Attribute::SqsManagedSseEnabled, "true".to_owned()),
        };
        if let Some(dead_letters) = &queue.dead_letters {
            let policy = serde_json::json!({
                "deadLetterTargetArn": made.get(&dead_letters.queue),
                "maxReceiveCount": dead_letters.deliveries_max,
            });
            attributes.insert(Attribute::RedrivePolicy, policy.to_string());
        }
        let url = create(&client, &queue.name, attributes).await?;
        made.insert(queue.name.clone(), arn(&client, &url).await?);
    }
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
