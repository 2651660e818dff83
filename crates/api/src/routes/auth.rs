//! Accounts and tokens: one file per resource.

pub(crate) mod codes;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod mfa;
pub(crate) mod profile;
pub(crate) mod sessions;
pub(crate) mod sign_in;

use actix_web::web;
use domain::ids::UserId;
use jiff::SignedDuration;
use ports::{Denial, Email, SessionInfo, SignIn, SignInContext, denial};
use secrecy::SecretString;
use serde::Serialize;
use utoipa::ToSchema;

use super::resource;
use crate::{
    extract::{Authenticated, Ctx, Peer},
    problem::{Problem, ProblemKind},
};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(resource("/auth/register").route(web::post().to(sign_in::register)))
        .service(resource("/auth/login").route(web::post().to(sign_in::login)))
        .service(resource("/auth/challenge").route(web::post().to(sign_in::challenge)))
        .service(resource("/auth/refresh").route(web::post().to(sign_in::refresh)))
        .service(resource("/auth/logout").route(web::post().to(sign_in::logout)))
        .service(resource("/auth/confirm-email").route(web::post().to(codes::confirm_email)))
        .service(resource("/auth/resend-confirmation").route(web::post().to(codes::resend_confirmation)))
        .service(resource("/auth/forgot-password").route(web::post().to(codes::forgot_password)))
        .service(resource("/auth/reset-password").route(web::post().to(codes::reset_password)))
        .service(resource("/auth/mfa").route(web::get().to(mfa::state)).route(web::delete().to(mfa::disable)))
        .service(resource("/auth/mfa/setup").route(web::post().to(mfa::set_up)))
        .service(resource("/auth/mfa/verify").route(web::post().to(mfa::verify)))
        .service(
            resource("/auth/sessions")
                .route(web::get().to(sessions::list))
                .route(web::delete().to(sessions::end_others)),
        )
        .service(resource("/auth/sessions/{session_id}").route(web::delete().to(sessions::end)))
        .service(
            resource("/auth/me").route(web::get().to(profile::me)).route(web::put().to(profile::update_me)),
        )
        .service(resource("/auth/health").route(web::get().to(health::health)));
}

/// A sentence for people.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageResponse {
    #[schema(example = "Signed out")]
    pub message: String,
}

/// What became of a request.
#[derive(Serialize, ToSchema)]
pub(crate) struct StatusResponse {
    #[schema(example = "accepted")]
    status: &'static str,
}

/// Refuses what only the issuer of somebody's token can do.
fn kept_here(user: &Authenticated) -> Result<(), Problem> {
    match &user.external {
        None => Ok(()),
        Some(account) => {
            let detail = format!("this account is kept by {}: do it there", account.provider);
            Err(Problem::new(ProblemKind::Forbidden).detail(detail))
        }
    }
}

const NAME_CHARACTERS_MAX: usize = 200;

fn email(text: &str) -> Result<Email, Problem> {
    Email::parse(text).ok_or_else(|| Problem::field("/email", "not an e-mail address"))
}

fn check_name(name: Option<&str>) -> Result<(), Problem> {
    if name.is_some_and(|name| name.chars().count() > NAME_CHARACTERS_MAX) {
        let detail = format!("a name has at most {NAME_CHARACTERS_MAX} characters");
        return Err(Problem::field("/display_name", detail));
    }
    Ok(())
}

/// Lets only those do what hands an account over who gave its password lately or give it now: a token alone may be stolen.
async fn check_owner(
    context: &Ctx,
    user: &Authenticated,
    peer: &Peer,
    password: Option<&SecretString>,
) -> Result<(), Problem> {
    if let Some(password) = password {
        return check_password(context, user.user_id, peer, password).await;
    }
    let platform = &context.app.platform;
    let lately = SignedDuration::from_secs(context.config.identity.password_asked_after_s);
    let now = platform.clock.now();
    let sessions = platform.sessions.sessions(user.user_id).await?;
    let is_new = |session: &SessionInfo| now.duration_since(session.created_at) < lately;
    if sessions.iter().any(|session| session.id == user.session_id && is_new(session)) {
        return Ok(());
    }
    Err(Problem::field("/password", "the sign-in was too long ago to do this without the password"))
}

/// Checks the password of the caller, as signing in does. The session that this begins ends with it.
pub(crate) async fn check_password(
    context: &Ctx,
    user: UserId,
    peer: &Peer,
    password: &SecretString,
) -> Result<(), Problem> {
    let identity = &context.app.platform.identity;
    let profile = identity.profile(user).await?;
    let profile = profile.ok_or_else(|| Problem::new(ProblemKind::WrongCredentials))?;
    let from = SignInContext { address: Some(peer.0), ..SignInContext::default() };
    match identity.sign_in(&profile.email, password, &from).await {
        Ok(SignIn::Tokens(tokens)) => Ok(identity.sign_out(user, tokens.session_id).await?),
        // It asks for more only whoever knows the password.
        Ok(SignIn::Challenge { .. }) => Ok(()),
        // Said only to them as well.
        Err(error) if denial(&error) == Some(Denial::EmailNotVerified) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
