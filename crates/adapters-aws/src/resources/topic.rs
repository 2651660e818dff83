//! The topic of the events.

use ports::{Error, ErrorKind, Result};

use super::manifest::Topic;
use crate::{AwsCloud, error::of_read};

const OPERATION: &str = "aws.init.topic";

pub(super) async fn init(cloud: &AwsCloud, topic: &Topic) -> Result<()> {
    let client = cloud.sns();
    let mut request = client.create_topic().name(&topic.name).attributes("FifoTopic", topic.fifo.to_string());
    if let Some(key) = &topic.kms_key_id {
        request = request.attributes("KmsMasterKeyId", key);
    }
    let made = request.send().await.map_err(|error| of_read(OPERATION, &error))?.topic_arn;
    if made.as_deref() == Some(topic.arn.as_str()) {
        Ok(())
    } else {
        let cause = format!("the topic's ARN is {made:?}, and not the configured one");
        Err(Error::new(ErrorKind::InvalidInput, OPERATION).with_cause(cause))
    }
}
