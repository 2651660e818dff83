//! Events by notification, which the server hands to all who listen in the order of the commits. What does not fit into one
//! waits in a table for the listeners to fetch it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::ids::{EventId, UserId};
use futures::{Stream, StreamExt, stream};
use ports::{Clock, Error, ErrorKind, Event, EventBus, EventStream, Result};
use sqlx::Row;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::timeout,
};
use uuid::Uuid;

use crate::{
    Database,
    error::sql_error,
    listener::{self, Heard},
};

pub use crate::listener::EVENT_BACKLOG_MAX;

/// A notification is shorter than 8000 bytes.
const TEXT_BYTES_MAX: usize = 7999;
/// For how long the table keeps an event.
const KEPT_MS: i64 = 60_000;
/// How long a subscription may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so long without an answer it asks again: the connection may have been lost and found.
const ANSWER: Duration = Duration::from_secs(1);
const OPERATION_SUBSCRIBE: &str = "events.subscribe";

/// The event bus of a database.
#[derive(Clone)]
pub struct PostgresEventBus {
    database: Database,
    clock: Arc<dyn Clock>,
}

impl PostgresEventBus {
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock }
    }

    /// Keeps what does not fit into a notification, and removes what was kept for long enough.
    async fn keep(&self, operation: &'static str, event: &Event) -> Result<()> {
        let now_ms = self.clock.now().as_millisecond();
        let keep = sqlx::query(
            "WITH swept AS (DELETE FROM events WHERE published_at <= $1::bigint - $2::bigint)
             INSERT INTO events (id, user_id, published_at, name, body) VALUES ($3, $4, $1, $5, $6)",
        )
        .bind(now_ms)
        .bind(KEPT_MS)
        .bind(event.id.0)
        .bind(event.user_id.0)
        .bind(event.name.as_bytes())
        .bind(&event.body[..]);
        self.database.tell(operation, keep.execute(self.database.pool())).await.map(drop)
    }

    async fn notify(&self, operation: &'static str, text: &str) -> Result<()> {
        let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(listener::EVENTS).bind(text);
        self.database.tell(operation, notify.execute(self.database.pool())).await.map(drop)
    }

    /// What is told from now on: a mark is sent the way of all events, and what comes before it is older.
    async fn heard_from_now_on(&self) -> Receiver<Heard> {
        let listener = self.database.listener();
        let mut heard = listener.events();
        listener.is_listening().await;
        let mark = Text::Mark(Uuid::from_u128(rand::random())).to_string();
        loop {
            if let Err(error) = self.notify(OPERATION_SUBSCRIBE, &mark).await {
                tracing::debug!(error = %error, "a subscription waits for the server");
            }
            let is_mark = |heard: &Heard| matches!(heard, Heard::Text(text) if **text == *mark);
            let comes = async {
                loop {
                    match heard.recv().await {
                        Ok(heard) if is_mark(&heard) => return true,
                        Ok(Heard::Text(_)) => {}
                        // The mark may be among what was missed.
                        Ok(Heard::Nothing) | Err(_) => return false,
                    }
                }
            };
            if timeout(ANSWER, comes).await == Ok(true) {
                return heard;
            }
        }
    }
}

#[async_trait]
impl EventBus for PostgresEventBus {
    async fn publish(&self, event: Event) -> Result<()> {
        const OPERATION: &str = "events.publish";
        let whole = Text::of(&event).map(|text| text.to_string());
        let text = if let Some(text) = whole.filter(|text| text.len() <= TEXT_BYTES_MAX) {
            text
        } else {
            self.keep(OPERATION, &event).await?;
            Text::Kept(event.id).to_string()
        };
        self.notify(OPERATION, &text).await
    }

    async fn subscribe(&self) -> Result<EventStream> {
        let heard = timeout(PATIENCE, self.heard_from_now_on())
            .await
            .map_err(|elapsed| Error::new(ErrorKind::Unavailable, OPERATION_SUBSCRIBE).with_cause(elapsed))?;
        Ok(Box::pin(events(self.database.clone(), heard)))
    }

    async fn forget(&self, user: UserId) -> Result<u64> {
        const OPERATION: &str = "events.forget";
        let forget = sqlx::query("DELETE FROM events WHERE user_id = $1").bind(user.0);
        let forgotten = self.database.tell(OPERATION, forget.execute(self.database.pool())).await?;
        Ok(forgotten.rows_affected())
    }
}

