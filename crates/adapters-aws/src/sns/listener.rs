//! One subscription: its queue, and the task that empties it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_sdk_sns::Client;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, QueueAttributeName as Attribute};
use futures::StreamExt as _;
use ports::{Error, ErrorKind, Event, EventStream, IdSource, Result};
use tokio::{
    sync::broadcast::{self, Sender},
    time::sleep,
};
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

use super::{EVENT_BACKLOG_MAX, Notice};
use crate::{error::of_read, resources::queues::arn};

const OPERATION: &str = "events.subscribe";

/// SQS's least. Who was away for longer reads the records.
const RETENTION_SECONDS: u32 = 60;

/// SQS's most.
const POLL_SECONDS: i32 = 20;

/// Between polls that fail.
const PAUSE: Duration = Duration::from_secs(1);

/// A queue that is subscribed to the topic.
pub(super) struct Listener {
    topics: Client,
    queues: aws_sdk_sqs::Client,
    queue_url: String,
    subscription: String,
    ids: Arc<dyn IdSource>,
}

impl Listener {
    pub(super) async fn open(
        topics: &Client,
        queues: &aws_sdk_sqs::Client,
        topic_arn: &str,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self> {
        let name = format!("clarity-events-{}.fifo", ids.next().simple());
        let attributes = HashMap::from([
            (Attribute::FifoQueue, "true".to_owned()),
            (Attribute::MessageRetentionPeriod, RETENTION_SECONDS.to_string()),
        ]);
        let request = queues.create_queue().queue_name(name).set_attributes(Some(attributes));
        let answer = request.tags("clarity", "events").send().await;
        let queue_url = answer.map_err(|error| of_read(OPERATION, &error))?.queue_url.unwrap_or_default();
        let (topics, queues, subscription) = (topics.clone(), queues.clone(), String::new());
        let mut listener = Self { topics, queues, queue_url, subscription, ids };
        match listener.listen(topic_arn).await {
            Ok(subscription) => listener.subscription = subscription,
            Err(error) => {
                listener.close().await;
                return Err(error);
            }
        }
        Ok(listener)
    }

    /// Lets the topic write into the queue; answers the name of the subscription.
    async fn listen(&self, topic_arn: &str) -> Result<String> {
        let queue_arn = arn(&self.queues, &self.queue_url).await?;
        let policy = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
            }],
        });
        let request = self.queues.set_queue_attributes().queue_url(&self.queue_url);
        let request = request.attributes(Attribute::Policy, policy.to_string());
        request.send().await.map_err(|error| of_read(OPERATION, &error))?;
        let request = self.topics.subscribe().topic_arn(topic_arn).protocol("sqs").endpoint(queue_arn);
        let request = request.attributes("RawMessageDelivery", "true").return_subscription_arn(true);
        let answer = request.send().await.map_err(|error| of_read(OPERATION, &error))?;
        Ok(answer.subscription_arn.unwrap_or_default())
    }

    /// What comes. The subscription ends when the stream is dropped.
    pub(super) fn stream(self) -> EventStream {
        let (sender, receiver) = broadcast::channel(EVENT_BACKLOG_MAX);
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = self.read(&sender) => {}
            }
            self.close().await;
        });
        Box::pin(BroadcastStream::new(receiver).map(|item| {
            item.map_err(|BroadcastStreamRecvError::Lagged(count)| {
                Error::new(ErrorKind::Unavailable, "events.next")
                    .with_cause(format!("{count} events were missed"))
            })
        }))
    }

    /// Reads on until it is dropped.
    async fn read(&self, sender: &Sender<Event>) {
        loop {
            let request = self.queues.receive_message().queue_url(&self.queue_url);
            let request = request.max_number_of_messages(10).wait_time_seconds(POLL_SECONDS);
            // A repetition after a lost answer gets the same messages, where it would find them hidden.
            let request = request.receive_request_attempt_id(self.ids.next().to_string());
            match request.send().await {
                Ok(answer) => self.pass_on(answer.messages.unwrap_or_default(), sender).await,
                Err(error) => {
                    tracing::warn!(error = %of_read("events.next", &error), "events cannot be read");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Hands `messages` to the listener, and removes them: they were for it alone.
    async fn pass_on(&self, messages: Vec<Message>, sender: &Sender<Event>) {
        let mut done = Vec::new();
        for (number, message) in messages.into_iter().enumerate() {
            let notice = serde_json::from_str::<Notice>(message.body().unwrap_or_default());
            if let Ok(Ok(event)) = notice.map(Notice::event) {
                // Nobody may listen any longer: then the queue is about to go.
                drop(sender.send(event));
            } else {
                tracing::warn!("an event cannot be read and is left out");
            }
            let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
            done.extend(entry.set_receipt_handle(message.receipt_handle).build().ok());
        }
        if done.is_empty() {
            return;
        }
        let request = self.queues.delete_message_batch().queue_url(&self.queue_url);
        if let Err(error) = request.set_entries(Some(done)).send().await {
            tracing::warn!(error = %of_read("events.next", &error), "events may come twice");
        }
    }

    /// Removes the subscription and its queue.
    async fn close(&self) {
        if !self.subscription.is_empty() {
            let gone = self.topics.unsubscribe().subscription_arn(&self.subscription).send().await;
            if let Err(error) = gone {
                tracing::warn!(error = %of_read("events.close", &error), "a subscription is left");
            }
        }
        if let Err(error) = self.queues.delete_queue().queue_url(&self.queue_url).send().await {
            tracing::warn!(error = %of_read("events.close", &error), "a subscriber's queue is left");
        }
    }
}
