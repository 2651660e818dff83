//! Who the caller is.

use actix_web::{HttpRequest, HttpResponse, http::header};
use ports::{ErrorKind, ExternalAccount, Profile, ProfileUpdate, Role};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{check_name, check_owner, email, kept_here};
use crate::{
    extract::{Authenticated, Ctx, Json, Peer},
    middleware::conditional::Tags,
    problem::{Problem, ProblemBody, ProblemKind},
    routes::seconds,
};

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
    /// Nobody is asked for it: `null`.
    first_name: Option<String>,
    /// Nobody is asked for it: `null`.
    last_name: Option<String>,
    #[schema(example = "2026-03-01T08:00:00Z")]
    created_at: String,
}

/// What the caller changes. An absent field stays; a `null` name is taken away.
#[derive(Deserialize, ToSchema)]
pub(crate) struct UserUpdate {
    /// At most 200 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 200, example = "Anna")]
    #[expect(clippy::option_option, reason = "absent, null and a name are three things")]
    display_name: Option<Option<String>>,
    /// Unconfirmed at first, where addresses are confirmed.
    #[schema(example = "anna@example.org")]
    email: Option<String>,
    /// For another address, when the sign-in was more than ten minutes ago: codes that reset the password go there.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
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

/// The tag of a profile as it is now. Two accounts on one phone never share one.
fn etag(profile: &Profile) -> String {
    format!("\"{}-{}\"", profile.user_id.0.simple(), profile.version)
}

async fn profile_of(context: &Ctx, user: &Authenticated) -> Result<Profile, Problem> {
    let profile = context.app.platform.identity.profile(user.user_id).await?;
    // A token outlives its user by moments at most; then it is a token of nobody.
    profile.ok_or_else(|| Problem::new(ProblemKind::Unauthorized))
}

/// The caller's profile.
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "auth", security(("bearer" = [])), responses(
    (status = 200, body = UserInfo, headers(("ETag" = String, description = "For `If-Match` of a change"))),
    (status = 401, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn me(context: Ctx, user: Authenticated) -> Result<HttpResponse, Problem> {
    if let Some(account) = &user.external {
        return Ok(HttpResponse::Ok().json(external_info(&user, account)));
    }
    let profile = profile_of(&context, &user).await?;
    let tag = etag(&profile);
    Ok(HttpResponse::Ok().insert_header((header::ETAG, tag)).json(info(&context, profile)))
}

/// Change the caller's profile. With `If-Match`, only if it still is as the caller knows it.
#[utoipa::path(put, path = "/api/v1/auth/me", tag = "auth", security(("bearer" = [])), request_body = UserUpdate,
    params(("If-Match" = Option<String>, Header, description = "The `ETag` of the profile that is changed")), responses(
    (status = 200, body = UserUpdateResponse),
    (status = 401, description = "The token is not valid, or the password is wrong", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The profile is kept by the issuer of the token", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "The address has another account", body = ProblemBody, content_type = "application/problem+json"),
    (status = 412, description = "The profile was changed meanwhile", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Too many new addresses, or locked after too many wrong passwords", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn update_me(
    context: Ctx,
    user: Authenticated,
    peer: Peer,
    request: HttpRequest,
    body: Json<UserUpdate>,
) -> Result<HttpResponse, Problem> {
    kept_here(&user)?;
    let changed_meanwhile = || Problem::new(ProblemKind::PreconditionFailed);
    let address = body.0.email.as_deref().map(email).transpose()?;
    let display_name = body.0.display_name;
    check_name(display_name.as_ref().and_then(Option::as_deref))?;
    let updated = display_name.is_some() || address.is_some();
    if address.is_some() {
        // It mails a code, and tells whether an address is taken.
        context.limiter.code(peer.0).await?;
        check_owner(&context, &user, &peer, body.0.password.as_ref()).await?;
    }
    let before = profile_of(&context, &user).await?;
    let expected_version = match Tags::of(request.headers(), &header::IF_MATCH)? {
        None => None,
        Some(tags) if tags.hold_strongly(&etag(&before)) => Some(before.version),
        Some(_) => return Err(changed_meanwhile()),
    };
    let update = ProfileUpdate { display_name, email: address, expected_version };
    let profile = match context.app.platform.identity.update(user.user_id, update).await {
        Ok(profile) => profile,
        Err(error) if error.kind() == ErrorKind::Conflict && expected_version.is_some() => {
            // Either the address is taken, or somebody was faster.
            let is_unchanged = profile_of(&context, &user).await?.version == before.version;
            return Err(if is_unchanged { error.into() } else { changed_meanwhile() });
        }
        Err(error) => return Err(error.into()),
    };
    Ok(HttpResponse::Ok().json(UserUpdateResponse {
        user_id: profile.user_id.to_string(),
        email: Some(profile.email.expose().to_owned()),
        display_name: profile.display_name,
        updated,
    }))
}

/// What the token says of someone whose profile is elsewhere.
fn external_info(user: &Authenticated, account: &ExternalAccount) -> UserInfo {
    UserInfo {
        user_id: user.user_id.to_string(),
        id: user.user_id.to_string(),
        first_name: None,
        last_name: None,
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
        first_name: None,
        last_name: None,
        created_at: seconds(profile.created_at),
    }
}
