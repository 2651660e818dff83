//! Sadeh, Sharkey, Carskadon: Activity-based sleep-wake identification: an empirical test of methodological issues. Sleep
//! 1994;17:201-207.

use serde::{Deserialize, Serialize};

use super::{SleepWake, usable, window};

/// Epochs before and after the scored one, of those that the mean and NAT are of.
const HALF: usize = 5;
/// How many epochs, of which the scored one is the last, the standard deviation is of.
const LAST: usize = 6;

/// Which formula is meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SadehDefinition {
    /// As published.
    #[default]
    Published,
    /// As pyActigraphy 1.2.2 computes it: NAT leaves a count of exactly 50 out, the logarithm is of the epoch after the
    /// scored one, and an index of exactly 0 is wake.
    PyActigraphy,
}

/// Scores epochs of 1 minute by the index of Sadeh et al. 1994.
///
/// `PS = 7.601 - 0.065 MW5 - 1.08 NAT - 0.056 SD6 - 0.703 LG`, without unit; sleep where `PS >= 0`. MW5 is the mean of the
/// 11 epochs around the scored one, NAT how many of them have 50 <= count < 100, SD6 the sample standard deviation of the
/// scored and the five epochs before it, LG = `ln(A₀ + 1)`.
///
/// **Missing data.** All eleven epochs are needed: the first and the last five of a series are not scored.
pub fn sadeh(counts: &[Option<f64>], definition: SadehDefinition) -> Vec<Option<SleepWake>> {
    (0..counts.len()).map(|index| score(window(counts, index, HALF, 2 * HALF + 1)?, definition)).collect()
}

fn score(around: &[Option<f64>], definition: SadehDefinition) -> Option<SleepWake> {
    let mut known = [0.0; 2 * HALF + 1];
    for (known, count) in known.iter_mut().zip(around) {
        *known = usable(*count)?;
    }
    let around = known;
    let is_published = definition == SadehDefinition::Published;
    let is_active = |count: &&f64| **count < 100.0 && (**count > 50.0 || is_published && **count >= 50.0);
    let nat = around.iter().filter(is_active).count() as f64;
    let logged = around[if is_published { HALF } else { HALF + 1 }];
    let deviation = sample_deviation(&around[HALF + 1 - LAST..=HALF]);
    let index = 7.601 - 0.065 * mean(&around) - 1.08 * nat - 0.056 * deviation - 0.703 * logged.ln_1p();
    Some(SleepWake::asleep_if(index > 0.0 || is_published && index >= 0.0))
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn sample_deviation(x: &[f64]) -> f64 {
    let mean = mean(x);
    (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (x.len() - 1) as f64).sqrt()
}
