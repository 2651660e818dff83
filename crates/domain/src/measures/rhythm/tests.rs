use proptest::prelude::*;

use super::*;

const HOUR: Epoch = match Epoch::seconds(3600) {
    Ok(epoch) => epoch,
    Err(_) => panic!("an hour is an epoch"),
};
const HOURS: Layout = Layout { epoch: HOUR, first_of_day: 0 };

/// Awake from 7:00 to 23:00.
fn is_day(minute: usize) -> bool {
    (420..1380).contains(&(minute % 1440))
}

fn minutes(days: usize, value: impl Fn(usize) -> Option<f64>) -> Vec<Option<f64>> {
    (0..days * 1440).map(value).collect()
}

#[test]
fn the_mean_day_takes_what_was_observed() {
    let mut x: Vec<Option<f64>> = vec![Some(1.0); 48];
    x[24] = Some(5.0);
    (x[1], x[25]) = (None, None);
    (x[2], x[26]) = (Some(7.0), None);
    let day = mean_day(&x, HOURS);
    assert_eq!(day[..4], [Some(3.0), None, Some(7.0), Some(1.0)]);
    let later = mean_day(&x, Layout { first_of_day: 22, ..HOURS });
    assert_eq!((later[22], later[23], later[0]), (Some(3.0), None, Some(7.0)));
}

