//! The hours of a day add up to the day.

use serde_json::{Value, json};

use crate::support::{Shared, healthkit, pointers, problem, quantity, upload};

static SHARED: Shared = Shared::new();

#[tokio::test]
async fn the_hours_of_a_day_add_up_to_the_day_and_say_what_was_not_assessed() {
    let server = SHARED.get();
    let phone = server.phone().await;
    // Over an hour's end, and on the day on which Berlin's clock goes back.
    let samples = [
        quantity("StepCount", 300.0, "count", "2024-10-27T02:50:00+02:00", "2024-10-27T02:20:00+01:00"),
        quantity("StepCount", 80.0, "count", "2024-10-27T20:00:00+01:00", "2024-10-27T20:01:00+01:00"),
        quantity("ActiveEnergyBurned", 7.0, "kcal", "2024-10-27T20:00:00+01:00", "2024-10-27T22:00:00+01:00"),
        quantity("HeartRate", 60.0, "count/min", "2024-10-27T20:00:00+01:00", "2024-10-27T20:00:00+01:00"),
        quantity("HeartRate", 90.0, "count/min", "2024-10-27T20:30:00+01:00", "2024-10-27T20:30:00+01:00"),
    ];
    upload(&phone, &healthkit(&phone, &samples)).await;
    let daily = phone.get("metrics/daily").await.unwrap().expect(200).unwrap();
    let of_day = phone.get("metrics/hourly?start_date=2024-10-27&end_date=2024-10-27").await.unwrap();
    let of_day = of_day.expect(200).unwrap();
    for path in [
        "metrics/hourly",
        "metrics/hourly/",
        "metrics/hourly?start_date=2024-10-27",
        "metrics/hourly?end_date=2024-10-27",
    ] {
        assert_eq!(phone.get(path).await.unwrap().expect(200).unwrap(), of_day, "{path}");
    }
    let hours = of_day["data"].as_array().unwrap();
    assert_eq!((hours.len(), daily["data"].as_array().unwrap().len()), (25, 1));
    for name in ["step_count", "distance", "active_energy"] {
        let sum: f64 = hours.iter().filter_map(|hour| hour[name]["value"].as_f64()).sum();
        let total = &daily["data"][0][name];
        assert!((sum - total["value"].as_f64().unwrap_or(0.0)).abs() < 1e-9, "{name}");
        let observed = |measure: &Value| measure["coverage"]["observed"].as_u64().unwrap();
        assert_eq!(hours.iter().map(|hour| observed(&hour[name])).sum::<u64>(), observed(total), "{name}");
        for hour in hours {
            let measure = &hour[name];
            assert_eq!(measure["value"].is_null(), measure["not_assessed"].is_string(), "{name}");
            assert_eq!(measure["method"], total["method"], "{name}");
        }
    }
    // 2:50 summer time is ten minutes before the second 2:00.
    assert_eq!(hours[2]["step_count"]["value"], 100.0);
    assert_eq!(hours[3]["step_count"]["value"], 200.0);
    let evening = &hours[21];
    assert_eq!((&evening["hour"], &evening["start"]), (&json!(21), &json!("2024-10-27T19:00:00Z")));
    assert_eq!((&evening["date"], &evening["zone"]), (&json!("2024-10-27"), &json!("Europe/Berlin")));
    for (name, value) in [("min", 60.0), ("max", 90.0), ("mean", 75.0), ("count", 2.0)] {
        assert_eq!(evening[format!("heart_rate_{name}")]["value"], value, "{name}");
    }
    assert_eq!(evening["active_energy"]["value"], 3.5);
    assert_eq!(hours[0]["heart_rate_mean"]["not_assessed"], "no readings");
}

#[tokio::test]
async fn hours_are_asked_for_a_month_at_most() {
    let server = SHARED.get();
    let phone = server.phone().await;
    assert_eq!(phone.get("metrics/hourly").await.unwrap().expect(200).unwrap(), json!({ "data": [] }));
    let path = "metrics/hourly?start_date=2025-03-01&end_date=2025-03-31";
    assert_eq!(phone.get(path).await.unwrap().expect(200).unwrap(), json!({ "data": [] }));
    for (query, pointer) in [
        ("start_date=2025-03-01&end_date=2025-04-01", "start_date"),
        ("start_date=0001-01-01&end_date=9999-12-31", "start_date"),
        ("start_date=2025-03-02&end_date=2025-03-01", "end_date"),
        ("start_date=today", "start_date"),
    ] {
        let answer = phone.get(&format!("metrics/hourly?{query}")).await.unwrap();
        assert_eq!(
            (problem(&answer, 422).as_str(), pointers(&answer)),
            ("validation", vec![pointer]),
            "{query}"
        );
    }
}
