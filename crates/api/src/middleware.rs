//! What surrounds every request: its id, its deadline, its line in the log, its metrics and its headers.

use std::time::{Duration, Instant};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
};

use crate::{
    extract::{Ctx, UserHash},
    problem::{Problem, ProblemKind},
};

/// The id of a request: the client's `X-Request-Id` where it is a plain word, else a new one.
#[derive(Clone)]
pub(crate) struct RequestId(String);

impl RequestId {
    pub(crate) fn of(request: &HttpRequest) -> String {
        request.extensions().get::<Self>().map(|id| id.0.clone()).unwrap_or_default()
    }
}

/// When a client may ask again what took too long.
const TOO_LATE: Duration = Duration::from_secs(1);

/// Whether a header is a W3C `traceparent` of version 00. Anything else is a stranger's text, and is dropped.
pub(crate) fn is_traceparent(value: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b'-').collect();
    matches!(parts[..], [b"00", trace, span, flags] if trace.len() == 32 && span.len() == 16 && flags.len() == 2
        && is_hex(trace) && is_hex(span) && is_hex(flags))
}

/// A method by its name; one that somebody made up has none here, or it would be in logs and metrics for ever.
fn known(method: &Method) -> &'static str {
    let standard = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::HEAD,
        Method::OPTIONS,
    ];
    let names = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
    standard.iter().position(|known| known == method).map_or("OTHER", |at| names[at])
}

fn accepted(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Wraps every request.
pub(crate) async fn surround(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let Some(context) = request.app_data::<Ctx>().cloned() else {
        return Err(Problem::new(ProblemKind::Internal).into());
    };
    let given =
        request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).filter(|id| accepted(id));
    let id = given.map_or_else(|| context.app.platform.ids.next().to_string(), str::to_owned);
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = known(request.method());
    let traceparent =
        request.headers().get("traceparent").filter(|value| is_traceparent(value.as_bytes())).cloned();
    // The time for the body, and then the time for the answer.
    let deadline = context.body_timeout() + Duration::from_millis(context.config.server.request_timeout_ms);
    // A request that takes too long is dropped with its handler. What it was committing is committed all the same; that is
    // what retries and receipts are for.
    let Ok(outcome) = tokio::time::timeout(deadline, next.call(request)).await else {
        tracing::error!(request_id = id, method, "a request took too long");
        metrics::counter!("http_requests_timed_out_total").increment(1);
        let problem =
            Problem::new(ProblemKind::Unavailable).detail("the request took too long").retry_after(TOO_LATE);
        return Err(problem.of_request(id).into());
    };
    let (request, response) = outcome?.into_parts();
    let mut cause = None;
    let response = match response.error().and_then(|error| error.as_error::<Problem>()) {
        Some(problem) => {
            cause = problem.cause().map(str::to_owned);
            problem.response(&id)
        }
        None => response.map_into_boxed_body(),
    };
    let mut response = ServiceResponse::new(request, response);
    let is_draining = context.lifecycle.is_draining();
    dress(&mut response, &id, traceparent, is_draining);
    record(&response, &id, started, cause.as_deref());
    Ok(response)
}

fn dress(
    response: &mut ServiceResponse<BoxBody>,
    id: &str,
    traceparent: Option<HeaderValue>,
    is_draining: bool,
) {
    if is_draining {
        // Whoever keeps the connection would lose the next request on it.
        response.response_mut().head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    }
    let headers = response.headers_mut();
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    if let Some(traceparent) = traceparent {
        headers.insert(HeaderName::from_static("traceparent"), traceparent);
    }
}

fn record(response: &ServiceResponse<BoxBody>, id: &str, started: Instant, cause: Option<&str>) {
    let request = response.request();
    // The pattern, not the path: paths hold ids.
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let (method, status) = (known(request.method()), response.status().as_u16());
    let elapsed = started.elapsed();
    let extensions = request.extensions();
    let user = extensions.get::<UserHash>().map_or("-", |user| user.0.as_str());
    let duration_ms = elapsed.as_secs_f64() * 1e3;
    if status >= 500 {
        tracing::error!(request_id = id, method, route, status, duration_ms, user, cause, "request");
    } else {
        tracing::info!(request_id = id, method, route, status, duration_ms, user, cause, "request");
    }
    let labels = [("method", method.to_owned()), ("route", route), ("status", status.to_string())];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_duration_seconds", &labels[..2]).record(elapsed.as_secs_f64());
}
