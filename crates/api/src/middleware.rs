//! What surrounds every request: its id, its deadline, its line in the log, its metrics and its headers.

pub(crate) mod conditional;
mod cors;
mod headers;
mod methods;
mod screen;
mod services;
mod trace;

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{ConnectionType, Method, StatusCode, header},
    middleware::Next,
    web::Bytes,
};

use self::{conditional::Condition, cors::Cors, headers::Dress, trace::Trace};
pub(crate) use self::{services::attend, trace::is_traceparent};
use crate::{
    connection::{Watch, Watched},
    context::Context,
    extract::{Ctx, UserHash},
    limits,
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

/// What is kept of a request until its answer is there.
struct Seen {
    id: String,
    started: Instant,
    method: Method,
    /// Where a JSON answer gets a tag: on what condition the client wants it.
    condition: Option<Condition>,
    dress: Dress,
}

impl Seen {
    fn of(context: &Context, request: &mut ServiceRequest) -> Self {
        let given =
            request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).filter(|id| accepted(id));
        let id = given.map_or_else(|| context.app.platform.ids.next().to_string(), str::to_owned);
        request.extensions_mut().insert(RequestId(id.clone()));
        let method = request.method().clone();
        let trace = Trace::take(request.headers_mut());
        let is_tagged = matches!(method, Method::GET | Method::HEAD) && request.path().starts_with("/api/v1");
        Self {
            condition: is_tagged.then(|| Condition::of(request.headers())),
            dress: Dress {
                id: id.clone(),
                trace,
                cors: Cors::of(&context.config.server, &method, request.headers()),
                is_docs: request.path().starts_with("/docs"),
                is_options: method == Method::OPTIONS,
                rate: None,
            },
            id,
            started: Instant::now(),
            method,
        }
    }
}

/// Wraps every request.
pub(crate) async fn surround(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(context) = request.app_data::<Ctx>().cloned() else {
        return Err(Problem::new(ProblemKind::Internal).into());
    };
    let mut seen = Seen::of(&context, &mut request);
    let connection = request.conn_data::<Rc<Watch>>().cloned();
    let may_go_on = request.headers().contains_key(header::TRANSFER_ENCODING);
    let in_flight = connection.as_ref().map(|connection| connection.enter(may_go_on));
    if let Err(problem) = screen::refuse(&request, connection.as_deref()) {
        let mut response = problem.response(&seen.id);
        response.head_mut().set_connection_type(ConnectionType::Close);
        return Ok(finish(&context, seen, request.into_response(response), None));
    }
    screen::trim(&mut request);
    if seen.method == Method::HEAD {
        // Answered as GET, and sent without the body.
        request.head_mut().method = Method::GET;
    }
    // The time for the body, and then the time for the answer.
    let deadline = context.body_timeout() + Duration::from_millis(context.config.server.request_timeout_ms);
    // A request that takes too long is dropped with its handler. What it was committing is committed all the same; that is
    // what retries and receipts are for.
    let served = tokio::time::timeout(deadline, limits::noting(next.call(request))).await;
    let Ok((outcome, rate)) = served else {
        return Err(too_late(&context, seen));
    };
    seen.dress.rate = rate;
    let (request, response) = outcome?.into_parts();
    let mut cause = None;
    let response = match response.error().and_then(|error| error.as_error::<Problem>()) {
        Some(problem) => {
            cause = problem.cause().map(str::to_owned);
            problem.response(&seen.id)
        }
        None => response.map_into_boxed_body(),
    };
    let response = match &seen.condition {
        Some(condition) => conditional::tag(&context, condition, &seen.id, response),
        None => response,
    };
    let is_head = seen.method == Method::HEAD;
    let response = finish(&context, seen, ServiceResponse::new(request, response), cause.as_deref());
    Ok(response.map_body(|_, body| {
        let body = if is_head { BoxBody::new(Bodiless(body.size())) } else { body };
        BoxBody::new(Watched::new(body, in_flight))
    }))
}

/// The answer to a request that took too long. The request itself is gone with its handler.
fn too_late(context: &Context, seen: Seen) -> Error {
    let (request_id, method) = (seen.id.as_str(), known(&seen.method));
    tracing::error!(request_id, method, "a request took too long");
    metrics::counter!("http_requests_timed_out_total").increment(1);
    let problem =
        Problem::new(ProblemKind::Unavailable).detail("the request took too long").retry_after(TOO_LATE);
    let mut response = problem.response(request_id);
    seen.dress.on(context, &mut response, None);
    InternalError::from_response(problem, response).into()
}

fn finish(
    context: &Context,
    seen: Seen,
    mut response: ServiceResponse<BoxBody>,
    cause: Option<&str>,
) -> ServiceResponse<BoxBody> {
    record(&response, &seen, cause);
    let pattern = response.request().match_pattern();
    let allowed = pattern.as_deref().and_then(methods::allowed);
    let allowed = allowed.or_else(|| seen.dress.is_docs.then_some(methods::READ));
    seen.dress.on(context, response.response_mut(), allowed);
    response
}

/// The size of a body that is not sent.
struct Bodiless(BodySize);

impl MessageBody for Bodiless {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        self.0
    }

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Bytes, Self::Error>>> {
        std::task::Poll::Ready(None)
    }
}

fn record(response: &ServiceResponse<BoxBody>, seen: &Seen, cause: Option<&str>) {
    let request = response.request();
    // The pattern, not the path: paths hold ids.
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let (id, method, status) = (seen.id.as_str(), known(&seen.method), response.status().as_u16());
    let elapsed = seen.started.elapsed();
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

/// What a resource answers to a method that none of its routes is for.
pub(crate) async fn other_method(request: HttpRequest) -> Result<HttpResponse, Problem> {
    if *request.method() == Method::OPTIONS {
        return Ok(HttpResponse::build(StatusCode::NO_CONTENT).finish());
    }
    Err(Problem::new(ProblemKind::MethodNotAllowed))
}

/// What is answered where there is no resource. The pages of the documentation are no resources but files, which are read;
/// `*` is the server as a whole.
pub(crate) async fn nowhere(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path = request.path();
    let is_page = path.starts_with("/docs/") && *request.method() != Method::GET;
    if is_page || (path == "*" && *request.method() == Method::OPTIONS) {
        return other_method(request).await;
    }
    Err(Problem::new(ProblemKind::NotFound))
}
