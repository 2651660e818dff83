//! The SQLite file: one connection that writes, a few that read.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    sync::Arc,
    time::Duration,
};

use ports::{Error, ErrorKind, Outcome, Result};
use sqlx::{
    ConnectOptions, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, Notify, OwnedMutexGuard, mpsc, oneshot},
    time::{Instant, sleep},
};

use super::{
    error::{is_busy, sql_error, task_error},
    folder, residue,
    writer::{self, Request},
};

const READERS_MAX: u32 = 3;
/// How long a transaction waits for those of other processes.
const BUSY_MAX: Duration = Duration::from_secs(5);
/// How long emptying the log waits for those who read it.
const SCRUB_MAX: Duration = Duration::from_secs(20);
/// How long it waits between two attempts.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// How many requests wait for the writer before further callers are held up.
const WAITING_MAX: usize = 1024;

/// The database of one data folder. Clones share it.
#[derive(Clone)]
pub struct Database {
    readers: SqlitePool,
    writer: Writer,
    requests: mpsc::Sender<Request>,
    signals: Arc<Signals>,
    /// Held by who scrubs: two at once would do everything twice.
    scrubbing: Arc<Mutex<()>>,
}

/// Wakes those in this process who wait for a change; other processes look again after a while.
#[derive(Default)]
pub(super) struct Signals {
    pub(super) jobs: Notify,
    pub(super) events: Notify,
}

