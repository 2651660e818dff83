//! What rules may look at: measures of nights and of the days that they end on.

use std::collections::BTreeMap;

use jiff::{ToSpan, civil::Date};

use super::{Nights, Rules};
use crate::{
    measures::{
        Measure,
        baseline::{BaselineRules, deviation},
        daily::Daily,
    },
    sleep::Night,
};

/// What ends the name of an input that is a measure's robust z against the person's own 28 days before.
const Z: &str = "_z";

/// Where an input comes from.
enum Pick {
    Night(fn(&Night) -> &Measure),
    Day(fn(&Daily) -> &Measure),
}

/// Name, UCUM unit, and where it is found.
const INPUTS: [(&str, &str, Pick); 17] = [
    ("total_sleep_time", "min", Pick::Night(|night| &night.total_sleep_time)),
    ("time_in_bed", "min", Pick::Night(|night| &night.time_in_bed)),
    ("sleep_efficiency", "%", Pick::Night(|night| &night.sleep_efficiency)),
    ("sleep_onset_latency", "min", Pick::Night(|night| &night.sleep_onset_latency)),
    ("wake_after_sleep_onset", "min", Pick::Night(|night| &night.wake_after_sleep_onset)),
    ("awakenings", "1", Pick::Night(|night| &night.awakenings)),
    ("core", "min", Pick::Night(|night| &night.core)),
    ("deep", "min", Pick::Night(|night| &night.deep)),
    ("rem", "min", Pick::Night(|night| &night.rem)),
    ("step_count", "{steps}", Pick::Day(|day| &day.step_count)),
    ("active_energy", "kcal", Pick::Day(|day| &day.active_energy)),
    ("exercise_time", "min", Pick::Day(|day| &day.exercise_time)),
    ("heart_rate_mean", "/min", Pick::Day(|day| &day.heart_rate_mean)),
    ("resting_heart_rate", "/min", Pick::Day(|day| &day.resting_heart_rate)),
    ("hrv_sdnn", "ms", Pick::Day(|day| &day.hrv_sdnn)),
    ("respiratory_rate", "/min", Pick::Day(|day| &day.respiratory_rate)),
    ("oxygen_saturation", "%", Pick::Day(|day| &day.oxygen_saturation)),
];

fn found(name: &str) -> Option<&'static (&'static str, &'static str, Pick)> {
    INPUTS.iter().find(|(known, ..)| *known == name)
}

/// Every measure and its unit.
#[cfg(test)]
pub(super) fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    INPUTS.iter().map(|(name, unit, _)| (*name, *unit))
}

/// The UCUM unit of the input `name`; `None` where there is no such input. The name of a measure, or with `_z` at its end its
/// [robust z](deviation), whose unit is `1`.
pub fn unit_of(name: &str) -> Option<&'static str> {
    match name.strip_suffix(Z) {
        Some(measure) => found(measure).map(|_| "1"),
        None => found(name).map(|(_, unit, _)| *unit),
    }
}

/// How many days up to the last one the rules look at, with those that a robust z is taken against.
pub fn nights_of(rules: &Rules) -> u32 {
    let back = |input: &str| if input.ends_with(Z) { BaselineRules::default().days } else { 0 };
    rules.as_slice().iter().map(|rule| rule.nights + back(&rule.input)).max().unwrap_or(0)
}

/// The inputs of `rules`, of the local dates up to `last`: one value a date, `None` where there is none. A date without a night
/// has no value of it, whatever else was recorded.
pub fn inputs(rules: &Rules, last: Date, nights: &[Night], days: &[Daily]) -> BTreeMap<String, Nights> {
    let mut inputs = BTreeMap::new();
    for rule in rules.as_slice() {
        let name = &rule.input;
        let (measure, is_z) = name.strip_suffix(Z).map_or((name.as_str(), false), |measure| (measure, true));
        let (Some((_, unit, pick)), Some(named_unit)) = (found(measure), unit_of(name)) else { continue };
        let measures: BTreeMap<Date, &Measure> = match pick {
            Pick::Night(pick) => nights.iter().map(|night| (night.date, pick(night))).collect(),
            Pick::Day(pick) => days.iter().map(|day| (day.date, pick(day))).collect(),
        };
        let value = |date: Date| measures.get(&date).and_then(|measure| measure.value());
        let before = |date: Date, count: u32| {
            (1..=i64::from(count)).rev().map(move |back| date.checked_sub(back.days()).ok())
        };
        let values = |date: Date| {
            if !is_z {
                return value(date);
            }
            let rules = BaselineRules::default();
            let history: Vec<Option<f64>> =
                before(date, rules.days).map(|date| date.and_then(value)).collect();
            deviation(value(date), &history, unit, &[], rules).robust_z.value()
        };
        let dates = before(last, rule.nights.saturating_sub(1)).chain([Some(last)]);
        let found =
            Nights { unit: named_unit.to_owned(), values: dates.map(|date| date.and_then(values)).collect() };
        // Of two rules on one input, the longer look back serves both.
        let held: &mut Nights = inputs.entry(name.clone()).or_insert_with(|| found.clone());
        if held.values.len() < found.values.len() {
            *held = found;
        }
    }
    inputs
}
