//! On what terms a request is sent: whether it may come again (`Idempotency-Key`), and whether its answer may come later
//! (`Prefer: respond-async`, RFC 7240).

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
    dev::Payload,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use app::idempotency::{Once, Outcome, Reply, Token};
use domain::ids::UserId;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

const KEY: &str = "idempotency-key";
const KEY_LENGTH_MAX: usize = 255;
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The terms of one request.
pub(crate) struct Terms {
    key: Option<String>,
    /// Whether the client rather polls than waits.
    pub respond_async: bool,
    request: HttpRequest,
}

/// The hash of a request's decoded body; noted where the request has a key.
struct BodyHash([u8; 32]);

/// Notes the body of a request, so that a key can be held against it.
pub(crate) fn note_body(request: &HttpRequest, body: &[u8]) {
    if request.headers().contains_key(KEY) {
        request.extensions_mut().insert(BodyHash(Sha256::digest(body).into()));
    }
}

impl FromRequest for Terms {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

impl Terms {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let mut keys = request.headers().get_all(KEY);
        let key = keys.next().map(key).transpose()?;
        if keys.next().is_some() {
            return Err(Problem::field("Idempotency-Key", "is there more than once"));
        }
        let preferences = request.headers().get_all("prefer").filter_map(|value| value.to_str().ok());
        let respond_async = preferences
            .flat_map(|value| value.split(','))
            .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"));
        Ok(Self { key, respond_async, request: request.clone() })
    }

    /// The key as the client sent it.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The key with everything that makes it this request, where there is one. Call it when the body was read.
    pub(crate) fn token(&self, user: UserId) -> Option<Token> {
        let key = self.key.as_deref()?;
        let body = self.request.extensions().get::<BodyHash>().map_or([0; 32], |hash| hash.0);
        let (method, uri) = (self.request.method().as_str(), self.request.uri());
        let path = uri.path().trim_end_matches('/');
        let query = uri.query().unwrap_or_default();
        let prefer: &[u8] = if self.respond_async { b"async" } else { b"" };
        Some(Token::new(user, key, &[method.as_bytes(), path.as_bytes(), query.as_bytes(), prefer, &body]))
    }

    /// Acts once, however often the request comes, and answers what follows from what was made.
    pub(crate) async fn answer<T>(
        &self,
        user: UserId,
        reply: impl Fn(&T) -> app::Result<Reply> + Send + Sync,
        act: impl AsyncFnOnce(Option<&Once<'_, T>>) -> app::Result<Outcome<T>>,
    ) -> Result<HttpResponse, Problem> {
        let (reply, is_replayed) = self.once(user, reply, act).await?;
        Ok(self.respond(reply, is_replayed))
    }

    /// Acts once, however often the request comes; what to answer, and whether it was answered before.
    pub(crate) async fn once<T>(
        &self,
        user: UserId,
        reply: impl Fn(&T) -> app::Result<Reply> + Send + Sync,
        act: impl AsyncFnOnce(Option<&Once<'_, T>>) -> app::Result<Outcome<T>>,
    ) -> Result<(Reply, bool), Problem> {
        let token = self.token(user);
        let once = token.as_ref().map(|token| Once { token, reply: &reply });
        Ok(match act(once.as_ref()).await? {
            Outcome::Done(made) => (reply(&made)?, false),
            Outcome::Replayed(reply) => (reply, true),
        })
    }

    pub(crate) fn respond(&self, reply: Reply, is_replayed: bool) -> HttpResponse {
        let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
        let mut response = HttpResponse::build(status);
        response.insert_header(header::ContentType::json());
        if let Some(location) = reply.location {
            response.insert_header((header::LOCATION, location));
        }
        if self.respond_async && status == StatusCode::ACCEPTED {
            response.insert_header(("preference-applied", "respond-async"));
        }
        if is_replayed {
            response.insert_header((REPLAYED, "true"));
        }
        response.body(reply.body)
    }
}

/// A key as the draft standard has it, a quoted string, or bare as most clients send it.
fn key(value: &HeaderValue) -> Result<String, Problem> {
    let text = value.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let fits = (1..=KEY_LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        Ok(text.to_owned())
    } else {
        let detail = format!("1 to {KEY_LENGTH_MAX} printable ASCII characters without a space");
        Err(Problem::field("Idempotency-Key", detail))
    }
}

/// A reply with a JSON body.
pub(crate) fn reply<T: Serialize>(status: StatusCode, body: &T) -> app::Result<Reply> {
    Reply::json(status.as_u16(), body)
}

/// A reply that says where what was asked for will be.
pub(crate) fn accepted<T: Serialize>(location: String, body: &T) -> app::Result<Reply> {
    Ok(Reply { location: Some(location), ..reply(StatusCode::ACCEPTED, body)? })
}
