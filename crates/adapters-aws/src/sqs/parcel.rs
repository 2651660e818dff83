//! What travels through a queue. All of it is in the message's body: SQS takes ten attributes, and few characters in them.

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use ports::{Error, ErrorKind, Lease, MessageId, NewMessage, Receipt, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One message.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Parcel {
    /// Ours, and the same wherever the message goes.
    pub(super) id: String,
    /// New for each time it is queued, so that a dead letter can die again.
    pub(super) queued_as: Uuid,
    pub(super) ordering_key: Option<String>,
    pub(super) published_at: Timestamp,
    /// When its delay ends.
    pub(super) not_before: Option<Timestamp>,
    /// Why it was given up.
    pub(super) reason: Option<String>,
    /// How often it had been delivered when it was given up.
    pub(super) delivery_count: u32,
    /// A body of SQS is text.
    pub(super) body_base64: String,
}

impl Parcel {
    /// A message of the dedup id's own id, or else of `fresh`: so a second publish answers the first one's.
    pub(super) fn new(message: NewMessage, now: Timestamp, fresh: Uuid) -> Self {
        let id = message.dedup_id.map_or(fresh, |text| Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()));
        let delay = SignedDuration::try_from(message.delay).unwrap_or(SignedDuration::MAX);
        Self {
            id: id.to_string(),
            queued_as: fresh,
            ordering_key: message.ordering_key,
            published_at: now,
            not_before: (!delay.is_zero()).then(|| now.saturating_add(delay).unwrap_or(Timestamp::MAX)),
            reason: None,
            delivery_count: 0,
            body_base64: BASE64_STANDARD.encode(message.body),
        }
    }

    pub(super) fn body(&self) -> Bytes {
        // Ours, so it decodes; were it not, an empty body would be refused as no envelope.
        BASE64_STANDARD.decode(&self.body_base64).unwrap_or_default().into()
    }
}

/// A message that is held.
#[derive(Serialize, Deserialize)]
pub(super) struct Delivery {
    /// SQS's proof of it.
    pub(super) handle: String,
    /// How often SQS has handed it out, this time included.
    received: u32,
    /// Whether the first time was before it was due.
    was_early: bool,
    pub(super) parcel: Parcel,
}

impl Delivery {
    /// What `message` holds.
    pub(super) fn read(operation: &'static str, message: &Message) -> Result<Self> {
        let corrupt = || Error::new(ErrorKind::Corrupt, operation);
        let parcel: Parcel = serde_json::from_str(message.body().unwrap_or_default())
            .map_err(|error| corrupt().with_cause(error))?;
        let attribute =
            |name| message.attributes().and_then(|all| all.get(&name)).and_then(|text| text.parse().ok());
        let received: Option<i64> = attribute(MessageSystemAttributeName::ApproximateReceiveCount);
        let first_ms: Option<i64> = attribute(MessageSystemAttributeName::ApproximateFirstReceiveTimestamp);
        let first = first_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Ok(Self {
            handle: message.receipt_handle().unwrap_or_default().to_owned(),
            received: received.and_then(|count| count.try_into().ok()).unwrap_or(1),
            was_early: parcel.not_before.zip(first).is_some_and(|(due, first)| first < due),
            parcel,
        })
    }

    /// What a receipt says. It carries the message, because SQS hands none out twice and whoever gives it up needs it.
    pub(super) fn open(operation: &'static str, receipt: &Receipt) -> Result<Self> {
        serde_json::from_str(&receipt.0)
            .map_err(|error| Error::new(ErrorKind::InvalidInput, operation).with_cause(error))
    }

    /// How often it was delivered to a holder.
    pub(super) fn count(&self) -> u32 {
        self.received.saturating_sub(self.was_early.into())
    }

    pub(super) fn lease(self, expires_at: Timestamp) -> Result<Lease> {
        let receipt = serde_json::to_string(&self)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "jobs.receive").with_cause(error))?;
        Ok(Lease {
            id: MessageId(self.parcel.id.clone()),
            receipt: Receipt(receipt),
            body: self.parcel.body(),
            delivery_count: self.count(),
            published_at: self.parcel.published_at,
            ordering_key: self.parcel.ordering_key,
            expires_at,
        })
    }
}