impl Database {
    /// Opens `clarity.sqlite3` in `folder`, which it makes where it is missing, and brings its tables up to date.
    pub async fn open(folder: &Path) -> Result<Self> {
        const OPERATION: &str = "database.open";
        let owned = folder.to_owned();
        // Held while the file is made and migrated: SQLite's own locks do not cover the change to WAL.
        let lock = tokio::task::spawn_blocking(move || folder::open(&owned))
            .await
            .map_err(|error| task_error(OPERATION, error))??;

        let options = SqliteConnectOptions::new()
            .filename(folder.join("clarity.sqlite3"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("wal_autocheckpoint", "4000")
            .pragma("journal_size_limit", "67108864")
            // What is deleted is overwritten: an erased person must not be found in the file's free space.
            .pragma("secure_delete", "ON")
            // What a statement of many rows needs to take itself back. On disk it would cost a file for each statement.
            .pragma("temp_store", "MEMORY")
            .busy_timeout(BUSY_MAX)
            .statement_cache_capacity(256)
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(|error| sql_error(OPERATION, error))?;
        sqlx::migrate!()
            .run_direct(None, &mut connection, false)
            .await
            .map_err(|error| Error::new(ErrorKind::Unavailable, OPERATION).with_cause(error))?;
        drop(lock);
        let is_scrubbable = residue::is_possible(&mut connection).await;
        if !is_scrubbable.map_err(|error| sql_error(OPERATION, error))? {
            let cause = "SQLite was built without what erasures need: build with LIBSQLITE3_FLAGS=-DSQLITE_ENABLE_DBPAGE_VTAB, as \
                         .cargo/config.toml does within the repository";
            return Err(Error::new(ErrorKind::Unavailable, OPERATION).with_cause(cause));
        }
        // From here on the writer asks for the lock itself, see `Writer::begin`.
        sqlx::query("PRAGMA busy_timeout = 0")
            .execute(&mut connection)
            .await
            .map_err(|error| sql_error(OPERATION, error))?;

        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .connect_lazy_with(options.pragma("query_only", "ON"));
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let writer = Writer(Arc::new(Mutex::new(Writing { connection, is_open: false })));
        let signals = Arc::new(Signals::default());
        tokio::spawn(writer::run(writer.clone(), waiting, Arc::clone(&signals)));
        Ok(Self { readers, writer, requests, signals, scrubbing: Arc::default() })
    }

    /// Connections that only read.
    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Begins a transaction that writes. It is rolled back unless it is committed. Meant for what is rare: what is frequent
    /// goes through the group commit.
    pub async fn begin(&self, operation: &'static str) -> Result<WriteTransaction> {
        self.writer.begin().await.map_err(|error| sql_error(operation, error))
    }

    /// Leaves nothing in the files of what was deleted before the call: copies of rows that were moved are overwritten, all that
    /// was written goes from the log into the database, where deleted bytes are zero, and the log is emptied.
    pub(super) async fn scrub(&self, operation: &'static str) -> Result<()> {
        let _alone = self.scrubbing.lock().await;
        let residue = self.remove_residue().await;
        // Whatever came of that: what was deleted as well goes from the log.
        self.writer.truncate_log().await.map_err(|error| sql_error(operation, error))?;
        residue.map_err(|error| sql_error(operation, error))
    }

    async fn remove_residue(&self) -> sqlx::Result<()> {
        let slices = residue::slices(&mut *self.readers.acquire().await?).await?;
        for first in slices {
            let pages = residue::pages(&mut *self.readers.acquire().await?, first).await?;
            if !pages.is_empty() {
                let mut transaction = self.writer.begin().await?;
                residue::remove(&mut transaction, &pages).await?;
                transaction.finish().await?;
            }
        }
        Ok(())
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Hands a request to the group commit and waits for its answer.
    pub(super) async fn request<T>(
        &self,
        operation: &'static str,
        request: Request,
        answer: oneshot::Receiver<Result<T>>,
    ) -> Result<T> {
        let away = || Error::new(ErrorKind::Unavailable, operation).with_cause("the database is closed");
        self.requests.send(request).await.ok().ok_or_else(away)?;
        // The writer ended between taking the request and answering: its transaction may have been committed.
        answer.await.unwrap_or_else(|_| Err(away().with_outcome(Outcome::Unknown)))
    }
}

/// The one connection that writes, and whether a transaction may be open on it.
struct Writing {
    connection: SqliteConnection,
    is_open: bool,
}

impl Writing {
    async fn roll_back(&mut self) {
        // Fails where nothing is open after all; where something is, the next BEGIN says so.
        sqlx::query("ROLLBACK").execute(&mut self.connection).await.ok();
        self.is_open = false;
    }
}

/// Gives the connection that writes to one after the other.
#[derive(Clone)]
pub(super) struct Writer(Arc<Mutex<Writing>>);

impl Writer {
    pub(super) async fn begin(&self) -> sqlx::Result<WriteTransaction> {
        let mut writing = Arc::clone(&self.0).lock_owned().await;
        if writing.is_open {
            writing.roll_back().await;
        }
        writing.is_open = true;
        let mut transaction = WriteTransaction(writing);
        // SQLite's own waiting pauses for up to 100 ms, and a busy process would be first again and again.
        let deadline = Instant::now() + BUSY_MAX;
        loop {
            match sqlx::query("BEGIN IMMEDIATE").execute(&mut *transaction).await {
                Ok(_) => return Ok(transaction),
                Err(error) if is_busy(&error) && Instant::now() < deadline => sleep(BUSY_PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the readers and writers of all processes that still need the log.
    async fn truncate_log(&self) -> sqlx::Result<()> {
        let deadline = Instant::now() + SCRUB_MAX;
        loop {
            // Others may write between two attempts.
            let mut writing = Arc::clone(&self.0).lock_owned().await;
            if writing.is_open {
                writing.roll_back().await;
            }
            let outcome: sqlx::Result<(bool, i64, i64)> =
                sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut writing.connection).await;
            drop(writing);
            match outcome {
                Ok((false, ..)) => return Ok(()),
                Ok((true, ..)) if Instant::now() < deadline => {}
                Ok((true, ..)) => return Err(sqlx::Error::PoolTimedOut),
                Err(error) if is_busy(&error) && Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
            sleep(BUSY_PAUSE).await;
        }
    }
}

/// A transaction that holds SQLite's lock for writing. Dropped, it is rolled back.
pub struct WriteTransaction(OwnedMutexGuard<Writing>);

impl WriteTransaction {
    /// Makes it permanent. After an error nobody knows whether it is.
    pub async fn commit(mut self, operation: &'static str) -> Result<()> {
        self.finish().await.map_err(|error| sql_error(operation, error).with_outcome(Outcome::Unknown))
    }

    pub(super) async fn finish(&mut self) -> sqlx::Result<()> {
        sqlx::query("COMMIT").execute(&mut self.0.connection).await?;
        self.0.is_open = false;
        Ok(())
    }
}

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        // Other processes wait for the lock. Without a runtime the connection is about to be closed, which frees it too.
        if self.0.is_open
            && let Ok(runtime) = Handle::try_current()
        {
            let writing = Arc::clone(OwnedMutexGuard::mutex(&self.0));
            runtime.spawn(async move {
                let mut writing = writing.lock().await;
                if writing.is_open {
                    writing.roll_back().await;
                }
            });
        }
    }
}

impl Deref for WriteTransaction {
    type Target = SqliteConnection;
    fn deref(&self) -> &SqliteConnection {
        &self.0.connection
    }
}

impl DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0.connection
    }
}
