//! Accounts and tokens.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use app::accounts::SignUp;
use ports::{Email, ExternalAccount, Profile, ProfileUpdate, Role, SignIn, SignInContext, Tokens};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{openapi::schemas, resource, seconds};
use crate::{
    extract::{Authenticated, Ctx, Json, Peer, bearer, parse},
    problem::{Problem, ProblemBody, ProblemKind},
};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(resource("/auth/register").route(web::post().to(register)))
        .service(resource("/auth/login").route(web::post().to(login)))
        .service(resource("/auth/refresh").route(web::post().to(refresh)))
        .service(resource("/auth/logout").route(web::post().to(logout)))
        .service(resource("/auth/me").route(web::get().to(me)).route(web::put().to(update_me)));
}

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
    #[schema(value_type = String, format = Password)]
    password: SecretString,
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

/// A challenge in place of tokens.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChallengeResponse {
    challenge: String,
    session: String,
}

/// What a refresh may carry in place of a bearer token.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RefreshRequest {
    #[schema(value_type = String)]
    refresh_token: SecretString,
}

/// A sentence for people.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageResponse {
    #[schema(example = "Signed out")]
    pub message: String,
}

/// Who the caller is. `id`, `first_name`, `last_name` and `created_at` are what newer apps read.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserInfo {
    user_id: String,
    email: Option<String>,
    email_verified: bool,
    display_name: Option<String>,
    #[schema(example = "local")]
    auth_provider: String,
    #[schema(example = json!(["user"]))]
    roles: Vec<&'static str>,
    id: String,
    #[schema(example = "2026-03-01T08:00:00Z")]
    created_at: String,
}

/// What the caller changes. An absent field stays; a `null` name is taken away.
#[derive(Deserialize, ToSchema)]
pub(crate) struct UserUpdate {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    #[expect(clippy::option_option, reason = "absent, null and a name are three things")]
    display_name: Option<Option<String>>,
    email: Option<String>,
}

/// What was changed.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserUpdateResponse {
    user_id: String,
    email: Option<String>,
    display_name: Option<String>,
    updated: bool,
}

#[expect(clippy::option_option, reason = "absent, null and a name are three things")]
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn email(text: &str) -> Result<Email, Problem> {
    Email::parse(text).ok_or_else(|| Problem::field("/email", "not an e-mail address"))
}

fn from(peer: &Peer) -> SignInContext {
    SignInContext { address: Some(peer.0), ..SignInContext::default() }
}

fn tokens(tokens: &Tokens) -> HttpResponse {
    HttpResponse::Ok().json(TokenResponse {
        access_token: tokens.access_token.expose_secret().to_owned(),
        refresh_token: tokens.refresh_token.expose_secret().to_owned(),
        token_type: "bearer",
        expires_in: tokens.expires_in_seconds,
        scope: None,
    })
}

