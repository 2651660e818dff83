//! One open socket: who is on it, what comes and goes, and when it ends.

use std::{
    cell::Cell,
    future::Future,
    num::NonZeroU32,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::web::Bytes;
use actix_ws::{
    AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, MessageStream, ProtocolError,
};
use app::audit::Caller;
use domain::ids::UserId;
use futures::StreamExt;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, interval, timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Channel, ROOM_EVENT, health, log_in,
    messages::{Body, CLIENT_TIME_LENGTH_MAX, Code, Fields, Level, Refusal, ServerMessage, Status},
    room::Room,
};
use crate::{
    context::Context,
    problem::{Problem, ProblemKind},
    routes::seconds,
    seats::Seat,
};

/// How many messages that take time wait for their turn.
const WAITING_MAX: usize = 8;
/// How many more pings and pongs than messages may come.
const CONTROL_FACTOR: u32 = 4;

/// Something that takes time, done one after the other.
pub(super) type Work = Pin<Box<dyn Future<Output = ()>>>;

/// Someone who may be on a socket.
pub(super) struct Login {
    pub(super) user_id: UserId,
    pub(super) token: SecretString,
}

/// A socket that was accepted.
pub(super) struct Opening {
    pub(super) context: Arc<Context>,
    pub(super) channel: Channel,
    /// Missing until the first message, where neither header nor query brought a token.
    pub(super) login: Option<Login>,
    pub(super) request_id: String,
    pub(super) traceparent: Option<String>,
    pub(super) seat: Arc<OnceLock<Seat>>,
    /// Whether the bytes ended with a frame that is too large.
    pub(super) is_too_large: Rc<Cell<bool>>,
}

/// Why a socket ends.
pub(super) struct Ending {
    code: CloseCode,
    reason: &'static str,
}

const fn ending(code: CloseCode, reason: &'static str) -> Ending {
    Ending { code, reason }
}

const BAD_TOKEN: Ending = ending(CloseCode::Policy, "Invalid authentication token");
const STOPS: Ending = ending(CloseCode::Away, "The server stops");
const FAULT: Ending = ending(CloseCode::Error, "Internal error");

impl From<Problem> for Ending {
    fn from(problem: Problem) -> Self {
        match problem.kind() {
            ProblemKind::Unauthorized => BAD_TOKEN,
            ProblemKind::Forbidden | ProblemKind::AccountDisabled => ending(CloseCode::Policy, "Forbidden"),
            _ => FAULT,
        }
    }
}

/// What goes out.
enum Out {
    Text(String),
    Ping,
    Pong(Bytes),
}

impl Out {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Ping => 0,
            Self::Pong(bytes) => bytes.len(),
        }
    }
}

/// What waits for a reader, within bounds.
#[derive(Clone)]
struct Outbox {
    queue: mpsc::Sender<Out>,
    waiting_bytes: Arc<AtomicUsize>,
    bytes_max: usize,
    /// The reader is too slow.
    is_stuck: CancellationToken,
}

impl Outbox {
    fn push(&self, out: Out) {
        let bytes = out.bytes();
        let waiting = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting + bytes > self.bytes_max || matches!(self.queue.try_send(out), Err(TrySendError::Full(_)))
        {
            self.is_stuck.cancel();
        }
    }
}

