//! Gemini over REST.
//!
//! Only derived facts go out, and only to an endpoint that the operator configured as covered. What comes back counts
//! for nothing until its schema and every number in it were checked.

mod answer;
mod request;
mod retry;
mod settings;

use std::time::Duration;

use async_trait::async_trait;
use ports::{Error, ErrorKind, InsightFacts, InsightWriter, Narrative, Result};
use reqwest::{
    StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::{
    grounding::{self, Ungrounded},
    template,
};
pub use settings::{GeminiRoute, GeminiSettings};

const OPERATION: &str = "insight.gemini.write";
/// A narrative is a few kilobytes; whatever is longer than this is not one.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why a call to Gemini gave no narrative; the cause of the [`Error`]. It holds no text that Gemini wrote.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The settings cannot be used; says what to do.
    #[error("{0}")]
    Settings(&'static str),
    /// The grounding check reads English only, so that no other language can be let through.
    #[error("Gemini writes English only: ask for language `en`, or use the template")]
    Language,
    /// The connection failed.
    #[error("the request could not be sent or its answer not be read")]
    Transport(#[source] reqwest::Error),
    /// The deadline of the whole call passed.
    #[error("no answer before the deadline")]
    Deadline,
    /// An HTTP status other than 200.
    #[error("Gemini answered with status {0}")]
    Status(u16),
    /// More bytes than any narrative has.
    #[error("the answer is larger than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    /// The prompt was blocked, which Gemini answers with status 200 and no candidate.
    #[error("the prompt was blocked ({0})")]
    Blocked(String),
    /// Gemini stopped before it was done, as with `MAX_TOKENS` or `SAFETY`.
    #[error("Gemini stopped early ({0})")]
    Stopped(String),
    /// The answer is not JSON of the schema asked for, or is longer than allowed.
    #[error("the answer does not have the schema asked for")]
    Schema,
    /// The text states a number that it was not given.
    #[error(transparent)]
    Ungrounded(#[from] Ungrounded),
}

/// Has Gemini write the narrative.
#[derive(Debug)]
pub struct GeminiWriter {
    settings: GeminiSettings,
    url: reqwest::Url,
    client: reqwest::Client,
}

impl GeminiWriter {
    /// Checks the settings and prepares a client; nothing is sent.
    pub fn new(settings: GeminiSettings) -> Result<Self> {
        let invalid =
            |fault| Error::new(ErrorKind::InvalidInput, "insight.gemini.configure").with_cause(fault);
        let url = settings.url().map_err(invalid)?;
        let client = reqwest::Client::builder()
            .connect_timeout(settings.connect_timeout)
            // A redirect would carry health data to an endpoint that nobody configured as covered.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Unexpected, "insight.gemini.configure").with_cause(error)
            })?;
        Ok(Self { settings, url, client })
    }

    /// Asks until there is an answer, an error that stays, or no time left. One deadline holds for all of it.
    async fn ask(&self, body: &serde_json::Value) -> Result<Vec<u8>> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut attempt = 0;
        loop {
            let refusal = match tokio::time::timeout_at(deadline, self.attempt(body)).await {
                Ok(Ok(Reply { status: StatusCode::OK, body, .. })) => return Ok(body),
                Ok(Ok(refusal)) => refusal,
                Ok(Err(fault)) => return Err(fault.into()),
                Err(_elapsed) => return Err(Fault::Deadline.into()),
            };
            let delay = retry::delay(refusal.retry_after, &refusal.body, attempt);
            let is_in_time = deadline.saturating_duration_since(Instant::now()) > delay;
            if attempt >= self.settings.retries_max || !retry::is_worthwhile(refusal.status) || !is_in_time {
                return Err(Fault::Status(refusal.status.as_u16()).into());
            }
            attempt += 1;
            tracing::warn!(status = refusal.status.as_u16(), attempt, ?delay, "Gemini is asked again");
            tokio::time::sleep(delay).await;
        }
    }

    async fn attempt(&self, body: &serde_json::Value) -> Result<Reply, Fault> {
        let request = self.client.post(self.url.clone()).json(body);
        let credential = self.settings.credential.expose_secret();
        let request = match self.settings.route {
            GeminiRoute::AiStudio => request.headers(HeaderMap::from_iter([api_key(credential)])),
            GeminiRoute::Vertex { .. } => request.bearer_auth(credential),
        };
        // An error of reqwest names the address, which may name a project.
        let transport = |error: reqwest::Error| Fault::Transport(error.without_url());
        let mut response = request.send().await.map_err(transport)?;
        let retry_after = retry::after(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Fault::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status: response.status(), retry_after, body })
    }
}

/// The header of AI Studio's key, marked so that HTTP logs leave its value out. The settings' check made sure that the
/// key is a header value; an empty one would be refused by Google.
fn api_key(credential: &str) -> (HeaderName, HeaderValue) {
    let mut value = HeaderValue::from_str(credential).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    (HeaderName::from_static("x-goog-api-key"), value)
}

struct Reply {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

#[async_trait]
impl InsightWriter for GeminiWriter {
    async fn write(&self, facts: &InsightFacts) -> Result<Narrative> {
        if facts.facts.iter().all(|fact| grounding::spoken(fact).is_none()) {
            // There is nothing to write about, so there is nothing to send.
            return Ok(template::fill(facts));
        }
        if !request::is_english(&facts.language) {
            return Err(Fault::Language.into());
        }
        let body = self.ask(&request::body(facts)).await?;
        let answer = answer::read(&body, facts.include_recommendations)?;
        let narrative = Narrative {
            narrative: answer.text.narrative,
            key_insights: answer.text.key_insights,
            recommendations: answer.text.recommendations,
            provider: self.provider().to_owned(),
            model: Some(answer.model_version.unwrap_or_else(|| self.settings.model.clone())),
            method: "language model over derived facts; every number checked against them".to_owned(),
            usage: answer.usage,
        };
        grounding::check(&narrative, facts).map_err(Fault::from)?;
        Ok(narrative)
    }

    fn provider(&self) -> &str {
        match self.settings.route {
            GeminiRoute::AiStudio => "google-ai-studio",
            GeminiRoute::Vertex { .. } => "google-vertex",
        }
    }

    fn model(&self) -> Option<&str> {
        Some(&self.settings.model)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let kind = match &fault {
            Fault::Settings(_) | Fault::Language => ErrorKind::InvalidInput,
            Fault::Transport(_) | Fault::Deadline | Fault::Status(500 | 503 | 504) => ErrorKind::Unavailable,
            Fault::Status(429) => ErrorKind::RateLimited,
            Fault::Status(401 | 403) => ErrorKind::PermissionDenied,
            Fault::Status(_)
            | Fault::TooLarge
            | Fault::Blocked(_)
            | Fault::Stopped(_)
            | Fault::Schema
            | Fault::Ungrounded(_) => ErrorKind::Unexpected,
        };
        Self::new(kind, OPERATION).with_cause(fault)
    }
}

#[cfg(test)]
mod tests;
