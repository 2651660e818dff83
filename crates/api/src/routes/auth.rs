//! Accounts and tokens: one file per resource.

pub(crate) mod codes;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod mfa;
pub(crate) mod profile;
pub(crate) mod sessions;
pub(crate) mod sign_in;

use actix_web::web;
use ports::Email;
use serde::Serialize;
use utoipa::ToSchema;

use super::resource;
use crate::{
    extract::Authenticated,
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
