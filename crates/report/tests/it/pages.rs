use domain::measures::{Basis, Coverage, Measure, scoring::SleepWake};
use proptest::prelude::*;
use report::{RenderError, ReportData, render};

use crate::{
    document::Element,
    person::{ASLEEP_MINUTES, Person, STEPS},
};

const MISSING: &str = "#D9D9D9";
const SLEEP: &str = "#A9C7E8";
const STAGES: [&str; 6] = ["#1E3A8A", "#60A5FA", "#A78BFA", "#94A3B8", "#F59E0B", "#CBD5E1"];
const BY_DAY: [&str; 3] =
    ["Activity of each day", "Each night, by the date of waking", "Heart, breath and oxygen of each day"];

fn page(person: &Person) -> (ReportData, String, Element) {
    let data = person.data();
    let page = render(&data).unwrap();
    let document = Element::parse(&page);
    (data, page, document)
}

#[test]
fn each_day_has_its_row_and_each_row_its_numbers() {
    let (data, _, document) = page(&Person::default());
    for caption in BY_DAY {
        assert_eq!(document.rows(caption).len(), 10, "{caption}");
    }
    assert_eq!(document.rows("The mean day by the hour").len(), 24);
    assert_eq!(document.rows("Circadian measures").len(), 8);
    assert_eq!(document.rows("Regularity and rhythm").len(), 16);
    let steps = document.rows("Activity of each day")[0].named("data")[0];
    assert_eq!((steps.attribute("value"), steps.text.as_str()), (Some("2400"), "2400"));
    assert!((data.days[0].daily.as_ref().unwrap().step_count.value().unwrap() - STEPS).abs() < 1e-9);
    let night = document.rows("Each night, by the date of waking")[1];
    let cells: Vec<&str> = night.children.iter().map(|cell| cell.text.as_str()).collect();
    assert_eq!(cells[..4], ["Tue 3 Mar", "23:00", "06:20", "none recorded"]);
    assert_eq!(night.named("data")[0].attribute("value"), Some(ASLEEP_MINUTES.to_string().as_str()));
    // Every measure is on the page: with all digits, or with the reason why there is none.
    let (assessed, without): (Vec<_>, Vec<_>) =
        data.measures().partition(|(_, measure)| measure.value().is_some());
    let shown = document.named("data");
    let of_hours: usize =
        document.rows("The mean day by the hour").iter().map(|row| row.named("data").len()).sum();
    assert_eq!(shown.len() - of_hours, assessed.len());
    for (name, measure) in assessed {
        let value = measure.value().unwrap();
        assert!(shown.iter().any(|data| data.number("value").to_bits() == value.to_bits()), "{name}");
        assert!(document.text.contains(measure.method()), "{name}");
    }
    let reasons = document.named("td").into_iter().filter(|cell| {
        cell.attribute("class") == Some("not-assessed") && cell.text.starts_with("not assessed: ")
    });
    let of_hours = document.rows("The mean day by the hour");
    let of_hours: usize = of_hours
        .iter()
        .map(|row| {
            row.named("td").iter().filter(|cell| cell.attribute("class") == Some("not-assessed")).count()
        })
        .sum();
    assert_eq!(reasons.count() - of_hours, without.len());
}

#[test]
fn the_missed_night_is_a_gap_and_not_a_zero() {
    let (_, _, document) = page(&Person::default());
    let missed = document.rows("Each night, by the date of waking")[4];
    let cells: Vec<&str> = missed.children.iter().map(|cell| cell.text.as_str()).collect();
    assert_eq!(cells, ["Fri 6 Mar", "not recorded"]);
    let picture = document.picture("sleep-timing");
    let labels: Vec<&Element> =
        picture.named("text").into_iter().filter(|text| text.text.trim() == "not recorded").collect();
    assert_eq!(labels.len(), 1);
    let bars: Vec<&Element> = STAGES.iter().flat_map(|stage| picture.rectangles(stage)).collect();
    let covers = |y: f64| {
        bars.iter()
            .filter(|bar| (bar.number("y")..bar.number("y") + bar.number("height")).contains(&y))
            .count()
    };
    // Rows are 30 units high; the missed one is the fifth.
    let gap = labels[0].number("y");
    for row in 0..10 {
        let y = gap + 30.0 * f64::from(row - 4);
        assert_eq!(covers(y), if row == 4 { 0 } else { 5 }, "row {row}");
    }
}

