//! The shared state in Redis. What must not be interleaved is a script, and the time is the server's.

use std::{fmt::Display, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use ports::{
    CACHED_BYTES_MAX, Error, ErrorKind, Outcome, Result, SHARED_FOR_MAX, SharedKey, SharedState, Taken,
};
use redis::{
    AsyncCommands as _, RedisFuture, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use uuid::Uuid;

use crate::{Settings, error::redis_error};

/// Between two attempts to connect again, at first and at last.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Limits, marks, locks and caches in a Redis server. Clones share its connection.
///
/// Each call ends within the configured time, whether the server answers, is slow or is away; the connection is made anew by
/// itself. What callers do meanwhile is written at [`SharedState`].
#[derive(Clone)]
pub struct RedisSharedState {
    connection: ConnectionManager,
    timeout: Duration,
    scripts: std::sync::Arc<Scripts>,
}

struct Scripts {
    take: Script,
    mark: Script,
    lock: Script,
    unlock: Script,
}

impl RedisSharedState {
    /// Connects with the first call: a server that is away holds up no start. See [`Self::ping`].
    pub fn new(settings: &Settings) -> Result<Self> {
        const OPERATION: &str = "shared.connect";
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(settings.timeout))
            .set_response_timeout(Some(settings.timeout))
            .set_min_delay(PAUSE)
            .set_max_delay(PAUSE_MAX);
        let client = settings.client().map_err(|error| redis_error(OPERATION, error))?;
        let connection = ConnectionManager::new_lazy_with_config(client, config);
        let scripts = Scripts {
            take: Script::new(include_str!("scripts/take.lua")),
            mark: Script::new(include_str!("scripts/mark.lua")),
            lock: Script::new(include_str!("scripts/lock.lua")),
            unlock: Script::new(include_str!("scripts/unlock.lua")),
        };
        Ok(Self {
            connection: connection.map_err(|error| redis_error(OPERATION, error))?,
            timeout: settings.timeout,
            scripts: scripts.into(),
        })
    }

    /// Measures the way to the server and back.
    pub async fn ping(&self) -> Result<Duration> {
        let begun = tokio::time::Instant::now();
        let mut connection = self.connection.clone();
        self.bounded("shared.ping", Box::pin(async move { connection.ping::<()>().await })).await?;
        Ok(begun.elapsed())
    }

    /// Runs a script on `key`.
    async fn run<T: redis::FromRedisValue + Send>(
        &self,
        operation: &'static str,
        script: &Script,
        key: String,
        arguments: &[&(dyn Display + Sync)],
    ) -> Result<T> {
        let mut connection = self.connection.clone();
        let mut invocation = script.key(key);
        for argument in arguments {
            invocation.arg(argument.to_string());
        }
        self.bounded(operation, Box::pin(async move { invocation.invoke_async(&mut connection).await })).await
    }

    /// Ends a call that takes too long: connecting and answering have their own times, and there are several attempts.
    async fn bounded<T>(&self, operation: &'static str, call: RedisFuture<'_, T>) -> Result<T> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(result) => result.map_err(|error| redis_error(operation, error)),
            Err(elapsed) => Err(Error::new(ErrorKind::Unavailable, operation)
                .with_outcome(Outcome::Unknown)
                .with_cause(elapsed)),
        }
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
        let (script, key) = (&self.scripts.take, name("limit", key));
        let (allowed, remaining, wait_ms): (bool, u32, u64) =
            self.run(OPERATION, script, key, &[&limit, &window_ms]).await?;
        Ok(Taken { allowed, remaining, resets_in: Duration::from_millis(wait_ms) })
    }

    async fn mark(&self, key: SharedKey, ttl: Duration) -> Result<()> {
        const OPERATION: &str = "shared.mark";
        let ttl_ms = checked_ms(OPERATION, ttl)?;
        self.run(OPERATION, &self.scripts.mark, name("mark", key), &[&ttl_ms]).await
    }

    async fn is_marked(&self, key: SharedKey) -> Result<bool> {
        let mut connection = self.connection.clone();
        let ask = async move { connection.exists(name("mark", key)).await };
        self.bounded("shared.is_marked", Box::pin(ask)).await
    }

    async fn lock(&self, key: SharedKey, owner: Uuid, ttl: Duration) -> Result<bool> {
        const OPERATION: &str = "shared.lock";
        let ttl_ms = checked_ms(OPERATION, ttl)?;
        self.run(OPERATION, &self.scripts.lock, name("lock", key), &[&owner, &ttl_ms]).await
    }

    async fn unlock(&self, key: SharedKey, owner: Uuid) -> Result<()> {
        self.run("shared.unlock", &self.scripts.unlock, name("lock", key), &[&owner]).await
    }

    async fn cached(&self, key: SharedKey) -> Result<Option<Bytes>> {
        let mut connection = self.connection.clone();
        let get = async move { connection.get::<_, Option<Vec<u8>>>(name("cache", key)).await };
        Ok(self.bounded("shared.cached", Box::pin(get)).await?.map(Bytes::from))
    }

    async fn cache(&self, key: SharedKey, bytes: Bytes, ttl: Duration) -> Result<()> {
        const OPERATION: &str = "shared.cache";
        let ttl_ms = checked_ms(OPERATION, ttl)?;
        if bytes.len() > CACHED_BYTES_MAX {
            return Err(Error::new(ErrorKind::InvalidInput, OPERATION));
        }
        let mut connection = self.connection.clone();
        let set = async move { connection.pset_ex(name("cache", key), &bytes[..], ttl_ms).await };
        self.bounded(OPERATION, Box::pin(set)).await
    }

    async fn forget(&self, key: SharedKey) -> Result<()> {
        let mut connection = self.connection.clone();
        let delete = async move { connection.del(name("cache", key)).await };
        self.bounded("shared.forget", Box::pin(delete)).await
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
