//! Proves that a text states no number that was not given.

use std::fmt;

use ports::{Fact, InsightFacts, Narrative};

use crate::figures::{Figure, Number, figures, is_minus};

/// A text states a number that is not among the facts. It does not say which: it may be a health value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a number in the {section} is not among the facts")]
pub struct Ungrounded {
    /// Where it stands.
    pub section: Section,
}

/// A part of a narrative.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// The text.
    Narrative,
    /// One of the key insights.
    KeyInsights,
    /// One of the recommendations.
    Recommendations,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Narrative => "narrative",
            Self::KeyInsights => "key insights",
            Self::Recommendations => "recommendations",
        })
    }
}

/// Checks that every number in `narrative` is among `facts`. It reads English.
///
/// A number is grounded if it is
/// - a fact's value, plain or as rounded as the fact says, with its sign and no more decimals than that. A ratio may be
///   said in percent, and hours or minutes as `h:mm`;
/// - a number of a coverage or of a reason why something was not assessed;
/// - part of a label, a method or a unit that is quoted as it was given.
///
/// Names with digits in them, such as "L5", are grounded if any of those texts holds them.
pub fn check(narrative: &Narrative, facts: &InsightFacts) -> Result<(), Ungrounded> {
    let ground = Ground::of(facts);
    let sections = [
        (Section::Narrative, std::slice::from_ref(&narrative.narrative)),
        (Section::KeyInsights, &narrative.key_insights),
        (Section::Recommendations, &narrative.recommendations),
    ];
    let ungrounded = sections.into_iter().find(|(_, texts)| !texts.iter().all(|text| ground.holds(text)));
    ungrounded.map_or(Ok(()), |(section, _)| Err(Ungrounded { section }))
}

/// The figure to say for a fact: its value rounded to its decimals. `None` if it has no finite value.
pub fn spoken(fact: &Fact) -> Option<String> {
    let text = fact.value.is_finite().then(|| format!("{:.*}", usize::from(fact.decimals), fact.value))?;
    let is_zero = !text.contains(|c: char| c.is_ascii_digit() && c != '0');
    Some(if is_zero { text.trim_start_matches('-').to_owned() } else { text })
}

/// What may be said.
pub(crate) struct Ground {
    figures: Vec<Figure>,
    /// Texts that hold numbers and may be quoted, in lower case, the longest first.
    quotes: Vec<String>,
}

impl Ground {
    pub(crate) fn of(facts: &InsightFacts) -> Self {
        let mut ground = Self { figures: Vec::new(), quotes: Vec::new() };
        for fact in &facts.facts {
            ground.allow_value(fact);
            ground.figures.extend(figures(&fact.coverage));
            for quote in [&fact.label, &fact.method, &fact.unit] {
                ground.allow_quote(quote);
            }
        }
        for reason in &facts.not_assessed {
            ground.figures.extend(figures(reason));
        }
        ground.quotes.sort_by_key(|quote| std::cmp::Reverse(quote.len()));
        ground.quotes.dedup();
        ground
    }

    fn allow_value(&mut self, fact: &Fact) {
        let Some(spoken) = spoken(fact) else { return };
        for (text, decimals) in [(fact.value.to_string(), usize::MAX), (spoken, usize::from(fact.decimals))] {
            for figure in figures(&text) {
                let Figure::Number(number) = figure else { continue };
                if fact.unit == "%" {
                    // In "from 80 to 90 %" the sign stands behind the second number only.
                    self.figures.push(Figure::Number(Number { is_percent: true, ..number.clone() }));
                }
                self.figures.push(Figure::Number(number));
            }
            let Ok(value) = text.parse::<f64>() else { continue };
            match fact.unit.as_str() {
                "" | "1" => self.allow_percentage(value, decimals.min(fraction(&text))),
                "h" => self.allow_clock(value * 60.0),
                "min" => self.allow_clock(value),
                _ => {}
            }
        }
    }

    /// A ratio of 0.857 may be said as 85.7 %.
    fn allow_percentage(&mut self, ratio: f64, decimals: usize) {
        for figure in figures(&format!("{:.*}%", decimals.saturating_sub(2), ratio * 100.0)) {
            self.figures.push(figure);
        }
    }

    fn allow_clock(&mut self, minutes: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
        if (0.0..6_000.0).contains(&minutes) {
            self.figures.push(Figure::Clock(minutes.round() as u32));
        }
    }

    fn allow_quote(&mut self, text: &str) {
        let found = figures(text);
        // Digits alone are no name: they would ground that number anywhere.
        if !found.is_empty() && text.contains(char::is_alphabetic) {
            self.quotes.push(text.to_ascii_lowercase());
            self.figures.extend(found.into_iter().filter(|figure| matches!(figure, Figure::Verbatim(_))));
        }
    }

    /// Whether every number in `text` may be said.
    pub(crate) fn holds(&self, text: &str) -> bool {
        figures(&self.without_quotes(text)).iter().all(|figure| self.grounds(figure))
    }

    fn grounds(&self, said: &Figure) -> bool {
        self.figures.iter().any(|figure| match (figure, said) {
            (Figure::Number(known), Figure::Number(said)) => known.grounds(said),
            (known, said) => known == said,
        })
    }

    /// `text` with a dash in the place of each quote.
    fn without_quotes(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for quote in &self.quotes {
            let lower = text.to_ascii_lowercase();
            let mut kept = String::with_capacity(text.len());
            let mut end = 0;
            for (at, _) in lower.match_indices(quote.as_str()) {
                if stands_alone(&text[..at], quote, &text[at + quote.len()..]) {
                    kept.push_str(&text[end..at]);
                    kept.push('\u{2014}');
                    end = at + quote.len();
                }
            }
            kept.push_str(&text[end..]);
            text = kept;
        }
        text
    }
}

/// How many decimals a numeral has.
fn fraction(numeral: &str) -> usize {
    numeral.split_once('.').map_or(0, |(_, fraction)| fraction.len())
}

/// Whether a quote is neither a part of a longer word nor of a longer number.
fn stands_alone(before: &str, quote: &str, after: &str) -> bool {
    let begins_with_digit = quote.starts_with(|c: char| c.is_ascii_digit());
    let ends_with_digit = quote.ends_with(|c: char| c.is_numeric());
    let is_open_before = !before
        .ends_with(|c: char| c.is_alphanumeric() || begins_with_digit && (is_minus(c) || ".,:'".contains(c)));
    let mut following = after.chars();
    let is_open_after = match following.next() {
        Some(c) if c.is_alphanumeric() => false,
        Some('%') => !ends_with_digit,
        Some(c) if ".,:'".contains(c) => !following.next().is_some_and(|c| c.is_ascii_digit()),
        _ => true,
    };
    is_open_before && is_open_after
}

#[cfg(test)]
mod tests;
