//! What Cognito's exceptions mean: one table. A cause names the exception alone, for its message may quote what was sent.

use std::error::Error as StdError;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use ports::{Denial, Error, ErrorKind, PasswordFault};

use crate::error::{Attempts, code, of_read, of_write};

/// What a call was about, by which the same exception means different things.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum About {
    /// An address and a password.
    Credentials,
    /// A code that was mailed or that an app shows.
    Code,
    /// A refresh token, an access token or the session of a challenge.
    Token,
    /// An account that the service itself names.
    Account,
}

/// Cognito does not say how long it locks an account: from a second up to this.
const LOCKED_SECONDS: u64 = 15 * 60;

enum Meaning {
    Denied(Denial),
    Password,
    Kind(ErrorKind),
}

/// The error of a call that changes nothing.
pub(super) fn reading<E>(operation: &'static str, about: About, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    told(operation, about, error).unwrap_or_else(|| of_read(operation, error))
}

/// The error of a call that changes something.
pub(super) fn writing<E>(
    operation: &'static str,
    about: About,
    attempts: &Attempts,
    error: &SdkError<E, HttpResponse>,
) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let general = of_write(operation, attempts, error);
    match told(operation, about, error) {
        Some(told) => told.with_outcome(general.outcome()),
        None => general,
    }
}

/// Whether Cognito answered with the exception `name`.
pub(super) fn is<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, name: &str) -> bool {
    code(error) == Some(name)
}

/// The error where Cognito answered; `None` where it did not.
fn told<E>(operation: &'static str, about: About, error: &SdkError<E, HttpResponse>) -> Option<Error>
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let name = code(error)?;
    let message = error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default();
    Some(match meaning(about, name, message) {
        Meaning::Denied(denial) => denied(operation, denial),
        Meaning::Password => {
            Error::new(ErrorKind::InvalidInput, operation).with_cause(PasswordFault::Refused)
        }
        Meaning::Kind(kind) => Error::new(kind, operation).with_cause(format!("Cognito answered {name}")),
    })
}

pub(super) fn denied(operation: &'static str, denial: Denial) -> Error {
    let kind = match denial {
        Denial::Locked { .. } => ErrorKind::RateLimited,
        Denial::WrongCredentials
        | Denial::EmailNotVerified
        | Denial::Disabled
        | Denial::WrongCode
        | Denial::InvalidToken => ErrorKind::PermissionDenied,
    };
    Error::new(kind, operation).with_cause(denial)
}

/// The table.
fn meaning(about: About, name: &str, message: &str) -> Meaning {
    let locked = Meaning::Denied(Denial::Locked { retry_after_seconds: LOCKED_SECONDS });
    match name {
        // One exception for all that is wrong with a sign-in; only its message tells these apart.
        "NotAuthorizedException" | "UnauthorizedException" if message.contains("attempts exceeded") => locked,
        "NotAuthorizedException" if message.contains("disabled") && about != About::Account => {
            Meaning::Denied(Denial::Disabled)
        }
        "UserNotFoundException" if about == About::Account => Meaning::Kind(ErrorKind::NotFound),
        "NotAuthorizedException" | "UnauthorizedException" | "UserNotFoundException" => stranger(about),
        "UserNotConfirmedException" => Meaning::Denied(Denial::EmailNotVerified),
        "CodeMismatchException" | "ExpiredCodeException" | "EnableSoftwareTokenMFAException" => {
            Meaning::Denied(Denial::WrongCode)
        }
        "RefreshTokenReuseException" | "UnsupportedTokenTypeException" => {
            Meaning::Denied(Denial::InvalidToken)
        }
        "TooManyFailedAttemptsException" => locked,
        "InvalidPasswordException" if about == About::Credentials => {
            Meaning::Denied(Denial::WrongCredentials)
        }
        "InvalidPasswordException" | "PasswordHistoryPolicyViolationException" => Meaning::Password,
        "UsernameExistsException" | "AliasExistsException" => Meaning::Kind(ErrorKind::Conflict),
        "SoftwareTokenMFANotFoundException" => Meaning::Kind(ErrorKind::NotFound),
        "LimitExceededException" | "TooManyRequestsException" => Meaning::Kind(ErrorKind::RateLimited),
        "InternalErrorException"
        | "ConcurrentModificationException"
        | "CodeDeliveryFailureException"
        | "UnexpectedLambdaException" => Meaning::Kind(ErrorKind::Unavailable),
        "InvalidParameterException" | "UserLambdaValidationException" => {
            Meaning::Kind(ErrorKind::InvalidInput)
        }
        "ForbiddenException" | "PasswordResetRequiredException" | "AccessDeniedException" => {
            Meaning::Kind(ErrorKind::PermissionDenied)
        }
        // The rest is a pool, a client, a group or a trigger that is not as it must be; a caller can do nothing.
        _ => Meaning::Kind(ErrorKind::Unexpected),
    }
}

/// The answer to whoever is not who they say: the same for an unknown address as for a known one.
fn stranger(about: About) -> Meaning {
    match about {
        About::Credentials => Meaning::Denied(Denial::WrongCredentials),
        About::Code => Meaning::Denied(Denial::WrongCode),
        About::Token => Meaning::Denied(Denial::InvalidToken),
        About::Account => Meaning::Kind(ErrorKind::PermissionDenied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(about: About, name: &str, message: &str) -> Option<Denial> {
        match meaning(about, name, message) {
            Meaning::Denied(denial) => Some(denial),
            Meaning::Password | Meaning::Kind(_) => None,
        }
    }

    fn kind(about: About, name: &str) -> Option<ErrorKind> {
        match meaning(about, name, "") {
            Meaning::Kind(kind) => Some(kind),
            Meaning::Denied(_) | Meaning::Password => None,
        }
    }

    #[test]
    fn an_unknown_address_is_the_same_as_a_wrong_password_code_or_token() {
        for (about, expected) in [
            (About::Credentials, Denial::WrongCredentials),
            (About::Code, Denial::WrongCode),
            (About::Token, Denial::InvalidToken),
        ] {
            for name in ["UserNotFoundException", "NotAuthorizedException"] {
                assert_eq!(denial(about, name, "Incorrect username or password."), Some(expected));
            }
        }
        assert_eq!(kind(About::Account, "UserNotFoundException"), Some(ErrorKind::NotFound));
    }

    #[test]
    fn one_exception_with_several_messages_is_told_apart() {
        let denial = |message| denial(About::Credentials, "NotAuthorizedException", message);
        assert_eq!(denial("User is disabled."), Some(Denial::Disabled));
        assert!(matches!(denial("Password attempts exceeded"), Some(Denial::Locked { .. })));
        assert_eq!(denial("anything else"), Some(Denial::WrongCredentials));
    }

    #[test]
    fn throttling_may_be_asked_again_and_a_missing_pool_may_not() {
        for name in ["TooManyRequestsException", "LimitExceededException"] {
            assert_eq!(kind(About::Credentials, name), Some(ErrorKind::RateLimited));
        }
        for name in ["ResourceNotFoundException", "InvalidUserPoolConfigurationException", "SomethingNew"] {
            assert_eq!(kind(About::Account, name), Some(ErrorKind::Unexpected), "{name}");
        }
        assert_eq!(kind(About::Account, "InternalErrorException"), Some(ErrorKind::Unavailable));
    }

    #[test]
    fn a_password_that_the_pool_refuses_is_a_fault_of_the_password() {
        assert!(matches!(meaning(About::Code, "InvalidPasswordException", ""), Meaning::Password));
    }
}
