//! What the server is, and what its models are.

use actix_web::{HttpResponse, http::header, web};
use open_inference::DATATYPE;
use ports::{ModelStatus, TensorSignature};
use serde_json::{Value, json};

use super::{Models, Refusal, Target, is_ready};

/// Which parts of the protocol there are beside its core.
const EXTENSIONS: [&str; 4] = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"];

pub(super) async fn server() -> HttpResponse {
    let version = env!("CARGO_PKG_VERSION");
    HttpResponse::Ok().json(json!({ "name": "clarity", "version": version, "extensions": EXTENSIONS }))
}

pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "live": true }))
}

/// Whether requests should be sent here: there are models, each can be used, and the process is not about to stop.
pub(super) async fn ready(models: Models) -> Result<HttpResponse, Refusal> {
    if models.lifecycle.is_draining() {
        return Err(Refusal::unavailable("the server is about to stop"));
    }
    let statuses = models.predictor.models().await;
    match not_ready(&statuses) {
        Some(reason) => Err(Refusal::unavailable(reason)),
        None => Ok(HttpResponse::Ok().json(json!({ "ready": true }))),
    }
}

/// Why requests should not be sent here. Only active versions count: what was served is served while another one is loaded, or was
/// found to be wrong.
fn not_ready(statuses: &[ModelStatus]) -> Option<String> {
    let mut active = statuses.iter().filter(|status| status.active).peekable();
    if active.peek().is_none() {
        return Some("there are no models".to_owned());
    }
    active.find(|status| !is_ready(status)).map(|status| format!("the model {} is not ready", status.name))
}

pub(super) async fn is_model_ready(
    models: Models,
    target: web::Path<Target>,
) -> Result<HttpResponse, Refusal> {
    let status = models.status(&target).await?;
    if !is_ready(&status) {
        return Err(Refusal::unavailable(format!("the model {} is not ready", status.name)));
    }
    Ok(HttpResponse::Ok().json(json!({ "name": status.name, "ready": true })))
}

/// Any number of rows, and then the shape of each.
fn shape(signature: &TensorSignature) -> Vec<i64> {
    let row = signature.shape.iter().map(|length| i64::try_from(*length).unwrap_or(i64::MAX));
    std::iter::once(-1).chain(row).collect()
}

pub(super) async fn model(models: Models, target: web::Path<Target>) -> Result<HttpResponse, Refusal> {
    let status = models.status(&target).await?;
    let statuses = models.predictor.models().await;
    let usable = statuses.iter().filter(|one| one.name == status.name && is_ready(one));
    let versions: Vec<&String> = usable.filter_map(|one| one.version.as_ref()).collect();
    let tensor =
        |one: &TensorSignature| json!({ "name": one.name, "datatype": DATATYPE, "shape": shape(one) });
    let tensors = |all: &[TensorSignature]| all.iter().map(tensor).collect::<Value>();
    Ok(HttpResponse::Ok().json(json!({
        "name": status.name,
        "versions": versions,
        "platform": "onnxruntime_onnx",
        "inputs": tensors(&status.inputs),
        "outputs": tensors(&status.outputs),
    })))
}

/// What of Triton's model configuration is true here, and what the manifest says beside it.
pub(super) async fn configuration(
    models: Models,
    target: web::Path<Target>,
) -> Result<HttpResponse, Refusal> {
    let status = models.status(&target).await?;
    let tensor =
        |one: &TensorSignature| json!({ "name": one.name, "data_type": "TYPE_FP32", "dims": one.shape });
    let tensors = |all: &[TensorSignature]| all.iter().map(tensor).collect::<Value>();
    let mut parameters = json!({});
    if let Some(identity) = &status.identity {
        let facts = [
            ("sha256", json!(identity.sha256)),
            ("weights", json!(identity.weights)),
            ("intended_use", json!(identity.intended_use)),
            ("licence", json!(identity.licence)),
        ];
        for (name, value) in facts {
            parameters[name] = json!({ "string_value": value });
        }
    }
    let versions: Vec<&String> = status.version.iter().collect();
    Ok(HttpResponse::Ok().json(json!({
        "name": status.name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "version_policy": { "specific": { "versions": versions } },
        "max_batch_size": status.rows_max,
        "input": tensors(&status.inputs),
        "output": tensors(&status.outputs),
        "parameters": parameters,
    })))
}

/// Prometheus text.
pub(super) async fn metrics(models: Models) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4"))
        .body(models.metrics.render())
}

#[cfg(test)]
mod tests {
    use ports::ModelState;

    use super::*;

    fn status(name: &str, active: bool, is_ready: bool) -> ModelStatus {
        let state = if is_ready {
            ModelState::Ready { golden_check: String::new(), execution_provider: String::new() }
        } else {
            ModelState::Unavailable { reason: "loading".to_owned() }
        };
        ModelStatus {
            name: name.to_owned(),
            version: None,
            active,
            identity: None,
            state,
            inputs: Vec::new(),
            outputs: Vec::new(),
            rows_max: 1,
            normalisation: None,
            preprocessing: None,
            calibration: None,
        }
    }

    #[test]
    fn a_version_that_is_not_active_takes_nothing_out_of_service() {
        assert_eq!(not_ready(&[status("a", true, true), status("a", false, false)]), None);
        let waiting = not_ready(&[status("a", true, true), status("b", true, false)]);
        assert_eq!(waiting.as_deref(), Some("the model b is not ready"));
        for none in [&[][..], &[status("a", false, true)]] {
            assert_eq!(not_ready(none).as_deref(), Some("there are no models"));
        }
    }
}
