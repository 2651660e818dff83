//! Has whatever speaks the chat completions of the `OpenAI` protocol write the narrative: `OpenAI`, Azure, vLLM, llama.cpp, Ollama.

use async_trait::async_trait;
use futures::StreamExt;
use ports::{Error, ErrorKind, InsightFacts, InsightWriter, Listener, Result, Usage};
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    address::{address, check_covered},
    fault::{self, Fault},
    http::{Http, check_credential},
    prompt,
    writer::{Completion, LanguageModel, LanguageModelWriter, Limits, Price},
};

/// The last event of a stream.
const DONE: &str = "[DONE]";

/// How to reach a model by the `OpenAI` protocol.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// What stands before `/chat/completions`, such as `https://api.openai.com/v1` or `http://127.0.0.1:8000/v1`.
    pub endpoint: String,
    /// The API key, where the server wants one.
    pub api_key: Option<SecretString>,
    /// The model.
    pub model: String,
    /// Whether an agreement that allows health data (a BAA or its like) covers this endpoint. Without it nothing is sent.
    pub covered: bool,
    /// How long and how often.
    pub limits: Limits,
}

struct OpenAi {
    http: Http,
    api_key: Option<SecretString>,
    model: String,
}

impl OpenAiSettings {
    /// Checks the settings and prepares a client; nothing is sent.
    pub fn writer(self, price: Option<Price>) -> Result<impl InsightWriter> {
        let timeout = self.limits.timeout;
        let invalid =
            |fault| Error::new(ErrorKind::InvalidInput, "insight.openai.configure").with_cause(fault);
        Ok(LanguageModelWriter { model: OpenAi::new(self).map_err(invalid)?, timeout, price })
    }

    fn url(&self) -> Result<Url, Fault> {
        check_covered(self.covered)?;
        self.api_key.as_ref().map_or(Ok(()), check_credential)?;
        if self.model.trim().is_empty() {
            return Err(Fault::Settings("the model has no name"));
        }
        let mut url = address(&self.endpoint)?;
        let path = format!("{}/chat/completions", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(url)
    }
}

impl OpenAi {
    fn new(settings: OpenAiSettings) -> Result<Self, Fault> {
        let http = Http::new(settings.url()?, settings.limits)?;
        Ok(Self { http, api_key: settings.api_key, model: settings.model })
    }

    /// What is posted. It holds the facts and nothing else about the person.
    fn body(&self, facts: &InsightFacts) -> Value {
        let schema = prompt::schema(facts.include_recommendations);
        json!({
            "model": self.model,
            "messages": [
                { "role": "system", "content": prompt::INSTRUCTION },
                { "role": "user", "content": prompt::message(facts) },
            ],
            "temperature": 0,
            "max_completion_tokens": prompt::OUTPUT_TOKENS_MAX,
            "response_format": { "type": "json_schema", "json_schema": { "name": "insight", "strict": true, "schema": schema } },
            "stream": true,
            "stream_options": { "include_usage": true },
        })
    }
}

#[async_trait]
impl LanguageModel for OpenAi {
    const OPERATION: &'static str = "insight.openai.write";

    fn provider(&self) -> &'static str {
        "openai-compatible"
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
        let authorise = |request: RequestBuilder| match &self.api_key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        };
        let mut events = self.http.events(&self.body(facts), deadline, &authorise).await?;
        let mut answer = Answer::default();
        while let Some(event) = events.next().await {
            let event = event?;
            if event == DONE {
                break;
            }
            answer.take(&event, take, completion)?;
        }
        answer.end()
    }
}

#[derive(Default)]
struct Answer {
    finish_reason: Option<String>,
}

// The envelope differs from server to server, so unknown fields are let through here.

#[derive(Deserialize)]
struct Chunk {
    model: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl Answer {
    fn take(
        &mut self,
        event: &str,
        take: &mut Listener<'_>,
        completion: &mut Completion,
    ) -> Result<(), Fault> {
        // A parser's message quotes what it read, so it is not kept.
        let Ok(chunk) = serde_json::from_str::<Chunk>(event) else { return Err(Fault::Schema) };
        if let Some(Tokens { prompt_tokens: Some(input_tokens), completion_tokens: Some(output_tokens) }) =
            chunk.usage
        {
            completion.usage = Some(Usage { input_tokens, output_tokens, cost_usd: None });
        }
        if let Some(model) = chunk.model.filter(|model| fault::is_short_name(model)) {
            completion.model = Some(model);
        }
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(()) };
        if choice.delta.refusal.is_some_and(|words| !words.is_empty()) {
            return Err(Fault::Blocked("refusal".to_owned()));
        }
        take(&choice.delta.content.unwrap_or_default());
        self.finish_reason = choice.finish_reason.or(self.finish_reason.take());
        Ok(())
    }

    fn end(self) -> Result<(), Fault> {
        match self.finish_reason.as_deref() {
            Some("stop") => Ok(()),
            Some("content_filter") => Err(Fault::Blocked("content_filter".to_owned())),
            reason => Err(Fault::Stopped(fault::code(reason))),
        }
    }
}

#[cfg(test)]
mod tests;
