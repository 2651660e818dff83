//! What Redis answers, in the terms of the ports.

use ports::{Error, ErrorKind, Outcome};
use redis::{ErrorKind as RedisKind, RedisError, ServerErrorKind};

fn kind_of(error: &RedisError) -> ErrorKind {
    // Codes for which the client has no kind of its own.
    match error.code() {
        Some("NOAUTH" | "WRONGPASS") => return ErrorKind::PermissionDenied,
        Some("OOM" | "MISCONF" | "NOREPLICAS") => return ErrorKind::Unavailable,
        _ => {}
    }
    match error.kind() {
        RedisKind::AuthenticationFailed | RedisKind::Server(ServerErrorKind::NoPerm) => {
            ErrorKind::PermissionDenied
        }
        RedisKind::InvalidClientConfig => ErrorKind::InvalidInput,
        RedisKind::UnexpectedReturnType => ErrorKind::Corrupt,
        RedisKind::Io
        | RedisKind::Parse
        | RedisKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly,
        ) => ErrorKind::Unavailable,
        _ => ErrorKind::Unexpected,
    }
}

/// Whether the connection is of no use any more. One to a server that became a replica leads to the wrong one.
pub(crate) fn is_useless(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || matches!(error.kind(), RedisKind::Io | RedisKind::Server(ServerErrorKind::ReadOnly))
}

/// An error of a command. What the server did not answer it may have done.
pub(crate) fn redis_error(operation: &'static str, error: RedisError) -> Error {
    let is_lost = error.is_io_error() && !error.is_connection_refusal();
    let outcome = if is_lost { Outcome::Unknown } else { Outcome::NotApplied };
    Error::new(kind_of(&error), operation).with_outcome(outcome).with_cause(error)
}