/// Hands on what waits, until nobody takes it any more.
async fn write(
    mut socket: actix_ws::Session,
    mut queue: mpsc::Receiver<Out>,
    outbox: (Arc<AtomicUsize>, CancellationToken),
    patience: Duration,
) {
    let (waiting_bytes, is_stuck) = outbox;
    while let Some(out) = queue.recv().await {
        let bytes = out.bytes();
        let sent = timeout(patience, async {
            match out {
                Out::Text(text) => socket.text(text).await,
                Out::Ping => socket.ping(b"").await,
                Out::Pong(bytes) => socket.pong(&bytes).await,
            }
        });
        if !matches!(sent.await, Ok(Ok(()))) {
            is_stuck.cancel();
            return;
        }
        waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// An open socket, for whoever has something to say on it.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) context: Arc<Context>,
    pub(super) caller: Caller,
    pub(super) session: Uuid,
    outbox: Outbox,
}

impl Link {
    pub(super) fn render(&self, body: Body) -> Option<String> {
        let platform = &self.context.app.platform;
        let message = ServerMessage {
            body,
            timestamp: seconds(platform.clock.now()),
            message_id: Some(platform.ids.next().to_string()),
        };
        serde_json::to_string(&message).ok()
    }

    pub(super) fn send(&self, body: Body) {
        if let Some(text) = self.render(body) {
            self.send_text(text);
        }
    }

    pub(super) fn send_text(&self, text: String) {
        self.outbox.push(Out::Text(text));
    }

    pub(super) fn refuse(&self, refusal: &Refusal) {
        self.send(Body::Error { error_code: refusal.code, message: refusal.message.clone(), details: None });
    }

    pub(super) fn update(&self, status: Status, progress: u8, details: Option<String>) -> Body {
        Body::AnalysisUpdate { user_id: self.caller.user_id.to_string(), status, progress, details }
    }
}

/// The first message of who brought no token before.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum First {
    Auth { token: SecretString },
}

impl Opening {
    /// Serves the socket to its end.
    pub(super) async fn run(mut self, socket: actix_ws::Session, messages: MessageStream) {
        let live = self.context.config.live.clone();
        let mut messages = messages
            .max_frame_size(live.message_bytes_max)
            .aggregate_continuations()
            .max_continuation_size(live.message_bytes_max);
        let mut pinged = socket.clone();
        let (queue, waiting) = mpsc::channel(live.queue_messages_max);
        let (waiting_bytes, is_stuck) = (Arc::default(), CancellationToken::new());
        let patience = Duration::from_millis(live.write_timeout_ms);
        let ending = match self.authenticated(&mut messages, &mut pinged).await {
            Ok(login) => {
                let outbox = Outbox {
                    queue,
                    waiting_bytes: Arc::clone(&waiting_bytes),
                    bytes_max: live.queue_bytes_max,
                    is_stuck: is_stuck.clone(),
                };
                let session = self.context.app.platform.ids.next();
                let caller = self.caller(login.user_id);
                let link = Link { context: Arc::clone(&self.context), caller, session, outbox };
                let open = Open::new(link, self.channel, login.token, self.is_too_large);
                let mut writer = pin!(write(socket.clone(), waiting, (waiting_bytes, is_stuck), patience));
                let mut serving = pin!(open.run(&mut messages));
                tokio::select! {
                    // It gave up, and so will the other.
                    () = &mut writer => serving.await,
                    ending = &mut serving => {
                        // What was said before the end is said, unless nobody listens.
                        timeout(patience, writer).await.ok();
                        ending
                    }
                }
            }
            Err(ending) => Some(ending),
        };
        if let Some(Ending { code, reason }) = ending {
            let reason = CloseReason { code, description: Some(reason.to_owned()) };
            // Whoever does not read does not get it; the connection ends all the same.
            timeout(patience, socket.close(Some(reason))).await.ok();
        }
    }

