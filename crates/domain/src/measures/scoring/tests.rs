use proptest::prelude::*;

use super::*;
use crate::measures::epoch::Epoch;
use SleepWake::{Sleep, Wake};

type Scorer = fn(&[Option<f64>]) -> Vec<Option<SleepWake>>;

fn counts(x: &[f64]) -> Vec<Option<f64>> {
    x.iter().copied().map(Some).collect()
}

/// A series of zeros with single counts.
fn zeros(length: usize, counts: &[(usize, f64)]) -> Vec<Option<f64>> {
    let mut x = vec![Some(0.0); length];
    for (index, count) in counts {
        x[*index] = Some(*count);
    }
    x
}

/// `s` is sleep, `w` wake, anything else not scored.
fn scores(text: &str) -> Vec<Option<SleepWake>> {
    let score = |letter| match letter {
        's' => Some(Sleep),
        'w' => Some(Wake),
        _ => None,
    };
    text.chars().map(score).collect()
}

fn text(scores: &[Option<SleepWake>]) -> String {
    let letter = |score: &Option<SleepWake>| match score {
        Some(Sleep) => 's',
        Some(Wake) => 'w',
        None => '?',
    };
    scores.iter().map(letter).collect()
}

#[test]
fn cole_kripke_weighs_four_minutes_before_and_two_after() {
    // 1 / (0.001 · 230) = 4.3478 counts in the minute itself make D = 1; each minute alone against its own weight.
    let weights = [67.0, 74.0, 230.0, 76.0, 58.0, 54.0, 106.0];
    for (offset, weight) in weights.into_iter().enumerate() {
        let scored = 6 + offset - 2;
        let of = |count: f64| cole_kripke(&zeros(16, &[(6, count)]), CountScale::UNIT)[scored];
        assert_eq!((of(999.9 / weight), of(1000.1 / weight)), (Some(Sleep), Some(Wake)), "weight {weight}");
    }
    assert_eq!(text(&cole_kripke(&zeros(8, &[]), CountScale::UNIT)), "????ss??");
    // Counts that are thirty times as large, with that scale.
    let large = zeros(16, &[(6, 30.0 * 4.4)]);
    assert_eq!(cole_kripke(&large, CountScale::MEAN_OF_2_S_EPOCHS)[6], Some(Wake));
    assert_eq!(cole_kripke(&large, CountScale::new(60.0).unwrap())[6], Some(Sleep));
    for divisor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(CountScale::new(divisor), Err(InvalidScale));
    }
}

#[test]
fn websters_rules_by_hand() {
    let rescored = |before: &str, after: &str| assert_eq!(text(&webster(&scores(before))), after);
    // a: after four minutes of wake, one minute.
    rescored("wwwwsssssssssssss", "wwwwwssssssssssss");
    rescored("wwwsssssssssssss", "wwwsssssssssssss");
    // b: after ten, three; c: after fifteen, four.
    rescored(
        &format!("{}{}", "w".repeat(10), "s".repeat(12)),
        &format!("{}{}", "w".repeat(13), "s".repeat(9)),
    );
    rescored(
        &format!("{}{}", "w".repeat(15), "s".repeat(12)),
        &format!("{}{}", "w".repeat(19), "s".repeat(8)),
    );
    // d: six minutes between ten and ten; with seven, b takes three.
    let between = |wake: usize, sleep: usize| format!("{0}{1}{0}", "w".repeat(wake), "s".repeat(sleep));
    rescored(&between(10, 6), &"w".repeat(26));
    rescored(&between(10, 7), &format!("{}{}{}", "w".repeat(13), "s".repeat(4), "w".repeat(10)));
    // e: ten minutes between twenty and twenty; with nineteen, c takes four.
    rescored(&between(20, 10), &"w".repeat(50));
    rescored(&between(19, 10), &format!("{}{}{}", "w".repeat(23), "s".repeat(6), "w".repeat(19)));
    // What is not scored stays so, and keeps sleep from being between two times of wake.
    rescored("wwww?sss", "wwww?sss");
    rescored(
        &format!("{}s?s{}", "w".repeat(10), "w".repeat(10)),
        &format!("{}w?s{}", "w".repeat(10), "w".repeat(10)),
    );
    rescored("", "");
}

