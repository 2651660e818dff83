//! How the protocol says no: `{"error": "..."}`.
#![deny(clippy::wildcard_enum_match_arm)]

use std::{error::Error as _, fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use ports::{Error, ErrorKind};

use crate::problem::Problem;

/// A refusal, in words for whoever called.
pub(crate) struct Refusal {
    status: StatusCode,
    words: String,
    retry_after: Option<Duration>,
    /// For the log only.
    cause: Option<String>,
}

/// When to ask again what was refused because there was too much: a queue is worked off in less.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Refusal {
    fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into(), retry_after: None, cause: None }
    }

    pub(super) fn bad(words: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, words)
    }

    pub(super) fn unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such model, or no such version of it")
    }

    pub(super) fn nowhere() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing here")
    }

    pub(super) fn other_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "the path does not do this method")
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "the key of this server is needed: Authorization: Bearer KEY")
    }

    pub(crate) fn unavailable(words: impl Into<String>) -> Self {
        Self { retry_after: Some(RETRY_AFTER), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, words) }
    }

    pub(super) fn failed(words: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, words)
    }

    /// What the log should hold, and the caller not.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}

impl From<open_inference::Fault> for Refusal {
    fn from(fault: open_inference::Fault) -> Self {
        Self::bad(fault.to_string())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        // The engine's own words: they name models, tensors and shapes, never values.
        let why = error.source().map(ToString::to_string);
        let words = |otherwise: &str| why.clone().unwrap_or_else(|| otherwise.to_owned());
        let refusal = match error.kind() {
            ErrorKind::NotFound => Self::unknown(),
            ErrorKind::InvalidInput => Self::bad(words("the inputs are not those of the model")),
            ErrorKind::Unavailable | ErrorKind::RateLimited => Self::unavailable(words("not now")),
            ErrorKind::Corrupt => Self::failed(words("the model is not what its manifest says")),
            ErrorKind::Conflict | ErrorKind::PermissionDenied | ErrorKind::Unexpected => {
                Self::failed("something went wrong on our side")
            }
        };
        Self { cause: why, ..refusal }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let status = match problem.status_code() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        Self::new(status, problem.words())
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refusal({})", self.status)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(after) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, after.as_secs()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.json(serde_json::json!({ "error": self.words }))
    }
}
