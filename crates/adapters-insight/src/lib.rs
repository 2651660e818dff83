//! Insight writers: a fixed template, which needs nothing, and language models: Gemini (feature `gemini`), Amazon Bedrock
//! (`bedrock`) and whatever speaks the `OpenAI` protocol (`openai`).
//!
//! Whatever a writer wrote, [`grounding::check`] proves that it states no number that is not among the facts.

#[cfg(feature = "language-model")]
mod address;
#[cfg(feature = "language-model")]
mod answer;
#[cfg(feature = "bedrock")]
mod bedrock;
#[cfg(feature = "language-model")]
mod fault;
mod figures;
#[cfg(feature = "gemini")]
mod gemini;
pub mod grounding;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "openai")]
mod openai;
#[cfg(feature = "language-model")]
mod prompt;
#[cfg(feature = "language-model")]
mod sentences;
mod template;
#[cfg(test)]
#[cfg(feature = "http")]
mod testing;
#[cfg(feature = "language-model")]
mod writer;

#[cfg(feature = "bedrock")]
pub use bedrock::BedrockSettings;
#[cfg(feature = "language-model")]
pub use fault::Fault;
#[cfg(feature = "gemini")]
pub use gemini::{GeminiRoute, GeminiSettings, GoogleCredential};
#[cfg(feature = "openai")]
pub use openai::OpenAiSettings;
pub use template::TemplateWriter;
#[cfg(feature = "language-model")]
pub use writer::{Limits, Price};
