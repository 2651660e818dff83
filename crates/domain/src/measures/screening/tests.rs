use super::*;

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
    assert_eq!(with(|rule| rule.threshold = f64::NAN), impossible);
    assert!(matches!(with(|rule| rule.citation = " ".to_owned()), Err(InvalidRules::Unnamed(_))));
    assert!(matches!(Rules::new(vec![short_sleep(), short_sleep()]), Err(InvalidRules::Repeated(_))));
    // The same holds for what is read from a configuration.
    let mut json = serde_json::to_value(rules()).unwrap();
    json[0]["nights_met"] = 0.into();
    assert!(serde_json::from_value::<Rules>(json).is_err());
    assert!(serde_json::from_str::<Rules>(r#"[{"id": "a"}]"#).is_err());
    let text = serde_json::to_string(&rules()).unwrap();
    assert!(serde_json::from_str::<Rules>(&text).unwrap() == rules());
}
