//! The measures of days and nights over HTTP: what is merged, what a late reading changes, what beats and workouts tell, and the
//! screening that somebody turned on.

use std::collections::BTreeMap;

use e2e::{Clarity, Phone, read};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Shared, healthkit, quantity, upload};

static SHARED: Shared = Shared::new();

fn of(kind: &str, value: impl Into<Value>, start: &str, end: &str) -> Value {
    let mut sample = quantity("", 0.0, "", start, end);
    sample["type"] = json!(kind);
    sample["value"] = value.into();
    sample
}

fn sleep(stage: i32, start: &str, end: &str) -> Value {
    of("HKCategoryTypeIdentifierSleepAnalysis", stage, start, end)
}

fn steps(value: f64, start: &str, end: &str) -> Value {
    quantity("StepCount", value, "count", start, end)
}

/// The same reading of another device.
fn by(mut sample: Value, name: &str, product_type: &str) -> Value {
    sample["source_name"] = json!(name);
    sample["device"] = json!({ "name": name, "product_type": product_type });
    sample
}

/// Uploads and waits for what comes of it.
async fn send(phone: &Phone, quantities: &[Value], categories: &[Value], zone: &str) {
    let mut body = healthkit(phone, quantities);
    body["category_samples"] = json!(categories);
    body["upload_metadata"]["time_zone"] = json!(zone);
    upload(phone, &body).await;
}

async fn list(phone: &Phone, path: &str) -> Vec<Value> {
    let answer = phone.get(path).await.unwrap().expect(200).unwrap();
    answer["data"].as_array().unwrap().clone()
}

/// The tags of single days of the first week of March 2025, by resource and day.
async fn tags(phone: &Phone) -> BTreeMap<(&'static str, u8), String> {
    let mut tags = BTreeMap::new();
    for resource in ["daily", "hourly", "sleep"] {
        for day in 1..8 {
            let path = format!("metrics/{resource}?start_date=2025-03-0{day}&end_date=2025-03-0{day}");
            let answer = phone.get(&path).await.unwrap();
            assert_eq!(answer.status, 200, "{path}");
            tags.insert((resource, day), answer.headers["etag"].to_str().unwrap().to_owned());
        }
    }
    tags
}

/// What differs between two of them.
async fn changed(
    phone: &Phone,
    before: &mut BTreeMap<(&'static str, u8), String>,
) -> Vec<(&'static str, u8)> {
    let after = tags(phone).await;
    let differ = after.iter().filter(|(key, tag)| before[*key] != **tag).map(|(key, _)| *key).collect();
    *before = after;
    differ
}

#[tokio::test]
async fn a_late_reading_changes_exactly_the_days_that_it_touches() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let (mut quantities, mut nights) = (Vec::new(), Vec::new());
    for day in 1..8 {
        let at = |time: &str| format!("2025-03-0{day}T{time}:00+01:00");
        quantities.push(steps(500.0, &at("09:00"), &at("09:10")));
        quantities.push(quantity("HeartRate", 60.0, "count/min", &at("12:00"), &at("12:00")));
        nights.push(sleep(3, &at("00:30"), &at("06:30")));
    }
    send(&phone, &quantities, &nights, "Europe/Berlin").await;
    let mut seen = tags(&phone).await;
    // The same once more.
    send(&phone, &quantities, &nights, "Europe/Berlin").await;
    assert_eq!(changed(&phone, &mut seen).await, []);
    let noon = |day: u8| format!("2025-03-0{day}T15:00:00+01:00");
    send(&phone, &[steps(80.0, &noon(4), "2025-03-04T15:01:00+01:00")], &[], "Europe/Berlin").await;
    assert_eq!(changed(&phone, &mut seen).await, [("daily", 4), ("hourly", 4)]);
    let day = &list(&phone, "metrics/daily?start_date=2025-03-04&end_date=2025-03-04").await[0];
    assert_eq!(day["step_count"]["value"], 580.0);
    // Over midnight it touches two days.
    let late = steps(60.0, "2025-03-02T23:50:00+01:00", "2025-03-03T00:10:00+01:00");
    send(&phone, &[late], &[], "Europe/Berlin").await;
    assert_eq!(changed(&phone, &mut seen).await, [("daily", 2), ("daily", 3), ("hourly", 2), ("hourly", 3)]);
    // A nap is of its own date, whose time awake, against which the heart's dip at night is taken, is shorter by it.
    let nap = sleep(1, "2025-03-06T14:00:00+01:00", "2025-03-06T14:40:00+01:00");
    send(&phone, &[], &[by(nap, "iPhone", "iPhone15,2")], "Europe/Berlin").await;
    assert_eq!(changed(&phone, &mut seen).await, [("daily", 6), ("sleep", 6)]);
    // What is deleted on the phone changes its day back.
    let first = steps(30.0, "2025-03-05T15:00:00+01:00", "2025-03-05T15:01:00+01:00");
    let before = seen.clone();
    send(&phone, std::slice::from_ref(&first), &[], "Europe/Berlin").await;
    assert_eq!(changed(&phone, &mut seen).await, [("daily", 5), ("hourly", 5)]);
    upload(&phone, &json!({ "user_id": phone.user_id, "deleted_samples": [first["identifier"]] })).await;
    assert_eq!(changed(&phone, &mut seen).await, [("daily", 5), ("hourly", 5)]);
    assert_eq!(seen, before);
    let known = phone.request(Method::GET, "metrics/daily?start_date=2025-03-01&end_date=2025-03-01");
    let answer = read(known.header("if-none-match", &seen[&("daily", 1)])).await.unwrap();
    assert_eq!(answer.status, 304);
}

