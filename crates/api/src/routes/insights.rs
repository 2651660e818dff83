//! `insights`: narratives from the caller's own results.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
    web::Bytes,
};
use app::{
    AppError,
    audit::Caller,
    idempotency::Once,
    insights::{HISTORY_MAX, Insight, InsightRequest},
    requests::Pending,
};
use domain::ids::{InsightId, RequestId, UserId};
use futures::{StreamExt, channel::mpsc, stream};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{openapi::schemas, resource, seconds};
use crate::{
    extract::{Ctx, HealthUser, Json},
    problem::{Problem, ProblemBody, ProblemKind},
    routes,
    terms::{Terms, accepted, reply},
};

const EVENTS: &str = "text/event-stream";

/// When a client may ask again for an insight that could not be written.
const AGAIN: Duration = Duration::from_secs(30);

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    // `generate`, `status` and `history` come before `{insight_id}`, which would swallow them.
    config
        .service(resource("/insights").route(web::post().to(write)))
        .service(resource("/insights/generate").route(web::post().to(write_alias)))
        .service(resource("/insights/status").route(web::get().to(status)))
        .service(resource("/insights/history/{user_id}").route(web::get().to(history)))
        .service(resource("/insights/{insight_id}").route(web::get().to(stored)));
}

/// What an insight is asked for.
#[derive(Deserialize, ToSchema)]
pub(crate) struct InsightGenerationRequest {
    /// Not read: an insight speaks of the results that are stored here, whose methods are known.
    #[schema(value_type = Value)]
    #[serde(default)]
    #[expect(dead_code, reason = "part of the shipped apps' request")]
    analysis_results: serde_json::Value,
    /// Not read: it would go to a language model unchecked.
    #[serde(default)]
    #[schema(value_type = Value)]
    #[expect(dead_code, reason = "part of the shipped apps' request")]
    context: serde_json::Value,
    #[serde(default = "comprehensive")]
    #[schema(default = "comprehensive", max_length = 64)]
    insight_type: String,
    #[serde(default = "yes")]
    #[schema(default = true)]
    include_recommendations: bool,
    #[serde(default = "english")]
    #[schema(default = "en", pattern = "^[0-9A-Za-z-]{2,35}$")]
    language: String,
}

fn comprehensive() -> String {
    "comprehensive".to_owned()
}

fn yes() -> bool {
    true
}

fn english() -> String {
    "en".to_owned()
}

/// An insight.
#[derive(Serialize, ToSchema)]
pub(crate) struct InsightBody {
    #[schema(value_type = String, format = "uuid")]
    insight_id: String,
    user_id: String,
    narrative: String,
    key_insights: Vec<String>,
    recommendations: Vec<String>,
    /// Nothing computes one.
    confidence_score: Option<f64>,
    generated_at: String,
    /// What could not be assessed, and why.
    not_assessed: Vec<String>,
}

/// Who wrote it and how.
#[derive(Serialize, ToSchema)]
pub(crate) struct InsightMetadata {
    #[schema(example = "template")]
    provider: String,
    model: Option<String>,
    method: String,
    insight_type: String,
    /// The figures that it was written from, each with method and coverage.
    #[schema(value_type = Vec<schemas::Fact>)]
    facts: Vec<ports::Fact>,
    /// Tokens, where a language model wrote it.
    #[schema(value_type = Option<schemas::Usage>)]
    usage: Option<ports::Usage>,
}

/// The answer to an insight.
#[derive(Serialize, ToSchema)]
pub(crate) struct InsightResponse {
    success: bool,
    data: InsightBody,
    metadata: InsightMetadata,
}

impl InsightResponse {
    fn new(user: UserId, insight: Insight) -> Self {
        let Insight { id, generated_at, insight_type, narrative, facts } = insight;
        Self {
            success: true,
            data: InsightBody {
                insight_id: id.to_string(),
                user_id: user.to_string(),
                narrative: narrative.narrative,
                key_insights: narrative.key_insights,
                recommendations: narrative.recommendations,
                confidence_score: None,
                generated_at: seconds(generated_at),
                not_assessed: facts.not_assessed,
            },
            metadata: InsightMetadata {
                provider: narrative.provider,
                model: narrative.model,
                method: narrative.method,
                insight_type,
                facts: facts.facts,
                usage: narrative.usage,
            },
        }
    }
}