#[test]
fn sadeh_by_hand() {
    // All zeros: PS = 7.601. All 100: 7.601 - 6.5 - 0.703 ln 101 = -2.14. All 60: 7.601 - 3.9 - 11.88 - 2.89.
    let of = |x: &[Option<f64>]| text(&sadeh(x, SadehDefinition::Published));
    assert_eq!(of(&zeros(12, &[])), "?????ss?????");
    assert_eq!(of(&counts(&[100.0; 11])), "?????w?????");
    // One epoch in the window: PS = 7.601 - 0.065 c / 11 - 0.056 c / sqrt 6 - 0.703 ln(c + 1) where it is the scored one:
    // 0 for c near 121.1.
    let single = |count: f64| sadeh(&zeros(11, &[(5, count)]), SadehDefinition::Published)[5];
    let index = |c: f64| 7.601 - 0.065 * c / 11.0 - 0.056 * c / 6.0_f64.sqrt() - 0.703 * (c + 1.0).ln();
    let mut zero = 100.0_f64;
    while index(zero) > 0.0 {
        zero += 0.01;
    }
    assert_eq!((single(zero - 0.1), single(zero + 0.1)), (Some(Sleep), Some(Wake)), "zero at {zero}");
    // Six epochs of 50, of which the published formula counts all as active and pyActigraphy none:
    // 7.601 - 0.065 · 300 / 11 - 1.08 · 6 < 0 < 7.601 - 0.065 · 300 / 11.
    let fifty: Vec<Option<f64>> =
        (0..11).map(|index| Some(if [0, 2, 4, 6, 8, 10].contains(&index) { 50.0 } else { 0.0 })).collect();
    let shifted = [fifty.as_slice(), &[Some(0.0)]].concat();
    assert_eq!(sadeh(&shifted, SadehDefinition::Published)[5], Some(Wake));
    let pyactigraphy = |next: f64| {
        let x = zeros(11, &[(6, next)]);
        sadeh(&x, SadehDefinition::PyActigraphy)[5]
    };
    // Its logarithm is of the next epoch: 7.601 - 0.065 c / 11 - 0.703 ln(c + 1) is 0 near c = 554.
    assert_eq!((pyactigraphy(500.0), pyactigraphy(600.0)), (Some(Sleep), Some(Wake)));
    assert_eq!(sadeh(&zeros(11, &[(6, 600.0)]), SadehDefinition::Published)[5], Some(Sleep));
}

#[test]
fn scripps_by_hand() {
    // 0.204 · 0.0664 c = 1 for c = 73.8 in the minute before; 0.204 · 0.03 c = 1 for c = 163.4 in the minute itself.
    for (at, weight) in [(9, 0.0664), (10, 0.03), (0, 0.0064), (12, 0.01), (11, 0.0112)] {
        let of = |count: f64| scripps(&zeros(13, &[(at, count)]))[10];
        let limit = 1.0 / (0.204 * weight);
        assert_eq!((of(limit - 0.1), of(limit + 0.1)), (Some(Sleep), Some(Wake)), "epoch {at}");
    }
    assert_eq!(text(&scripps(&zeros(14, &[]))), "??????????ss??");
}

#[test]
fn oakley_by_hand() {
    use OakleyEpoch::{Seconds15, Seconds30, Seconds60, Seconds120};
    use OakleyThreshold::{Automatic, Counts, High, Low, Medium};
    // 40 in the minute itself is not below 40; neither is 200 in the next, or 1000 in the one after it.
    for (at, count) in [(2, 40.0), (3, 200.0), (4, 1000.0)] {
        let of = |count: f64| oakley(&zeros(5, &[(at, count)]), Seconds60, Medium)[2];
        assert_eq!((of(count - 0.1), of(count)), (Some(Sleep), Some(Wake)), "epoch {at}");
    }
    for (threshold, limit) in [(High, 20.0), (Low, 80.0), (Counts(7.0), 7.0)] {
        let of = |count: f64| oakley(&zeros(5, &[(2, count)]), Seconds60, threshold)[2];
        assert_eq!((of(limit - 0.1), of(limit + 0.1)), (Some(Sleep), Some(Wake)));
    }
    // The middle weighs 4, 2, 1 and 0.5 by the length of the epoch; windows are 17, 9, 5 and 3 epochs.
    for (epoch, half, weight) in
        [(Seconds15, 8, 4.0), (Seconds30, 4, 2.0), (Seconds60, 2, 1.0), (Seconds120, 1, 0.5)]
    {
        let of = |count: f64| text(&oakley(&zeros(2 * half + 1, &[(half, count)]), epoch, Medium));
        let at_middle = |letter: &str| format!("{0}{letter}{0}", "?".repeat(half));
        assert_eq!((of(39.9 / weight), of(40.1 / weight)), (at_middle("s"), at_middle("w")));
    }
    // 100 + 20 counts in two mobile minutes; 3 counts do not make a minute mobile, 4 do.
    let x = counts(&[100.0, 20.0, 3.0, 0.0, 0.0]);
    assert!((oakley_automatic_threshold(&x, Seconds60).unwrap() - 0.88888 * 61.5).abs() < 1e-9);
    let x = counts(&[100.0, 20.0, 4.0, 0.0, 0.0]);
    assert!((oakley_automatic_threshold(&x, Seconds60).unwrap() - 0.88888 * 124.0 / 3.0).abs() < 1e-9);
    assert!((oakley_automatic_threshold(&x, Seconds30).unwrap() - 0.88888 * 124.0 / 1.5).abs() < 1e-9);
    assert_eq!(oakley_automatic_threshold(&zeros(5, &[]), Seconds60), None);
    assert_eq!(
        oakley(&zeros(5, &[]), Seconds60, Automatic),
        [None; 5],
        "without a threshold nothing is scored"
    );
}