#[tokio::test]
async fn devices_are_merged_by_interval_and_each_measure_says_how() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let at = |time: &str| format!("2025-03-01T{time}:00+01:00");
    let carried =
        |value, start: &str, end: &str| by(steps(value, &at(start), &at(end)), "iPhone", "iPhone15,2");
    let quantities = [
        // Both devices see the same walk, the watch is off from ten to eleven, and the ring sees the evening.
        steps(1000.0, &at("09:00"), &at("10:00")),
        carried(1100.0, "09:00", "10:00"),
        carried(600.0, "10:00", "11:00"),
        steps(300.0, &at("11:00"), &at("11:30")),
        carried(500.0, "11:00", "12:00"),
        by(steps(40.0, &at("20:00"), &at("20:10")), "Ring", "Ring4,1"),
    ];
    send(&phone, &quantities, &[], "Europe/Berlin").await;
    let day = &list(&phone, "metrics/daily").await[0];
    let told = &day["step_count"];
    // Neither 3540, which is all, nor 1300, which is the watch, nor 2200, which is the phone.
    assert_eq!(told["value"], 1000.0 + 600.0 + 300.0 + 250.0 + 40.0);
    assert_eq!(told["sources"], json!(["Apple Watch", "Ring", "iPhone"]));
    assert_eq!(told["method"], "sum over the union of intervals, highest-priority source at each instant");
    assert_eq!(told["coverage"], json!({ "observed": 190, "expected": 1440, "of": "minutes" }));
    let hours = list(&phone, "metrics/hourly").await;
    let of_hour = |hour: usize| hours[hour]["step_count"]["value"].clone();
    assert_eq!([9, 10, 11, 20].map(of_hour), [json!(1000.0), json!(600.0), json!(550.0), json!(40.0)]);
    assert_eq!(of_hour(12), Value::Null);
}

