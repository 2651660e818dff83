//! Heart and temperature measures that need more than the readings of a day: beat-to-beat intervals, the end of an exercise,
//! the hours of sleep. What a day's readings tell is in [`heart`].

mod beats;

use serde::{Deserialize, Serialize};

pub use self::beats::{BEAT_RULE, BeatRules, HeartRateVariability, heart_rate_variability, normal_intervals};
use super::{
    Basis, Coverage, CoverageOf, Measure, NO_READINGS,
    heart::{self, Readings},
    merge::SourcePriority,
    opaque_debug, source_labels, whole_minutes,
};
use crate::{
    metric::Metric,
    sample::Sample,
    time::{Interval, MINUTE_MS},
};

/// How far a reading may be from the minute after exercise, in milliseconds.
pub const RECOVERY_TOLERANCE_MS: i64 = 10_000;

/// The share of the minutes awake and of those asleep that the nocturnal dip needs.
pub const DIP_SHARE_MIN: f64 = 0.5;

const DIP: &str = "nocturnal heart rate dip (Ben-Dov 2007), (awake - asleep) / awake, means of minute means";
const RECOVERY: &str =
    "heart rate recovery (Cole 1999), peak of the last minute of exercise - 1 min after its end";

/// What HealthKit says once a day or after a workout, as such: nothing is computed from other readings.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct AsTold {
    /// HealthKit's heart rate recovery of one minute, of the latest workout of the day. Unit `/min`.
    pub heart_rate_recovery: Measure,
    /// HealthKit's temperature of the wrist in sleep. Unit `Cel`.
    pub wrist_temperature: Measure,
}

opaque_debug!(AsTold);

/// The highest-priority source's latest readings that begin in `day`. Compare the temperature with the nights before by
/// [`baseline::deviation`](super::baseline::deviation): only the deviation means something.
///
/// **Missing data.** Not assessed where there is no reading.
pub fn as_told(day: Interval, samples: &[Sample], priority: &SourcePriority) -> AsTold {
    let latest = |metric, method| heart::latest(metric, method, day, samples, priority);
    AsTold {
        heart_rate_recovery: latest(
            Metric::HEART_RATE_RECOVERY_ONE_MINUTE,
            "HealthKit heartRateRecoveryOneMinute",
        ),
        wrist_temperature: latest(
            Metric::APPLE_SLEEPING_WRIST_TEMPERATURE,
            "HealthKit appleSleepingWristTemperature",
        ),
    }
}

/// Heart rate recovery in the first minute after exercise, in `/min`: the highest reading of the last minute of exercise less
/// the reading nearest to one minute after its end. Cole, Blackstone, Pashkow, Snader, Lauer: Heart-rate recovery immediately
/// after exercise as a predictor of mortality. N Engl J Med 1999;341:1351-1357.
///
/// **Missing data.** Not assessed without a reading in the last minute of exercise, and without one within
/// [`RECOVERY_TOLERANCE_MS`] of the minute after its end. Both are of one source, the one of highest priority that has both.
pub fn heart_rate_recovery(exercise: Interval, samples: &[Sample], priority: &SourcePriority) -> Measure {
    let (end, target) = (exercise.end_ms(), exercise.end_ms() + MINUTE_MS);
    let start = exercise.start_ms().max(end - MINUTE_MS);
    let reach = Interval::new(start, target + RECOVERY_TOLERANCE_MS + 1).ok();
    let mut readings: Vec<(&Sample, f64)> =
        reach.into_iter().flat_map(|reach| heart::of_day(Metric::HEART_RATE, reach, samples)).collect();
    readings.sort_by_key(|(sample, _)| (priority.place(sample), sample.interval, sample.id));
    let mut found = None;
    for of_source in readings.chunk_by(|(a, _), (b, _)| a.source == b.source) {
        let at = |sample: &Sample| sample.interval.start_ms();
        let peak =
            of_source.iter().filter(|(sample, _)| at(sample) <= end).max_by(|(_, a), (_, b)| a.total_cmp(b));
        let after = of_source
            .iter()
            .filter(|(sample, _)| (at(sample) - target).abs() <= RECOVERY_TOLERANCE_MS)
            .min_by_key(|(sample, _)| (at(sample) - target).abs());
        found = found.or(peak.zip(after));
    }
    let basis = Basis {
        unit: Metric::HEART_RATE.unit(),
        method: RECOVERY,
        coverage: Coverage {
            observed: if found.is_some() { 2 } else { 0 },
            expected: 2,
            of: CoverageOf::Readings,
        },
        sources: source_labels(found.iter().map(|((sample, _), _)| &*sample.source)),
    };
    basis.or_not_assessed(
        found.map(|((_, peak), (_, after))| peak - after),
        "no source has a reading at the end of the exercise and one minute after it",
    )
}

/// The nocturnal dip of the heart rate, in percent: `100 (awake - asleep) / awake`, of the mean heart rates of the minutes in
/// `awake` and in `asleep`. Ben-Dov, Kark, Ben-Ishay, et al.: Blunted heart rate dip during sleep and all-cause mortality.
/// Arch Intern Med 2007;167:2116-2121. It is negative where the heart beats faster in sleep.
///
/// **Missing data.** Minutes without a reading take no part; not assessed where fewer than [`DIP_SHARE_MIN`] of the minutes
/// asleep or of those awake have one. The coverage is that of both together.
pub fn nocturnal_dip(
    asleep: &[Interval],
    awake: &[Interval],
    samples: &[Sample],
    priority: &SourcePriority,
) -> Measure {
    let (asleep, awake) = (Minutes::new(asleep, samples, priority), Minutes::new(awake, samples, priority));
    let basis = Basis {
        unit: "%",
        method: DIP,
        coverage: Coverage::minutes(asleep.observed + awake.observed, asleep.expected + awake.expected),
        sources: source_labels(asleep.readings.iter().chain(&awake.readings).flat_map(Readings::counted)),
    };
    match (asleep.mean(), awake.mean()) {
        (Some(asleep), Some(awake)) => basis.assessed(100.0 * (awake - asleep) / awake),
        (None, None) if asleep.observed + awake.observed == 0 => basis.not_assessed(NO_READINGS),
        _ => basis.not_assessed("too few minutes asleep or awake have a reading"),
    }
}

/// The heart rate in some windows.
struct Minutes<'a> {
    readings: Vec<Readings<'a>>,
    observed: u32,
    expected: u32,
}

impl<'a> Minutes<'a> {
    fn new(windows: &[Interval], samples: &'a [Sample], priority: &SourcePriority) -> Self {
        let readings: Vec<Readings<'a>> = windows
            .iter()
            .map(|window| Readings::new(Metric::HEART_RATE, *window, samples, priority))
            .collect();
        Self {
            observed: readings.iter().map(|readings| super::count(readings.means().count())).sum(),
            expected: windows.iter().map(|window| whole_minutes(window.duration_ms())).sum(),
            readings,
        }
    }

    fn mean(&self) -> Option<f64> {
        let is_enough =
            self.observed > 0 && f64::from(self.observed) >= DIP_SHARE_MIN * f64::from(self.expected);
        let sum: f64 = self.readings.iter().flat_map(Readings::means).sum();
        is_enough.then(|| sum / f64::from(self.observed))
    }
}

#[cfg(test)]
mod tests;
