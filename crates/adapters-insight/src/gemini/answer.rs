use ports::Usage;
use serde::Deserialize;

use super::{
    Fault,
    request::{ITEM_CHARS_MAX, ITEMS_MAX, NARRATIVE_CHARS_MAX},
};

/// What Gemini wrote, with its schema checked; its numbers are not.
pub(super) struct Answer {
    pub(super) text: Text,
    pub(super) usage: Option<Usage>,
    pub(super) model_version: Option<String>,
}

/// The schema that was asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    pub(super) narrative: String,
    pub(super) key_insights: Vec<String>,
    #[serde(default)]
    pub(super) recommendations: Vec<String>,
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
    #[serde(default, rename = "promptTokenCount")]
    prompt: u64,
    #[serde(default, rename = "candidatesTokenCount")]
    candidates: u64,
    #[serde(default, rename = "thoughtsTokenCount")]
    thoughts: u64,
}

pub(super) fn read(body: &[u8], with_recommendations: bool) -> Result<Answer, Fault> {
    // A parser's message quotes what it read, so it is not kept.
    let Ok(envelope) = serde_json::from_slice::<Envelope>(body) else { return Err(Fault::Schema) };
    let Some(candidate) = envelope.candidates.into_iter().next() else {
        let reason = envelope.prompt_feedback.and_then(|feedback| feedback.block_reason);
        return Err(Fault::Blocked(code(reason)));
    };
    if candidate.finish_reason.as_deref() != Some("STOP") {
        return Err(Fault::Stopped(code(candidate.finish_reason)));
    }
    let parts = candidate.content.map(|content| content.parts).unwrap_or_default();
    let json: String = parts.into_iter().filter(|part| !part.thought).map(|part| part.text).collect();
    let Ok(text) = serde_json::from_str::<Text>(&json) else { return Err(Fault::Schema) };
    if !text.is_within_limits() || !(with_recommendations || text.recommendations.is_empty()) {
        return Err(Fault::Schema);
    }
    let usage = envelope.usage_metadata.map(|usage| Usage {
        input_tokens: usage.prompt,
        output_tokens: usage.candidates.saturating_add(usage.thoughts),
    });
    Ok(Answer { text, usage, model_version: envelope.model_version.filter(|version| is_short_name(version)) })
}

impl Text {
    fn is_within_limits(&self) -> bool {
        let is_fine = |text: &String, max: usize| !text.trim().is_empty() && text.chars().count() <= max;
        let lists = [&self.key_insights, &self.recommendations];
        is_fine(&self.narrative, NARRATIVE_CHARS_MAX)
            && lists
                .iter()
                .all(|list| list.len() <= ITEMS_MAX && list.iter().all(|item| is_fine(item, ITEM_CHARS_MAX)))
    }
}

/// One of Google's reason codes; anything else could be text about the person.
fn code(reason: Option<String>) -> String {
    reason.filter(|reason| is_short_name(reason)).unwrap_or_else(|| "no reason given".to_owned())
}

fn is_short_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=64).contains(&text.len()) && text.chars().all(is_plain)
}
