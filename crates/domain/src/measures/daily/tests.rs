use std::sync::Arc;

use super::*;
use crate::{
    measures::fixtures::{between, instant, phone, watch},
    time::{Interval, LocalClock, ZoneName, day_interval},
};

fn zone(name: &str) -> TimeZone {
    ZoneName::new(name).unwrap().rules()
}

fn of(date: Date, zone: &TimeZone, samples: &[Sample]) -> Daily {
    let clock = LocalClock {
        offset_seconds: zone.to_fixed_offset().map_or(0, jiff::tz::Offset::seconds),
        zone: zone.iana_name().and_then(|name| ZoneName::new(name).ok()),
    };
    let day = LocalDay { date, interval: day_interval(date, zone), clock: Arc::new(clock) };
    daily(&day, samples, &SourcePriority::default())
}

#[test]
fn a_day_adds_what_watch_and_phone_know_and_says_how_much_was_seen() {
    let walk = |device: crate::measures::fixtures::Device, start, end, value| {
        device.quantity(Metric::STEP_COUNT, between(start, end), value)
    };
    let samples = [
        walk(watch(), "2026-06-01T08:00:00Z", "2026-06-01T08:10:00Z", 1000.0),
        walk(phone(), "2026-06-01T08:05:00Z", "2026-06-01T08:20:00Z", 1500.0),
        walk(phone(), "2026-06-02T00:00:00Z", "2026-06-02T00:01:00Z", 99.0),
        watch().point(Metric::HEART_RATE, instant("2026-06-01T08:00:00Z"), 90.0),
        watch().point(Metric::HEART_RATE, instant("2026-06-01T08:49:00Z"), 70.0),
        watch().quantity(
            Metric::FLIGHTS_CLIMBED,
            between("2026-06-01T08:02:00Z", "2026-06-01T08:02:10Z"),
            2.0,
        ),
    ];
    let found = of(Date::constant(2026, 6, 1), &TimeZone::UTC, &samples);
    assert_eq!((found.step_count.value(), found.step_count.unit()), (Some(2000.0), "{steps}"));
    assert_eq!(found.step_count.coverage(), Coverage::minutes(50, 1440), "worn from 8:00 to 8:49");
    assert_eq!(found.step_count.sources(), ["Phone", "Watch"]);
    assert_eq!((found.flights_climbed.value(), found.flights_climbed.coverage().observed), (Some(2.0), 50));
    assert_eq!((found.heart_rate_mean.value(), found.heart_rate_min.value()), (Some(80.0), Some(70.0)));
    for absent in
        [&found.active_energy, &found.basal_energy, &found.distance, &found.exercise_time, &found.hrv_sdnn]
    {
        assert_eq!((absent.value(), absent.not_assessed()), (None, Some("no readings")));
        assert!(absent.sources().is_empty());
    }
}

#[test]
fn the_days_on_which_the_clock_changes_have_their_own_length() {
    let berlin = zone("Europe/Berlin");
    for (date, hours, start) in [
        (Date::constant(2026, 3, 29), 23, "2026-03-28T23:00:00Z"),
        (Date::constant(2026, 6, 1), 24, "2026-05-31T22:00:00Z"),
        (Date::constant(2026, 10, 25), 25, "2026-10-24T22:00:00Z"),
    ] {
        let start = instant(start);
        // One step each minute from an hour before to an hour after the day.
        let minute =
            |index: i64| Interval::new(start + index * 60_000, start + (index + 1) * 60_000).unwrap();
        let samples: Vec<Sample> = (-60..(hours + 1) * 60)
            .map(|index| watch().quantity(Metric::STEP_COUNT, minute(index), 1.0))
            .collect();
        let found = of(date, &berlin, &samples);
        let minutes = u32::try_from(hours * 60).unwrap();
        assert_eq!((found.day_length_minutes, found.zone.as_str()), (minutes, "Europe/Berlin"));
        assert_eq!(found.step_count.value(), Some(f64::from(minutes)));
        assert_eq!(found.step_count.coverage(), Coverage::minutes(minutes, minutes));
    }
}

#[test]
fn a_reading_across_midnight_is_shared_between_the_days() {
    let sample = watch().quantity(
        Metric::ACTIVE_ENERGY_BURNED,
        between("2026-06-01T23:50:00Z", "2026-06-02T00:10:00Z"),
        10.0,
    );
    for day in [1, 2] {
        let found = of(Date::constant(2026, 6, day), &TimeZone::UTC, std::slice::from_ref(&sample));
        assert_eq!((found.active_energy.value(), found.active_energy.unit()), (Some(5.0), "kcal"));
    }
}

#[test]
fn an_empty_day_is_not_a_day_of_zeros() {
    let found = of(Date::constant(2026, 6, 1), &TimeZone::fixed(jiff::tz::offset(2)), &[]);
    assert_eq!(found.zone, "+02:00");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["date"], "2026-06-01");
    let measures = json.as_object().unwrap().values().filter(|value| value.is_object());
    let values: Vec<&serde_json::Value> = measures.map(|measure| &measure["value"]).collect();
    assert_eq!((values.len(), values.iter().all(|value| value.is_null())), (13, true));
    assert!(serde_json::from_value::<Daily>(json).unwrap() == found);
}
