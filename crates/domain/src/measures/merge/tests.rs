#![expect(clippy::float_cmp, reason = "whole numbers add up exactly")]

use proptest::prelude::*;

use super::*;
use crate::measures::fixtures::{app, at, minutes, phone, ring, steps, watch};

fn merged(samples: &[Sample], window: Interval) -> Option<MergedTotal> {
    total(&samples.iter().collect::<Vec<_>>(), window, &SourcePriority::default())
}

fn value(samples: &[Sample], window: Interval) -> f64 {
    merged(samples, window).unwrap().value
}

#[test]
fn watch_and_phone_that_overlap_are_not_both_added() {
    let samples = [steps(&watch(), 0, 10, 100.0), steps(&phone(), 0, 10, 90.0)];
    let found = merged(&samples, minutes(0, 60)).unwrap();
    assert_eq!((found.value, found.covered_ms, found.sources), (100.0, at(10), vec!["Watch".to_owned()]));
}

#[test]
fn a_phone_fills_the_gap_of_a_watch_in_its_share() {
    // The watch is off from 10 to 20; the phone counted 60 steps from 8 to 20, 50 of them in the gap.
    let samples = [
        steps(&watch(), 0, 10, 100.0),
        steps(&phone(), 8, 20, 60.0),
        steps(&watch(), 20, 30, 200.0),
        steps(&phone(), 22, 28, 40.0),
    ];
    let found = merged(&samples, minutes(0, 60)).unwrap();
    assert_eq!((found.value, found.covered_ms), (350.0, at(30)));
    assert_eq!(found.sources, ["Phone", "Watch"]);
}

#[test]
fn the_order_of_devices_is_the_users_for_all_or_single_metrics() {
    let samples = [steps(&watch(), 0, 10, 100.0), steps(&phone(), 0, 10, 90.0)];
    let samples: Vec<&Sample> = samples.iter().collect();
    let with = |priority: &SourcePriority| total(&samples, minutes(0, 60), priority).unwrap().value;
    assert_eq!(with(&SourcePriority::new([DeviceKind::Phone])), 90.0);
    let mut single = SourcePriority::new([DeviceKind::Phone]);
    single.by_metric.insert(Metric::STEP_COUNT, vec![DeviceKind::Watch]);
    assert_eq!(with(&single), 100.0);
    single.by_metric = BTreeMap::from([(Metric::FLIGHTS_CLIMBED, vec![DeviceKind::Watch])]);
    assert_eq!(with(&single), 90.0);
    let json = serde_json::to_string(&single).unwrap();
    assert_eq!(
        json,
        r#"{"order":["phone"],"by_metric":{"HKQuantityTypeIdentifierFlightsClimbed":["watch"]}}"#
    );
    assert_eq!(serde_json::from_str::<SourcePriority>(&json).unwrap(), single);
}

#[test]
fn kinds_that_are_not_listed_come_last_in_the_default_order() {
    use DeviceKind::{Other, Phone, Ring, Watch};
    let ranked = |priority: SourcePriority| {
        let mut kinds = [Other, Phone, Ring, Watch];
        kinds.sort_by_key(|kind| priority.rank(Metric::STEP_COUNT, *kind));
        kinds
    };
    assert_eq!(ranked(SourcePriority::default()), [Watch, Ring, Phone, Other]);
    assert_eq!(ranked(SourcePriority::new([Other, Phone])), [Other, Phone, Watch, Ring]);
}

#[test]
fn of_one_source_the_finer_reading_replaces_that_part_of_the_coarser() {
    let samples = [steps(&watch(), 0, 10, 100.0), steps(&watch(), 4, 5, 50.0)];
    assert_eq!(value(&samples, minutes(0, 60)), 140.0);
    // The same reading twice is one reading.
    let twice = [steps(&watch(), 0, 10, 100.0), steps(&watch(), 0, 10, 100.0)];
    assert_eq!(value(&twice, minutes(0, 60)), 100.0);
}

