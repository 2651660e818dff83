use proptest::prelude::*;

use super::*;

/// Every spelling, so that the properties below meet each of them.
const SPELLINGS: &[&str] = &[
    "count/min",
    "/min",
    "bpm",
    "count/s",
    "Hz",
    "count/hr",
    "{beats}/min",
    "s",
    "ms",
    "min",
    "hr",
    "h",
    "d",
    "m",
    "km",
    "cm",
    "mm",
    "mi",
    "yd",
    "ft",
    "in",
    "m/s",
    "km/hr",
    "mi/hr",
    "ft/s",
    "J",
    "kJ",
    "kcal",
    "Cal",
    "cal",
    "W",
    "kW",
    "kcal/hr·kg",
    "g",
    "kg",
    "mg",
    "mcg",
    "lb",
    "oz",
    "st",
    "L",
    "dL",
    "cL",
    "mL",
    "fl_oz_us",
    "fl_oz_imp",
    "L/min",
    "L/s",
    "mL/min",
    "mmHg",
    "Pa",
    "hPa",
    "kPa",
    "mg/dL",
    "mg/L",
    "g/L",
    "mmol/L",
    "mmol<180.1558800000541>/L",
    "mL/min·kg",
    "ml/(kg*min)",
    "dBASPL",
    "uS",
    "S",
    "IU",
    "kg/m2",
    "degC",
    "K",
    "degF",
    "count",
    "1",
    "%",
    "percent",
    "{steps}",
];

fn assert_close(actual: f64, expected: f64) {
    assert!((actual - expected).abs() <= expected.abs() * 1e-12, "{actual} is not {expected}");
}

#[test]
fn values_come_out_in_the_metrics_unit() {
    for (metric, value, unit, expected) in [
        (Metric::HEART_RATE, 62.0, "count/min", 62.0),
        (Metric::HEART_RATE, 62.0, "bpm", 62.0),
        (Metric::HEART_RATE, 1.0, "Hz", 60.0),
        (Metric::RESPIRATORY_RATE, 0.25, "count/s", 15.0),
        (Metric::STEP_COUNT, 4_157.0, "count", 4_157.0),
        (Metric::HEART_RATE_VARIABILITY_SDNN, 0.045, "s", 45.0),
        (Metric::ACTIVE_ENERGY_BURNED, 4_184.0, "kJ", 1_000.0),
        (Metric::ACTIVE_ENERGY_BURNED, 12.0, "Cal", 12.0),
        (Metric::DISTANCE_WALKING_RUNNING, 1.0, "mi", 1_609.344),
        (Metric::DISTANCE_WALKING_RUNNING, 5.2, "km", 5_200.0),
        (Metric::BODY_TEMPERATURE, 98.6, "degF", 37.0),
        (Metric::BODY_TEMPERATURE, 310.15, "K", 37.0),
        (Metric::BODY_MASS, 11.0, "st", 69.853_224_98),
        (Metric::BODY_MASS, 70_000.0, "g", 70.0),
        (Metric::BODY_MASS_INDEX, 23.4, "count", 23.4),
        (Metric::BLOOD_PRESSURE_SYSTOLIC, 16.0, "kPa", 120.009_852_135_305),
        (Metric::BLOOD_GLUCOSE, 5.0, "mmol/L", 90.077_940_000_027_04),
        (Metric::BLOOD_GLUCOSE, 5.0, "mmol<180.1558800000541>/L", 90.077_940_000_027_04),
        (Metric::VO2_MAX, 41.5, "mL/min·kg", 41.5),
        (Metric::VO2_MAX, 41.5, "ml/(kg*min)", 41.5),
        (Metric::APPLE_EXERCISE_TIME, 1.5, "hr", 90.0),
        (Metric::PEAK_EXPIRATORY_FLOW_RATE, 7.0, "L/s", 420.0),
        (Metric::HEADPHONE_AUDIO_EXPOSURE, 71.5, "dBASPL", 71.5),
        (Metric::DIETARY_VITAMIN_B12, 0.002_4, "mg", 2.4),
    ] {
        let actual = to_canonical(metric, value, unit).unwrap();
        assert!(
            (actual - expected).abs() <= expected * 1e-9,
            "{metric} in {unit}: {actual} is not {expected}"
        );
    }
}

