use jiff::{ToSpan, civil::Date, tz::TimeZone};

use super::{inputs::known, *};
use crate::{
    calendar::Calendar,
    measures::{
        daily::{Daily, daily},
        fixtures::watch,
        merge::SourcePriority,
    },
    metric::Metric,
    sample::Value,
    sleep::{Night, SleepRules, nights},
    time::{Interval, MINUTE_MS, day_interval},
};

fn rules() -> Rules {
    serde_json::from_str(include_str!("../../../tests/data/screening-rules.json")).unwrap()
}

fn short_sleep() -> Rule {
    rules().as_slice()[0].clone()
}

/// What the rule of short sleep says of nights of so many minutes.
fn of(nights: &[Option<f64>]) -> Finding {
    let nights = Nights { unit: "min".to_owned(), values: nights.to_vec() };
    let only = Rules::new(vec![short_sleep()]).unwrap();
    screen(&only, &BTreeMap::from([("total_sleep_time".to_owned(), nights)])).remove(0)
}

#[test]
fn no_rule_is_on_by_default() {
    assert!(Rules::default().is_empty());
    let nights = Nights { unit: "min".to_owned(), values: vec![Some(0.0); 7] };
    assert!(screen(&Rules::default(), &BTreeMap::from([("total_sleep_time".to_owned(), nights)])).is_empty());
}

#[test]
fn a_rule_is_met_where_enough_nights_meet_it() {
    let (short, usual) = (Some(180.0), Some(420.0));
    let found = of(&[short, short, usual, short, short]);
    assert_eq!((found.is_met, found.not_assessed.as_deref()), (Some(true), None));
    assert_eq!(found.coverage, Coverage { observed: 5, expected: 7, of: CoverageOf::Nights });
    assert_eq!(found.inputs, [short, short, usual, short, short]);
    assert_eq!((found.statement.as_str(), found.rule == short_sleep()), ("screening, not a diagnosis", true));
    assert_eq!(of(&[short, short, usual, usual, short]).is_met, Some(false));
    // Only the latest seven nights count.
    assert_eq!(of(&[short, short, short, short, usual, usual, usual, usual]).is_met, Some(false));
    assert_eq!(of(&[short, short, short, short, usual, usual, usual, usual]).inputs.len(), 7);
}

#[test]
fn missing_nights_are_not_short_ones() {
    let found = of(&[None, None, None, None, None, None, None]);
    assert_eq!((found.is_met, found.coverage.observed), (None, 0));
    assert_eq!(found.not_assessed.as_deref(), Some("0 of the 5 nights needed have a value"));
    // Four short nights would do, but five are needed to say so, or to say the contrary.
    assert_eq!(of(&[Some(100.0), Some(100.0), None, Some(100.0), None, None, Some(100.0)]).is_met, None);
    assert_eq!(of(&[Some(420.0), None, Some(420.0), f64::NAN.into(), None, Some(420.0), None]).is_met, None);
    assert_eq!(of(&[]).is_met, None);
}

#[test]
fn a_measure_that_is_unknown_or_in_another_unit_is_not_assessed() {
    let found = screen(&rules(), &BTreeMap::new());
    assert!(found.len() == 2 && found.iter().all(|finding| finding.is_met.is_none()));
    assert_eq!(found[1].not_assessed.as_deref(), Some("the measure is not known"));
    assert_eq!(alert(&found, Screen::Mania), Err("too few nights have the values that a rule needs"));
    let hours = Nights { unit: "h".to_owned(), values: vec![Some(3.0); 7] };
    let found = screen(&rules(), &BTreeMap::from([("total_sleep_time".to_owned(), hours)]));
    assert_eq!(found[0].not_assessed.as_deref(), Some("the measure is in another unit"));
}

#[test]
fn comparisons_are_what_they_are_called() {
    use Comparison::{Above, AtLeast, AtMost, Below};
    let holds = |comparison: Comparison| [1.0, 2.0, 3.0].map(|value| comparison.holds(value, 2.0));
    assert_eq!(holds(Below), [true, false, false]);
    assert_eq!(holds(AtMost), [true, true, false]);
    assert_eq!(holds(Above), [false, false, true]);
    assert_eq!(holds(AtLeast), [false, true, true]);
}

