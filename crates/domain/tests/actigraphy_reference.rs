//! The circadian measures agree with what pyActigraphy 1.2.2 computes, through its stated conventions.
//!
//! `data/actigraphy-reference.json` states the integer generator that rebuilds both series, and under `convention_notes`
//! where pyActigraphy deviates from the published formulas.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use domain::measures::circadian::{
    interdaily_stability, intradaily_variability, least_active, most_active, relative_amplitude,
};
use serde_json::Value;

struct Series {
    name: &'static str,
    epoch_s: usize,
    start_s: usize,
    epochs: usize,
}

const SERIES: [Series; 2] = [
    Series { name: "synthetic_60s_7d", epoch_s: 60, start_s: 0, epochs: 10_080 },
    Series { name: "synthetic_30s_5d", epoch_s: 30, start_s: 8 * 3600, epochs: 14_400 },
];

const DAY_S: usize = 86_400;

/// The `synthetic_generator` of the reference.
fn generate(series: &Series) -> Vec<f64> {
    let mut state: u64 = 42;
    let mut next = |index: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let u = state >> 40;
        let second = series.start_s + index * series.epoch_s;
        let minute = i64::try_from((second % DAY_S) / 60).unwrap();
        let shift = [0, 15, -20, 40, -10, 25, 60][(second / DAY_S) % 7];
        let (on, off) = (420 + shift, 1380 + shift);
        let active = (on..off).contains(&minute) || (off > 1440 && minute < off - 1440);
        let value = match active {
            true if (u >> 10) % 10 < 2 => 0,
            true => u % 400,
            false if u.is_multiple_of(25) => u % 120,
            false => 0,
        };
        f64::from(u32::try_from(value).unwrap())
    };
    (0..series.epochs).map(&mut next).collect()
}

fn reference() -> Value {
    serde_json::from_str(include_str!("data/actigraphy-reference.json")).unwrap()
}

/// Bins are sums that begin with the first sample.
fn binned(x: &[f64], epochs: usize) -> Vec<f64> {
    x.chunks(epochs).map(|bin| bin.iter().sum()).collect()
}

/// The mean day, which begins at midnight whenever the series begins.
fn profile(x: &[f64], series: &Series) -> Vec<f64> {
    let epochs_per_day = DAY_S / series.epoch_s;
    let first = series.start_s / series.epoch_s;
    let mut slots = vec![(0_u32, 0.0); epochs_per_day];
    for (index, value) in x.iter().enumerate() {
        let (count, sum) = &mut slots[(first + index) % epochs_per_day];
        *count += 1;
        *sum += value;
    }
    slots.into_iter().map(|(count, sum)| sum / f64::from(count)).collect()
}

/// Both series as counts and as activity above the threshold of 4, each with what the reference says of it.
fn cases() -> Vec<(&'static Series, &'static str, Vec<f64>, Value)> {
    let reference = reference();
    let mut cases = Vec::new();
    for series in &SERIES {
        let counts = generate(series);
        let binarized = counts.iter().map(|count| f64::from(u8::from(*count > 4.0))).collect();
        for (kind, x) in [("counts", counts), ("binarized_thr4", binarized)] {
            cases.push((series, kind, x, reference["series"][series.name][kind].clone()));
        }
    }
    cases
}

#[track_caller]
fn assert_close(found: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() <= 1e-9, "{what}: {found} is not {expected}");
}

/// `0 days 23:39:30`, as seconds of the day; the reference looks at two days one after the other.
fn second_of_day(timedelta: &Value) -> usize {
    let clock = timedelta.as_str().unwrap().split_once(" days ").unwrap().1;
    clock.split(':').fold(0, |seconds, part| seconds * 60 + part.parse::<usize>().unwrap())
}

#[test]
fn the_generator_rebuilds_the_series() {
    let reference = reference();
    for series in &SERIES {
        let x = generate(series);
        let expected = &reference["series"][series.name];
        assert_eq!(Some(x.len() as u64), expected["n_epochs"].as_u64());
        assert_eq!(Some(x.iter().sum()), expected["sum"].as_f64());
        let first: Vec<f64> = serde_json::from_value(expected["first20"].clone()).unwrap();
        assert_eq!(x[..20], first);
    }
}

#[test]
fn interdaily_stability_and_intradaily_variability_agree() {
    for (series, kind, x, expected) in cases() {
        for (label, minutes) in [("1H", 60), ("30min", 30), ("5min", 5), ("1min", 1)] {
            let bins = binned(&x, minutes * 60 / series.epoch_s);
            let bins_per_day = 1440 / minutes;
            let (n, p) = (bins.len() as f64, bins_per_day as f64);
            // pyActigraphy takes sample variances where Witting takes those of the population.
            let is = interdaily_stability(&bins, bins_per_day).unwrap() * (p / (p - 1.0)) * ((n - 1.0) / n);
            let iv = intradaily_variability(&bins).unwrap() * ((n - 1.0) / n);
            assert_close(is, &expected[format!("IS_{label}")], &format!("{} {kind} IS_{label}", series.name));
            assert_close(iv, &expected[format!("IV_{label}")], &format!("{} {kind} IV_{label}", series.name));
        }
    }
}

#[test]
fn l5_m10_and_relative_amplitude_agree() {
    for (series, kind, x, expected) in cases() {
        let what = format!("{} {kind}", series.name);
        let day = profile(&x, series);
        let epochs = |hours: usize| hours * 3600 / series.epoch_s;
        let (l5, m10) = (least_active(&day, epochs(5)).unwrap(), most_active(&day, epochs(10)).unwrap());
        assert_close(l5.mean, &expected["L5"], &format!("{what} L5"));
        assert_close(m10.mean, &expected["M10"], &format!("{what} M10"));
        assert_close(relative_amplitude(l5.mean, m10.mean).unwrap(), &expected["RA"], &format!("{what} RA"));
        assert_eq!(l5.onset * series.epoch_s, second_of_day(&expected["L5_onset"]), "{what} L5 onset");
        assert_eq!(m10.onset * series.epoch_s, second_of_day(&expected["M10_onset"]), "{what} M10 onset");
    }
}
