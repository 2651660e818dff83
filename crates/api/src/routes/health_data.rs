//! `health-data`: uploads of the original's metrics, and every reading that is held.

use actix_web::{HttpResponse, http::StatusCode, web};
use app::{
    audit::Caller,
    idempotency::Once,
    ingest::Rejection,
    readings::{Listing, Position},
    records::{Receipts, Upload, UploadKind},
};
use domain::{
    job::JobState,
    metric::Metric,
    sample::{Sample, Source, Value},
    time::timestamp,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub(crate) mod batch;
pub(crate) mod samples;

use self::samples::{SampleUpload, SampleUploadResponse};
use super::{auth::MessageResponse, health, openapi::schemas, resource, seconds};
use crate::{
    cursor,
    extract::{Ctx, HealthUser, UploadBody},
    problem::{Problem, ProblemBody},
    routes,
    terms::{Terms, reply},
};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(resource("/health-data").route(web::post().to(upload)).route(web::get().to(list)))
        .service(resource("/health-data/upload").route(web::post().to(upload_alias)))
        .service(resource("/health-data/batch").route(web::post().to(batch::upload_batch)))
        .service(
            resource("/health-data/upload/{upload_id}/status").route(web::get().to(samples::upload_status)),
        )
        .service(resource("/health-data/sync/{sync_id}").route(web::get().to(samples::sync_status)))
        .service(
            resource("/health-data/processing/{processing_id}")
                .route(web::get().to(status))
                .route(web::delete().to(delete_processing)),
        )
        .service(resource("/health-data/health").route(web::get().to(health::health_data)))
        .service(resource("/health-data/{processing_id}").route(web::delete().to(delete)));
}

/// A body of metrics. `metrics[]` holds at most 1000; each has a `metric_type` and its `biometric_data`, `sleep_data`,
/// `activity_data` or `mental_health_data`.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; the application parses it metric by metric")]
pub(crate) struct HealthDataUpload {
    /// The caller's own id.
    #[schema(value_type = String, format = "uuid")]
    user_id: String,
    #[schema(value_type = Vec<Value>, min_items = 1, max_items = 1000, example = json!([{
        "metric_type": "heart_rate", "biometric_data": {"heart_rate": 61}, "created_at": "2026-03-01T08:00:00Z"
    }]))]
    metrics: Vec<serde_json::Value>,
    #[schema(example = "apple_health")]
    upload_source: String,
    #[schema(example = "2026-03-01T08:00:05Z")]
    client_timestamp: String,
    /// Not read.
    #[serde(default)]
    #[schema(value_type = Value)]
    sync_token: serde_json::Value,
}

/// A body of metrics, or of samples as the shipped iOS apps send them: the latter has `samples`.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the body; the application parses it item by item")]
pub(crate) enum HealthDataBody {
    Metrics(HealthDataUpload),
    Samples(SampleUpload),
}

/// The answer to a body of metrics, or to one of samples.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum HealthDataAnswer {
    Metrics(HealthDataResponse),
    Samples(SampleUploadResponse),
}

impl From<&Upload> for HealthDataAnswer {
    fn from(upload: &Upload) -> Self {
        if upload.is_of_samples() { Self::Samples(upload.into()) } else { Self::Metrics(upload.into()) }
    }
}

/// One fault of an upload.
#[derive(Serialize, ToSchema)]
pub(crate) struct ValidationFault {
    /// The path to the fault, as the original gives it.
    #[schema(value_type = Vec<String>, example = json!(["metrics", "3", "biometric_data"]))]
    loc: Vec<String>,
    /// What is wrong.
    msg: String,
    /// A stable word.
    #[serde(rename = "type")]
    #[schema(example = "out_of_range")]
    kind: String,
}

/// How many samples were new, known and refused.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReceiptBody {
    /// New samples, or newer versions.
    accepted: usize,
    /// Samples that were held already.
    duplicate: usize,
    /// Refused samples; at most 1000 are listed.
    #[schema(value_type = Vec<schemas::Rejection>)]
    rejected: Vec<Rejection>,
    /// How many were refused.
    rejected_total: usize,
}

