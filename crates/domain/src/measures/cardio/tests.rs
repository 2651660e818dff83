use super::*;
use crate::measures::fixtures::{app, at, minutes, watch};

fn rate(second: i64, value: f64) -> Sample {
    watch().point(Metric::HEART_RATE, second * 1000, value)
}

/// Exercise that ends at minute 30.
fn recovery(samples: &[Sample]) -> Measure {
    heart_rate_recovery(minutes(0, 30), samples, &SourcePriority::default())
}

#[test]
fn recovery_is_the_fall_from_the_peak_of_the_last_minute() {
    let end = 30 * 60;
    let samples = [
        rate(end - 300, 190.0),
        rate(end - 50, 171.0),
        rate(end - 5, 168.0),
        rate(end + 55, 140.0),
        rate(end + 61, 138.0),
        rate(end + 120, 110.0),
    ];
    let found = recovery(&samples);
    assert_eq!((found.value(), found.unit()), (Some(171.0 - 138.0), "/min"));
    assert_eq!(found.coverage(), Coverage { observed: 2, expected: 2, of: CoverageOf::Readings });
    assert_eq!(found.sources(), ["Watch"]);
}

#[test]
fn recovery_needs_both_readings_of_one_source() {
    let end = 30 * 60;
    for samples in [
        vec![],
        vec![rate(end, 170.0)],
        vec![rate(end + 60, 140.0)],
        vec![rate(end - 61, 170.0), rate(end + 60, 140.0)],
        vec![rate(end, 170.0), rate(end + 71, 140.0)],
        vec![rate(end, 170.0), app().point(Metric::HEART_RATE, at(31), 140.0)],
    ] {
        let found = recovery(&samples);
        assert_eq!((found.value(), found.coverage().observed), (None, 0));
    }
    assert_eq!(recovery(&[rate(end, 170.0), rate(end + 70, 140.0)]).value(), Some(30.0));
    // The watch has no reading after the exercise; the strap has both.
    let strap = |second: i64, value| app().point(Metric::HEART_RATE, second * 1000, value);
    let found = recovery(&[rate(end, 180.0), strap(end, 170.0), strap(end + 60, 150.0)]);
    assert_eq!((found.value(), found.sources()), (Some(20.0), &["App".to_owned()][..]));
}

#[test]
fn the_dip_is_of_the_means_of_minutes() {
    // Awake an hour with 80, one minute of it with 60 readings; asleep an hour with 60.
    let mut samples: Vec<Sample> = (0..60).map(|minute| rate(minute * 60, 80.0)).collect();
    samples.extend((0..60).map(|second| rate(600 + second, 80.0)));
    samples.extend((60..120).map(|minute| rate(minute * 60, 60.0)));
    let of = |samples: &[Sample]| {
        nocturnal_dip(
            &[minutes(60, 90), minutes(90, 120)],
            &[minutes(0, 60)],
            samples,
            &SourcePriority::default(),
        )
    };
    let found = of(&samples);
    assert_eq!((found.value(), found.unit()), (Some(25.0), "%"));
    assert_eq!((found.coverage(), found.sources()), (Coverage::minutes(120, 120), &["Watch".to_owned()][..]));
    // With 29 of 60 minutes asleep it is not assessed, with 30 it is.
    let part = |last: i64| -> Vec<Sample> {
        samples.iter().filter(|sample| sample.interval.start_ms() < at(last)).cloned().collect()
    };
    assert_eq!((of(&part(89)).value(), of(&part(90)).value()), (None, Some(25.0)));
    assert_eq!(of(&[]).not_assessed(), Some("no readings"));
    assert_eq!(of(&part(60)).coverage(), Coverage::minutes(60, 120));
}

#[test]
fn what_healthkit_tells_is_taken_as_such() {
    let temperature = |start: i64, value| {
        watch().quantity(Metric::APPLE_SLEEPING_WRIST_TEMPERATURE, minutes(start, start + 300), value)
    };
    let recovery = watch().point(Metric::HEART_RATE_RECOVERY_ONE_MINUTE, at(700), 31.0);
    let found = as_told(
        minutes(0, 1440),
        &[temperature(10, 35.9), temperature(60, 36.1), recovery],
        &SourcePriority::default(),
    );
    assert_eq!((found.wrist_temperature.value(), found.wrist_temperature.unit()), (Some(36.1), "Cel"));
    assert_eq!(found.heart_rate_recovery.value(), Some(31.0));
    assert_eq!(found.heart_rate_recovery.method(), "HealthKit heartRateRecoveryOneMinute");
    let none = as_told(minutes(0, 1440), &[rate(0, 60.0)], &SourcePriority::default());
    assert_eq!(
        (none.wrist_temperature.value(), none.wrist_temperature.not_assessed()),
        (None, Some("no readings"))
    );
}
