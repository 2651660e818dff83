//! Events by an SNS FIFO topic, to which each subscriber listens with an SQS queue of its own.
//!
//! A process subscribes once and shares what comes among its listeners: a FIFO topic takes 100 subscribers. The queue goes
//! with its stream. What a killed process leaves is empty a minute later, as nothing waits in such a queue for longer, and is
//! known by its name and its tag.

mod listener;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_sns::Client;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use domain::ids::{EventId, UserId};
use ports::{Error, ErrorKind, Event, EventBus, EventStream, IdSource, Result};
use serde::{Deserialize, Serialize};

use crate::error::{Attempts, of_write};

/// How many events a subscriber can be behind before it misses some.
pub const EVENT_BACKLOG_MAX: usize = 256;

/// Events of a topic.
pub struct SnsEventBus {
    client: Client,
    queues: aws_sdk_sqs::Client,
    topic_arn: String,
    /// SNS keeps the order of a group's messages, and the port that of a publisher's.
    publisher: String,
    ids: Arc<dyn IdSource>,
}

impl SnsEventBus {
    /// The events of the topic `topic_arn`, which subscribers hear through `queues`.
    pub fn new(
        client: Client,
        queues: aws_sdk_sqs::Client,
        topic_arn: impl Into<String>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        let publisher = ids.next().to_string();
        Self { client, queues, topic_arn: topic_arn.into(), publisher, ids }
    }
}

/// An event as a message.
#[derive(Serialize, Deserialize)]
struct Notice {
    id: EventId,
    user_id: UserId,
    name: String,
    /// A message of SNS is text.
    body_base64: String,
}

impl Notice {
    fn new(event: Event) -> Self {
        let Event { id, user_id, name, body } = event;
        Self { id, user_id, name, body_base64: BASE64_STANDARD.encode(body) }
    }

    fn event(self) -> Result<Event> {
        let Self { id, user_id, name, body_base64 } = self;
        let body = BASE64_STANDARD.decode(body_base64);
        let body = body.map_err(|error| Error::new(ErrorKind::Corrupt, "events.next").with_cause(error))?;
        Ok(Event { id, user_id, name, body: Bytes::from(body) })
    }
}

#[async_trait]
impl EventBus for SnsEventBus {
    async fn publish(&self, event: Event) -> Result<()> {
        const OPERATION: &str = "events.publish";
        // New for each publish: the same event may be published twice, and a repetition by the SDK is one.
        let dedup = self.ids.next().to_string();
        let message = serde_json::to_string(&Notice::new(event))
            .map_err(|error| Error::new(ErrorKind::Unexpected, OPERATION).with_cause(error))?;
        let attempts = Attempts::default();
        let request = self
            .client
            .publish()
            .topic_arn(&self.topic_arn)
            .message(message)
            .message_group_id(&self.publisher)
            .message_deduplication_id(dedup);
        let answer = request.customize().interceptor(attempts.clone()).send().await;
        answer.map_err(|error| of_write(OPERATION, &attempts, &error))?;
        Ok(())
    }

    async fn subscribe(&self) -> Result<EventStream> {
        let ids = Arc::clone(&self.ids);
        let listener = listener::Listener::open(&self.client, &self.queues, &self.topic_arn, ids).await?;
        Ok(listener.stream())
    }

    /// SNS keeps no message, and what waits in a subscriber's queue is gone after a minute.
    async fn forget(&self, _: UserId) -> Result<u64> {
        Ok(0)
    }
}
