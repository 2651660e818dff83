//! The queue's part of a group: what publishes and acknowledges goes together, the rest one by one.
//!
//! Of the living messages of an ordering key exactly one has a `ready_at`. Whatever takes that one away promotes the next.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use domain::time::timestamp;
use jiff::Timestamp;
use ports::{ErrorKind, Lease, MessageId, NewMessage};
use sqlx::{Arguments, Row, SqliteConnection};

use super::Held;
use crate::embedded::{error::GroupError, statements::Rows, writer::Reply};

/// For how long a deduplication id is remembered.
const DEDUP_MS: i64 = 10 * 60 * 1000;
/// Old deduplication ids are swept with about one message in so many.
const SWEEP_EVERY: i64 = 64;
/// How many are buried by one statement.
const BURIED_MAX: usize = 100;
const DELIVERED_TOO_OFTEN: &str = "delivered as often as the queue allows and not acknowledged";

/// A request that waits for the writer.
pub(in crate::embedded) enum JobRequest {
    Publish(Publish),
    Receive(Receive),
    Ack(Ack),
    Release(Release),
    Extend(Extend),
    DeadLetter(DeadLettering),
    Redrive(Redrive),
    Bury { now_ms: i64, deliveries_max: u32, reply: Reply<()> },
}

pub(in crate::embedded) struct Publish {
    pub(super) message: NewMessage,
    pub(super) now_ms: i64,
    pub(super) not_before_ms: i64,
    pub(super) reply: Reply<MessageId>,
}

pub(in crate::embedded) struct Receive {
    pub(super) max: usize,
    pub(super) now_ms: i64,
    pub(super) until_ms: i64,
    pub(super) deliveries_max: u32,
    pub(super) reply: Reply<Vec<Lease>>,
}

pub(in crate::embedded) struct Ack {
    pub(super) held: Held,
    pub(super) reply: Reply<()>,
}

pub(in crate::embedded) struct Release {
    pub(super) held: Held,
    pub(super) not_before_ms: i64,
    pub(super) deliveries_max: u32,
    pub(super) reply: Reply<()>,
}

pub(in crate::embedded) struct Extend {
    pub(super) held: Held,
    pub(super) until_ms: i64,
    pub(super) reply: Reply<Timestamp>,
}

pub(in crate::embedded) struct DeadLettering {
    pub(super) held: Held,
    pub(super) reason: String,
    pub(super) reply: Reply<()>,
}

pub(in crate::embedded) struct Redrive {
    pub(super) ids: Vec<i64>,
    pub(super) now_ms: i64,
    pub(super) reply: Reply<u64>,
}

impl JobRequest {
    pub(in crate::embedded) fn size_bytes(&self) -> usize {
        match self {
            Self::Publish(publish) => publish.message.body.len(),
            _ => 0,
        }
    }

    /// Whether a message may be ready afterwards that was not before.
    pub(in crate::embedded) fn can_make_ready(&self) -> bool {
        !matches!(self, Self::Receive(_) | Self::Extend(_))
    }

    pub(in crate::embedded) fn answer(self, fate: &Result<(), GroupError>) {
        match self {
            Self::Publish(publish) => publish.reply.send(fate),
            Self::Receive(receive) => receive.reply.send(fate),
            Self::Ack(Ack { reply, .. })
            | Self::Release(Release { reply, .. })
            | Self::DeadLetter(DeadLettering { reply, .. })
            | Self::Bury { reply, .. } => reply.send(fate),
            Self::Extend(extend) => extend.reply.send(fate),
            Self::Redrive(redrive) => redrive.reply.send(fate),
        }
    }
}

/// Does what the requests ask. They come from callers that wait for their answers, so no order among them is promised;
/// receiving last finds the most.
pub(in crate::embedded) async fn apply(
    connection: &mut SqliteConnection,
    requests: &mut [JobRequest],
) -> sqlx::Result<()> {
    let (mut acks, mut publishes, mut receives) = (Vec::new(), Vec::new(), Vec::new());
    for request in requests {
        match request {
            JobRequest::Ack(ack) => acks.push(ack),
            JobRequest::Publish(publish) => publishes.push(publish),
            JobRequest::Receive(receive) => receives.push(receive),
            JobRequest::Release(release) => self::release(connection, release).await?,
            JobRequest::Extend(extend) => self::extend(connection, extend).await?,
            JobRequest::DeadLetter(letter) => self::dead_letter(connection, letter).await?,
            JobRequest::Redrive(redrive) => self::redrive(connection, redrive).await?,
            JobRequest::Bury { now_ms, deliveries_max, reply } => {
                bury(connection, *now_ms, *deliveries_max).await?;
                reply.set(Ok(()));
            }
        }
    }
    ack(connection, &mut acks).await?;
    publish(connection, &mut publishes).await?;
    for receive in receives {
        self::receive(connection, receive).await?;
    }
    Ok(())
}

