//! What SQLite and the file system answer, in the terms of the ports.

use std::io;

use ports::{Error, ErrorKind, Outcome};

/// The kind of an SQLite error, by its primary result code.
fn kind_of(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(1);
            match code & 0xff {
                // BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN.
                5 | 6 | 7 | 8 | 10 | 13 | 14 => ErrorKind::Unavailable,
                // CORRUPT, NOTADB.
                11 | 26 => ErrorKind::Corrupt,
                // TOOBIG.
                18 => ErrorKind::InvalidInput,
                // PERM, AUTH.
                3 | 23 => ErrorKind::PermissionDenied,
                // CONSTRAINT.
                19 => ErrorKind::Conflict,
                _ => ErrorKind::Unexpected,
            }
        }
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Io(_) => ErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ErrorKind::Corrupt,
        _ => ErrorKind::Unexpected,
    }
}

/// Whether another connection holds the lock that a statement needs.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database
            .code()
            .and_then(|code| code.parse::<u32>().ok())
            .is_some_and(|code| matches!(code & 0xff, 5 | 6)),
        _ => false,
    }
}

/// An error of a statement that was not committed.
pub(crate) fn sql_error(operation: &'static str, error: sqlx::Error) -> Error {
    Error::new(kind_of(&error), operation).with_cause(error)
}

/// An error of the file system before anything took effect.
pub(crate) fn io_error(operation: &'static str, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, operation).with_cause(error)
}

/// A blocking task that was lost, with the runtime that ran it.
pub(super) fn task_error(operation: &'static str, error: tokio::task::JoinError) -> Error {
    let kind = if error.is_panic() { ErrorKind::Unexpected } else { ErrorKind::Unavailable };
    Error::new(kind, operation).with_outcome(Outcome::Unknown).with_cause(error)
}

/// An error of a group that shared one transaction: told to each that was in it, hence made many times.
#[derive(Clone, Debug)]
pub(super) struct GroupError {
    kind: ErrorKind,
    outcome: Outcome,
    cause: String,
}

impl GroupError {
    pub(super) fn not_applied(error: &sqlx::Error) -> Self {
        Self { kind: kind_of(error), outcome: Outcome::NotApplied, cause: error.to_string() }
    }

    pub(super) fn unknown(error: &sqlx::Error) -> Self {
        Self { kind: ErrorKind::Unavailable, outcome: Outcome::Unknown, cause: error.to_string() }
    }

    pub(super) fn told(&self, operation: &'static str) -> Error {
        Error::new(self.kind, operation).with_outcome(self.outcome).with_cause(self.cause.clone())
    }
}
