//! Why a use case did not do what it was asked.

use crate::ingest::BodyError;

/// A use case's error. The API turns each variant into one problem type.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The body as a whole cannot be taken.
    #[error("the body was refused: {0}")]
    Body(#[from] BodyError),
    /// Nothing of the body can be kept, for these reasons.
    #[error("nothing of the body can be kept")]
    NothingKept(Vec<BodyError>),
    /// A parameter of the request is wrong.
    #[error("{name}: {message}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The path or body names another user.
    #[error("the request names another user")]
    ForeignUser,
    /// The `Idempotency-Key` was sent with another request before.
    #[error("the idempotency key belongs to another request")]
    KeyReused,
    /// A request with the same `Idempotency-Key` is being worked on.
    #[error("a request with the same idempotency key is in progress")]
    InProgress,
    /// What is to be changed is not as the request expects it.
    #[error("it was changed since it was read")]
    Stale,
    /// Nothing of the caller's has that id.
    #[error("not found")]
    NotFound,
    /// The upload needs more than one commit can hold.
    #[error("the upload touches too many days at once")]
    TooLarge {
        /// How many writes one commit of this deployment holds.
        writes_max: usize,
    },
    /// A port failed.
    #[error(transparent)]
    Port(#[from] ports::Error),
}

/// What a use case answers.
pub type Result<T, E = AppError> = std::result::Result<T, E>;
