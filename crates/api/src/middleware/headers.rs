//! The headers of every answer.

use actix_web::{
    HttpResponse,
    body::BoxBody,
    http::{
        ConnectionType, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};

use super::{cors::Cors, trace::Trace};
use crate::{context::Context, limits::RateState, problem::RETRY_AFTER};

/// An answer is data: a browser that is led to show it as a page must find nothing to run or to load.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// Swagger UI loads its parts from here and styles itself by script.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// What the server as a whole does.
const EVERYTHING: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
const ONE_YEAR: &str = "max-age=31536000";

/// What of a request decides about its answer's headers.
pub(super) struct Dress {
    pub id: String,
    pub trace: Trace,
    pub cors: Cors,
    pub is_docs: bool,
    pub is_options: bool,
    pub rate: Option<RateState>,
}

impl Dress {
    pub(super) fn on(
        self,
        context: &Context,
        response: &mut HttpResponse<BoxBody>,
        allowed: Option<&'static str>,
    ) {
        if context.lifecycle.is_draining() {
            // Whoever keeps the connection would lose the next request on it.
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        let status = response.status();
        let headers = response.headers_mut();
        let fixed = [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::CONTENT_SECURITY_POLICY, if self.is_docs { DOCS_POLICY } else { POLICY }),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let public_url = context.config.server.public_url.as_deref().unwrap_or_default();
        if public_url.starts_with("https://") {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(ONE_YEAR));
        }
        if !headers.contains_key(header::CACHE_CONTROL) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        let waits = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        if waits && !headers.contains_key(header::RETRY_AFTER) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()));
        }
        let mut dynamic = vec![("x-request-id", self.id)];
        if let Some(rate) = self.rate {
            dynamic.extend([("ratelimit-policy", rate.policy), ("ratelimit", rate.state)]);
        }
        for (name, value) in dynamic {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let is_told =
            (self.is_options && status == StatusCode::NO_CONTENT) || status == StatusCode::METHOD_NOT_ALLOWED;
        if is_told && !headers.contains_key(header::ALLOW) {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed.unwrap_or(EVERYTHING)));
        }
        self.trace.dress(headers);
        self.cors.dress(headers, allowed);
    }
}
