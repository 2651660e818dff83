//! Narratives from facts.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Result;

/// One derived figure that may be spoken of. Facts hold no identifiers. Does not print its value.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// A stable name, such as `sleep.total_sleep_time.mean`.
    pub name: String,
    /// Human words, such as "mean total sleep time".
    pub label: String,
    /// The figure.
    pub value: f64,
    /// Its UCUM unit; empty for a ratio.
    pub unit: String,
    /// How many decimals are worth saying.
    pub decimals: u8,
    /// The method that computed it.
    pub method: String,
    /// What it was computed over, such as "13 of 14 nights".
    pub coverage: String,
}

impl std::fmt::Debug for Fact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fact({})", self.name)
    }
}

/// What an insight is written from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct InsightFacts {
    /// The figures. Empty means that nothing could be assessed.
    pub facts: Vec<Fact>,
    /// What was looked for and could not be assessed, with the reason.
    pub not_assessed: Vec<String>,
    /// BCP 47 language of the text.
    pub language: String,
    /// Whether recommendations are wanted.
    pub include_recommendations: bool,
}

/// What a writer wrote. Does not print.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Narrative {
    /// The text.
    pub narrative: String,
    /// The points worth knowing.
    pub key_insights: Vec<String>,
    /// What one could do.
    pub recommendations: Vec<String>,
    /// Who wrote it, such as `template` or `google-vertex`.
    pub provider: String,
    /// Which model; `None` for a template.
    pub model: Option<String>,
    /// How, in words.
    pub method: String,
    /// What it cost, where the provider says.
    pub usage: Option<Usage>,
}

impl std::fmt::Debug for Narrative {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Narrative(by {})", self.provider)
    }
}

/// What a narrative took.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// What they cost in US dollars, by the prices that the operator configured; `None` where none are.
    #[serde(default)]
    pub cost_usd: Option<f64>,
}

/// Hears a narrative as it is written.
pub type Listener<'a> = dyn FnMut(&str) + Send + 'a;

/// Writes insights.
///
/// # Contract
/// - Every number in the text is a figure among the facts, as rounded as the fact says.
/// - Nothing is written of what was not assessed, except that it was not.
/// - No facts: a text that says so, and no recommendation.
/// - What `hear` is given, one after the other, is the narrative, or where writing fails the beginning of one; all of it keeps
///   the promises above.
#[async_trait]
pub trait InsightWriter: Send + Sync + 'static {
    /// Writes, and has the narrative heard as it comes, sentence by sentence where the writer can.
    async fn write(&self, facts: &InsightFacts, hear: &mut Listener<'_>) -> Result<Narrative>;

    /// The provider's name, for the status endpoint.
    fn provider(&self) -> &str;

    /// The model's name; `None` for a template.
    fn model(&self) -> Option<&str>;
}