impl From<Receipts> for ReceiptBody {
    fn from(receipts: Receipts) -> Self {
        Self {
            accepted: receipts.accepted,
            duplicate: receipts.duplicate,
            rejected: receipts.rejected,
            rejected_total: receipts.rejected_total,
        }
    }
}

/// An upload that is kept.
#[derive(Serialize, ToSchema)]
pub(crate) struct HealthDataResponse {
    #[schema(value_type = String, format = "uuid")]
    processing_id: String,
    /// `received`, `processing`, `completed` or `failed`.
    #[schema(example = "received")]
    status: &'static str,
    /// Metrics with at least one new reading.
    accepted_metrics: usize,
    /// Metrics whose readings were all held already.
    duplicate_metrics: usize,
    rejected_metrics: usize,
    validation_errors: Vec<ValidationFault>,
    /// Not estimated.
    estimated_processing_time: Option<u64>,
    /// Grows with each of the user's uploads.
    sync_token: Option<String>,
    message: String,
    timestamp: String,
    receipts: ReceiptBody,
}

/// The job states in the original's words.
pub(crate) fn status_word(state: JobState) -> &'static str {
    match state {
        JobState::Received | JobState::Stored | JobState::Queued => "received",
        JobState::Processing => "processing",
        JobState::Completed => "completed",
        JobState::Failed => "failed",
    }
}

fn faults(receipts: &Receipts) -> Vec<ValidationFault> {
    let fault = |rejection: &Rejection| ValidationFault {
        loc: rejection.pointer.split('/').skip(1).map(str::to_owned).collect(),
        msg: rejection.message.clone(),
        kind: rejection.code.clone(),
    };
    receipts.rejected.iter().map(fault).collect()
}

/// Upload metrics. What is accepted is durable before this answers.
#[utoipa::path(post, path = "/api/v1/health-data", tag = "health-data", security(("bearer" = [])), request_body = HealthDataBody, responses(
    (status = 201, body = HealthDataAnswer),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The body names another user, or an operator asks", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "A request with the same `Idempotency-Key` is in progress", body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn upload(
    context: Ctx,
    user: HealthUser,
    terms: Terms,
    body: UploadBody,
) -> Result<HttpResponse, Problem> {
    context.limiter.upload(user.user_id).await?;
    let receive = async |once: Option<&Once<'_, Upload>>| {
        context.app.receive_once(&user.caller, UploadKind::HealthData, body.0, once).await
    };
    let created = |upload: &Upload| reply(StatusCode::CREATED, &HealthDataAnswer::from(upload));
    terms.answer(user.user_id, created, receive).await
}

/// Upload metrics. The same as `POST health-data`, by the path that shipped apps call.
#[utoipa::path(post, path = "/api/v1/health-data/upload", tag = "health-data", security(("bearer" = [])), request_body = HealthDataBody, responses(
    (status = 201, body = HealthDataAnswer),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The body names another user, or an operator asks", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "A request with the same `Idempotency-Key` is in progress", body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn upload_alias(
    context: Ctx,
    user: HealthUser,
    terms: Terms,
    body: UploadBody,
) -> Result<HttpResponse, Problem> {
    upload(context, user, terms, body).await
}

impl From<&Upload> for HealthDataResponse {
    fn from(upload: &Upload) -> Self {
        Self {
            processing_id: upload.id.to_string(),
            status: status_word(upload.state),
            accepted_metrics: upload.items.accepted,
            duplicate_metrics: upload.items.duplicate,
            rejected_metrics: upload.items.rejected,
            validation_errors: faults(&upload.receipts),
            estimated_processing_time: None,
            sync_token: Some(upload.sequence.to_string()),
            message: message(&upload.receipts),
            timestamp: seconds(upload.received_at),
            receipts: upload.receipts.clone().into(),
        }
    }
}

