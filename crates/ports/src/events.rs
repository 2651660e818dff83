//! Fan-out of what happened to whoever listens now.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use domain::ids::{EventId, UserId};
use futures::Stream;

use crate::Result;

/// Something that happened to a user's data. The durable form is a record; this wakes the listeners.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Whose.
    pub user_id: UserId,
    /// What, such as `upload.completed`.
    pub name: String,
    /// More, as JSON without health values.
    pub body: Bytes,
}

/// Events as they come. An error item says that the subscriber was too slow and missed some: read the records.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event>> + Send>>;

/// Publish/subscribe.
///
/// # Contract
/// - A subscriber gets each event that is published after `subscribe` returned, from any process, with id, user, name
///   and body as published.
/// - Two subscribers each get every event.
/// - Events of one publisher arrive in the order of their publication.
/// - Nothing that was published before `subscribe` is delivered.
/// - Publishing without a subscriber succeeds.
/// - A subscriber that does not read does not hold up publishers or other subscribers; it gets an error item, then goes on.
/// - Dropping the stream ends the subscription.
/// - `forget` removes what the bus still keeps of a user's events, and answers how many those were; subscribers of others miss
///   none of theirs, but may get an error item.
#[async_trait]
pub trait EventBus: Send + Sync + 'static {
    /// Tells everyone who listens.
    async fn publish(&self, event: Event) -> Result<()>;

    /// Listens from now on.
    async fn subscribe(&self) -> Result<EventStream>;

    /// Keeps nothing of a user's events any longer.
    async fn forget(&self, user: UserId) -> Result<u64>;
}