#[tokio::test]
async fn days_have_23_and_25_hours_and_travellers_lose_none() {
    let server = SHARED.get();
    let (berlin, flyer) = (server.phone().await, server.phone().await);
    // Spring: 2:00 is 3:00. Autumn: 3:00 is 2:00 again. A walk over the change, and sleep on either side of it.
    let quantities = [
        steps(600.0, "2025-03-30T01:30:00+01:00", "2025-03-30T03:30:00+02:00"),
        steps(400.0, "2025-10-26T02:30:00+02:00", "2025-10-26T02:30:00+01:00"),
    ];
    let nights = [
        sleep(3, "2025-03-29T23:00:00+01:00", "2025-03-30T07:00:00+02:00"),
        sleep(3, "2025-10-25T23:00:00+02:00", "2025-10-26T07:00:00+01:00"),
    ];
    send(&berlin, &quantities, &nights, "Europe/Berlin").await;
    for (date, hours, steps, asleep) in [("2025-03-30", 23, 600.0, 7.0), ("2025-10-26", 25, 400.0, 9.0)] {
        let range = format!("start_date={date}&end_date={date}");
        let day = &list(&berlin, &format!("metrics/daily?{range}")).await[0];
        assert_eq!((&day["day_length_minutes"], &day["zone"]), (&json!(hours * 60), &json!("Europe/Berlin")));
        assert_eq!(day["step_count"]["value"], steps);
        assert_eq!(day["step_count"]["coverage"]["expected"], hours * 60);
        assert_eq!(list(&berlin, &format!("metrics/hourly?{range}")).await.len(), hours);
        let night = &list(&berlin, &format!("metrics/sleep?{range}")).await[0];
        assert_eq!(night["total_sleep_time"]["value"], asleep * 60.0);
    }
    // From Berlin to New York on 2 June: its day has 30 hours, and each step is of one day.
    let leaving = [
        steps(1000.0, "2025-06-01T10:00:00+02:00", "2025-06-01T10:10:00+02:00"),
        steps(200.0, "2025-06-02T08:00:00+02:00", "2025-06-02T08:10:00+02:00"),
    ];
    send(&flyer, &leaving, &[], "Europe/Berlin").await;
    let landed = [
        steps(30.0, "2025-06-02T23:00:00-04:00", "2025-06-02T23:10:00-04:00"),
        steps(4.0, "2025-06-03T09:00:00-04:00", "2025-06-03T09:10:00-04:00"),
    ];
    let slept = [sleep(3, "2025-06-02T23:30:00-04:00", "2025-06-03T07:30:00-04:00")];
    send(&flyer, &landed, &slept, "America/New_York").await;
    let days: Vec<Value> = list(&flyer, "metrics/daily")
        .await
        .iter()
        .map(|day| json!([day["date"], day["day_length_minutes"], day["step_count"]["value"]]))
        .collect();
    let expected = [
        json!(["2025-06-01", 1440, 1000.0]),
        json!(["2025-06-02", 1800, 230.0]),
        json!(["2025-06-03", 1440, 4.0]),
    ];
    assert_eq!(days, expected);
    let nights = list(&flyer, "metrics/sleep").await;
    assert_eq!(nights.len(), 1);
    assert_eq!((&nights[0]["date"], &nights[0]["zone"]), (&json!("2025-06-03"), &json!("America/New_York")));
}

#[tokio::test]
async fn naps_and_split_nights_are_kept_apart_and_a_missed_night_is_missing() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let nights = [
        // Awake for 40 minutes: one night. Then the phone lay beside the bed, which is never added.
        sleep(3, "2025-03-01T22:30:00+01:00", "2025-03-02T02:00:00+01:00"),
        sleep(4, "2025-03-02T02:40:00+01:00", "2025-03-02T06:30:00+01:00"),
        by(sleep(1, "2025-03-01T22:30:00+01:00", "2025-03-02T02:00:00+01:00"), "iPhone", "iPhone15,2"),
        sleep(1, "2025-03-02T14:00:00+01:00", "2025-03-02T14:50:00+01:00"),
        // Nothing of the night that ends on the 3rd.
        sleep(3, "2025-03-03T23:10:00+01:00", "2025-03-04T06:10:00+01:00"),
    ];
    send(&phone, &[], &nights, "Europe/Berlin").await;
    let seen = list(&phone, "metrics/sleep").await;
    let dates: Vec<&Value> = seen.iter().map(|night| &night["date"]).collect();
    assert_eq!(dates, ["2025-03-02", "2025-03-04"]);
    assert_eq!(seen[0]["total_sleep_time"]["value"], 210.0 + 230.0);
    assert_eq!(seen[0]["total_sleep_time"]["sources"], json!(["Apple Watch"]));
    assert_eq!(
        (&seen[0]["start"], &seen[0]["end"]),
        (&json!("2025-03-01T21:30:00Z"), &json!("2025-03-02T05:30:00Z"))
    );
    let naps = seen[0]["naps"].as_array().unwrap();
    assert_eq!((naps.len(), &naps[0]["total_sleep_time"]["value"]), (1, &json!(50.0)));
}

