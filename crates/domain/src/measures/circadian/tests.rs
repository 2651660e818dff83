use proptest::prelude::*;

use super::*;
use crate::time::ZoneName;

/// A series from local midnight whose minutes `value` gives by day and local minute of day.
fn series(zone: &TimeZone, days: usize, value: impl Fn(usize, usize) -> Option<f64>) -> MinuteSeries {
    let values =
        (0..days * MINUTES_PER_DAY).map(|minute| value(minute / MINUTES_PER_DAY, minute % MINUTES_PER_DAY));
    let start_ms = day_interval(Date::constant(2026, 6, 1), zone).start_ms();
    MinuteSeries { start_ms, values: values.collect(), sources: vec!["Watch".to_owned()] }
}

/// Asleep from 23 to 7, active from 7 to 23.
fn by_day(minute: usize) -> f64 {
    if (420..1380).contains(&minute) { 60.0 } else { 0.0 }
}

fn of(series: &MinuteSeries) -> Circadian {
    circadian(series, &TimeZone::UTC, CircadianRules::default())
}

fn berlin() -> TimeZone {
    ZoneName::new("Europe/Berlin").unwrap().rules()
}

#[test]
fn equal_days_are_wholly_stable() {
    let found = of(&series(&TimeZone::UTC, 3, |_, minute| Some(by_day(minute))));
    assert!((found.interdaily_stability.value().unwrap() - 1.0).abs() < 1e-12);
    // 72 bins, 48 of them active; 6 of the 71 steps change by one: 72 * 6 / (71 * 16).
    assert!((found.intradaily_variability.value().unwrap() - 72.0 * 6.0 / (71.0 * 16.0)).abs() < 1e-12);
    assert_eq!((found.l5.value(), found.m10.value()), (Some(0.0), Some(60.0)));
    assert_eq!((found.l5_onset.value(), found.m10_onset.value()), (Some(0.0), Some(420.0)));
    assert_eq!(found.relative_amplitude.value(), Some(1.0));
    assert_eq!((found.days.value(), found.days.coverage().of), (Some(3.0), CoverageOf::Days));
    assert_eq!(found.l5.coverage(), Coverage::minutes(4320, 4320));
    assert_eq!((found.l5.unit(), found.l5.sources()), ("{steps}/min", &["Watch".to_owned()][..]));
}

