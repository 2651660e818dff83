//! `ws`: sockets. Here is what happens before one is open; what it says is in the modules below.

mod frames;
mod health;
mod messages;
mod relay;
mod room;
mod session;

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{self, Poll},
    time::Duration,
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    http::header,
    web::{self, Bytes, Payload},
};
use app::audit::Caller;
use domain::ids::UserId;
use ports::{Role, VerifiedToken};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use self::session::{Login, Opening};
pub(crate) use self::{
    messages::{ClientMessage, ServerMessage},
    relay::ROOM_EVENT,
};
use super::resource;
use crate::{
    context::Context,
    extract::{Ctx, UserHash, bearer},
    middleware::{RequestId, is_traceparent},
    problem::{Problem, ProblemBody, ProblemKind},
    seats::Seat,
};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(resource("/ws/health-analysis/{user_id}").route(web::get().to(health_analysis)))
        .service(resource("/ws/chat/{room}").route(web::get().to(chat_room)))
        .service(resource("/ws/{room}").route(web::get().to(room)));
}

/// When a client with too many sockets, or of a server that stops, may try again.
const RETRY_AFTER: Duration = Duration::from_secs(10);
const ROOM_LENGTH_MAX: usize = 64;

/// Which socket it is.
#[derive(Clone, Debug)]
enum Channel {
    /// The caller's own analyses. Holds the user that the path names.
    Health(Option<UserId>),
    /// A room of the caller's devices.
    Room(String),
}

