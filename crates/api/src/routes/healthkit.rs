//! `healthkit`: uploads of HealthKit's own samples.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, http::StatusCode, web};
use app::{
    idempotency::Once,
    records::{Upload, UploadKind},
};
use domain::job::JobState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    health_data::{ReceiptBody, message, status_word},
    openapi::schemas,
    resource, seconds,
};
use crate::{
    extract::{Ctx, HealthUser, UploadBody},
    problem::{Problem, ProblemBody},
    routes,
    terms::{Terms, reply},
};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(resource("/healthkit").route(web::post().to(upload)))
        .service(resource("/healthkit/upload").route(web::post().to(upload_alias)))
        .service(resource("/healthkit/status/{upload_id}").route(web::get().to(status)));
}

/// One HealthKit sample.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; the application parses it sample by sample")]
pub(crate) struct HealthKitSample {
    /// HealthKit's UUID of the sample.
    #[schema(value_type = String, format = "uuid")]
    identifier: String,
    /// HealthKit's type identifier.
    #[serde(rename = "type")]
    #[schema(example = "HKQuantityTypeIdentifierHeartRate")]
    kind: String,
    #[schema(value_type = f64, example = 61)]
    value: serde_json::Value,
    /// A HealthKit or UCUM unit; absent: the metric's own.
    #[schema(example = "count/min")]
    unit: Option<String>,
    /// RFC 3339 with the local offset.
    #[schema(example = "2026-03-01T08:00:00+01:00")]
    start_date: String,
    #[schema(example = "2026-03-01T08:00:00+01:00")]
    end_date: String,
    source_name: Option<String>,
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    device: Option<serde_json::Value>,
    /// `HKTimeZone` names the IANA zone of the reading.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    metadata: Option<serde_json::Value>,
}

/// A body of samples by kind.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; the application parses it sample by sample")]
pub(crate) struct HealthKitUploadRequest {
    /// The caller's own id, if it is given at all.
    #[schema(value_type = Option<String>, format = "uuid")]
    user_id: Option<String>,
    quantity_samples: Option<Vec<HealthKitSample>>,
    category_samples: Option<Vec<HealthKitSample>>,
    /// `value` or `workout_activity_type` is the `HKWorkoutActivityType`.
    #[schema(value_type = Option<Vec<Value>>)]
    workouts: Option<Vec<serde_json::Value>>,
    /// Correlations hold their samples in `objects`.
    #[schema(value_type = Option<Vec<Value>>)]
    correlation_samples: Option<Vec<serde_json::Value>>,
    /// UUIDs of samples that were deleted on the phone.
    deleted_samples: Option<Vec<String>>,
    /// `time_zone` is the zone of samples that name none.
    #[schema(value_type = Option<schemas::UploadMetadata>)]
    upload_metadata: Option<serde_json::Value>,
    /// Not read.
    #[serde(default)]
    #[schema(value_type = Value)]
    sync_token: serde_json::Value,
}

/// An upload that is kept and will be processed.
#[derive(Serialize, ToSchema)]
pub(crate) struct HealthKitUploadResponse {
    #[schema(value_type = String, format = "uuid")]
    upload_id: String,
    #[schema(example = "received")]
    status: &'static str,
    queued_at: String,
    /// Items of each list of the body.
    samples_received: BTreeMap<String, usize>,
    message: String,
    receipts: ReceiptBody,
    sync_token: String,
}

/// Where an upload stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct HealthKitStatus {
    #[schema(value_type = String, format = "uuid")]
    upload_id: String,
    /// `received`, `processing`, `completed` or `failed`.
    status: &'static str,
    /// The job's own state.
    #[schema(value_type = schemas::JobState)]
    state: JobState,
    /// 0 to 1, counted in states.
    progress: f64,
    receipts: ReceiptBody,
    /// Why the job failed.
    error: Option<String>,
    last_updated: String,
}

impl From<Upload> for HealthKitStatus {
    fn from(upload: Upload) -> Self {
        Self {
            upload_id: upload.id.to_string(),
            status: status_word(upload.state),
            state: upload.state,
            progress: upload.state.progress(),
            receipts: upload.receipts.into(),
            error: upload.failure,
            last_updated: seconds(upload.updated_at),
        }
    }
}

/// Upload HealthKit samples. What is accepted is durable before this answers.
#[utoipa::path(post, path = "/api/v1/healthkit", tag = "healthkit", security(("bearer" = [])), request_body = HealthKitUploadRequest, responses(
    (status = 202, body = HealthKitUploadResponse),
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
        context.app.receive_once(&user.caller, UploadKind::HealthKit, body.0, once).await
    };
    let accepted = |upload: &Upload| reply(StatusCode::ACCEPTED, &HealthKitUploadResponse::from(upload));
    terms.answer(user.user_id, accepted, receive).await
}

/// Upload HealthKit samples. The same as `POST healthkit`, by the path that shipped apps call.
#[utoipa::path(post, path = "/api/v1/healthkit/upload", tag = "healthkit", security(("bearer" = [])), request_body = HealthKitUploadRequest, responses(
    (status = 202, body = HealthKitUploadResponse),
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

impl From<&Upload> for HealthKitUploadResponse {
    fn from(upload: &Upload) -> Self {
        Self {
            upload_id: upload.id.to_string(),
            status: status_word(upload.state),
            queued_at: seconds(upload.received_at),
            samples_received: upload.received.clone(),
            message: message(&upload.receipts),
            sync_token: upload.sequence.to_string(),
            receipts: upload.receipts.clone().into(),
        }
    }
}

/// Where an upload stands.
#[utoipa::path(get, path = "/api/v1/healthkit/status/{upload_id}", tag = "healthkit", security(("bearer" = [])),
    params(("upload_id" = String, Path)), responses(
    (status = 200, body = HealthKitStatus),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn status(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let upload = context.app.upload(&user.caller, routes::id(&id)?).await?;
    Ok(HttpResponse::Ok().json(HealthKitStatus::from(upload)))
}