/// Write an insight from the caller's stored results.
///
/// With `Accept: text/event-stream` it is told while it is written: an event `sentence` (`{"text"}`) for each part of the
/// narrative whose every number was found among the facts, then `insight` with the answer as it was kept, or `problem` with what
/// went wrong: then what was told is to be thrown away. Writing ends when the client leaves.
#[utoipa::path(post, path = "/api/v1/insights", tag = "insights", security(("bearer" = [])), request_body = InsightGenerationRequest, responses(
    (status = 200, body = InsightResponse),
    (status = 202, description = "With `Prefer: respond-async`: it will be written; `Location` says where it will be", body = InsightPending),
    (status = 409, description = "A request with the same `Idempotency-Key` is in progress", body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The writer is not available", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn write(
    context: Ctx,
    user: HealthUser,
    terms: Terms,
    http: HttpRequest,
    body: Json<InsightGenerationRequest>,
) -> Result<HttpResponse, Problem> {
    let InsightGenerationRequest { insight_type, include_recommendations, language, .. } = body.0;
    if insight_type.chars().count() > 64 {
        return Err(Problem::field("/insight_type", "at most 64 characters"));
    }
    if !(2..=35).contains(&language.len())
        || !language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        return Err(Problem::field("/language", "a BCP 47 language tag, such as en"));
    }
    context.limiter.insight(user.user_id).await?;
    let request = InsightRequest { insight_type, include_recommendations, language };
    if terms.respond_async {
        let promise = |pending: &Pending| {
            accepted(format!("/api/v1/insights/{}", pending.id), &InsightPending::new(pending))
        };
        let ask = async |once: Option<&Once<'_, Pending>>| {
            context.app.request_insight(&user.caller, request, once).await
        };
        return terms.answer(user.user_id, promise, ask).await;
    }
    if wants_events(&http) {
        return Ok(told(context, user, terms, request));
    }
    let written =
        |insight: &Insight| reply(StatusCode::OK, &InsightResponse::new(user.user_id, insight.clone()));
    let write = async |once: Option<&Once<'_, Insight>>| {
        context.app.write_insight(&user.caller, request, once, &mut |_| ()).await
    };
    terms.answer(user.user_id, written, write).await
}

/// Whether the client asks for server-sent events.
fn wants_events(request: &HttpRequest) -> bool {
    let accept = crate::extract::header(request, "accept").unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == EVENTS))
}

/// The insight while it is written: `sentence` for each part of the narrative, then `insight` with what was kept, or `problem`.
fn told(context: Ctx, user: HealthUser, terms: Terms, request: InsightRequest) -> HttpResponse {
    let (tell, heard) = mpsc::unbounded();
    let writing = async move {
        let written =
            |insight: &Insight| reply(StatusCode::OK, &InsightResponse::new(user.user_id, insight.clone()));
        let mut hear = |sentence: &str| {
            let data = serde_json::json!({ "text": sentence }).to_string();
            // Nobody hears it any more: then nobody waits for this future either.
            let _ = tell.unbounded_send(event("sentence", data.as_bytes()));
        };
        let write = async |once: Option<&Once<'_, Insight>>| {
            context.app.write_insight(&user.caller, request, once, &mut hear).await
        };
        let last = match terms.once(user.user_id, written, write).await {
            Ok((reply, _)) => event("insight", reply.body.as_bytes()),
            Err(problem) => {
                tracing::warn!(%problem, cause = problem.cause(), "an insight could not be written");
                event("problem", &problem.body(""))
            }
        };
        let _ = tell.unbounded_send(last);
    };
    // All goes through one channel, so that the last comes last. A client that leaves ends the writing.
    let writing = stream::once(writing).filter_map(|()| std::future::ready(None));
    let events = stream::select(heard, writing).map(Ok::<_, Problem>);
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, EVENTS))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(Box::pin(events))
}

fn event(name: &str, data: &[u8]) -> Bytes {
    format!("event: {name}\ndata: {}\n\n", String::from_utf8_lossy(data)).into()
}

/// Write an insight. The same as `POST insights`, by the path that shipped apps call.
#[utoipa::path(post, path = "/api/v1/insights/generate", tag = "insights", security(("bearer" = [])), request_body = InsightGenerationRequest, responses(
    (status = 200, body = InsightResponse),
    (status = 202, description = "With `Prefer: respond-async`: it will be written; `Location` says where it will be", body = InsightPending),
    (status = 409, description = "A request with the same `Idempotency-Key` is in progress", body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The writer is not available", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn write_alias(
    context: Ctx,
    user: HealthUser,
    terms: Terms,
    http: HttpRequest,
    body: Json<InsightGenerationRequest>,
) -> Result<HttpResponse, Problem> {
    write(context, user, terms, http, body).await
}

/// An insight that is not written yet.
#[derive(Serialize, ToSchema)]
pub(crate) struct InsightPending {
    #[schema(value_type = String, format = "uuid")]
    insight_id: String,
    #[schema(example = "processing")]
    status: &'static str,
}

