//! Several uploads in one request.

use actix_web::{HttpResponse, http::StatusCode};
use app::{batch::Batch, idempotency::Once};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{HealthDataUpload, SampleUpload};
use crate::{
    extract::{Ctx, HealthUser, UploadBody},
    problem::{FieldError, Problem, ProblemBody},
    terms::{Terms, reply},
};

/// Several uploads.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; the application parses it record by record")]
pub(crate) struct HealthDataBatch {
    #[schema(min_items = 1, max_items = 100)]
    records: Vec<BatchRecord>,
}

/// One record, an upload of its own, in any of four forms.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the body; the application parses it record by record")]
pub(crate) enum BatchRecord {
    Reading(BatchReading),
    Metric(BatchMetric),
    Upload(HealthDataUpload),
    Samples(SampleUpload),
}

/// One reading.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; the application parses it record by record")]
pub(crate) struct BatchReading {
    /// A metric by its short name or HealthKit identifier; not a category.
    #[schema(example = "heart_rate")]
    data_type: String,
    #[schema(example = 61)]
    value: f64,
    /// A HealthKit or UCUM unit.
    #[schema(example = "count/min")]
    unit: String,
    /// RFC 3339; a number is Swift's way to write an instant: seconds since the beginning of 2001.
    #[schema(value_type = String, format = DateTime, example = "2026-03-01T08:00:00Z")]
    recorded_at: serde_json::Value,
    /// What it is from.
    source: Option<String>,
}

/// One metric of a `HealthDataUpload`, alone.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; the application parses it record by record")]
pub(crate) struct BatchMetric {
    #[schema(example = "heart_rate")]
    metric_type: String,
    #[schema(value_type = Option<Object>, example = json!({"heart_rate": 61}))]
    biometric_data: Option<serde_json::Value>,
    #[schema(value_type = Option<Object>)]
    sleep_data: Option<serde_json::Value>,
    #[schema(value_type = Option<Object>)]
    activity_data: Option<serde_json::Value>,
    #[schema(value_type = Option<Object>)]
    mental_health_data: Option<serde_json::Value>,
    #[schema(format = DateTime, example = "2026-03-01T08:00:00Z")]
    created_at: String,
}

/// What became of the records.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchResponse {
    /// The uploads of the records that are kept, in the batch's order.
    #[schema(value_type = Vec<String>, example = json!(["019b1f6e-0000-7000-8000-000000000000"]))]
    processing_ids: Vec<String>,
    /// How many records are kept.
    success_count: usize,
    /// How many records are not.
    failed_count: usize,
    /// What was refused, also within records that are kept.
    errors: Vec<FieldError>,
}

impl From<&Batch> for BatchResponse {
    fn from(batch: &Batch) -> Self {
        Self {
            processing_ids: batch.uploads.iter().map(ToString::to_string).collect(),
            success_count: batch.uploads.len(),
            failed_count: batch.failed,
            errors: batch.faults.iter().cloned().map(FieldError::from).collect(),
        }
    }
}

/// Upload several records at once. Each is kept or refused on its own, as an upload of its own; what is kept is durable before
/// this answers. A batch of which nothing could be kept is refused, and so is one in which any record names another user.
#[utoipa::path(post, path = "/api/v1/health-data/batch", tag = "health-data", security(("bearer" = [])), request_body = HealthDataBatch, responses(
    (status = 201, description = "At least one record is kept", body = BatchResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "A record names another user, or an operator asks", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "A request with the same `Idempotency-Key` is in progress", body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn upload_batch(
    context: Ctx,
    user: HealthUser,
    terms: Terms,
    body: UploadBody,
) -> Result<HttpResponse, Problem> {
    context.limiter.upload(user.user_id).await?;
    let receive =
        async |once: Option<&Once<'_, Batch>>| context.app.receive_batch(&user.caller, body.0, once).await;
    let created = |batch: &Batch| reply(StatusCode::CREATED, &BatchResponse::from(batch));
    terms.answer(user.user_id, created, receive).await
}
