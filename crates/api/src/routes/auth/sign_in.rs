//! Signing up, in and out.

use actix_web::{HttpRequest, HttpResponse};
use app::accounts::SignUp;
use ports::{ChallengeKind, Denial, Email, ErrorKind, SignIn, SignInContext, Tokens, denial};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{MessageResponse, check_name, email};
use crate::{
    extract::{Authenticated, Ctx, Json, OptionalJson, Peer, bearer},
    problem::{Problem, ProblemBody, ProblemKind},
    terms::Terms,
};

/// Who signs up.
#[derive(Deserialize, ToSchema)]
pub(crate) struct UserRegister {
    #[schema(example = "anna@example.org")]
    email: String,
    /// At least 8 characters.
    #[schema(value_type = String, format = Password, min_length = 8)]
    password: SecretString,
    #[schema(example = "Anna")]
    display_name: Option<String>,
}

/// Who signs in.
#[derive(Deserialize, ToSchema)]
pub(crate) struct UserLogin {
    #[schema(example = "anna@example.org")]
    email: String,
    #[schema(value_type = String, format = Password, example = "correct horse battery")]
    password: SecretString,
    /// Whether the session lasts although it is not used for a while.
    #[serde(default)]
    remember_me: Option<bool>,
    /// What the device is, for the list of sessions: its name, or an object with `name`, `model` or `device_model`.
    device_info: Option<DeviceInfo>,
}

/// The name of a device, or what a phone says of itself.
#[derive(Deserialize, ToSchema)]
#[schema(as = SignInDevice)]
#[serde(untagged)]
pub(crate) enum DeviceInfo {
    #[schema(example = "Anna's iPhone")]
    Name(String),
    #[schema(value_type = Object, example = json!({ "name": "Anna's iPhone", "model": "iPhone15,2" }))]
    Device(serde_json::Map<String, Value>),
}

/// A pair of tokens.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenResponse {
    /// A JWT, for `Authorization: Bearer`.
    access_token: String,
    /// Good for one refresh.
    refresh_token: String,
    #[schema(example = "bearer")]
    token_type: &'static str,
    /// Seconds until the access token's end.
    #[schema(example = 3600)]
    expires_in: u64,
    scope: Option<String>,
}

/// Signing up needs one more step.
#[derive(Serialize, ToSchema)]
pub(crate) struct VerificationRequired {
    requires_email_verification: bool,
    message: &'static str,
}

/// What is asked of somebody before they get tokens.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Challenge {
    /// The code that an authenticator app shows, or a recovery code.
    SoftwareTokenMfa,
    /// A code by text message.
    SmsMfa,
    /// A new password in place of a temporary one.
    NewPasswordRequired,
}

impl From<ChallengeKind> for Challenge {
    fn from(kind: ChallengeKind) -> Self {
        match kind {
            ChallengeKind::SoftwareTokenMfa => Self::SoftwareTokenMfa,
            ChallengeKind::SmsMfa => Self::SmsMfa,
            ChallengeKind::NewPasswordRequired => Self::NewPasswordRequired,
        }
    }
}

impl From<Challenge> for ChallengeKind {
    fn from(challenge: Challenge) -> Self {
        match challenge {
            Challenge::SoftwareTokenMfa => Self::SoftwareTokenMfa,
            Challenge::SmsMfa => Self::SmsMfa,
            Challenge::NewPasswordRequired => Self::NewPasswordRequired,
        }
    }
}

/// A challenge in place of tokens.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChallengeResponse {
    challenge: Challenge,
    /// Names this sign-in in the answer; good for some minutes.
    #[schema(example = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA")]
    session: String,
}

/// What follows the right password: tokens, or one more question.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum LoginResponse {
    Tokens(TokenResponse),
    Challenge(ChallengeResponse),
}

/// The answer to a challenge.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ChallengeRequest {
    /// As the sign-in answered it.
    #[schema(value_type = String, example = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA")]
    session: SecretString,
    challenge: Challenge,
    #[schema(value_type = String, example = "271828")]
    code: SecretString,
}

/// What a refresh may carry in place of a bearer token.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RefreshRequest {
    #[schema(value_type = String)]
    refresh_token: SecretString,
}

/// A longer name of a device is cut.
const DEVICE_CHARACTERS_MAX: usize = 200;

/// What the list of sessions calls a device. Of all that a phone tells of itself only this is kept.
fn device(info: Option<&DeviceInfo>) -> Option<String> {
    let name = match info? {
        DeviceInfo::Name(name) => name,
        DeviceInfo::Device(fields) => {
            ["name", "model", "device_model"].iter().find_map(|field| fields.get(*field)?.as_str())?
        }
    };
    let printable = |name: &str| -> String {
        name.trim().chars().filter(|c| !c.is_control()).take(DEVICE_CHARACTERS_MAX).collect()
    };
    Some(printable(name)).filter(|name| !name.is_empty())
}

fn from(peer: &Peer) -> SignInContext {
    SignInContext { address: Some(peer.0), ..SignInContext::default() }
}

fn token_response(tokens: &Tokens) -> TokenResponse {
    TokenResponse {
        access_token: tokens.access_token.expose_secret().to_owned(),
        refresh_token: tokens.refresh_token.expose_secret().to_owned(),
        token_type: "bearer",
        expires_in: tokens.expires_in_seconds,
        scope: None,
    }
}

