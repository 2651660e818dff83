//! What Redis answers, in the terms of the ports.

use ports::{Error, ErrorKind, Outcome};
use redis::{ErrorKind as RedisKind, RedisError, ServerErrorKind};

fn kind_of(error: &RedisError) -> ErrorKind {
    match error.kind() {
        RedisKind::AuthenticationFailed | RedisKind::Server(ServerErrorKind::NoPerm) => {
            ErrorKind::PermissionDenied
        }
        RedisKind::InvalidClientConfig => ErrorKind::InvalidInput,
        RedisKind::UnexpectedReturnType => ErrorKind::Corrupt,
        // Out of memory, of which the server has no kind.
        RedisKind::Extension if error.code() == Some("OOM") => ErrorKind::Unavailable,
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

/// An error of a command. What the server did not answer it may have done.
pub(crate) fn redis_error(operation: &'static str, error: RedisError) -> Error {
    let is_lost = error.is_io_error() && !error.is_connection_refusal();
    let outcome = if is_lost { Outcome::Unknown } else { Outcome::NotApplied };
    Error::new(kind_of(&error), operation).with_outcome(outcome).with_cause(error)
}
