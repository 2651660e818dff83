//! One local day hour by hour.
//!
//! Hours are blocks of 60 minutes that begin with the local midnight at which the day begins: a day has 23, 24 or 25 of
//! them, as many as it lasts when the person flies, and ends with a shorter block where a clock moves by half an hour.
//!
//! Amounts are merged over sources as a day's are (see [`merge`]), and a reading that reaches over several hours is shared
//! between them by time. So the hours of a day add up to the day's own amount. An hour without a reading of a metric has no
//! amount, not 0.

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::{
    Basis, Coverage, Measure, NO_READINGS, activity, count,
    daily::{AMOUNT, zone_label},
    heart,
    merge::{self, SourcePriority},
    opaque_debug, whole_minutes,
};
use crate::{
    calendar::LocalDay,
    metric::Metric,
    sample::Sample,
    time::{Interval, MINUTE_MS, timestamp},
};

const HOUR_MINUTES: usize = 60;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// The measures of one hour of a local day.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Hour {
    /// The local calendar day.
    pub date: Date,
    /// Which hour of the day, counted from 0. It is the hour by the clock except on days when the clock changed.
    pub hour: u32,
    /// When it begins.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// The zone at the end of the day: an IANA name, or an offset such as `+02:00`.
    pub zone: String,
    /// Steps.
    pub step_count: Measure,
    /// Distance walked and run.
    pub distance: Measure,
    /// Energy burned by activity.
    pub active_energy: Measure,
    /// The lowest heart rate reading.
    pub heart_rate_min: Measure,
    /// The highest heart rate reading.
    pub heart_rate_max: Measure,
    /// The mean heart rate.
    pub heart_rate_mean: Measure,
    /// How many heart rate readings these are of.
    pub heart_rate_count: Measure,
}

opaque_debug!(Hour);

impl Hour {
    /// Whether anything was assessed of the hour.
    pub fn is_assessed(&self) -> bool {
        [&self.step_count, &self.distance, &self.active_energy, &self.heart_rate_count]
            .into_iter()
            .any(|measure| measure.value().is_some())
    }
}

/// Computes the measures of each hour of a local day.
///
/// `samples` are all readings, of all metrics, that touch the day, as [`daily`](super::daily::daily) takes them.
pub fn hourly(local: &LocalDay, samples: &[Sample], priority: &SourcePriority) -> Vec<Hour> {
    let day = local.interval;
    let zone = zone_label(&local.clock.rules(), day.start_ms());
    let amounts = [Metric::STEP_COUNT, Metric::DISTANCE_WALKING_RUNNING, Metric::ACTIVE_ENERGY_BURNED]
        .map(|metric| Amount::new(metric, day, samples, priority));
    let worn = activity::worn(day, &samples.iter().collect::<Vec<_>>()).minutes;
    let hour = |(index, window): (usize, Interval)| {
        let worn = worn.chunks(HOUR_MINUTES).nth(index).unwrap_or_default();
        let [step_count, distance, active_energy] =
            amounts.each_ref().map(|amount| amount.of(index, window, worn, priority));
        let of_hour: Vec<Sample> = samples
            .iter()
            .filter(|sample| sample.metric == Metric::HEART_RATE && begins_in(sample, window))
            .cloned()
            .collect();
        let rate = heart::heart_rate(window, &of_hour, priority);
        Hour {
            date: local.date,
            hour: count(index),
            start: timestamp(window.start_ms()),
            end: timestamp(window.end_ms()),
            zone: zone.clone(),
            step_count,
            distance,
            active_energy,
            heart_rate_min: rate.min,
            heart_rate_max: rate.max,
            heart_rate_mean: rate.mean,
            heart_rate_count: rate.count,
        }
    };
    hours(day).enumerate().map(hour).collect()
}

/// The blocks of a day.
fn hours(day: Interval) -> impl Iterator<Item = Interval> {
    let starts = (0..).map(move |index| day.start_ms() + index * HOUR_MS);
    starts
        .take_while(move |start| *start < day.end_ms())
        .filter_map(move |start| Interval::new(start, day.end_ms().min(start + HOUR_MS)).ok())
}

fn begins_in(sample: &Sample, window: Interval) -> bool {
    (window.start_ms()..window.end_ms()).contains(&sample.interval.start_ms())
}

/// A metric that adds up, over a day.
struct Amount<'a> {
    metric: Metric,
    samples: Vec<&'a Sample>,
    /// What each minute of the day adds.
    minutes: Vec<Option<f64>>,
}

impl<'a> Amount<'a> {
    fn new(metric: Metric, day: Interval, samples: &'a [Sample], priority: &SourcePriority) -> Self {
        let samples: Vec<&Sample> = samples.iter().filter(|sample| sample.metric == metric).collect();
        let minutes = merge::minute_series(&samples, day, priority);
        Self { metric, samples, minutes }
    }

    fn of(&self, index: usize, window: Interval, worn: &[bool], priority: &SourcePriority) -> Measure {
        let covered = self.minutes.chunks(HOUR_MINUTES).nth(index).unwrap_or_default();
        let observed = covered.iter().zip(worn).filter(|(total, worn)| total.is_some() || **worn).count();
        let touching: Vec<&Sample> = self
            .samples
            .iter()
            .copied()
            .filter(|sample| sample.interval.intersection(window).is_some() || begins_in(sample, window))
            .collect();
        let total = merge::total(&touching, window, priority);
        let basis = Basis {
            unit: self.metric.unit(),
            method: AMOUNT,
            coverage: Coverage::minutes(count(observed), whole_minutes(window.duration_ms())),
            sources: total.as_ref().map(|total| total.sources.clone()).unwrap_or_default(),
        };
        basis.or_not_assessed(total.map(|total| total.value), NO_READINGS)
    }
}

#[cfg(test)]
mod tests;
