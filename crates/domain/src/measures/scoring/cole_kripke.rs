//! Cole, Kripke, Gruen, Mullaney, Gillin: Automatic sleep/wake identification from wrist activity. Sleep 1992;15:461-469.

use serde::{Deserialize, Serialize};

use super::{SleepWake, weighted};

/// The weights of the minutes from 4 before to 2 after the scored one.
const WEIGHTS: [f64; 7] = [106.0, 54.0, 58.0, 76.0, 230.0, 74.0, 67.0];
const BEFORE: usize = 4;
const SCALE: f64 = 0.001;

/// How many of the caller's counts make one count of the formula; a minute's counts are divided by it.
///
/// The weights were fitted to one device's counts, so there is no default: the caller names the scale.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct CountScale(f64);

/// A scale that is not a finite number above 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a count scale is a finite number above 0")]
pub struct InvalidScale;

impl CountScale {
    /// Counts as the formula takes them.
    pub const UNIT: Self = Self(1.0);
    /// Sums over a minute, where the formula takes the mean of its thirty epochs of 2 seconds.
    pub const MEAN_OF_2_S_EPOCHS: Self = Self(30.0);

    /// Counts that are divided by `divisor`.
    pub fn new(divisor: f64) -> Result<Self, InvalidScale> {
        if divisor.is_finite() && divisor > 0.0 { Ok(Self(divisor)) } else { Err(InvalidScale) }
    }
}

impl TryFrom<f64> for CountScale {
    type Error = InvalidScale;
    fn try_from(divisor: f64) -> Result<Self, Self::Error> {
        Self::new(divisor)
    }
}

impl From<CountScale> for f64 {
    fn from(scale: CountScale) -> Self {
        scale.0
    }
}

/// Scores epochs of 1 minute by the 1-minute weights of Cole et al. 1992.
///
/// `D = 0.001 (106 A₋₄ + 54 A₋₃ + 58 A₋₂ + 76 A₋₁ + 230 A₀ + 74 A₊₁ + 67 A₊₂)`, without unit; sleep where `D < 1`. `A` are
/// the counts of a minute divided by `scale`. The published scoring goes on with [`webster`](super::webster)'s rules.
///
/// **Missing data.** All seven minutes are needed: the first four and the last two of a series are not scored.
pub fn cole_kripke(counts: &[Option<f64>], scale: CountScale) -> Vec<Option<SleepWake>> {
    let scaled: Vec<Option<f64>> = counts.iter().map(|count| Some((*count)? / scale.0)).collect();
    weighted(&scaled, &WEIGHTS, BEFORE).map(|sum| Some(SleepWake::asleep_if(SCALE * sum? < 1.0))).collect()
}
