//! Has Gemini write the narrative, over REST, by AI Studio or Vertex AI.

mod answer;
mod settings;

use async_trait::async_trait;
use futures::StreamExt;
use google_cloud_auth::credentials::{self, AccessTokenCredentials};
use ports::{Error, ErrorKind, InsightFacts, InsightWriter, Listener, Result};
use reqwest::{
    RequestBuilder,
    header::{HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    fault::Fault,
    http::Http,
    prompt::{self, ITEM_CHARS_MAX, ITEMS_MAX, NARRATIVE_CHARS_MAX},
    writer::{Completion, LanguageModel, LanguageModelWriter, Price},
};
use answer::Answer;
pub use settings::{GeminiRoute, GeminiSettings, GoogleCredential};

/// What may be done with the token of the application's default credentials.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

struct Gemini {
    http: Http,
    route: GeminiRoute,
    model: String,
    credential: Credential,
}

enum Credential {
    Given(SecretString),
    ApplicationDefault(AccessTokenCredentials),
}

impl GeminiSettings {
    /// Checks the settings and prepares a client; nothing is sent.
    pub fn writer(self, price: Option<Price>) -> Result<impl InsightWriter> {
        let timeout = self.limits.timeout;
        let invalid =
            |fault| Error::new(ErrorKind::InvalidInput, "insight.gemini.configure").with_cause(fault);
        Ok(LanguageModelWriter { model: Gemini::new(self).map_err(invalid)?, timeout, price })
    }
}

impl Gemini {
    fn new(settings: GeminiSettings) -> Result<Self, Fault> {
        let http = Http::new(settings.url()?, settings.limits)?;
        let credential = match settings.credential {
            GoogleCredential::Given(credential) => Credential::Given(credential),
            GoogleCredential::ApplicationDefault => {
                let found =
                    credentials::Builder::default().with_scopes([SCOPE]).build_access_token_credentials();
                Credential::ApplicationDefault(found.map_err(|error| Fault::Credential(error.into()))?)
            }
        };
        Ok(Self { http, route: settings.route, model: settings.model, credential })
    }

    /// The credential as it is now; the library renews tokens before they end.
    async fn credential(&self) -> Result<SecretString, Fault> {
        match &self.credential {
            Credential::Given(credential) => Ok(credential.clone()),
            Credential::ApplicationDefault(found) => {
                let token = found.access_token().await.map_err(|error| Fault::Credential(error.into()))?;
                Ok(token.token.into())
            }
        }
    }

    fn authorise(&self, request: RequestBuilder, credential: &SecretString) -> RequestBuilder {
        match self.route {
            GeminiRoute::AiStudio => {
                let (name, value) = api_key(credential.expose_secret());
                request.header(name, value)
            }
            GeminiRoute::Vertex { .. } => request.bearer_auth(credential.expose_secret()),
        }
    }
}

/// The header of AI Studio's key, marked so that HTTP logs leave its value out. The settings' check made sure that the
/// key is a header value; an empty one would be refused by Google.
fn api_key(credential: &str) -> (HeaderName, HeaderValue) {
    let mut value = HeaderValue::from_str(credential).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    (HeaderName::from_static("x-goog-api-key"), value)
}

#[async_trait]
impl LanguageModel for Gemini {
    const OPERATION: &'static str = "insight.gemini.write";

    fn provider(&self) -> &'static str {
        match self.route {
            GeminiRoute::AiStudio => "google-ai-studio",
            GeminiRoute::Vertex { .. } => "google-vertex",
        }
    }

    fn name(&self) -> &str {
        &self.model
    }

    async fn complete(
        &self,
        facts: &InsightFacts,
        deadline: Instant,
        take: &mut Listener<'_>,
        completion: &mut Completion,
    ) -> Result<(), Fault> {
        let credential = self.credential().await?;
        let authorise = |request: RequestBuilder| self.authorise(request, &credential);
        let mut events = self.http.events(&body(facts), deadline, &authorise).await?;
        let mut answer = Answer::default();
        while let Some(event) = events.next().await {
            answer.take(&event?, take, completion)?;
        }
        answer.end()
    }
}

/// What is posted. It holds the facts and nothing else about the person.
fn body(facts: &InsightFacts) -> Value {
    json!({
        "systemInstruction": { "parts": [{ "text": prompt::INSTRUCTION }] },
        "contents": [{ "role": "user", "parts": [{ "text": prompt::message(facts) }] }],
        "generationConfig": {
            "temperature": 0,
            "candidateCount": 1,
            "maxOutputTokens": prompt::OUTPUT_TOKENS_MAX,
            "responseMimeType": "application/json",
            "responseSchema": schema(facts.include_recommendations),
        },
    })
}

/// Google's own kind of schema, which bounds lengths and orders the properties.
fn schema(with_recommendations: bool) -> Value {
    let (text, words) = prompt::TEXT;
    let mut properties = serde_json::Map::new();
    let narrative = json!({ "type": "STRING", "description": words, "maxLength": NARRATIVE_CHARS_MAX });
    properties.insert(text.to_owned(), narrative);
    let mut names = vec![text];
    for (name, words) in prompt::lists(with_recommendations) {
        let items = json!({ "type": "STRING", "maxLength": ITEM_CHARS_MAX });
        let list = json!({ "type": "ARRAY", "description": words, "maxItems": ITEMS_MAX, "items": items });
        properties.insert(name.to_owned(), list);
        names.push(name);
    }
    json!({ "type": "OBJECT", "required": &names, "propertyOrdering": &names, "properties": properties })
}

#[cfg(test)]
mod tests;