#[test]
fn a_point_counts_whole_unless_something_as_good_covers_it() {
    let point = |minute| phone().point(Metric::STEP_COUNT, at(minute), 30.0);
    assert_eq!(value(&[point(5)], minutes(0, 10)), 30.0);
    assert_eq!(
        value(&[point(5), steps(&watch(), 0, 5, 10.0)], minutes(0, 10)),
        40.0,
        "an interval ends before its end"
    );
    assert_eq!(
        value(&[point(5), steps(&watch(), 5, 6, 10.0)], minutes(0, 10)),
        10.0,
        "and begins with its start"
    );
    assert_eq!(value(&[point(5), steps(&phone(), 0, 10, 10.0)], minutes(0, 10)), 10.0);
    assert_eq!(value(&[point(5), steps(&app(), 0, 10, 10.0)], minutes(0, 10)), 40.0);
    let other = watch().point(Metric::STEP_COUNT, at(5), 20.0);
    assert_eq!(value(&[point(5), other], minutes(0, 10)), 20.0, "of two points at once one counts");
    assert!(merged(&[point(10)], minutes(0, 10)).is_none(), "the window is half-open");
}

#[test]
fn without_readings_in_the_window_there_is_no_total() {
    assert!(merged(&[], minutes(0, 10)).is_none());
    assert!(merged(&[steps(&watch(), 10, 20, 5.0)], minutes(0, 10)).is_none());
    assert_eq!(value(&[steps(&watch(), 5, 15, 0.0)], minutes(0, 10)), 0.0);
    for strange in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(merged(&[steps(&watch(), 0, 10, strange)], minutes(0, 10)).is_none());
    }
}

#[test]
fn a_minute_has_the_share_of_its_readings() {
    let samples = [steps(&watch(), 1, 3, 100.0), phone().point(Metric::STEP_COUNT, at(4) + 5, 7.0)];
    let samples: Vec<&Sample> = samples.iter().collect();
    let series = minute_series(&samples, minutes(0, 6), &SourcePriority::default());
    assert_eq!(series, [None, Some(50.0), Some(50.0), None, Some(7.0), None]);
    // Half a minute of a reading touches its minute.
    let half = Interval::new(at(0) + 30_000, at(2) + 30_000).unwrap();
    let series = minute_series(&samples, half, &SourcePriority::default());
    assert_eq!(series, [Some(25.0), Some(50.0)]);
}

#[test]
fn debug_shows_no_total() {
    let found = merged(&[steps(&watch(), 0, 10, 4321.0)], minutes(0, 10)).unwrap();
    assert_eq!(format!("{found:?}"), "MergedTotal(..)");
}

fn any_samples() -> impl Strategy<Value = Vec<Sample>> {
    let sample =
        (0..4_usize, 0..300_000_i64, 0..60_000_i64, 0..500_u16).prop_map(|(device, start, length, value)| {
            let device = [watch(), phone(), app(), ring()][device].clone();
            // Some readings are points, as some sources write them.
            let length = if length % 7 == 0 { 0 } else { length };
            device.quantity(
                Metric::STEP_COUNT,
                Interval::new(start, start + length).unwrap(),
                f64::from(value),
            )
        });
    prop::collection::vec(sample, 1..40)
}

fn window() -> Interval {
    Interval::new(0, 360_000).unwrap()
}

