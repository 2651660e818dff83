//! Measures of a person's days, computed by named published methods.
//!
//! Every result is a [`Measure`]: a value with its method, its coverage and the sources it came from, or the reason why
//! it was not assessed. Missing data is never 0 and never a default.

pub mod activity;
pub mod baseline;
pub mod cardio;
pub mod circadian;
pub mod cohort;
pub mod cosinor;
pub mod daily;
pub mod epoch;
pub mod fractal;
pub mod heart;
pub mod hourly;
pub mod merge;
pub mod pat;
pub mod profile;
pub mod proxy;
pub mod regularity;
pub mod rhythm;
pub mod scoring;
pub mod screening;
pub mod sleep_statistics;
pub(crate) mod sweep;
pub mod transitions;
pub mod vitals;

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::sample::Source;

/// Implements `Debug` as the bare name of the type, because what it holds is health data.
macro_rules! opaque_debug {
    ($($name:ident),+ $(,)?) => {$(
        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )+};
}
pub(crate) use opaque_debug;

/// The reason given where nothing of the kind was recorded.
pub(crate) const NO_READINGS: &str = "no readings";

/// What a [`Coverage`] counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoverageOf {
    /// Minutes of the time that the measure is about.
    Minutes,
    /// Readings, where it is known how many there should be.
    Readings,
    /// Nights.
    Nights,
    /// Local days.
    Days,
}

/// How much of what a measure needs was observed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Coverage {
    /// How many were observed.
    pub observed: u32,
    /// How many there would be without a gap.
    pub expected: u32,
    /// What is counted.
    pub of: CoverageOf,
}

impl Coverage {
    /// Coverage in minutes.
    pub fn minutes(observed: u32, expected: u32) -> Self {
        Self { observed, expected, of: CoverageOf::Minutes }
    }

    /// The observed share, from 0 to 1; 0 where nothing was expected.
    pub fn share(&self) -> f64 {
        if self.expected == 0 { 0.0 } else { f64::from(self.observed) / f64::from(self.expected) }
    }
}

/// One value with its provenance, or the reason why there is none. Exactly one of [`Measure::value`] and
/// [`Measure::not_assessed`] is there, and a value is finite; reading a stored measure back checks this again.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredMeasure")]
pub struct Measure {
    value: Option<f64>,
    unit: String,
    method: String,
    coverage: Coverage,
    sources: Vec<String>,
    not_assessed: Option<String>,
}

/// What a measure is about, without its result: unit, method, coverage and sources.
#[derive(Clone, PartialEq)]
pub struct Basis {
    /// UCUM unit.
    pub unit: &'static str,
    /// The named published method, with what identifies its variant.
    pub method: &'static str,
    /// How much was observed.
    pub coverage: Coverage,
    /// The sources that contributed; see [`source_labels`].
    pub sources: Vec<String>,
}

impl Basis {
    /// The measure with `value`; not assessed where the value is not finite.
    pub fn assessed(self, value: f64) -> Measure {
        if !value.is_finite() {
            return self.not_assessed("the computation has no finite result");
        }
        // A negative zero prints as one, so it becomes the usual zero.
        self.measure(Some(value + 0.0), None)
    }

    /// The measure without a value, because of `reason`.
    pub fn not_assessed(self, reason: &str) -> Measure {
        self.measure(None, Some(reason.to_owned()))
    }

    /// The measure with the value if there is one, else without because of `reason`.
    pub fn or_not_assessed(self, value: Option<f64>, reason: &str) -> Measure {
        match value {
            Some(value) => self.assessed(value),
            None => self.not_assessed(reason),
        }
    }

    fn measure(self, value: Option<f64>, not_assessed: Option<String>) -> Measure {
        Measure {
            value,
            unit: self.unit.to_owned(),
            method: self.method.to_owned(),
            coverage: self.coverage,
            sources: self.sources,
            not_assessed,
        }
    }
}

impl Measure {
    /// The value, in [`Measure::unit`]; `None` where it was not assessed.
    pub fn value(&self) -> Option<f64> {
        self.value
    }

