use super::*;

fn bouts(lengths: &[(usize, u32)]) -> BTreeMap<usize, u32> {
    lengths.iter().copied().collect()
}

#[test]
fn bouts_that_end_by_the_same_chance_have_that_chance() {
    // Half of those that are left end after each epoch: 32, 16, 8, 4, 2, then 1 and 1.
    let halves = bouts(&[(1, 32), (2, 16), (3, 8), (4, 4), (5, 2), (6, 1), (7, 1)]);
    assert!((sustained(&halves).unwrap() - 0.5).abs() < 1e-12);
}

#[test]
fn the_longest_stretch_near_the_curve_is_averaged_with_its_weights() {
    let found = sustained(&bouts(&[(1, 2), (3, 1), (4, 1)])).unwrap_or(f64::NAN);
    // p(1) = (4 - 2) / 4 / 2 = 0.25, p(3) = (2 - 1) / 2 / 1 = 0.5; two points smooth to themselves.
    let (a, b) = (6_f64.sqrt(), 3_f64.sqrt());
    assert!((found - (0.25 * a + 0.5 * b) / (a + b)).abs() < 1e-12, "{found}");
}

#[test]
fn too_few_lengths_have_no_stretch() {
    assert_eq!(sustained(&bouts(&[])), None);
    assert_eq!(sustained(&bouts(&[(3, 9)])), None);
    assert_eq!(sustained(&bouts(&[(3, 9), (4, 1)])), None);
}

#[test]
fn bouts_that_are_cut_by_missing_epochs_take_no_part() {
    let (rest, active) = (Some(0.0), Some(9.0));
    let whole = [rest, active, rest, rest, active, active, rest, rest, rest, active, active, active, rest];
    let whole: Vec<Option<f64>> = whole.repeat(9);
    let expected = transitions(&whole, 4.0);
    assert!(expected.rest_to_activity.is_some());
    // After a gap, a bout of rest that is cut on both sides, and another gap: the same bouts as before.
    let cut: Vec<Option<f64>> = [&whole[..], &[active, None, rest, rest, None, rest]].concat();
    let found = transitions(&cut, 4.0);
    assert_eq!((found.observed, found.expected), (expected.observed + 4, expected.expected + 6));
    assert!((found.rest_to_activity.unwrap() - expected.rest_to_activity.unwrap()).abs() < 1e-12);
    let nothing = transitions(&[None; 9], 4.0);
    assert_eq!((nothing.rest_to_activity, nothing.activity_to_rest, nothing.observed), (None, None, 0));
}