#[test]
fn a_night_is_as_long_in_the_picture_as_it_was() {
    let (_, _, document) = page(&Person { days: 3, missed_nights: vec![], ..Person::default() });
    let picture = document.picture("sleep-timing");
    let width = |color: &str| -> f64 {
        picture.rectangles(color).iter().map(|bar| bar.number("width")).sum::<f64>() / 3.0
    };
    // 12 hours, from 21 to 9, are as wide as the picture without its margins.
    let unit = (1500.0 - 120.0 - 64.0) / 720.0;
    for (color, minutes) in [("#1E3A8A", 200.0), ("#60A5FA", 180.0), ("#A78BFA", 50.0), ("#F59E0B", 10.0)] {
        assert!((width(color) - minutes * unit).abs() <= 1.0, "{color}: {}", width(color) / unit);
    }
}

/// Minutes that are drawn: those of the first day once, the others in two rows.
fn drawn(of_minute: &[bool]) -> f64 {
    let count = |minutes: &[bool]| minutes.iter().filter(|holds| **holds).count() as f64;
    2.0 * count(of_minute) - count(&of_minute[..1440])
}

#[test]
fn the_actogram_hatches_each_missing_minute_and_shades_each_of_sleep() {
    let (data, _, document) = page(&Person { empty_days: vec![7], ..Person::default() });
    let picture = document.picture("actogram");
    let width = |color| picture.rectangles(color).iter().map(|bar| bar.number("width")).sum::<f64>();
    let missing: Vec<bool> = data.activity.values.iter().map(Option::is_none).collect();
    let asleep: Vec<bool> = data.sleep.iter().map(|score| *score == Some(SleepWake::Sleep)).collect();
    assert!(missing[7 * 1440..8 * 1440].iter().filter(|holds| **holds).count() == 1440);
    assert!(missing[4 * 1440..4 * 1440 + 420].iter().all(|holds| *holds), "the watch was off");
    assert!((width(MISSING) - drawn(&missing)).abs() < 1e-9, "{} of {}", width(MISSING), drawn(&missing));
    assert!((width(SLEEP) - drawn(&asleep)).abs() < 1e-9);
    // 24 minutes of activity on nine days, seen twice but on the first.
    assert_eq!(picture.named("polygon").len(), 24 * (2 * 9 - 1));
}

#[test]
fn days_without_readings_say_so() {
    let (_, _, document) = page(&Person { empty_days: vec![7], ..Person::default() });
    for caption in [BY_DAY[0], BY_DAY[2]] {
        let row = document.rows(caption)[7];
        let cells = &row.children;
        assert_eq!(cells.last().unwrap().text, "not assessed: no readings", "{caption}");
        assert!(row.named("data").is_empty());
    }
    let heart = document.picture("heart-rate");
    assert_eq!(heart.rectangles(MISSING).len(), 1);
    assert_eq!(heart.rectangles("#F0A8A8").len(), 9);
    assert_eq!(heart.named("circle").len(), 9);
}

#[test]
fn names_are_text() {
    let name = "<script>alert(1)</script>";
    let hostile =
        Person { name: Some(name), watch: "\"><img src=x onerror='alert(2)'>&\u{1b}", ..Person::default() };
    let (_, page, document) = page(&hostile);
    assert!(document.named("script").is_empty() && document.named("img").is_empty());
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{1b}'));
    assert_eq!(document.named("h1")[0].text, format!("Health report of {name}"));
    assert_eq!(document.named("title")[0].text, format!("Health report of {name}"));
    assert!(document.text.contains("\"><img src=x onerror='alert(2)'>& "));
    let nameless = render(&Person { name: None, ..Person::default() }.data()).unwrap();
    assert_eq!(Element::parse(&nameless).named("h1")[0].text, "Health report");
}

