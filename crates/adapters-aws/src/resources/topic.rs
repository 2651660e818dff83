//! The topic of the events.

use ports::{Error, ErrorKind, Result};

use crate::{AwsCloud, error::of_read};

const OPERATION: &str = "aws.init.topic";

pub(super) async fn init(cloud: &AwsCloud) -> Result<()> {
    let (client, settings) = (cloud.sns(), cloud.settings());
    let name = settings.topic_arn.rsplit(':').next().unwrap_or_default();
    let mut request = client.create_topic().name(name).attributes("FifoTopic", "true");
    if let Some(key) = &settings.kms_key_id {
        request = request.attributes("KmsMasterKeyId", key);
    }
    let made = request.send().await.map_err(|error| of_read(OPERATION, &error))?.topic_arn;
    if made.as_deref() == Some(settings.topic_arn.as_str()) {
        Ok(())
    } else {
        let cause = format!("the topic's ARN is {made:?}, and not the configured one");
        Err(Error::new(ErrorKind::InvalidInput, OPERATION).with_cause(cause))
    }
}
