//! The socket that a user's devices share.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    health::{self, Analysis, Codes},
    messages::{Body, CONTENT_CHARACTERS_MAX, Code, Fields, METADATA_BYTES_MAX, Refusal},
    relay::Said,
    session::{Link, Work},
};

/// A room and the device that is in it.
#[derive(Clone)]
pub(super) struct Room {
    pub(super) link: Link,
    pub(super) name: String,
    /// What the user likes to be called.
    pub(super) display_name: Option<String>,
}

impl Room {
    /// Takes a message of a client.
    pub(super) fn received(&self, kind: &str, fields: Fields) -> Result<Work, Refusal> {
        match kind {
            "message" => self.message(fields),
            "typing" => self.typing(fields),
            "health_insight" => self.insight(fields),
            _ => Err(Refusal::new(
                Code::UnknownMessageType,
                "types here are message, typing, health_insight and heartbeat",
            )),
        }
    }

    pub(super) fn joined(&self) -> Body {
        Body::UserJoined { user_id: self.user_id(), username: self.username(), status: "online" }
    }

    pub(super) fn left(&self) -> Body {
        Body::UserLeft { user_id: self.user_id(), username: self.username(), status: "offline" }
    }

    /// Says something to the other devices.
    pub(super) async fn tell(&self, body: Body) {
        if let Some(text) = self.link.render(body) {
            self.pass_on(text).await;
        }
    }

    /// Passes on what another device said here, if it was not this one.
    pub(super) fn hear(&self, sealed: &[u8]) {
        let said = Said::open(&self.link.context, self.link.caller.user_id, sealed);
        if let Some(said) = said.filter(|said| said.room == self.name && said.session != self.link.session) {
            self.link.send_text(said.text);
        }
    }

    async fn pass_on(&self, text: String) {
        let Link { context, caller, session, .. } = &self.link;
        let said = Said { room: self.name.clone(), session: *session, text };
        let Some(sealed) = said.seal(context, caller.user_id) else { return };
        if let Err(error) = context.app.tell(caller.user_id, super::ROOM_EVENT, sealed.into()).await {
            tracing::warn!(error = %error, "a room's message did not reach the other devices");
        }
    }

    /// Says something to all devices, this one too.
    async fn tell_all(&self, body: Body) {
        if let Some(text) = self.link.render(body) {
            self.link.send_text(text.clone());
            self.pass_on(text).await;
        }
    }

    fn message(&self, fields: Fields) -> Result<Work, Refusal> {
        #[derive(Deserialize)]
        struct Message {
            content: String,
            #[serde(default)]
            metadata: Option<Map<String, Value>>,
        }
        let Message { content, metadata } = read(fields)?;
        if !(1..=CONTENT_CHARACTERS_MAX).contains(&content.chars().count()) {
            return Err(Refusal::new(Code::MessageParseError, "content has 1 to 2000 characters"));
        }
        let metadata_bytes = metadata.as_ref().map_or(0, |metadata| json!(metadata).to_string().len());
        if metadata_bytes > METADATA_BYTES_MAX {
            return Err(Refusal::new(Code::MessageParseError, "metadata has at most 4096 bytes"));
        }
        let message =
            Body::Message { content, user_id: self.user_id(), username: self.display_name.clone(), metadata };
        let room = self.clone();
        Ok(Box::pin(async move {
            room.tell(message).await;
            // The writer gets the user's results, and never what was written here.
            match health::write(&room.link, "chat_response", false).await {
                Ok(insight) => room.tell_all(health::answer(insight)).await,
                Err(refusal) => room.link.refuse(&refusal),
            }
        }))
    }

    fn typing(&self, fields: Fields) -> Result<Work, Refusal> {
        #[derive(Deserialize)]
        struct Typing {
            is_typing: bool,
        }
        let Typing { is_typing } = read(fields)?;
        let typing = Body::Typing { user_id: self.user_id(), username: self.username(), is_typing };
        let room = self.clone();
        Ok(Box::pin(async move { room.tell(typing).await }))
    }

    fn insight(&self, mut fields: Fields) -> Result<Work, Refusal> {
        let codes =
            Codes { payload: Code::InvalidHealthInsightContent, data: Code::InvalidHealthInsightData };
        let analysis = Analysis::of(&self.link, fields.remove("content"), "ws/room", codes)?;
        let room = self.clone();
        Ok(Box::pin(async move {
            let Some((id, insight)) = analysis.run(&room.link, "health_insight").await else { return };
            let body = Body::HealthInsight {
                user_id: room.user_id(),
                insight: insight.narrative.narrative,
                confidence: None,
                category: "activity",
                source_data: Some(json!({ "analysis_id": id, "insight_id": insight.id })),
                recommendations: Some(insight.narrative.recommendations),
            };
            room.tell_all(body).await;
        }))
    }

    fn user_id(&self) -> String {
        self.link.caller.user_id.to_string()
    }

    fn username(&self) -> String {
        self.display_name.clone().unwrap_or_else(|| "User".to_owned())
    }
}

fn read<T: for<'de> Deserialize<'de>>(fields: Fields) -> Result<T, Refusal> {
    serde_json::from_value(Value::Object(fields)).map_err(|_hidden| {
        Refusal::new(Code::MessageParseError, "a field is missing or does not have its type")
    })
}
