//! Cross-origin calls: from the origins that the configuration lists, to the letter, and from nowhere else. There are no
//! cookies, so no origin may send credentials but the token that its own code holds.

use actix_web::http::{
    Method,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};

use crate::config::Server;

const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Content-Encoding, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, \
     Traceparent, Tracestate, X-Request-Id",
);
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static(
    "ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, Traceparent, X-Request-Id",
);
/// For how many seconds a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// What of a request decides about another origin's right to read the answer.
pub(super) struct Cors {
    /// The listed origin that asks.
    origin: Option<HeaderValue>,
    is_preflight: bool,
    varies: bool,
}

impl Cors {
    pub(super) fn of(server: &Server, method: &Method, headers: &HeaderMap) -> Self {
        let mut origins = headers.get_all(header::ORIGIN);
        let origin = origins.next().filter(|_| origins.next().is_none());
        let listed = |origin: &&HeaderValue| {
            server.cors_origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes())
        };
        Self {
            origin: origin.filter(listed).cloned(),
            is_preflight: *method == Method::OPTIONS
                && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD),
            varies: !server.cors_origins.is_empty(),
        }
    }

    /// Adds what a browser asks; `methods` is what the resource does, where that is known.
    pub(super) fn dress(self, headers: &mut HeaderMap, methods: Option<&str>) {
        if self.varies {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = self.origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
        let methods = methods.and_then(|methods| HeaderValue::from_str(methods).ok());
        if let Some(methods) = methods.filter(|_| self.is_preflight) {
            let fixed: [(HeaderName, HeaderValue); 3] = [
                (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
                (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
            ];
            for (name, value) in fixed {
                headers.insert(name, value);
            }
        }
    }
}
