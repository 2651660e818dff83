//! Non-parametric circadian measures of rest and activity: IS, IV, L5, M10, RA.
//!
//! `x_i` are activity counts per bin, `N` bins, `p` bins a day, `x̄` their mean, `x̄_h` the mean of the bins of hour `h`.
//! The formulas are those of Witting et al. 1990 and Van Someren et al. 1999; the functions over plain slices at the end
//! are the same formulas for data without gaps.
//!
//! **Missing-data rule.** A bin is one local clock hour (an hour that the clock repeats in autumn is two bins, one that it
//! skips in spring is none). It counts, with the mean of its observed minutes, when at least half of its minutes were
//! observed. In IS each hour's mean weighs as many times as the hour was observed, and in IV only the steps between two
//! observed successive hours count; without gaps both are the published formulas. The mean day averages the observed minutes of each local minute of day; L5, M10 and RA need
//! [`PROFILE_MINUTES_MIN`] of its 1440 minutes, because the least active hours of somebody who takes the watch off at
//! night are not known.

use std::collections::BTreeMap;

use jiff::{civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{Basis, Coverage, CoverageOf, Measure, activity::MinuteSeries, opaque_debug};
use crate::time::{day_interval, timestamp};

/// How many minutes of the mean day must have been observed for L5, M10 and RA: 95 %.
pub const PROFILE_MINUTES_MIN: usize = 1368;

const MINUTES_PER_DAY: usize = 1440;
const HOURS_PER_DAY: usize = 24;
/// How many minutes of an hour must have been observed for its bin to count.
const BIN_MINUTES_MIN: u32 = 30;
const L5_MINUTES: usize = 300;
const M10_MINUTES: usize = 600;

/// What the measures ask of the data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CircadianRules {
    /// How many local days must have been observed for at least half of their minutes, for interdaily stability.
    pub days_min: u32,
}

impl Default for CircadianRules {
    fn default() -> Self {
        Self { days_min: 3 }
    }
}

/// The circadian measures of a series of steps per minute.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Circadian {
    /// IS, 0 to 1: how alike the days are. Unit `1`.
    pub interdaily_stability: Measure,
    /// IV, about 0 to 2: how broken up a day is. Unit `1`.
    pub intradaily_variability: Measure,
    /// Mean activity of the least active 5 hours of the mean day. Unit `{steps}/min`.
    pub l5: Measure,
    /// When they begin, as the local minute of day. Unit `min`.
    pub l5_onset: Measure,
    /// Mean activity of the most active 10 hours of the mean day. Unit `{steps}/min`.
    pub m10: Measure,
    /// When they begin, as the local minute of day. Unit `min`.
    pub m10_onset: Measure,
    /// RA, 0 to 1: `(M10 - L5) / (M10 + L5)`. Unit `1`.
    pub relative_amplitude: Measure,
    /// How many local days were observed for at least half of their minutes. Unit `d`.
    pub days: Measure,
}

opaque_debug!(Circadian);

/// Computes the circadian measures of `series`, in the local time of `zone`.
pub fn circadian(series: &MinuteSeries, zone: &TimeZone, rules: CircadianRules) -> Circadian {
    let local = LocalSeries::new(series, zone);
    let basis = |unit, method| Basis {
        unit,
        method,
        coverage: Coverage::minutes(series.observed(), series.minutes()),
        sources: series.sources.clone(),
    };
    let (l5, m10) = (local.extreme(L5_MINUTES, f64::lt), local.extreme(M10_MINUTES, f64::gt));
    let ra = l5.zip(m10).and_then(|(l5, m10)| relative_amplitude(l5.mean, m10.mean));
    let profile_reason = "fewer than 1368 minutes of the mean day were observed";
    let ra_reason = if l5.is_some() { "no activity was observed" } else { profile_reason };
    let onset = |extreme: Option<Extreme>| extreme.map(|extreme| extreme.onset as f64);
    let (observed_days, days) = local.days(zone);
    Circadian {
        interdaily_stability: local
            .stability(basis("1", "IS (Witting 1990), hourly bins"), observed_days >= rules.days_min),
        intradaily_variability: local.variability(basis("1", "IV (Witting 1990), hourly bins")),
        l5: basis("{steps}/min", "L5 (Van Someren 1999), minute mean day")
            .or_not_assessed(l5.map(|l5| l5.mean), profile_reason),
        l5_onset: basis("min", "L5 onset (Van Someren 1999), local minute of day")
            .or_not_assessed(onset(l5), profile_reason),
        m10: basis("{steps}/min", "M10 (Van Someren 1999), minute mean day")
            .or_not_assessed(m10.map(|m10| m10.mean), profile_reason),
        m10_onset: basis("min", "M10 onset (Van Someren 1999), local minute of day")
            .or_not_assessed(onset(m10), profile_reason),
        relative_amplitude: basis("1", "RA (Van Someren 1999)").or_not_assessed(ra, ra_reason),
        days: Basis {
            coverage: Coverage { observed: observed_days, expected: days, of: CoverageOf::Days },
            ..basis("d", "local days with at least half of their minutes observed")
        }
        .assessed(f64::from(observed_days)),
    }
}

