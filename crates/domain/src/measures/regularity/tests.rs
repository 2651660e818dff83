use super::*;
use crate::measures::epoch::Epoch;
use SleepWake::{Sleep, Wake};

const HOURS: Layout = Layout {
    epoch: match Epoch::seconds(3600) {
        Ok(epoch) => epoch,
        Err(_) => panic!("an hour is an epoch"),
    },
    first_of_day: 0,
};

/// Days of 24 hours, asleep from `from` for `hours`.
fn days(sleep: &[(usize, usize)]) -> Vec<Option<SleepWake>> {
    let mut scores = vec![Some(Wake); 24 * sleep.len()];
    for (day, (from, hours)) in sleep.iter().enumerate() {
        for hour in *from..from + hours {
            scores[(24 * day + hour).min(24 * sleep.len() - 1)] = Some(Sleep);
        }
    }
    scores
}

fn index(scores: &[Option<SleepWake>]) -> f64 {
    sleep_regularity(scores, 24).unwrap().index
}

#[test]
fn equal_days_are_wholly_regular_and_opposite_ones_wholly_irregular() {
    assert!((index(&days(&[(1, 7), (1, 7), (1, 7)])) - 100.0).abs() < 1e-12);
    let alternate: Vec<_> = (0..96).map(|hour| Some(SleepWake::asleep_if(hour / 24 % 2 == 0))).collect();
    assert!((index(&alternate) + 100.0).abs() < 1e-12);
    // An hour later: 2 of 24 hours differ.
    assert!((index(&days(&[(1, 7), (2, 7)])) - (100.0 - 200.0 * 2.0 / 24.0)).abs() < 1e-12);
}

#[test]
fn pairs_with_a_missing_epoch_take_no_part() {
    let mut scores = days(&[(1, 7), (2, 7)]);
    scores[1] = None;
    let found = sleep_regularity(&scores, 24).unwrap();
    assert_eq!((found.observed, found.expected), (23, 24));
    assert!((found.index - (100.0 - 200.0 / 23.0)).abs() < 1e-12);
    assert!(sleep_regularity(&days(&[(1, 7)]), 24).is_none());
    assert!(sleep_regularity(&[None; 48], 24).is_none());
    assert!(sleep_regularity(&days(&[(1, 7)]), 0).is_none());
}

#[test]
fn the_midpoint_is_circular() {
    // Asleep at 23, 0 and 1 o'clock.
    let mut scores = vec![Some(Wake); 24];
    for hour in [23, 0, 1] {
        scores[hour] = Some(Sleep);
    }
    let found = sleep_midpoint(&scores, HOURS).unwrap();
    assert!(found.min(1440.0 - found) < 1e-9, "{found}");
    // The same hours of a series that begins at 20 o'clock lie 20 hours later.
    let later = sleep_midpoint(&scores, Layout { first_of_day: 20, ..HOURS }).unwrap();
    assert!((later - 1200.0).abs() < 1e-9);
    assert_eq!(sleep_midpoint(&[Some(Wake), None], HOURS), None);
    assert_eq!(sleep_midpoint(&[Some(Sleep); 24], HOURS), None, "all hours cancel out");
}

fn night(onset_minute: f64, duration_minutes: f64, is_free: bool) -> TimedNight {
    TimedNight { onset_minute, duration_minutes, is_free }
}

#[test]
fn social_jet_lag_by_hand() {
    // Work: 23:00 to 6:00, mid-sleep 2:30. Free: 0:30 to 9:30, mid-sleep 5:00.
    let nights = [[night(1380.0, 420.0, false); 5].as_slice(), &[night(30.0, 540.0, true); 2]].concat();
    let found = social_jet_lag(&nights, JetLagRules::default()).unwrap();
    assert!((found.mid_sleep_work_minute - 150.0).abs() < 1e-9);
    assert!((found.mid_sleep_free_minute - 300.0).abs() < 1e-9);
    assert!((found.social_jet_lag_minutes - 150.0).abs() < 1e-9);
    // SDweek = (5 · 420 + 2 · 540) / 7 = 454.29; half of 540 - 454.29 is 42.86.
    assert!((found.mid_sleep_free_corrected_minute - (300.0 - (540.0 - 3180.0 / 7.0) / 2.0)).abs() < 1e-9);
    assert_eq!((found.work_nights, found.free_nights), (5, 2));
}

#[test]
fn free_days_without_oversleep_are_not_corrected() {
    let nights = [[night(1380.0, 480.0, false); 3].as_slice(), &[night(1350.0, 420.0, true); 2]].concat();
    let found = social_jet_lag(&nights, JetLagRules::default()).unwrap();
    assert!((found.mid_sleep_free_corrected_minute - found.mid_sleep_free_minute).abs() < 1e-12);
    assert!((found.social_jet_lag_minutes + 60.0).abs() < 1e-9, "earlier on free days is negative");
}

#[test]
fn too_few_nights_of_a_kind_are_not_assessed() {
    let nights = [[night(1380.0, 420.0, false); 5].as_slice(), &[night(30.0, 540.0, true)]].concat();
    assert!(social_jet_lag(&nights, JetLagRules::default()).is_none());
    let lenient = JetLagRules { free_nights_min: 1, ..JetLagRules::default() };
    assert!(social_jet_lag(&nights, lenient).is_some());
    let never_free = JetLagRules { work_days_per_week: 7, ..lenient };
    assert!(social_jet_lag(&nights, never_free).is_none());
}
