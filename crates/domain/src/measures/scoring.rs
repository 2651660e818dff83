//! Sleep and wake from activity counts, epoch by epoch.
//!
//! The scorers take accelerometer counts per epoch and answer, for each epoch, sleep, wake or nothing. Their weights were
//! fitted to the counts of certain devices, so counts of another device, and steps even more, are out of their range: the
//! caller says so (see [`proxy`](super::proxy)).
//!
//! **Missing-data rule, for all of them.** An epoch without a count is scored neither sleep nor wake, and neither is one
//! whose formula needs a count that is missing or lies beyond an end of the series: `None`, never a guess. A count that is
//! negative or not finite is missing.

mod cole_kripke;
mod crespo;
mod median;
mod oakley;
mod roenneberg;
mod sadeh;
mod scripps;
mod webster;

use serde::{Deserialize, Serialize};

pub use self::{
    cole_kripke::{CountScale, InvalidScale, cole_kripke},
    crespo::{CrespoDefinition, RestActivity, crespo},
    oakley::{OakleyEpoch, OakleyThreshold, oakley, oakley_automatic_threshold},
    roenneberg::{RoennebergRules, consolidated_sleep, roenneberg},
    sadeh::{SadehDefinition, sadeh},
    scripps::scripps,
    webster::webster,
};

/// What an epoch was scored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SleepWake {
    /// Asleep.
    Sleep,
    /// Awake.
    Wake,
}

impl SleepWake {
    /// Sleep where `is_asleep`, else wake.
    pub fn asleep_if(is_asleep: bool) -> Self {
        if is_asleep { Self::Sleep } else { Self::Wake }
    }

    /// Whether it is sleep.
    pub fn is_asleep(self) -> bool {
        self == Self::Sleep
    }
}

/// The count, if it is one.
fn usable(count: Option<f64>) -> Option<f64> {
    count.filter(|count| count.is_finite() && *count >= 0.0)
}

/// `Σ w_k x_{i-before+k}` for each epoch `i`; `None` where a count of that window is missing.
fn weighted<'a>(
    counts: &'a [Option<f64>],
    weights: &'a [f64],
    before: usize,
) -> impl Iterator<Item = Option<f64>> + 'a {
    (0..counts.len()).map(move |index| {
        let window = window(counts, index, before, weights.len())?;
        window.iter().zip(weights).try_fold(0.0, |sum, (count, weight)| Some(sum + weight * usable(*count)?))
    })
}

/// The `length` epochs of which the first is `before` epochs before `index`; `None` where one is beyond the series.
fn window(counts: &[Option<f64>], index: usize, before: usize, length: usize) -> Option<&[Option<f64>]> {
    let start = index.checked_sub(before)?;
    counts.get(start..start + length)
}

#[cfg(test)]
mod tests;
