//! Events for the subscribers of every process, by way of a table that keeps them for a short while.

use std::{
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::ids::{EventId, UserId};
use futures::{StreamExt, future::ready};
use ports::{Clock, Error, ErrorKind, Event, EventBus, EventStream, Result};
use sqlx::{Arguments as _, Row, SqliteConnection, sqlite::SqliteRow};
use tokio::{sync::broadcast, time::timeout};
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};
use uuid::Uuid;

use super::{
    Database,
    error::sql_error,
    statements::Rows,
    writer::{Reply, Request},
};

/// How long an event of another process may take to be noticed.
const POLL: Duration = Duration::from_millis(100);
/// How many events a subscriber can be behind before it misses some; a power of two, as the channel rounds up to one.
pub const EVENT_BACKLOG_MAX: usize = 1024;
/// For how long events are kept for the other processes, which look every [`POLL`].
const KEPT_MS: i64 = 60_000;
/// Old events are swept with about one event in so many.
const SWEEP_EVERY: i64 = 64;
const READ_MAX: i64 = 512;
const OPERATION_SUBSCRIBE: &str = "events.subscribe";

/// The event bus of a data folder.
#[derive(Clone)]
pub struct SqliteEventBus {
    database: Database,
    clock: Arc<dyn Clock>,
    fan_out: Arc<FanOut>,
}

/// The subscribers of this process, which share one reader of the table.
struct FanOut {
    sender: broadcast::Sender<Item>,
    is_reading: Mutex<bool>,
}

#[derive(Clone)]
enum Item {
    /// An event and its number.
    Event(i64, Event),
    /// Events before this number were swept before they were read.
    Missed(i64),
}

impl SqliteEventBus {
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        let fan_out =
            FanOut { sender: broadcast::Sender::new(EVENT_BACKLOG_MAX), is_reading: Mutex::new(false) };
        Self { database, clock, fan_out: Arc::new(fan_out) }
    }
}

#[async_trait]
impl EventBus for SqliteEventBus {
    async fn publish(&self, event: Event) -> Result<()> {
        const OPERATION: &str = "events.publish";
        let (reply, answer) = Reply::new(OPERATION);
        let request = PublishEvent { event, now_ms: self.clock.now().as_millisecond(), reply };
        self.database.request(OPERATION, Request::Event(request), answer).await
    }

    async fn subscribe(&self) -> Result<EventStream> {
        let events = self.fan_out.sender.subscribe();
        // Read after subscribing: what comes later is in the channel, what came before has a smaller number.
        let last = last_sequence(&self.database).await?;
        let mut is_reading = self.fan_out.reading();
        if !*is_reading {
            *is_reading = true;
            tokio::spawn(read(self.database.clone(), Arc::clone(&self.fan_out), last));
        }
        drop(is_reading);
        let stream = BroadcastStream::new(events).filter_map(move |item| {
            ready(match item {
                Ok(Item::Event(sequence, event)) => (sequence > last).then_some(Ok(event)),
                Ok(Item::Missed(sequence)) => (sequence > last).then(|| Err(missed_some())),
                Err(BroadcastStreamRecvError::Lagged(_)) => Some(Err(missed_some())),
            })
        });
        Ok(Box::pin(stream))
    }

    async fn forget(&self, user: UserId) -> Result<u64> {
        const OPERATION: &str = "events.forget";
        let mut transaction = self.database.begin(OPERATION).await?;
        let forgotten = sqlx::query("DELETE FROM events WHERE user_id = ?")
            .bind(&user.0.as_bytes()[..])
            .execute(&mut *transaction)
            .await
            .map_err(|error| sql_error(OPERATION, error))?
            .rows_affected();
        transaction.commit(OPERATION).await?;
        Ok(forgotten)
    }
}

fn missed_some() -> Error {
    Error::new(ErrorKind::Unavailable, OPERATION_SUBSCRIBE).with_cause("the subscriber missed some events")
}

