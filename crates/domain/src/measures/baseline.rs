//! What is usual for a person, and how far a day is from it.

use serde::{Deserialize, Serialize};

use super::{Basis, Coverage, CoverageOf, Measure, count, opaque_debug};

/// What makes the median absolute deviation of normally distributed values their standard deviation: `1 / Φ⁻¹(3/4)`.
pub const MAD_SCALE: f64 = 1.4826;

const TOO_FEW: &str = "too few days of the baseline have a value";
const METHOD: &str = "robust z, (value - median) / (1.4826 MAD) (Hampel 1974)";

/// Over which days a baseline goes. The numbers are Clarity's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BaselineRules {
    /// How many days before the one that is compared.
    pub days: u32,
    /// How many of them must have a value.
    pub days_min: u32,
}

impl Default for BaselineRules {
    fn default() -> Self {
        Self { days: 28, days_min: 14 }
    }
}

/// What was usual over some days.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The median, in the unit of the values.
    pub median: f64,
    /// MAD: the median absolute deviation from the median, unscaled, in the unit of the values.
    pub mad: f64,
    /// How many days had a value, of those that there were.
    pub coverage: Coverage,
}

opaque_debug!(Baseline);

/// The baseline of the latest `rules.days` of `history`, one value a day, the latest last.
///
/// **Missing data.** Days without a value take no part. `None` where fewer than `rules.days_min` have one.
pub fn baseline(history: &[Option<f64>], rules: BaselineRules) -> Option<Baseline> {
    let window = latest(history, rules);
    let mut values: Vec<f64> = observed(window).collect();
    if values.is_empty() || values.len() < rules.days_min as usize {
        return None;
    }
    let centre = median(&mut values);
    for value in &mut values {
        *value = (*value - centre).abs();
    }
    Some(Baseline { median: centre, mad: median(&mut values), coverage: coverage(window, rules) })
}

/// For each day, the baseline of the days before it: a day is never compared with itself.
pub fn rolling_baselines(values: &[Option<f64>], rules: BaselineRules) -> Vec<Option<Baseline>> {
    (0..values.len()).map(|day| baseline(&values[..day], rules)).collect()
}

/// How far a value is from what was usual.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Deviation {
    /// Value - median, in the unit of the values.
    pub difference: Measure,
    /// `(value - median) / (1.4826 MAD)`. Unit `1`.
    pub robust_z: Measure,
}

opaque_debug!(Deviation);

/// The deviation of a day's value, in `unit`, from the baseline of the days before it (Hampel: The influence curve and its
/// role in robust estimation. J Am Stat Assoc 1974;69:383-393; Leys et al.: Detecting outliers. J Exp Soc Psychol
/// 2013;49:764-766).
///
/// **Missing data.** Not assessed without a value or a baseline; the robust z also where the baseline does not vary.
pub fn deviation(
    value: Option<f64>,
    history: &[Option<f64>],
    unit: &'static str,
    sources: &[String],
    rules: BaselineRules,
) -> Deviation {
    let basis = |unit, method| Basis {
        unit,
        method,
        coverage: coverage(latest(history, rules), rules),
        sources: sources.to_vec(),
    };
    let difference = |value: Option<f64>| {
        basis(unit, "difference from the median of the days before").or_not_assessed(value, TOO_FEW)
    };
    let Some(value) = value.filter(|value| value.is_finite()) else {
        let without = |unit, method| basis(unit, method).not_assessed("the day has no value");
        return Deviation {
            difference: without(unit, "difference from the median of the days before"),
            robust_z: without("1", METHOD),
        };
    };
    let baseline = baseline(history, rules);
    let robust_z = match baseline {
        None => basis("1", METHOD).not_assessed(TOO_FEW),
        Some(baseline) if baseline.mad <= 0.0 => {
            basis("1", METHOD).not_assessed("the baseline does not vary")
        }
        Some(baseline) => basis("1", METHOD).assessed((value - baseline.median) / (MAD_SCALE * baseline.mad)),
    };
    Deviation { difference: difference(baseline.map(|baseline| value - baseline.median)), robust_z }
}

