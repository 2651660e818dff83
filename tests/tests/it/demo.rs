//! `clarity demo` against what its simulated person truly did.

use std::path::Path;

use jiff::{ToSpan, civil::Date};
use serde_json::{Value, json};
use simulator::{DayTruth, Simulation, SimulatorSettings};

use crate::support::{command, stdout_json};

fn demo(data: &Path, days: u16, seed: u64) -> Value {
    let (days, seed) = (days.to_string(), seed.to_string());
    let arguments =
        ["demo", "--exit", "--json", "--days", &days, "--seed", &seed, "--listen", "127.0.0.1:0", "--data"];
    let output = command(&arguments).arg(data).output().unwrap();
    let json = stdout_json(&output);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    json
}

/// The life that a demo uploaded: its last day is the last with steps.
fn lived(answers: &Value, days: u16, seed: u64) -> Vec<DayTruth> {
    let last: Date = answers["circadian"]["circadian"]["date"].as_str().unwrap().parse().unwrap();
    let start = last.checked_sub((i64::from(days) - 1).days()).unwrap();
    let settings = SimulatorSettings { days, seed, start, zone: "Europe/Berlin".to_owned() };
    Simulation::new(&settings).unwrap().truth().to_vec()
}

fn of_date(list: &Value, date: Date) -> Option<&Value> {
    list.as_array().unwrap().iter().find(|item| item["date"] == date.to_string())
}

fn measure(of: &Value, name: &str) -> f64 {
    of[name]["value"].as_f64().unwrap_or_else(|| panic!("{name}: {}", of[name]))
}

fn check(seen: &Value, truth: &[DayTruth]) {
    for day in truth {
        let daily = of_date(&seen["daily"], day.date).expect("each simulated day has its measures");
        // The flight's day is longer than the clocks of its two zones agree on.
        let steps_tolerance = if day.is_travel_day { 0.05 * day.steps_merged } else { 1.0 };
        let steps = measure(daily, "step_count");
        let what = format!("{} by {steps} for {}", day.date, day.steps_merged);
        assert!((steps - day.steps_merged).abs() <= steps_tolerance, "{what}");
        if !day.is_travel_day {
            let energy = measure(daily, "active_energy");
            assert!((energy - day.active_energy_kcal).abs() < 1.0, "{} by {energy}", day.date);
        }
        assert_eq!(daily["resting_heart_rate"]["value"].as_f64(), day.resting_heart_rate, "{}", day.date);

        let night = of_date(&seen["sleep"], day.date);
        assert_eq!(night.is_none(), day.is_night_missed, "{}", day.date);
        if let Some(night) = night {
            assert_eq!(
                night["total_sleep_time"]["value"].as_f64(),
                day.asleep_minutes.map(f64::from),
                "{}",
                day.date
            );
            // What is awake before the alarm is not between two sleeps.
            let awake = measure(night, "wake_after_sleep_onset");
            assert!(
                (0.0..=f64::from(day.awake_minutes.unwrap())).contains(&awake),
                "{} by {awake}",
                day.date
            );
        }
    }
    assert_eq!(truth.iter().filter(|day| day.is_night_missed).count(), 1);
    assert_eq!(seen["sleep"].as_array().unwrap().len(), truth.len() - 1);
}

#[test]
fn a_fortnight_comes_out_as_it_was_lived() {
    let data = tempfile::tempdir().unwrap();
    let seen = demo(data.path(), 14, 7);
    let truth = lived(&seen, 14, 7);
    assert_eq!(truth.iter().filter(|day| day.is_travel_day).count(), 1);
    check(&seen, &truth);
    assert_eq!(seen["uploads"], 14);

    let week = &seen["circadian"]["pat"];
    assert_eq!(week["embedding"].as_array().unwrap().len(), 96);
    assert!(week["embedding"].as_array().unwrap().iter().all(Value::is_number));
    assert_eq!((&week["model"]["weights"], &week["experimental"]), (&json!("synthetic"), &json!(true)));
    let model = &seen["models"][0];
    assert_eq!(
        (&model["identity"]["weights"], &model["state"]["state"]),
        (&json!("synthetic"), &json!("ready"))
    );
    assert_eq!(week["model"]["sha256"], model["identity"]["sha256"]);
    let measures = &seen["circadian"]["circadian"]["measures"];
    for name in ["interdaily_stability", "intradaily_variability", "l5", "m10", "relative_amplitude"] {
        assert!(measures[name]["value"].is_number() && measures[name]["method"].is_string(), "{name}");
    }
    assert_eq!(seen["insight"]["metadata"]["provider"], "template");
    assert_eq!(seen["insight"]["data"]["confidence_score"], Value::Null);
    assert!(seen["insight"]["data"]["narrative"].as_str().is_some_and(|narrative| !narrative.is_empty()));

    // Another person, in the same folder.
    let other = demo(data.path(), 5, 3);
    check(&other, &lived(&other, 5, 3));
    assert_ne!(other["account"]["user_id"], seen["account"]["user_id"]);
}

#[test]
fn people_see_tables_and_what_was_not_assessed() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--exit", "--days", "4", "--listen", "127.0.0.1:0", "--data"];
    let output = command(&arguments).arg(data.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "Nights",
        "Days",
        "Circadian rhythm",
        "PAT",
        "Insight",
        "synthetic",
        "not assessed",
        "written by: template",
    ] {
        assert!(text.contains(part), "{part} is missing from {text}");
    }
}

#[test]
fn a_demo_that_cannot_sign_up_says_why() {
    let data = tempfile::tempdir().unwrap();
    let arguments =
        ["demo", "--exit", "--listen", "127.0.0.1:0", "--set", "identity.self_sign_up=false", "--data"];
    let output = command(&arguments).arg(data.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("self_sign_up"));
}