#[test]
fn the_contrast_by_hand_and_without_nights() {
    let x = minutes(2, |minute| Some(if is_day(minute) { 60.0 } else { 20.0 }));
    let found = contrast(&x, Layout::MINUTES).unwrap();
    assert_eq!((found.l5, found.m10, found.relative_amplitude), (20.0, 60.0, 0.5));
    let no_nights = minutes(5, |minute| is_day(minute).then_some(60.0));
    assert!(contrast(&no_nights, Layout::MINUTES).is_none());
    assert!(contrast(&minutes(2, |_| Some(0.0)), Layout::MINUTES).is_none());
    let periods = contrast_by_period(&[x, no_nights].concat()[..4 * 1440 + 7], Layout::MINUTES, 2);
    assert_eq!(periods.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn stability_by_period_needs_whole_periods_of_two_days_or_more() {
    let equal = minutes(4, |minute| Some(f64::from(u8::from(is_day(minute)))));
    let of = |x: &[Option<f64>], days| interdaily_stability_by_period(x, Epoch::MINUTE, 60, days);
    let found = of(&equal, 2);
    assert!(found.len() == 2 && found.iter().all(|value| (value.unwrap() - 1.0).abs() < 1e-12));
    let mut gap = equal.clone();
    gap[3000] = None;
    assert_eq!(of(&gap, 2)[1], None);
    assert_eq!(of(&equal, 1), [None; 4]);
    assert_eq!(of(&equal, 3).len(), 1, "what is left is left out");
    assert!(of(&equal, 0).iter().all(Option::is_none));
    assert_eq!(
        interdaily_stability_by_period(&equal, Epoch::MINUTE, 7, 2),
        [None; 2],
        "7 minutes are no part of a day"
    );
}

#[test]
fn the_daily_total_scales_days_that_were_observed_in_part() {
    // 24 on the first day; on the second 6 of 8 observed hours, which is 18 of 24.
    let mut x = vec![Some(1.0); 24];
    x.extend((0..24).map(|hour| (hour < 8).then_some(if hour < 6 { 1.0 } else { 0.0 })));
    assert_eq!(average_daily_total(&x, HOURS, 0.0), Some(21.0));
    assert_eq!(average_daily_total(&x, HOURS, 0.5), Some(24.0));
    assert_eq!(average_daily_total(&vec![None; 48], HOURS, 0.0), None);
    assert_eq!(average_daily_total(&[], HOURS, 0.0), None);
    // From 22 o'clock on: two hours, then a whole day.
    let evening = [vec![Some(0.0); 2], vec![Some(1.0); 24]].concat();
    assert_eq!(average_daily_total(&evening, Layout { first_of_day: 22, ..HOURS }, 0.0), Some(12.0));
}

#[test]
fn the_mean_day_turns_where_activity_begins_and_ends() {
    let x = minutes(3, |minute| Some(if is_day(minute) { 50.0 } else { 1.0 }));
    let found = turns(&x, Layout::MINUTES, DayEnds::Cut).unwrap();
    assert_eq!((found.onset_minute, found.offset_minute), (420, 1380));
    // Two hours later, sleep begins at 1:00; at midnight exactly, only a circular day shows it.
    let shifted = |by: usize| minutes(3, |minute| x[(minute + 1440 - by) % 1440]);
    let late = turns(&shifted(120), Layout::MINUTES, DayEnds::Cut).unwrap();
    assert_eq!((late.onset_minute, late.offset_minute), (540, 60));
    let midnight = turns(&shifted(60), Layout::MINUTES, DayEnds::Joined).unwrap();
    assert_eq!((midnight.onset_minute, midnight.offset_minute), (480, 0));
    assert!(turns(&minutes(2, |_| Some(0.0)), Layout::MINUTES, DayEnds::Cut).is_none());
    assert!(turns(&minutes(2, |_| None), Layout::MINUTES, DayEnds::Cut).is_none());
}

#[test]
fn widths_that_do_not_fit_the_epoch_have_no_result() {
    assert!(interdaily_stability_over_widths(&[Some(1.0); 48], HOUR).is_none());
    assert!(
        intradaily_variability_over_widths(&vec![Some(1.0); 2880], Epoch::MINUTE).is_none(),
        "nothing varies"
    );
}

#[test]
fn widths_bear_a_gap_but_not_a_time_of_day_that_nobody_saw() {
    let noisy = |minute: usize| f64::from(u8::from(is_day(minute))) * 50.0 + (minute * 31 % 17) as f64;
    let x = minutes(4, |minute| Some(noisy(minute)));
    let whole = interdaily_stability_over_widths(&x, Epoch::MINUTE).unwrap().mean;
    let mut gap = x.clone();
    gap[2000..2100].fill(None);
    let found = interdaily_stability_over_widths(&gap, Epoch::MINUTE).unwrap().mean;
    assert!((found - whole).abs() < 0.05 && (found - whole).abs() > 1e-9);
    assert!(intradaily_variability_over_widths(&gap, Epoch::MINUTE).is_some());
    let no_noon = minutes(4, |minute| (!(700..760).contains(&(minute % 1440))).then(|| noisy(minute)));
    assert!(interdaily_stability_over_widths(&no_noon, Epoch::MINUTE).is_none());
    assert!(intradaily_variability_over_widths(&no_noon, Epoch::MINUTE).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn stability_and_variability_depend_on_neither_unit_nor_level(
        day in prop::collection::vec(prop::option::weighted(0.999, 0..500_u16), 2880), scale in 1..40_u8, level in 0..900_u16,
    ) {
        let x: Vec<Option<f64>> = day.into_iter().map(|x| x.map(f64::from)).collect();
        let moved: Vec<Option<f64>> =
            x.iter().map(|x| x.map(|x| x * f64::from(scale) + f64::from(level))).collect();
        for of in [interdaily_stability_over_widths, intradaily_variability_over_widths] {
            let (one, other) = (of(&x, Epoch::MINUTE), of(&moved, Epoch::MINUTE));
            prop_assert_eq!(one.is_some(), other.is_some());
            if let Some((one, other)) = one.zip(other) {
                prop_assert!((one.mean - other.mean).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn relative_amplitude_depends_on_no_unit_and_lies_between_0_and_1(
        x in prop::collection::vec(prop::option::weighted(0.999, 0..500_u16), 1440), scale in 1..40_u8,
    ) {
        let x: Vec<Option<f64>> = x.into_iter().map(|x| x.map(f64::from)).collect();
        let scaled: Vec<Option<f64>> = x.iter().map(|x| x.map(|x| x * f64::from(scale))).collect();
        let (one, other) = (contrast(&x, Layout::MINUTES).unwrap(), contrast(&scaled, Layout::MINUTES).unwrap());
        prop_assert!((one.relative_amplitude - other.relative_amplitude).abs() < 1e-9);
        prop_assert!((0.0..=1.0).contains(&one.relative_amplitude));
    }
}
