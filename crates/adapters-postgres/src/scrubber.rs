//! Making sure that what was deleted is in none of the tables' files.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use ports::{Error, ErrorKind, Result, Scrubber};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};

use crate::{Database, PostgresHealthData, error::sql_error};

/// How many expired records are removed in one transaction, so that it never holds up writers for long.
const SWEPT_MAX: u32 = 1000;
/// How long the transactions of others that can still see what was deleted are waited for.
const OTHERS_MAX: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);
const OPERATION: &str = "records.scrub";

/// How much is done about the bytes of deleted rows, which PostgreSQL leaves where they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Thoroughness {
    /// `VACUUM (FULL)`: each table is written anew without them and the old file removed. Nobody reads or writes a table
    /// meanwhile, which is short for a small one and hours for a large one.
    Rewrite,
    /// `VACUUM`: their place is given to new rows, which overwrite them sooner or later. Holds up nobody, and does **not** keep
    /// the port's promise on its own: take it where the disk is encrypted and the tables are too large to be rewritten.
    Reuse,
}

/// The scrubber of a database.
///
/// What it cannot reach is the server's: the write-ahead log until its files are recycled, its archive, replicas' logs and
/// backups. Their retention is the operator's to set, and is how long a deleted row can still be found there. With the right to
/// do so (`pg_checkpoint`) it makes a checkpoint, after which the log's old files are free to go.
#[derive(Clone)]
pub struct PostgresScrubber {
    database: Database,
    records: Arc<PostgresHealthData>,
    thoroughness: Thoroughness,
}

impl PostgresScrubber {
    pub fn new(database: Database, records: Arc<PostgresHealthData>, thoroughness: Thoroughness) -> Self {
        Self { database, records, thoroughness }
    }
}

#[async_trait]
impl Scrubber for PostgresScrubber {
    async fn scrub(&self) -> Result<()> {
        while self.records.sweep_expired(SWEPT_MAX).await? > 0 {}
        let mut connection = self.database.patient_connection(OPERATION).await?;
        wait_for_others(&mut connection).await?;
        let statements = match self.thoroughness {
            Thoroughness::Rewrite => [
                "VACUUM (FULL) records",
                "VACUUM (FULL) messages",
                "VACUUM (FULL) published",
                "VACUUM (FULL) events",
            ],
            Thoroughness::Reuse => ["VACUUM records", "VACUUM messages", "VACUUM published", "VACUUM events"],
        };
        for statement in statements {
            run(&mut connection, statement).await?;
        }
        if let Err(error) = run(&mut connection, "CHECKPOINT").await {
            tracing::debug!(error = %error, "no checkpoint was made; the server makes its own");
        }
        connection.close().await.ok();
        Ok(())
    }
}

async fn run(connection: &mut PgConnection, statement: &'static str) -> Result<()> {
    let done = sqlx::query(statement).execute(connection).await;
    done.map(drop).map_err(|error| sql_error(OPERATION, error))
}

/// Rows that a transaction can still see are kept by every kind of `VACUUM`.
async fn wait_for_others(connection: &mut PgConnection) -> Result<()> {
    let now: String = sqlx::query_scalar("SELECT pg_current_xact_id()::xid::text")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| sql_error(OPERATION, error))?;
    let deadline = Instant::now() + OTHERS_MAX;
    loop {
        let is_seen: bool = sqlx::query_scalar(
            "SELECT EXISTS (
                 SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                     AND age(backend_xmin) >= age($1::xid)
             )",
        )
        .bind(&now)
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| sql_error(OPERATION, error))?;
        if !is_seen {
            return Ok(());
        }
        if Instant::now() > deadline {
            let error = Error::new(ErrorKind::Unavailable, OPERATION);
            return Err(error.with_cause("a transaction can still see what was deleted"));
        }
        sleep(PAUSE).await;
    }
}
