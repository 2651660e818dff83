//! Time-domain heart rate variability from beat-to-beat intervals.

use serde::{Deserialize, Serialize};

use crate::measures::{Basis, Coverage, CoverageOf, Measure, count, opaque_debug};

/// Which intervals are normal.
pub const BEAT_RULE: &str = "normal intervals: 300 to 2000 ms and within 20 % of the one before (Malik 1989)";

const SDNN: &str = "SDNN (Task Force 1996), sample standard deviation of normal intervals: 300 to 2000 ms and within 20 % of \
                    the one before (Malik 1989)";
const RMSSD: &str = "RMSSD (Task Force 1996), of successive normal intervals: 300 to 2000 ms and within 20 % of the one \
                     before (Malik 1989)";
const MEAN: &str = "mean of normal intervals: 300 to 2000 ms and within 20 % of the one before (Malik 1989)";

const NORMAL_MS: std::ops::RangeInclusive<f64> = 300.0..=2000.0;
const CHANGE_MAX: f64 = 0.2;

/// What the measures ask of a recording; the numbers are Clarity's own.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BeatRules {
    /// How many normal intervals there must be.
    pub intervals_min: u32,
    /// Which share of the intervals must be normal, 0 to 1.
    pub normal_share_min: f64,
}

impl Default for BeatRules {
    fn default() -> Self {
        Self { intervals_min: 50, normal_share_min: 0.8 }
    }
}

/// Heart rate variability of one recording. The coverage counts normal intervals, of all that there are, gaps included.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct HeartRateVariability {
    /// SDNN: the standard deviation of normal intervals. Unit `ms`.
    pub sdnn: Measure,
    /// RMSSD: the root mean square of the differences of successive normal intervals. Unit `ms`.
    pub rmssd: Measure,
    /// The mean normal interval. Unit `ms`.
    pub mean_interval: Measure,
}

opaque_debug!(HeartRateVariability);

/// The normal ones of successive beat-to-beat intervals in milliseconds; `None` for an artefact and for a gap.
///
/// An interval is normal from 300 to 2000 ms, and unless it differs by more than 20 % from the one before it, whether that one
/// is normal or not (Malik, Cripps, Farrell, Camm: Prognostic value of heart rate variability after myocardial infarction. Med
/// Biol Eng Comput 1989;27:603-611). After a gap nothing is before it. Nothing is interpolated.
pub fn normal_intervals(intervals_ms: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut before = None;
    let normal = |interval: &Option<f64>| {
        let previous = std::mem::replace(&mut before, *interval);
        let is_steady = |interval: f64| {
            previous.is_none_or(|previous: f64| (interval - previous).abs() <= CHANGE_MAX * previous)
        };
        interval.filter(|interval| NORMAL_MS.contains(interval) && is_steady(*interval))
    };
    intervals_ms.iter().map(normal).collect()
}

