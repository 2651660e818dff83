//! One local day in numbers.
//!
//! Amounts that add up (steps, energy, distance, flights, exercise) are merged over sources by [`merge`].
//! Their coverage is the number of minutes that a merged reading touches or in which a watch or ring was worn (see
//! [`activity`]), of the minutes of the day: 1380, 1440 or 1500. A day without a single reading of a
//! metric has no amount, not 0: HealthKit does not say whether it was nothing or was not allowed to be read.

use jiff::{civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{
    Basis, Coverage, Measure, NO_READINGS, activity, count, heart,
    merge::{self, SourcePriority},
    opaque_debug,
    vitals::Vitals,
    whole_minutes,
};
use crate::{calendar::LocalDay, metric::Metric, sample::Sample, time::timestamp};

/// How amounts that add up are merged.
pub(crate) const AMOUNT: &str = "sum over the union of intervals, highest-priority source at each instant";

/// The measures of one local day.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Daily {
    /// The local calendar day.
    pub date: Date,
    /// The zone whose day it is: an IANA name, or an offset such as `+02:00`.
    pub zone: String,
    /// How long the day was: 1440 minutes, except when the clock changed.
    pub day_length_minutes: u32,
    /// Steps.
    pub step_count: Measure,
    /// Energy burned by activity.
    pub active_energy: Measure,
    /// Energy burned at rest.
    pub basal_energy: Measure,
    /// Distance walked and run.
    pub distance: Measure,
    /// Flights of stairs climbed.
    pub flights_climbed: Measure,
    /// Apple's exercise minutes.
    pub exercise_time: Measure,
    /// The lowest heart rate reading.
    pub heart_rate_min: Measure,
    /// The highest heart rate reading.
    pub heart_rate_max: Measure,
    /// The mean heart rate.
    pub heart_rate_mean: Measure,
    /// HealthKit's resting heart rate of the day.
    pub resting_heart_rate: Measure,
    /// The mean of the day's SDNN readings.
    pub hrv_sdnn: Measure,
    /// The mean respiratory rate.
    pub respiratory_rate: Measure,
    /// The mean oxygen saturation.
    pub oxygen_saturation: Measure,
    /// What needs the night, or beats; `None` where an earlier build computed the day.
    #[serde(default)]
    pub vitals: Option<Vitals>,
}

opaque_debug!(Daily);

impl Daily {
    /// Whether anything at all was assessed of the day.
    pub fn is_assessed(&self) -> bool {
        let measures = [
            &self.step_count,
            &self.active_energy,
            &self.basal_energy,
            &self.distance,
            &self.flights_climbed,
            &self.exercise_time,
            &self.heart_rate_min,
            &self.resting_heart_rate,
            &self.hrv_sdnn,
            &self.respiratory_rate,
            &self.oxygen_saturation,
        ];
        measures.iter().any(|measure| measure.value().is_some())
    }
}

/// Computes the measures of a local day, but for its [`vitals`](super::vitals), which need its night.
///
/// `samples` are all readings, of all metrics, that touch the day; others do no harm, and the readings of an hour before
/// and after tell better whether a watch was worn at midnight.
pub fn daily(local: &LocalDay, samples: &[Sample], priority: &SourcePriority) -> Daily {
    let day = local.interval;
    let worn = activity::worn(day, &samples.iter().collect::<Vec<_>>()).minutes;
    let amount = |metric: Metric| {
        let of_metric: Vec<&Sample> = samples.iter().filter(|sample| sample.metric == metric).collect();
        let covered = merge::minute_series(&of_metric, day, priority);
        let observed = covered.iter().zip(&worn).filter(|(total, worn)| total.is_some() || **worn).count();
        let total = merge::total(&of_metric, day, priority);
        let basis = Basis {
            unit: metric.unit(),
            method: AMOUNT,
            coverage: Coverage::minutes(count(observed), whole_minutes(day.duration_ms())),
            sources: total.as_ref().map(|total| total.sources.clone()).unwrap_or_default(),
        };
        basis.or_not_assessed(total.map(|total| total.value), NO_READINGS)
    };
    let heart = heart::heart(day, samples, priority);
    Daily {
        date: local.date,
        zone: zone_label(&local.clock.rules(), day.start_ms()),
        day_length_minutes: whole_minutes(day.duration_ms()),
        step_count: amount(Metric::STEP_COUNT),
        active_energy: amount(Metric::ACTIVE_ENERGY_BURNED),
        basal_energy: amount(Metric::BASAL_ENERGY_BURNED),
        distance: amount(Metric::DISTANCE_WALKING_RUNNING),
        flights_climbed: amount(Metric::FLIGHTS_CLIMBED),
        exercise_time: amount(Metric::APPLE_EXERCISE_TIME),
        heart_rate_min: heart.heart_rate_min,
        heart_rate_max: heart.heart_rate_max,
        heart_rate_mean: heart.heart_rate_mean,
        resting_heart_rate: heart.resting_heart_rate,
        hrv_sdnn: heart.hrv_sdnn,
        respiratory_rate: heart.respiratory_rate,
        oxygen_saturation: heart.oxygen_saturation,
        vitals: None,
    }
}

/// What an answer calls a zone: its IANA name, else its offset at `instant_ms`.
pub fn zone_label(zone: &TimeZone, instant_ms: i64) -> String {
    if let Some(name) = zone.iana_name() {
        return name.to_owned();
    }
    let seconds = zone.to_offset(timestamp(instant_ms)).seconds();
    let minutes = seconds.unsigned_abs() / 60;
    format!("{}{:02}:{:02}", if seconds < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests;