#[test]
fn hours_are_those_of_the_local_clock_also_when_it_changes() {
    // From Friday to Monday; in the night to Sunday 25 October 2026 the hour from 2 to 3 comes twice.
    let zone = berlin();
    let start_ms = day_interval(Date::constant(2026, 10, 23), &zone).start_ms();
    let local = |index: i64| zone.to_datetime(timestamp(start_ms + index * 60_000));
    let minute = |index| usize::try_from(local(index).hour()).unwrap() * 60;
    let values = (0..4 * 1440 + 60).map(|index| Some(by_day(minute(index)))).collect();
    let found =
        circadian(&MinuteSeries { start_ms, values, sources: Vec::new() }, &zone, CircadianRules::default());
    assert!((found.interdaily_stability.value().unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(found.m10_onset.value(), Some(420.0));
    assert_eq!(found.days.value(), Some(4.0));
}

#[test]
fn too_few_days_give_no_stability_and_the_number_is_configurable() {
    let two = series(&TimeZone::UTC, 2, |_, minute| Some(by_day(minute)));
    let found = of(&two);
    assert_eq!(found.interdaily_stability.value(), None);
    assert!(found.interdaily_stability.not_assessed().unwrap().contains("too few days"));
    assert!(found.intradaily_variability.value().is_some());
    let found = circadian(&two, &TimeZone::UTC, CircadianRules { days_min: 2 });
    assert!(found.interdaily_stability.value().is_some());
}

#[test]
fn a_day_observed_for_less_than_half_is_no_day() {
    let found =
        of(&series(&TimeZone::UTC, 3, |day, minute| (day < 2 || minute < 719).then(|| by_day(minute))));
    assert_eq!((found.days.value(), found.days.coverage().expected), (Some(2.0), 3));
    assert_eq!(found.interdaily_stability.value(), None);
}

#[test]
fn an_hour_observed_for_less_than_half_does_not_count() {
    // On one day half an hour of sleep looks like activity.
    let odd = |observed: usize| {
        of(&series(&TimeZone::UTC, 3, |day, minute| match (day, minute) {
            (1, 60..120) => (minute - 60 < observed).then_some(600.0),
            _ => Some(by_day(minute)),
        }))
    };
    assert!((odd(29).interdaily_stability.value().unwrap() - 1.0).abs() < 1e-12);
    assert!(odd(30).interdaily_stability.value().unwrap() < 0.9);
    // The step over a missing hour does not count either: 6 steps of 69 remain, and 71 hours.
    let variance = (48.0 / 71.0) * (23.0 / 71.0);
    assert!((odd(29).intradaily_variability.value().unwrap() - 6.0 / 69.0 / variance).abs() < 1e-12);
}

#[test]
fn nights_without_the_watch_leave_the_least_active_hours_unknown() {
    let found = of(&series(&TimeZone::UTC, 5, |_, minute| (420..1380).contains(&minute).then_some(60.0)));
    for measure in [&found.l5, &found.l5_onset, &found.m10, &found.m10_onset, &found.relative_amplitude] {
        assert_eq!(measure.value(), None);
        assert_eq!(measure.coverage(), Coverage::minutes(4800, 7200));
    }
    assert_eq!(found.interdaily_stability.not_assessed(), Some("an hour of the day was never observed"));
}

#[test]
fn an_hour_a_day_on_the_charger_leaves_the_mean_day_known() {
    let found =
        of(&series(&TimeZone::UTC, 5, |_, minute| (!(1200..1260).contains(&minute)).then(|| by_day(minute))));
    assert_eq!((found.l5.value(), found.m10.value()), (Some(0.0), Some(60.0)));
    assert_eq!(found.interdaily_stability.value(), None);
}

#[test]
fn without_data_or_movement_nothing_is_assessed() {
    for silence in [None, Some(0.0)] {
        let found = of(&series(&TimeZone::UTC, 4, |_, _| silence));
        for measure in [&found.interdaily_stability, &found.intradaily_variability, &found.relative_amplitude]
        {
            assert_eq!(measure.value(), None);
            assert!(measure.not_assessed().is_some());
        }
    }
    let nothing = of(&MinuteSeries { start_ms: 0, values: Vec::new(), sources: Vec::new() });
    assert_eq!((nothing.l5.value(), nothing.days.value()), (None, Some(0.0)));
}

#[test]
fn the_formulas_hold_by_hand() {
    // Two days of two bins: means of the hours 2 and 4, grand mean 3.
    assert_eq!(interdaily_stability(&[1.0, 5.0, 3.0, 3.0], 2), Some(0.5));
    // Steps 4, -2, 0: 4 * 20 / (3 * 8).
    assert!((intradaily_variability(&[1.0, 5.0, 3.0, 3.0]).unwrap() - 80.0 / 24.0).abs() < 1e-12);
    let day = [5.0, 1.0, 9.0, 9.0, 2.0];
    let least = least_active(&day, 2).unwrap();
    assert_eq!((least.onset, least.mean), (0, 3.0));
    let circular = least_active(&[0.0, 7.0, 7.0, 0.0], 2).unwrap();
    assert_eq!((circular.onset, circular.mean), (3, 0.0), "the day is circular");
    let most = most_active(&day, 2).unwrap();
    assert_eq!((most.onset, most.mean), (2, 9.0));
    assert_eq!(relative_amplitude(1.0, 3.0), Some(0.5));
}

#[test]
fn what_has_no_result_is_none() {
    assert_eq!(interdaily_stability(&[], 24), None);
    assert_eq!(interdaily_stability(&[1.0; 23], 24), None);
    assert_eq!(interdaily_stability(&[1.0; 48], 24), None);
    // The mean of so many tenths is not a tenth.
    assert_eq!((interdaily_stability(&[0.1; 480], 24), intradaily_variability(&[0.1; 480])), (None, None));
    assert_eq!(interdaily_stability(&[1.0, 2.0], 0), None);
    assert_eq!(intradaily_variability(&[]), None);
    assert_eq!(intradaily_variability(&[1.0]), None);
    assert_eq!(intradaily_variability(&[1.0; 9]), None);
    assert!(least_active(&[1.0], 2).is_none() && most_active(&[1.0], 0).is_none());
    assert_eq!(relative_amplitude(0.0, 0.0), None);
}

proptest! {
    #[test]
    fn measures_stay_in_their_ranges(x in prop::collection::vec(0..2000_u16, 48..200), scale in 1..50_u8) {
        let x: Vec<f64> = x.into_iter().map(f64::from).collect();
        if let Some(is) = interdaily_stability(&x, 24) {
            prop_assert!((0.0..=1.0 + 1e-12).contains(&is));
            prop_assert!(intradaily_variability(&x).unwrap() >= 0.0);
            // None of them depends on the unit of the counts.
            let scaled: Vec<f64> = x.iter().map(|value| value * f64::from(scale)).collect();
            prop_assert!((interdaily_stability(&scaled, 24).unwrap() - is).abs() < 1e-9);
        }
        let (l5, m10) = (least_active(&x[..24], 5).unwrap(), most_active(&x[..24], 10).unwrap());
        let mean = x[..24].iter().sum::<f64>() / 24.0;
        prop_assert!(l5.mean <= mean + 1e-9 && mean <= m10.mean + 1e-9);
        if let Some(ra) = relative_amplitude(l5.mean, m10.mean) {
            prop_assert!((0.0..=1.0).contains(&ra));
        }
    }

    #[test]
    fn turning_the_day_turns_the_onset(x in prop::collection::vec(0..2000_u16, 24), turn in 0..24_usize) {
        // A dent of five bins that no other window can reach.
        let mut x: Vec<f64> = x.into_iter().map(|value| f64::from(value) + 1.0).collect();
        x[9..14].fill(0.0);
        x.rotate_right(turn);
        let least = least_active(&x, 5).unwrap();
        prop_assert_eq!((least.onset, least.mean), ((9 + turn) % 24, 0.0));
    }
}