static OCCUPIED: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "SELECT DISTINCT ordering_key FROM messages WHERE dead_reason IS NULL AND ordering_key IN (",
        |_| "?".to_owned(),
        ")",
    )
});
static PUBLISHED: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "SELECT dedup_id, message_id, expires_at FROM published WHERE dedup_id IN (",
        |_| "?".to_owned(),
        ")",
    )
});
static INSERT: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "INSERT INTO messages (id, ready_at, not_before, published_at, ordering_key, body) VALUES ",
        |_| "(?,?,?,?,?,?)".to_owned(),
        "",
    )
});
static REMEMBER: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "INSERT OR REPLACE INTO published (dedup_id, message_id, expires_at) VALUES ",
        |_| "(?,?,?)".to_owned(),
        "",
    )
});

async fn publish(connection: &mut SqliteConnection, requests: &mut [&mut Publish]) -> sqlx::Result<()> {
    let Some(now_ms) = requests.first().map(|request| request.now_ms) else { return Ok(()) };
    let mut published = published(connection, requests).await?;
    let mut occupied = occupied(connection, requests).await?;
    let last: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'messages'")
        .fetch_optional(&mut *connection)
        .await?;
    let first = last.unwrap_or(0) + 1;
    let mut next = first;
    let (mut messages, mut dedup_ids) = (Vec::new(), Vec::new());
    for request in requests {
        let dedup_id = request.message.dedup_id.take().map(Arc::<str>::from);
        let known =
            dedup_id.as_ref().and_then(|id| published.get(id)).filter(|(_, end)| request.now_ms < *end);
        if let Some((id, _)) = known {
            request.reply.set(Ok(MessageId(id.to_string())));
            continue;
        }
        if let Some(dedup_id) = dedup_id {
            published.insert(Arc::clone(&dedup_id), (next, request.now_ms + DEDUP_MS));
            dedup_ids.push((dedup_id, next, request.now_ms + DEDUP_MS));
        }
        let key = request.message.ordering_key.take().map(Arc::<str>::from);
        // Behind another of its key it becomes ready when that one is gone.
        let is_first = key.as_ref().is_none_or(|key| occupied.insert(Arc::clone(key)));
        let body = std::mem::take(&mut request.message.body);
        let ready_at = is_first.then_some(request.not_before_ms);
        messages.push((next, ready_at, request.not_before_ms, request.now_ms, key, body));
        request.reply.set(Ok(MessageId(next.to_string())));
        next += 1;
    }
    INSERT
        .run(
            connection,
            messages.into_iter(),
            |arguments, (id, ready_at, not_before, published_at, key, body)| {
                arguments.add(id)?;
                arguments.add(ready_at)?;
                arguments.add(not_before)?;
                arguments.add(published_at)?;
                arguments.add(key)?;
                arguments.add(Vec::from(body))
            },
        )
        .await?;
    REMEMBER
        .run(connection, dedup_ids.into_iter(), |arguments, (dedup_id, id, expires_at)| {
            arguments.add(dedup_id)?;
            arguments.add(id)?;
            arguments.add(expires_at)
        })
        .await?;
    if first / SWEEP_EVERY != next / SWEEP_EVERY {
        let sweep = sqlx::query("DELETE FROM published WHERE expires_at <= ?").bind(now_ms);
        sweep.execute(&mut *connection).await?;
    }
    Ok(())
}

/// What is remembered of the requests' deduplication ids: the message, and until when.
async fn published(
    connection: &mut SqliteConnection,
    requests: &[&mut Publish],
) -> sqlx::Result<HashMap<Arc<str>, (i64, i64)>> {
    let ids: Vec<&str> = requests.iter().filter_map(|request| request.message.dedup_id.as_deref()).collect();
    let rows = PUBLISHED.run(connection, ids.into_iter(), Arguments::add).await?;
    rows.iter()
        .map(|(_, row)| Ok((row.try_get::<String, _>(0)?.into(), (row.try_get(1)?, row.try_get(2)?))))
        .collect()
}

