//! `users/*`: what belongs to the caller, and the data of those who consented to them.

use actix_web::{HttpRequest, HttpResponse, web};
use app::{
    audit::{Action, Caller, OPERATOR},
    consents::Scope,
};
use ports::Role;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    health_data::{self, ListQuery, ReadingPage},
    insights::{self, HistoryQuery, InsightHistory},
    measures::{CircadianResponse, DailyResponse, DayQuery, SleepResponse, range},
    pages::{Asked, NextPage, PageQuery},
    resource, seconds,
};
use crate::{
    extract::{Ctx, HealthUser},
    problem::{Problem, ProblemBody, ProblemKind},
};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    // `me` comes before `{user_id}`, which would swallow it.
    config
        .service(resource("/users/me/audit").route(web::get().to(audit)))
        .service(resource("/users/{user_id}/health-data").route(web::get().to(readings)))
        .service(resource("/users/{user_id}/metrics/daily").route(web::get().to(daily)))
        .service(resource("/users/{user_id}/metrics/sleep").route(web::get().to(sleep)))
        .service(resource("/users/{user_id}/metrics/circadian").route(web::get().to(circadian)))
        .service(resource("/users/{user_id}/insights").route(web::get().to(insights)));
}

/// One entry of the audit trail.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditEntry {
    #[schema(example = "2026-03-01T08:00:00Z")]
    at: String,
    /// `self`, `clinician`, or `operator` for whoever used the service's command line.
    #[schema(example = "self")]
    actor: &'static str,
    #[schema(value_type = String, format = "uuid")]
    actor_id: String,
    /// What was done, such as `upload`, `read`, `delete`, `analyse`, `export` or `grant_consent`.
    #[schema(value_type = String, example = "read")]
    action: Action,
    /// To what.
    #[schema(example = "health_data")]
    resource: String,
    /// The `X-Request-Id` of the request that did it.
    request_id: String,
}

/// A page of the audit trail.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditPage {
    data: Vec<AuditEntry>,
    pagination: NextPage,
}

/// Everything that was done to the caller's data, and by whom, newest first.
#[utoipa::path(get, path = "/api/v1/users/me/audit", tag = "users", security(("bearer" = [])), params(PageQuery), responses(
    (status = 200, body = AuditPage),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn audit(
    context: Ctx,
    user: HealthUser,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let asked = Asked::of(&context, &request, format!("audit/{}", user.user_id))?;
    let page = context.app.audit_trail(&user.caller, asked.cursor.clone(), asked.limit).await?;
    let pagination = asked.next(&context, page.next.as_ref());
    let entry = |(_, entry): (_, app::audit::Entry)| AuditEntry {
        at: seconds(entry.at),
        actor: match entry.actor {
            actor if actor == user.user_id => "self",
            OPERATOR => "operator",
            _ => "clinician",
        },
        actor_id: entry.actor.to_string(),
        action: entry.action,
        resource: entry.resource,
        request_id: entry.request_id,
    };
    let data = page.items.into_iter().map(entry).collect();
    Ok(HttpResponse::Ok().json(AuditPage { data, pagination }))
}

/// The caller for the data of the user that the path names.
async fn caller(context: &Ctx, user: &HealthUser, id: &str, scope: Scope) -> Result<Caller, Problem> {
    if id == "me" {
        return Ok(user.caller.clone());
    }
    let id = id.parse().map_err(|_hidden| Problem::new(ProblemKind::ForeignUser))?;
    // A consent is to a clinician: who no longer is one has no use of it.
    if id != user.user_id && !user.roles.contains(&Role::Clinician) {
        return Err(Problem::new(ProblemKind::ForeignUser));
    }
    Ok(context.app.caller_for(&user.caller, id, scope).await?)
}

/// The readings of a user, newest first.
#[utoipa::path(get, path = "/api/v1/users/{user_id}/health-data", tag = "users", security(("bearer" = [])),
    params(("user_id" = String, Path, description = "The caller, or who consented to them"), ListQuery), responses(
    (status = 200, body = ReadingPage),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Another user who did not consent to this, whether or not there is one; or a caller without the role user", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn readings(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&context, &user, &id, Scope::Readings).await?;
    health_data::page(&context, &caller, &request).await
}

/// The local days of a user, oldest first.
#[utoipa::path(get, path = "/api/v1/users/{user_id}/metrics/daily", tag = "users", security(("bearer" = [])),
    params(("user_id" = String, Path, description = "The caller, or who consented to them"), DayQuery), responses(
    (status = 200, body = DailyResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Another user who did not consent to this, whether or not there is one; or a caller without the role user", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn daily(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&context, &user, &id, Scope::Metrics).await?;
    let data = context.app.daily(&caller, range(&request)?).await?;
    Ok(HttpResponse::Ok().json(DailyResponse { data }))
}

/// The nights of a user, oldest first.
#[utoipa::path(get, path = "/api/v1/users/{user_id}/metrics/sleep", tag = "users", security(("bearer" = [])),
    params(("user_id" = String, Path, description = "The caller, or who consented to them"), DayQuery), responses(
    (status = 200, body = SleepResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Another user who did not consent to this, whether or not there is one; or a caller without the role user", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn sleep(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&context, &user, &id, Scope::Metrics).await?;
    let data = context.app.nights(&caller, range(&request)?).await?;
    Ok(HttpResponse::Ok().json(SleepResponse { data }))
}

/// The newest circadian window and PAT week of a user.
#[utoipa::path(get, path = "/api/v1/users/{user_id}/metrics/circadian", tag = "users", security(("bearer" = [])),
    params(("user_id" = String, Path, description = "The caller, or who consented to them")), responses(
    (status = 200, body = CircadianResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Another user who did not consent to this, whether or not there is one; or a caller without the role user", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn circadian(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&context, &user, &id, Scope::Metrics).await?;
    let (circadian, pat) = context.app.circadian(&caller).await?;
    Ok(HttpResponse::Ok().json(CircadianResponse { circadian, pat }))
}

/// The insights of a user, newest first.
#[utoipa::path(get, path = "/api/v1/users/{user_id}/insights", tag = "users", security(("bearer" = [])),
    params(("user_id" = String, Path, description = "The caller, or who consented to them"), HistoryQuery), responses(
    (status = 200, body = InsightHistory),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Another user who did not consent to this, whether or not there is one; or a caller without the role user", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn insights(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&context, &user, &id, Scope::Insights).await?;
    insights::history_of(&context, &caller, &request).await
}
