//! The transactions of the queue. Each takes the locks of the ordering keys that it touches first, in one order.

use std::mem;

use ports::NewMessage;
use sqlx::{PgConnection, PgTransaction};

use super::{BURIED_MAX, DEDUP_MS, DELIVERED_TOO_OFTEN, Held};

type Answer<T> = sqlx::Result<(PgTransaction<'static>, Option<T>)>;

/// Locks ordering keys until the end of the transaction. What is asked afterwards sees what others did under the locks.
async fn lock(connection: &mut PgConnection, keys: &[String]) -> sqlx::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "SELECT pg_advisory_xact_lock(hash) FROM (
             SELECT DISTINCT hashtextextended(key, 2) AS hash FROM unnest($1::text[]) AS key ORDER BY hash
         ) AS locks",
    )
    .bind(keys)
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets the first living message of each key be delivered, unless one can be already.
async fn promote(connection: &mut PgConnection, keys: &[String]) -> sqlx::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE messages SET ready_at = not_before FROM (
             SELECT (
                 SELECT min(id) FROM messages WHERE ordering_key = key AND dead_reason IS NULL
             ) AS id FROM (SELECT DISTINCT key FROM unnest($1::text[]) AS key) AS keys
             WHERE NOT EXISTS (SELECT FROM messages WHERE ordering_key = key AND ready_at IS NOT NULL)
         ) AS first
         WHERE messages.id = first.id",
    )
    .bind(keys)
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks the ordering key of a message that somebody holds.
async fn lock_held(connection: &mut PgConnection, held: Held) -> sqlx::Result<Vec<String>> {
    if !held.is_keyed {
        return Ok(Vec::new());
    }
    // A message keeps its key, so it can be read before it is locked.
    let keys: Vec<String> = sqlx::query_scalar("SELECT ordering_key FROM messages WHERE id = $1")
        .bind(held.id)
        .fetch_all(&mut *connection)
        .await?;
    lock(connection, &keys).await?;
    Ok(keys)
}

pub(super) async fn publish(
    mut transaction: PgTransaction<'static>,
    message: &NewMessage,
    now_ms: i64,
    not_before_ms: i64,
) -> Answer<i64> {
    if let Some(key) = &message.ordering_key {
        lock(&mut transaction, std::slice::from_ref(key)).await?;
    }
    // Of several publishes of one deduplication id the first holds its row, and the others wait for it here.
    let claimed = "
        WITH claimed AS (
            INSERT INTO published (dedup_id, message_id, expires_at)
            SELECT $1, nextval('message_ids'), $2::bigint + $3::bigint WHERE $1::text IS NOT NULL
            ON CONFLICT (dedup_id) DO UPDATE
            SET message_id = excluded.message_id, expires_at = excluded.expires_at
            WHERE published.expires_at <= $2
            RETURNING message_id
        )
        INSERT INTO messages (id, ready_at, not_before, published_at, ordering_key, body)
        SELECT coalesce(message_id, nextval('message_ids')),
            CASE WHEN NOT EXISTS (SELECT FROM messages WHERE ordering_key = $4 AND dead_reason IS NULL)
                THEN $5::bigint END,
            $5, $2, $4, $6
        FROM (SELECT 1) AS one LEFT JOIN claimed ON true
        WHERE $1 IS NULL OR message_id IS NOT NULL
        RETURNING id";
    let id: Option<i64> = sqlx::query_scalar(claimed)
        .bind(&message.dedup_id)
        .bind(now_ms)
        .bind(DEDUP_MS)
        .bind(&message.ordering_key)
        .bind(not_before_ms)
        .bind(&message.body[..])
        .fetch_optional(&mut *transaction)
        .await?;
    let id = match id {
        Some(id) => id,
        None => {
            sqlx::query_scalar("SELECT message_id FROM published WHERE dedup_id = $1")
                .bind(&message.dedup_id)
                .fetch_one(&mut *transaction)
                .await?
        }
    };
    Ok((transaction, Some(id)))
}

pub(super) async fn ack(mut transaction: PgTransaction<'static>, held: Held) -> Answer<()> {
    let keys = lock_held(&mut transaction, held).await?;
    let removed = sqlx::query("DELETE FROM messages WHERE id = $1 AND holding = $2 AND dead_reason IS NULL")
        .bind(held.id)
        .bind(held.holding)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    if removed == 0 {
        return Ok((transaction, None));
    }
    promote(&mut transaction, &keys).await?;
    Ok((transaction, Some(())))
}

