//! `operator/*`: how the service runs. Nothing here comes from anybody's health data.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::resource;
use crate::{
    extract::{Ctx, Operator},
    problem::{Problem, ProblemBody},
};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config.service(resource("/operator/jobs").route(web::get().to(jobs)));
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
