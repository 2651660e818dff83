//! One inference: the body in, the model, the body out.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use bytes::Bytes;
use open_inference::{Encoded, HEADER_LENGTH, Request, Response};
use ports::{Prediction, PredictionRequest, Priority, Tensor};

use super::{Models, Refusal, Target};
use crate::extract::{Bounds, receive};

pub(super) async fn infer(
    models: Models,
    request: HttpRequest,
    target: web::Path<Target>,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let Encoded { body, json_length } = answer(&models, &request, target.into_inner(), payload).await?;
    let mut response = HttpResponse::Ok();
    match json_length {
        Some(length) => response
            .insert_header((header::CONTENT_TYPE, "application/octet-stream"))
            .insert_header((HEADER_LENGTH, length)),
        None => response.insert_header((header::CONTENT_TYPE, "application/json")),
    };
    Ok(response.body(body))
}

/// SageMaker's way: the address names no model.
pub(super) async fn invoke(
    models: Models,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let model = if let Some(model) = &models.config.inference.server.invocations_model {
        model.clone()
    } else {
        let mut active = models.predictor.models().await.into_iter().filter(|status| status.active);
        match (active.next(), active.next()) {
            (Some(only), None) => only.name,
            (None, _) => return Err(Refusal::unavailable("there are no models")),
            (Some(_), Some(_)) => {
                let words = "there are several models: inference.server.invocations_model has to name one";
                return Err(Refusal::bad(words));
            }
        }
    };
    let target = Target { model, version: None };
    let Encoded { body, json_length } = answer(&models, &request, target, payload).await?;
    let content_type = json_length.map_or_else(
        || "application/json".to_owned(),
        |length| format!("{SAGEMAKER};{SAGEMAKER_LENGTH}={length}"),
    );
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, content_type)).body(body))
}

async fn answer(
    models: &Models,
    request: &HttpRequest,
    target: Target,
    payload: web::Payload,
) -> Result<Encoded, Refusal> {
    let config = &models.config;
    let bounds = Bounds {
        bytes_max: config.inference.server.body_bytes_max,
        timeout: Duration::from_millis(config.server.body_timeout_ms),
        encodings: &["gzip", "deflate", "zstd"],
    };
    let json_length = json_length(request)?;
    // Until it is answered.
    let mut room = models.bodies.room(request, bounds.bytes_max).await?;
    let body = receive(request, payload.into_inner(), bounds).await?;
    room.shrink(body.len());
    let mut asked = if json_length == Some(0) {
        raw(models, &target, body).await?
    } else {
        parse(body, json_length).await?
    };
    let inputs = std::mem::take(&mut asked.inputs).into_iter();
    let prediction = models.predictor.predict(PredictionRequest {
        model: target.model,
        version: target.version,
        inputs: inputs.map(|one| Tensor { name: one.name, shape: one.shape, data: one.data }).collect(),
        outputs: asked.outputs.iter().map(|output| output.name.clone()).collect(),
        // As with Triton 1 is the most urgent, and 0 says nothing.
        priority: if asked.priority.unwrap_or(0) <= 1 { Priority::Interactive } else { Priority::Batch },
    });
    let prediction = match asked.timeout {
        None => prediction.await?,
        // Dropped, it leaves the queue.
        Some(timeout) => tokio::time::timeout(timeout, prediction)
            .await
            .map_err(|_elapsed| Refusal::unavailable("the request's own timeout passed"))??,
    };
    encode(asked, prediction).await
}

/// How SageMaker says that a body begins with JSON, and how long that is: it passes no headers on but this one.
/// <https://docs.aws.amazon.com/sagemaker/latest/dg/deploy-model-frameworks-triton.html>
const SAGEMAKER: &str = "application/vnd.sagemaker-triton.binary+json";
const SAGEMAKER_LENGTH: &str = "json-header-size";

/// The length that SageMaker's media type carries.
fn sagemaker_length(request: &HttpRequest) -> Result<Option<usize>, Refusal> {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut parts = value.unwrap_or_default().split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(SAGEMAKER)) {
        return Ok(None);
    }
    let lengths: Vec<_> = parts
        .filter_map(|part| part.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case(SAGEMAKER_LENGTH))
        .map(|(_, length)| length.trim().parse().ok())
        .collect();
    match lengths[..] {
        [Some(length)] => Ok(Some(length)),
        _ => Err(Refusal::bad(format!("{SAGEMAKER_LENGTH} is not one number of bytes"))),
    }
}

fn json_length(request: &HttpRequest) -> Result<Option<usize>, Refusal> {
    let mut values = request.headers().get_all(HEADER_LENGTH);
    let Some(value) = values.next() else { return sagemaker_length(request) };
    let length = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    match (length, values.next()) {
        (Some(length), None) => Ok(Some(length)),
        _ => Err(Refusal::bad("Inference-Header-Content-Length is not one number of bytes")),
    }
}

/// What takes longer than a few hundred microseconds is not done on a thread that serves other connections. Of JSON, that is as
/// much as two weeks of minutes.
const INLINE_BYTES_MAX: usize = 256 * 1024;

async fn parse(body: Bytes, json_length: Option<usize>) -> Result<Request, Refusal> {
    if body.len() <= INLINE_BYTES_MAX {
        return Ok(Request::parse(&body, json_length)?);
    }
    let parsed = web::block(move || Request::parse(&body, json_length)).await;
    Ok(parsed.map_err(|_stopping| Refusal::unavailable("the server is about to stop"))??)
}

/// The one tensor that a body is which has no JSON.
async fn raw(models: &Models, target: &Target, body: Bytes) -> Result<Request, Refusal> {
    let status = models.status(target).await?;
    let [input] = &status.inputs[..] else {
        return Err(Refusal::bad("a body without JSON is for models with one input"));
    };
    let shape: Vec<Option<usize>> =
        std::iter::once(None).chain(input.shape.iter().copied().map(Some)).collect();
    if body.len() <= INLINE_BYTES_MAX {
        return Ok(Request::raw(&body, &input.name, &shape)?);
    }
    let name = input.name.clone();
    let parsed = web::block(move || Request::raw(&body, &name, &shape)).await;
    Ok(parsed.map_err(|_stopping| Refusal::unavailable("the server is about to stop"))??)
}

async fn encode(asked: Request, prediction: Prediction) -> Result<Encoded, Refusal> {
    let Prediction { outputs, model } = prediction;
    let outputs =
        outputs.into_iter().map(|Tensor { name, shape, data }| open_inference::Tensor { name, shape, data });
    let outputs: Vec<_> = outputs.collect();
    let json = outputs.iter().filter(|output| !asked.wants_binary(&output.name));
    let numbers: usize = json.map(|output| output.data.len()).sum();
    let encode = move || {
        let (id, model_name, model_version) = (asked.id.as_deref(), &*model.name, &*model.version);
        Response { id, model_name, model_version, outputs: &outputs }.encode(|name| asked.wants_binary(name))
    };
    let encoded = if numbers * size_of::<f32>() <= INLINE_BYTES_MAX {
        encode()
    } else {
        web::block(encode).await.map_err(|_stopping| Refusal::unavailable("the server is about to stop"))?
    };
    // What cannot be said in JSON was asked for in JSON.
    Ok(encoded?)
}
