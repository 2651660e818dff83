//! Roenneberg, Keller, Fischer, Matera, Vetter, Winnebeck: Human activity and rest in situ. Methods Enzymol
//! 2015;552:257-283.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{SleepWake, usable};
use crate::measures::epoch::Epoch;

/// The published parameters.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoennebergRules {
    /// The window of the moving average, in minutes.
    pub trend_minutes: u32,
    /// How much of that window must have been observed, in minutes.
    pub trend_minutes_min: u32,
    /// Up to which share of the moving average an epoch is at rest.
    pub threshold: f64,
    /// How long rest must last for sleep to begin with it, in minutes.
    pub seed_minutes: u32,
    /// How far sleep may last, in minutes.
    pub sleep_minutes_max: u32,
    /// For how long the correlation must stay below its peak, in minutes.
    pub below_peak_minutes: u32,
}

impl Default for RoennebergRules {
    fn default() -> Self {
        Self {
            trend_minutes: 1440,
            trend_minutes_min: 720,
            threshold: 0.15,
            seed_minutes: 30,
            sleep_minutes_max: 720,
            below_peak_minutes: 30,
        }
    }
}

/// Scores consolidated sleep: every epoch of [`consolidated_sleep`] is sleep, every other one is wake.
///
/// **Missing data.** An epoch is scored where it was observed and at least `trend_minutes_min` of the window around it were.
pub fn roenneberg(counts: &[Option<f64>], epoch: Epoch, rules: RoennebergRules) -> Vec<Option<SleepWake>> {
    let rest = resting(counts, epoch, rules);
    let mut scores: Vec<Option<SleepWake>> = rest.iter().map(|rest| rest.map(|_| SleepWake::Wake)).collect();
    for sleep in bouts(&rest, epoch, rules) {
        scores[sleep].iter_mut().flatten().for_each(|score| *score = SleepWake::Sleep);
    }
    scores
}

/// The consolidated sleep of a series, as ranges of epochs.
///
/// An epoch is at rest where its count is at most `threshold` of the centred moving average. Rest of at least
/// `seed_minutes` begins sleep. Its end is where the rest of the following `sleep_minutes_max` correlates best (Pearson)
/// with sleep up to there and wake from there on, at the first of the highest peaks: correlations that are greater than
/// all of the following `below_peak_minutes` and one epoch.
///
/// **Missing data.** Epochs that are not scored take no part in average and correlation, and end what may begin sleep.
pub fn consolidated_sleep(counts: &[Option<f64>], epoch: Epoch, rules: RoennebergRules) -> Vec<Range<usize>> {
    bouts(&resting(counts, epoch, rules), epoch, rules)
}

/// Whether each epoch is at rest.
fn resting(counts: &[Option<f64>], epoch: Epoch, rules: RoennebergRules) -> Vec<Option<bool>> {
    let window = epoch.in_minutes(rules.trend_minutes);
    let observed_min = epoch.in_minutes(rules.trend_minutes_min).max(1);
    let mut sums = vec![(0_usize, 0.0)];
    for count in counts {
        let (observed, sum) = sums[sums.len() - 1];
        sums.push(usable(*count).map_or((observed, sum), |count| (observed + 1, sum + count)));
    }
    let is_resting = |(index, count): (usize, &Option<f64>)| {
        let count = usable(*count)?;
        // Of an even window, the half before the epoch is the longer one.
        let after = window.saturating_sub(1) / 2;
        let end = (index + 1 + after).min(counts.len());
        let start = (index + 1 + after).saturating_sub(window);
        let observed = sums[end].0 - sums[start].0;
        if observed < observed_min {
            return None;
        }
        let trend = (sums[end].1 - sums[start].1) / observed as f64;
        Some(count <= rules.threshold * trend)
    };
    counts.iter().enumerate().map(is_resting).collect()
}

fn bouts(rest: &[Option<bool>], epoch: Epoch, rules: RoennebergRules) -> Vec<Range<usize>> {
    let mut bouts: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for run in rest.chunk_by(|a, b| a == b) {
        let seed = start;
        start += run.len();
        let is_seed = run[0] == Some(true) && run.len() >= epoch.in_minutes(rules.seed_minutes);
        // A seed in the last epoch of sleep belongs to that sleep.
        if !is_seed || bouts.last().is_some_and(|last| seed + 1 < last.end) {
            continue;
        }
        let end = rest.len().min(seed + epoch.in_minutes(rules.sleep_minutes_max));
        let ahead = epoch.in_minutes(rules.below_peak_minutes) + 1;
        if let Some(length) = length(&rest[seed..end], ahead) {
            bouts.push(seed..seed + length);
        }
    }
    bouts
}

/// How many epochs sleep lasts; `None` where no correlation is greater than all of the `ahead` that follow it.
fn length(rest: &[Option<bool>], ahead: usize) -> Option<usize> {
    let scored: Vec<(usize, bool)> =
        rest.iter().enumerate().filter_map(|(index, rest)| Some((index, (*rest)?))).collect();
    let correlations = correlations(&scored);
    let is_peak = |window: &&[f64]| window[1..].iter().all(|later| window[0] > *later);
    let peak = correlations.windows(ahead + 1).filter(is_peak).map(|window| window[0]).reduce(f64::max)?;
    let first = correlations.iter().position(|correlation| correlation.total_cmp(&peak).is_eq())?;
    Some(scored[first].0 + 1)
}

/// Pearson's correlation of the epochs with "asleep up to and with epoch `i`, awake afterwards", for each `i`.
///
/// Both are 0 or 1, so with `n` epochs, `s` of them at rest, `m = i + 1` and `c` at rest among the first `m` it is
/// `(n c - m s) / sqrt(m (n - m) s (n - s))`; NaN where either does not vary.
fn correlations(scored: &[(usize, bool)]) -> Vec<f64> {
    let n = scored.len() as f64;
    let s = scored.iter().filter(|(_, rest)| *rest).count() as f64;
    let mut resting = 0.0;
    let correlation = |(index, (_, rest)): (usize, &(usize, bool))| {
        let m = (index + 1) as f64;
        resting += f64::from(u8::from(*rest));
        (n * resting - m * s) / (m * (n - m) * s * (n - s)).sqrt()
    };
    scored.iter().enumerate().map(correlation).collect()
}
