use proptest::prelude::*;

use super::*;
use crate::{
    measures::{
        Coverage,
        fixtures::{Device, between, instant, phone, watch},
    },
    time::Interval,
};

use SleepStage::{AsleepCore, AsleepDeep, AsleepREM, AsleepUnspecified, Awake, InBed};

fn code(stage: SleepStage) -> Value {
    Value::Category((0..=5).find(|code| SleepStage::from_category(*code) == Some(stage)).unwrap())
}

/// A sample between two times of June 2026, such as `01T23:10`, in UTC.
fn slept(device: &Device, start: &str, end: &str, stage: SleepStage) -> Sample {
    let interval = between(&format!("2026-06-{start}:00Z"), &format!("2026-06-{end}:00Z"));
    device.reading(Metric::SLEEP_ANALYSIS, interval, code(stage))
}

fn of(samples: &[Sample]) -> Vec<Night> {
    nights(samples, &SleepRules::default())
}

fn only(samples: &[Sample]) -> Night {
    let mut nights = of(samples);
    assert_eq!(nights.len(), 1);
    nights.remove(0)
}

/// A night of a watch: asleep from 23:10 to 6:30 with 20 minutes awake.
fn watch_night() -> Vec<Sample> {
    vec![
        slept(&watch(), "01T23:10", "02T00:40", AsleepCore),
        slept(&watch(), "02T00:40", "02T01:30", AsleepDeep),
        slept(&watch(), "02T01:30", "02T01:45", Awake),
        slept(&watch(), "02T01:45", "02T04:00", AsleepCore),
        slept(&watch(), "02T04:00", "02T04:05", Awake),
        slept(&watch(), "02T04:05", "02T05:00", AsleepREM),
        slept(&watch(), "02T05:00", "02T06:30", AsleepCore),
    ]
}

fn interval_of(night: &Night) -> (String, String) {
    (night.start.to_string(), night.end.to_string())
}

#[test]
fn a_night_across_midnight_belongs_to_the_date_of_waking() {
    let mut samples = watch_night();
    samples.push(slept(&phone(), "01T22:50", "02T06:40", InBed));
    let night = only(&samples);
    assert_eq!(night.date, Date::constant(2026, 6, 2));
    assert_eq!(interval_of(&night), ("2026-06-01T22:50:00Z".to_owned(), "2026-06-02T06:40:00Z".to_owned()));
    assert_eq!(night.total_sleep_time.value(), Some(420.0));
    assert_eq!(night.time_in_bed.value(), Some(470.0));
    assert_eq!(night.sleep_efficiency.value(), Some(100.0 * 420.0 / 470.0));
    assert_eq!(night.sleep_onset_latency.value(), Some(20.0));
    assert_eq!((night.wake_after_sleep_onset.value(), night.awakenings.value()), (Some(20.0), Some(2.0)));
    assert_eq!(
        (night.core.value(), night.deep.value(), night.rem.value()),
        (Some(315.0), Some(50.0), Some(55.0))
    );
    assert_eq!(night.unspecified.value(), Some(0.0));
    // From 23:10 to 6:30 the middle is 2:50.
    assert_eq!(night.midpoint.value(), Some(170.0));
    assert_eq!(night.total_sleep_time.coverage(), Coverage::minutes(440, 470));
    assert_eq!(night.wake_after_sleep_onset.coverage(), Coverage::minutes(440, 440));
    assert_eq!(night.total_sleep_time.sources(), ["Phone", "Watch"]);
    assert_eq!((night.naps.len(), night.intervals.len()), (0, 8));
    assert_eq!((night.intervals[0].stage, night.intervals[1].stage), (InBed, AsleepCore));
}

#[test]
fn without_a_time_in_bed_neither_efficiency_nor_latency_is_assessed() {
    let night = only(&watch_night());
    assert_eq!(night.total_sleep_time.value(), Some(420.0));
    for measure in [&night.time_in_bed, &night.sleep_efficiency, &night.sleep_onset_latency] {
        assert_eq!((measure.value(), measure.not_assessed()), (None, Some("no source told the time in bed")));
    }
    // One that begins after falling asleep does not tell it either.
    let mut samples = watch_night();
    samples.push(slept(&phone(), "02T03:00", "02T06:40", InBed));
    let night = only(&samples);
    assert_eq!(night.sleep_efficiency.not_assessed(), Some("the time in bed begins after sleep"));
}

#[test]
fn a_time_in_bed_that_ends_before_sleep_does_keeps_efficiency_below_100() {
    let mut samples = watch_night();
    samples.push(slept(&phone(), "01T22:50", "01T23:30", InBed));
    let night = only(&samples);
    assert_eq!(night.time_in_bed.value(), Some(460.0));
    assert!(night.sleep_efficiency.value().unwrap() < 100.0);
}