#[test]
fn rules_that_cannot_hold_are_refused() {
    let with = |change: fn(&mut Rule)| {
        let mut rule = short_sleep();
        change(&mut rule);
        Rules::new(vec![rule])
    };
    let impossible = Err(InvalidRules::Impossible("mania_decreased_need_for_sleep".to_owned()));
    assert_eq!(with(|rule| rule.nights_met = 0), impossible);
    assert_eq!(with(|rule| rule.nights_met = 6), impossible);
    assert_eq!(with(|rule| rule.nights_needed = 8), impossible);
    assert_eq!(with(|rule| rule.nights = 91), impossible);
    assert_eq!(with(|rule| rule.threshold = f64::NAN), impossible);
    assert!(matches!(with(|rule| rule.citation = " ".to_owned()), Err(InvalidRules::Unnamed(_))));
    assert!(matches!(Rules::new(vec![short_sleep(), short_sleep()]), Err(InvalidRules::Repeated(_))));
    // The same holds for what is read from a configuration.
    let mut json = serde_json::to_value(rules()).unwrap();
    json[0]["nights_met"] = 0.into();
    assert!(serde_json::from_value::<Rules>(json).is_err());
    let mut json = serde_json::to_value(rules()).unwrap();
    json[0]["alert"] = "none".into();
    assert!(serde_json::from_value::<Rules>(json).is_err());
    assert!(serde_json::from_str::<Rules>(r#"[{"id": "a"}]"#).is_err());
    let text = serde_json::to_string(&rules()).unwrap();
    assert!(serde_json::from_str::<Rules>(&text).unwrap() == rules());
}

#[test]
fn the_loudest_rule_that_is_met_alerts_and_none_does_only_where_all_were_assessed() {
    let rule = |id: &str, alert, nights_met| Rule { id: id.to_owned(), alert, nights_met, ..short_sleep() };
    let rules =
        Rules::new(vec![rule("a", Alert::Low, 1), rule("b", Alert::High, 4), rule("c", Alert::Moderate, 2)]);
    let of = |nights: &[f64]| {
        let values = nights.iter().copied().map(Some).collect();
        let nights = Nights { unit: "min".to_owned(), values };
        let measures = BTreeMap::from([("total_sleep_time".to_owned(), nights)]);
        alert(&screen(rules.as_ref().unwrap(), &measures), Screen::Mania)
    };
    assert_eq!(of(&[420.0; 5]), Ok(Alert::None));
    assert_eq!(of(&[420.0, 420.0, 420.0, 420.0, 100.0]), Ok(Alert::Low));
    assert_eq!(of(&[420.0, 420.0, 420.0, 100.0, 100.0]), Ok(Alert::Moderate));
    assert_eq!(of(&[100.0; 5]), Ok(Alert::High));
    assert_eq!(of(&[100.0; 4]), Err("too few nights have the values that a rule needs"));
    assert_eq!(alert(&[], Screen::Mania), Err("screening is off: no rule is configured"));
    assert_eq!(alert(&[of_mood()], Screen::Mania), Err("screening is off: no rule is configured"));
}

fn of_mood() -> Finding {
    screen(&rules(), &BTreeMap::new()).remove(1)
}

/// A night asleep from midnight UTC to `minutes` later, and a day with its resting heart rate.
fn lived(date: Date, minutes: i64, resting: f64) -> (Vec<Night>, Daily) {
    let midnight_ms = day_interval(date, &TimeZone::UTC).start_ms();
    let interval = |to: i64| Interval::new(midnight_ms, midnight_ms + to * MINUTE_MS).unwrap();
    let samples = [
        watch().reading(Metric::SLEEP_ANALYSIS, interval(minutes), Value::Category(3)),
        watch().reading(Metric::RESTING_HEART_RATE, interval(0), Value::Quantity(resting)),
    ];
    let local = Calendar::new(&samples).day(date).unwrap();
    (nights(&samples[..1], &SleepRules::default()), daily(&local, &samples, &SourcePriority::default()))
}

#[test]
fn inputs_are_one_value_a_date_and_none_for_a_night_that_was_missed() {
    let last = Date::constant(2026, 3, 31);
    let rule = |input: &str, nights| Rule {
        id: input.to_owned(),
        input: input.to_owned(),
        unit: unit_of(input).unwrap().to_owned(),
        nights,
        nights_needed: 1,
        nights_met: 1,
        ..short_sleep()
    };
    let rules = Rules::new(vec![
        rule("total_sleep_time", 3),
        Rule { id: "more".to_owned(), ..rule("total_sleep_time", 5) },
        rule("resting_heart_rate_z", 2),
    ])
    .unwrap();
    assert_eq!(nights_of(&rules), 30);
    // 31 days; the night that ends on the 30th was missed, and each other rest is at 50 or 52 but for the last at 60.
    let (mut slept, mut days) = (Vec::new(), Vec::new());
    for back in (0..31).rev() {
        let date = last.checked_sub(back.days()).unwrap();
        let resting = if back == 0 { 60.0 } else { 50.0 + 2.0 * (back % 2) as f64 };
        let (night, day) = lived(date, 400 + back, resting);
        if back != 1 {
            slept.extend(night);
        }
        days.push(day);
    }
    let found = inputs(&rules, last, &slept, &days);
    assert_eq!(found["total_sleep_time"].values, [Some(404.0), Some(403.0), Some(402.0), None, Some(400.0)]);
    assert_eq!(found["total_sleep_time"].unit, "min");
    // The 28 days before the last have 50 and 52 as often: median 51, MAD 1.
    let z = &found["resting_heart_rate_z"];
    assert_eq!((z.values.len(), z.unit.as_str()), (2, "1"));
    assert!((z.values[1].unwrap() - 9.0 / 1.4826).abs() < 1e-9);
    // With every other day missing, there are too few to compare with.
    let thin: Vec<Daily> = days.into_iter().rev().step_by(3).collect();
    assert_eq!(inputs(&rules, last, &slept, &thin)["resting_heart_rate_z"].values, [None, None]);
}

#[test]
fn inputs_are_in_the_units_of_the_measures() {
    let (nights, day) = lived(Date::constant(2026, 3, 1), 400, 50.0);
    let (night, day) = (serde_json::to_value(&nights[0]).unwrap(), serde_json::to_value(day).unwrap());
    for (name, unit) in known() {
        let measure = if night[name].is_null() { &day[name] } else { &night[name] };
        assert_eq!(measure["unit"], unit, "{name}");
        assert_eq!((unit_of(name), unit_of(&format!("{name}_z"))), (Some(unit), Some("1")));
    }
    assert_eq!((unit_of("midpoint"), unit_of("mood_z"), unit_of("_z")), (None, None, None));
}
