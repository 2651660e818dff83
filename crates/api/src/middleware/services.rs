//! What surrounds the requests of other services to the model server: their id, key, deadline, line in the log and metrics.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::{
    Error, HttpMessage, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        ConnectionType, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{RequestId, accepted, known, screen};
use crate::{
    connection::{Watch, Watched},
    problem::{Problem, ProblemKind},
    routes::open_inference::{ModelContext, Models, OPEN, Refusal},
};

/// Wraps every request of the model server.
pub(crate) async fn attend(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let Some(context) = request.app_data::<Models>().cloned() else {
        return Err(Problem::new(ProblemKind::Internal).into());
    };
    let given = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    let id = given.filter(|id| accepted(id)).map_or_else(|| context.ids.next().to_string(), str::to_owned);
    request.extensions_mut().insert(RequestId(id.clone()));
    let connection = request.conn_data::<Rc<Watch>>().cloned();
    let may_go_on = request.headers().contains_key(header::TRANSFER_ENCODING);
    let in_flight = connection.as_ref().map(|connection| connection.enter(may_go_on));
    // Before the request is given away, which does not come back where it takes too long.
    let asked = Asked {
        method: known(request.method()),
        route: request.match_pattern().unwrap_or_else(|| "unmatched".to_owned()),
        started,
    };
    let outcome = if let Err(problem) = screen::refuse(&request, connection.as_deref()) {
        let mut response = Refusal::from(problem).error_response();
        response.head_mut().set_connection_type(ConnectionType::Close);
        Ok(request.into_response(response))
    } else {
        screen::trim(&mut request);
        if is_let_in(&context, &request) {
            served(&context, request, next).await
        } else {
            Ok(request.into_response(Refusal::unauthorized().error_response()))
        }
    };
    let watched = |body: BoxBody| BoxBody::new(Watched::new(body, in_flight));
    match outcome {
        Ok(mut response) => {
            record(response.response(), &id, asked);
            dress(&context, response.response_mut().head_mut(), &id);
            Ok(response.map_body(|_, body| watched(body)))
        }
        Err(error) => {
            let mut response = error.error_response();
            record(&response, &id, asked);
            dress(&context, response.head_mut(), &id);
            let response = response.map_body(|_, body| watched(body));
            Err(InternalError::from_response(error, response).into())
        }
    }
}

/// What is said of a request in the log and in metrics.
struct Asked {
    method: &'static str,
    route: String,
    started: Instant,
}

/// What the routes answer, if they do so in time.
async fn served(
    context: &ModelContext,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let server = &context.config.server;
    let deadline = Duration::from_millis(server.body_timeout_ms + server.request_timeout_ms);
    match tokio::time::timeout(deadline, next.call(request)).await {
        Ok(outcome) => Ok(outcome?.map_into_boxed_body()),
        // The request is gone with its handler.
        Err(_elapsed) => {
            let refusal = Refusal::unavailable("the request took too long");
            let response = refusal.error_response();
            Err(InternalError::from_response(refusal, response).into())
        }
    }
}

/// Whether the request carries the key, where one is needed. Their digests are compared, which are of one length.
fn is_let_in(context: &ModelContext, request: &ServiceRequest) -> bool {
    let Some(key) = &context.config.inference.server.key else { return true };
    if OPEN.contains(&request.path()) {
        return true;
    }
    let digest = |key: &str| Sha256::digest(key.as_bytes());
    crate::extract::bearer(request.request())
        .is_some_and(|given| digest(&given).ct_eq(&digest(key.expose_secret())).into())
}

fn record(response: &HttpResponse, id: &str, Asked { method, route, started }: Asked) {
    let status = response.status();
    let duration_ms = started.elapsed().as_secs_f64() * 1e3;
    let refusal = response.error().and_then(|error| error.as_error::<Refusal>());
    let cause = refusal.and_then(Refusal::cause);
    let code = status.as_u16();
    // Thousands a second are answered: a line for each would be most of the work.
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(
            request_id = id,
            method,
            route,
            status = code,
            duration_ms,
            cause,
            "inference request"
        );
    } else if status.is_success() {
        tracing::debug!(request_id = id, method, route, status = code, duration_ms, "inference request");
    } else {
        tracing::info!(
            request_id = id,
            method,
            route,
            status = code,
            duration_ms,
            cause,
            "inference request"
        );
    }
    let labels = [("method", method.to_owned()), ("route", route), ("status", status.as_str().to_owned())];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_duration_seconds", &labels[..2])
        .record(started.elapsed().as_secs_f64());
}

fn dress(context: &ModelContext, head: &mut actix_web::dev::ResponseHead, id: &str) {
    if context.lifecycle.is_draining() {
        // Whoever keeps the connection would lose the next request on it.
        head.set_connection_type(ConnectionType::Close);
    }
    head.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    head.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(id) {
        head.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
}
