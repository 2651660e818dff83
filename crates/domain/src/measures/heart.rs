//! Heart, breath and blood oxygen of one local day.
//!
//! A reading belongs to the day and to the minute in which it begins. Where several sources have readings of one metric
//! in the same minute, those of the highest-priority source count, so a chest strap and a watch are not mixed. Means are
//! the mean of the means of the minutes that have a reading: a workout with a reading each second weighs no more than its
//! minutes. Coverage is the number of minutes with a reading, of the minutes of the day. Nothing is interpolated.
//!
//! Resting heart rate is HealthKit's own value and is never estimated from other readings. HRV is SDNN, the standard
//! deviation of normal-to-normal intervals, as HealthKit computes it over its short recordings.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Basis, Coverage, CoverageOf, Measure, NO_READINGS, count, merge::SourcePriority, opaque_debug,
    source_labels, whole_minutes,
};
use crate::{
    metric::Metric,
    sample::{Sample, Source, Value},
    time::{Interval, MINUTE_MS},
};

/// Heart, breath and blood oxygen of one day.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Heart {
    /// The lowest heart rate reading. Unit `/min`, as HealthKit's `count/min`.
    pub heart_rate_min: Measure,
    /// The highest heart rate reading.
    pub heart_rate_max: Measure,
    /// The mean heart rate.
    pub heart_rate_mean: Measure,
    /// HealthKit's resting heart rate of the day.
    pub resting_heart_rate: Measure,
    /// The mean of the day's SDNN readings. Unit `ms`.
    pub hrv_sdnn: Measure,
    /// The mean respiratory rate. Unit `/min`.
    pub respiratory_rate: Measure,
    /// The mean oxygen saturation, in percent.
    pub oxygen_saturation: Measure,
}

opaque_debug!(Heart);

/// Computes the measures of `day` from the readings that begin in it; other readings are not looked at.
pub fn heart(day: Interval, samples: &[Sample], priority: &SourcePriority) -> Heart {
    let readings = |metric| Readings::new(metric, day, samples, priority);
    let rate = heart_rate(day, samples, priority);
    Heart {
        heart_rate_min: rate.min,
        heart_rate_max: rate.max,
        heart_rate_mean: rate.mean,
        // HealthKit replaces it as the day goes on.
        resting_heart_rate: latest(
            Metric::RESTING_HEART_RATE,
            "HealthKit restingHeartRate",
            day,
            samples,
            priority,
        ),
        hrv_sdnn: readings(Metric::HEART_RATE_VARIABILITY_SDNN)
            .mean("SDNN (Task Force 1996), mean of minute means of HealthKit SDNN readings"),
        respiratory_rate: readings(Metric::RESPIRATORY_RATE)
            .mean("mean of minute means of HealthKit respiratory rate readings"),
        oxygen_saturation: readings(Metric::OXYGEN_SATURATION)
            .mean("mean of minute means of HealthKit oxygen saturation readings"),
    }
}

/// The heart rate of any window of whole minutes.
pub(crate) struct HeartRate {
    pub(crate) min: Measure,
    pub(crate) max: Measure,
    pub(crate) mean: Measure,
    /// How many readings these are of.
    pub(crate) count: Measure,
}

/// Computes the heart rate of `window` from the readings that begin in it.
pub(crate) fn heart_rate(window: Interval, samples: &[Sample], priority: &SourcePriority) -> HeartRate {
    let rate = Readings::new(Metric::HEART_RATE, window, samples, priority);
    let readings = rate.minutes.values().map(Vec::len).sum();
    let counted =
        Basis { unit: "{count}", ..rate.basis("number of HealthKit heart rate readings that count") };
    HeartRate {
        min: rate.fold("lowest HealthKit heart rate reading", f64::min),
        max: rate.fold("highest HealthKit heart rate reading", f64::max),
        mean: rate.mean("mean of minute means of HealthKit heart rate readings"),
        count: counted.or_not_assessed((readings > 0).then(|| f64::from(count(readings))), NO_READINGS),
    }
}

