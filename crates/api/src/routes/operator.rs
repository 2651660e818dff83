//! `operator/*`: how the service runs. Nothing here comes from anybody's health data.

use actix_web::{HttpResponse, web};
use domain::ids::UserId;
use ports::{Profile, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{resource, seconds};
use crate::{
    extract::{Ctx, Json, Operator},
    problem::{Problem, ProblemBody, ProblemKind},
};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config.service(resource("/operator/jobs").route(web::get().to(jobs))).service(
        resource("/operator/users/{user_id}").route(web::get().to(user)).route(web::put().to(update_user)),
    );
}

/// What waits in the job queue.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobStats {
    /// Jobs that are not done: waiting, delayed or in work.
    #[schema(example = 3)]
    depth: u64,
    /// Jobs that were given up; `clarity jobs dead-letters` lists them.
    #[schema(example = 0)]
    dead: u64,
    /// How long the oldest job that is not done has waited; `null` where there is none.
    #[schema(example = 2)]
    oldest_age_seconds: Option<u64>,
}

/// How many jobs wait, and for how long. For operators.
#[utoipa::path(get, path = "/api/v1/operator/jobs", tag = "operator", security(("bearer" = [])), responses(
    (status = 200, body = JobStats),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The caller is no operator", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The queue is not available", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn jobs(context: Ctx, _operator: Operator) -> Result<HttpResponse, Problem> {
    let stats = context.app.platform.jobs.stats().await?;
    let now = context.app.platform.clock.now();
    let age = stats.oldest_published_at.map(|oldest| now.as_second() - oldest.as_second());
    Ok(HttpResponse::Ok().json(JobStats {
        depth: stats.depth,
        dead: stats.dead,
        oldest_age_seconds: age.map(|seconds| u64::try_from(seconds).unwrap_or(0)),
    }))
}

/// What an operator sees of somebody: neither a name nor an address, and nothing of their health.
#[derive(Serialize, ToSchema)]
pub(crate) struct OperatedUser {
    #[schema(example = "019b1f6e-0000-7000-8000-000000000000")]
    user_id: String,
    #[schema(example = json!(["user"]))]
    roles: Vec<&'static str>,
    /// Whether they are barred.
    #[schema(example = false)]
    disabled: bool,
    #[schema(example = "2026-03-01T08:00:00Z")]
    created_at: String,
    #[schema(example = true)]
    email_verified: bool,
}

/// What an operator changes of somebody.
#[derive(Deserialize, ToSchema)]
pub(crate) struct OperatedUserUpdate {
    /// `true` bars them: no sign-in, and their tokens stop working at once. `false` undoes it.
    #[schema(example = true)]
    disabled: bool,
}

fn operated(profile: Profile) -> HttpResponse {
    HttpResponse::Ok().json(OperatedUser {
        user_id: profile.user_id.to_string(),
        roles: profile.roles.into_iter().map(Role::as_str).collect(),
        disabled: profile.disabled,
        created_at: seconds(profile.created_at),
        email_verified: profile.email_verified,
    })
}

async fn profile_of(context: &Ctx, user_id: &str) -> Result<Profile, Problem> {
    let not_found = || Problem::new(ProblemKind::NotFound);
    let user_id: UserId = user_id.parse().map_err(|_hidden| not_found())?;
    context.app.platform.identity.profile(user_id).await?.ok_or_else(not_found)
}

/// An account. For operators.
#[utoipa::path(get, path = "/api/v1/operator/users/{user_id}", tag = "operator", security(("bearer" = [])),
    params(("user_id" = String, Path, example = "019b1f6e-0000-7000-8000-000000000000")), responses(
    (status = 200, body = OperatedUser),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The caller is no operator", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "There is no such account", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn user(
    context: Ctx,
    _operator: Operator,
    user_id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    Ok(operated(profile_of(&context, &user_id).await?))
}

/// Bar somebody, or let them in again. For operators.
#[utoipa::path(put, path = "/api/v1/operator/users/{user_id}", tag = "operator", security(("bearer" = [])),
    params(("user_id" = String, Path, example = "019b1f6e-0000-7000-8000-000000000000")),
    request_body = OperatedUserUpdate, responses(
    (status = 200, body = OperatedUser),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The caller is no operator", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "There is no such account", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn update_user(
    context: Ctx,
    operator: Operator,
    user_id: web::Path<String>,
    body: Json<OperatedUserUpdate>,
) -> Result<HttpResponse, Problem> {
    let before = profile_of(&context, &user_id).await?;
    if before.disabled != body.0.disabled {
        context.app.platform.identity.set_disabled(before.user_id, body.0.disabled).await?;
        tracing::info!(
            operator = context.user_hash(operator.user_id),
            user = context.user_hash(before.user_id),
            disabled = body.0.disabled,
            "an operator changed an account"
        );
    }
    Ok(operated(profile_of(&context, &user_id).await?))
}
