//! The sockets: what is said on them, who may be on them, and what they bear.

mod ends;
mod handshake;
mod health;
mod limits;
mod room;
mod wire;

use std::{net::SocketAddr, time::Duration};

use e2e::Phone;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        handshake::client::Request,
        http::{HeaderName, HeaderValue, Response},
    },
};

use crate::support::PATIENCE;

/// A client of a socket.
struct Socket(WebSocketStream<TcpStream>);

type Refused = Response<Option<Vec<u8>>>;

/// A handshake for a path below `/api/v1/ws`, without a token.
fn handshake(address: SocketAddr, path: &str) -> Request {
    format!("ws://{address}/api/v1/ws/{path}").into_client_request().unwrap()
}

fn with_header(mut request: Request, name: &'static str, value: &str) -> Request {
    request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    request
}

fn with_token(request: Request, phone: &Phone) -> Request {
    with_header(request, "authorization", &format!("Bearer {}", phone.access_token))
}

/// Connects, or answers how the handshake was refused.
async fn connect(address: SocketAddr, request: Request) -> Result<Socket, Refused> {
    let stream = TcpStream::connect(address).await.unwrap();
    match timeout(PATIENCE, client_async(request, stream)).await.expect("an answer") {
        Ok((socket, _)) => Ok(Socket(socket)),
        Err(tungstenite::Error::Http(response)) => Err(*response),
        Err(error) => panic!("{error}"),
    }
}

/// The status of a refusal, which is a whole problem document, and its type.
async fn refused(address: SocketAddr, request: Request) -> (u16, String) {
    let Err(response) = connect(address, request).await else { panic!("it was let in") };
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = serde_json::from_slice(response.body().as_deref().unwrap()).unwrap();
    assert_eq!(body["status"], response.status().as_u16());
    (response.status().as_u16(), body["type"].as_str().unwrap().replace("/problems/", ""))
}

impl Socket {
    /// Opens one with the token in the header, behind its greeting.
    async fn open(phone: &Phone, path: &str) -> Self {
        let mut socket = Self::open_silently(phone, path).await;
        socket.greeted(phone).await;
        socket
    }

    async fn open_silently(phone: &Phone, path: &str) -> Self {
        let request = with_token(handshake(phone.address, path), phone);
        connect(phone.address, request).await.unwrap_or_else(|refused| panic!("{}", refused.status()))
    }

    async fn health(phone: &Phone) -> Self {
        Self::open(phone, &format!("health-analysis/{}", phone.user_id)).await
    }

    async fn greeted(&mut self, phone: &Phone) {
        let ack = self.next().await;
        assert_eq!(
            (&ack["type"], &ack["user_id"]),
            (&json!("connection_ack"), &json!(phone.user_id)),
            "{ack}"
        );
        let welcome = self.next().await;
        assert_eq!((&welcome["type"], &welcome["level"]), (&json!("system"), &json!("info")), "{welcome}");
    }

    async fn frame(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        timeout(PATIENCE, self.0.next()).await.expect("the socket speaks or ends")
    }

    /// The next message.
    async fn next(&mut self) -> Value {
        loop {
            match self.frame().await {
                Some(Ok(Message::Text(text))) => return whole(&text),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no message but {other:?}"),
            }
        }
    }

    /// The next message, which must be of this type.
    async fn expect(&mut self, kind: &str) -> Value {
        let message = self.next().await;
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    async fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string()).await;
    }

    async fn send_text(&mut self, text: &str) {
        timeout(PATIENCE, self.0.send(Message::text(text))).await.unwrap().unwrap();
    }

    /// Sends something and answers the code of the error that comes.
    async fn error_of(&mut self, text: &str) -> String {
        self.send_text(text).await;
        let error = self.expect("error").await;
        assert!(error["message"].as_str().is_some_and(|words| !words.is_empty()), "{error}");
        error["error_code"].as_str().unwrap().to_owned()
    }

    /// That nothing was said but what is asked for now.
    async fn is_alive(&mut self) {
        self.send(&json!({ "type": "heartbeat", "client_timestamp": "2026-03-01T08:00:00Z" })).await;
        let ack = self.expect("heartbeat_ack").await;
        assert_eq!(ack["client_timestamp"], "2026-03-01T08:00:00Z");
    }

    /// Reads to the end, which must come in good order: the messages until then, the code and the reason.
    async fn end(&mut self) -> (Vec<Value>, u16, String) {
        let mut messages = Vec::new();
        loop {
            match self.frame().await {
                Some(Ok(Message::Text(text))) => messages.push(whole(&text)),
                Some(Ok(Message::Close(Some(close)))) => {
                    return (messages, close.code.into(), close.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no close but {other:?} after {messages:?}"),
            }
        }
    }

    async fn close_code(&mut self) -> u16 {
        self.end().await.1
    }
}

/// A message with what every message has.
fn whole(text: &str) -> Value {
    let message: Value = serde_json::from_str(text).unwrap();
    let timestamp = message["timestamp"].as_str().unwrap();
    assert!(timestamp.len() == 20 && timestamp.ends_with('Z'), "{message}");
    let id = &message["message_id"];
    assert!(id.is_null() || id.as_str().unwrap().parse::<uuid::Uuid>().is_ok(), "{message}");
    message
}

/// So many minutes of steps from 1 March 2026 on.
fn points(count: usize) -> Value {
    let start: jiff::Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let point = |minute: usize| {
        let at = start + jiff::SignedDuration::from_mins(i64::try_from(minute).unwrap());
        let steps = if (420..1320).contains(&(minute % 1440)) { 40 + minute % 30 } else { 0 };
        json!({ "timestamp": at.to_string(), "value": steps })
    };
    json!({ "data_points": (0..count).map(point).collect::<Vec<_>>() })
}

/// Settings under which little waits.
const QUICK: [(&str, &str); 2] = [("live.ping_interval_ms", "200"), ("live.dead_after_ms", "30000")];

/// Long enough for something that must not happen.
const A_WHILE: Duration = Duration::from_millis(600);