    /// Who is on the socket: by the handshake, or by the first message.
    async fn authenticated(
        &mut self,
        messages: &mut AggregatedMessageStream,
        socket: &mut actix_ws::Session,
    ) -> Result<Login, Ending> {
        if let Some(login) = self.login.take() {
            return Ok(login);
        }
        let deadline = Instant::now() + Duration::from_millis(self.context.config.live.auth_timeout_ms);
        let first = loop {
            let stopped = self.context.lifecycle.streams.cancelled();
            let message = tokio::select! {
                () = stopped => return Err(STOPS),
                message = timeout_at(deadline, messages.next()) => message
            };
            let late = |_elapsed| ending(CloseCode::Policy, "Authentication timeout");
            match message.map_err(late)? {
                Some(Ok(AggregatedMessage::Text(text))) => break text,
                Some(Ok(AggregatedMessage::Ping(bytes))) => {
                    let pong = timeout_at(deadline, socket.pong(&bytes)).await.map_err(late)?;
                    pong.map_err(|_hidden| FAULT)?;
                }
                Some(Ok(AggregatedMessage::Pong(_))) => {}
                Some(Ok(AggregatedMessage::Binary(_))) => return Err(BINARY),
                Some(Ok(AggregatedMessage::Close(_))) | None => {
                    return Err(ending(CloseCode::Normal, "Bye"));
                }
                Some(Err(error)) => return Err(malformed(&error, self.is_too_large.get())),
            }
        };
        let Ok(First::Auth { token }) = serde_json::from_str(&first) else {
            return Err(ending(CloseCode::Policy, "Authentication required"));
        };
        let login = log_in(&self.context, token).await?;
        if !self.channel.is_of(login.user_id) {
            return Err(ending(CloseCode::Policy, "User ID mismatch"));
        }
        let seat = self.context.live.sockets.take(login.user_id);
        self.seat.set(seat.ok_or(ending(CloseCode::Again, "Too many sockets"))?).ok();
        Ok(login)
    }
}

const BINARY: Ending = ending(CloseCode::Unsupported, "Messages are texts");

/// What a client did that is no WebSocket.
fn malformed(error: &ProtocolError, is_too_large: bool) -> Ending {
    match error {
        _ if is_too_large => TOO_LARGE,
        ProtocolError::Overflow => TOO_LARGE,
        ProtocolError::Io(error) if is_utf8_fault(error) => ending(CloseCode::Invalid, "Not UTF-8"),
        // The library's word for continuations that are too large together.
        ProtocolError::Io(error)
            if error.kind() == std::io::ErrorKind::Other
                && error.to_string().contains("continuation size") =>
        {
            TOO_LARGE
        }
        _ => ending(CloseCode::Protocol, "Protocol error"),
    }
}

/// The library keeps the error of a whole message, and only the words of one that came in parts.
fn is_utf8_fault(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::InvalidData && error.to_string().contains("utf-8")
}

const TOO_LARGE: Ending = ending(CloseCode::Size, "Message too large");

/// What is said where.
enum Place {
    Health,
    Room(Room),
}

/// A socket whose user is known.
struct Open {
    link: Link,
    channel: Channel,
    token: SecretString,
    is_too_large: Rc<Cell<bool>>,
    heard: Instant,
    messages: DefaultDirectRateLimiter,
    /// Messages beyond the limit are refused; too many of those end the socket.
    refused: DefaultDirectRateLimiter,
    controls: DefaultDirectRateLimiter,
}

impl Open {
    fn new(link: Link, channel: Channel, token: SecretString, is_too_large: Rc<Cell<bool>>) -> Self {
        let count = NonZeroU32::new(link.context.config.live.messages_per_minute).unwrap_or(NonZeroU32::MIN);
        let limiter = |count| RateLimiter::direct(Quota::per_minute(count));
        Self {
            link,
            channel,
            token,
            is_too_large,
            heard: Instant::now(),
            messages: limiter(count),
            refused: limiter(count),
            controls: limiter(count.saturating_mul(NonZeroU32::new(CONTROL_FACTOR).unwrap_or(count))),
        }
    }

    /// Serves the socket; answers how it ends, where the client has not ended it.
    async fn run(mut self, messages: &mut AggregatedMessageStream) -> Option<Ending> {
        let context = Arc::clone(&self.link.context);
        let Ok(events) = context.app.live_events().await else { return Some(FAULT) };
        let place = self.place().await;
        // Before the greeting: who was greeted hears of those who come later, and not of this one any more.
        if let Place::Room(room) = &place {
            room.tell(room.joined()).await;
        }
        self.greet();
        let ending = self.serve(messages, events, &place).await;
        if let Place::Room(room) = &place {
            room.tell(room.left()).await;
        }
        ending
    }