#[test]
fn without_stages_no_stage_is_assessed_and_no_waking_either() {
    let night = only(&[slept(&phone(), "01T23:00", "02T07:00", AsleepUnspecified)]);
    assert_eq!((night.total_sleep_time.value(), night.unspecified.value()), (Some(480.0), Some(480.0)));
    for stage in [&night.core, &night.deep, &night.rem] {
        assert_eq!((stage.value(), stage.not_assessed()), (None, Some("no source told stages")));
    }
    for wake in [&night.wake_after_sleep_onset, &night.awakenings] {
        assert_eq!((wake.value(), wake.not_assessed()), (None, Some("no source told sleep from wake")));
    }
}

#[test]
fn time_in_bed_alone_is_not_sleep() {
    let night = only(&[slept(&phone(), "01T23:00", "02T07:00", InBed)]);
    assert_eq!(night.time_in_bed.value(), Some(480.0));
    let unknown = [
        &night.total_sleep_time,
        &night.sleep_efficiency,
        &night.sleep_onset_latency,
        &night.wake_after_sleep_onset,
        &night.unspecified,
        &night.midpoint,
    ];
    assert!(unknown.iter().all(|measure| measure.value().is_none()));
    assert_eq!(night.total_sleep_time.coverage(), Coverage::minutes(0, 480));
}

#[test]
fn the_watch_tells_the_time_of_its_own_session_and_the_phone_what_lies_outside() {
    // The phone believes in sleep from 22:00 to 8:00; the watch, from 23:10 to 6:30, knows better, also in a silence.
    let mut samples = watch_night();
    samples.retain(|sample| sample.interval != between("2026-06-02T04:00:00Z", "2026-06-02T04:05:00Z"));
    samples.push(slept(&phone(), "01T22:00", "02T08:00", AsleepUnspecified));
    let night = only(&samples);
    assert_eq!(night.total_sleep_time.value(), Some(420.0 + 70.0 + 90.0));
    assert_eq!((night.unspecified.value(), night.wake_after_sleep_onset.value()), (Some(160.0), Some(15.0)));
    let phone_first = SleepRules {
        priority: SourcePriority::new([crate::sample::DeviceKind::Phone]),
        ..Default::default()
    };
    assert_eq!(nights(&samples, &phone_first)[0].total_sleep_time.value(), Some(600.0));
}

#[test]
fn a_split_night_is_one_session_up_to_the_gap_and_night_and_nap_beyond_it() {
    let halves = |pause_end: &str| {
        [
            slept(&watch(), "01T22:00", "02T02:00", AsleepCore),
            slept(&watch(), pause_end, "02T06:00", AsleepCore),
        ]
    };
    let night = only(&halves("02T03:00"));
    assert_eq!((night.total_sleep_time.value(), night.naps.len()), (Some(420.0), 0));
    // What nobody told is neither sleep nor wake.
    assert_eq!(night.wake_after_sleep_onset.value(), Some(0.0));
    assert_eq!(night.wake_after_sleep_onset.coverage(), Coverage::minutes(420, 480));
    let night = only(&halves("02T03:01"));
    assert_eq!((night.total_sleep_time.value(), night.naps.len()), (Some(240.0), 1));
    assert_eq!(night.naps[0].total_sleep_time.value(), Some(179.0));
    let patient = SleepRules { session_gap_minutes: 90, ..Default::default() };
    assert_eq!(nights(&halves("02T03:01"), &patient)[0].total_sleep_time.value(), Some(419.0));
}

#[test]
fn a_nap_is_kept_apart_and_lying_down_is_none() {
    let mut samples = watch_night();
    samples.push(slept(&watch(), "02T14:00", "02T14:40", AsleepCore));
    samples.push(slept(&phone(), "02T17:00", "02T18:00", InBed));
    let night = only(&samples);
    assert_eq!(night.total_sleep_time.value(), Some(420.0));
    assert_eq!(night.naps.len(), 1);
    assert_eq!(night.naps[0].start.to_string(), "2026-06-02T14:00:00Z");
    assert_eq!(night.naps[0].total_sleep_time.value(), Some(40.0));
}

#[test]
fn a_date_without_readings_has_no_night() {
    assert!(of(&[]).is_empty());
    let dates: Vec<Date> = of(&[
        slept(&watch(), "01T23:00", "02T06:00", AsleepCore),
        slept(&watch(), "03T23:00", "04T06:00", AsleepCore),
    ])
    .into_iter()
    .map(|night| night.date)
    .collect();
    assert_eq!(dates, [Date::constant(2026, 6, 2), Date::constant(2026, 6, 4)]);
}