proptest! {
    #[test]
    fn the_order_of_the_readings_changes_nothing(samples in any_samples(), seed in any::<u64>()) {
        let mut shuffled = samples.clone();
        shuffled.sort_by_key(|sample| sample.id.0.as_u64_pair().0.wrapping_mul(seed | 1));
        prop_assert!(merged(&samples, window()) == merged(&shuffled, window()));
    }

    #[test]
    fn a_reading_given_twice_counts_once(samples in any_samples()) {
        let twice: Vec<Sample> = samples.iter().chain(&samples).cloned().collect();
        prop_assert!(merged(&samples, window()) == merged(&twice, window()));
    }

    #[test]
    fn the_total_is_at_most_the_sum_of_all_and_at_least_what_the_best_source_says(samples in any_samples()) {
        let total = value(&samples, window());
        let sum: f64 = samples.iter().map(|sample| if let Value::Quantity(value) = sample.value { value } else { 0.0 }).sum();
        prop_assert!(total <= sum * (1.0 + 1e-12));
        // Other sources only fill what the best one leaves.
        let best: Vec<Sample> = samples.iter().filter(|sample| sample.source == watch().source()).cloned().collect();
        let alone = merged(&best, window()).map_or(0.0, |best| best.value);
        prop_assert!(total >= alone * (1.0 - 1e-12));
    }

    #[test]
    fn nothing_outside_of_all_readings_is_covered(samples in any_samples()) {
        let mut ends: Vec<Interval> = samples.iter().map(|sample| sample.interval).collect();
        ends.sort_unstable();
        let (mut union_ms, mut end_ms) = (0, i64::MIN);
        for interval in ends {
            union_ms += (interval.end_ms() - interval.start_ms().max(end_ms)).max(0);
            end_ms = end_ms.max(interval.end_ms());
        }
        prop_assert_eq!(merged(&samples, window()).unwrap().covered_ms, union_ms);
    }

    #[test]
    fn two_windows_add_up_to_the_whole(samples in any_samples(), cut in 1..360_000_i64) {
        let part = |start, end| {
            let found = merged(&samples, Interval::new(start, end).unwrap());
            found.map_or((0.0, 0), |found| (found.value, found.covered_ms))
        };
        let (whole, before, after) = (part(0, 360_000), part(0, cut), part(cut, 360_000));
        prop_assert!((whole.0 - before.0 - after.0).abs() <= 1e-9 * (1.0 + whole.0));
        prop_assert_eq!(whole.1, before.1 + after.1);
    }

    #[test]
    fn the_minutes_add_up_to_the_total(samples in any_samples()) {
        let refs: Vec<&Sample> = samples.iter().collect();
        let series = minute_series(&refs, window(), &SourcePriority::default());
        let total = value(&samples, window());
        prop_assert!((series.into_iter().flatten().sum::<f64>() - total).abs() <= 1e-9 * (1.0 + total));
    }

    #[test]
    fn whatever_the_order_each_instant_counts_one_device(samples in any_samples(), order in Just(vec![
        DeviceKind::Watch, DeviceKind::Ring, DeviceKind::Phone, DeviceKind::Other,
    ]).prop_shuffle()) {
        let priority = SourcePriority::new(order.clone());
        let refs: Vec<&Sample> = samples.iter().collect();
        let found = total(&refs, window(), &priority).unwrap();
        let of = |kind: DeviceKind| {
            let of_kind: Vec<&Sample> =
                refs.iter().filter(|sample| sample.source.device_kind() == kind).copied().collect();
            total(&of_kind, window(), &priority)
        };
        // The first device that has readings counts whole; all of them together are never exceeded.
        let first = order.iter().find_map(|kind| of(*kind)).unwrap();
        let sum: f64 = order.iter().filter_map(|kind| of(*kind)).map(|found| found.value).sum();
        prop_assert!(first.value <= found.value * (1.0 + 1e-12));
        prop_assert!(found.value <= sum * (1.0 + 1e-12));
        // Pieces follow each other without overlap, points aside.
        let pieces = pieces(&refs, window(), &priority);
        let long: Vec<Interval> =
            pieces.iter().map(|piece| piece.interval).filter(|interval| interval.duration_ms() > 0).collect();
        prop_assert!(long.windows(2).all(|pair| pair[0].end_ms() <= pair[1].start_ms()));
    }
}