#[tokio::test]
async fn each_workout_tells_how_fast_the_heart_slows_down() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let rate = |time: &str, value| {
        let at = format!("2025-03-01T{time}+01:00");
        quantity("HeartRate", value, "count/min", &at, &at)
    };
    let mut run = of("HKWorkoutTypeIdentifier", 37, "2025-03-01T17:00:00+01:00", "2025-03-01T17:30:00+01:00");
    run["workout_activity_type"] = json!(37);
    let mut body =
        healthkit(&phone, &[rate("17:29:30", 171.0), rate("17:29:58", 168.0), rate("17:30:55", 139.0)]);
    body["workouts"] = json!([run]);
    upload(&phone, &body).await;
    let day = &list(&phone, "metrics/daily").await[0];
    let workout = &day["vitals"]["workouts"][0];
    assert_eq!(
        (&workout["start"], &workout["end"]),
        (&json!("2025-03-01T16:00:00Z"), &json!("2025-03-01T16:30:00Z"))
    );
    let recovery = &workout["heart_rate_recovery"];
    assert_eq!(
        (&workout["activity_type"], &recovery["value"], &recovery["unit"]),
        (&json!(37), &json!(32.0), &json!("/min"))
    );
    assert!(recovery["method"].as_str().unwrap().contains("Cole 1999"), "{recovery}");
    // A workout that comes late is of its day; nothing was recorded at its end.
    let mut body = healthkit(&phone, &[]);
    let mut swim =
        of("HKWorkoutTypeIdentifier", 46, "2025-03-01T19:00:00+01:00", "2025-03-01T19:30:00+01:00");
    swim["workout_activity_type"] = json!(46);
    body["workouts"] = json!([swim]);
    upload(&phone, &body).await;
    let day = &list(&phone, "metrics/daily").await[0];
    let late = &day["vitals"]["workouts"][1];
    assert_eq!((&late["activity_type"], &late["heart_rate_recovery"]["value"]), (&json!(46), &Value::Null));
    assert!(late["heart_rate_recovery"]["not_assessed"].is_string());
    assert_eq!(day["vitals"]["heart_rate_recovery"]["not_assessed"], "no readings", "HealthKit told none");
}

/// The rules of the domain's own tests, in a folder of configuration.
fn screening() -> tempfile::TempDir {
    let rules = include_str!("../../../crates/domain/tests/data/screening-rules.json");
    let rules: Vec<BTreeMap<String, Value>> = serde_json::from_str(rules).unwrap();
    let mut text = String::new();
    for rule in rules {
        text.push_str("[[measures.screening]]\n");
        // Texts and numbers are written alike in JSON and in TOML.
        text.extend(rule.iter().map(|(key, value)| format!("{key} = {value}\n")));
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("development.toml"), text).unwrap();
    folder
}

/// The analysis of three hours of steps on 7 March 2025, once the model is there.
async fn analysis(phone: &Phone) -> Value {
    let minutes: Vec<String> =
        (0..180).map(|at| format!("2025-03-07T{:02}:{:02}:00+01:00", 8 + at / 60, at % 60)).collect();
    let body = json!({ "step_counts": vec![12; minutes.len()], "timestamps": minutes });
    let mut answer = phone.post("pat/step-analysis", &body).await.unwrap();
    crate::support::until("PAT is ready", async || {
        answer = phone.post("pat/step-analysis", &body).await.unwrap();
        answer.status != 503
    })
    .await;
    answer.expect(200).unwrap()
}

