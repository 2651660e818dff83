//! The pool of connections, and how a transaction is run on it.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use ports::Result;
use sqlx::{
    PgPool, PgTransaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    Settings,
    error::{commit_error, is_breakage, is_transient, sql_error},
    listener::{Listener, Teller},
};

/// How often a transaction is begun anew before its error is told.
const ATTEMPTS_MAX: u32 = 5;
/// The pause before the second attempt; it doubles with each, and a random part of it is left out.
const PAUSE: Duration = Duration::from_millis(5);
/// A connection that rested for longer is tried before it is used: the server may have been restarted meanwhile.
const RESTED: Duration = Duration::from_secs(1);
/// What the way to the server and back may take on top of the time that the server gives a statement.
const TRAVEL: Duration = Duration::from_secs(5);

/// A PostgreSQL database. Clones share its connections.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    pool: PgPool,
    options: PgConnectOptions,
    patience: Duration,
    breakage: Breakage,
    listener: OnceLock<Listener>,
    teller: OnceLock<Teller>,
}

/// When a connection was last found broken. Where one is, others that rested meanwhile are likely to be.
#[derive(Clone)]
struct Breakage(Arc<Mutex<Instant>>);

impl Default for Breakage {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Breakage {
    fn happens(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// How the pool does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatabaseHealth {
    /// Connections that are open.
    pub connections: u32,
    /// Those of them that wait for work.
    pub idle: u32,
    /// Those of them that are at work.
    pub in_use: u32,
    /// How many there can be.
    pub connections_max: u32,
    /// How long a connection and an answer of the server took.
    pub latency: Duration,
}

impl Database {
    /// Opens the pool and one connection of it. It does not touch the tables: see [`Database::migrate`].
    pub async fn connect(settings: &Settings) -> Result<Self> {
        let options = settings.connect_options();
        let breakage = Breakage::default();
        let seen = breakage.clone();
        let pool = PgPoolOptions::new()
            .min_connections(settings.connections_min)
            .max_connections(settings.connections_max)
            .acquire_timeout(settings.connect_timeout)
            .test_before_acquire(false)
            .before_acquire(move |connection, rest| {
                let is_trusted = rest.idle_for < RESTED.min(seen.elapsed());
                Box::pin(async move { Ok(is_trusted || sqlx::Connection::ping(connection).await.is_ok()) })
            })
            .connect_with(options.clone())
            .await
            .map_err(|error| sql_error("database.connect", error))?;
        let patience = settings.statement_timeout + TRAVEL;
        Ok(Self(Arc::new(Inner {
            pool,
            options,
            patience,
            breakage,
            listener: OnceLock::new(),
            teller: OnceLock::new(),
        })))
    }

    /// Measures the way to the server and back.
    pub async fn health(&self) -> Result<DatabaseHealth> {
        const OPERATION: &str = "database.health";
        let begun = Instant::now();
        self.ask(OPERATION, || sqlx::query("SELECT 1").execute(self.pool())).await?;
        let latency = begun.elapsed();
        let connections = self.pool().size();
        let idle = u32::try_from(self.pool().num_idle()).unwrap_or(u32::MAX).min(connections);
        let connections_max = self.pool().options().get_max_connections();
        Ok(DatabaseHealth { connections, idle, in_use: connections - idle, connections_max, latency })
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.0.options
    }

    /// What others tell; listens from the first call on.
    pub(crate) fn listener(&self) -> &Listener {
        self.0.listener.get_or_init(|| Listener::start(self.0.options.clone()))
    }

    /// Wakes those of all processes who wait for messages. It is not waited for: who is not woken looks again soon.
    pub(crate) fn tell_of_jobs(&self) {
        if let Some(listener) = self.0.listener.get() {
            listener.jobs().notify_waiters();
        }
        self.0.teller.get_or_init(|| Teller::start(self.pool().clone())).tell();
    }

    /// Runs a statement that only reads, and again where the connection broke.
    pub(crate) async fn ask<T, F>(&self, operation: &'static str, statement: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        self.persist(operation, statement).await.map_err(|error| sql_error(operation, error))
    }

    /// Awaits a statement that writes and is a transaction of its own.
    pub(crate) async fn tell<T>(
        &self,
        operation: &'static str,
        statement: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T> {
        self.bounded(statement).await.map_err(|error| commit_error(operation, error))
    }

    /// Runs `work` in a transaction and commits it if it answers `Some`. A transaction that lost against others, or whose
    /// connection broke before its commit, is begun anew a few times.
    pub(crate) async fn transact<T, F>(
        &self,
        operation: &'static str,
        work: impl Fn(PgTransaction<'static>) -> F,
    ) -> Result<Option<T>>
    where
        F: Future<Output = sqlx::Result<(PgTransaction<'static>, Option<T>)>>,
    {
        let run = || async { work(self.pool().begin().await?).await };
        let done = self.persist(operation, run).await;
        let (transaction, answer) = done.map_err(|error| sql_error(operation, error))?;
        if answer.is_none() {
            // Rolled back on the way to the pool: nothing waits for that.
            return Ok(None);
        }
        self.bounded(transaction.commit()).await.map_err(|error| commit_error(operation, error))?;
        Ok(answer)
    }

    /// Tries a few times what changes nothing when it fails.
    async fn persist<T, F>(&self, operation: &'static str, work: impl Fn() -> F) -> sqlx::Result<T>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        let mut attempt = 1;
        loop {
            match self.bounded(work()).await {
                Err(error) if attempt < ATTEMPTS_MAX && is_transient(&error) => {
                    tracing::debug!(operation, attempt, error = %error, "it is tried again");
                    let pause = PAUSE * 2_u32.pow(attempt);
                    sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// Ends what the server does not end: it may be gone without a word.
    async fn bounded<T>(&self, future: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        let result = timeout(self.0.patience, future)
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())));
        if result.as_ref().is_err_and(is_breakage) {
            self.0.breakage.happens();
        }
        result
    }
}
