//! The second factor of a sign-in.

use actix_web::HttpResponse;
use ports::ErrorKind;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{check_owner, kept_here};
use crate::{
    extract::{Authenticated, Ctx, Json, OptionalJson, Peer},
    problem::{Problem, ProblemBody, ProblemKind},
};

/// Whether a sign-in asks for a code.
#[derive(Serialize, ToSchema)]
pub(crate) struct MfaState {
    #[schema(example = false)]
    enabled: bool,
}

/// Who asks for a secret.
#[derive(Deserialize, ToSchema)]
pub(crate) struct MfaSetupRequest {
    /// Needed when the sign-in was more than ten minutes ago: whoever has only a token must not lock its owner out.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
}

/// What an authenticator app is given.
#[derive(Serialize, ToSchema)]
pub(crate) struct MfaSetup {
    /// In base32, to be typed in.
    #[schema(example = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")]
    secret: String,
    /// The same, to be scanned.
    #[schema(
        example = "otpauth://totp/clarity:anna%40example.org?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=clarity"
    )]
    otpauth_uri: String,
}

/// What the authenticator app shows.
#[derive(Deserialize, ToSchema)]
pub(crate) struct MfaCode {
    /// Six digits.
    #[schema(value_type = String, example = "271828")]
    code: SecretString,
}

/// What the authenticator app shows, or a recovery code.
#[derive(Deserialize, ToSchema)]
pub(crate) struct MfaCodeOrRecovery {
    /// Six digits, or a recovery code.
    #[schema(value_type = String, example = "271828")]
    code: SecretString,
}

/// Codes for the day the phone is lost. They are shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct MfaEnabled {
    #[schema(example = true)]
    enabled: bool,
    /// Each works once, in place of a code.
    #[schema(example = json!(["abcd-efgh-ijkl-mnop"]))]
    recovery_codes: Vec<String>,
}

/// Whether a sign-in asks for a code.
#[utoipa::path(get, path = "/api/v1/auth/mfa", tag = "auth", security(("bearer" = [])), responses(
    (status = 200, body = MfaState),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The account is kept by the issuer of the token", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn state(context: Ctx, user: Authenticated) -> Result<HttpResponse, Problem> {
    kept_here(&user)?;
    let enabled = context.app.platform.multi_factor.is_on(user.user_id).await?;
    Ok(HttpResponse::Ok().json(MfaState { enabled }))
}

/// Make a secret for an authenticator app. Nothing is asked for before a code of it was verified.
#[utoipa::path(post, path = "/api/v1/auth/mfa/setup", tag = "auth", security(("bearer" = [])), request_body = Option<MfaSetupRequest>, responses(
    (status = 200, body = MfaSetup),
    (status = 401, description = "The token is not valid, or the password is wrong", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The account is kept by the issuer of the token", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "It is on already", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Locked after too many wrong passwords", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn set_up(
    context: Ctx,
    user: Authenticated,
    peer: Peer,
    body: OptionalJson<MfaSetupRequest>,
) -> Result<HttpResponse, Problem> {
    kept_here(&user)?;
    let password = body.0.and_then(|body| body.password);
    check_owner(&context, &user, &peer, password.as_ref()).await?;
    let made = context.app.platform.multi_factor.set_up(user.user_id).await.map_err(gone)?;
    Ok(HttpResponse::Ok().json(MfaSetup {
        secret: made.secret.expose_secret().to_owned(),
        otpauth_uri: made.otpauth_uri.expose_secret().to_owned(),
    }))
}

/// Turn the second factor on, with a code of the secret.
#[utoipa::path(post, path = "/api/v1/auth/mfa/verify", tag = "auth", security(("bearer" = [])), request_body = MfaCode, responses(
    (status = 200, body = MfaEnabled),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The account is kept by the issuer of the token", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "No secret was made within the last minutes", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "It is on already", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "The code is wrong", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn verify(
    context: Ctx,
    user: Authenticated,
    body: Json<MfaCode>,
) -> Result<HttpResponse, Problem> {
    kept_here(&user)?;
    let codes = context.app.platform.multi_factor.verify(user.user_id, &body.0.code).await?;
    let recovery_codes = codes.iter().map(|code| code.expose_secret().to_owned()).collect();
    Ok(HttpResponse::Ok().json(MfaEnabled { enabled: true, recovery_codes }))
}

/// Turn the second factor off, with a code or a recovery code.
#[utoipa::path(delete, path = "/api/v1/auth/mfa", tag = "auth", security(("bearer" = [])), request_body = MfaCodeOrRecovery, responses(
    (status = 200, body = MfaState),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The account is kept by the issuer of the token", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "It is not on", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "The code is wrong", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Locked after too many wrong codes", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn disable(
    context: Ctx,
    user: Authenticated,
    body: Json<MfaCodeOrRecovery>,
) -> Result<HttpResponse, Problem> {
    kept_here(&user)?;
    context.app.platform.multi_factor.disable(user.user_id, &body.0.code).await?;
    Ok(HttpResponse::Ok().json(MfaState { enabled: false }))
}

/// A token outlives its user by moments at most; then it is a token of nobody.
fn gone(error: ports::Error) -> Problem {
    match error.kind() {
        ErrorKind::NotFound => Problem::new(ProblemKind::Unauthorized),
        _ => error.into(),
    }
}
