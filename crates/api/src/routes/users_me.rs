//! `users/me`: everything of the caller's, taken along or erased.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use actix_web::{HttpResponse, http::header, web};
use app::erasure::Receipt;
use domain::{measures::merge::SourcePriority, metric::Metric, sample::DeviceKind};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{auth::check_password, resource, seconds};
use crate::{
    export::archive,
    extract::{Ctx, HealthUser, Json, OptionalJson, Peer},
    problem::{Problem, ProblemBody},
};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(resource("/users/me").route(web::delete().to(erase)))
        .service(resource("/users/me/export").route(web::get().to(export)))
        .service(
            resource("/users/me/source-priority")
                .route(web::get().to(priority))
                .route(web::put().to(set_priority)),
        );
}

/// Everything that is held of the caller: a ZIP archive of newline-delimited JSON, a file or more for each store, the bodies of
/// uploads as they came, and `manifest.json` with the count and SHA-256 of each file. It is made while it is sent.
#[utoipa::path(get, path = "/api/v1/users/me/export", tag = "users", security(("bearer" = [])), responses(
    (status = 200, description = "The archive", content_type = "application/zip", body = Vec<u8>),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn export(context: Ctx, user: HealthUser) -> Result<HttpResponse, Problem> {
    let pieces = context.app.export(&user.caller).await?;
    let now = seconds(context.app.platform.clock.now());
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/zip"))
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"clarity-export.zip\""))
        .streaming(archive(pieces, user.user_id.to_string(), now)))
}

/// Whose readings win where several devices tell of the same time: the first one listed that has any at that instant.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourcePriorityBody {
    /// For every metric that has no order of its own; kinds that are not listed come last: watch, ring, phone, other.
    #[schema(value_type = Vec<DeviceWord>, example = json!(["watch", "ring", "phone", "other"]))]
    #[serde(default)]
    order: Vec<DeviceKind>,
    /// For single metrics, by HealthKit's type identifier.
    #[schema(value_type = BTreeMap<String, Vec<DeviceWord>>, example = json!({ "HKQuantityTypeIdentifierStepCount": ["phone", "watch"] }))]
    #[serde(default)]
    by_metric: BTreeMap<String, Vec<DeviceKind>>,
}

/// A kind of device.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the body")]
pub(crate) enum DeviceWord {
    Watch,
    Ring,
    Phone,
    Other,
}

/// Whose readings win where several devices tell of the same time.
#[utoipa::path(get, path = "/api/v1/users/me/source-priority", tag = "users", security(("bearer" = [])), responses(
    (status = 200, body = SourcePriorityBody),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn priority(context: Ctx, user: HealthUser) -> Result<HttpResponse, Problem> {
    let SourcePriority { order, by_metric } = context.app.priority(&user.caller).await?;
    let by_metric =
        by_metric.into_iter().map(|(metric, order)| (metric.identifier().to_owned(), order)).collect();
    Ok(HttpResponse::Ok().json(SourcePriorityBody { order, by_metric }))
}

/// Set whose readings win. All measures are computed anew by it; they follow within seconds, or minutes where there are years.
#[utoipa::path(put, path = "/api/v1/users/me/source-priority", tag = "users", security(("bearer" = [])), request_body = SourcePriorityBody, responses(
    (status = 200, body = SourcePriorityBody),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn set_priority(
    context: Ctx,
    user: HealthUser,
    body: Json<SourcePriorityBody>,
) -> Result<HttpResponse, Problem> {
    let mut priority =
        SourcePriority { order: once_each("/order", &body.0.order)?, ..SourcePriority::default() };
    for (name, order) in &body.0.by_metric {
        let pointer = format!("/by_metric/{name}");
        let metric = Metric::from_identifier(name)
            .ok_or_else(|| Problem::field(pointer.clone(), "not a HealthKit type that Clarity keeps"))?;
        priority.by_metric.insert(metric, once_each(&pointer, order)?);
    }
    context.app.set_priority(&user.caller, priority).await?;
    Ok(HttpResponse::Ok().json(body.0))
}

fn once_each(pointer: &str, order: &[DeviceKind]) -> Result<Vec<DeviceKind>, Problem> {
    let mut seen = BTreeSet::new();
    if order.iter().all(|kind| seen.insert(kind)) {
        Ok(order.to_vec())
    } else {
        Err(Problem::field(pointer.to_owned(), "a kind of device is there twice"))
    }
}

/// What an erasure may carry.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ErasureRequest {
    /// The caller's password, to be checked first.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
}

/// What a store held of the caller.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmptiedStore {
    /// `sessions`, `accounts`, `identity_links`, `consents`, `objects`, `outbox`, `jobs`, `events`, `records` or `caches`.
    #[schema(example = "records")]
    store: String,
    /// How many things were removed from it.
    #[schema(example = 42)]
    count: u64,
}

/// That the caller is erased.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErasureReceipt {
    #[schema(example = "2026-03-01T08:00:00Z")]
    erased_at: String,
    stores: Vec<EmptiedStore>,
}

/// That the caller will be erased.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErasureBegun {
    #[schema(example = "erasing")]
    status: &'static str,
}

impl From<Receipt> for ErasureReceipt {
    fn from(receipt: Receipt) -> Self {
        let stores = receipt.stores.into_iter();
        Self {
            erased_at: seconds(receipt.erased_at),
            stores: stores
                .map(|emptied| EmptiedStore { store: emptied.store, count: emptied.count })
                .collect(),
        }
    }
}

/// How long the answer waits for the receipt.
const PATIENCE: Duration = Duration::from_secs(20);

/// Erase the caller: account, sessions, consents, readings, results, raw bodies, jobs, events and the audit trail, in every
/// store. No token works any more when this answers, and nothing can be undone.
#[utoipa::path(delete, path = "/api/v1/users/me", tag = "users", security(("bearer" = [])), request_body = Option<ErasureRequest>, responses(
    (status = 200, description = "Nothing is left", body = ErasureReceipt),
    (status = 202, description = "The account is gone; there is so much else that it is still being removed", body = ErasureBegun),
    (status = 401, description = "The token is not valid, or the password is wrong", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Locked after too many wrong passwords", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn erase(
    context: Ctx,
    user: HealthUser,
    peer: Peer,
    body: OptionalJson<ErasureRequest>,
) -> Result<HttpResponse, Problem> {
    if let Some(password) = body.0.and_then(|body| body.password) {
        check_password(&context, user.user_id, &peer, &password).await?;
    }
    let counts = context.app.begin_erasure(&user.caller).await?;
    let (app, user_id) = (Arc::clone(&context.app), user.user_id);
    // On its own, so that it is done whether or not the client waits. If it fails, the housekeeping does it again.
    let erasing = tokio::spawn(async move {
        let finished = app.finish_erasure(user_id, counts).await;
        if let Err(error) = &finished {
            tracing::warn!(error = %error, "an erasure could not be finished; it will be tried again");
        }
        finished.ok()
    });
    match tokio::time::timeout(PATIENCE, erasing).await {
        Ok(Ok(Some(receipt))) => Ok(HttpResponse::Ok().json(ErasureReceipt::from(receipt))),
        Ok(Ok(None) | Err(_)) | Err(_) => {
            Ok(HttpResponse::Accepted().json(ErasureBegun { status: "erasing" }))
        }
    }
}