impl FanOut {
    fn reading(&self) -> MutexGuard<'_, bool> {
        self.is_reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether reading may end because nobody listens. Decided under the lock under which a subscriber looks whether
    /// anybody reads.
    fn ends(&self) -> bool {
        let mut is_reading = self.reading();
        *is_reading = self.sender.receiver_count() > 0;
        !*is_reading
    }
}

/// Hands events on from the table, as long as anybody listens.
async fn read(database: Database, fan_out: Arc<FanOut>, mut last: i64) {
    while !fan_out.ends() {
        let mut change = std::pin::pin!(database.signals().events.notified());
        change.as_mut().enable();
        match events_after(&database, last).await {
            Ok(events) if !events.is_empty() => {
                for (sequence, event) in events {
                    // Numbers have no gaps, so one that is missing was swept or forgotten.
                    if sequence > last + 1 {
                        fan_out.sender.send(Item::Missed(sequence - 1)).ok();
                    }
                    fan_out.sender.send(Item::Event(sequence, event)).ok();
                    last = sequence;
                }
                continue;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %error, "events cannot be read; trying again"),
        }
        timeout(POLL, change).await.ok();
    }
}

/// The number of the latest event, also when it was swept.
async fn last_sequence(database: &Database) -> Result<i64> {
    let last: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        .fetch_optional(database.readers())
        .await
        .map_err(|error| sql_error(OPERATION_SUBSCRIBE, error))?;
    Ok(last.unwrap_or(0))
}

async fn events_after(database: &Database, last: i64) -> Result<Vec<(i64, Event)>> {
    let rows = sqlx::query(
        "SELECT sequence, id, user_id, name, body FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?",
    )
    .bind(last)
    .bind(READ_MAX)
    .fetch_all(database.readers())
    .await;
    let events = rows.and_then(|rows| rows.iter().map(decode).collect());
    events.map_err(|error| sql_error(OPERATION_SUBSCRIBE, error))
}

fn decode(row: &SqliteRow) -> sqlx::Result<(i64, Event)> {
    let id = |index| {
        let bytes: Vec<u8> = row.try_get(index)?;
        Uuid::from_slice(&bytes).map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let event = Event {
        id: EventId(id(1)?),
        user_id: UserId(id(2)?),
        name: row.try_get(3)?,
        body: row.try_get::<Vec<u8>, _>(4)?.into(),
    };
    Ok((row.try_get(0)?, event))
}

/// An event that waits for the writer.
pub(super) struct PublishEvent {
    pub(super) event: Event,
    pub(super) now_ms: i64,
    pub(super) reply: Reply<()>,
}

static INSERT: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "INSERT INTO events (published_at, id, user_id, name, body) VALUES ",
        |_| "(?,?,?,?,?)".to_owned(),
        "",
    )
});

pub(super) async fn apply(
    connection: &mut SqliteConnection,
    requests: &mut [PublishEvent],
) -> sqlx::Result<()> {
    let Some(now_ms) = requests.first().map(|request| request.now_ms) else { return Ok(()) };
    INSERT
        .run(connection, requests.iter(), |arguments, request| {
            arguments.add(request.now_ms)?;
            arguments.add(request.event.id.0.as_bytes().to_vec())?;
            arguments.add(request.event.user_id.0.as_bytes().to_vec())?;
            arguments.add(&*request.event.name)?;
            arguments.add(Vec::from(request.event.body.clone()))
        })
        .await?;
    let last: i64 =
        sqlx::query_scalar("SELECT max(sequence) FROM events").fetch_one(&mut *connection).await?;
    let first = last - i64::try_from(requests.len()).unwrap_or(0);
    if first / SWEEP_EVERY != last / SWEEP_EVERY {
        // Old ones are at the beginning of the table: the search ends at the first that is kept.
        sqlx::query(
            "DELETE FROM events WHERE sequence < coalesce(
                 (SELECT sequence FROM events WHERE published_at > ? ORDER BY sequence LIMIT 1), 0)",
        )
        .bind(now_ms - KEPT_MS)
        .execute(&mut *connection)
        .await?;
    }
    for request in requests {
        request.reply.set(Ok(()));
    }
    Ok(())
}
