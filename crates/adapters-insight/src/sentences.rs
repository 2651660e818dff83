//! The sentences of a narrative, while the JSON that holds it is still growing.

use ports::{InsightFacts, Listener};
use unicode_segmentation::UnicodeSegmentation;

use crate::{grounding::Ground, prompt::NARRATIVE_CHARS_MAX};

/// The narrative is decoded anew with each part, so this bounds the work; no accepted one is longer, all escaped.
const SHOWN_BYTES_MAX: usize = 6 * NARRATIVE_CHARS_MAX;

/// Hands on each sentence of the narrative as soon as it is complete and every number in it was found among the facts.
///
/// It stops at the first sentence of which that cannot be said: the check of the whole then decides. So what was handed on
/// is always the beginning of the narrative, and holds no number that is not a fact.
pub(crate) struct Sentences<'a> {
    ground: Ground,
    hear: &'a mut Listener<'a>,
    json: String,
    /// Bytes of the narrative that were handed on.
    told: usize,
    stopped: bool,
}

impl<'a> Sentences<'a> {
    pub(crate) fn new(facts: &InsightFacts, hear: &'a mut Listener<'a>) -> Self {
        Self { ground: Ground::of(facts), hear, json: String::new(), told: 0, stopped: false }
    }

    /// Takes the next part of the JSON.
    pub(crate) fn take(&mut self, part: &str) {
        self.json.push_str(part);
        if self.stopped || self.json.len() > SHOWN_BYTES_MAX {
            return;
        }
        if let Some(narrative) = beginning(&self.json) {
            // The last one may go on.
            self.tell(&narrative, 1);
        }
    }

    /// The JSON so far.
    pub(crate) fn json(&self) -> &str {
        &self.json
    }

    /// Hands on the rest of a narrative that was checked as a whole.
    pub(crate) fn finish(mut self, narrative: &str) {
        if let Some(rest) = narrative.get(self.told..).filter(|rest| !rest.is_empty()) {
            self.stopped = true;
            (self.hear)(rest);
        }
    }

    fn tell(&mut self, narrative: &str, held_back: usize) {
        let rest = narrative.get(self.told..).unwrap_or_default();
        let sentences: Vec<&str> = rest.split_sentence_bounds().collect();
        for sentence in &sentences[..sentences.len().saturating_sub(held_back)] {
            self.stopped |= !self.ground.holds(sentence);
            if self.stopped {
                return;
            }
            self.told += sentence.len();
            (self.hear)(sentence);
        }
    }
}

/// What is there of the narrative, where it is the first thing in the object, as the schema orders it.
fn beginning(json: &str) -> Option<String> {
    let rest = json.trim_start().strip_prefix('{')?.trim_start().strip_prefix("\"narrative\"")?;
    let text = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let mut end = text.len();
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    // An escape that is cut in two (at most `\uD83D\uDE0`, so 11 bytes) is left for the next part.
    (0..12).filter_map(|cut| text.get(..end.checked_sub(cut)?)).find_map(unquoted)
}

fn unquoted(text: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{text}\"")).ok()
}

#[cfg(test)]
mod tests {
    use ports::Fact;
    use proptest::prelude::*;

    use super::*;

    fn facts() -> InsightFacts {
        let fact = Fact {
            name: "sleep.total_sleep_time.mean".into(),
            label: "mean total sleep time".into(),
            value: 7.2,
            unit: "h".into(),
            decimals: 1,
            method: "union of asleep stages".into(),
            coverage: "13 of 14 nights".into(),
        };
        InsightFacts {
            facts: vec![fact],
            not_assessed: Vec::new(),
            language: "en".into(),
            include_recommendations: false,
        }
    }

    fn heard(parts: &[&str], whole: Option<&str>) -> Vec<String> {
        let mut heard = Vec::new();
        let facts = facts();
        let mut hear = |sentence: &str| heard.push(sentence.to_owned());
        let mut sentences = Sentences::new(&facts, &mut hear);
        parts.iter().copied().map(|part| sentences.take(part)).for_each(drop);
        if let Some(whole) = whole {
            sentences.finish(whole);
        }
        heard
    }

    #[test]
    fn a_sentence_is_told_when_the_next_begins() {
        let parts = ["{ \"narrative\": \"You slept 7", ".2 h", " a night. That ", "is", " calm.\\n\\nEnd"];
        assert_eq!(heard(&parts[..3], None), ["You slept 7.2 h a night. "]);
        assert_eq!(heard(&parts, None), ["You slept 7.2 h a night. ", "That is calm.\n", "\n"]);
    }

    #[test]
    fn from_a_number_that_is_no_fact_on_nothing_is_told_before_the_whole_was_checked() {
        let parts = ["{\"narrative\":\"Fine. You slept 9 h. You slept 7.2 h. ", "Good. \"}"];
        assert_eq!(heard(&parts, None), ["Fine. "]);
        let whole = "Fine. You slept 9 h. You slept 7.2 h. Good. ";
        assert_eq!(heard(&parts, Some(whole)), ["Fine. ", "You slept 9 h. You slept 7.2 h. Good. "]);
    }

    #[test]
    fn a_narrative_that_does_not_come_first_is_told_at_the_end() {
        let json = "{\"key_insights\":[\"a\"],\"narrative\":\"One. Two. Three.\"}";
        assert_eq!(heard(&[json], Some("One. Two. Three.")), ["One. Two. Three."]);
    }

    proptest! {
        #[test]
        fn what_was_told_is_the_narrative_however_its_json_is_cut(
            narrative in "[a-zA-Z .!?\\n\"\\\\é😀]{0,80}",
            cuts in proptest::collection::vec(0_usize..200, 0..12),
        ) {
            let json = serde_json::json!({ "narrative": narrative, "key_insights": [] }).to_string();
            let mut at: Vec<usize> = cuts.into_iter().filter(|cut| json.is_char_boundary(*cut)).collect();
            at.extend([0, json.len()]);
            at.sort_unstable();
            let parts: Vec<&str> = at.windows(2).map(|pair| &json[pair[0]..pair[1]]).collect();
            let told = heard(&parts, None).concat();
            prop_assert!(narrative.starts_with(&told));
            prop_assert_eq!(heard(&parts, Some(&narrative)).concat(), narrative);
        }
    }
}
