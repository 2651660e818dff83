//! The versions of the tables. `migrations/` has a pair of files for each: up and down.

use ports::{Error, ErrorKind, Result};
use sqlx::{
    ConnectOptions, PgConnection,
    migrate::{Migrate as _, MigrateError, Migrator},
};

use crate::{Database, error::sql_error};

static MIGRATIONS: Migrator = sqlx::migrate!();
const TABLE: &str = "_sqlx_migrations";

/// Whether a version of the tables is in the database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MigrationState {
    /// It is.
    Applied,
    /// It is not yet.
    Pending,
    /// It is, and this build does not know it, or knows another of its number: a newer build was here.
    Unknown,
}

/// One version of the tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MigrationStatus {
    pub version: i64,
    /// Empty where this build does not know it.
    pub description: String,
    pub state: MigrationState,
}

impl Database {
    /// Brings the tables up to date. Of several processes that do so at once one goes ahead and the others wait.
    pub async fn migrate(&self) -> Result<()> {
        const OPERATION: &str = "database.migrate";
        let mut connection = self.patient_connection(OPERATION).await?;
        let migrated = MIGRATIONS.run_direct(None, &mut connection, false).await;
        migrated.map_err(|error| migrate_error(OPERATION, error))
    }

    /// Takes the tables back to `version`, and 0 is before the first. What only later versions keep is lost.
    pub async fn rollback(&self, version: i64) -> Result<()> {
        const OPERATION: &str = "database.rollback";
        if version != 0 && !MIGRATIONS.version_exists(version) {
            return Err(Error::new(ErrorKind::NotFound, OPERATION));
        }
        let mut connection = self.patient_connection(OPERATION).await?;
        let undone = MIGRATIONS.undo(&mut connection, version).await;
        undone.map_err(|error| migrate_error(OPERATION, error))
    }

    /// The versions that this build or the database knows, the oldest first.
    pub async fn migrations(&self) -> Result<Vec<MigrationStatus>> {
        const OPERATION: &str = "database.migrations";
        let mut connection = self.patient_connection(OPERATION).await?;
        let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(TABLE)
            .fetch_one(&mut connection)
            .await
            .map_err(|error| sql_error(OPERATION, error))?;
        // Asking makes no table.
        let applied = if exists {
            let applied = connection.list_applied_migrations(TABLE).await;
            applied.map_err(|error| migrate_error(OPERATION, error))?
        } else {
            Vec::new()
        };
        let ups = || MIGRATIONS.iter().filter(|migration| migration.migration_type.is_up_migration());
        let mut all: Vec<MigrationStatus> = ups()
            .map(|up| MigrationStatus {
                version: up.version,
                description: up.description.clone().into_owned(),
                state: match applied.iter().find(|applied| applied.version == up.version) {
                    Some(applied) if applied.checksum == up.checksum => MigrationState::Applied,
                    Some(_) => MigrationState::Unknown,
                    None => MigrationState::Pending,
                },
            })
            .collect();
        let is_foreign = |version: &i64| ups().all(|up| up.version != *version);
        let foreign = applied.iter().map(|applied| applied.version).filter(is_foreign);
        all.extend(foreign.map(|version| MigrationStatus {
            version,
            description: String::new(),
            state: MigrationState::Unknown,
        }));
        all.sort_by_key(|status| status.version);
        Ok(all)
    }

    /// A connection outside the pool, on which statements take as long as they take. A lock that a failed migration still
    /// holds goes with it.
    pub(crate) async fn patient_connection(&self, operation: &'static str) -> Result<PgConnection> {
        let options = self.options().clone().options([("statement_timeout", "0")]);
        options.connect().await.map_err(|error| sql_error(operation, error))
    }
}

fn migrate_error(operation: &'static str, error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            sql_error(operation, error)
        }
        // Another build's tables, or a migration that was left half done: a person must decide.
        other => Error::new(ErrorKind::Conflict, operation).with_cause(other),
    }
}
