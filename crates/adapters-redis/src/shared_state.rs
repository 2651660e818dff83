//! The shared state in Redis. What must not be interleaved is a script, and the time is the server's.

use std::{fmt::Display, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use ports::{CACHED_BYTES_MAX, Error, ErrorKind, Result, SHARED_FOR_MAX, SharedKey, SharedState, Taken};
use redis::{AsyncCommands as _, FromRedisValue, Script, aio::MultiplexedConnection};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{Settings, connection::Connection, error::redis_error};

/// Limits, marks, locks and caches in a Redis server. Clones share its connection.
///
/// Each call ends within the configured time, whether the server answers, is slow or is away; the connection is made anew by
/// itself. What callers do meanwhile is written at [`SharedState`].
#[derive(Clone)]
pub struct RedisSharedState(Arc<Inner>);

struct Inner {
    connection: Connection,
    take: Script,
    mark: Script,
    lock: Script,
    unlock: Script,
}

impl RedisSharedState {
    /// Connects with the first call: a server that is away holds up no start. See [`Self::ping`].
    pub fn new(settings: &Settings) -> Result<Self> {
        let client = settings.client().map_err(|error| redis_error("shared.connect", error))?;
        Ok(Self(Arc::new(Inner {
            connection: Connection::new(client, settings.timeout),
            take: Script::new(include_str!("scripts/take.lua")),
            mark: Script::new(include_str!("scripts/mark.lua")),
            lock: Script::new(include_str!("scripts/lock.lua")),
            unlock: Script::new(include_str!("scripts/unlock.lua")),
        })))
    }

    /// Measures the way to the server and back.
    pub async fn ping(&self) -> Result<Duration> {
        let begun = Instant::now();
        let ping = self
            .0
            .connection
            .call("shared.ping", |mut redis: MultiplexedConnection| async move { redis.ping::<()>().await });
        ping.await?;
        Ok(begun.elapsed())
    }

    /// Runs a script on `key`.
    async fn run<T: FromRedisValue>(
        &self,
        operation: &'static str,
        script: &Script,
        key: String,
        arguments: &[&(dyn Display + Sync)],
    ) -> Result<T> {
        let mut invocation = script.key(key);
        for argument in arguments {
            invocation.arg(argument.to_string());
        }
        let call =
            |mut redis: MultiplexedConnection| async move { invocation.invoke_async(&mut redis).await };
        self.0.connection.call(operation, call).await
    }
}

#[async_trait]
impl SharedState for RedisSharedState {
    async fn take(&self, key: SharedKey, limit: u32, window: Duration) -> Result<Taken> {
        const OPERATION: &str = "shared.take";
        let window_ms = checked_ms(OPERATION, window)?;
        if limit == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, OPERATION));
        }
        let (script, key) = (&self.0.take, name("limit", key));
        let (allowed, remaining, wait_ms): (bool, u32, u64) =
            self.run(OPERATION, script, key, &[&limit, &window_ms]).await?;
        Ok(Taken { allowed, remaining, resets_in: Duration::from_millis(wait_ms) })
    }

    async fn mark(&self, key: SharedKey, ttl: Duration) -> Result<()> {
        const OPERATION: &str = "shared.mark";
        let ttl_ms = checked_ms(OPERATION, ttl)?;
        self.run(OPERATION, &self.0.mark, name("mark", key), &[&ttl_ms]).await
    }

    async fn is_marked(&self, key: SharedKey) -> Result<bool> {
        let ask = |mut redis: MultiplexedConnection| async move { redis.exists(name("mark", key)).await };
        self.0.connection.call("shared.is_marked", ask).await
    }

    async fn lock(&self, key: SharedKey, owner: Uuid, ttl: Duration) -> Result<bool> {
        const OPERATION: &str = "shared.lock";
        let ttl_ms = checked_ms(OPERATION, ttl)?;
        self.run(OPERATION, &self.0.lock, name("lock", key), &[&owner, &ttl_ms]).await
    }

    async fn unlock(&self, key: SharedKey, owner: Uuid) -> Result<()> {
        self.run("shared.unlock", &self.0.unlock, name("lock", key), &[&owner]).await
    }

    async fn cached(&self, key: SharedKey) -> Result<Option<Bytes>> {
        let get = |mut redis: MultiplexedConnection| async move { redis.get(name("cache", key)).await };
        let bytes: Option<Vec<u8>> = self.0.connection.call("shared.cached", get).await?;
        Ok(bytes.map(Bytes::from))
    }

    async fn cache(&self, key: SharedKey, bytes: Bytes, ttl: Duration) -> Result<()> {
        const OPERATION: &str = "shared.cache";
        let ttl_ms = checked_ms(OPERATION, ttl)?;
        if bytes.len() > CACHED_BYTES_MAX {
            return Err(Error::new(ErrorKind::InvalidInput, OPERATION));
        }
        let set = |mut redis: MultiplexedConnection| async move {
            redis.pset_ex(name("cache", key), &bytes[..], ttl_ms).await
        };
        self.0.connection.call(OPERATION, set).await
    }

    async fn forget(&self, key: SharedKey) -> Result<()> {
        let delete = |mut redis: MultiplexedConnection| async move { redis.del(name("cache", key)).await };
        self.0.connection.call("shared.forget", delete).await
    }
}

/// The name of a key in the server, which others may use as well.
fn name(sort: &str, key: SharedKey) -> String {
    format!("clarity:{sort}:{key}")
}

fn checked_ms(operation: &'static str, duration: Duration) -> Result<u64> {
    let ms = u64::try_from(duration.as_millis()).ok().filter(|ms| *ms >= 1 && duration <= SHARED_FOR_MAX);
    ms.ok_or_else(|| Error::new(ErrorKind::InvalidInput, operation))
}
