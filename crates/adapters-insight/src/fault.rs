use ports::{Cause, Error, ErrorKind};

use crate::grounding::Ungrounded;

/// A narrative is a few kilobytes; whatever is longer than this is not one.
pub(crate) const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why a call to a language model gave no narrative; the cause of the [`Error`]. It holds no text that the model wrote.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The settings cannot be used; says what to do.
    #[error("{0}")]
    Settings(&'static str),
    /// The grounding check reads English only, so that no other language can be let through.
    #[error("language models write English only: ask for language `en`, or use the template")]
    Language,
    /// There is no credential to ask with.
    #[error("no credential for the language model could be had")]
    Credential(#[source] Cause),
    /// The connection failed.
    #[error("the request could not be sent or its answer not be read")]
    Transport(#[source] Cause),
    /// The deadline of the whole call passed.
    #[error("no answer before the deadline")]
    Deadline,
    /// An HTTP status other than 200.
    #[error("the language model answered with status {0}")]
    Status(u16),
    /// More bytes than any narrative has.
    #[error("the answer is larger than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    /// The prompt or the answer was blocked, which some providers answer with status 200.
    #[error("the prompt was blocked ({0})")]
    Blocked(String),
    /// The model stopped before it was done, as at its limit of tokens.
    #[error("the model stopped early ({0})")]
    Stopped(String),
    /// The answer is not JSON of the schema asked for, or is longer than allowed.
    #[error("the answer does not have the schema asked for")]
    Schema,
    /// The text states a number that it was not given.
    #[error(transparent)]
    Ungrounded(#[from] Ungrounded),
}

impl Fault {
    pub(crate) fn at(self, operation: &'static str) -> Error {
        let kind = match &self {
            Self::Settings(_) | Self::Language => ErrorKind::InvalidInput,
            Self::Transport(_)
            | Self::Credential(_)
            | Self::Deadline
            | Self::Status(500 | 502 | 503 | 504) => ErrorKind::Unavailable,
            Self::Status(429) => ErrorKind::RateLimited,
            Self::Status(401 | 403) => ErrorKind::PermissionDenied,
            Self::Status(_)
            | Self::TooLarge
            | Self::Blocked(_)
            | Self::Stopped(_)
            | Self::Schema
            | Self::Ungrounded(_) => ErrorKind::Unexpected,
        };
        Error::new(kind, operation).with_cause(self)
    }

    /// What the metrics call it.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Settings(_) | Self::Language => "invalid",
            Self::Transport(_) | Self::Credential(_) | Self::Deadline => "unavailable",
            Self::Status(_) => "refused",
            Self::Blocked(_) | Self::Stopped(_) => "blocked",
            Self::TooLarge | Self::Schema => "malformed",
            Self::Ungrounded(_) => "ungrounded",
        }
    }
}

/// One of a provider's reason codes; anything else could be text about the person.
pub(crate) fn code(reason: Option<&str>) -> String {
    reason.filter(|reason| is_short_name(reason)).unwrap_or("no reason given").to_owned()
}

pub(crate) fn is_short_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    (1..=128).contains(&text.len()) && text.chars().all(is_plain)
}