/// Counts of a minute: nothing for eight hours from midnight, else 100; some days.
fn nights(days: usize) -> Vec<Option<f64>> {
    (0..days * 1440).map(|minute| Some(if minute % 1440 < 480 { 0.0 } else { 100.0 })).collect()
}

#[test]
fn roenneberg_finds_whole_nights_and_no_short_rest() {
    let of = |x: &[Option<f64>]| consolidated_sleep(x, Epoch::MINUTE, RoennebergRules::default());
    assert_eq!(of(&nights(3)), [0..480, 1440..1920, 2880..3360]);
    // A wake of ten minutes belongs to the night; a rest of 29 minutes by day begins no sleep, one of 30 does.
    let mut x = nights(3);
    x[1600..1610].fill(Some(100.0));
    x[2300..2329].fill(Some(0.0));
    x[2600..2630].fill(Some(0.0));
    assert_eq!(of(&x), [0..480, 1440..1920, 2600..2630, 2880..3360]);
    // 15 % of the average of 66.7 is 10.
    x[1700] = Some(10.0);
    assert_eq!(of(&x)[1], 1440..1920);
    let scores = roenneberg(&x, Epoch::MINUTE, RoennebergRules::default());
    assert_eq!((scores[1605], scores[1919], scores[1920]), (Some(Sleep), Some(Sleep), Some(Wake)));
    assert!(of(&[]).is_empty() && of(&vec![None; 2000]).is_empty());
}

#[test]
fn roenneberg_scores_no_missing_epoch_and_none_without_half_a_day_around_it() {
    let mut x = nights(3);
    x[1500..1505].fill(None);
    let scores = roenneberg(&x, Epoch::MINUTE, RoennebergRules::default());
    assert_eq!(text(&scores[1498..1507]), "ss?????ss", "the night goes on after a gap");
    // Only 11 hours and 59 minutes, then 12 hours.
    for (length, is_scored) in [(719, false), (720, true)] {
        let short = roenneberg(&nights(1)[..length], Epoch::MINUTE, RoennebergRules::default());
        assert_eq!(short.iter().all(Option::is_some), is_scored);
        assert_eq!(short.iter().any(Option::is_some), is_scored);
    }
}

#[test]
fn crespo_finds_the_nights() {
    for definition in [CrespoDefinition::Published, CrespoDefinition::PyActigraphy] {
        // Seven hours and a half of sleep with some counts, because the quantile needs less rest than it is of.
        let count = |index: usize| match index % 1440 {
            0..450 => {
                if index.is_multiple_of(13) {
                    20.0
                } else {
                    0.0
                }
            }
            minute => 100.0 + (index * 37 % 101) as f64 + 50.0 * (minute as f64 / 200.0).sin(),
        };
        let x: Vec<Option<f64>> = (0..7 * 1440).map(|index| Some(count(index))).collect();
        let found = crespo(&x, Epoch::MINUTE, definition);
        let at = |day: usize, minute: usize| found[day * 1440 + minute];
        for day in 1..6 {
            assert_eq!((at(day, 60), at(day, 400)), (Some(RestActivity::Rest), Some(RestActivity::Rest)));
            assert_eq!(
                (at(day, 600), at(day, 1300)),
                (Some(RestActivity::Active), Some(RestActivity::Active))
            );
        }
        let rest = found.iter().filter(|told| **told == Some(RestActivity::Rest)).count();
        assert!((6 * 450 - 200..7 * 480 + 200).contains(&rest), "{definition:?}: {rest} minutes of rest");
        // A missing epoch is neither, and the others stay as they are.
        let mut gap = x.clone();
        gap[2000..2010].fill(None);
        let with_gap = crespo(&gap, Epoch::MINUTE, definition);
        assert_eq!(with_gap[2000..2010], [None; 10]);
        assert_eq!((with_gap[1999], with_gap[2011]), (found[1999], found[2011]));
        assert_eq!(crespo(&zeros(9, &[]), Epoch::MINUTE, definition), [None; 9]);
        assert!(crespo(&[], Epoch::MINUTE, definition).is_empty());
        for length in [1, 2, 61, 500] {
            assert_eq!(crespo(&x[..length], Epoch::MINUTE, definition).len(), length);
        }
    }
}