    /// The UCUM unit.
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// The named published method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// How much of what the measure needs was observed.
    pub fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// The names of the sources that contributed, sorted, each once.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// Why there is no value; `None` where there is one.
    pub fn not_assessed(&self) -> Option<&str> {
        self.not_assessed.as_deref()
    }
}

opaque_debug!(Basis);

impl fmt::Debug for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Measure({}, {})",
            self.method,
            if self.value.is_some() { "assessed" } else { "not assessed" }
        )
    }
}

#[derive(Deserialize)]
struct StoredMeasure {
    value: Option<f64>,
    unit: String,
    method: String,
    coverage: Coverage,
    sources: Vec<String>,
    not_assessed: Option<String>,
}

/// A stored measure that has both a value and a reason for having none, or neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a measure has either a finite value or the reason why it was not assessed")]
pub struct ContradictoryMeasure;

impl TryFrom<StoredMeasure> for Measure {
    type Error = ContradictoryMeasure;
    fn try_from(stored: StoredMeasure) -> Result<Self, Self::Error> {
        let StoredMeasure { value, unit, method, coverage, sources, not_assessed } = stored;
        if value.is_some() == not_assessed.is_some() || value.is_some_and(|value| !value.is_finite()) {
            return Err(ContradictoryMeasure);
        }
        Ok(Self { value, unit, method, coverage, sources, not_assessed })
    }
}

/// What an answer calls a source: its human name, else its bundle, else its product type, else `unknown`.
pub fn source_label(source: &Source) -> &str {
    [&source.name, &source.bundle, &source.product_type]
        .into_iter()
        .find_map(Option::as_deref)
        .unwrap_or("unknown")
}

/// The labels of `sources`, sorted, each once.
pub fn source_labels<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Vec<String> {
    let labels: BTreeSet<&str> = sources.into_iter().map(source_label).collect();
    labels.into_iter().map(str::to_owned).collect()
}

/// Whole minutes of a number of milliseconds, as coverage counts them.
pub(crate) fn whole_minutes(milliseconds: i64) -> u32 {
    u32::try_from(milliseconds / crate::time::MINUTE_MS).unwrap_or(0)
}

/// A length in minutes, fractions kept.
pub(crate) fn in_minutes(milliseconds: i64) -> f64 {
    milliseconds as f64 / crate::time::MINUTE_MS as f64
}

/// The length of a list, as coverage counts.
pub(crate) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod fixtures;

#[cfg(test)]
mod tests {
    use super::*;

    fn basis() -> Basis {
        Basis {
            unit: "1",
            method: "a method",
            coverage: Coverage::minutes(1, 2),
            sources: vec!["Watch".to_owned()],
        }
    }

    #[test]
    fn a_measure_has_a_value_or_a_reason() {
        let assessed = basis().assessed(42.5);
        assert_eq!((assessed.value(), assessed.not_assessed()), (Some(42.5), None));
        let reason = basis().not_assessed("no readings");
        assert_eq!((reason.value(), reason.not_assessed()), (None, Some("no readings")));
        for strange in [f64::NAN, f64::INFINITY] {
            assert_eq!(basis().assessed(strange).value(), None);
        }
    }

    #[test]
    fn a_stored_measure_reads_back_unless_it_contradicts_itself() {
        let measure = basis().assessed(0.1 + 0.2);
        let json = serde_json::to_value(&measure).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"value": 0.300_000_000_000_000_04, "unit": "1", "method": "a method", "sources": ["Watch"],
                "coverage": {"observed": 1, "expected": 2, "of": "minutes"}, "not_assessed": null})
        );
        assert!(serde_json::from_value::<Measure>(json.clone()).unwrap() == measure);
        for (value, reason) in
            [(serde_json::json!(1), serde_json::json!("why")), (None::<f64>.into(), None::<String>.into())]
        {
            let mut broken = json.clone();
            broken["value"] = value;
            broken["not_assessed"] = reason;
            assert!(serde_json::from_value::<Measure>(broken).is_err());
        }
    }

    #[test]
    fn debug_shows_neither_value_nor_source() {
        let text = format!("{:?}", basis().assessed(71.0));
        assert_eq!(text, "Measure(a method, assessed)");
    }
}
