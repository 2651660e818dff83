//! What of a day's heart and body needs its night, or comes beat by beat.

use serde::{Deserialize, Serialize};

use super::{
    Basis, Coverage, CoverageOf, Measure,
    cardio::{
        BeatRules, HeartRateVariability, RECOVERY_TOLERANCE_MS, as_told, heart_rate_recovery,
        heart_rate_variability, nocturnal_dip,
    },
    count,
    merge::SourcePriority,
    opaque_debug, source_labels,
};
use crate::{
    calendar::LocalDay,
    metric::Metric,
    sample::{Sample, Value},
    sleep::Night,
    time::{Interval, MINUTE_MS, timestamp},
};

/// The member of a heart rate variability's metadata that holds its beats: for each but the first the rate, in beats per
/// minute, that the time since the beat before makes, as Apple's export has them in `InstantaneousBeatsPerMinute`.
pub const BEATS: &str = "InstantaneousBeatsPerMinute";

const SDNN: &str = "mean over the day's recordings of SDNN (Task Force 1996), sample standard deviation of normal intervals: 300 to \
                    2000 ms and within 20 % of the one before (Malik 1989)";
const RMSSD: &str = "mean over the day's recordings of RMSSD (Task Force 1996), of successive normal intervals: 300 to 2000 ms \
                     and within 20 % of the one before (Malik 1989)";

/// The further measures of one local day.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Vitals {
    /// HealthKit's heart rate recovery of one minute, of the latest workout of the day. Unit `/min`.
    pub heart_rate_recovery: Measure,
    /// HealthKit's temperature of the wrist in sleep. Unit `Cel`. Only its deviation from what is usual means something.
    pub wrist_temperature: Measure,
    /// By how much the heart beats slower in the night that ends on this day than while awake on it. Unit `%`.
    pub nocturnal_dip: Measure,
    /// RMSSD of the day's recordings that have their beats. Unit `ms`.
    pub hrv_rmssd: Measure,
    /// SDNN of the same recordings, from their beats; HealthKit's own SDNN is [`Daily::hrv_sdnn`](super::daily::Daily::hrv_sdnn).
    /// Unit `ms`. `None` where an earlier build computed the day.
    #[serde(default)]
    pub hrv_sdnn_of_beats: Option<Measure>,
    /// The workouts that end on the day, in the order of their ends; `None` where an earlier build computed the day.
    #[serde(default)]
    pub workouts: Option<Vec<WorkoutHeart>>,
}

/// The heart in and after one workout.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkoutHeart {
    /// When the workout begins.
    pub start: jiff::Timestamp,
    /// When it ends.
    pub end: jiff::Timestamp,
    /// Its `HKWorkoutActivityType`.
    pub activity_type: i32,
    /// By how much the heart slows down in the minute after its end. Unit `/min`.
    pub heart_rate_recovery: Measure,
}

opaque_debug!(Vitals, WorkoutHeart);

/// Computes the vitals of a local day. `samples` are the readings around it, `exercise` the workouts around it, `nights` those of
/// it and its neighbours.
pub fn vitals(
    local: &LocalDay,
    samples: &[Sample],
    exercise: &[Sample],
    nights: &[Night],
    priority: &SourcePriority,
) -> Vitals {
    let told = as_told(local.interval, samples, priority);
    let (asleep, awake) = (asleep(local, nights), awake(local, nights));
    let variability = variability(local.interval, samples);
    let near = near(local.interval, &asleep, samples);
    Vitals {
        heart_rate_recovery: told.heart_rate_recovery,
        wrist_temperature: told.wrist_temperature,
        nocturnal_dip: if asleep.is_empty() {
            nocturnal_dip(&[], &[], &[], priority)
        } else {
            nocturnal_dip(&asleep, &awake, &near, priority)
        },
        hrv_rmssd: mean(&variability, RMSSD, |found| &found.rmssd),
        hrv_sdnn_of_beats: Some(mean(&variability, SDNN, |found| &found.sdnn)),
        workouts: Some(workouts(local.interval, exercise, &near, priority)),
    }
}

