//! Nights as they happen.

use super::*;
use crate::{
    measures::fixtures::{Device, between, phone, ring, watch},
    sample::DeviceKind,
    time::Interval,
};

use SleepStage::{AsleepCore, AsleepDeep, AsleepREM, AsleepUnspecified, Awake, InBed};

fn code(stage: SleepStage) -> Value {
    Value::Category((0..=5).find(|code| SleepStage::from_category(*code) == Some(stage)).unwrap())
}

/// A sample between two UTC times of 2026, such as `06-01T23:10`.
fn slept(device: &Device, start: &str, end: &str, stage: SleepStage) -> Sample {
    let interval = between(&format!("2026-{start}:00Z"), &format!("2026-{end}:00Z"));
    device.reading(Metric::SLEEP_ANALYSIS, interval, code(stage))
}

fn only(samples: &[Sample], rules: &SleepRules) -> Night {
    let mut nights = nights(samples, rules);
    assert_eq!(nights.len(), 1);
    nights.remove(0)
}

/// iPhone, Watch and ring of one night: in bed from 22:30, asleep from 23:00 to 6:30, the watch off from 3:00 to 4:00.
fn three_devices() -> Vec<Sample> {
    vec![
        slept(&phone(), "06-01T22:30", "06-02T07:00", InBed),
        slept(&phone(), "06-01T22:45", "06-02T07:00", AsleepUnspecified),
        slept(&watch(), "06-01T23:00", "06-02T02:00", AsleepCore),
        slept(&watch(), "06-02T02:00", "06-02T02:20", Awake),
        slept(&watch(), "06-02T02:20", "06-02T03:00", AsleepDeep),
        slept(&watch(), "06-02T04:30", "06-02T06:30", AsleepCore),
        slept(&ring(), "06-01T23:10", "06-02T02:10", AsleepCore),
        slept(&ring(), "06-02T02:10", "06-02T04:40", AsleepREM),
        slept(&ring(), "06-02T04:40", "06-02T06:20", AsleepCore),
    ]
}

#[test]
fn three_sources_are_merged_and_never_added() {
    let night = only(&three_devices(), &SleepRules::default());
    // The watch tells two sessions, 23:00 to 3:00 and 4:30 to 6:30, the ring the 90 minutes between them, and the phone what
    // is outside of both: 15 minutes before and 30 after.
    assert_eq!(night.total_sleep_time.value(), Some(220.0 + 90.0 + 120.0 + 15.0 + 30.0));
    assert_eq!(night.wake_after_sleep_onset.value(), Some(20.0));
    assert_eq!(
        (night.rem.value(), night.deep.value(), night.core.value()),
        (Some(90.0), Some(40.0), Some(300.0))
    );
    assert_eq!(night.unspecified.value(), Some(45.0));
    assert_eq!((night.time_in_bed.value(), night.sleep_onset_latency.value()), (Some(510.0), Some(15.0)));
    assert_eq!(night.total_sleep_time.sources(), ["Phone", "Ring", "Watch"]);
    // Whatever the sources say, nobody sleeps longer than the night.
    let asleep = night.total_sleep_time.value().unwrap() + night.wake_after_sleep_onset.value().unwrap();
    assert!(asleep <= night.time_in_bed.value().unwrap());
}

#[test]
fn the_user_may_trust_the_ring_for_sleep_only() {
    let mut priority = SourcePriority::default();
    priority.by_metric.insert(Metric::SLEEP_ANALYSIS, vec![DeviceKind::Ring]);
    let night = only(&three_devices(), &SleepRules { priority, ..SleepRules::default() });
    // The ring tells 23:10 to 6:20, then the watch 10 minutes before and after it, then the phone 15 and 30.
    assert_eq!(night.total_sleep_time.value(), Some(430.0 + 20.0 + 45.0));
    assert_eq!((night.rem.value(), night.wake_after_sleep_onset.value()), (Some(150.0), Some(0.0)));
}

#[test]
fn nights_on_which_the_clock_changes_last_as_long_as_they_did() {
    // Asleep from 23:00 to 7:00 by the clock of Berlin: 7 hours in spring, 9 in autumn.
    let watch = watch().in_zone("Europe/Berlin");
    for (start, end, date, hours, midpoint) in [
        ("03-28T22:00", "03-29T05:00", Date::constant(2026, 3, 29), 7.0, 3.5),
        ("10-24T21:00", "10-25T06:00", Date::constant(2026, 10, 25), 9.0, 2.5),
    ] {
        let night = only(&[slept(&watch, start, end, AsleepCore)], &SleepRules::default());
        assert_eq!((night.date, night.total_sleep_time.value()), (date, Some(hours * 60.0)));
        // In spring the middle, 1:30 UTC, is 3:30 by the new clock; in autumn, also 1:30 UTC, 2:30 by the new one.
        assert_eq!(night.midpoint.value(), Some(midpoint * 60.0));
    }
}

#[test]
fn sleep_that_ends_before_midnight_belongs_to_that_evening() {
    let samples = [
        slept(&watch(), "06-01T19:00", "06-01T23:50", AsleepCore),
        slept(&watch(), "06-02T22:00", "06-03T06:00", AsleepCore),
    ];
    let dates: Vec<Date> =
        nights(&samples, &SleepRules::default()).into_iter().map(|night| night.date).collect();
    assert_eq!(dates, [Date::constant(2026, 6, 1), Date::constant(2026, 6, 3)]);
}

#[test]
fn a_split_night_and_a_nap_are_neither_lost_nor_added_to_the_night() {
    let samples = [
        slept(&watch(), "06-01T22:00", "06-02T01:30", AsleepCore),
        slept(&watch(), "06-02T04:00", "06-02T08:00", AsleepCore),
        slept(&ring(), "06-02T14:00", "06-02T14:30", AsleepCore),
        slept(&phone(), "06-02T14:10", "06-02T14:50", AsleepUnspecified),
    ];
    let night = only(&samples, &SleepRules::default());
    assert_eq!(night.total_sleep_time.value(), Some(240.0), "the longer half is the night");
    let naps: Vec<Option<f64>> = night.naps.iter().map(|nap| nap.total_sleep_time.value()).collect();
    assert_eq!(naps, [Some(210.0), Some(50.0)]);
}

#[test]
fn a_missed_night_is_a_gap() {
    let samples = [
        slept(&watch(), "06-01T22:00", "06-02T06:00", AsleepCore),
        slept(&watch(), "06-03T22:00", "06-04T06:00", AsleepCore),
    ];
    let found = nights(&samples, &SleepRules::default());
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|night| night.date != Date::constant(2026, 6, 3)));
}

#[test]
fn sleep_on_a_flight_over_the_date_line_is_one_night() {
    // From Tokyo to Honolulu: asleep over the Pacific, awake on the morning of the day that one left on.
    let night = only(
        &[
            slept(&watch().in_zone("Asia/Tokyo"), "06-02T12:00", "06-02T15:00", AsleepCore),
            slept(&watch().in_zone("Pacific/Honolulu"), "06-02T15:30", "06-02T17:00", AsleepCore),
        ],
        &SleepRules::default(),
    );
    assert_eq!((night.date, night.zone.as_str()), (Date::constant(2026, 6, 2), "Pacific/Honolulu"));
    assert_eq!(night.total_sleep_time.value(), Some(270.0));
    assert!(
        Interval::new(night.start.as_millisecond(), night.end.as_millisecond()).unwrap().duration_ms()
            == 5 * 3_600_000
    );
}