#[test]
fn a_percent_of_at_most_one_is_a_fraction_and_a_greater_one_is_a_percentage() {
    let percent = |value, unit| to_canonical(Metric::OXYGEN_SATURATION, value, unit).unwrap();
    assert_close(percent(0.97, "%"), 97.0);
    assert_close(percent(97.0, "%"), 97.0);
    assert_close(percent(1.0, "%"), 100.0);
    assert_close(percent(1.0_f64.next_up(), "%"), 1.0_f64.next_up());
    assert_close(percent(0.5, "percent"), 0.5);
    assert_close(percent(97.0, "percent"), 97.0);
    assert_close(percent(0.97, "1"), 97.0);
    let efficiency = |value, unit| to_canonical(Metric::REPORTED_SLEEP_EFFICIENCY, value, unit).unwrap();
    assert_close(efficiency(0.85, "%"), 0.85);
    assert_close(efficiency(85.0, "%"), 0.85);
    assert_close(efficiency(0.85, "1"), 0.85);
    assert_close(efficiency(0.5, "percent"), 0.005);
}

#[test]
fn a_unit_of_something_else_is_refused() {
    for (metric, unit) in [
        (Metric::HEART_RATE, "kg"),
        (Metric::HEART_RATE, "count"),
        (Metric::STEP_COUNT, "%"),
        (Metric::STEP_COUNT, "count/min"),
        (Metric::OXYGEN_SATURATION, "count"),
        (Metric::BODY_MASS, "mmol/L"),
        (Metric::BLOOD_GLUCOSE, "mmol<386.65>/L"),
        (Metric::BLOOD_GLUCOSE, "mmol<NaN>/L"),
        (Metric::SLEEP_ANALYSIS, "count"),
        (Metric::SLEEP_ANALYSIS, "{code}"),
    ] {
        assert_eq!(to_canonical(metric, 1.0, unit), Err(UnitError::NotConvertible), "{metric} in {unit}");
    }
    for unit in ["", "furlong", "KCAL", "{}", "{steps", "{steps}/kg", "mmol<x>/L", "mmol</L"] {
        assert_eq!(to_canonical(Metric::BLOOD_GLUCOSE, 1.0, unit), Err(UnitError::Unknown), "{unit}");
    }
}

#[test]
fn every_metric_takes_its_own_unit_and_leaves_the_value_as_it_is() {
    for metric in Metric::all().filter(|metric| metric.kind() == MetricKind::Quantity) {
        assert_eq!(to_canonical(metric, 1.25, metric.unit()), Ok(1.25), "{metric}");
    }
}

#[test]
fn every_spelling_fits_a_metric() {
    for unit in SPELLINGS {
        assert!(Metric::all().any(|metric| to_canonical(metric, 1.0, unit).is_ok()), "{unit}");
    }
}

proptest! {
    #[test]
    fn converting_there_and_back_gives_the_value(share in 0.0..=1.0_f64, unit in prop::sample::select(SPELLINGS)) {
        for metric in Metric::all() {
            let range = metric.plausible_range();
            let value = range.start() + share * (range.end() - range.start());
            let Ok(other) = from_canonical(metric, value, unit) else { continue };
            let back = to_canonical(metric, other, unit).unwrap();
            // Temperatures are compared from absolute zero: where their zeros differ, a relative error near one has no meaning.
            let size = if metric.unit() == "Cel" { 273.15 } else { value.abs() };
            prop_assert!((back - value).abs() <= size * 1e-12, "{metric} in {unit}");
        }
    }

    #[test]
    fn any_text_converts_or_is_refused(unit in ".*", value: f64) {
        for metric in [Metric::BLOOD_GLUCOSE, Metric::OXYGEN_SATURATION, Metric::STEP_COUNT] {
            let _ = to_canonical(metric, value, &unit);
        }
    }
}