/// A WebSocket for analyses of the caller's activity, and for news of their uploads.
///
/// The token comes in `Authorization: Bearer`, in `?token=`, or as the first message: `{"type":"auth","token":"..."}` within 5
/// seconds. Messages are JSON texts of at most 64 KiB (`ClientMessage`, `ServerMessage`), at most 60 a minute.
///
/// The server begins with `connection_ack` and a `system` welcome. The client sends `health_data` (`data.data_points`: 1 to
/// 10,080 of `{timestamp, value}`, steps) or `heartbeat`. To `health_data` the server answers `analysis_update` (`started`,
/// `processing`, `completed` with `details`, a JSON text that names the stored `analysis_id`; or `failed`), then a `message` of
/// the user `AI`: an insight from the stored results. The caller's `upload.*`, `analysis.*` and `insight.*` events come as
/// `analysis_update` and `system`. Errors have `error_code`: `INVALID_JSON`, `UNKNOWN_MESSAGE_TYPE`, `MESSAGE_PARSE_ERROR`,
/// `INVALID_HEALTH_DATA_PAYLOAD`, `INVALID_HEALTH_DATA`, `HEALTH_ANALYSIS_ERROR`, `FORBIDDEN_USER_ID`, `MESSAGE_TOO_LARGE`,
/// `RATE_LIMIT_EXCEEDED`.
///
/// Close codes: 1001 the server stops, 1002 and 1007 not WebSocket or not UTF-8, 1003 a binary message, 1008 the token is not
/// valid any more, names another user or came too late, or far too many messages, 1009 a message is too large, 1011 a fault of
/// ours, 1013 too many sockets or a reader that is too slow. The server pings every 10 seconds and leaves who does not answer
/// for 30.
#[utoipa::path(get, path = "/api/v1/ws/health-analysis/{user_id}", tag = "websocket", security(("bearer" = [])),
    params(("user_id" = String, Path, description = "The caller's own id", format = "uuid"),
        ("token" = Option<String>, Query, description = "The access token, where no header can be set")), responses(
    (status = 101, description = "The socket is open"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Another user's id, a role without health data, or a page of a foreign origin", body = ProblemBody, content_type = "application/problem+json"),
    (status = 426, description = "Not a WebSocket handshake", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "The user has too many sockets", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The server stops", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn health_analysis(
    context: Ctx,
    request: HttpRequest,
    payload: Payload,
    user_id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    open(&context, &request, payload, Channel::Health(user_id.parse().ok())).await
}

/// A WebSocket that the caller's devices share.
///
/// A room belongs to its user: devices of the same user that name the same room hear each other, on whichever instance; a room
/// of that name of anybody else is another room. Tokens, limits and close codes are as for `ws/health-analysis`.
///
/// The client sends `message` (`content` of 1 to 2000 characters), `typing`, `health_insight` (`content.data_points`) or
/// `heartbeat`. The user's other devices get `message`, `typing`, `user_joined` and `user_left`. To a `message`, the user `AI`
/// answers all devices with an insight from the stored results; what was written is not given to the writer. To
/// `health_insight` the server answers as to `health_data`, and then with a `health_insight`, whose `confidence` is `null`:
/// nothing computes one. A `user_id` in a message must be the caller's own, or `FORBIDDEN_USER_ID`. Further error codes:
/// `INVALID_HEALTH_INSIGHT_CONTENT`, `INVALID_HEALTH_INSIGHT_DATA`.
#[utoipa::path(get, path = "/api/v1/ws/{room}", tag = "websocket", security(("bearer" = [])),
    params(("room" = String, Path, description = "Letters, digits, `-`, `_` and `.`", max_length = 64, pattern = r"^[A-Za-z0-9._-]{1,64}$"),
        ("token" = Option<String>, Query, description = "The access token, where no header can be set")), responses(
    (status = 101, description = "The socket is open"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "A role without health data, or a page of a foreign origin", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "Not the name of a room", body = ProblemBody, content_type = "application/problem+json"),
    (status = 426, description = "Not a WebSocket handshake", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "The user has too many sockets", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The server stops", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn room(
    context: Ctx,
    request: HttpRequest,
    payload: Payload,
    room: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    open(&context, &request, payload, Channel::Room(room.into_inner())).await
}

/// A WebSocket that the caller's devices share. The same as `ws/{room}`, by the path that shipped apps call.
#[utoipa::path(get, path = "/api/v1/ws/chat/{room}", tag = "websocket", security(("bearer" = [])),
    params(("room" = String, Path, description = "Letters, digits, `-`, `_` and `.`", max_length = 64, pattern = r"^[A-Za-z0-9._-]{1,64}$"),
        ("token" = Option<String>, Query, description = "The access token, where no header can be set")), responses(
    (status = 101, description = "The socket is open"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "A role without health data, or a page of a foreign origin", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "Not the name of a room", body = ProblemBody, content_type = "application/problem+json"),
    (status = 426, description = "Not a WebSocket handshake", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "The user has too many sockets", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The server stops", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn chat_room(
    context: Ctx,
    request: HttpRequest,
    payload: Payload,
    room_name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    room(context, request, payload, room_name).await
}

async fn open(
    context: &Ctx,
    request: &HttpRequest,
    payload: Payload,
    channel: Channel,
) -> Result<HttpResponse, Problem> {
    let is_handshake = is_handshake(request);
    let login = match credential(request)? {
        Some(token) => Some(log_in(context, token).await?),
        // The first message may bring it.
        None if is_handshake => None,
        None => return Err(Problem::new(ProblemKind::Unauthorized)),
    };
    if let Some(login) = &login {
        request.extensions_mut().insert(UserHash(context.user_hash(login.user_id)));
        if !channel.is_of(login.user_id) {
            return Err(Problem::new(ProblemKind::ForeignUser));
        }
    }
    if !has_own_origin(request, &context.config.server.cors_origins) {
        return Err(Problem::new(ProblemKind::Forbidden).detail("pages of this origin may not connect"));
    }
    channel.check()?;
    if context.lifecycle.streams.is_cancelled() {
        return Err(Problem::new(ProblemKind::Unavailable).retry_after(RETRY_AFTER));
    }
    if !is_handshake {
        return Err(Problem::new(ProblemKind::UpgradeRequired));
    }
    let (mut payload, is_too_large) =
        frames::guarded(payload.into_inner(), context.config.live.message_bytes_max);
    let payload = Payload::from_request(request, &mut payload)
        .await
        .map_err(|_hidden| Problem::new(ProblemKind::Internal))?;
    let (response, socket, messages) =
        actix_ws::handle(request, payload).map_err(|_hidden| Problem::new(ProblemKind::UpgradeRequired))?;
    // The seat is free when the connection is gone, not when it was told to go: one that is not read lingers.
    let seat = Arc::new(OnceLock::new());
    if let Some(login) = &login {
        let taken = context.live.sockets.take(login.user_id).ok_or_else(|| {
            Problem::new(ProblemKind::RateLimited).detail("too many sockets").retry_after(RETRY_AFTER)
        })?;
        seat.set(taken).ok();
    }
    let opening = Opening {
        context: Arc::clone(context),
        channel,
        login,
        request_id: RequestId::of(request),
        traceparent: crate::extract::header(request, "traceparent")
            .filter(|text| is_traceparent(text.as_bytes()))
            .map(str::to_owned),
        seat: Arc::clone(&seat),
        is_too_large,
    };
    actix_web::rt::spawn(opening.run(socket, messages));
    Ok(response.map_body(|_, body| Held { body, _seat: seat }.boxed()))
}

impl Channel {
    /// Whether the user may be on it.
    fn is_of(&self, user: UserId) -> bool {
        match self {
            Self::Health(named) => *named == Some(user),
            Self::Room(_) => true,
        }
    }

    fn check(&self) -> Result<(), Problem> {
        let Self::Room(name) = self else { return Ok(()) };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if (1..=ROOM_LENGTH_MAX).contains(&name.len()) && name.bytes().all(plain) {
            return Ok(());
        }
        Err(Problem::field("room", "1 to 64 letters, digits, hyphens, underscores and dots"))
    }
}

/// Who a token is of, if it may hold sockets.
async fn log_in(context: &Context, token: SecretString) -> Result<Login, Problem> {
    let VerifiedToken { user_id, roles, .. } =
        context.app.platform.tokens.verify(token.expose_secret()).await?;
    if !roles.contains(&Role::User) {
        return Err(Problem::new(ProblemKind::Forbidden));
    }
    Ok(Login { user_id, token })
}

/// The token of the header or, for clients that cannot set one, of the query.
fn credential(request: &HttpRequest) -> Result<Option<SecretString>, Problem> {
    if request.headers().contains_key(header::AUTHORIZATION) {
        let token = bearer(request).ok_or_else(|| Problem::new(ProblemKind::Unauthorized))?;
        return Ok(Some(token.into()));
    }
    let mut pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
    let token = pairs.find(|(name, _)| name == "token").map(|(_, token)| token.into_owned());
    Ok(token.map(SecretString::from))
}

fn is_handshake(request: &HttpRequest) -> bool {
    let upgrade = crate::extract::header(request, header::UPGRADE.as_str()).unwrap_or_default();
    upgrade.eq_ignore_ascii_case("websocket") && request.head().upgrade()
}

/// Whether the page that connects, if a page does, is of this host or of a listed origin. A browser sends the origin; nothing
/// else keeps pages of other sites from opening sockets.
fn has_own_origin(request: &HttpRequest, listed: &[String]) -> bool {
    let mut origins = request.headers().get_all(header::ORIGIN);
    let Some(origin) = origins.next() else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if origins.next().is_some() {
        return false;
    }
    if listed.iter().any(|listed| listed == origin) {
        return true;
    }
    let Some(host) = crate::extract::header(request, header::HOST.as_str()) else { return false };
    Url::parse(origin).is_ok_and(|url| {
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        matches!(url.scheme(), "http" | "https") && authority.eq_ignore_ascii_case(host)
    })
}

impl Opening {
    /// Whose data the socket is about, and in which request.
    fn caller(&self, user: UserId) -> Caller {
        Caller {
            user_id: user,
            actor: user,
            request_id: self.request_id.clone(),
            traceparent: self.traceparent.clone(),
        }
    }
}

/// The body of a socket, which holds its user's seat until the connection is gone.
struct Held {
    body: BoxBody,
    _seat: Arc<OnceLock<Seat>>,
}

impl MessageBody for Held {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.body.as_pin_mut().poll_next(context)
    }
}