pub(crate) fn message(receipts: &Receipts) -> String {
    let Receipts { accepted, duplicate, rejected_total, .. } = receipts;
    format!("{accepted} samples kept, {duplicate} known already, {rejected_total} refused")
}

/// The last page that can be asked for by its number, and with `limit` how far a listing can be entered by an offset.
const PAGES_MAX: usize = 100;

/// What a listing is asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Readings a page, 1 to 1000.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<usize>,
    /// From `pagination.next_cursor` or `previous_cursor`.
    cursor: Option<String>,
    /// Without a cursor: the page, counted from 1. It counts readings, so pages shift when newer ones come; cursors do not.
    #[param(minimum = 1, maximum = 100)]
    page: Option<usize>,
    /// Without a cursor or a page: how many readings to pass over, at most 100 times `limit`. It shifts as pages do.
    #[param(minimum = 0, maximum = 100_000)]
    offset: Option<usize>,
    /// A metric by its short name or HealthKit identifier.
    #[param(example = "heart_rate")]
    data_type: Option<String>,
    /// Readings that begin at or after this instant.
    #[param(format = DateTime)]
    start_date: Option<String>,
    /// Readings that begin before this instant.
    #[param(format = DateTime)]
    end_date: Option<String>,
    /// Readings of this source: its name, bundle or product type.
    source: Option<String>,
}

/// One reading.
#[derive(Serialize, ToSchema)]
pub(crate) struct Reading {
    #[schema(value_type = String, format = "uuid")]
    id: String,
    /// When it begins: whole seconds; `timestamp_ms` has the rest.
    timestamp: String,
    /// When it ends.
    end: String,
    /// When it begins, in milliseconds since 1970.
    timestamp_ms: i64,
    #[schema(example = "heart_rate")]
    data_type: &'static str,
    /// The HealthKit identifier.
    #[schema(example = "HKQuantityTypeIdentifierHeartRate")]
    identifier: &'static str,
    /// LOINC code, where there is one.
    loinc: Option<&'static str>,
    value: f64,
    /// UCUM unit; `{code}` for a category.
    #[schema(example = "/min")]
    unit: &'static str,
    #[schema(value_type = schemas::Source)]
    source: Source,
}

impl From<&Sample> for Reading {
    fn from(sample: &Sample) -> Self {
        let (start_ms, end_ms) = (sample.interval.start_ms(), sample.interval.end_ms());
        Self {
            id: sample.id.to_string(),
            timestamp: seconds(timestamp(start_ms)),
            end: seconds(timestamp(end_ms)),
            timestamp_ms: start_ms,
            data_type: sample.metric.name(),
            identifier: sample.metric.identifier(),
            loinc: sample.metric.loinc(),
            value: match sample.value {
                Value::Quantity(value) => value,
                Value::Category(value) => f64::from(value),
            },
            unit: sample.metric.unit(),
            source: Source::clone(&sample.source),
        }
    }
}

/// A page of readings.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReadingPage {
    data: Vec<Reading>,
    pagination: Pagination,
    links: PageLinks,
}

/// Where a page stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct Pagination {
    /// Not counted.
    total_count: Option<u64>,
    page_size: usize,
    has_next: bool,
    has_previous: bool,
    next_cursor: Option<String>,
    previous_cursor: Option<String>,
}

/// The pages around a page.
#[derive(Serialize, ToSchema)]
pub(crate) struct PageLinks {
    #[serde(rename = "self")]
    this: String,
    first: String,
    next: Option<String>,
    previous: Option<String>,
    /// Not known: readings are not counted.
    #[schema(required)]
    last: Option<String>,
}

/// The caller's readings, newest first. Pages stay stable while readings are added or deleted.
#[utoipa::path(get, path = "/api/v1/health-data", tag = "health-data", security(("bearer" = [])), params(ListQuery), responses(
    (status = 200, body = ReadingPage),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn list(
    context: Ctx,
    user: HealthUser,
    request: actix_web::HttpRequest,
) -> Result<HttpResponse, Problem> {
    page(&context, &user.caller, &request).await
}