impl InsightPending {
    fn new(pending: &Pending) -> Self {
        Self { insight_id: pending.id.to_string(), status: "processing" }
    }
}

/// An insight of the caller's.
#[utoipa::path(get, path = "/api/v1/insights/{insight_id}", tag = "insights", security(("bearer" = [])),
    params(("insight_id" = String, Path)), responses(
    (status = 200, body = InsightResponse),
    (status = 202, description = "It is being written", body = InsightPending),
    (status = 503, description = "It could not be written", body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn stored(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id: InsightId = routes::id(&id)?;
    let insight = match context.app.insight(&user.caller, id).await {
        Err(AppError::NotFound) => {
            let pending = context.app.pending(&user.caller, RequestId(id.0)).await?;
            if pending.failure.is_some() {
                let detail = "the insight could not be written; ask for it again";
                return Err(Problem::new(ProblemKind::Unavailable).detail(detail).retry_after(AGAIN));
            }
            let answer = HttpResponse::Accepted()
                .insert_header((header::RETRY_AFTER, "1"))
                .json(InsightPending::new(&pending));
            return Ok(answer);
        }
        insight => insight?,
    };
    Ok(HttpResponse::Ok().json(InsightResponse::new(user.user_id, insight)))
}

/// The caller's insights.
#[derive(Serialize, ToSchema)]
pub(crate) struct InsightHistory {
    success: bool,
    data: InsightList,
    #[schema(value_type = schemas::Nothing)]
    metadata: serde_json::Value,
}

/// Insights, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct InsightList {
    insights: Vec<InsightBody>,
    /// How many are listed here.
    count: usize,
    /// How many there are; `null` where the list does not reach their end.
    #[schema(required)]
    total_count: Option<usize>,
    has_more: bool,
    limit: usize,
    offset: usize,
}

/// Which part of the history is asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// Insights a page, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 10)]
    limit: Option<usize>,
    /// How many newer ones to pass over.
    #[param(minimum = 0, maximum = 899, default = 0)]
    offset: Option<usize>,
}

/// The caller's insights, newest first.
#[utoipa::path(get, path = "/api/v1/insights/history/{user_id}", tag = "insights", security(("bearer" = [])),
    params(("user_id" = String, Path, description = "The caller's own id"), HistoryQuery), responses(
    (status = 200, body = InsightHistory),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Another user's id, or an operator asks", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn history(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    if id.parse::<UserId>().ok() != Some(user.user_id) {
        return Err(Problem::new(ProblemKind::ForeignUser));
    }
    history_of(&context, &user.caller, &request).await
}

/// The insights of the user that `caller` asks for.
pub(super) async fn history_of(
    context: &Ctx,
    caller: &Caller,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let query = web::Query::<HistoryQuery>::from_query(request.query_string())
        .map_err(|_hidden| Problem::field("", "the query parameters are limit and offset"))?;
    let (limit, offset) = (query.limit.unwrap_or(10), query.offset.unwrap_or(0));
    if !(1..=100).contains(&limit) {
        return Err(Problem::field("limit", "1 to 100"));
    }
    if offset > HISTORY_MAX - 100 {
        return Err(Problem::field("offset", format!("0 to {}", HISTORY_MAX - 100)));
    }
    let (insights, has_more) = context.app.insight_history(caller, offset, limit).await?;
    let insights: Vec<InsightBody> =
        insights.into_iter().map(|insight| InsightResponse::new(caller.user_id, insight).data).collect();
    let count = insights.len();
    // Beyond the end, nothing tells how far back the end is.
    let total_count = (!has_more && (count > 0 || offset == 0)).then_some(offset + count);
    let data = InsightList { insights, count, total_count, has_more, limit, offset };
    Ok(HttpResponse::Ok().json(InsightHistory { success: true, data, metadata: serde_json::json!({}) }))
}

/// Which writer is configured.
#[derive(Serialize, ToSchema)]
pub(crate) struct InsightStatus {
    success: bool,
    /// `provider` and `model` of the configured writer.
    #[schema(value_type = schemas::Writer)]
    data: serde_json::Value,
    #[schema(value_type = schemas::Nothing)]
    metadata: serde_json::Value,
}

/// Which writer is configured. It is not called for this, so this says nothing of its health.
#[utoipa::path(get, path = "/api/v1/insights/status", tag = "insights", security(("bearer" = [])), responses(
    (status = 200, body = InsightStatus),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn status(context: Ctx, _user: HealthUser) -> HttpResponse {
    let writer = &context.app.platform.insight;
    let data = serde_json::json!({ "provider": writer.provider(), "model": writer.model() });
    HttpResponse::Ok().json(InsightStatus { success: true, data, metadata: serde_json::json!({}) })
}
