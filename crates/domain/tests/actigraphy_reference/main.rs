//! The circadian measures agree with what pyActigraphy 1.2.2 computes, through its stated conventions.
//!
//! `data/actigraphy-reference.json` states the integer generator that rebuilds both series, and under `convention_notes`
//! where pyActigraphy deviates from the published formulas.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod further;
mod rhythm;
mod scorers;
mod series;

use crate::series::{SERIES, generate, reference};

#[test]
fn the_generator_rebuilds_the_series() {
    let reference = reference();
    for series in &SERIES {
        let x = generate(series);
        let expected = &reference["series"][series.name];
        assert_eq!(Some(x.len() as u64), expected["n_epochs"].as_u64());
        assert_eq!(Some(x.iter().sum()), expected["sum"].as_f64());
        let first: Vec<f64> = serde_json::from_value(expected["first20"].clone()).unwrap();
        assert_eq!(x[..20], first);
    }
}