#[test]
fn the_page_asks_for_nothing() {
    let (_, page, document) = page(&Person::default());
    for element in document.all() {
        assert!(
            !["script", "link", "img", "iframe", "object", "use", "image"].contains(&element.name.as_str())
        );
        for (name, value) in &element.attributes {
            assert!(!["src", "href", "xlink:href", "style"].contains(&name.as_str()), "{name}");
            assert!(!value.contains("//") && !name.starts_with("on"), "{name}={value}");
        }
    }
    assert_eq!(page.matches("url(").count(), page.matches("url(#missing)").count());
    assert!(!page.contains("@import"));
}

#[test]
fn each_picture_says_what_it_is() {
    let (_, _, document) = page(&Person::default());
    let pictures: Vec<&Element> =
        document.named("svg").into_iter().filter(|svg| svg.attribute("aria-hidden").is_none()).collect();
    assert_eq!(pictures.len(), 4);
    for picture in pictures {
        assert_eq!(picture.attribute("role"), Some("img"));
        let labels: Vec<&str> = picture.attribute("aria-labelledby").unwrap().split(' ').collect();
        for (label, name) in labels.into_iter().zip(["title", "desc"]) {
            let element = picture.named(name)[0];
            assert_eq!(element.attribute("id"), Some(label));
            assert!(element.text.len() > 5);
        }
    }
}

#[test]
fn a_month_without_rest_is_small_enough() {
    let restless = Person { days: 30, never_rests: true, missed_nights: vec![], ..Person::default() };
    let bytes = render(&restless.data()).unwrap().len();
    assert!(bytes < 1_500_000, "{bytes}");
}

#[test]
fn what_is_not_of_these_days_is_refused() {
    let data = || Person { days: 3, missed_nights: vec![], ..Person::default() }.data();
    let mut without = data();
    without.days.clear();
    assert!(matches!(render(&without), Err(RenderError::NoDays)));
    let mut skipping = data();
    skipping.days.remove(1);
    assert!(matches!(render(&skipping), Err(RenderError::NotSuccessive)));
    let mut short = data();
    short.activity.values.pop();
    assert!(matches!(render(&short), Err(RenderError::NotOfTheseDays)));
}

#[test]
fn nobody_who_recorded_nothing_gets_a_number() {
    let mut data = Person { days: 2, missed_nights: vec![], ..Person::default() }.data();
    let empty = Person { days: 2, empty_days: vec![0, 1], ..Person::default() }.data();
    for day in &mut data.days {
        (day.daily, day.night) = (None, None);
    }
    let data = ReportData { days: data.days, ..empty };
    let document = Element::parse(&render(&data).unwrap());
    // How many days count is known: none.
    let shown: Vec<&Element> = document.named("data");
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].attribute("value"), Some("0"));
    assert!(document.text.contains("On none of these days was a heart rate assessed."));
}

fn measure(value: Option<f64>) -> Measure {
    let basis = Basis { unit: "1", method: "any", coverage: Coverage::minutes(0, 0), sources: Vec::new() };
    basis.or_not_assessed(value, "chance")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_number_on_the_page_is_none(
        minutes in prop::collection::vec(prop::option::of(prop_oneof![Just(0.0), 0.0..300.0_f64, 0.0..1e9_f64]), 2 * 1440),
        rates in prop::collection::vec(prop::option::of(prop_oneof![0.0..250.0_f64, -1e12..1e12_f64, Just(f64::MIN_POSITIVE)]), 16),
    ) {
        let mut data = Person { days: 2, missed_nights: vec![1], ..Person::default() }.data();
        data.activity.values = minutes;
        let mut rates = rates.into_iter().map(measure);
        let mut next = || rates.next().unwrap();
        for day in &mut data.days {
            let daily = day.daily.as_mut().unwrap();
            (daily.heart_rate_min, daily.heart_rate_max) = (next(), next());
            (daily.heart_rate_mean, daily.resting_heart_rate) = (next(), next());
        }
        let (circadian, profile) = (&mut data.circadian, &mut data.profile);
        (circadian.l5, circadian.l5_onset, circadian.m10) = (next(), next(), next());
        circadian.m10_onset = next();
        (profile.mesor, profile.amplitude, profile.peak) = (next(), next(), next());
        let page = render(&data).unwrap();
        Element::parse(&page);
        let lower = page.to_ascii_lowercase();
        for word in lower.split(|character: char| !character.is_ascii_alphanumeric()) {
            prop_assert!(!["nan", "inf", "infinity"].contains(&word));
        }
    }
}
