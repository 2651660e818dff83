//! The calls that a queue takes.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use aws_sdk_sqs::{Client, types::MessageSystemAttributeName};
use hex::encode;
use ports::{Error, ErrorKind, IdSource, Result};
use sha2::{Digest as _, Sha256};

use super::{COUNTS, Delivery, Parcel};
use crate::error::{Attempts, code, of_read, of_write};

/// A queue by its name.
pub(super) struct Queue {
    client: Client,
    name: String,
    url: OnceLock<String>,
    ids: Arc<dyn IdSource>,
}

impl Queue {
    pub(super) fn new(client: Client, name: String, ids: Arc<dyn IdSource>) -> Self {
        Self { client, name, url: OnceLock::new(), ids }
    }

    /// Asked for until it is known. Nobody waits for another's answer: a call that is not polled must hold up no other.
    async fn url(&self, operation: &'static str) -> Result<&str> {
        if let Some(url) = self.url.get() {
            return Ok(url);
        }
        let answer = self.client.get_queue_url().queue_name(&self.name).send().await;
        let url = answer.map_err(|error| of_read(operation, &error))?.queue_url;
        let none = || Error::new(ErrorKind::NotFound, operation).with_cause("the queue has no address");
        let url = url.ok_or_else(none)?;
        Ok(self.url.get_or_init(|| url))
    }

    /// Sends `parcel` in `group`, unless one of the same `dedup` was sent in the last five minutes.
    pub(super) async fn send(
        &self,
        operation: &'static str,
        parcel: &Parcel,
        group: &str,
        dedup: &str,
    ) -> Result<()> {
        let body = serde_json::to_string(parcel)
            .map_err(|error| Error::new(ErrorKind::Unexpected, operation).with_cause(error))?;
        let attempts = Attempts::default();
        let request = self
            .client
            .send_message()
            .queue_url(self.url(operation).await?)
            .message_body(body)
            .message_group_id(name(group))
            .message_deduplication_id(name(dedup));
        let answer = request.customize().interceptor(attempts.clone()).send().await;
        answer.map_err(|error| of_write(operation, &attempts, &error))?;
        Ok(())
    }

    /// Up to `max` messages, leased for `lease`.
    pub(super) async fn receive(
        &self,
        operation: &'static str,
        max: i32,
        wait: Duration,
        lease: Duration,
    ) -> Result<Vec<Delivery>> {
        let request = self
            .client
            .receive_message()
            .queue_url(self.url(operation).await?)
            .max_number_of_messages(max)
            .wait_time_seconds(seconds(wait))
            .visibility_timeout(seconds(lease))
            // A repetition after a lost answer gets the same messages, where it would find them leased.
            .receive_request_attempt_id(self.ids.next().to_string())
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateFirstReceiveTimestamp);
        let answer = request.send().await.map_err(|error| of_read(operation, &error))?;
        answer.messages().iter().map(|message| Delivery::read(operation, message)).collect()
    }

    /// Nobody receives the message for `duration` from now.
    pub(super) async fn hide(&self, operation: &'static str, handle: &str, duration: Duration) -> Result<()> {
        let attempts = Attempts::default();
        let request = self
            .client
            .change_message_visibility()
            .queue_url(self.url(operation).await?)
            .receipt_handle(handle)
            .visibility_timeout(seconds(duration));
        let answer = request.customize().interceptor(attempts.clone()).send().await;
        answer.map_err(|error| of_receipt(code(&error), of_write(operation, &attempts, &error)))?;
        Ok(())
    }

    /// Removes the message; doing it twice succeeds.
    pub(super) async fn delete(&self, operation: &'static str, handle: &str) -> Result<()> {
        let attempts = Attempts::default();
        let request =
            self.client.delete_message().queue_url(self.url(operation).await?).receipt_handle(handle);
        let answer = request.customize().interceptor(attempts.clone()).send().await;
        answer.map_err(|error| of_receipt(code(&error), of_write(operation, &attempts, &error)))?;
        Ok(())
    }

    /// How many messages it holds, as SQS estimates.
    pub(super) async fn count(&self, operation: &'static str) -> Result<u64> {
        let request = self.client.get_queue_attributes().queue_url(self.url(operation).await?);
        let answer = request.set_attribute_names(Some(COUNTS.to_vec())).send().await;
        let counts = answer.map_err(|error| of_read(operation, &error))?.attributes.unwrap_or_default();
        Ok(COUNTS.iter().filter_map(|name| counts.get(name)?.parse::<u64>().ok()).sum())
    }
}

/// SQS counts whole seconds; what is begun counts.
fn seconds(duration: Duration) -> i32 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(i32::MAX)
}

/// SQS takes few characters in the names of groups, and 128 of them.
fn name(text: &str) -> String {
    encode(Sha256::digest(text))
}

/// A FIFO queue calls a receipt whose lease has run out a wrong parameter, and no other parameter can be wrong.
fn of_receipt(code: Option<&str>, error: Error) -> Error {
    match code {
        Some("InvalidParameterValue" | "InvalidParameterValueException" | "MessageNotInflight") => {
            let outcome = error.outcome();
            Error::new(ErrorKind::Conflict, error.operation()).with_outcome(outcome).with_cause(error)
        }
        _ => error,
    }
}
