//! Where somebody is signed in.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use domain::ids::SessionId;
use ports::SessionInfo;
use serde::Serialize;
use utoipa::ToSchema;

use super::{MessageResponse, kept_here};
use crate::{
    extract::{Authenticated, Ctx},
    problem::{Problem, ProblemBody, ProblemKind},
    routes::seconds,
};

/// One sign-in that has not ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionItem {
    #[schema(example = "019b1f6e-0000-7000-8000-000000000000")]
    id: String,
    #[schema(example = "2026-03-01T08:00:00Z")]
    created_at: String,
    /// When it last got tokens.
    #[schema(example = "2026-03-02T09:15:00Z")]
    last_used_at: String,
    /// When it ends unless it is used before.
    #[schema(example = "2026-03-16T09:15:00Z")]
    expires_at: String,
    /// What the device called itself; `null` where it did not.
    #[schema(example = "Anna's iPhone")]
    device: Option<String>,
    /// Whether this request is of it.
    #[schema(example = true)]
    current: bool,
}

/// The sign-ins that have not ended, the one used last first.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionList {
    data: Vec<SessionItem>,
}

/// How many sessions were ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionsEnded {
    #[schema(example = 2)]
    ended: usize,
}

/// The caller's sessions.
#[utoipa::path(get, path = "/api/v1/auth/sessions", tag = "auth", security(("bearer" = [])), responses(
    (status = 200, body = SessionList),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The account is kept by the issuer of the token", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn list(context: Ctx, user: Authenticated) -> Result<HttpResponse, Problem> {
    kept_here(&user)?;
    let item = |session: SessionInfo| SessionItem {
        id: session.id.to_string(),
        created_at: seconds(session.created_at),
        last_used_at: seconds(session.last_used_at),
        expires_at: seconds(session.expires_at),
        device: session.device,
        current: session.id == user.session_id,
    };
    let sessions = context.app.platform.sessions.sessions(user.user_id).await?;
    Ok(HttpResponse::Ok().json(SessionList { data: sessions.into_iter().map(item).collect() }))
}

/// End one of the caller's sessions: its tokens stop working at once.
#[utoipa::path(delete, path = "/api/v1/auth/sessions/{session_id}", tag = "auth", security(("bearer" = [])),
    params(("session_id" = String, Path, example = "019b1f6e-0000-7000-8000-000000000000")), responses(
    (status = 200, body = MessageResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The account is kept by the issuer of the token", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "The caller has no such session", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn end(
    context: Ctx,
    user: Authenticated,
    session_id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    kept_here(&user)?;
    let not_found = || Problem::new(ProblemKind::NotFound);
    let session_id: SessionId = session_id.parse().map_err(|_hidden| not_found())?;
    let sessions = context.app.platform.sessions.sessions(user.user_id).await?;
    if !sessions.iter().any(|session| session.id == session_id) {
        return Err(not_found());
    }
    context.app.platform.identity.sign_out(user.user_id, session_id).await?;
    Ok(HttpResponse::Ok().json(MessageResponse { message: "Session ended".to_owned() }))
}

/// End all of the caller's sessions but this one.
#[utoipa::path(delete, path = "/api/v1/auth/sessions", tag = "auth", security(("bearer" = [])), responses(
    (status = 200, body = SessionsEnded),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The account is kept by the issuer of the token", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn end_others(context: Ctx, user: Authenticated) -> Result<HttpResponse, Problem> {
    kept_here(&user)?;
    let port = &context.app.platform.sessions;
    let of = |sessions: Vec<SessionInfo>| sessions.into_iter().map(|session| session.id).collect();
    let before: BTreeSet<SessionId> = of(port.sessions(user.user_id).await?);
    port.end_all(user.user_id, Some(user.session_id)).await?;
    let after: BTreeSet<SessionId> = of(port.sessions(user.user_id).await?);
    Ok(HttpResponse::Ok().json(SessionsEnded { ended: before.difference(&after).count() }))
}