/// One hour of the local clock.
struct Bin {
    hour: usize,
    observed: u32,
    sum: f64,
}

impl Bin {
    fn mean(&self) -> Option<f64> {
        (self.observed >= BIN_MINUTES_MIN).then(|| self.sum / f64::from(self.observed))
    }
}

/// A series by the local clock.
struct LocalSeries {
    bins: Vec<Bin>,
    /// For each local minute of day, how many minutes were observed, and their sum.
    profile: Vec<(u32, f64)>,
    /// For each local date, how many minutes were observed.
    observed: BTreeMap<Date, u32>,
}

impl LocalSeries {
    fn new(series: &MinuteSeries, zone: &TimeZone) -> Self {
        let mut this =
            Self { bins: Vec::new(), profile: vec![(0, 0.0); MINUTES_PER_DAY], observed: BTreeMap::new() };
        let mut last_hour = None;
        for (index, value) in series.values.iter().enumerate() {
            let instant = timestamp(series.minute_start_ms(index));
            let offset = zone.to_offset(instant);
            let local = offset.to_datetime(instant);
            let hour = usize::from(local.hour().unsigned_abs());
            // The offset tells the two hours apart that an autumn night repeats.
            let this_hour = Some((local.date(), hour, offset));
            if last_hour != this_hour {
                this.bins.push(Bin { hour, observed: 0, sum: 0.0 });
                last_hour = this_hour;
            }
            let day = this.observed.entry(local.date()).or_default();
            if let (Some(value), Some(bin)) = (value, this.bins.last_mut()) {
                *day += 1;
                bin.observed += 1;
                bin.sum += value;
                let (observed, sum) =
                    &mut this.profile[hour * 60 + usize::from(local.minute().unsigned_abs())];
                *observed += 1;
                *sum += value;
            }
        }
        this
    }

    /// How many local days were observed for at least half of their minutes, and how many the series touches.
    fn days(&self, zone: &TimeZone) -> (u32, u32) {
        let is_observed = |(date, observed): (&Date, &u32)| {
            2 * observed >= super::whole_minutes(day_interval(*date, zone).duration_ms())
        };
        let observed = self.observed.iter().filter(|day| is_observed(*day)).count();
        (super::count(observed), super::count(self.observed.len()))
    }

    fn stability(&self, basis: Basis, has_the_days: bool) -> Measure {
        let bins: Vec<(usize, f64)> =
            self.bins.iter().filter_map(|bin| Some((bin.hour, bin.mean()?))).collect();
        let hours: std::collections::BTreeSet<usize> = bins.iter().map(|(hour, _)| *hour).collect();
        if !has_the_days {
            basis.not_assessed("too few days were observed for at least half of their minutes")
        } else if hours.len() < HOURS_PER_DAY {
            basis.not_assessed("an hour of the day was never observed")
        } else {
            basis.or_not_assessed(stability(&bins), "activity did not vary")
        }
    }

    fn variability(&self, basis: Basis) -> Measure {
        let bins: Vec<Option<f64>> = self.bins.iter().map(Bin::mean).collect();
        if bins.iter().flatten().count() < HOURS_PER_DAY {
            return basis.not_assessed("fewer than 24 hours were observed");
        }
        basis.or_not_assessed(
            variability(&bins),
            "activity did not vary, or no two successive hours were observed",
        )
    }

    fn extreme(&self, window: usize, is_better: fn(&f64, &f64) -> bool) -> Option<Extreme> {
        let profile: Vec<Option<f64>> = (self.profile.iter())
            .map(|(observed, sum)| (*observed > 0).then(|| sum / f64::from(*observed)))
            .collect();
        (profile.iter().flatten().count() >= PROFILE_MINUTES_MIN)
            .then(|| extreme(&profile, window, is_better))?
    }
}

/// A window of a mean day.
#[derive(Clone, Copy, PartialEq)]
pub struct Extreme {
    /// The bin of the day at which the window begins.
    pub onset: usize,
    /// The mean of its bins.
    pub mean: f64,
}

opaque_debug!(Extreme);

/// Interdaily stability (Witting 1990), `N Σ_h (x̄_h-x̄)² / (p Σ_i (x_i-x̄)²)`, of data that begins at bin 0 of a day and
/// has no gaps. Where the last day is not whole, each hour's mean weighs as often as the hour occurs, which is the same
/// for whole days and keeps the result between 0 and 1. `None` for constant data and for less than one day.
pub fn interdaily_stability(x: &[f64], bins_per_day: usize) -> Option<f64> {
    if bins_per_day == 0 || x.len() < bins_per_day {
        return None;
    }
    stability(&x.iter().enumerate().map(|(index, value)| (index % bins_per_day, *value)).collect::<Vec<_>>())
}