fn signed_in(sign_in: &SignIn) -> HttpResponse {
    HttpResponse::Ok().json(match sign_in {
        SignIn::Tokens(tokens) => LoginResponse::Tokens(token_response(tokens)),
        SignIn::Challenge { kind, session } => LoginResponse::Challenge(ChallengeResponse {
            challenge: (*kind).into(),
            session: session.expose_secret().to_owned(),
        }),
    })
}

/// Create an account.
#[utoipa::path(post, path = "/api/v1/auth/register", tag = "auth", request_body = UserRegister, responses(
    (status = 200, description = "Signed up and in", body = TokenResponse),
    (status = 202, description = "A code was mailed to the address", body = VerificationRequired),
    (status = 403, description = "Self sign-up is switched off", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "The address has an account", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn register(
    context: Ctx,
    peer: Peer,
    body: Json<UserRegister>,
) -> Result<HttpResponse, Problem> {
    if !context.config.identity.self_sign_up {
        return Err(Problem::new(ProblemKind::SignUpDisabled));
    }
    context.limiter.registration(peer.0).await?;
    let Json(UserRegister { email: address, password, display_name }) = body;
    let address = email(&address)?;
    check_name(display_name.as_deref())?;
    match context.app.sign_up(address, password, display_name, &from(&peer)).await? {
        SignUp::SignedIn(sign_in) => Ok(signed_in(&sign_in)),
        SignUp::ConfirmationRequired => Ok(HttpResponse::Accepted().json(VerificationRequired {
            requires_email_verification: true,
            message: "A code was sent to the address",
        })),
    }
}

/// Sign in.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", request_body = UserLogin, responses(
    (status = 200, description = "Tokens, or a challenge where a second factor is on", body = LoginResponse),
    (status = 401, description = "Wrong e-mail or password", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The address is not confirmed, or the account is disabled", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Locked, or too many attempts", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn login(context: Ctx, peer: Peer, body: Json<UserLogin>) -> Result<HttpResponse, Problem> {
    context.limiter.login(peer.0).await?;
    // What is no address has no account: the same answer as for an unknown one.
    let Some(address) = Email::parse(&body.0.email) else {
        return Err(Problem::new(ProblemKind::WrongCredentials));
    };
    let device = device(body.0.device_info.as_ref());
    let remember_me = body.0.remember_me.unwrap_or_default();
    let from = SignInContext { address: Some(peer.0), device, remember_me };
    Ok(signed_in(&context.app.platform.identity.sign_in(&address, &body.0.password, &from).await?))
}

/// Answer the challenge of a sign-in.
#[utoipa::path(post, path = "/api/v1/auth/challenge", tag = "auth", request_body = ChallengeRequest, responses(
    (status = 200, description = "Tokens, or the next challenge", body = LoginResponse),
    (status = 401, description = "The code is wrong, or the session is not valid", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The account is disabled", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Locked, or too many attempts", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn challenge(
    context: Ctx,
    peer: Peer,
    body: Json<ChallengeRequest>,
) -> Result<HttpResponse, Problem> {
    context.limiter.login(peer.0).await?;
    let Json(ChallengeRequest { session, challenge, code }) = body;
    let identity = &context.app.platform.identity;
    let answered = identity.respond(&session, challenge.into(), &code, &from(&peer)).await;
    Ok(signed_in(&answered.map_err(refused)?))
}

/// A wrong code fails a sign-in, as a wrong password does.
fn refused(error: ports::Error) -> Problem {
    match (denial(&error), error.kind()) {
        (Some(Denial::WrongCode), _) => Problem::new(ProblemKind::WrongCode),
        (None, ErrorKind::InvalidInput) => Problem::field("/challenge", "this was not asked for"),
        _ => error.into(),
    }
}

/// Trade a refresh token, in the body or as the bearer token, for new tokens.
///
/// A refresh token is good for one trade: using it again ends the session, since somebody else may have it. Only a trade whose
/// reply got lost is answered again, with the same refresh token, to whoever sends the same `Idempotency-Key`, until that
/// token is used.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", request_body = Option<RefreshRequest>,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and token answer the same refresh token again")), responses(
    (status = 200, body = TokenResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The account is disabled", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn refresh(
    context: Ctx,
    request: HttpRequest,
    terms: Terms,
    body: OptionalJson<RefreshRequest>,
) -> Result<HttpResponse, Problem> {
    let token = match body.0 {
        Some(body) => body.refresh_token,
        None => {
            bearer(&request).map(SecretString::from).ok_or_else(|| Problem::new(ProblemKind::Unauthorized))?
        }
    };
    let tokens = context.app.platform.identity.refresh(&token, terms.key()).await?;
    Ok(HttpResponse::Ok().json(token_response(&tokens)))
}

/// End this session: its access and refresh tokens stop working at once.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", security(("bearer" = [])), responses(
    (status = 200, body = MessageResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn logout(context: Ctx, user: Authenticated) -> Result<HttpResponse, Problem> {
    context.app.sign_out(user.user_id, user.session_id, user.external.as_deref()).await?;
    Ok(HttpResponse::Ok().json(MessageResponse { message: "Signed out".to_owned() }))
}
