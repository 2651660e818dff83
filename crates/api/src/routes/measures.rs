//! `metrics/*`: what the pipeline computed. (`/metrics` itself is Prometheus'.)

use actix_web::{HttpRequest, HttpResponse, web};
use app::results::{CircadianWindow, DayRange, Deviations, Embedding};
use domain::{
    measures::{daily::Daily, hourly::Hour},
    sleep::Night,
};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{openapi::schemas, resource};
use crate::{
    extract::{Ctx, HealthUser},
    problem::{Problem, ProblemBody},
};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(resource("/metrics/daily").route(web::get().to(daily)))
        .service(resource("/metrics/hourly").route(web::get().to(hourly)))
        .service(resource("/metrics/sleep").route(web::get().to(sleep)))
        .service(resource("/metrics/deviations").route(web::get().to(deviations)))
        .service(resource("/metrics/circadian").route(web::get().to(circadian)));
}

/// A range of local days.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DayQuery {
    /// The first day.
    #[param(format = Date, example = "2026-03-01")]
    start_date: Option<String>,
    /// The last day, included.
    #[param(format = Date, example = "2026-03-14")]
    end_date: Option<String>,
}

pub(super) fn range(request: &HttpRequest) -> Result<DayRange, Problem> {
    let query = web::Query::<DayQuery>::from_query(request.query_string())
        .map_err(|_hidden| Problem::field("", "the query parameters are start_date and end_date"))?;
    let day = |name: &str, text: &Option<String>| {
        let day = text.as_deref().map(str::parse::<Date>).transpose();
        day.map_err(|_hidden| Problem::field(name, "not a date such as 2026-03-01"))
    };
    Ok(DayRange { first: day("start_date", &query.start_date)?, last: day("end_date", &query.end_date)? })
}

/// Local days. Every measure holds `value`, `unit` (UCUM), `method`, `coverage`, `sources` and, where `value` is null, why in
/// `not_assessed`.
#[derive(Serialize, ToSchema)]
pub(crate) struct DailyResponse {
    #[schema(value_type = Vec<schemas::Daily>)]
    pub(super) data: Vec<Daily>,
}

/// Hours of local days, as the measures of days are: a day has 23 to 25 of them, more or fewer when its person flew.
#[derive(Serialize, ToSchema)]
pub(crate) struct HourlyResponse {
    #[schema(value_type = Vec<schemas::Hour>)]
    data: Vec<Hour>,
}

/// Nights by the local date of waking.
#[derive(Serialize, ToSchema)]
pub(crate) struct SleepResponse {
    #[schema(value_type = Vec<schemas::Night>)]
    pub(super) data: Vec<Night>,
}

/// How far local days are from what is usual for their person.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeviationsResponse {
    #[schema(value_type = Vec<schemas::Deviations>)]
    data: Vec<Deviations>,
}

/// The newest circadian window and PAT week.
#[derive(Serialize, ToSchema)]
pub(crate) struct CircadianResponse {
    #[schema(value_type = Option<schemas::CircadianWindow>)]
    pub(super) circadian: Option<CircadianWindow>,
    #[schema(value_type = Option<schemas::Embedding>)]
    pub(super) pat: Option<Embedding>,
}

/// Aggregates of the caller's local days, oldest first.
#[utoipa::path(get, path = "/api/v1/metrics/daily", tag = "metrics", security(("bearer" = [])), params(DayQuery), responses(
    (status = 200, body = DailyResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn daily(
    context: Ctx,
    user: HealthUser,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let data = context.app.daily(&user.caller, range(&request)?).await?;
    Ok(HttpResponse::Ok().json(DailyResponse { data }))
}

/// The hours of the caller's local days, at most 31 days, oldest first: steps, distance, active energy and heart rate. Without
/// dates, those of the newest day that has measures. A day of which nothing was assessed is not in it.
#[utoipa::path(get, path = "/api/v1/metrics/hourly", tag = "metrics", security(("bearer" = [])), params(DayQuery), responses(
    (status = 200, body = HourlyResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn hourly(
    context: Ctx,
    user: HealthUser,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let data = context.app.hourly(&user.caller, range(&request)?).await?;
    Ok(HttpResponse::Ok().json(HourlyResponse { data }))
}

/// The caller's nights, oldest first. A night without readings is not in it.
#[utoipa::path(get, path = "/api/v1/metrics/sleep", tag = "metrics", security(("bearer" = [])), params(DayQuery), responses(
    (status = 200, body = SleepResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn sleep(
    context: Ctx,
    user: HealthUser,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let data = context.app.nights(&user.caller, range(&request)?).await?;
    Ok(HttpResponse::Ok().json(SleepResponse { data }))
}

/// How far the caller's local days are from what is usual for them, oldest first: the difference from the median of the 28 days
/// before, and that in robust standard deviations. Not assessed where fewer than 14 of them have a value.
#[utoipa::path(get, path = "/api/v1/metrics/deviations", tag = "metrics", security(("bearer" = [])), params(DayQuery), responses(
    (status = 200, body = DeviationsResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn deviations(
    context: Ctx,
    user: HealthUser,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let data = context.app.deviations(&user.caller, range(&request)?).await?;
    Ok(HttpResponse::Ok().json(DeviationsResponse { data }))
}

/// Circadian measures of the newest window of days, and the PAT embedding of the newest week.
#[utoipa::path(get, path = "/api/v1/metrics/circadian", tag = "metrics", security(("bearer" = [])), responses(
    (status = 200, body = CircadianResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn circadian(context: Ctx, user: HealthUser) -> Result<HttpResponse, Problem> {
    let (circadian, pat) = context.app.circadian(&user.caller).await?;
    Ok(HttpResponse::Ok().json(CircadianResponse { circadian, pat }))
}
