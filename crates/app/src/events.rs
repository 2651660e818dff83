//! What phones are told of: durable as records, live through the event bus.

use bytes::Bytes;
use domain::{
    ids::{EventId, UserId},
    record::{Kind, Partition, RecordKey, SortKey, SortRange},
};
use jiff::Timestamp;
use ports::{ErrorKind, Event, EventStream, Query, Write};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    App,
    error::Result,
    records::{Stored, decode, encode, get, replace},
};

/// An event as it is kept. Holds no health value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Its id; later ones sort after earlier ones.
    pub id: EventId,
    /// What happened, such as `upload.completed`.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// To what.
    pub subject: serde_json::Value,
}

/// How long events are kept for phones that come back.
const KEPT_DAYS: i64 = 7;

/// The user's first and latest event. Each commit of an event changes it, so events are committed in the order of their ids:
/// whoever has seen one has seen all before it, whichever process they come from.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct EventHead {
    first: EventId,
    last: EventId,
}

/// Before every event.
const BEGINNING: EventId = EventId(Uuid::nil());

/// Where a stream of kept events begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// The events behind this one come next.
    pub after: EventId,
    /// Whether events that the listener has not seen may be gone.
    pub has_gap: bool,
}

impl App {
    /// Commits `writes` together with an event about them, and wakes who listens.
    pub(crate) async fn commit_with_event(
        &self,
        user: UserId,
        name: &str,
        subject: serde_json::Value,
        writes: Vec<Write>,
    ) -> Result<()> {
        let key = RecordKey::event_head(user);
        let mut attempt = 0;
        loop {
            let head = get::<EventHead>(&*self.platform.health_data, &key).await?;
            let (event, event_writes) = self.event(user, name, &subject, head.as_ref())?;
            let batch = writes.iter().cloned().chain(event_writes).collect();
            match self.platform.health_data.commit(batch).await {
                Ok(()) => {
                    self.announce(event).await;
                    return Ok(());
                }
                Err(error)
                    if error.kind() == ErrorKind::Conflict && attempt < self.settings.commit_attempts_max =>
                {
                    let now = get::<EventHead>(&*self.platform.health_data, &key).await?;
                    // Not the other event, then, but what `writes` themselves demand.
                    if now.map(|now| now.version) == head.map(|head| head.version) {
                        return Err(error.into());
                    }
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// An event behind the latest one, and the writes that keep it.
    fn event(
        &self,
        user: UserId,
        name: &str,
        subject: &serde_json::Value,
        head: Option<&Stored<EventHead>>,
    ) -> Result<(Event, [Write; 2])> {
        let now = self.platform.clock.now();
        let mut id = self.platform.ids.next();
        if let Some(head) = head {
            // Another process's clock may be ahead of this one's.
            id = id.max(Uuid::from_u128(head.body.last.0.as_u128().saturating_add(1)));
        }
        let id = EventId(id);
        let stored = StoredEvent { id, name: name.to_owned(), at: now, subject: subject.clone() };
        let body = encode(&stored)?;
        let expires_at =
            Timestamp::from_second(now.as_second() + KEPT_DAYS * 86_400).unwrap_or(Timestamp::MAX);
        let key = RecordKey::event_head(user);
        let head_write = match head {
            Some(head) => {
                let moved = EventHead { last: id, ..head.body };
                replace(key, head.version, encode(&moved)?)
            }
            None => Write::insert(key, encode(&EventHead { first: id, last: id })?),
        };
        let write = Write::insert(RecordKey::event(user, id), body.clone()).expiring_at(expires_at);
        Ok((Event { id, user_id: user, name: stored.name, body }, [write, head_write]))
    }

    /// Wakes who listens now. The event is kept, so that others see it later.
    async fn announce(&self, event: Event) {
        if let Err(error) = self.platform.events.publish(event).await {
            tracing::warn!(error = %error, "an event was kept but not announced");
        }
    }

    /// Where a stream goes on for whoever saw `last`, or begins for whoever names none: now. What is not known any more, or
    /// never was, begins with the oldest event that is kept.
    pub async fn event_position(&self, user: UserId, last: Option<EventId>) -> Result<Position> {
        let store = &*self.platform.health_data;
        let Some(head) = get::<EventHead>(store, &RecordKey::event_head(user)).await? else {
            return Ok(Position { after: BEGINNING, has_gap: last.is_some_and(|last| last != BEGINNING) });
        };
        let EventHead { first, last: latest } = head.body;
        let after = last.unwrap_or(latest);
        if after == latest {
            return Ok(Position { after, has_gap: false });
        }
        // Events expire in their order: where one is kept, all behind it are.
        let witness = if after == BEGINNING { first } else { after };
        if store.get(&RecordKey::event(user, witness)).await?.is_some() {
            return Ok(Position { after, has_gap: false });
        }
        Ok(Position { after: BEGINNING, has_gap: true })
    }

    /// The first kept events of a user behind `after`, oldest first, at most `limit`.
    pub async fn events_after(
        &self,
        user: UserId,
        after: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<(EventId, String, Bytes)>> {
        let mut range = SortRange::all();
        if let Some(after) = after {
            // The space sorts before every character of a key, so this is the first key behind `after`.
            range.start = SortKey::new(format!("{after} ")).ok();
        }
        let query = Query { limit, ..Query::new(Partition::User(user), Kind::Event, range) };
        let page = self.platform.health_data.query(&query).await?;
        let mut events = Vec::with_capacity(page.items.len());
        for record in page.items {
            let event: StoredEvent = decode(&record)?;
            events.push((event.id, event.name, record.body));
        }
        Ok(events)
    }

    /// Events of everybody, as they come. The caller filters by user and reads the records when it fell behind.
    pub async fn live_events(&self) -> Result<EventStream> {
        Ok(self.platform.events.subscribe().await?)
    }

    /// Tells who listens now of something that is not kept.
    pub async fn tell(&self, user: UserId, name: &str, body: Bytes) -> Result<()> {
        let id = EventId(self.platform.ids.next());
        Ok(self.platform.events.publish(Event { id, user_id: user, name: name.to_owned(), body }).await?)
    }
}
