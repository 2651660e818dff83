use proptest::prelude::*;

use super::*;

fn fact(label: &str, value: f64, decimals: u8, unit: &str) -> Fact {
    Fact {
        name: "test.fact".into(),
        label: label.into(),
        value,
        unit: unit.into(),
        decimals,
        method: "Cole-Kripke 1992".into(),
        coverage: "13 of 14 nights".into(),
    }
}

fn facts() -> InsightFacts {
    InsightFacts {
        facts: vec![
            fact("mean total sleep time", 7.234, 1, "h"),
            fact("steps a day", 12_345.6, 0, "{steps}"),
            fact("relative amplitude", 0.8571, 2, ""),
            fact("sleep efficiency", 91.0, 0, "%"),
            fact("change of wrist temperature", -0.42, 1, "Cel"),
            fact("activity of the most active 10 hours (M10)", 310.0, 0, "1/min"),
        ],
        not_assessed: vec!["social jet lag: needs 2 free days, 1 was recorded".into()],
        language: "en".into(),
        include_recommendations: true,
    }
}

fn says(text: &str) -> Result<(), Ungrounded> {
    let narrative = Narrative {
        narrative: text.into(),
        key_insights: vec![],
        recommendations: vec![],
        provider: "test".into(),
        model: None,
        method: "test".into(),
        usage: None,
    };
    check(&narrative, &facts())
}

#[test]
fn figures_as_given_are_grounded() {
    for text in [
        "You slept 7.2 hours, 7.234 to be exact.",
        "You took 12,346 steps (12346).",
        "The amplitude was 0.86, or 86 %.",
        "Efficiency was 91% or 91 percent, or from 91 to 91 %.",
        "Temperature changed by -0.4 or \u{2212}0.42.",
        "That is 7:14 hours.",
        "Over 13 of 14 nights.",
        "Social jet lag needs two free days.",
        "Sleep by Cole-Kripke 1992 and M10.",
        "The activity of the most active 10 hours (M10) was 310 1/min.",
        "",
    ] {
        assert_eq!(says(text), Ok(()), "{text}");
    }
}

#[test]
fn figures_that_were_not_given_are_ungrounded() {
    for text in [
        "You slept 7.3 hours.",
        "You slept 7 hours.",
        "You slept 7.20 hours.",
        "You slept 72 hours.",
        "You slept seven hours.",
        "You slept half an hour less.",
        "You took 12,345 steps.",
        "You took 12k steps.",
        "You took 12.346 steps.",
        "The amplitude was 87 %.",
        "The amplitude was 86.",
        "You slept for 7.2 % of the day.",
        "Temperature changed by 0.4.",
        "Steps fell by -12346.",
        "You went to bed at 23:30.",
        "You went to bed at 7:14 pm.",
        "On 2026-03-01 you slept well.",
        "The most active 10 hours.",
        "In 1992 you slept well.",
        "Sleep by Cole-Kripke 1992.5.",
        "L5 was low.",
        "1. Sleep more, 3. walk.",
        "Between 7.2 and 8 hours.",
        "You slept ٧ hours.",
    ] {
        assert_eq!(says(text), Err(Ungrounded { section: Section::Narrative }), "{text}");
    }
}

#[test]
fn the_error_says_where_and_never_what() {
    let narrative = Narrative {
        narrative: "You slept 7.2 hours.".into(),
        key_insights: vec!["Fine.".into(), "66.5 h".into()],
        recommendations: vec![],
        provider: "test".into(),
        model: None,
        method: "test".into(),
        usage: None,
    };
    let error = check(&narrative, &facts()).unwrap_err();
    assert_eq!(error, Ungrounded { section: Section::KeyInsights });
    assert_eq!(error.to_string(), "a number in the key insights is not among the facts");
    assert!(!format!("{error:?}").contains("66"));
}

#[test]
fn a_value_that_rounds_to_nothing_is_said_without_a_sign() {
    assert_eq!(spoken(&fact("x", -0.04, 1, "h")).as_deref(), Some("0.0"));
    assert_eq!(spoken(&fact("x", -0.06, 1, "h")).as_deref(), Some("-0.1"));
    assert_eq!(spoken(&fact("x", f64::NAN, 1, "h")), None);
}

proptest! {
    #[test]
    fn any_text_can_be_checked_and_only_grounded_digits_pass(text in "\\PC{0,40}", digits in "[0-9]{1,3}") {
        let is_grounded = says(&format!("{text} {digits} x")).is_ok();
        if is_grounded {
            prop_assert!(["91", "310", "13", "14", "2", "1"].contains(&digits.trim_start_matches('0')));
        }
    }

    #[test]
    fn a_text_without_numbers_is_grounded(text in "[a-df-gj-mp-rB-D ,.;:!?()-]{0,80}") {
        prop_assert_eq!(says(&text), Ok(()));
    }
}
