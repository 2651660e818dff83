use async_trait::async_trait;
use ports::{Error, ErrorKind, Result};
use sqlx::{Row as _, Sqlite, SqliteConnection, pool::PoolConnection, sqlite::SqliteRow};

use super::{Kind, Row, Store, Transaction};
use crate::embedded::{Database, WriteTransaction, sql_error};

pub(in crate::identity) struct SqliteStore(Database);

impl SqliteStore {
    pub(in crate::identity) fn new(database: Database) -> Self {
        Self(database)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn read(&self, operation: &'static str) -> Result<Box<dyn Transaction>> {
        let connection = self.0.readers().acquire().await.map_err(|error| sql_error(operation, error))?;
        Ok(Box::new(SqliteTransaction { connection: Connection::Reads(connection), operation }))
    }

    async fn begin(&self, operation: &'static str) -> Result<Box<dyn Transaction>> {
        let connection = Connection::Writes(Writing(Some(self.0.begin(operation).await?)));
        Ok(Box::new(SqliteTransaction { connection, operation }))
    }
}

enum Connection {
    Reads(PoolConnection<Sqlite>),
    Writes(Writing),
}

/// `None` once it is committed.
struct Writing(Option<WriteTransaction>);

impl Drop for Writing {
    /// Rolls back at once. Left to the next transaction of this process, the lock would keep all others waiting until then.
    fn drop(&mut self) {
        if let (Some(mut transaction), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(
                async move { sqlx::query("ROLLBACK").execute(&mut *transaction).await.map(drop).ok() },
            );
        }
    }
}

struct SqliteTransaction {
    connection: Connection,
    operation: &'static str,
}

impl SqliteTransaction {
    fn connection(&mut self) -> Result<&mut SqliteConnection> {
        match &mut self.connection {
            Connection::Reads(connection) => Ok(connection),
            Connection::Writes(Writing(Some(transaction))) => Ok(transaction),
            Connection::Writes(Writing(None)) => Err(Error::new(ErrorKind::Unexpected, self.operation)),
        }
    }
}

fn decode(row: &SqliteRow) -> sqlx::Result<Row> {
    Ok(Row {
        owner: row.try_get("owner")?,
        expires_at_ms: row.try_get("expires_at")?,
        body: row.try_get("body")?,
    })
}

#[async_trait]
impl Transaction for SqliteTransaction {
    async fn get(&mut self, kind: Kind, key: &[u8]) -> Result<Option<Row>> {
        let operation = self.operation;
        sqlx::query("SELECT owner, expires_at, body FROM identity WHERE kind = ? AND key = ?")
            .bind(kind.as_str())
            .bind(key)
            .fetch_optional(self.connection()?)
            .await
            .and_then(|row| row.as_ref().map(decode).transpose())
            .map_err(|error| sql_error(operation, error))
    }

    async fn owned(&mut self, kind: Kind, owner: &[u8]) -> Result<Vec<(Vec<u8>, Row)>> {
        let operation = self.operation;
        sqlx::query(
            "SELECT key, owner, expires_at, body FROM identity WHERE owner = ? AND kind = ? ORDER BY key",
        )
        .bind(owner)
        .bind(kind.as_str())
        .fetch_all(self.connection()?)
        .await
        .and_then(|rows| rows.iter().map(|row| Ok((row.try_get("key")?, decode(row)?))).collect())
        .map_err(|error| sql_error(operation, error))
    }

    async fn put(&mut self, kind: Kind, key: &[u8], row: Row) -> Result<()> {
        let operation = self.operation;
        sqlx::query(
            "INSERT OR REPLACE INTO identity (kind, key, owner, expires_at, body) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(kind.as_str())
        .bind(key)
        .bind(row.owner)
        .bind(row.expires_at_ms)
        .bind(row.body)
        .execute(self.connection()?)
        .await
        .map(drop)
        .map_err(|error| sql_error(operation, error))
    }

    async fn delete(&mut self, kind: Kind, key: &[u8]) -> Result<()> {
        let operation = self.operation;
        sqlx::query("DELETE FROM identity WHERE kind = ? AND key = ?")
            .bind(kind.as_str())
            .bind(key)
            .execute(self.connection()?)
            .await
            .map(drop)
            .map_err(|error| sql_error(operation, error))
    }

    async fn sweep(&mut self, now_ms: i64) -> Result<()> {
        let operation = self.operation;
        // More than one write adds, so that the sweep always gains on what is added.
        sqlx::query(
            "DELETE FROM identity WHERE (kind, key) IN \
             (SELECT kind, key FROM identity WHERE expires_at <= ? ORDER BY expires_at LIMIT 16)",
        )
        .bind(now_ms)
        .execute(self.connection()?)
        .await
        .map(drop)
        .map_err(|error| sql_error(operation, error))
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        match &mut self.connection {
            Connection::Writes(Writing(transaction)) => match transaction.take() {
                Some(transaction) => transaction.commit(self.operation).await,
                None => Err(Error::new(ErrorKind::Unexpected, self.operation)),
            },
            Connection::Reads(_) => Ok(()),
        }
    }
}