/// The readings of one metric that begin in `day`.
pub(crate) fn of_day(
    metric: Metric,
    day: Interval,
    samples: &[Sample],
) -> impl Iterator<Item = (&Sample, f64)> {
    samples.iter().filter_map(move |sample| {
        let begins_in_day = (day.start_ms()..day.end_ms()).contains(&sample.interval.start_ms());
        match sample.value {
            Value::Quantity(quantity) if sample.metric == metric && begins_in_day && quantity.is_finite() => {
                Some((sample, quantity))
            }
            Value::Quantity(_) | Value::Category(_) => None,
        }
    })
}

/// The readings that count, minute by minute, smallest first.
pub(crate) struct Readings<'a> {
    metric: Metric,
    day: Interval,
    minutes: BTreeMap<i64, Vec<(f64, &'a Sample)>>,
}

impl<'a> Readings<'a> {
    pub(crate) fn new(
        metric: Metric,
        day: Interval,
        samples: &'a [Sample],
        priority: &SourcePriority,
    ) -> Self {
        let mut minutes: BTreeMap<i64, Vec<(f64, &Sample)>> = BTreeMap::new();
        for (sample, quantity) in of_day(metric, day, samples) {
            let minute = (sample.interval.start_ms() - day.start_ms()) / MINUTE_MS;
            minutes.entry(minute).or_default().push((quantity, sample));
        }
        for readings in minutes.values_mut() {
            // Nearly always one source has them all.
            let is_of_one = readings.windows(2).all(|two| Arc::ptr_eq(&two[0].1.source, &two[1].1.source));
            if !is_of_one {
                let best = readings.iter().map(|(_, sample)| priority.place(sample)).min();
                readings.retain(|(_, sample)| Some(priority.place(sample)) == best);
            }
            // Sums depend on their order in the last bit; results must not depend on the order of the samples.
            readings.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        }
        Self { metric, day, minutes }
    }

    /// The sources of the readings that count.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &Source> {
        self.minutes.values().flatten().map(|(_, sample)| &*sample.source)
    }

    /// The means of the minutes that have a reading.
    pub(crate) fn means(&self) -> impl Iterator<Item = f64> {
        self.minutes.values().map(|readings| {
            readings.iter().map(|(quantity, _)| quantity).sum::<f64>() / readings.len() as f64
        })
    }

    fn basis(&self, method: &'static str) -> Basis {
        Basis {
            unit: self.metric.unit(),
            method,
            coverage: Coverage::minutes(count(self.minutes.len()), whole_minutes(self.day.duration_ms())),
            sources: source_labels(self.counted()),
        }
    }

    fn fold(&self, method: &'static str, pick: fn(f64, f64) -> f64) -> Measure {
        let value = self.minutes.values().flatten().map(|(quantity, _)| *quantity).reduce(pick);
        self.basis(method).or_not_assessed(value, NO_READINGS)
    }

    fn mean(&self, method: &'static str) -> Measure {
        let sum: f64 = self.means().sum();
        let mean = (!self.minutes.is_empty()).then(|| sum / self.minutes.len() as f64);
        self.basis(method).or_not_assessed(mean, NO_READINGS)
    }
}

/// The highest-priority source's latest reading that begins in `day`.
pub(crate) fn latest(
    metric: Metric,
    method: &'static str,
    day: Interval,
    samples: &[Sample],
    priority: &SourcePriority,
) -> Measure {
    let latest = of_day(metric, day, samples).min_by(|(a, left), (b, right)| {
        let latest_first =
            |sample: &Sample| std::cmp::Reverse((sample.interval.end_ms(), sample.interval.start_ms()));
        let key = |sample| (priority.place(sample), latest_first(sample), sample.id);
        key(a).cmp(&key(b)).then(left.total_cmp(right))
    });
    let basis = Basis {
        unit: metric.unit(),
        method,
        coverage: Coverage { observed: u32::from(latest.is_some()), expected: 1, of: CoverageOf::Readings },
        sources: source_labels(latest.map(|(sample, _)| &*sample.source)),
    };
    basis.or_not_assessed(latest.map(|(_, quantity)| quantity), NO_READINGS)
}

#[cfg(test)]
mod tests;