fn latest(history: &[Option<f64>], rules: BaselineRules) -> &[Option<f64>] {
    &history[history.len().saturating_sub(rules.days as usize)..]
}

fn observed(window: &[Option<f64>]) -> impl Iterator<Item = f64> {
    window.iter().copied().flatten().filter(|value| value.is_finite())
}

fn coverage(window: &[Option<f64>], rules: BaselineRules) -> Coverage {
    Coverage { observed: count(observed(window).count()), expected: rules.days, of: CoverageOf::Days }
}

/// The median of what is not empty.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let length = values.len();
    f64::midpoint(values[(length - 1) / 2], values[length / 2])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FEW: BaselineRules = BaselineRules { days: 5, days_min: 3 };

    #[test]
    fn median_and_mad_by_hand() {
        let found = baseline(&[Some(99.0), Some(1.0), Some(2.0), None, Some(4.0), Some(9.0)], FEW).unwrap();
        // Of 1, 2, 4, 9: median 3; distances 2, 1, 1, 6: median 1.5.
        assert_eq!((found.median, found.mad), (3.0, 1.5));
        assert_eq!(found.coverage, Coverage { observed: 4, expected: 5, of: CoverageOf::Days });
        assert!(baseline(&[Some(1.0), Some(2.0), None], FEW).is_none());
        assert!(baseline(&[], BaselineRules { days: 5, days_min: 0 }).is_none());
    }

    #[test]
    fn a_deviation_by_hand() {
        let history = [Some(1.0), Some(2.0), Some(4.0), Some(9.0)];
        let found = deviation(Some(6.0), &history, "Cel", &["Watch".to_owned()], FEW);
        assert_eq!((found.difference.value(), found.difference.unit()), (Some(3.0), "Cel"));
        assert!((found.robust_z.value().unwrap() - 3.0 / (1.4826 * 1.5)).abs() < 1e-12);
        assert_eq!((found.robust_z.unit(), found.robust_z.coverage().observed), ("1", 4));
    }

    #[test]
    fn what_is_missing_is_not_assessed() {
        let history = [Some(1.0); 4];
        let no_value = deviation(None, &history, "ms", &[], FEW);
        assert_eq!(no_value.difference.not_assessed(), Some("the day has no value"));
        let no_baseline = deviation(Some(1.0), &history[..2], "ms", &[], FEW);
        assert_eq!(
            (no_baseline.difference.value(), no_baseline.robust_z.not_assessed()),
            (None, Some(TOO_FEW))
        );
        let flat = deviation(Some(2.0), &history, "ms", &[], FEW);
        assert_eq!(flat.difference.value(), Some(1.0));
        assert_eq!(flat.robust_z.not_assessed(), Some("the baseline does not vary"));
    }

    #[test]
    fn a_day_is_not_compared_with_itself() {
        let values = [Some(1.0), Some(2.0), Some(3.0), Some(500.0), Some(4.0)];
        let found = rolling_baselines(&values, FEW);
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, false, true, true]);
        assert!((found[3].unwrap().median - 2.0).abs() < 1e-12);
        assert!((found[4].unwrap().median - 2.5).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn a_deviation_depends_on_neither_unit_nor_order(
            values in prop::collection::vec(prop::option::weighted(0.8, -500..500_i32), 5), value in -900..900_i32, turn in 0..5_usize,
        ) {
            let values: Vec<Option<f64>> = values.into_iter().map(|value| value.map(f64::from)).collect();
            let of = |value: f64, values: &[Option<f64>]| deviation(Some(value), values, "1", &[], FEW).robust_z.value();
            let expected = of(f64::from(value), &values);
            let mut turned = values.clone();
            turned.rotate_left(turn);
            prop_assert_eq!(of(f64::from(value), &turned), expected);
            let scaled: Vec<Option<f64>> = values.iter().map(|value| value.map(|value| value * 2.0 + 64.0)).collect();
            prop_assert_eq!(of(f64::from(value) * 2.0 + 64.0, &scaled), expected);
        }
    }
}