    async fn place(&self) -> Place {
        let Channel::Room(name) = &self.channel else { return Place::Health };
        let profile = self.link.context.app.platform.identity.profile(self.link.caller.user_id).await;
        let display_name = profile.ok().flatten().and_then(|profile| profile.display_name);
        Place::Room(Room { link: self.link.clone(), name: name.clone(), display_name })
    }

    fn greet(&self) {
        let live = &self.link.context.config.live;
        let server_info = json!({
            "ping_interval_seconds": live.ping_interval_ms / 1000,
            "messages_per_minute": live.messages_per_minute,
            "message_bytes_max": live.message_bytes_max,
            "data_points_max": live.points_max,
        });
        self.link.send(Body::ConnectionAck {
            user_id: self.link.caller.user_id.to_string(),
            session_id: self.link.session.to_string(),
            server_info: Some(server_info),
        });
        let content = match &self.channel {
            Channel::Health(_) => "Connected to health analysis.".to_owned(),
            Channel::Room(name) => format!("Connected to {name}."),
        };
        self.link.send(Body::System { content, level: Level::Info });
    }

    async fn serve(
        &mut self,
        messages: &mut AggregatedMessageStream,
        mut events: ports::EventStream,
        place: &Place,
    ) -> Option<Ending> {
        let context = Arc::clone(&self.link.context);
        let live = &context.config.live;
        let dead_after = Duration::from_millis(live.dead_after_ms);
        let mut tick = interval(Duration::from_millis(live.ping_interval_ms));
        tick.tick().await;
        let (work, waiting) = mpsc::channel::<Work>(WAITING_MAX);
        let mut working = pin!(ReceiverStream::new(waiting).for_each(|work| work));
        let is_stuck = self.link.outbox.is_stuck.clone();
        loop {
            tokio::select! {
                () = context.lifecycle.streams.cancelled() => return Some(STOPS),
                () = is_stuck.cancelled() => {
                    return Some(ending(CloseCode::Again, "Reading too slowly"));
                }
                _ = tick.tick() => {
                    if self.heard.elapsed() > dead_after {
                        return Some(ending(CloseCode::Policy, "No answer to pings"));
                    }
                    if let Err(ending) = self.verify().await {
                        return Some(ending);
                    }
                    self.link.outbox.push(Out::Ping);
                }
                message = messages.next() => match self.incoming(message, place, &work).await {
                    // The writer, and the other connections of this thread, have their turn before the next one.
                    Ok(()) => tokio::task::yield_now().await,
                    Err(ending) => return ending,
                },
                Some(event) = events.next() => {
                    if let Err(ending) = self.happened(event, place).await {
                        return Some(ending);
                    }
                }
                // Never: `work` is held here.
                () = &mut working => return Some(FAULT),
            }
        }
    }

    /// Whether the user may still be here.
    async fn verify(&self) -> Result<(), Ending> {
        let login = log_in(&self.link.context, self.token.clone()).await?;
        // The same token, the same user; a verifier that says otherwise is not to be followed.
        if login.user_id == self.link.caller.user_id { Ok(()) } else { Err(BAD_TOKEN) }
    }