/// The heart rates in which sleep, waking hours and what follows a workout are looked for, stage by stage: from the first sleep, or
/// the last minute of a workout that ends with midnight, on until a workout's recovery is over.
fn near(day: Interval, asleep: &[Interval], samples: &[Sample]) -> Vec<Sample> {
    let first = day.start_ms() - MINUTE_MS;
    let first = asleep.iter().map(|stage| stage.start_ms()).fold(first, i64::min);
    let end = day.end_ms() + MINUTE_MS + RECOVERY_TOLERANCE_MS + 1;
    let end = asleep.iter().map(|stage| stage.end_ms()).fold(end, i64::max);
    let is_near = |sample: &&Sample| {
        sample.metric == Metric::HEART_RATE && (first..end).contains(&sample.interval.start_ms())
    };
    samples.iter().filter(is_near).cloned().collect()
}

/// The workouts that end in `day`. The same one told by several sources, or by one of them twice, is one.
fn workouts(
    day: Interval,
    exercise: &[Sample],
    samples: &[Sample],
    priority: &SourcePriority,
) -> Vec<WorkoutHeart> {
    let mut found: Vec<(Interval, i32)> = exercise
        .iter()
        .filter(|sample| sample.metric == Metric::WORKOUT)
        .filter(|sample| (day.start_ms()..day.end_ms()).contains(&sample.interval.end_ms()))
        .filter_map(|sample| match sample.value {
            Value::Category(activity_type) => Some((sample.interval, activity_type)),
            Value::Quantity(_) => None,
        })
        .collect();
    found.sort_unstable_by_key(|(interval, activity_type)| {
        (interval.end_ms(), interval.start_ms(), *activity_type)
    });
    found.dedup();
    let of = |(interval, activity_type): (Interval, i32)| WorkoutHeart {
        start: whole_second(interval.start_ms()),
        end: whole_second(interval.end_ms()),
        activity_type,
        heart_rate_recovery: heart_rate_recovery(interval, samples, priority),
    };
    found.into_iter().map(of).collect()
}

/// The shipped phone apps refuse fractional seconds.
fn whole_second(instant_ms: i64) -> jiff::Timestamp {
    timestamp(instant_ms.div_euclid(1000) * 1000)
}

fn interval(start: jiff::Timestamp, end: jiff::Timestamp) -> Option<Interval> {
    Interval::new(start.as_millisecond(), end.as_millisecond()).ok()
}

/// When the person slept in the night that ends on the day.
fn asleep(local: &LocalDay, nights: &[Night]) -> Vec<Interval> {
    let of_day = nights.iter().filter(|night| night.date == local.date);
    let stages = of_day.flat_map(|night| &night.intervals).filter(|stage| stage.stage.is_asleep());
    stages.filter_map(|stage| interval(stage.start, stage.end)).collect()
}

/// The day without its nights and naps.
fn awake(local: &LocalDay, nights: &[Night]) -> Vec<Interval> {
    let mut rests: Vec<(i64, i64)> = nights
        .iter()
        .flat_map(|night| {
            let naps = night.naps.iter().map(|nap| (nap.start, nap.end));
            naps.chain([(night.start, night.end)])
        })
        .map(|(start, end)| (start.as_millisecond(), end.as_millisecond()))
        .collect();
    rests.sort_unstable();
    let mut awake = Vec::new();
    let mut from = local.interval.start_ms();
    for (start, end) in rests {
        let until = start.min(local.interval.end_ms());
        if until > from {
            awake.extend(Interval::new(from, until).ok());
        }
        from = from.max(end);
    }
    if local.interval.end_ms() > from {
        awake.extend(Interval::new(from, local.interval.end_ms()).ok());
    }
    awake
}

