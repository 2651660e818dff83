//! What a model wrote, held against the schema that was asked for. Its numbers are checked elsewhere.

use serde::Deserialize;

use crate::{
    fault::Fault,
    prompt::{ITEM_CHARS_MAX, ITEMS_MAX, NARRATIVE_CHARS_MAX},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) narrative: String,
    pub(crate) key_insights: Vec<String>,
    #[serde(default)]
    pub(crate) recommendations: Vec<String>,
}

impl Answer {
    pub(crate) fn read(json: &str, with_recommendations: bool) -> Result<Self, Fault> {
        // A parser's message quotes what it read, so it is not kept.
        let Ok(answer) = serde_json::from_str::<Self>(json) else { return Err(Fault::Schema) };
        if answer.is_within_limits() && (with_recommendations || answer.recommendations.is_empty()) {
            Ok(answer)
        } else {
            Err(Fault::Schema)
        }
    }

    fn is_within_limits(&self) -> bool {
        let is_fine = |text: &String, max: usize| !text.trim().is_empty() && text.chars().count() <= max;
        let lists = [&self.key_insights, &self.recommendations];
        is_fine(&self.narrative, NARRATIVE_CHARS_MAX)
            && lists
                .iter()
                .all(|list| list.len() <= ITEMS_MAX && list.iter().all(|item| is_fine(item, ITEM_CHARS_MAX)))
    }
}