/// SDNN, RMSSD and the mean interval of a recording of successive beat-to-beat intervals in milliseconds, `None` where beats
/// were missed (Task Force of ESC and NASPE: Heart rate variability. Circulation 1996;93:1043-1065).
///
/// **Missing data.** Artefacts and gaps take no part, and no difference is taken over one. Not assessed where there are fewer
/// normal intervals than `rules` ask for, or too small a share of them is normal.
pub fn heart_rate_variability(
    intervals_ms: &[Option<f64>],
    sources: &[String],
    rules: BeatRules,
) -> HeartRateVariability {
    let kept = normal_intervals(intervals_ms);
    let normal: Vec<f64> = kept.iter().copied().flatten().collect();
    let n = normal.len() as f64;
    let is_enough = normal.len() >= (rules.intervals_min as usize).max(2)
        && n >= rules.normal_share_min * intervals_ms.len() as f64;
    let measure = |method, value: Option<f64>, reason| {
        let basis = Basis {
            unit: "ms",
            method,
            coverage: Coverage {
                observed: count(normal.len()),
                expected: count(intervals_ms.len()),
                of: CoverageOf::Readings,
            },
            sources: sources.to_vec(),
        };
        if is_enough {
            basis.or_not_assessed(value, reason)
        } else {
            basis.not_assessed("too few normal intervals")
        }
    };
    let mean = normal.iter().sum::<f64>() / n;
    let variance = normal.iter().map(|interval| (interval - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let squares: Vec<f64> = kept.windows(2).filter_map(|pair| Some((pair[1]? - pair[0]?).powi(2))).collect();
    let mean_square = squares.iter().sum::<f64>() / squares.len() as f64;
    let rmssd = (!squares.is_empty()).then(|| mean_square.sqrt());
    HeartRateVariability {
        sdnn: measure(SDNN, Some(variance.sqrt()), ""),
        rmssd: measure(RMSSD, rmssd, "no two successive intervals are normal"),
        mean_interval: measure(MEAN, Some(mean), ""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FEW: BeatRules = BeatRules { intervals_min: 2, normal_share_min: 0.5 };

    fn intervals(ms: &[f64]) -> Vec<Option<f64>> {
        ms.iter().map(|ms| (*ms > 0.0).then_some(*ms)).collect()
    }

    fn of(ms: &[f64]) -> HeartRateVariability {
        heart_rate_variability(&intervals(ms), &["Strap".to_owned()], FEW)
    }

    fn is_close(measure: &Measure, expected: f64) -> bool {
        measure.value().is_some_and(|value| (value - expected).abs() < 1e-9)
    }

    #[test]
    fn sdnn_and_rmssd_by_hand() {
        // Mean 810, squares 100, 900, 100, 900: SDNN is sqrt(2000 / 3). Differences 40, -20, -20: RMSSD is sqrt(800).
        let found = of(&[800.0, 840.0, 820.0, 780.0]);
        assert!(is_close(&found.sdnn, (2000.0_f64 / 3.0).sqrt()) && is_close(&found.mean_interval, 810.0));
        assert!(is_close(&found.rmssd, ((1600.0_f64 + 400.0 + 1600.0) / 3.0).sqrt()));
        assert_eq!(found.sdnn.coverage(), Coverage { observed: 4, expected: 4, of: CoverageOf::Readings });
        assert_eq!((found.rmssd.unit(), found.rmssd.sources()), ("ms", &["Strap".to_owned()][..]));
        for measure in [&found.sdnn, &found.rmssd, &found.mean_interval] {
            assert!(measure.method().ends_with(BEAT_RULE.trim_start_matches("normal intervals: ")));
        }
    }

    #[test]
    fn an_extra_beat_and_what_follows_it_take_no_part() {
        // 500 comes early, 1100 makes up for it, and the next is judged by that one.
        let found = normal_intervals(&intervals(&[800.0, 500.0, 1100.0, 810.0, 820.0]));
        assert_eq!(found, [Some(800.0), None, None, None, Some(820.0)]);
        assert_eq!(
            normal_intervals(&intervals(&[1000.0, 1200.0, 961.0])),
            intervals(&[1000.0, 1200.0, 961.0])
        );
        assert_eq!(normal_intervals(&intervals(&[1000.0, 1201.0])), intervals(&[1000.0, 0.0]));
        assert_eq!(
            normal_intervals(&intervals(&[299.0, 300.0, 2001.0, 2000.0])),
            intervals(&[0.0, 300.0, 0.0, 2000.0])
        );
        assert_eq!(normal_intervals(&[Some(f64::NAN), Some(800.0)])[0], None);
    }

    #[test]
    fn no_difference_is_taken_over_a_gap() {
        let found = of(&[800.0, 820.0, 0.0, 600.0, 610.0]);
        assert!(is_close(&found.rmssd, 250.0_f64.sqrt()));
        assert_eq!(found.rmssd.coverage(), Coverage { observed: 4, expected: 5, of: CoverageOf::Readings });
        let lonely = heart_rate_variability(&intervals(&[800.0, 0.0, 820.0]), &[], FEW);
        assert_eq!(lonely.rmssd.not_assessed(), Some("no two successive intervals are normal"));
        assert!(lonely.sdnn.value().is_some());
    }

    #[test]
    fn too_few_normal_intervals_are_not_assessed() {
        for found in [of(&[]), of(&[800.0]), of(&[800.0, 400.0, 800.0, 400.0, 410.0])] {
            assert_eq!(
                (found.sdnn.value(), found.sdnn.not_assessed()),
                (None, Some("too few normal intervals"))
            );
        }
        let fifty = vec![Some(800.0); 50];
        let of = |intervals: &[Option<f64>]| {
            heart_rate_variability(intervals, &[], BeatRules::default()).sdnn.value()
        };
        assert_eq!((of(&fifty), of(&fifty[1..])), (Some(0.0), None));
    }

    proptest! {
        #[test]
        fn variability_scales_with_the_intervals_and_is_never_negative(
            ms in prop::collection::vec(600..700_u16, 2..60), gap in 0..60_usize,
        ) {
            let mut one: Vec<Option<f64>> = ms.iter().map(|ms| Some(f64::from(*ms))).collect();
            if let Some(interval) = one.get_mut(gap) {
                *interval = None;
            }
            let twice: Vec<Option<f64>> = one.iter().map(|ms| ms.map(|ms| ms * 2.0)).collect();
            let of = |intervals: &[Option<f64>]| heart_rate_variability(intervals, &[], FEW);
            let (one, twice) = (of(&one), of(&twice));
            for (one, twice) in [(one.sdnn, twice.sdnn), (one.rmssd, twice.rmssd)] {
                prop_assert_eq!(one.value().is_some(), twice.value().is_some());
                prop_assert!(one.value().is_none_or(|value| value >= 0.0));
                prop_assert!((one.value().unwrap_or(0.0) * 2.0 - twice.value().unwrap_or(0.0)).abs() < 1e-9);
            }
        }
    }
}
