//! What is said on the sockets, as the shipped apps know it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::routes::pat::DataPoint;

/// How long a chat message is at most, in characters.
pub(super) const CONTENT_CHARACTERS_MAX: usize = 2_000;
/// How large what an app adds to a message is at most, as JSON.
pub(super) const METADATA_BYTES_MAX: usize = 4_096;
/// The longest client time that is sent back.
pub(super) const CLIENT_TIME_LENGTH_MAX: usize = 64;

/// Who writes insights into a room.
pub(super) const AI: &str = "AI";

/// A message from the server.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServerMessage {
    #[serde(flatten)]
    pub(super) body: Body,
    /// Whole seconds, UTC.
    #[schema(example = "2026-03-01T08:00:00Z")]
    pub(super) timestamp: String,
    /// Names the message.
    #[schema(format = "uuid")]
    pub(super) message_id: Option<String>,
}

/// The types of messages from the server.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Body {
    /// Of another device, or of `AI`.
    Message {
        content: String,
        user_id: String,
        username: Option<String>,
        #[schema(value_type = Option<Object>)]
        metadata: Option<Map<String, Value>>,
    },
    /// Of the server.
    System { content: String, level: Level },
    /// Why something was not done.
    Error { error_code: Code, message: String, details: Option<String> },
    /// An insight from stored results.
    HealthInsight {
        user_id: String,
        insight: String,
        /// Nothing computes one.
        confidence: Option<f64>,
        category: &'static str,
        #[schema(value_type = Option<Object>)]
        source_data: Option<Value>,
        recommendations: Option<Vec<String>>,
    },
    /// How far an analysis is, in steps that are done.
    AnalysisUpdate { user_id: String, status: Status, progress: u8, details: Option<String> },
    /// Another device came.
    UserJoined { user_id: String, username: String, status: &'static str },
    /// Another device went.
    UserLeft { user_id: String, username: String, status: &'static str },
    /// Somebody types on another device.
    Typing { user_id: String, username: String, is_typing: bool },
    /// The socket is open.
    ConnectionAck {
        user_id: String,
        session_id: String,
        #[schema(value_type = Option<Object>)]
        server_info: Option<Value>,
    },
    /// The answer to a heartbeat.
    HeartbeatAck { client_timestamp: Option<String>, server_timestamp: String },
}

/// How much a system message matters.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Info,
    Warning,
}

/// How far an analysis is.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Started,
    Processing,
    Completed,
    Failed,
}

/// Why something was not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Code {
    InvalidJson,
    UnknownMessageType,
    MessageParseError,
    InvalidHealthDataPayload,
    InvalidHealthData,
    InvalidHealthInsightContent,
    InvalidHealthInsightData,
    HealthAnalysisError,
    ForbiddenUserId,
    MessageTooLarge,
    RateLimitExceeded,
}

/// A message from a client.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes what clients send; each type is read where it is answered")]
pub(crate) enum ClientMessage {
    /// The first message, where neither header nor query brought a token.
    Auth { token: String },
    /// Asks whether the server is there.
    Heartbeat { client_timestamp: Option<String> },
    /// Steps to analyse. On `ws/health-analysis`.
    HealthData { data: Points },
    /// Something said. In rooms.
    Message {
        #[schema(min_length = 1, max_length = 2000)]
        content: String,
        user_id: Option<String>,
        username: Option<String>,
        #[schema(value_type = Option<Object>)]
        metadata: Option<Value>,
    },
    /// Whether somebody types. In rooms.
    Typing { is_typing: bool, user_id: Option<String>, username: Option<String> },
    /// Steps to analyse. In rooms.
    HealthInsight { content: Points, user_id: Option<String> },
}

/// Steps at instants.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Points {
    #[schema(min_items = 1, max_items = 10080)]
    pub(super) data_points: Vec<DataPoint>,
}

/// A message that was not taken.
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The fields of a message, without its type.
pub(super) type Fields = Map<String, Value>;
