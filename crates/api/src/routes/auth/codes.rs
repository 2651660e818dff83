//! Codes by mail. Nothing here tells whether an address has an account: not the answer, and not the time it takes.

use actix_web::HttpResponse;
use ports::password_fault;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{StatusResponse, email};
use crate::{
    extract::{Ctx, Json, Peer},
    problem::{Problem, ProblemBody},
};

/// A code that came by mail.
#[derive(Deserialize, ToSchema)]
pub(crate) struct EmailConfirmationRequest {
    #[schema(example = "anna@example.org")]
    email: String,
    /// Six digits.
    #[schema(value_type = String, example = "271828")]
    code: SecretString,
}

/// Who needs another code.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ResendConfirmationRequest {
    #[schema(example = "anna@example.org")]
    email: String,
}

/// Who forgot their password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ForgotPasswordRequest {
    #[schema(example = "anna@example.org")]
    email: String,
}

/// A code that came by mail, and the password to come.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ResetPasswordRequest {
    #[schema(example = "anna@example.org")]
    email: String,
    /// Six digits.
    #[schema(value_type = String, example = "271828")]
    code: SecretString,
    /// At least 8 characters, and in no list of stolen passwords.
    #[schema(value_type = String, format = Password, min_length = 8, example = "correct horse battery")]
    new_password: SecretString,
}

fn done(status: &'static str) -> HttpResponse {
    HttpResponse::Ok().json(StatusResponse { status })
}

/// Confirm an address with the code that was mailed to it.
#[utoipa::path(post, path = "/api/v1/auth/confirm-email", tag = "auth", request_body = EmailConfirmationRequest, responses(
    (status = 200, description = "The address is confirmed", body = StatusResponse),
    (status = 422, description = "The code is wrong or too old, or nobody signed up with the address", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn confirm_email(
    context: Ctx,
    peer: Peer,
    body: Json<EmailConfirmationRequest>,
) -> Result<HttpResponse, Problem> {
    context.limiter.code(peer.0).await?;
    let Json(EmailConfirmationRequest { email: address, code }) = body;
    context.app.platform.identity.confirm(&email(&address)?, code.expose_secret()).await?;
    Ok(done("confirmed"))
}

/// Mail another code, if somebody signed up with the address and did not confirm it.
#[utoipa::path(post, path = "/api/v1/auth/resend-confirmation", tag = "auth", request_body = ResendConfirmationRequest, responses(
    (status = 200, description = "Taken, whether or not there is somebody to mail to", body = StatusResponse),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn resend_confirmation(
    context: Ctx,
    peer: Peer,
    body: Json<ResendConfirmationRequest>,
) -> Result<HttpResponse, Problem> {
    context.limiter.code(peer.0).await?;
    context.app.platform.identity.resend(&email(&body.0.email)?).await?;
    Ok(done("accepted"))
}

/// Mail a code for a new password, if somebody has the address.
#[utoipa::path(post, path = "/api/v1/auth/forgot-password", tag = "auth", request_body = ForgotPasswordRequest, responses(
    (status = 200, description = "Taken, whether or not there is somebody to mail to", body = StatusResponse),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn forgot_password(
    context: Ctx,
    peer: Peer,
    body: Json<ForgotPasswordRequest>,
) -> Result<HttpResponse, Problem> {
    context.limiter.code(peer.0).await?;
    context.app.platform.identity.forgot(&email(&body.0.email)?).await?;
    Ok(done("accepted"))
}

/// Set a new password with the code that was mailed. All sessions end.
#[utoipa::path(post, path = "/api/v1/auth/reset-password", tag = "auth", request_body = ResetPasswordRequest, responses(
    (status = 200, description = "The new password holds", body = StatusResponse),
    (status = 422, description = "The code is wrong or too old, nobody has the address, or the password is not fit", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn reset_password(
    context: Ctx,
    peer: Peer,
    body: Json<ResetPasswordRequest>,
) -> Result<HttpResponse, Problem> {
    context.limiter.code(peer.0).await?;
    let Json(ResetPasswordRequest { email: address, code, new_password }) = body;
    let address = email(&address)?;
    let reset = context.app.platform.identity.reset(&address, code.expose_secret(), &new_password).await;
    reset.map_err(|error| match password_fault(&error) {
        Some(fault) => Problem::field("/new_password", fault.to_string()),
        None => error.into(),
    })?;
    Ok(done("password_reset"))
}
