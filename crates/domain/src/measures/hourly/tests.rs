use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    calendar::Calendar,
    measures::{
        daily::daily,
        fixtures::{between, instant, phone, watch},
    },
    time::{LocalClock, ZoneName, day_interval},
};

fn day(date: Date, zone: &str) -> LocalDay {
    let zone = ZoneName::new(zone).unwrap();
    let interval = day_interval(date, &zone.rules());
    LocalDay { date, interval, clock: Arc::new(LocalClock { offset_seconds: 0, zone: Some(zone) }) }
}

fn of(local: &LocalDay, samples: &[Sample]) -> Vec<Hour> {
    hourly(local, samples, &SourcePriority::default())
}

fn values(hours: &[Hour], pick: fn(&Hour) -> &Measure) -> Vec<Option<f64>> {
    hours.iter().map(|hour| pick(hour).value()).collect()
}

#[test]
fn a_reading_over_two_hours_is_shared_between_them_and_an_hour_without_one_has_none() {
    let samples = [
        watch().quantity(Metric::STEP_COUNT, between("2026-06-01T08:45:00Z", "2026-06-01T09:15:00Z"), 600.0),
        // The watch counts while it counts; the phone fills the rest of the hour.
        phone().quantity(Metric::STEP_COUNT, between("2026-06-01T09:00:00Z", "2026-06-01T10:00:00Z"), 1200.0),
        watch().point(Metric::HEART_RATE, instant("2026-06-01T08:59:59Z"), 100.0),
        watch().point(Metric::HEART_RATE, instant("2026-06-01T09:00:00Z"), 80.0),
        watch().point(Metric::HEART_RATE, instant("2026-06-01T09:30:00Z"), 60.0),
    ];
    let hours = of(&day(Date::constant(2026, 6, 1), "UTC"), &samples);
    assert_eq!(hours.len(), 24);
    let steps = values(&hours, |hour| &hour.step_count);
    assert_eq!(steps[7..11], [None, Some(300.0), Some(1200.0), None]);
    assert_eq!(hours[9].step_count.sources(), ["Phone", "Watch"]);
    assert_eq!(hours[9].step_count.coverage(), Coverage::minutes(60, 60));
    // Worn from the first heart rate on, and seen by the steps before.
    assert_eq!(hours[8].step_count.coverage(), Coverage::minutes(15, 60));
    let rate = &hours[9];
    let found = [&rate.heart_rate_min, &rate.heart_rate_mean, &rate.heart_rate_max, &rate.heart_rate_count];
    assert_eq!(found.map(Measure::value), [Some(60.0), Some(70.0), Some(80.0), Some(2.0)]);
    assert_eq!(hours[8].heart_rate_mean.value(), Some(100.0));
    assert_eq!((hours[7].heart_rate_count.value(), hours[7].is_assessed()), (None, false));
    assert_eq!(hours[10].distance.not_assessed(), Some("no readings"));
    assert_eq!((hours[9].hour, hours[9].start.to_string().as_str()), (9, "2026-06-01T09:00:00Z"));
}

#[test]
fn days_on_which_the_clock_changes_have_their_own_number_of_hours() {
    for (date, zone, count, last_minutes) in [
        (Date::constant(2026, 3, 29), "Europe/Berlin", 23, 60),
        (Date::constant(2026, 10, 25), "Europe/Berlin", 25, 60),
        // Lord Howe moves its clock by half an hour.
        (Date::constant(2026, 10, 4), "Australia/Lord_Howe", 24, 30),
        (Date::constant(2026, 4, 5), "Australia/Lord_Howe", 25, 30),
    ] {
        let local = day(date, zone);
        let steps = watch().quantity(Metric::STEP_COUNT, local.interval, 1000.0);
        let hours = of(&local, std::slice::from_ref(&steps));
        assert_eq!(hours.len(), count, "{zone} {date}");
        let minutes = hours.iter().map(|hour| hour.step_count.coverage().expected).collect::<Vec<_>>();
        assert_eq!(minutes.last(), Some(&last_minutes), "{zone} {date}");
        assert!(minutes[..count - 1].iter().all(|minutes| *minutes == 60), "{zone} {date}");
        assert!(hours.windows(2).all(|pair| pair[0].end == pair[1].start), "{zone} {date}");
        let sum: f64 = values(&hours, |hour| &hour.step_count).into_iter().flatten().sum();
        assert!((sum - 1000.0).abs() < 1e-9, "{zone} {date}");
    }
}

#[test]
fn a_traveller_has_as_many_hours_as_the_day_lasted() {
    let at = |text: &str, zone: &str| watch().in_zone(zone).point(Metric::HEART_RATE, instant(text), 60.0);
    let samples =
        [at("2026-06-01T10:00:00Z", "Europe/Berlin"), at("2026-06-02T20:00:00Z", "America/New_York")];
    let calendar = Calendar::new(&samples);
    let west = of(&calendar.day(Date::constant(2026, 6, 2)).unwrap(), &samples);
    assert_eq!((west.len(), west[29].zone.as_str()), (30, "America/New_York"));
    assert_eq!(west[22].heart_rate_count.value(), Some(1.0));
}

#[derive(Clone, Debug)]
struct Walk {
    is_phone: bool,
    start_seconds: i64,
    length_seconds: i64,
    steps: u32,
}

fn walks() -> impl Strategy<Value = Vec<Walk>> {
    let length = prop_oneof![1 => Just(0_i64), 6 => 1_i64..7200, 1 => 7200_i64..90_000];
    let walk = (any::<bool>(), -4000_i64..90_000, length, 0_u32..5000);
    let walk = walk.prop_map(|(is_phone, start_seconds, length_seconds, steps)| Walk {
        is_phone,
        start_seconds,
        length_seconds,
        steps,
    });
    proptest::collection::vec(walk, 0..40)
}

proptest! {
    #[test]
    fn the_hours_add_up_to_the_day(walks in walks(), is_long in any::<bool>()) {
        let date = if is_long { Date::constant(2026, 10, 25) } else { Date::constant(2026, 3, 29) };
        let local = day(date, "Europe/Berlin");
        let samples: Vec<Sample> = walks
            .iter()
            .map(|walk| {
                let start = local.interval.start_ms() + walk.start_seconds * 1000;
                let interval = Interval::new(start, start + walk.length_seconds * 1000).unwrap();
                let device = if walk.is_phone { phone() } else { watch() };
                device.quantity(Metric::STEP_COUNT, interval, f64::from(walk.steps))
            })
            .filter(|sample| {
                sample.interval.intersection(local.interval).is_some() || begins_in(sample, local.interval)
            })
            .collect();
        let whole = daily(&local, &samples, &SourcePriority::default()).step_count;
        let hours = of(&local, &samples);
        let steps = values(&hours, |hour| &hour.step_count);
        let sum: f64 = steps.iter().flatten().sum();
        let total = whole.value().unwrap_or(0.0);
        prop_assert!((sum - total).abs() <= 1e-9 * total.max(1.0), "{sum} of {total}");
        prop_assert_eq!(whole.value().is_some(), steps.iter().any(Option::is_some));
        let observed: u32 = hours.iter().map(|hour| hour.step_count.coverage().observed).sum();
        prop_assert_eq!(observed, whole.coverage().observed);
    }
}