pub(super) async fn release(
    mut transaction: PgTransaction<'static>,
    held: Held,
    not_before_ms: i64,
    deliveries_max: i64,
) -> Answer<()> {
    let keys = lock_held(&mut transaction, held).await?;
    let released = sqlx::query(
        "UPDATE messages SET holding = holding + 1, not_before = $1,
             ready_at = CASE WHEN delivery_count < $2 THEN $1 END,
             dead_reason = CASE WHEN delivery_count < $2 THEN NULL ELSE $3 END
         WHERE id = $4 AND holding = $5 AND dead_reason IS NULL",
    )
    .bind(not_before_ms)
    .bind(deliveries_max)
    .bind(DELIVERED_TOO_OFTEN)
    .bind(held.id)
    .bind(held.holding)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    if released == 0 {
        return Ok((transaction, None));
    }
    promote(&mut transaction, &keys).await?;
    Ok((transaction, Some(())))
}

pub(super) async fn dead_letter(
    mut transaction: PgTransaction<'static>,
    held: Held,
    reason: &str,
) -> Answer<()> {
    let keys = lock_held(&mut transaction, held).await?;
    let buried = sqlx::query(
        "UPDATE messages SET ready_at = NULL, holding = holding + 1, dead_reason = $1
         WHERE id = $2 AND holding = $3 AND dead_reason IS NULL",
    )
    .bind(reason)
    .bind(held.id)
    .bind(held.holding)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    if buried == 0 {
        return Ok((transaction, None));
    }
    promote(&mut transaction, &keys).await?;
    Ok((transaction, Some(())))
}

/// Answers how many messages were found, and perhaps buried by others first.
pub(super) async fn bury(
    mut transaction: PgTransaction<'static>,
    now_ms: i64,
    deliveries_max: i64,
) -> Answer<i64> {
    let mut found: Vec<(i64, Option<String>)> = sqlx::query_as(
        "SELECT id, ordering_key FROM messages WHERE ready_at <= $1 AND delivery_count >= $2 LIMIT $3",
    )
    .bind(now_ms)
    .bind(deliveries_max)
    .bind(BURIED_MAX)
    .fetch_all(&mut *transaction)
    .await?;
    let keys: Vec<String> = found.iter_mut().filter_map(|(_, key)| mem::take(key)).collect();
    let ids: Vec<i64> = found.iter().map(|(id, _)| *id).collect();
    lock(&mut transaction, &keys).await?;
    // Its last holder may have extended or acknowledged it meanwhile.
    sqlx::query(
        "UPDATE messages SET ready_at = NULL, holding = holding + 1, dead_reason = $1
         WHERE id = ANY ($2) AND ready_at <= $3 AND delivery_count >= $4",
    )
    .bind(DELIVERED_TOO_OFTEN)
    .bind(&ids)
    .bind(now_ms)
    .bind(deliveries_max)
    .execute(&mut *transaction)
    .await?;
    promote(&mut transaction, &keys).await?;
    Ok((transaction, Some(i64::try_from(ids.len()).unwrap_or(i64::MAX))))
}

pub(super) async fn redrive(
    mut transaction: PgTransaction<'static>,
    ids: &[i64],
    now_ms: i64,
) -> Answer<u64> {
    let keys: Vec<String> = sqlx::query_scalar(
        "SELECT ordering_key FROM messages
         WHERE id = ANY ($1) AND dead_reason IS NOT NULL AND ordering_key IS NOT NULL",
    )
    .bind(ids)
    .fetch_all(&mut *transaction)
    .await?;
    lock(&mut transaction, &keys).await?;
    let count = sqlx::query(
        "UPDATE messages SET dead_reason = NULL, delivery_count = 0, not_before = $1,
             ready_at = CASE WHEN ordering_key IS NULL THEN $1 END
         WHERE id = ANY ($2) AND dead_reason IS NOT NULL",
    )
    .bind(now_ms)
    .bind(ids)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    promote(&mut transaction, &keys).await?;
    Ok((transaction, Some(count)))
}

pub(super) async fn purge(mut transaction: PgTransaction<'static>, key: &str) -> Answer<u64> {
    lock(&mut transaction, &[key.to_owned()]).await?;
    let purged = sqlx::query("DELETE FROM messages WHERE ordering_key = $1")
        .bind(key)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    Ok((transaction, Some(purged)))
}