/// Those of the requests' ordering keys that have a living message.
async fn occupied(
    connection: &mut SqliteConnection,
    requests: &[&mut Publish],
) -> sqlx::Result<HashSet<Arc<str>>> {
    let keys: Vec<&str> =
        requests.iter().filter_map(|request| request.message.ordering_key.as_deref()).collect();
    let rows = OCCUPIED.run(connection, keys.into_iter(), Arguments::add).await?;
    rows.iter().map(|(_, row)| Ok(row.try_get::<String, _>(0)?.into())).collect()
}

static ACK: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "WITH held (id, holding) AS (VALUES ",
        |_| "(?,?)".to_owned(),
        ") DELETE FROM messages WHERE id IN (
              SELECT messages.id FROM held CROSS JOIN messages USING (id, holding) WHERE dead_reason IS NULL
          ) RETURNING id, ordering_key",
    )
});
static PRESENT: LazyLock<Rows> =
    LazyLock::new(|| Rows::new("SELECT id FROM messages WHERE id IN (", |_| "?".to_owned(), ")"));
static PROMOTE: LazyLock<Rows> = LazyLock::new(|| {
    Rows::new(
        "UPDATE messages SET ready_at = not_before WHERE ready_at IS NULL AND dead_reason IS NULL AND id IN (
             SELECT min(id) FROM messages WHERE dead_reason IS NULL AND ordering_key IN (",
        |_| "?".to_owned(),
        ") GROUP BY ordering_key)",
    )
});

async fn ack(connection: &mut SqliteConnection, requests: &mut [&mut Ack]) -> sqlx::Result<()> {
    let held: Vec<Held> = requests.iter().map(|request| request.held).collect();
    let rows = ACK
        .run(connection, held.iter(), |arguments, held| {
            arguments.add(held.id)?;
            arguments.add(held.holding)
        })
        .await?;
    let mut removed = HashSet::new();
    let mut keys = Vec::new();
    for (_, row) in rows {
        removed.insert(row.try_get::<i64, _>(0)?);
        keys.extend(row.try_get::<Option<String>, _>(1)?);
    }
    let left: Vec<i64> = held.iter().map(|held| held.id).filter(|id| !removed.contains(id)).collect();
    let rows = PRESENT.run(connection, left.into_iter(), Arguments::add).await?;
    let present = rows.iter().map(|(_, row)| row.try_get(0)).collect::<sqlx::Result<HashSet<i64>>>()?;
    for request in requests {
        // What is not there any more was acknowledged before; what is there is another's now.
        if present.contains(&request.held.id) {
            request.reply.refuse(ErrorKind::Conflict);
        } else {
            request.reply.set(Ok(()));
        }
    }
    promote(connection, keys).await
}

/// Lets the next message of each key be delivered.
async fn promote(connection: &mut SqliteConnection, keys: Vec<String>) -> sqlx::Result<()> {
    PROMOTE.run(connection, keys.into_iter(), Arguments::add).await?;
    Ok(())
}

async fn receive(connection: &mut SqliteConnection, request: &mut Receive) -> sqlx::Result<()> {
    // Whoever left would hold the messages back from the others until the lease runs out.
    if request.reply.is_abandoned() {
        return Ok(());
    }
    let mut leases = Vec::new();
    while leases.len() < request.max {
        let rows = sqlx::query(
            "UPDATE messages SET ready_at = ?, delivery_count = delivery_count + 1, holding = holding + 1
             WHERE id IN (SELECT id FROM messages WHERE ready_at <= ? ORDER BY ready_at, delivery_count, id LIMIT ?)
             RETURNING id, holding, delivery_count, published_at, ordering_key, body",
        )
        .bind(request.until_ms)
        .bind(request.now_ms)
        .bind(i64::try_from(request.max - leases.len()).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?;
        let mut buried = 0;
        for row in rows {
            let held = Held { id: row.try_get(0)?, holding: row.try_get(1)? };
            let delivery_count: u32 = row.try_get(2)?;
            if delivery_count > request.deliveries_max {
                // Its last lease has run out. This delivery does not take place.
                bury_one(connection, held.id).await?;
                buried += 1;
                continue;
            }
            leases.push(Lease {
                id: MessageId(held.id.to_string()),
                receipt: held.receipt(),
                body: Bytes::from(row.try_get::<Vec<u8>, _>(5)?),
                ordering_key: row.try_get(4)?,
                delivery_count,
                published_at: timestamp(row.try_get(3)?),
                expires_at: timestamp(request.until_ms),
            });
        }
        // What was buried made room, and may have let another of its key come forward.
        if buried == 0 {
            break;
        }
    }
    // The order in which rows come back from an UPDATE is not promised.
    leases.sort_by_key(|lease| (lease.published_at, lease.id.0.len(), lease.id.0.clone()));
    request.reply.set(Ok(leases));
    Ok(())
}

async fn bury_one(connection: &mut SqliteConnection, id: i64) -> sqlx::Result<()> {
    let key: Option<String> = sqlx::query_scalar(
        "UPDATE messages SET ready_at = NULL, delivery_count = delivery_count - 1, dead_reason = ? WHERE id = ?
         RETURNING ordering_key",
    )
    .bind(DELIVERED_TOO_OFTEN)
    .bind(id)
    .fetch_one(&mut *connection)
    .await?;
    promote(connection, key.into_iter().collect()).await
}

async fn bury(connection: &mut SqliteConnection, now_ms: i64, deliveries_max: u32) -> sqlx::Result<()> {
    loop {
        let keys: Vec<Option<String>> = sqlx::query_scalar(
            "UPDATE messages SET ready_at = NULL, holding = holding + 1, dead_reason = ? WHERE id IN (
                 SELECT id FROM messages WHERE ready_at <= ? AND delivery_count >= ? LIMIT ?
             ) RETURNING ordering_key",
        )
        .bind(DELIVERED_TOO_OFTEN)
        .bind(now_ms)
        .bind(deliveries_max)
        .bind(i64::try_from(BURIED_MAX).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?;
        let is_last = keys.len() < BURIED_MAX;
        promote(connection, keys.into_iter().flatten().collect()).await?;
        if is_last {
            return Ok(());
        }
    }
}

async fn release(connection: &mut SqliteConnection, request: &mut Release) -> sqlx::Result<()> {
    let row: Option<(Option<String>, bool)> = sqlx::query_as(
        "UPDATE messages SET holding = holding + 1, not_before = ?1,
             ready_at = CASE WHEN delivery_count < ?2 THEN ?1 END,
             dead_reason = CASE WHEN delivery_count < ?2 THEN NULL ELSE ?3 END
         WHERE id = ?4 AND holding = ?5 AND dead_reason IS NULL
         RETURNING ordering_key, dead_reason IS NOT NULL",
    )
    .bind(request.not_before_ms)
    .bind(request.deliveries_max)
    .bind(DELIVERED_TOO_OFTEN)
    .bind(request.held.id)
    .bind(request.held.holding)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((key, is_dead)) = row else {
        request.reply.refuse(ErrorKind::Conflict);
        return Ok(());
    };
    request.reply.set(Ok(()));
    promote(connection, key.filter(|_| is_dead).into_iter().collect()).await
}

async fn extend(connection: &mut SqliteConnection, request: &mut Extend) -> sqlx::Result<()> {
    let extended =
        sqlx::query("UPDATE messages SET ready_at = ? WHERE id = ? AND holding = ? AND dead_reason IS NULL")
            .bind(request.until_ms)
            .bind(request.held.id)
            .bind(request.held.holding)
            .execute(&mut *connection)
            .await?;
    if extended.rows_affected() == 1 {
        request.reply.set(Ok(timestamp(request.until_ms)));
    } else {
        request.reply.refuse(ErrorKind::Conflict);
    }
    Ok(())
}

async fn dead_letter(connection: &mut SqliteConnection, request: &mut DeadLettering) -> sqlx::Result<()> {
    let key: Option<Option<String>> = sqlx::query_scalar(
        "UPDATE messages SET ready_at = NULL, holding = holding + 1, dead_reason = ?
         WHERE id = ? AND holding = ? AND dead_reason IS NULL RETURNING ordering_key",
    )
    .bind(&*request.reason)
    .bind(request.held.id)
    .bind(request.held.holding)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(key) = key else {
        request.reply.refuse(ErrorKind::Conflict);
        return Ok(());
    };
    request.reply.set(Ok(()));
    promote(connection, key.into_iter().collect()).await
}

async fn redrive(connection: &mut SqliteConnection, request: &mut Redrive) -> sqlx::Result<()> {
    let mut count = 0;
    for id in &request.ids {
        count += sqlx::query(
            "UPDATE messages SET dead_reason = NULL, delivery_count = 0, not_before = ?1,
                 ready_at = CASE WHEN ordering_key IS NULL OR NOT EXISTS (
                     SELECT 1 FROM messages AS other
                     WHERE other.ordering_key = messages.ordering_key AND other.dead_reason IS NULL
                 ) THEN ?1 END
             WHERE id = ?2 AND dead_reason IS NOT NULL",
        )
        .bind(request.now_ms)
        .bind(id)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    }
    request.reply.set(Ok(count));
    Ok(())
}
