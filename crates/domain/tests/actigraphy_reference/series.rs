//! The series of the reference, rebuilt.

use serde_json::Value;

pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) epoch_s: usize,
    pub(crate) start_s: usize,
    pub(crate) epochs: usize,
}

pub(crate) const SERIES: [Series; 2] = [
    Series { name: "synthetic_60s_7d", epoch_s: 60, start_s: 0, epochs: 10_080 },
    Series { name: "synthetic_30s_5d", epoch_s: 30, start_s: 8 * 3600, epochs: 14_400 },
];

pub(crate) const DAY_S: usize = 86_400;

/// The `synthetic_generator` of the reference.
pub(crate) fn generate(series: &Series) -> Vec<f64> {
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

pub(crate) fn reference() -> Value {
    serde_json::from_str(include_str!("../data/actigraphy-reference.json")).unwrap()
}

/// Bins are sums that begin with the first sample.
pub(crate) fn binned(x: &[f64], epochs: usize) -> Vec<f64> {
    x.chunks(epochs).map(|bin| bin.iter().sum()).collect()
}

/// The mean day, which begins at midnight whenever the series begins.
pub(crate) fn profile(x: &[f64], series: &Series) -> Vec<f64> {
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
pub(crate) fn cases() -> Vec<(&'static Series, &'static str, Vec<f64>, Value)> {
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
pub(crate) fn assert_close(found: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() <= 1e-9, "{what}: {found} is not {expected}");
}

/// `0 days 23:39:30`, as seconds of the day; the reference looks at two days one after the other.
pub(crate) fn second_of_day(timedelta: &Value) -> usize {
    let clock = timedelta.as_str().unwrap().split_once(" days ").unwrap().1;
    clock.split(':').fold(0, |seconds, part| seconds * 60 + part.parse::<usize>().unwrap())
}
