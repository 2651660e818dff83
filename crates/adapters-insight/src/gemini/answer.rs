use ports::{Listener, Usage};
use serde::Deserialize;

use crate::{
    fault::{self, Fault},
    writer::Completion,
};

/// What was read of a streamed answer.
#[derive(Default)]
pub(super) struct Answer {
    has_begun: bool,
    finish_reason: Option<String>,
    block_reason: Option<String>,
}

// Google's envelope. It grows new fields, so unknown ones are let through here.

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(default)]
    candidates: Vec<Candidate>,
    prompt_feedback: Option<PromptFeedback>,
    usage_metadata: Option<UsageMetadata>,
    model_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
struct UsageMetadata {
    #[serde(rename = "promptTokenCount")]
    prompt: Option<u64>,
    #[serde(rename = "candidatesTokenCount")]
    candidates: Option<u64>,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts: Option<u64>,
}

impl Answer {
    /// Reads one event of the stream.
    pub(super) fn take(
        &mut self,
        event: &str,
        take: &mut Listener<'_>,
        completion: &mut Completion,
    ) -> Result<(), Fault> {
        // A parser's message quotes what it read, so it is not kept.
        let Ok(envelope) = serde_json::from_str::<Envelope>(event) else { return Err(Fault::Schema) };
        let reason = envelope.prompt_feedback.and_then(|feedback| feedback.block_reason);
        self.block_reason = self.block_reason.take().or(reason);
        if let Some(UsageMetadata { prompt: Some(input_tokens), candidates: Some(written), thoughts }) =
            envelope.usage_metadata
        {
            // Each event tells the sum so far; a model that does not think names no thoughts.
            let output_tokens = written.saturating_add(thoughts.unwrap_or(0));
            completion.usage = Some(Usage { input_tokens, output_tokens, cost_usd: None });
        }
        if let Some(version) = envelope.model_version.filter(|version| fault::is_short_name(version)) {
            completion.model = Some(version);
        }
        let Some(candidate) = envelope.candidates.into_iter().next() else { return Ok(()) };
        self.has_begun = true;
        self.finish_reason = candidate.finish_reason.or(self.finish_reason.take());
        let parts = candidate.content.map(|content| content.parts).unwrap_or_default();
        let written: String = parts.into_iter().filter(|part| !part.thought).map(|part| part.text).collect();
        take(&written);
        Ok(())
    }

    pub(super) fn end(self) -> Result<(), Fault> {
        if !self.has_begun {
            return Err(Fault::Blocked(fault::code(self.block_reason.as_deref())));
        }
        match self.finish_reason.as_deref() {
            Some("STOP") => Ok(()),
            reason => Err(Fault::Stopped(fault::code(reason))),
        }
    }
}