/// Intradaily variability (Witting 1990), `N Σ (x_i-x_{i-1})² / ((N-1) Σ (x_i-x̄)²)`. `None` for constant data.
pub fn intradaily_variability(x: &[f64]) -> Option<f64> {
    variability(&x.iter().copied().map(Some).collect::<Vec<_>>())
}

/// The least active `window` bins of a mean day that has no gaps, such as L5; the day is circular, and of several equal
/// windows the earliest is taken. `None` where the window is empty or longer than the day.
pub fn least_active(profile: &[f64], window: usize) -> Option<Extreme> {
    extreme(&profile.iter().copied().map(Some).collect::<Vec<_>>(), window, f64::lt)
}

/// The most active `window` bins of a mean day that has no gaps, such as M10; see [`least_active`].
pub fn most_active(profile: &[f64], window: usize) -> Option<Extreme> {
    extreme(&profile.iter().copied().map(Some).collect::<Vec<_>>(), window, f64::gt)
}

/// Relative amplitude (Van Someren 1999), `(M10 - L5) / (M10 + L5)`; `None` where there is no activity.
pub fn relative_amplitude(l5: f64, m10: f64) -> Option<f64> {
    (l5 + m10 > 0.0).then(|| (m10 - l5) / (m10 + l5))
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

/// The share of the variance that the hour of day explains, over the bins that count: `(hour, value)`.
pub(crate) fn stability(bins: &[(usize, f64)]) -> Option<f64> {
    let mut hours: Vec<(u32, f64)> = Vec::new();
    for (hour, value) in bins {
        if hours.len() <= *hour {
            hours.resize(hour + 1, (0, 0.0));
        }
        let (count, sum) = &mut hours[*hour];
        *count += 1;
        *sum += value;
    }
    let grand = mean(bins.iter().map(|(_, value)| *value));
    let total: f64 = bins.iter().map(|(_, value)| (value - grand).powi(2)).sum();
    let between: f64 = (hours.iter().filter(|(count, _)| *count > 0))
        .map(|&(count, sum)| f64::from(count) * (sum / f64::from(count) - grand).powi(2))
        .sum();
    varies(total / bins.len() as f64, grand).then(|| between / total)
}

/// Whether a variance is more than what rounding leaves of values that are all the same.
pub(crate) fn varies(variance: f64, mean: f64) -> bool {
    variance > 1e-24 * mean * mean
}

/// The mean squared step between successive bins over the variance; steps from or to a missing bin do not count.
pub(crate) fn variability(bins: &[Option<f64>]) -> Option<f64> {
    let grand = mean(bins.iter().flatten().copied());
    let variance = mean(bins.iter().flatten().map(|value| (value - grand).powi(2)));
    let squares = bins.windows(2).filter_map(|pair| Some((pair[1]? - pair[0]?).powi(2)));
    (squares.clone().next().is_some() && varies(variance, grand)).then(|| mean(squares) / variance)
}

/// The first window whose mean is best; a missing bin takes no part in its window's mean.
pub(crate) fn extreme(
    profile: &[Option<f64>],
    window: usize,
    is_better: fn(&f64, &f64) -> bool,
) -> Option<Extreme> {
    if window == 0 || window > profile.len() {
        return None;
    }
    // What was observed before each bin of two days in a row: how many, and their sum.
    let mut before = vec![(0_u32, 0.0)];
    for bin in profile.iter().chain(profile) {
        let (count, sum) = before[before.len() - 1];
        before.push(bin.map_or((count, sum), |bin| (count + 1, sum + bin)));
    }
    // Windows with equal content sum in different orders; rounding must not decide between them.
    let rounding = 1e-12 * (1.0 + before[profile.len()].1.abs() / window as f64);
    let mut best: Option<Extreme> = None;
    for onset in 0..profile.len() {
        let ((count_before, sum_before), (count, sum)) = (before[onset], before[onset + window]);
        let mean = (sum - sum_before) / f64::from(count - count_before);
        let is_equal = |best: Extreme| (mean - best.mean).abs() <= rounding;
        if mean.is_finite() && best.is_none_or(|best| is_better(&mean, &best.mean) && !is_equal(best)) {
            best = Some(Extreme { onset, mean });
        }
    }
    // The difference of two sums is off in its last digits, so the best window is summed on its own.
    let of_window = |onset: usize| mean(profile.iter().cycle().skip(onset).take(window).flatten().copied());
    best.map(|best| Extreme { mean: of_window(best.onset), ..best })
}

#[cfg(test)]
mod tests;