    /// Takes what came from the client. An error without an ending: the client has left.
    async fn incoming(
        &mut self,
        message: Option<Result<AggregatedMessage, ProtocolError>>,
        place: &Place,
        work: &mpsc::Sender<Work>,
    ) -> Result<(), Option<Ending>> {
        self.heard = Instant::now();
        match message {
            Some(Ok(AggregatedMessage::Text(text))) => {
                if self.messages.check().is_err() {
                    if self.refused.check().is_err() {
                        return Err(Some(ending(CloseCode::Policy, "Far too many messages")));
                    }
                    self.link.refuse(&Refusal::new(Code::RateLimitExceeded, "too many messages a minute"));
                    return Ok(());
                }
                self.verify().await.map_err(Some)?;
                let taken = self.taken(&text, place);
                let taken = taken.and_then(|work_of| match work_of {
                    Some(work_of) => work.try_send(work_of).map_err(|_hidden| {
                        Refusal::new(Code::RateLimitExceeded, "too many messages wait for their answers")
                    }),
                    None => Ok(()),
                });
                if let Err(refusal) = taken {
                    self.link.refuse(&refusal);
                }
                Ok(())
            }
            Some(Ok(AggregatedMessage::Ping(bytes))) => {
                self.control()?;
                self.link.outbox.push(Out::Pong(bytes));
                Ok(())
            }
            Some(Ok(AggregatedMessage::Pong(_))) => self.control(),
            Some(Ok(AggregatedMessage::Binary(_))) => Err(Some(BINARY)),
            Some(Ok(AggregatedMessage::Close(_))) => Err(Some(ending(CloseCode::Normal, "Bye"))),
            Some(Err(error)) => {
                let ending = malformed(&error, self.is_too_large.get());
                if matches!(ending.code, CloseCode::Size) {
                    let max = self.link.context.config.live.message_bytes_max;
                    let words = format!("a message has at most {max} bytes");
                    self.link.refuse(&Refusal::new(Code::MessageTooLarge, words));
                }
                Err(Some(ending))
            }
            None => Err(None),
        }
    }

    fn control(&self) -> Result<(), Option<Ending>> {
        let flood = ending(CloseCode::Policy, "Far too many control frames");
        self.controls.check().map_err(|_hidden| Some(flood))
    }

    /// Reads a message, and answers it or says what there is to do.
    fn taken(&self, text: &str, place: &Place) -> Result<Option<Work>, Refusal> {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
            return Err(Refusal::new(Code::InvalidJson, "a message is a JSON object"));
        };
        let kind = fields.remove("type");
        let kind = kind.as_ref().and_then(Value::as_str).unwrap_or_default();
        self.check_user(&fields)?;
        match place {
            _ if kind == "heartbeat" => self.heartbeat(&fields).map(|()| None),
            Place::Health => health::received(&self.link, kind, fields).map(Some),
            Place::Room(room) => room.received(kind, fields).map(Some),
        }
    }

    /// A message speaks for nobody but its sender.
    fn check_user(&self, fields: &Fields) -> Result<(), Refusal> {
        let own = self.link.caller.user_id;
        match fields.get("user_id") {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(named)) if named.parse::<UserId>().ok() == Some(own) => Ok(()),
            Some(_) => Err(Refusal::new(Code::ForbiddenUserId, "the message names another user")),
        }
    }

    fn heartbeat(&self, fields: &Fields) -> Result<(), Refusal> {
        let client_timestamp = match fields.get("client_timestamp") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.len() <= CLIENT_TIME_LENGTH_MAX => Some(text.clone()),
            Some(_) => {
                return Err(Refusal::new(Code::MessageParseError, "client_timestamp is not a short text"));
            }
        };
        let server_timestamp = seconds(self.link.context.app.platform.clock.now());
        self.link.send(Body::HeartbeatAck { client_timestamp, server_timestamp });
        Ok(())
    }

    /// Tells of what happened elsewhere.
    async fn happened(&self, event: ports::Result<ports::Event>, place: &Place) -> Result<(), Ending> {
        let event = match event {
            Ok(event) if event.user_id == self.link.caller.user_id => event,
            Ok(_) => return Ok(()),
            Err(_) => {
                let content = "Some news was missed; GET events has what is kept.".to_owned();
                self.link.send(Body::System { content, level: Level::Warning });
                return Ok(());
            }
        };
        // Whoever signed out since then hears no more.
        self.verify().await?;
        match (place, event.name == ROOM_EVENT) {
            (Place::Health, false) => self.link.send(health::news(&self.link, &event)),
            (Place::Room(room), true) => room.hear(&event.body),
            (Place::Health, true) | (Place::Room(_), false) => {}
        }
        Ok(())
    }
}
