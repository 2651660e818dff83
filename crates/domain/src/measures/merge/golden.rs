//! Days as they happen, with the sum that a person would expect of them.
#![expect(clippy::float_cmp, reason = "whole numbers add up exactly")]

use jiff::civil::Date;

use super::*;
use crate::{
    calendar::Calendar,
    measures::{
        Measure,
        daily::{Daily, daily},
        fixtures::{Device, between, instant, phone, ring, watch},
        hourly::hourly,
    },
};

/// The metrics that add up and that several devices tell.
const METRICS: [Metric; 5] = [
    Metric::STEP_COUNT,
    Metric::DISTANCE_WALKING_RUNNING,
    Metric::ACTIVE_ENERGY_BURNED,
    Metric::BASAL_ENERGY_BURNED,
    Metric::FLIGHTS_CLIMBED,
];

fn of(day: &Daily, metric: Metric) -> &Measure {
    match metric {
        Metric::STEP_COUNT => &day.step_count,
        Metric::DISTANCE_WALKING_RUNNING => &day.distance,
        Metric::ACTIVE_ENERGY_BURNED => &day.active_energy,
        Metric::BASAL_ENERGY_BURNED => &day.basal_energy,
        _ => &day.flights_climbed,
    }
}

/// A device that counts `value` between two times of 1 June 2026, such as `08:00`, in UTC.
type Told<'a> = (&'a Device, &'a str, &'a str, f64);

