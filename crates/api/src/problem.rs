//! RFC 9457 problem documents: the one way in which the API says no.
#![deny(clippy::wildcard_enum_match_arm)]

use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use app::{AppError, ingest::BodyError};
use ports::{Denial, ErrorKind, denial, password_fault};
use serde::Serialize;
use utoipa::ToSchema;

use crate::limits::seconds_up;

/// A refusal. The client gets fixed words; the chain of causes goes to the log, once.
pub struct Problem {
    kind: ProblemKind,
    detail: Option<String>,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    /// For the log only.
    cause: Option<String>,
}

/// Where in the request a fault is.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// JSON Pointer (RFC 6901) into the body, or the name of a parameter.
    #[schema(example = "/metrics/3/biometric_data")]
    pub pointer: String,
    /// What is wrong there.
    #[schema(example = "heart_rate is not a number")]
    pub detail: String,
}

/// `application/problem+json`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// A stable URI reference that names the problem type.
    #[serde(rename = "type")]
    #[schema(example = "/problems/validation")]
    pub kind: String,
    /// The type in words.
    #[schema(example = "The request is not valid")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// This occurrence in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The request's id.
    #[schema(example = "019b1f6e-0000-7000-8000-000000000000")]
    pub instance: String,
    /// The faults one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// Every type of problem: its name, its status and its title.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProblemKind {
    /// Malformed or implausible input.
    Validation,
    /// A request that HTTP itself does not allow.
    BadRequest,
    /// A token that is missing or not valid.
    Unauthorized,
    /// Wrong e-mail or password.
    WrongCredentials,
    /// The answer to a challenge is wrong.
    WrongCode,
    /// The address is not confirmed.
    EmailNotVerified,
    /// The account is disabled.
    AccountDisabled,
    /// Another user's id in path or body.
    ForeignUser,
    /// Self sign-up is switched off.
    SignUpDisabled,
    /// The caller may not do this.
    Forbidden,
    /// Nothing there.
    NotFound,
    /// The path does not do this method.
    MethodNotAllowed,
    /// Another writer was first, or the thing exists.
    Conflict,
    /// The first request with this idempotency key is not answered yet.
    InProgress,
    /// An idempotency key that belongs to another request.
    IdempotencyMismatch,
    /// The thing is not as `If-Match` says.
    PreconditionFailed,
    /// A change that says of no state which it is meant for.
    PreconditionRequired,
    /// Too many bytes or days.
    TooLarge,
    /// A target of too many bytes.
    UriTooLong,
    /// Headers of too many bytes.
    HeadersTooLarge,
    /// A content type or encoding that is not understood.
    UnsupportedMedia,
    /// The path speaks another protocol.
    UpgradeRequired,
    /// The request took too long to come.
    RequestTimeout,
    /// Too many requests.
    RateLimited,
    /// Too many failures.
    Locked,
    /// A part is away.
    Unavailable,
    /// A fault of ours.
    Internal,
}

impl ProblemKind {
    const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Validation => ("validation", StatusCode::UNPROCESSABLE_ENTITY, "The request is not valid"),
            Self::BadRequest => {
                ("bad-request", StatusCode::BAD_REQUEST, "The request is not one that HTTP allows")
            }
            Self::Unauthorized => {
                ("unauthorized", StatusCode::UNAUTHORIZED, "A valid access token is needed")
            }
            Self::WrongCredentials => {
                ("wrong-credentials", StatusCode::UNAUTHORIZED, "Wrong e-mail or password")
            }
            Self::WrongCode => {
                ("wrong-code", StatusCode::UNAUTHORIZED, "The code is wrong, too old, or was used before")
            }
            Self::EmailNotVerified => {
                ("email-not-verified", StatusCode::FORBIDDEN, "The e-mail address is not confirmed")
            }
            Self::AccountDisabled => ("account-disabled", StatusCode::FORBIDDEN, "The account is disabled"),
            Self::ForeignUser => ("foreign-user", StatusCode::FORBIDDEN, "The request names another user"),
            Self::SignUpDisabled => {
                ("sign-up-disabled", StatusCode::FORBIDDEN, "Signing up is switched off here")
            }
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "The caller may not do this"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is nothing here"),
            Self::MethodNotAllowed => {
                ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "The path does not do this method")
            }
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "This conflicts with what is there"),
            Self::InProgress => {
                ("in-progress", StatusCode::CONFLICT, "The same request is still being answered")
            }
            Self::IdempotencyMismatch => {
                ("idempotency-mismatch", StatusCode::UNPROCESSABLE_ENTITY, "Another request has this key")
            }
            Self::PreconditionFailed => (
                "precondition-failed",
                StatusCode::PRECONDITION_FAILED,
                "It is not as the request expects it to be",
            ),
            Self::PreconditionRequired => {
                ("precondition-required", StatusCode::PRECONDITION_REQUIRED, "The request needs an If-Match")
            }
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The request is too large"),
            Self::UriTooLong => ("uri-too-long", StatusCode::URI_TOO_LONG, "The target is too long"),
            Self::HeadersTooLarge => (
                "headers-too-large",
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The headers are too large",
            ),
            Self::UnsupportedMedia => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The content type or encoding is not understood",
            ),
            Self::UpgradeRequired => {
                ("upgrade-required", StatusCode::UPGRADE_REQUIRED, "This is a WebSocket of version 13")
            }
            Self::RequestTimeout => {
                ("request-timeout", StatusCode::REQUEST_TIMEOUT, "The request took too long to come")
            }
            Self::RateLimited => ("rate-limited", StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            Self::Locked => ("locked", StatusCode::TOO_MANY_REQUESTS, "Locked after too many failures"),
            Self::Unavailable => {
                ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "A part of the service is not available")
            }
            Self::Internal => {
                ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side")
            }
        }
    }
}