/// The beat-to-beat intervals of a recording in milliseconds; `None` where it has no beats.
pub fn beat_intervals(sample: &Sample) -> Option<Vec<Option<f64>>> {
    let metadata: serde_json::Value = serde_json::from_str(sample.metadata.as_deref()?).ok()?;
    let beats = metadata.get(BEATS)?.as_array()?;
    let interval =
        |rate: &serde_json::Value| rate.as_f64().filter(|rate| *rate > 0.0).map(|rate| 60_000.0 / rate);
    Some(beats.iter().map(interval).collect())
}

/// The recordings of the day that have their beats, each with what its beats make.
fn variability(day: Interval, samples: &[Sample]) -> Vec<(&Sample, HeartRateVariability)> {
    let of_day = samples.iter().filter(|sample| {
        let start = sample.interval.start_ms();
        sample.metric == Metric::HEART_RATE_VARIABILITY_SDNN
            && (day.start_ms()..day.end_ms()).contains(&start)
    });
    let of =
        |sample| Some((sample, heart_rate_variability(&beat_intervals(sample)?, &[], BeatRules::default())));
    of_day.filter_map(of).collect()
}

/// The mean of one measure over the recordings. Coverage counts the recordings whose beats are enough, of those with beats.
fn mean(
    recordings: &[(&Sample, HeartRateVariability)],
    method: &'static str,
    pick: fn(&HeartRateVariability) -> &Measure,
) -> Measure {
    let found: Vec<(f64, &Sample)> =
        recordings.iter().filter_map(|(sample, found)| Some((pick(found).value()?, *sample))).collect();
    let basis = Basis {
        unit: "ms",
        method,
        coverage: Coverage {
            observed: count(found.len()),
            expected: count(recordings.len()),
            of: CoverageOf::Readings,
        },
        sources: source_labels(found.iter().map(|(_, sample)| &*sample.source)),
    };
    if found.is_empty() {
        return basis.not_assessed("no recording has enough of its beats");
    }
    let sum: f64 = found.iter().map(|(value, _)| value).sum();
    basis.assessed(sum / found.len() as f64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        calendar::Calendar,
        ids::SampleId,
        sample::{Source, Value},
        sleep::{SleepRules, nights},
        time::{LocalClock, ZoneName},
    };

    const MIDNIGHT_MS: i64 = 1_772_323_200_000;
    const HOUR_MS: i64 = 3_600_000;

    fn sample(metric: Metric, start_ms: i64, end_ms: i64, value: Value, metadata: Option<String>) -> Sample {
        Sample {
            id: SampleId(uuid::Uuid::from_u128(start_ms.unsigned_abs().into())),
            metric,
            interval: Interval::new(start_ms, end_ms).unwrap(),
            value,
            clock: Arc::new(LocalClock { offset_seconds: 0, zone: Some(ZoneName::new("UTC").unwrap()) }),
            source: Arc::new(Source {
                name: Some("Watch".into()),
                bundle: None,
                product_type: Some("Watch6,2".into()),
            }),
            metadata: metadata.map(Arc::from),
        }
    }

    /// Asleep from midnight to six with 50 beats a minute, awake with 80.
    fn day() -> Vec<Sample> {
        let mut samples = vec![sample(
            Metric::SLEEP_ANALYSIS,
            MIDNIGHT_MS,
            MIDNIGHT_MS + 6 * HOUR_MS,
            Value::Category(3),
            None,
        )];
        for minute in 0..1440 {
            let at = MIDNIGHT_MS + minute * 60_000;
            let rate = if minute < 360 { 50.0 } else { 80.0 };
            samples.push(sample(Metric::HEART_RATE, at, at, Value::Quantity(rate), None));
        }
        samples
    }

    fn vitals_of(samples: &[Sample]) -> Vitals {
        let calendar = Calendar::new(samples);
        let local = calendar.day(jiff::civil::date(2026, 3, 1)).unwrap();
        let stages: Vec<Sample> =
            samples.iter().filter(|sample| sample.metric == Metric::SLEEP_ANALYSIS).cloned().collect();
        let nights = nights(&stages, &SleepRules::default());
        vitals(&local, samples, samples, &nights, &SourcePriority::default())
    }

    #[test]
    fn the_dip_compares_the_night_with_the_rest_of_the_day() {
        let found = vitals_of(&day());
        assert_eq!(found.nocturnal_dip.value(), Some(37.5));
        assert_eq!(found.hrv_rmssd.value(), None);
        assert_eq!(found.wrist_temperature.value(), None);
    }

    #[test]
    fn without_a_night_there_is_no_dip() {
        let samples: Vec<Sample> =
            day().into_iter().filter(|sample| sample.metric == Metric::HEART_RATE).collect();
        assert_eq!(vitals_of(&samples).nocturnal_dip.value(), None);
    }

    #[test]
    fn beats_make_rmssd_and_too_few_of_them_do_not() {
        let mut samples = day();
        // Intervals of 1000 and 1040 ms in turn: each differs from the one before by 40 ms.
        let rates: Vec<f64> =
            (0..60).map(|at| 60_000.0 / if at % 2 == 0 { 1_000.0 } else { 1_040.0 }).collect();
        let metadata = |rates: &[f64]| Some(serde_json::json!({ BEATS: rates }).to_string());
        let at = MIDNIGHT_MS + 9 * HOUR_MS;
        let sdnn = |at, metadata| {
            sample(Metric::HEART_RATE_VARIABILITY_SDNN, at, at + 60_000, Value::Quantity(20.0), metadata)
        };
        samples.push(sdnn(at, metadata(&rates)));
        samples.push(sdnn(at + HOUR_MS, metadata(&rates[..10])));
        samples.push(sdnn(at + 2 * HOUR_MS, None));
        let found = vitals_of(&samples);
        let (rmssd, sdnn) = (found.hrv_rmssd, found.hrv_sdnn_of_beats.unwrap());
        assert!((rmssd.value().unwrap() - 40.0).abs() < 1e-9, "{:?}", rmssd.value());
        // 60 intervals, each 20 ms from their mean.
        assert!(
            (sdnn.value().unwrap() - (60.0 * 400.0_f64 / 59.0).sqrt()).abs() < 1e-9,
            "{:?}",
            sdnn.value()
        );
        for measure in [rmssd, sdnn] {
            assert_eq!((measure.coverage().observed, measure.coverage().expected), (1, 2));
            assert_eq!((measure.unit(), measure.sources()), ("ms", &["Watch".to_owned()][..]));
        }
    }

    #[test]
    fn each_workout_of_the_day_has_its_recovery() {
        let minute = |minute: i64| MIDNIGHT_MS + minute * 60_000;
        let workout = |from, to, activity| {
            sample(Metric::WORKOUT, minute(from), minute(to), Value::Category(activity), None)
        };
        let mut samples: Vec<Sample> =
            day().into_iter().filter(|sample| sample.metric == Metric::HEART_RATE).collect();
        // 80 all day long, but 150 as the run ends and 118 a minute later; nothing was recorded after the swim.
        for (at, rate) in [(600, 150.0), (601, 118.0)] {
            samples.retain(|sample| sample.interval.start_ms() != minute(at));
            samples.push(sample(Metric::HEART_RATE, minute(at), minute(at), Value::Quantity(rate), None));
        }
        samples.retain(|sample| !(1200..1203).any(|at| sample.interval.start_ms() == minute(at)));
        samples.extend([workout(1150, 1202, 46), workout(540, 600, 37), workout(540, 600, 37)]);
        // It ends when the day is over.
        samples.push(workout(1430, 1440, 37));
        let found = vitals_of(&samples).workouts.unwrap();
        let told = |workout: &WorkoutHeart| (workout.activity_type, workout.heart_rate_recovery.value());
        assert_eq!(found.iter().map(told).collect::<Vec<_>>(), [(37, Some(32.0)), (46, None)]);
        assert_eq!(found[0].end.as_millisecond(), minute(600));
        assert_eq!(
            found[1].heart_rate_recovery.not_assessed(),
            Some("no source has a reading at the end of the exercise and one minute after it")
        );
    }
}
