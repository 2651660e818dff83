use std::collections::BTreeSet;

use super::*;

#[test]
fn the_table_is_sorted_and_its_identifiers_and_names_are_unique() {
    assert!(TABLE.windows(2).all(|pair| pair[0].identifier < pair[1].identifier));
    let names: BTreeSet<_> = Metric::all().map(Metric::name).collect();
    assert_eq!(names.len(), TABLE.len());
    assert!(u8::try_from(TABLE.len()).is_ok(), "a metric is an index of one byte");
}

#[test]
fn every_metric_is_found_by_its_identifier_and_by_its_name() {
    for metric in Metric::all() {
        assert_eq!(Metric::from_identifier(metric.identifier()), Some(metric));
        assert_eq!(Metric::from_name(metric.name()), Some(metric));
    }
    assert_eq!(Metric::from_identifier("HKQuantityTypeIdentifierNothing"), None);
    assert_eq!(Metric::from_identifier(""), None);
    assert_eq!(Metric::from_name("HeartRate"), None);
}

#[test]
fn names_are_the_identifiers_in_snake_case() {
    let squeeze = |text: &str| text.replace('_', "").to_lowercase();
    for metric in Metric::all() {
        let suffix =
            ["HKQuantityTypeIdentifier", "HKCategoryTypeIdentifier", "ClarityQuantityTypeIdentifier"]
                .iter()
                .find_map(|prefix| metric.identifier().strip_prefix(prefix))
                .unwrap_or("Workout");
        assert_eq!(squeeze(metric.name()), squeeze(suffix));
        assert!(
            metric
                .name()
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        );
    }
}

#[test]
fn kinds_follow_the_identifiers() {
    for metric in Metric::all() {
        let is_category = !metric.identifier().contains("QuantityType");
        assert_eq!(metric.kind() == MetricKind::Category, is_category, "{metric}");
        assert_eq!(metric.unit() == "{code}", is_category, "{metric}");
    }
}

#[test]
fn ranges_are_finite_and_codes_are_whole_numbers() {
    for metric in Metric::all() {
        let (min, max) = metric.plausible_range().into_inner();
        assert!(min.is_finite() && max.is_finite(), "{metric}");
        match metric.kind() {
            MetricKind::Quantity => assert!(min < max, "{metric}"),
            MetricKind::Category => {
                assert!(min <= max && min >= 0.0 && max < f64::from(i32::MAX), "{metric}");
                assert!(min.fract() == 0.0 && max.fract() == 0.0, "{metric}");
            }
        }
    }
}

#[test]
fn loinc_codes_have_a_valid_check_digit_and_stand_for_one_metric_each() {
    let codes: Vec<_> = Metric::all().filter_map(Metric::loinc).collect();
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
    for code in codes {
        let (number, check) = code.split_once('-').unwrap();
        // LOINC's check digit is that of Luhn.
        let sum: u32 = number
            .bytes()
            .rev()
            .map(|byte| u32::from(byte - b'0'))
            .enumerate()
            .map(|(place, digit)| if place % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit })
            .sum();
        assert_eq!(check, ((10 - sum % 10) % 10).to_string(), "{code}");
    }
}

#[test]
fn constants_stand_at_their_rows() {
    assert_eq!(Metric::HEART_RATE.identifier(), "HKQuantityTypeIdentifierHeartRate");
    assert_eq!(Metric::HEART_RATE.loinc(), Some("8867-4"));
    assert_eq!(Metric::STEP_COUNT.aggregation(), Aggregation::Cumulative);
    assert_eq!(Metric::SLEEP_ANALYSIS.identifier(), "HKCategoryTypeIdentifierSleepAnalysis");
    assert_eq!(Metric::WORKOUT.identifier(), "HKWorkoutTypeIdentifier");
    assert_eq!(Metric::MOOD_SCORE.identifier(), "ClarityQuantityTypeIdentifierMoodScore");
    assert_eq!(Metric::VO2_MAX.name(), "vo2_max");
}

#[test]
fn a_value_is_plausible_if_it_is_of_the_kind_and_in_the_range() {
    assert!(Metric::HEART_RATE.is_plausible(Value::Quantity(62.0)));
    assert!(Metric::HEART_RATE.is_plausible(Value::Quantity(300.0)));
    assert!(!Metric::HEART_RATE.is_plausible(Value::Quantity(4_000.0)));
    assert!(!Metric::HEART_RATE.is_plausible(Value::Quantity(f64::NAN)));
    assert!(!Metric::HEART_RATE.is_plausible(Value::Category(62)));
    assert!(Metric::SLEEP_ANALYSIS.is_plausible(Value::Category(5)));
    assert!(!Metric::SLEEP_ANALYSIS.is_plausible(Value::Category(6)));
    assert!(!Metric::SLEEP_ANALYSIS.is_plausible(Value::Quantity(1.0)));
}

#[test]
fn metrics_serialize_as_their_identifiers() {
    let json = serde_json::to_string(&Metric::HEART_RATE).unwrap();
    assert_eq!(json, "\"HKQuantityTypeIdentifierHeartRate\"");
    assert_eq!(serde_json::from_str::<Metric>(&json).unwrap(), Metric::HEART_RATE);
    assert!(serde_json::from_str::<Metric>("\"heart_rate\"").is_err());
}