/// A page of the readings of the user that `caller` asks for.
pub(super) async fn page(
    context: &Ctx,
    caller: &Caller,
    request: &actix_web::HttpRequest,
) -> Result<HttpResponse, Problem> {
    let query = web::Query::<ListQuery>::from_query(request.query_string())
        .map_err(|_hidden| Problem::field("", "a query parameter is unknown or has the wrong type"))?
        .into_inner();
    let limit = query.limit.unwrap_or(50);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::field("limit", "1 to 1000"));
    }
    let skipped = skipped(&query, limit)?;
    let metric = query.data_type.as_deref().map(metric).transpose()?;
    let filter = [&query.data_type, &query.start_date, &query.end_date, &query.source]
        .map(|part| part.as_deref().unwrap_or_default().to_owned())
        .join("\u{1f}");
    let scope = format!("{}\u{1f}{}\u{1f}{filter}", caller.actor, caller.user_id);
    let from = query
        .cursor
        .as_deref()
        .map(|text| cursor::open::<Position>(&context.cursor_key, &scope, text))
        .transpose()?;
    let listing = Listing {
        metric,
        start_ms: query.start_date.as_deref().map(|text| instant("start_date", text)).transpose()?,
        end_ms: query.end_date.as_deref().map(|text| instant("end_date", text)).transpose()?,
        source: query.source.clone(),
        from,
        limit: skipped + limit,
    };
    if listing.start_ms.zip(listing.end_ms).is_some_and(|(start, end)| end < start) {
        return Err(Problem::field("end_date", "is before start_date"));
    }
    let mut readings = context.app.list_readings(caller, &listing).await?;
    readings.samples.drain(..skipped.min(readings.samples.len()));
    readings.has_newer |= skipped > 0;
    let position = |sample: &Sample, backwards: bool| {
        let position = Position {
            start_ms: sample.interval.start_ms(),
            metric: sample.metric,
            id: sample.id,
            backwards,
        };
        cursor::seal(&context.cursor_key, &scope, &position)
    };
    let next = readings.samples.last().filter(|_| readings.has_older).map(|sample| position(sample, false));
    let previous =
        readings.samples.first().filter(|_| readings.has_newer).map(|sample| position(sample, true));
    let link = |cursor: Option<&str>| page_link(request.path(), &query, limit, cursor);
    Ok(HttpResponse::Ok().json(ReadingPage {
        data: readings.samples.iter().map(Reading::from).collect(),
        links: PageLinks {
            this: link(query.cursor.as_deref()),
            first: link(None),
            next: next.as_deref().map(|cursor| link(Some(cursor))),
            previous: previous.as_deref().map(|cursor| link(Some(cursor))),
            last: None,
        },
        pagination: Pagination {
            total_count: None,
            page_size: limit,
            has_next: next.is_some(),
            has_previous: previous.is_some(),
            next_cursor: next,
            previous_cursor: previous,
        },
    }))
}

/// How many readings a page number or an offset passes over.
fn skipped(query: &ListQuery, limit: usize) -> Result<usize, Problem> {
    let page = query.page.unwrap_or(1);
    if !(1..=PAGES_MAX).contains(&page) || (query.page.is_some() && query.cursor.is_some()) {
        return Err(Problem::field("page", format!("1 to {PAGES_MAX}, and not beside a cursor")));
    }
    let skipped = query.offset.unwrap_or((page - 1) * limit);
    let is_alone = query.page.is_none() && query.cursor.is_none();
    if skipped > PAGES_MAX * limit || (query.offset.is_some() && !is_alone) {
        let detail = format!("0 to {PAGES_MAX} times the limit, and not beside a cursor or a page");
        return Err(Problem::field("offset", detail));
    }
    Ok(skipped)
}

