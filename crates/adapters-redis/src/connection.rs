//! The one connection that all callers share, and how long a call takes at most.
//!
//! The client's own manager keeps for good an error of connecting that is not the network's, such as that of a server which is
//! loading its data or was given a new password; this one forgets each error and connects anew with the next call.

use std::time::Duration;

use ports::{Error, ErrorKind, Outcome, Result};
use redis::{AsyncConnectionConfig, Client, RedisResult, aio::MultiplexedConnection};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use crate::error::{is_useless, redis_error};

pub(crate) struct Connection {
    client: Client,
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// How many there were, so that nobody closes the one after the one that failed them.
    count: u64,
}

impl Connection {
    pub(crate) fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout, state: Mutex::default() }
    }

    /// Makes a call, on a new connection where there is none.
    pub(crate) async fn call<T, F>(
        &self,
        operation: &'static str,
        call: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let deadline = Instant::now() + self.timeout;
        let away = || Error::new(ErrorKind::Unavailable, operation);
        let opened = timeout_at(deadline, self.open()).await.map_err(|elapsed| away().with_cause(elapsed))?;
        let opened = opened.map_err(|error| redis_error(operation, error).with_outcome(Outcome::NotApplied));
        let (count, connection) = opened?;
        match timeout_at(deadline, call(connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if is_useless(&error) {
                    self.close(count).await;
                }
                Err(redis_error(operation, error))
            }
            Err(elapsed) => {
                self.close(count).await;
                Err(away().with_outcome(Outcome::Unknown).with_cause(elapsed))
            }
        }
    }

    async fn open(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        // Who comes while one connects waits for that, each for as long as its own call may take.
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok((state.count, connection.clone()));
        }
        // The time of the whole call is bounded already.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        state.count += 1;
        state.connection = Some(connection.clone());
        Ok((state.count, connection))
    }

    async fn close(&self, count: u64) {
        let mut state = self.state.lock().await;
        if state.count == count {
            state.connection = None;
        }
    }
}
