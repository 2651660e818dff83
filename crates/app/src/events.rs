//! What phones are told of: durable as records, live through the event bus.

use bytes::Bytes;
use domain::{
    ids::{EventId, UserId},
    record::{Kind, Partition, RecordKey, SortKey, SortRange},
};
use jiff::Timestamp;
use ports::{EventStream, Query, Write};
use serde::{Deserialize, Serialize};

use crate::{
    App,
    error::Result,
    records::{decode, encode},
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

impl App {
    /// An event and the write that keeps it.
    pub(crate) fn event(
        &self,
        user: UserId,
        name: &str,
        subject: serde_json::Value,
    ) -> Result<(ports::Event, Write)> {
        let (id, at) = (EventId(self.platform.ids.next()), self.platform.clock.now());
        let stored = StoredEvent { id, name: name.to_owned(), at, subject };
        let body = encode(&stored)?;
        let expires_at =
            Timestamp::from_second(at.as_second() + KEPT_DAYS * 86_400).unwrap_or(Timestamp::MAX);
        let write = Write::insert(RecordKey::event(user, id), body.clone()).expiring_at(expires_at);
        Ok((ports::Event { id, user_id: user, name: stored.name, body }, write))
    }

    /// The kept events of a user behind `after`, oldest first.
    pub async fn events_after(
        &self,
        user: UserId,
        after: Option<EventId>,
    ) -> Result<Vec<(EventId, String, Bytes)>> {
        let mut range = SortRange::all();
        if let Some(after) = after {
            // The space sorts before every character of a key, so this is the first key behind `after`.
            range.start = SortKey::new(format!("{after} ")).ok();
        }
        let mut query = Query::new(Partition::User(user), Kind::Event, range);
        let mut events = Vec::new();
        loop {
            let page = self.platform.health_data.query(&query).await?;
            for record in &page.items {
                let event: StoredEvent = decode(record)?;
                events.push((event.id, event.name, record.body.clone()));
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(events),
            }
        }
    }

    /// Events of everybody, as they come. The caller filters by user and reads the records when it fell behind.
    pub async fn live_events(&self) -> Result<EventStream> {
        Ok(self.platform.events.subscribe().await?)
    }
}