/// The total of what was told, of each metric the same.
#[track_caller]
fn assert_total(told: &[Told<'_>], priority: &SourcePriority, expected: f64, sources: &[&str]) {
    for metric in METRICS {
        let samples: Vec<Sample> = told
            .iter()
            .map(|(device, start, end, value)| {
                let interval = between(&format!("2026-06-01T{start}:00Z"), &format!("2026-06-01T{end}:00Z"));
                device.quantity(metric, interval, *value)
            })
            .collect();
        let found = day(&samples, Date::constant(2026, 6, 1), priority);
        let found = of(&found, metric);
        assert_eq!(found.value(), Some(expected), "{metric:?}");
        assert_eq!(found.sources(), sources, "{metric:?}");
    }
}

fn day(samples: &[Sample], date: Date, priority: &SourcePriority) -> Daily {
    daily(&Calendar::new(samples).day(date).unwrap(), samples, priority)
}

/// The default: watch, ring, phone.
fn usual() -> SourcePriority {
    SourcePriority::default()
}

#[test]
fn the_union_of_intervals_counts_once() {
    let (watch, phone) = (watch(), phone());
    // 8:00 to 9:00 by the watch, 8:30 to 9:30 by the phone: the half of the phone's hour that the watch did not see.
    assert_total(
        &[(&watch, "08:00", "09:00", 600.0), (&phone, "08:30", "09:30", 800.0)],
        &usual(),
        1000.0,
        &["Phone", "Watch"],
    );
    // The phone lies within the watch, and adds nothing.
    assert_total(
        &[(&watch, "08:00", "10:00", 600.0), (&phone, "08:30", "09:30", 5000.0)],
        &usual(),
        600.0,
        &["Watch"],
    );
}

#[test]
fn one_devices_gap_is_filled_by_the_other_and_both_are_never_added() {
    let (watch, phone) = (watch(), phone());
    // The whole day on both; the watch charges from 12:00 to 14:00.
    let told = [
        (&watch, "07:00", "12:00", 5000.0),
        (&watch, "14:00", "22:00", 4000.0),
        (&phone, "07:00", "12:00", 4800.0),
        (&phone, "12:00", "14:00", 1500.0),
        (&phone, "14:00", "22:00", 4100.0),
    ];
    assert_total(&told, &usual(), 10_500.0, &["Phone", "Watch"]);
}

#[test]
fn no_device_wins_a_whole_day() {
    // What the replaced system showed as 4,157 while the phone showed 14,079: the watch was worn in the morning only.
    let (watch, phone) = (watch(), phone());
    let told = [
        (&watch, "07:00", "10:00", 4157.0),
        (&phone, "07:00", "10:00", 3900.0),
        (&phone, "10:00", "20:00", 9922.0),
    ];
    assert_total(&told, &usual(), 14_079.0, &["Phone", "Watch"]);
}

#[test]
fn three_devices_are_merged_instant_by_instant() {
    let (watch, ring, phone) = (watch(), ring(), phone());
    // Watch 8 to 9, ring 8 to 10, phone 8 to 12: an hour of each and the phone's two last ones.
    let told = [
        (&watch, "08:00", "09:00", 1000.0),
        (&ring, "08:00", "10:00", 1800.0),
        (&phone, "08:00", "12:00", 3200.0),
    ];
    assert_total(&told, &usual(), 1000.0 + 900.0 + 1600.0, &["Phone", "Ring", "Watch"]);
    let ring_first = SourcePriority::new([DeviceKind::Ring]);
    assert_total(&told, &ring_first, 1800.0 + 1600.0, &["Phone", "Ring"]);
    let phone_first = SourcePriority::new([DeviceKind::Phone, DeviceKind::Ring]);
    assert_total(&told, &phone_first, 3200.0, &["Phone"]);
}

#[test]
fn each_metric_has_the_users_own_order() {
    let told = |metric| {
        let interval = between("2026-06-01T08:00:00Z", "2026-06-01T09:00:00Z");
        [
            watch().quantity(metric, interval, 10.0),
            ring().quantity(metric, interval, 20.0),
            phone().quantity(metric, interval, 30.0),
        ]
    };
    let samples: Vec<Sample> = METRICS.into_iter().flat_map(told).collect();
    let priority = SourcePriority {
        order: vec![DeviceKind::Ring],
        by_metric: BTreeMap::from([
            (Metric::STEP_COUNT, vec![DeviceKind::Phone]),
            (Metric::FLIGHTS_CLIMBED, vec![DeviceKind::Watch, DeviceKind::Phone]),
        ]),
    };
    let found = day(&samples, Date::constant(2026, 6, 1), &priority);
    let values = METRICS.map(|metric| of(&found, metric).value().unwrap());
    assert_eq!(values, [30.0, 20.0, 20.0, 20.0, 10.0]);
}

#[test]
fn days_of_23_and_25_hours_share_a_reading_by_their_real_length() {
    let (watch, phone) = (watch().in_zone("Europe/Berlin"), phone().in_zone("Europe/Berlin"));
    for (date, start, end, hours) in [
        (Date::constant(2026, 3, 29), "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23.0),
        (Date::constant(2026, 10, 25), "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25.0),
    ] {
        // The phone counts 100 an hour all day; the watch 150 an hour in the first four hours, over the change.
        let four_hours = Interval::new(instant(start), instant(start) + 4 * 3_600_000).unwrap();
        let samples = [
            phone.quantity(Metric::STEP_COUNT, between(start, end), 100.0 * hours),
            watch.quantity(Metric::STEP_COUNT, four_hours, 600.0),
        ];
        let found = day(&samples, date, &usual());
        assert_eq!(f64::from(found.day_length_minutes), 60.0 * hours);
        let expected = 600.0 + 100.0 * (hours - 4.0);
        assert!((found.step_count.value().unwrap() - expected).abs() < 1e-9);
        assert_eq!(found.step_count.coverage().observed, found.step_count.coverage().expected);
        let local = Calendar::new(&samples).day(date).unwrap();
        let by_hour: Vec<f64> =
            hourly(&local, &samples, &usual()).iter().map(|hour| hour.step_count.value().unwrap()).collect();
        assert_eq!(by_hour.len() as f64, hours);
        assert!((by_hour.iter().sum::<f64>() - expected).abs() < 1e-9);
    }
}

#[test]
fn a_flight_loses_no_step_and_counts_none_twice() {
    // Berlin, then from 10:00 UTC on New York: 2 June ends at 4:00 UTC of the 3rd, so it lasts 30 hours.
    let berlin = |device: Device| device.in_zone("Europe/Berlin");
    let new_york = |device: Device| device.in_zone("America/New_York");
    let hour = |device: &Device, start: &str, end: &str| {
        device.quantity(Metric::STEP_COUNT, between(start, end), 1000.0)
    };
    let samples = [
        hour(&berlin(phone()), "2026-06-01T21:30:00Z", "2026-06-01T22:30:00Z"),
        hour(&berlin(watch()), "2026-06-02T06:00:00Z", "2026-06-02T07:00:00Z"),
        hour(&berlin(phone()), "2026-06-02T06:00:00Z", "2026-06-02T07:00:00Z"),
        hour(&new_york(watch()), "2026-06-02T20:00:00Z", "2026-06-02T21:00:00Z"),
        hour(&new_york(phone()), "2026-06-03T03:30:00Z", "2026-06-03T04:30:00Z"),
        hour(&new_york(watch()), "2026-06-03T15:00:00Z", "2026-06-03T16:00:00Z"),
    ];
    let total = |day_of_june| {
        let found = day(&samples, Date::constant(2026, 6, day_of_june), &usual());
        (found.day_length_minutes / 60, found.step_count.value().unwrap())
    };
    assert_eq!(
        [1, 2, 3].map(total),
        [(24, 500.0), (30, 500.0 + 1000.0 + 1000.0 + 500.0), (24, 500.0 + 1000.0)]
    );
}

#[test]
fn a_missed_day_has_no_total_and_a_day_without_steps_has_0() {
    let samples = [
        watch().quantity(Metric::STEP_COUNT, between("2026-06-01T08:00:00Z", "2026-06-01T09:00:00Z"), 0.0),
        watch().point(Metric::HEART_RATE, instant("2026-06-02T08:00:00Z"), 60.0),
    ];
    assert_eq!(day(&samples, Date::constant(2026, 6, 1), &usual()).step_count.value(), Some(0.0));
    assert_eq!(day(&samples, Date::constant(2026, 6, 2), &usual()).step_count.value(), None);
}
