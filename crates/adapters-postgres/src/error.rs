//! What PostgreSQL answers, in the terms of the ports.

use ports::{Error, ErrorKind, Outcome};

/// The kind of an error, by its SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn kind_of(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Database(database) => match database.code().as_deref().unwrap_or_default() {
            // A statement took too long, a lock was not given, others were first again and again, or the server is a standby.
            "57014" | "55P03" | "40001" | "40P01" | "25006" => ErrorKind::Unavailable,
            // It stops, starts, or is short of connections, locks, memory or disk; or the connection broke.
            code if code.starts_with("57P") || code.starts_with("53") || code.starts_with("08") => {
                ErrorKind::Unavailable
            }
            "23505" => ErrorKind::Conflict,
            "42501" => ErrorKind::PermissionDenied,
            code if code.starts_with("28") => ErrorKind::PermissionDenied,
            code if code.starts_with("22") || code.starts_with("54") => ErrorKind::InvalidInput,
            code if code.starts_with("XX") => ErrorKind::Corrupt,
            _ => ErrorKind::Unexpected,
        },
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => ErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ErrorKind::Corrupt,
        sqlx::Error::Encode(_) => ErrorKind::InvalidInput,
        _ => ErrorKind::Unexpected,
    }
}

/// Whether the server itself said that it did not do it. Otherwise the answer was lost on the way.
fn is_answer(error: &sqlx::Error) -> bool {
    // 57P0x comes when the server stops; a statement that was under way may have been committed just before.
    matches!(error, sqlx::Error::Database(database)
        if !database.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08")))
}

/// Whether the connection is of no use any more.
pub(crate) fn is_breakage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database.code().is_some_and(|code| code.starts_with("57P")),
        sqlx::Error::Io(_) => true,
        _ => false,
    }
}

/// Whether the same may well succeed if it is begun anew: others were first, or the connection broke before anything was asked
/// to last.
pub(crate) fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => {
            is_breakage(error) || database.code().is_some_and(|code| matches!(&*code, "40001" | "40P01"))
        }
        // Who waited in vain does not wait again.
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::TimedOut,
        _ => false,
    }
}

/// An error of what was not committed.
pub(crate) fn sql_error(operation: &'static str, error: sqlx::Error) -> Error {
    Error::new(kind_of(&error), operation).with_cause(error)
}

/// An error of what commits: a `COMMIT`, or a statement that is its own transaction.
pub(crate) fn commit_error(operation: &'static str, error: sqlx::Error) -> Error {
    let is_sent = matches!(error, sqlx::Error::Io(_) | sqlx::Error::Database(_) | sqlx::Error::Protocol(_));
    let outcome = if is_sent && !is_answer(&error) { Outcome::Unknown } else { Outcome::NotApplied };
    sql_error(operation, error).with_outcome(outcome)
}