/// The events of what is heard.
fn events(database: Database, heard: Receiver<Heard>) -> impl Stream<Item = Result<Event>> {
    let heard = stream::unfold(heard, |mut heard| async move {
        let item = match heard.recv().await {
            Ok(item) => item,
            Err(RecvError::Lagged(_)) => Heard::Nothing,
            Err(RecvError::Closed) => return None,
        };
        Some((item, heard))
    });
    heard.filter_map(move |heard| {
        let database = database.clone();
        async move {
            match heard {
                Heard::Nothing => Some(Err(missed_some())),
                Heard::Text(text) => match Text::parse(&text) {
                    Some(Text::Whole(event)) => Some(Ok(event)),
                    Some(Text::Kept(id)) => Some(kept(&database, id).await),
                    Some(Text::Mark(_)) => None,
                    None => Some(Err(Error::new(ErrorKind::Corrupt, OPERATION_SUBSCRIBE))),
                },
            }
        }
    })
}

async fn kept(database: &Database, id: EventId) -> Result<Event> {
    let ask = || {
        let ask = sqlx::query("SELECT user_id, name, body FROM events WHERE id = $1").bind(id.0);
        ask.fetch_optional(database.pool())
    };
    let row = database.ask(OPERATION_SUBSCRIBE, ask).await?;
    // Its user was forgotten, or the subscriber is very late.
    let row = row.ok_or_else(missed_some)?;
    let decode = || -> sqlx::Result<Event> {
        let name = String::from_utf8(row.try_get(1)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Event { id, user_id: UserId(row.try_get(0)?), name, body: row.try_get::<Vec<u8>, _>(2)?.into() })
    };
    decode().map_err(|error| sql_error(OPERATION_SUBSCRIBE, error))
}

fn missed_some() -> Error {
    Error::new(ErrorKind::Unavailable, OPERATION_SUBSCRIBE).with_cause("the subscriber missed some events")
}

/// What a notification says.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Text {
    Whole(Event),
    /// The event of this id is in the table.
    Kept(EventId),
    /// Begins a subscription.
    Mark(Uuid),
}

impl Text {
    /// `None` where the body or the name is no text that the server takes.
    fn of(event: &Event) -> Option<Self> {
        let is_text = |bytes: &[u8]| !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok();
        (is_text(event.name.as_bytes()) && is_text(&event.body)).then(|| Self::Whole(event.clone()))
    }

    fn parse(text: &str) -> Option<Self> {
        let (sort, rest) = text.split_at_checked(1)?;
        let (id, rest) = rest.split_at_checked(32)?;
        let id = Uuid::try_parse(id).ok()?;
        match sort {
            "k" => Some(Self::Kept(EventId(id))),
            "m" => Some(Self::Mark(id)),
            "w" => {
                let (user, rest) = rest.split_at_checked(32)?;
                let (name_bytes, rest) = rest.split_once(' ')?;
                let (name, body) = rest.split_at_checked(name_bytes.parse().ok()?)?;
                Some(Self::Whole(Event {
                    id: EventId(id),
                    user_id: UserId(Uuid::try_parse(user).ok()?),
                    name: name.to_owned(),
                    body: body.to_owned().into(),
                }))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kept(id) => write!(f, "k{}", id.0.simple()),
            Self::Mark(id) => write!(f, "m{}", id.simple()),
            Self::Whole(Event { id, user_id, name, body }) => {
                let (id, user, body) = (id.0.simple(), user_id.0.simple(), String::from_utf8_lossy(body));
                write!(f, "w{id}{user}{} {name}{body}", name.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_reads_back() {
        let event = Event {
            id: EventId(Uuid::from_u128(1)),
            user_id: UserId(Uuid::from_u128(2)),
            name: "upload.completed".to_owned(),
            body: r#"{"name":"é 🦀"}"#.into(),
        };
        for text in [
            Text::of(&event).unwrap(),
            Text::of(&Event { body: "".into(), name: String::new(), ..event.clone() }).unwrap(),
            Text::Kept(event.id),
            Text::Mark(Uuid::from_u128(3)),
        ] {
            assert_eq!(Text::parse(&text.to_string()), Some(text));
        }
    }

    #[test]
    fn what_is_no_text_is_kept_in_the_table() {
        let event = |name: &str, body: &'static [u8]| Event {
            id: EventId(Uuid::nil()),
            user_id: UserId(Uuid::nil()),
            name: name.to_owned(),
            body: body.into(),
        };
        assert_eq!(Text::of(&event("name", b"\xff")), None);
        assert_eq!(Text::of(&event("name", b"a\0b")), None);
        assert_eq!(Text::of(&event("na\0me", b"")), None);
    }

    #[test]
    fn what_is_no_notification_of_ours_is_nothing() {
        for text in
            ["", "w", "x00000000000000000000000000000001", "k-", "é", "w0000000000000000000000000000000"]
        {
            assert_eq!(Text::parse(text), None, "{text:?}");
        }
        let truncated = format!("w{}{}9 name", Uuid::nil().simple(), Uuid::nil().simple());
        assert_eq!(Text::parse(&truncated), None);
    }
}