/// How long a client should wait before it asks an unavailable service again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(2);

impl Problem {
    pub fn new(kind: ProblemKind) -> Self {
        Self { kind, detail: None, errors: Vec::new(), retry_after: None, cause: None }
    }

    /// A fault of one place in the request.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let error = FieldError { pointer: pointer.into(), detail: detail.into() };
        Self { errors: vec![error], ..Self::new(ProblemKind::Validation) }
    }

    /// Faults of several places.
    pub(crate) fn fields(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(ProblemKind::Validation) }
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// What the log should hold, and the client not.
    #[must_use]
    fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            chain = format!("{chain}: {cause}");
            source = cause.source();
        }
        self.cause = Some(chain);
        self
    }

    pub const fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The first fault in words: where it is, and what is wrong.
    pub(crate) fn fault(&self) -> Option<String> {
        self.errors.first().map(|fault| format!("{}: {}", fault.pointer, fault.detail))
    }

    /// All of it in one sentence, for those who are not answered in this form.
    pub(crate) fn words(&self) -> String {
        self.detail.clone().or_else(|| self.fault()).unwrap_or_else(|| self.kind.parts().2.to_owned())
    }

    /// The chain of causes, for the log.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The document.
    pub(crate) fn body(&self, request_id: &str) -> Vec<u8> {
        let (name, status, title) = self.kind.parts();
        let body = ProblemBody {
            kind: format!("/problems/{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            instance: request_id.to_owned(),
            errors: self.errors.clone(),
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }

    pub fn response(&self, request_id: &str) -> HttpResponse {
        let status = self.kind.parts().1;
        let mut response = HttpResponse::build(status);
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            response.insert_header((header::UPGRADE, "websocket"));
            response.insert_header((header::SEC_WEBSOCKET_VERSION, "13"));
        }
        let waits = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        if let Some(after) = self.retry_after.or(waits.then_some(RETRY_AFTER)) {
            response.insert_header((header::RETRY_AFTER, seconds_up(after).max(1).to_string()));
        }
        response.body(self.body(request_id))
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Problem({:?})", self.kind)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.parts().0)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.kind.parts().1
    }

    /// The middleware renders problems, because only it knows the request's id; this serves what it does not see.
    fn error_response(&self) -> HttpResponse {
        self.response("")
    }
}

impl From<BodyError> for FieldError {
    fn from(error: BodyError) -> Self {
        Self { pointer: error.pointer, detail: error.message }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::field(error.pointer.clone(), error.message)
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Body(error) => error.into(),
            AppError::NothingKept(faults) => Self::fields(faults.into_iter().map(FieldError::from).collect()),
            AppError::Parameter { name, message } => Self::field(name, message),
            AppError::ForeignUser => Self::new(ProblemKind::ForeignUser),
            AppError::KeyReused => Self::new(ProblemKind::IdempotencyMismatch),
            AppError::InProgress => Self::new(ProblemKind::InProgress).retry_after(Duration::from_secs(1)),
            AppError::Stale => Self::new(ProblemKind::PreconditionFailed),
            AppError::NotFound => Self::new(ProblemKind::NotFound),
            AppError::TooLarge { writes_max } => Self::new(ProblemKind::TooLarge).detail(format!(
                "one commit holds {writes_max} blocks of a metric and a day, and a limited size; send the upload in parts of fewer days"
            )),
            AppError::Port(error) => error.into(),
        }
    }
}

impl From<ports::Error> for Problem {
    fn from(error: ports::Error) -> Self {
        if let Some(fault) = password_fault(&error) {
            return Self::field("/password", fault.to_string());
        }
        let problem = match (denial(&error), error.kind()) {
            (Some(denial), _) => denied(denial),
            (None, ErrorKind::NotFound) => Self::new(ProblemKind::NotFound),
            (None, ErrorKind::Conflict) => Self::new(ProblemKind::Conflict),
            (None, ErrorKind::InvalidInput) => Self::new(ProblemKind::Validation),
            (None, ErrorKind::PermissionDenied) => Self::new(ProblemKind::Forbidden),
            (None, ErrorKind::RateLimited) => Self::new(ProblemKind::RateLimited).retry_after(RETRY_AFTER),
            (None, ErrorKind::Unavailable) => Self::new(ProblemKind::Unavailable).retry_after(RETRY_AFTER),
            (None, ErrorKind::Corrupt | ErrorKind::Unexpected) => Self::new(ProblemKind::Internal),
        };
        problem.caused_by(&error)
    }
}

fn denied(denial: Denial) -> Problem {
    match denial {
        Denial::WrongCredentials => Problem::new(ProblemKind::WrongCredentials),
        Denial::EmailNotVerified => Problem::new(ProblemKind::EmailNotVerified),
        Denial::Locked { retry_after_seconds } => {
            Problem::new(ProblemKind::Locked).retry_after(Duration::from_secs(retry_after_seconds))
        }
        Denial::Disabled => Problem::new(ProblemKind::AccountDisabled),
        Denial::WrongCode => Problem::field("/code", "the code is wrong or has expired"),
        Denial::InvalidToken => Problem::new(ProblemKind::Unauthorized),
    }
}
