//! What the SDK's errors mean to a caller: one table for every service.

use std::{
    error::Error as StdError,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::FinalizerInterceptorContextRef, dyn_dispatch_hint},
        orchestrator::HttpResponse,
        result::SdkError,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{config_bag::ConfigBag, error::metadata::ProvideErrorMetadata};
use ports::{Error, ErrorKind, Outcome};

/// What hyper calls a connection that never came to be: nothing was sent on it.
const NEVER_CONNECTED: &str = "client error (Connect)";

/// Watches the attempts of one write. The SDK shows only the last one's error, but an earlier one may have been applied
/// and its answer lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts {
    is_in_doubt: Arc<AtomicBool>,
}

impl Attempts {
    /// Whether one of them may have been applied without a word.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt.load(Ordering::Relaxed)
    }
}

#[dyn_dispatch_hint]
impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Err(error)) = context.output_or_error() {
            let is_faulty = context.response().is_some_and(|response| response.status().as_u16() >= 500);
            let is_lost = match error.as_connector_error() {
                Some(connector) => !never_connected(connector),
                None => error.is_timeout_error() || error.is_response_error(),
            };
            if is_faulty || is_lost {
                self.is_in_doubt.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// The error of a call that changes nothing.
pub(crate) fn of_read<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    Error::new(kind_of(error), operation).with_cause(chain(error))
}

/// The error of a call that changes something, whose `attempts` were watched.
pub(crate) fn of_write<E>(
    operation: &'static str,
    attempts: &Attempts,
    error: &SdkError<E, HttpResponse>,
) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let is_unknown = match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        _ => attempts.is_in_doubt(),
    };
    let outcome = if is_unknown { Outcome::Unknown } else { Outcome::NotApplied };
    of_read(operation, error).with_outcome(outcome)
}

/// The service's name for what went wrong, where it answered.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// The status of the answer, where there was one.
pub(crate) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn kind_of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> ErrorKind {
    match error {
        SdkError::ConstructionFailure(_) => ErrorKind::InvalidInput,
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
            ErrorKind::Unavailable
        }
        _ => kind_of_code(code(error).unwrap_or_default(), status(error).unwrap_or_default()),
    }
}

/// The table. Codes of the JSON services, of S3 and of the query protocol stand together: none means two things.
fn kind_of_code(code: &str, status: u16) -> ErrorKind {
    let name = code.rsplit(['#', '.']).next().unwrap_or_default();
    match name {
        "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "SlowDown"
        | "ThrottledException"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequestsException"
        | "OverLimit"
        | "KMSThrottlingException"
        | "KmsThrottled" => ErrorKind::RateLimited,
        "ConditionalCheckFailedException" | "PreconditionFailed" | "ReceiptHandleIsInvalid" => {
            ErrorKind::Conflict
        }
        "ConditionalRequestConflict" | "TransactionConflictException" | "TransactionInProgressException" => {
            ErrorKind::Unavailable
        }
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthorizationError"
        | "AuthorizationErrorException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "KMSAccessDeniedException"
        | "KmsAccessDenied"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => ErrorKind::PermissionDenied,
        "NoSuchBucket"
        | "NoSuchKey"
        | "NoSuchUpload"
        | "NoSuchVersion"
        | "NonExistentQueue"
        | "NotFound"
        | "NotFoundException"
        | "QueueDoesNotExist"
        | "ResourceNotFoundException" => ErrorKind::NotFound,
        "BadDigest"
        | "EntityTooLarge"
        | "InvalidArgument"
        | "InvalidMessageContents"
        | "InvalidParameter"
        | "InvalidParameterException"
        | "InvalidParameterValue"
        | "InvalidRange"
        | "InvalidRequest"
        | "LimitExceededException"
        | "ParameterMaxVersionLimitExceeded"
        | "ParameterPatternMismatchException"
        | "ValidationException"
        | "XAmzContentSHA256Mismatch" => ErrorKind::InvalidInput,
        _ => kind_of_status(status),
    }
}

/// `HeadObject` answers without a body and so without a code, and services grow codes: the status decides then.
fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::PermissionDenied,
        404 => ErrorKind::NotFound,
        409 | 412 => ErrorKind::Conflict,
        413 | 416 => ErrorKind::InvalidInput,
        429 => ErrorKind::RateLimited,
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Unexpected,
    }
}

/// The texts of `error` and what caused it. Not its `Debug`, which prints the body of the answer, and so perhaps a record.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

fn never_connected(error: &(dyn StdError + 'static)) -> bool {
    let mut link = Some(error);
    while let Some(this) = link {
        if this.to_string().starts_with(NEVER_CONNECTED) {
            return true;
        }
        link = this.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_every_protocol_mean_what_a_caller_can_do() {
        for (code, status, kind) in [
            ("com.amazonaws.dynamodb.v20120810#ThrottlingException", 400, ErrorKind::RateLimited),
            ("AWS.SimpleQueueService.NonExistentQueue", 400, ErrorKind::NotFound),
            ("SlowDown", 503, ErrorKind::RateLimited),
            ("PreconditionFailed", 412, ErrorKind::Conflict),
            ("", 404, ErrorKind::NotFound),
            ("InternalServerError", 500, ErrorKind::Unavailable),
            ("SomethingNew", 400, ErrorKind::Unexpected),
        ] {
            assert_eq!(kind_of_code(code, status), kind, "{code} {status}");
        }
    }
}