fn metric(name: &str) -> Result<Metric, Problem> {
    Metric::from_name(name).or_else(|| Metric::from_identifier(name)).ok_or_else(|| {
        Problem::field("data_type", "neither a metric's short name nor its HealthKit identifier")
    })
}

fn instant(name: &str, text: &str) -> Result<i64, Problem> {
    // A `+` of an offset that was not escaped arrives as a space.
    let instant = text.replace(' ', "+").parse::<Timestamp>();
    instant
        .map(Timestamp::as_millisecond)
        .map_err(|_hidden| Problem::field(name, "not an RFC 3339 timestamp with an offset"))
}

fn page_link(path: &str, query: &ListQuery, limit: usize, cursor: Option<&str>) -> String {
    let mut parts = url::form_urlencoded::Serializer::new(String::new());
    parts.append_pair("limit", &limit.to_string());
    let filters = [
        ("data_type", &query.data_type),
        ("start_date", &query.start_date),
        ("end_date", &query.end_date),
        ("source", &query.source),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            parts.append_pair(name, value);
        }
    }
    if let Some(cursor) = cursor {
        parts.append_pair("cursor", cursor);
    }
    format!("{}?{}", path.trim_end_matches('/'), parts.finish())
}

/// Where an upload stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProcessingStatus {
    #[schema(value_type = String, format = "uuid")]
    processing_id: String,
    /// `received`, `processing`, `completed` or `failed`.
    status: &'static str,
    /// The job's own state: `stored`, `queued`, `processing`, `completed` or `failed`.
    #[schema(value_type = schemas::JobState)]
    state: JobState,
    /// 0 to 1, counted in states.
    progress: f64,
    accepted_metrics: usize,
    rejected_metrics: usize,
    receipts: ReceiptBody,
    /// Metrics that are held.
    processed_metrics: usize,
    /// Metrics of the upload.
    total_metrics: usize,
    /// Why the job failed.
    error: Option<String>,
    message: String,
    created_at: String,
    last_updated: String,
}

impl From<Upload> for ProcessingStatus {
    fn from(upload: Upload) -> Self {
        Self {
            processing_id: upload.id.to_string(),
            status: status_word(upload.state),
            state: upload.state,
            progress: upload.state.progress(),
            accepted_metrics: upload.items.accepted,
            rejected_metrics: upload.items.rejected,
            processed_metrics: upload.items.accepted + upload.items.duplicate,
            total_metrics: upload.items.accepted + upload.items.duplicate + upload.items.rejected,
            message: message(&upload.receipts),
            receipts: upload.receipts.into(),
            error: upload.failure,
            created_at: seconds(upload.received_at),
            last_updated: seconds(upload.updated_at),
        }
    }
}

/// Where an upload stands.
#[utoipa::path(get, path = "/api/v1/health-data/processing/{processing_id}", tag = "health-data", security(("bearer" = [])),
    params(("processing_id" = String, Path)), responses(
    (status = 200, body = ProcessingStatus),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn status(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let upload = context.app.upload(&user.caller, routes::id(&id)?).await?;
    Ok(HttpResponse::Ok().json(ProcessingStatus::from(upload)))
}

/// Delete an upload's samples for good.
#[utoipa::path(delete, path = "/api/v1/health-data/{processing_id}", tag = "health-data", security(("bearer" = [])),
    params(("processing_id" = String, Path)), responses(
    (status = 200, body = MessageResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn delete(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let count = context.app.delete_upload(&user.caller, routes::id(&id)?).await?;
    Ok(HttpResponse::Ok().json(MessageResponse { message: format!("{count} samples deleted") }))
}

/// Delete an upload's samples for good. The same as `DELETE health-data/{processing_id}`.
#[utoipa::path(delete, path = "/api/v1/health-data/processing/{processing_id}", tag = "health-data", security(("bearer" = [])),
    params(("processing_id" = String, Path)), responses(
    (status = 200, body = MessageResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn delete_processing(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    delete(context, user, id).await
}
