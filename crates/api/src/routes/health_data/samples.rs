//! Uploads as the shipped iOS apps send them, `samples` of HealthKit, and where such an upload stands.

use actix_web::{HttpResponse, web};
use app::{
    ingest::Rejection,
    records::{Receipts, Upload},
};
use domain::job::JobState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{message, status_word};
use crate::{
    extract::{Ctx, HealthUser},
    problem::{Problem, ProblemBody},
    routes,
    routes::seconds,
};

/// A body of HealthKit samples as the shipped iOS apps send it.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; the application parses it sample by sample")]
pub(crate) struct SampleUpload {
    /// The caller's own id.
    #[schema(value_type = String, format = "uuid")]
    user_id: String,
    samples: Vec<UploadedSample>,
    device_info: Option<DeviceInfo>,
    /// When it was sent.
    #[schema(value_type = Option<String>, format = "date-time", example = "2026-03-01T08:00:05Z")]
    timestamp: Option<String>,
}

/// One HealthKit sample. It has no id of its own, so the same reading sent again is known by its content.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; the application parses it sample by sample")]
pub(crate) struct UploadedSample {
    /// HealthKit's type identifier, with or without its beginning: `HKQuantityTypeIdentifierStepCount` or `stepCount`.
    #[schema(example = "heartRate")]
    sample_type: String,
    /// Of a quantity.
    #[schema(example = 61)]
    value: Option<f64>,
    /// Of a category, such as `HKCategoryValueSleepAnalysis`.
    category_value: Option<i32>,
    /// A HealthKit or UCUM unit; absent: the metric's own.
    #[schema(example = "count/min")]
    unit: Option<String>,
    #[schema(format = DateTime, example = "2026-03-01T08:00:00Z")]
    start_date: String,
    #[schema(format = DateTime, example = "2026-03-01T08:00:00Z")]
    end_date: String,
    /// `HKTimeZone` names the IANA zone of the reading.
    #[schema(value_type = Option<Object>)]
    metadata: Option<serde_json::Value>,
    source_revision: Option<SourceRevision>,
}

/// Who made a sample.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; the application parses it sample by sample")]
pub(crate) struct SourceRevision {
    source: SampleSource,
    version: Option<String>,
    #[schema(example = "Watch6,2")]
    product_type: Option<String>,
}

/// The app or device that made a sample.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; the application parses it sample by sample")]
pub(crate) struct SampleSource {
    #[schema(example = "Apple Watch")]
    name: String,
    #[schema(example = "com.apple.health")]
    bundle_identifier: String,
}

/// The phone that sends.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; the application parses it sample by sample")]
pub(crate) struct DeviceInfo {
    #[schema(example = "iPhone15,2")]
    device_model: String,
    #[schema(example = "iOS")]
    system_name: String,
    #[schema(example = "18.3")]
    system_version: String,
    #[schema(example = "1.4.0")]
    app_version: String,
    /// The IANA zone of samples that name none.
    #[schema(example = "Europe/Berlin")]
    time_zone: String,
}

/// An upload of samples that is kept.
#[derive(Serialize, ToSchema)]
pub(crate) struct SampleUploadResponse {
    /// Whether the upload is kept. A refused sample does not change that.
    success: bool,
    #[schema(value_type = String, format = "uuid")]
    upload_id: String,
    /// Samples that are held now: new ones, and those that were held already.
    processed_samples: usize,
    /// Refused samples.
    skipped_samples: usize,
    /// Why, one by one, each beginning with the JSON Pointer of the fault; at most 1000. `null` where nothing was refused.
    #[schema(required)]
    errors: Option<Vec<String>>,
    #[schema(required)]
    message: Option<String>,
}

impl From<&Upload> for SampleUploadResponse {
    fn from(upload: &Upload) -> Self {
        Self {
            success: true,
            upload_id: upload.id.to_string(),
            processed_samples: held(&upload.receipts),
            skipped_samples: upload.receipts.rejected_total,
            errors: errors(&upload.receipts, None),
            message: Some(message(&upload.receipts)),
        }
    }
}

fn held(receipts: &Receipts) -> usize {
    receipts.accepted + receipts.duplicate
}

fn errors(receipts: &Receipts, failure: Option<&str>) -> Option<Vec<String>> {
    let line = |fault: &Rejection| format!("{}: {}", fault.pointer, fault.message);
    let lines: Vec<String> =
        failure.map(str::to_owned).into_iter().chain(receipts.rejected.iter().map(line)).collect();
    Some(lines).filter(|lines| !lines.is_empty())
}

/// Where an upload stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct UploadStatus {
    #[schema(value_type = String, format = "uuid")]
    upload_id: String,
    /// The same: a sync is an upload.
    #[schema(value_type = String, format = "uuid")]
    sync_id: String,
    /// `received`, `processing`, `completed` or `failed`.
    #[schema(example = "completed")]
    status: &'static str,
    /// 0 to 1, counted in states of the job.
    #[schema(minimum = 0, maximum = 1)]
    progress: f64,
    /// Samples that are held.
    processed_samples: usize,
    /// Samples of the upload.
    total_samples: usize,
    /// Why the job failed, and why samples were refused; `null` where there is nothing to say.
    #[schema(required)]
    errors: Option<Vec<String>>,
    /// When the job was completed; `null` before.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    completed_at: Option<String>,
}

impl From<&Upload> for UploadStatus {
    fn from(upload: &Upload) -> Self {
        let is_completed = upload.state == JobState::Completed;
        Self {
            upload_id: upload.id.to_string(),
            sync_id: upload.id.to_string(),
            status: status_word(upload.state),
            progress: upload.state.progress(),
            processed_samples: held(&upload.receipts),
            total_samples: held(&upload.receipts) + upload.receipts.rejected_total,
            errors: errors(&upload.receipts, upload.failure.as_deref()),
            completed_at: is_completed.then(|| seconds(upload.updated_at)),
        }
    }
}

/// Where an upload stands.
#[utoipa::path(get, path = "/api/v1/health-data/upload/{upload_id}/status", tag = "health-data", security(("bearer" = [])),
    params(("upload_id" = String, Path)), responses(
    (status = 200, body = UploadStatus),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn upload_status(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let upload = context.app.upload(&user.caller, routes::id(&id)?).await?;
    Ok(HttpResponse::Ok().json(UploadStatus::from(&upload)))
}

/// Where an upload stands. The same as `GET health-data/upload/{upload_id}/status`: a sync is an upload.
#[utoipa::path(get, path = "/api/v1/health-data/sync/{sync_id}", tag = "health-data", security(("bearer" = [])),
    params(("sync_id" = String, Path, description = "The upload's id")), responses(
    (status = 200, body = UploadStatus),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn sync_status(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    upload_status(context, user, id).await
}
