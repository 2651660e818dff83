//! Triton's model repository and statistics.

use std::{collections::BTreeMap, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};
use ports::{ModelState, ModelStatistics, ModelStatus, Tally};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Models, Refusal, Target};
use crate::extract::{Bounds, receive};

/// What is said with a request to the repository is short.
const BODY_BYTES_MAX: usize = 64 * 1024;

#[derive(Default, Deserialize)]
struct Selection {
    #[serde(default)]
    ready: bool,
}

#[derive(Default, Deserialize)]
struct Change {
    #[serde(default)]
    parameters: BTreeMap<String, Value>,
}

/// An object that may be left out.
async fn body<T: DeserializeOwned + Default>(
    models: &Models,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<T, Refusal> {
    let bounds = Bounds {
        bytes_max: BODY_BYTES_MAX,
        timeout: Duration::from_millis(models.config.server.body_timeout_ms),
        encodings: &["gzip", "deflate", "zstd"],
    };
    let body = receive(request, payload.into_inner(), bounds).await?;
    match body.trim_ascii_start().first() {
        None => Ok(T::default()),
        Some(b'{') => serde_json::from_slice(&body)
            .map_err(|_hidden| Refusal::bad("the body is not what the protocol has here")),
        Some(_) => Err(Refusal::bad("the body is not a JSON object")),
    }
}

pub(super) async fn index(
    models: Models,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let Selection { ready } = body(&models, &request, payload).await?;
    let entry = |status: &ModelStatus| {
        let (state, reason) = match &status.state {
            ModelState::Ready { .. } => ("READY", ""),
            ModelState::Unavailable { reason } => ("UNAVAILABLE", reason.as_str()),
        };
        json!({ "name": status.name, "version": status.version, "state": state, "reason": reason })
    };
    let known = models.repository.index().await?;
    let wanted = known.iter().filter(|status| !ready || super::is_ready(status));
    Ok(HttpResponse::Ok().json(wanted.map(entry).collect::<Value>()))
}

pub(super) async fn load(
    models: Models,
    request: HttpRequest,
    model: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let version = version(body(&models, &request, payload).await?)?;
    models.repository.load(&model, version.as_deref()).await?;
    tracing::info!(model = *model, version, "a caller had the model loaded");
    Ok(HttpResponse::Ok().json(json!({})))
}

pub(super) async fn unload(
    models: Models,
    request: HttpRequest,
    model: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let version = version(body(&models, &request, payload).await?)?;
    models.repository.unload(&model, version.as_deref()).await?;
    tracing::info!(model = *model, version, "a caller had the model unloaded");
    Ok(HttpResponse::Ok().json(json!({})))
}

/// The version that a change is about. Models come from the store, verified: a caller brings neither files nor configuration.
fn version(change: Change) -> Result<Option<String>, Refusal> {
    let mut version = None;
    for (name, value) in change.parameters {
        match (name.as_str(), value) {
            // There are no ensembles, so nothing depends on a model.
            ("unload_dependents", _) => {}
            ("version", Value::String(named)) => version = Some(named),
            _ => {
                return Err(Refusal::bad(
                    "of the parameters, only version (a string) and unload_dependents are known here",
                ));
            }
        }
    }
    Ok(version)
}

pub(super) async fn all_statistics(models: Models) -> HttpResponse {
    written(&models.repository.statistics().await)
}

pub(super) async fn statistics(models: Models, target: web::Path<Target>) -> Result<HttpResponse, Refusal> {
    let mut statistics = models.repository.statistics().await;
    statistics.retain(|one| {
        one.name == target.model && target.version.as_ref().is_none_or(|version| one.version == *version)
    });
    if statistics.is_empty() {
        return Err(Refusal::unknown());
    }
    Ok(written(&statistics))
}

fn written(statistics: &[ModelStatistics]) -> HttpResponse {
    let model_stats: Value = statistics.iter().map(of_model).collect();
    HttpResponse::Ok().json(json!({ "model_stats": model_stats }))
}

fn tally(Tally { count, time }: Tally) -> Value {
    json!({ "count": count, "ns": u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) })
}

fn of_model(one: &ModelStatistics) -> Value {
    let failures = one.failure.values().fold(Tally::default(), |sum, reason| Tally {
        count: sum.count + reason.count,
        time: sum.time.saturating_add(reason.time),
    });
    let batches = one.batches.iter().map(|(size, batch)| {
        json!({
            "batch_size": size,
            "compute_input": tally(batch.preprocess),
            "compute_infer": tally(batch.compute),
            "compute_output": tally(batch.postprocess),
        })
    });
    json!({
        "name": one.name,
        "version": one.version,
        "last_inference": one.last_inference.map_or(0, jiff::Timestamp::as_millisecond),
        "inference_count": one.inference_count,
        "execution_count": one.execution_count,
        "inference_stats": {
            "success": tally(one.success),
            "fail": tally(failures),
            "queue": tally(one.queue),
            "compute_input": tally(one.preprocess),
            "compute_infer": tally(one.compute),
            "compute_output": tally(one.postprocess),
            "cache_hit": tally(one.cache_hit),
            "cache_miss": tally(one.cache_miss),
        },
        "batch_stats": batches.collect::<Value>(),
    })
}
