//! The one error of every port.

use std::fmt;

/// What a caller can do about it; never which method failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorKind {
    /// What was to be changed is not there.
    NotFound,
    /// A precondition does not hold, or another writer was first.
    Conflict,
    /// The request itself is wrong; asking again cannot help.
    InvalidInput,
    /// The caller may not do this, or did not prove who they are.
    PermissionDenied,
    /// Too much was asked; later is fine.
    RateLimited,
    /// The service is away, slow or full; later may be fine.
    Unavailable,
    /// What is stored cannot be read.
    Corrupt,
    /// A fault nobody planned for.
    Unexpected,
}

/// Whether a write took effect, which a retry or a repair must know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It did not.
    NotApplied,
    /// It did, although something after it failed.
    Applied,
    /// Nobody knows: the answer was lost. Read back before deciding.
    Unknown,
}

/// A boxed cause; shown by `source()`, never by `Display`.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A port's error. Its text names the operation and the kind, and never carries a health value, a token or an address.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    outcome: Outcome,
    operation: &'static str,
    cause: Option<Cause>,
}

/// What every port answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `operation` that changed nothing.
    pub fn new(kind: ErrorKind, operation: &'static str) -> Self {
        Self { kind, outcome: Outcome::NotApplied, operation, cause: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// States whether the write took effect.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the write took effect.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The operation, such as `objects.put`.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Whether the same call may succeed later. Only this decides.
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            ErrorKind::RateLimited | ErrorKind::Unavailable => true,
            ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::InvalidInput
            | ErrorKind::PermissionDenied
            | ErrorKind::Corrupt
            | ErrorKind::Unexpected => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.operation, self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_in_source_and_not_in_display() {
        let error =
            Error::new(ErrorKind::Unavailable, "objects.put").with_cause("socket of anna@example.org closed");
        assert_eq!(error.to_string(), "objects.put: Unavailable");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("socket"));
    }

    #[test]
    fn a_lost_reply_is_unknown_and_may_be_asked_again() {
        let error = Error::new(ErrorKind::Unavailable, "records.commit").with_outcome(Outcome::Unknown);
        assert_eq!((error.outcome(), error.is_retryable()), (Outcome::Unknown, true));
    }
}
