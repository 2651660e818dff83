//! Oakley: Validation with polysomnography of the Sleepwatch sleep/wake scoring algorithm used by the Actiwatch activity
//! monitoring system. Mini Mitter, Bend OR, 1997; as Actiware documents it.

use serde::{Deserialize, Serialize};

use super::{SleepWake, usable, weighted};

const W_15_S: [f64; 17] =
    [0.04, 0.04, 0.04, 0.04, 0.2, 0.2, 0.2, 0.2, 4.0, 0.2, 0.2, 0.2, 0.2, 0.04, 0.04, 0.04, 0.04];
const W_30_S: [f64; 9] = [0.04, 0.04, 0.2, 0.2, 2.0, 0.2, 0.2, 0.04, 0.04];
const W_60_S: [f64; 5] = [0.04, 0.2, 1.0, 0.2, 0.04];
const W_120_S: [f64; 3] = [0.12, 0.5, 0.12];

/// What the automatic threshold is, in mean counts per mobile minute.
const AUTOMATIC_SHARE: f64 = 0.888_88;
/// Counts that make an epoch mobile, per second.
const MOBILE_COUNTS_PER_S: f64 = 1.0 / 15.0;

/// The lengths of epoch for which weights are published.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OakleyEpoch {
    /// 15 seconds.
    Seconds15,
    /// 30 seconds.
    Seconds30,
    /// 60 seconds.
    Seconds60,
    /// 120 seconds.
    Seconds120,
}

impl OakleyEpoch {
    fn seconds(self) -> f64 {
        match self {
            Self::Seconds15 => 15.0,
            Self::Seconds30 => 30.0,
            Self::Seconds60 => 60.0,
            Self::Seconds120 => 120.0,
        }
    }

    fn weights(self) -> &'static [f64] {
        match self {
            Self::Seconds15 => &W_15_S,
            Self::Seconds30 => &W_30_S,
            Self::Seconds60 => &W_60_S,
            Self::Seconds120 => &W_120_S,
        }
    }
}

/// From how many weighted counts an epoch is wake.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OakleyThreshold {
    /// 20 counts: the high sensitivity to wake.
    High,
    /// 40 counts: the medium one.
    Medium,
    /// 80 counts: the low one.
    Low,
    /// Any other number of counts.
    Counts(f64),
    /// By the series itself: [`oakley_automatic_threshold`].
    Automatic,
}

/// `0.88888 Σ counts / mobile minutes`, in counts: a mobile epoch has at least one count for each 15 seconds.
///
/// **Missing data.** Missing epochs take no part. `None` where no epoch is mobile.
pub fn oakley_automatic_threshold(counts: &[Option<f64>], epoch: OakleyEpoch) -> Option<f64> {
    let observed = || counts.iter().filter_map(|count| usable(*count));
    // Actiware's threshold is a whole number of counts, so an epoch of 15 seconds is mobile from 1 on.
    let mobile = observed().filter(|count| *count >= epoch.seconds() * MOBILE_COUNTS_PER_S).count();
    let mobile_minutes = mobile as f64 * epoch.seconds() / 60.0;
    (mobile > 0).then(|| observed().sum::<f64>() / mobile_minutes * AUTOMATIC_SHARE)
}

/// Scores epochs by Oakley's weights, such as `0.04 A₋₂ + 0.2 A₋₁ + A₀ + 0.2 A₊₁ + 0.04 A₊₂` for epochs of 60 seconds, in
/// counts; sleep where the sum is below the threshold. (Actiware scores wake above it.)
///
/// **Missing data.** All epochs that have a weight are needed. Where the automatic threshold is unknown, nothing is scored.
pub fn oakley(
    counts: &[Option<f64>],
    epoch: OakleyEpoch,
    threshold: OakleyThreshold,
) -> Vec<Option<SleepWake>> {
    let threshold = match threshold {
        OakleyThreshold::High => Some(20.0),
        OakleyThreshold::Medium => Some(40.0),
        OakleyThreshold::Low => Some(80.0),
        OakleyThreshold::Counts(counts) => Some(counts),
        OakleyThreshold::Automatic => oakley_automatic_threshold(counts, epoch),
    };
    let weights = epoch.weights();
    weighted(counts, weights, weights.len() / 2)
        .map(|sum| Some(SleepWake::asleep_if(sum? < threshold?)))
        .collect()
}
