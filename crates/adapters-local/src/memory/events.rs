use async_trait::async_trait;
use domain::ids::UserId;
use futures::StreamExt as _;
use ports::{Error, ErrorKind, Event, EventBus, EventStream, Result};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// How many events a subscriber can be behind before it misses some; a power of two, as the channel rounds up to one.
pub const EVENT_BACKLOG_MAX: usize = 1024;

/// Events within one process.
pub struct MemoryEventBus {
    events: broadcast::Sender<Event>,
}

impl MemoryEventBus {
    /// A bus without subscribers.
    pub fn new() -> Self {
        Self { events: broadcast::Sender::new(EVENT_BACKLOG_MAX) }
    }
}

impl Default for MemoryEventBus {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl EventBus for MemoryEventBus {
    async fn publish(&self, event: Event) -> Result<()> {
        // An error only says that nobody listens.
        drop(self.events.send(event));
        Ok(())
    }

    async fn subscribe(&self) -> Result<EventStream> {
        let missed_some = |error| Error::new(ErrorKind::Unavailable, "events.subscribe").with_cause(error);
        let events = BroadcastStream::new(self.events.subscribe());
        Ok(Box::pin(events.map(move |event| event.map_err(missed_some))))
    }

    async fn forget(&self, _user: UserId) -> Result<u64> {
        // What waits for a slow subscriber is on its way already; nothing else is kept.
        Ok(0)
    }
}
