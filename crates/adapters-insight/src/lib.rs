//! Insight writers: a fixed template, which needs nothing, and Gemini (feature `gemini`).
//!
//! Whatever a writer wrote, [`grounding::check`] proves that it states no number that is not among the facts.

mod figures;
#[cfg(feature = "gemini")]
mod gemini;
pub mod grounding;
mod template;

#[cfg(feature = "gemini")]
pub use gemini::{Fault, GeminiRoute, GeminiSettings, GeminiWriter};
pub use template::TemplateWriter;
