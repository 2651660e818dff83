use proptest::prelude::*;

use super::*;

/// Uniform noise of a fixed generator, around 0.
fn noise(length: usize) -> Vec<f64> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1_u32 << 24) - 0.5
    };
    (0..length).map(|_| next()).collect()
}

const SCALES: [usize; 6] = [8, 16, 32, 64, 128, 256];

#[test]
fn noise_has_half_and_a_random_walk_one_and_a_half() {
    let noise = noise(20_000);
    let alpha = |x: &[f64]| dfa(x, &SCALES[1..]).unwrap().alpha;
    assert!((alpha(&noise) - 0.5).abs() < 0.05, "{}", alpha(&noise));
    let mut at = 0.0;
    let walk: Vec<f64> = noise
        .iter()
        .map(|step| {
            at += step;
            at
        })
        .collect();
    assert!((alpha(&walk) - 1.5).abs() < 0.1, "{}", alpha(&walk));
}

#[test]
fn a_fluctuation_by_hand() {
    // The profile of 1, -1, ... is 1, 0, 1, 0, ...: the line through 1, 0, 1, 0 is 0.8 - 0.2 i, residuals .2 -.6 .6 -.2.
    let x: Vec<f64> = (0..32).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let found = dfa(&x, &[4, 8]).unwrap();
    assert!((found.by_scale[0].1 - (0.8_f64 / 4.0).sqrt()).abs() < 1e-12);
    assert_eq!((found.observed, found.by_scale[1].0), (32, 8));
    assert!(found.standard_error.abs() < 1e-12, "two scales make a line");
}

#[test]
fn what_has_no_slope_is_none() {
    let x = noise(1000);
    assert!(dfa(&x, &[3, 16]).is_none() && dfa(&x, &[16, 251]).is_none() && dfa(&x, &[16, 250]).is_some());
    assert!(dfa(&x, &[16]).is_none() && dfa(&x, &[16, 16]).is_none() && dfa(&x, &[]).is_none());
    assert!(dfa(&[0.1; 1000], &SCALES[..3]).is_none(), "nothing fluctuates");
    let mut strange = x;
    strange[7] = f64::NAN;
    assert!(dfa(&strange, &[16, 32]).is_none());
}

#[test]
fn the_longest_stretch_without_a_gap_is_taken() {
    let x = [Some(1.0), None, Some(2.0), Some(3.0), None, Some(4.0), Some(5.0)];
    assert_eq!(longest_observed(&x), [2.0, 3.0]);
    assert!(longest_observed(&[None, None]).is_empty() && longest_observed(&[]).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn level_scale_and_direction_leave_alpha_alone(
        x in prop::collection::vec(0..1000_u16, 300..600), scale in 1..50_u8, level in 0..900_u16,
    ) {
        let x: Vec<f64> = x.into_iter().map(f64::from).collect();
        let scales = [8, 16, 32, 64];
        let found = dfa(&x, &scales).unwrap();
        let moved: Vec<f64> = x.iter().map(|x| x * f64::from(scale) + f64::from(level)).collect();
        let moved = dfa(&moved, &scales).unwrap();
        prop_assert!((found.alpha - moved.alpha).abs() < 1e-6);
        for (one, other) in found.by_scale.iter().zip(&moved.by_scale) {
            prop_assert!((one.1 * f64::from(scale) - other.1).abs() < 1e-6 * other.1);
        }
    }
}