/// Every scorer that looks at a window of fixed length, with how far it looks back and ahead.
fn windowed(x: &[Option<f64>]) -> Vec<(Vec<Option<SleepWake>>, usize, usize)> {
    vec![
        (cole_kripke(x, CountScale::UNIT), 4, 2),
        (sadeh(x, SadehDefinition::Published), 5, 5),
        (sadeh(x, SadehDefinition::PyActigraphy), 5, 5),
        (scripps(x), 10, 2),
        (oakley(x, OakleyEpoch::Seconds60, OakleyThreshold::Medium), 2, 2),
        (oakley(x, OakleyEpoch::Seconds30, OakleyThreshold::Medium), 4, 4),
    ]
}

proptest! {
    #[test]
    fn an_epoch_is_scored_exactly_where_its_window_is_known(
        x in prop::collection::vec(prop::option::weighted(0.95, 0..300_u16), 1..80),
    ) {
        let x: Vec<Option<f64>> = x.into_iter().map(|x| x.map(f64::from)).collect();
        for (scores, before, after) in windowed(&x) {
            prop_assert_eq!(scores.len(), x.len());
            for (index, score) in scores.iter().enumerate() {
                let is_known = index >= before
                    && x.get(index - before..=index + after).is_some_and(|window| window.iter().all(Option::is_some));
                prop_assert_eq!(score.is_some(), is_known, "epoch {}", index);
            }
        }
    }

    #[test]
    fn what_is_scored_despite_a_gap_is_scored_as_without_it(
        x in prop::collection::vec(0..300_u16, 20..80), gap in 0..80_usize, strange in 0..3_usize,
    ) {
        let whole: Vec<Option<f64>> = x.into_iter().map(|x| Some(f64::from(x))).collect();
        let mut gapped = whole.clone();
        if let Some(count) = gapped.get_mut(gap) {
            *count = [None, Some(f64::NAN), Some(-1.0)][strange];
        }
        for ((scores, ..), (gapped, ..)) in windowed(&whole).into_iter().zip(windowed(&gapped)) {
            prop_assert!(scores.iter().zip(&gapped).all(|(score, gapped)| gapped.is_none() || gapped == score));
        }
    }

    #[test]
    fn webster_only_ever_turns_sleep_into_wake(letters in "[sw?]{0,120}", ) {
        let before = scores(&letters);
        for (before, after) in before.iter().zip(webster(&before)) {
            prop_assert!(*before == after || (*before, after) == (Some(Sleep), Some(Wake)));
        }
    }

    #[test]
    fn more_activity_never_makes_cole_kripke_or_scripps_sleep(
        x in prop::collection::vec(0..30_u16, 20..60), at in 0..60_usize, more in 1..200_u16,
    ) {
        let x: Vec<Option<f64>> = x.into_iter().map(|x| Some(f64::from(x))).collect();
        let mut active = x.clone();
        if let Some(count) = active.get_mut(at) {
            *count = count.map(|count| count + f64::from(more));
        }
        let scorers: [Scorer; 3] = [
            |x| cole_kripke(x, CountScale::UNIT),
            scripps,
            |x| oakley(x, OakleyEpoch::Seconds60, OakleyThreshold::Medium),
        ];
        for scorer in scorers {
            prop_assert!(scorer(&x).iter().zip(scorer(&active)).all(|(a, b)| !(*a == Some(Wake) && b == Some(Sleep))));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_missing_epoch_is_never_scored_by_those_that_look_far(
        gaps in prop::collection::vec((0..2880_usize, 1..200_usize), 0..6), scale in 1..50_u8,
    ) {
        let mut x = nights(2);
        for (start, length) in gaps {
            x[start..(start + length).min(2880)].fill(None);
        }
        let scores = roenneberg(&x, Epoch::MINUTE, RoennebergRules::default());
        prop_assert!(scores.iter().zip(&x).all(|(score, x)| score.is_none() || x.is_some()));
        let rest = crespo(&x, Epoch::MINUTE, CrespoDefinition::Published);
        prop_assert!(rest.iter().zip(&x).all(|(told, x)| told.is_some() == x.is_some()));
        // Neither depends on the unit of the counts, as long as none is below 1.
        let scaled: Vec<Option<f64>> = x.iter().map(|x| x.map(|x| x * f64::from(scale))).collect();
        prop_assert_eq!(roenneberg(&scaled, Epoch::MINUTE, RoennebergRules::default()), scores);
        prop_assert_eq!(crespo(&scaled, Epoch::MINUTE, CrespoDefinition::Published), rest);
    }
}