fn signed_in(sign_in: &SignIn) -> HttpResponse {
    match sign_in {
        SignIn::Tokens(pair) => tokens(pair),
        SignIn::Challenge { kind, session } => HttpResponse::Ok().json(ChallengeResponse {
            challenge: format!("{kind:?}"),
            session: session.expose_secret().to_owned(),
        }),
    }
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
    context.limiter.registration(peer.0)?;
    let Json(UserRegister { email: address, password, display_name }) = body;
    let address = email(&address)?;
    if display_name.as_ref().is_some_and(|name| name.chars().count() > 200) {
        return Err(Problem::field("/display_name", "a name has at most 200 characters"));
    }
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
    (status = 200, description = "Tokens", body = TokenResponse),
    (status = 401, description = "Wrong e-mail or password", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The address is not confirmed", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Locked, or too many attempts", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn login(context: Ctx, peer: Peer, body: Json<UserLogin>) -> Result<HttpResponse, Problem> {
    context.limiter.login(peer.0)?;
    // What is no address has no account: the same answer as for an unknown one.
    let Some(address) = Email::parse(&body.0.email) else {
        return Err(Problem::new(ProblemKind::WrongCredentials));
    };
    let from = from(&peer);
    Ok(signed_in(&context.app.platform.identity.sign_in(&address, &body.0.password, &from).await?))
}

/// Trade a refresh token, in the body or as the bearer token, for new tokens.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", request_body = Option<RefreshRequest>, responses(
    (status = 200, body = TokenResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn refresh(
    context: Ctx,
    request: HttpRequest,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let token = if body.is_empty() {
        bearer(&request).map(SecretString::from).ok_or_else(|| Problem::new(ProblemKind::Unauthorized))?
    } else {
        parse::<RefreshRequest>(&body)?.refresh_token
    };
    Ok(tokens(&context.app.platform.identity.refresh(&token).await?))
}

/// End this session: its access and refresh tokens stop working at once.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", security(("bearer" = [])), responses(
    (status = 200, body = MessageResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn logout(context: Ctx, user: Authenticated) -> Result<HttpResponse, Problem> {
    context.app.sign_out(user.user_id, user.session_id, user.external.as_deref()).await?;
    Ok(HttpResponse::Ok().json(MessageResponse { message: "Signed out".to_owned() }))
}

/// The caller's profile.
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "auth", security(("bearer" = [])), responses(
    (status = 200, body = UserInfo),
    (status = 401, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn me(context: Ctx, user: Authenticated) -> Result<HttpResponse, Problem> {
    if let Some(account) = &user.external {
        return Ok(HttpResponse::Ok().json(external_info(&user, account)));
    }
    let profile = context.app.platform.identity.profile(user.user_id).await?;
    // A token outlives its user by moments at most; then it is a token of nobody.
    let profile = profile.ok_or_else(|| Problem::new(ProblemKind::Unauthorized))?;
    Ok(HttpResponse::Ok().json(info(&context, profile)))
}

/// Change the caller's profile.
#[utoipa::path(put, path = "/api/v1/auth/me", tag = "auth", security(("bearer" = [])), request_body = UserUpdate, responses(
    (status = 200, body = UserUpdateResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The profile is kept by the issuer of the token", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "The address has another account", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn update_me(
    context: Ctx,
    user: Authenticated,
    body: Json<UserUpdate>,
) -> Result<HttpResponse, Problem> {
    if let Some(account) = &user.external {
        let detail = format!("this profile is kept by {}: change it there", account.provider);
        return Err(Problem::new(ProblemKind::Forbidden).detail(detail));
    }
    let address = body.0.email.as_deref().map(email).transpose()?;
    let update = ProfileUpdate { display_name: body.0.display_name, email: address, expected_version: None };
    let updated = update != ProfileUpdate::default();
    let profile = context.app.platform.identity.update(user.user_id, update).await?;
    Ok(HttpResponse::Ok().json(UserUpdateResponse {
        user_id: profile.user_id.to_string(),
        email: Some(profile.email.expose().to_owned()),
        display_name: profile.display_name,
        updated,
    }))
}

/// The public keys of the tokens issued here.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "auth", responses(
    (status = 200, description = "RFC 7517 key set", body = schemas::KeySet),
    (status = 404, description = "The issuer publishes its keys itself", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn jwks(context: Ctx) -> Result<HttpResponse, Problem> {
    let keys =
        context.app.platform.tokens.jwks().await?.ok_or_else(|| Problem::new(ProblemKind::NotFound))?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=300")).json(keys))
}

/// What the token says of someone whose profile is elsewhere.
fn external_info(user: &Authenticated, account: &ExternalAccount) -> UserInfo {
    UserInfo {
        user_id: user.user_id.to_string(),
        id: user.user_id.to_string(),
        email: account.email.as_ref().map(|email| email.expose().to_owned()),
        email_verified: account.email_verified,
        display_name: None,
        auth_provider: account.provider.clone(),
        roles: user.roles.iter().copied().map(Role::as_str).collect(),
        created_at: seconds(account.since),
    }
}

fn info(context: &Ctx, profile: Profile) -> UserInfo {
    UserInfo {
        user_id: profile.user_id.to_string(),
        id: profile.user_id.to_string(),
        email: Some(profile.email.expose().to_owned()),
        email_verified: profile.email_verified,
        display_name: profile.display_name,
        auth_provider: context.config.providers.identity.as_str().to_owned(),
        roles: profile.roles.into_iter().map(Role::as_str).collect(),
        created_at: seconds(profile.created_at),
    }
}
