use std::f64::consts::TAU;

use proptest::prelude::*;

use super::*;

/// `mesor + amplitude cos(2π (t - peak) / period)`.
fn curve(length: usize, mesor: f64, amplitude: f64, peak: f64, period: f64) -> Vec<Option<f64>> {
    (0..length).map(|t| Some(mesor + amplitude * (TAU * (t as f64 - peak) / period).cos())).collect()
}

#[test]
fn a_cosine_is_found_again() {
    let found = cosinor(&curve(72, 10.0, 4.0, 15.0, 24.0), 24.0).unwrap();
    assert!((found.mesor - 10.0).abs() < 1e-9 && (found.amplitude - 4.0).abs() < 1e-9);
    assert!((found.peak_epochs - 15.0).abs() < 1e-9 && (found.r_squared - 1.0).abs() < 1e-9);
    assert!((found.acrophase_rad - TAU * 9.0 / 24.0).abs() < 1e-9, "-15 hours are 9 of the next cycle");
    assert_eq!((found.observed, found.expected), (72, 72));
}

#[test]
fn missing_epochs_take_no_part_unless_a_phase_is_never_seen() {
    let mut x = curve(72, 10.0, 4.0, 15.0, 24.0);
    for hour in [3, 4, 5, 30, 70] {
        x[hour] = None;
    }
    let found = cosinor(&x, 24.0).unwrap();
    assert!((found.amplitude - 4.0).abs() < 1e-9);
    assert_eq!((found.observed, found.expected), (67, 72));
    // Six of 24 hours may be unknown, seven may not: 22 to 4 o'clock.
    let without = |from: usize, hours: usize| {
        let is_out = |hour: usize| (hour + 24 - from) % 24 < hours;
        let x: Vec<_> = curve(72, 10.0, 4.0, 15.0, 24.0)
            .into_iter()
            .enumerate()
            .map(|(hour, x)| x.filter(|_| !is_out(hour % 24)))
            .collect();
        cosinor(&x, 24.0).is_some()
    };
    assert!(without(22, 6) && !without(22, 7));
}

#[test]
fn what_cannot_be_fitted_is_none() {
    assert!(cosinor(&[], 24.0).is_none());
    assert!(cosinor(&curve(23, 10.0, 4.0, 15.0, 24.0), 24.0).is_none(), "less than one period");
    assert!(cosinor(&[Some(0.1); 48], 24.0).is_none(), "nothing varies");
    for period in [0.0, 2.0, f64::NAN, f64::INFINITY] {
        assert!(cosinor(&curve(72, 10.0, 4.0, 15.0, 24.0), period).is_none());
    }
}

proptest! {
    #[test]
    fn level_and_scale_move_what_they_should(
        x in prop::collection::vec(prop::option::weighted(0.9, 0..1000_u16), 96), scale in 1..20_u8, level in 0..500_u16,
    ) {
        let x: Vec<Option<f64>> = x.into_iter().map(|x| x.map(f64::from)).collect();
        let (scale, level) = (f64::from(scale), f64::from(level));
        let moved: Vec<Option<f64>> = x.iter().map(|x| x.map(|x| x * scale + level)).collect();
        let (Some(one), Some(other)) = (cosinor(&x, 24.0), cosinor(&moved, 24.0)) else {
            prop_assert!(cosinor(&x, 24.0).is_none() && cosinor(&moved, 24.0).is_none());
            return Ok(());
        };
        prop_assert!((other.mesor - one.mesor * scale - level).abs() < 1e-6);
        prop_assert!((other.amplitude - one.amplitude * scale).abs() < 1e-6);
        prop_assert!((other.r_squared - one.r_squared).abs() < 1e-9);
        prop_assert!(one.amplitude < 1e-6 || (other.peak_epochs - one.peak_epochs).abs() < 1e-6);
    }

    #[test]
    fn later_data_peaks_later(peak in 0..24_u8, by in 0..24_u8) {
        let x = curve(96, 5.0, 3.0, f64::from(peak), 24.0);
        let found = cosinor(&x[usize::from(by)..], 24.0).unwrap();
        let expected = (f64::from(peak) - f64::from(by)).rem_euclid(24.0);
        let apart = (found.peak_epochs - expected).rem_euclid(24.0);
        prop_assert!(apart.min(24.0 - apart) < 1e-6);
    }
}