#[tokio::test]
async fn screening_is_off_until_somebody_configures_rules() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let answer = analysis(&phone).await;
    let found = &answer["analysis"];
    assert_eq!((&found["screening"], &found["mania_alert_level"]), (&json!([]), &Value::Null));
    assert_eq!(found["not_assessed"]["mania_alert_level"], "screening is off: no rule is configured");
}

#[tokio::test]
async fn screening_says_which_rule_is_met_of_which_nights_and_never_guesses_missed_ones() {
    let (data, config) = (tempfile::tempdir().unwrap(), screening());
    let clarity = Clarity::serve(data.path()).unwrap().set("limits.pat_per_hour", "1000");
    let started = clarity.args(&["--config", config.path().to_str().unwrap()]).start().unwrap();
    let sign_up = async || Phone::sign_up(started.address().unwrap()).await.unwrap();
    // Three hours of sleep in five nights, and then in four: of the seven that are looked at, five are needed.
    let nights = |from: u8| -> Vec<Value> {
        let night = |day: u8| {
            sleep(3, &format!("2025-03-0{day}T02:00:00+01:00"), &format!("2025-03-0{day}T05:00:00+01:00"))
        };
        (from..8).map(night).collect()
    };
    let (awake, unknown, nobody) = (sign_up().await, sign_up().await, sign_up().await);
    send(&awake, &[], &nights(3), "Europe/Berlin").await;
    send(&unknown, &[], &nights(4), "Europe/Berlin").await;

    let answer = analysis(&awake).await;
    let found = &answer["analysis"];
    assert_eq!((&found["mania_alert_level"], &found["mania_risk_score"]), (&json!("moderate"), &Value::Null));
    let finding = &found["screening"][0];
    assert_eq!(
        (&finding["rule"]["id"], &finding["is_met"]),
        (&json!("mania_decreased_need_for_sleep"), &json!(true))
    );
    assert_eq!(finding["statement"], "screening, not a diagnosis");
    assert_eq!(finding["inputs"], json!([null, null, 180.0, 180.0, 180.0, 180.0, 180.0]));
    assert_eq!(finding["coverage"], json!({ "observed": 5, "expected": 7, "of": "nights" }));
    // Nobody told a time in bed, so no latency is known: that is no sign of sound sleep.
    let mood = &found["screening"][1];
    assert_eq!(
        (&mood["is_met"], &mood["not_assessed"]),
        (&Value::Null, &json!("0 of the 5 nights needed have a value"))
    );
    // It is kept with the analysis.
    let path = format!("pat/analysis/{}", answer["analysis_id"].as_str().unwrap());
    let stored = phone_get(&awake, &path).await;
    assert_eq!(stored["metadata"]["screening"], found["screening"]);

    for (phone, why) in [
        (&unknown, "4 of the 5 nights needed have a value"),
        (&nobody, "0 of the 5 nights needed have a value"),
    ] {
        let answer = analysis(phone).await;
        let found = &answer["analysis"];
        assert_eq!(found["mania_alert_level"], Value::Null);
        assert_eq!(
            found["not_assessed"]["mania_alert_level"],
            "too few nights have the values that a rule needs"
        );
        assert_eq!(
            (&found["screening"][0]["is_met"], &found["screening"][0]["not_assessed"]),
            (&Value::Null, &json!(why))
        );
    }
    // Sound sleep is told from missing sleep.
    let mut sound = Vec::new();
    for day in 1..8 {
        sound.push(sleep(
            3,
            &format!("2025-03-0{day}T00:00:00+01:00"),
            &format!("2025-03-0{day}T07:00:00+01:00"),
        ));
    }
    send(&nobody, &[], &sound, "Europe/Berlin").await;
    let answer = analysis(&nobody).await;
    assert_eq!(answer["analysis"]["mania_alert_level"], "none");
}

async fn phone_get(phone: &Phone, path: &str) -> Value {
    phone.get(path).await.unwrap().expect(200).unwrap()
}