#[test]
fn a_traveller_wakes_on_the_date_and_in_the_zone_of_arrival() {
    // Asleep in New York on the evening of the 1st, awake over the Atlantic, asleep again until Paris.
    let leaving = watch().in_zone("America/New_York");
    let arriving = watch().in_zone("Europe/Paris");
    let night = only(&[
        slept(&leaving, "02T01:00", "02T03:00", AsleepCore),
        slept(&arriving, "02T03:30", "02T06:00", AsleepCore),
    ]);
    assert_eq!((night.date, night.zone.as_str()), (Date::constant(2026, 6, 2), "Europe/Paris"));
    // The middle, 3:30 in UTC, is 5:30 in Paris.
    assert_eq!(night.midpoint.value(), Some(330.0));
    // The same instants in Honolulu are the evening before.
    let there = watch().in_zone("Pacific/Honolulu");
    assert_eq!(only(&[slept(&there, "02T01:00", "02T06:00", AsleepCore)]).date, Date::constant(2026, 6, 1));
}

#[test]
fn a_clock_that_is_only_an_offset_names_it() {
    let mut sample = slept(&watch(), "01T20:00", "02T00:00", AsleepCore);
    sample.clock = Arc::new(LocalClock { offset_seconds: -(3 * 3600 + 1800), zone: None });
    let night = only(&[sample]);
    assert_eq!((night.date, night.zone.as_str()), (Date::constant(2026, 6, 1), "-03:30"));
}

#[test]
fn what_is_not_sleep_is_not_looked_at() {
    let interval = between("2026-06-01T23:00:00Z", "2026-06-02T06:00:00Z");
    let point = Interval::new(interval.start_ms(), interval.start_ms()).unwrap();
    let samples = [
        watch().quantity(Metric::STEP_COUNT, interval, 5.0),
        watch().reading(Metric::SLEEP_ANALYSIS, interval, Value::Category(6)),
        watch().reading(Metric::SLEEP_ANALYSIS, point, Value::Category(3)),
    ];
    assert!(of(&samples).is_empty());
}

#[test]
fn times_are_whole_seconds_and_names_are_those_of_the_contract() {
    let start = instant("2026-06-01T23:00:00Z") + 250;
    let interval = Interval::new(start, start + 3_600_500).unwrap();
    let night = only(&[watch().reading(Metric::SLEEP_ANALYSIS, interval, code(AsleepREM))]);
    let json = serde_json::to_value(&night).unwrap();
    assert_eq!(
        (&json["start"], &json["end"]),
        (&"2026-06-01T23:00:00Z".into(), &"2026-06-02T00:00:00Z".into())
    );
    assert_eq!(json["intervals"][0]["stage"], "asleep_rem");
    assert!(serde_json::from_value::<Night>(json).unwrap() == night);
    assert_eq!(format!("{night:?}"), "Night(..)");
}

fn any_samples() -> impl Strategy<Value = Vec<Sample>> {
    let sample =
        (0..2_usize, 0..1440_i64, 1..300_i64, 0..6_i32).prop_map(|(device, start, length, stage)| {
            let device = [watch(), phone()][device].clone();
            let interval = Interval::new(start * MINUTE_MS, (start + length) * MINUTE_MS).unwrap();
            device.reading(Metric::SLEEP_ANALYSIS, interval, Value::Category(stage))
        });
    prop::collection::vec(sample, 1..25)
}

proptest! {
    #[test]
    fn the_order_of_the_samples_and_repeats_change_nothing(samples in any_samples()) {
        let expected = of(&samples);
        let turned: Vec<Sample> = samples.iter().rev().chain(&samples).cloned().collect();
        prop_assert!(of(&turned) == expected);
    }

    #[test]
    fn nobody_sleeps_longer_than_the_night_and_stages_add_up(samples in any_samples()) {
        for night in of(&samples) {
            let length = (night.end.as_millisecond() - night.start.as_millisecond()) as f64 / MINUTE_MS as f64;
            let tst = night.total_sleep_time.value();
            prop_assert!(tst.unwrap_or(0.0) + night.wake_after_sleep_onset.value().unwrap_or(0.0) <= length + 1e-9);
            prop_assert!(night.sleep_efficiency.value().is_none_or(|share| (0.0..=100.0).contains(&share)));
            prop_assert!(night.sleep_onset_latency.value().is_none_or(|latency| latency >= 0.0));
            let stages = [&night.core, &night.deep, &night.rem, &night.unspecified];
            let sum: f64 = stages.iter().filter_map(|stage| stage.value()).sum();
            prop_assert!((sum - tst.unwrap_or(0.0)).abs() < 1e-9);
            prop_assert!(night.total_sleep_time.coverage().share() <= 1.0);
        }
    }

    #[test]
    fn the_parts_of_one_layer_never_overlap(samples in any_samples()) {
        for night in of(&samples) {
            for in_bed in [true, false] {
                let layer: Vec<&StageInterval> =
                    night.intervals.iter().filter(|interval| (interval.stage == InBed) == in_bed).collect();
                prop_assert!(layer.windows(2).all(|pair| pair[0].end <= pair[1].start));
            }
        }
    }
}
