//! Rules that a manifest gives: read strictly, and checked before anything is computed by them.

use serde::de::DeserializeOwned;

/// A manifest's `preprocessing` or `calibration` that cannot be followed. The text is for the operator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the manifest's {part} cannot be followed: {reason}")]
pub struct RuleError {
    /// Which part of the manifest.
    pub part: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl RuleError {
    pub(crate) fn new(part: &'static str, reason: impl Into<String>) -> Self {
        Self { part, reason: reason.into() }
    }
}

/// Reads a part of a manifest.
pub(crate) fn read<T: DeserializeOwned>(
    part: &'static str,
    value: &serde_json::Value,
) -> Result<T, RuleError> {
    T::deserialize(value).map_err(|error| RuleError::new(part, error.to_string()))
}

/// Refuses a number that is not in `[low, high]`.
pub(crate) fn within(
    part: &'static str,
    name: &str,
    value: f64,
    (low, high): (f64, f64),
) -> Result<(), RuleError> {
    let fits = (low..=high).contains(&value);
    fits.then_some(())
        .ok_or_else(|| RuleError::new(part, format!("{name} is {value}, not in [{low}, {high}]")))
}
