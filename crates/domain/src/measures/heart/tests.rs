use super::*;
use crate::measures::fixtures::{app, at, minutes, phone, watch};

fn of(samples: &[Sample]) -> Heart {
    heart(minutes(0, 1440), samples, &SourcePriority::default())
}

fn rate(minute: i64, value: f64) -> Sample {
    watch().point(Metric::HEART_RATE, at(minute), value)
}

#[test]
fn a_workout_with_a_reading_each_second_weighs_its_minutes_only() {
    let mut samples = vec![rate(0, 60.0), rate(10, 60.0)];
    samples.extend((0..60).map(|second| watch().point(Metric::HEART_RATE, at(20) + second * 1000, 150.0)));
    let found = of(&samples);
    assert_eq!(found.heart_rate_mean.value(), Some(90.0));
    assert_eq!((found.heart_rate_min.value(), found.heart_rate_max.value()), (Some(60.0), Some(150.0)));
    assert_eq!(found.heart_rate_mean.coverage(), Coverage::minutes(3, 1440));
    assert_eq!(
        (found.heart_rate_mean.unit(), found.heart_rate_mean.sources()),
        ("/min", &["Watch".to_owned()][..])
    );
}

#[test]
fn in_one_minute_the_source_of_higher_priority_counts() {
    let samples = [
        rate(0, 60.0),
        app().point(Metric::HEART_RATE, at(0), 180.0),
        app().point(Metric::HEART_RATE, at(1), 80.0),
    ];
    let found = of(&samples);
    assert_eq!((found.heart_rate_mean.value(), found.heart_rate_max.value()), (Some(70.0), Some(80.0)));
    assert_eq!(found.heart_rate_mean.sources(), ["App", "Watch"]);
}

#[test]
fn a_reading_belongs_to_the_day_in_which_it_begins() {
    assert_eq!(of(&[rate(-1, 60.0), rate(1440, 70.0)]).heart_rate_mean.value(), None);
    assert_eq!(of(&[rate(0, 60.0), rate(1440, 70.0)]).heart_rate_mean.value(), Some(60.0));
}

#[test]
fn resting_heart_rate_is_healthkits_latest_and_never_estimated() {
    let resting = |end, value| watch().quantity(Metric::RESTING_HEART_RATE, minutes(0, end), value);
    let other = phone().quantity(Metric::RESTING_HEART_RATE, minutes(0, 1300), 99.0);
    let found = of(&[resting(1200, 52.0), resting(600, 55.0), other]).resting_heart_rate;
    assert_eq!((found.value(), found.method()), (Some(52.0), "HealthKit restingHeartRate"));
    assert_eq!(found.coverage(), Coverage { observed: 1, expected: 1, of: CoverageOf::Readings });
    let none = of(&[rate(0, 48.0)]).resting_heart_rate;
    assert_eq!((none.value(), none.not_assessed(), none.coverage().observed), (None, Some("no readings"), 0));
}

#[test]
fn hrv_breath_and_oxygen_are_means_in_healthkits_units() {
    let reading = |metric, minute, value| watch().point(metric, at(minute), value);
    let found = of(&[
        reading(Metric::HEART_RATE_VARIABILITY_SDNN, 5, 40.0),
        reading(Metric::HEART_RATE_VARIABILITY_SDNN, 500, 50.0),
        reading(Metric::RESPIRATORY_RATE, 100, 14.0),
        reading(Metric::OXYGEN_SATURATION, 100, 97.0),
    ]);
    assert_eq!((found.hrv_sdnn.value(), found.hrv_sdnn.unit()), (Some(45.0), "ms"));
    assert!(found.hrv_sdnn.method().starts_with("SDNN"));
    assert_eq!((found.respiratory_rate.value(), found.respiratory_rate.unit()), (Some(14.0), "/min"));
    assert_eq!((found.oxygen_saturation.value(), found.oxygen_saturation.unit()), (Some(97.0), "%"));
    assert_eq!(found.heart_rate_mean.value(), None);
}

#[test]
fn the_order_of_the_readings_changes_nothing() {
    let mut samples: Vec<Sample> =
        (0..50).map(|index| rate(index / 3, 50.0 + 0.1 * (index * 7 % 31) as f64)).collect();
    let forward = of(&samples);
    samples.reverse();
    assert!(forward == of(&samples));
}
