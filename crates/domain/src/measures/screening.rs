//! Screening for signs of mania and of low mood. **Screening, not a diagnosis**, and off unless somebody turns it on.
//!
//! The rules are data: there is none in this crate, and the list is empty by default. A rule compares one measure of each
//! night with a threshold and is met where enough of the latest nights meet it. It says which measure, which comparison,
//! which nights, what level it alerts with, and where it comes from; there is no score and no weighing of rules.
//!
//! **Missing-data rule.** A night without the measure neither meets a rule nor fails it. With fewer nights than a rule needs
//! it is not assessed: never "no sign".

mod inputs;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::inputs::{inputs, nights_of, unit_of};
use super::{Coverage, CoverageOf, count, opaque_debug};

/// What every finding says of itself.
pub const STATEMENT: &str = "screening, not a diagnosis";

/// What a rule looks for signs of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Screen {
    /// Mania or hypomania.
    Mania,
    /// Low mood.
    Mood,
}

/// How loud a rule that is met alerts; the operator's choice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alert {
    /// No rule is met. Not a rule's own.
    #[serde(skip_deserializing)]
    None,
    /// The lowest.
    Low,
    /// In between.
    Moderate,
    /// The highest.
    High,
}

/// How a night's value is compared with the threshold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// `value < threshold`
    Below,
    /// `value <= threshold`
    AtMost,
    /// `value > threshold`
    Above,
    /// `value >= threshold`
    AtLeast,
}

impl Comparison {
    fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
            Self::Above => value > threshold,
            Self::AtLeast => value >= threshold,
        }
    }
}

/// One rule.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, such as `short_sleep`.
    pub id: String,
    /// What it looks for signs of.
    pub screen: Screen,
    /// The name of the measure, such as `total_sleep_time`.
    pub input: String,
    /// The measure's UCUM unit, in which the threshold is.
    pub unit: String,
    /// How a value is compared.
    pub comparison: Comparison,
    /// What it is compared with.
    pub threshold: f64,
    /// How many of the latest nights are looked at.
    pub nights: u32,
    /// How many of them must have a value for the rule to be assessed.
    pub nights_needed: u32,
    /// How many of them must meet the comparison for the rule to be met.
    pub nights_met: u32,
    /// What it alerts with where it is met.
    pub alert: Alert,
    /// The publication that it is taken from.
    pub citation: String,
}

/// Why a list of rules is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidRules {
    /// Two rules have one name.
    #[error("the rule {0:?} is there twice")]
    Repeated(String),
    /// A rule's numbers cannot all hold: `1 <= nights_met <= nights_needed <= nights <= 90`, and a finite threshold.
    #[error("the rule {0:?} needs 1 <= nights_met <= nights_needed <= nights <= 90 and a finite threshold")]
    Impossible(String),
    /// A rule does not say what it looks at or where it comes from.
    #[error("the rule {0:?} lacks a name, an input, a unit or a citation")]
    Unnamed(String),
}

/// The most nights that a rule looks at.
pub const NIGHTS_MAX: u32 = 90;

/// The rules that an operator turned on; none by default.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Rule>", into = "Vec<Rule>")]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Checks a list of rules.
    pub fn new(rules: Vec<Rule>) -> Result<Self, InvalidRules> {
        for (index, rule) in rules.iter().enumerate() {
            let id = || rule.id.clone();
            if [&rule.id, &rule.input, &rule.unit, &rule.citation].iter().any(|text| text.trim().is_empty()) {
                return Err(InvalidRules::Unnamed(id()));
            }
            let is_possible = 1 <= rule.nights_met
                && rule.nights_met <= rule.nights_needed
                && rule.nights_needed <= rule.nights
                && rule.nights <= NIGHTS_MAX;
            if !is_possible || !rule.threshold.is_finite() {
                return Err(InvalidRules::Impossible(id()));
            }
            if rules[..index].iter().any(|earlier| earlier.id == rule.id) {
                return Err(InvalidRules::Repeated(id()));
            }
        }
        Ok(Self(rules))
    }

    /// The rules, in their order.
    pub fn as_slice(&self) -> &[Rule] {
        &self.0
    }

    /// Whether screening is off.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<Rule>> for Rules {
    type Error = InvalidRules;
    fn try_from(rules: Vec<Rule>) -> Result<Self, Self::Error> {
        Self::new(rules)
    }
}

impl From<Rules> for Vec<Rule> {
    fn from(rules: Rules) -> Self {
        rules.0
    }
}

/// The values of one measure, night by night.
#[derive(Clone, PartialEq)]
pub struct Nights {
    /// The measure's UCUM unit.
    pub unit: String,
    /// One value a night, the latest last; `None` where it was not assessed.
    pub values: Vec<Option<f64>>,
}

opaque_debug!(Nights);

/// What a rule found.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule, whole.
    pub rule: Rule,
    /// Whether it is met; `None` where it was not assessed.
    pub is_met: Option<bool>,
    /// Why it was not assessed; `None` where it was.
    pub not_assessed: Option<String>,
    /// The values that it looked at, the latest last, in the rule's unit.
    pub inputs: Vec<Option<f64>>,
    /// How many of its nights had a value.
    pub coverage: Coverage,
    /// [`STATEMENT`].
    pub statement: String,
}

opaque_debug!(Finding);

/// Applies each rule to the measures it names.
pub fn screen(rules: &Rules, measures: &BTreeMap<String, Nights>) -> Vec<Finding> {
    rules.0.iter().map(|rule| finding(rule, measures.get(&rule.input))).collect()
}

/// The highest alert of the rules for `wanted` that are met, [`Alert::None`] where all of them were assessed and none is met; else
/// why there is no answer.
pub fn alert(findings: &[Finding], wanted: Screen) -> Result<Alert, &'static str> {
    let mut of_screen = findings.iter().filter(|finding| finding.rule.screen == wanted).peekable();
    if of_screen.peek().is_none() {
        return Err("screening is off: no rule is configured");
    }
    let of_screen: Vec<&Finding> = of_screen.collect();
    let met = of_screen.iter().filter(|finding| finding.is_met == Some(true));
    match met.map(|finding| finding.rule.alert).max() {
        Some(alert) => Ok(alert),
        None if of_screen.iter().all(|finding| finding.is_met.is_some()) => Ok(Alert::None),
        None => Err("too few nights have the values that a rule needs"),
    }
}

fn finding(rule: &Rule, nights: Option<&Nights>) -> Finding {
    let all = nights.map_or(&[][..], |nights| &nights.values);
    let inputs = all[all.len().saturating_sub(rule.nights as usize)..].to_vec();
    let observed: Vec<f64> = inputs.iter().copied().flatten().filter(|value| value.is_finite()).collect();
    let met = count(observed.iter().filter(|value| rule.comparison.holds(**value, rule.threshold)).count());
    let not_assessed = match nights {
        None => Some("the measure is not known".to_owned()),
        Some(nights) if nights.unit != rule.unit => Some("the measure is in another unit".to_owned()),
        Some(_) if count(observed.len()) < rule.nights_needed => {
            Some(format!("{} of the {} nights needed have a value", observed.len(), rule.nights_needed))
        }
        Some(_) => None,
    };
    Finding {
        is_met: not_assessed.is_none().then_some(met >= rule.nights_met),
        not_assessed,
        inputs,
        coverage: Coverage { observed: count(observed.len()), expected: rule.nights, of: CoverageOf::Nights },
        statement: STATEMENT.to_owned(),
        rule: rule.clone(),
    }
}

#[cfg(test)]
mod tests;
