//! HealthKit's samples as the shipped iOS apps send them to `health-data/upload`.

use e2e::Phone;
use serde_json::{Value, json};

use crate::support::{
    Shared, bytes, health_data, healthkit, in_a_month, pointers, problem, processed, upload,
};

static SHARED: Shared = Shared::new();

fn sample(kind: &str, value: impl Into<Value>, unit: impl Into<Value>, start: &str, end: &str) -> Value {
    json!({
        "sample_type": kind,
        "value": value.into(),
        "category_value": null,
        "unit": unit.into(),
        "start_date": start,
        "end_date": end,
        "metadata": { "HKWasUserEntered": false },
        "source_revision": {
            "source": { "name": "Anna's Watch", "bundle_identifier": "com.apple.health.6E2A" },
            "version": "11.3",
            "product_type": "Watch6,2",
            "operating_system_version": "11.3.0",
        },
    })
}

fn body(phone: &Phone, samples: &[Value]) -> Value {
    json!({
        "user_id": phone.user_id,
        "samples": samples,
        "device_info": {
            "device_model": "iPhone15,2", "system_name": "iOS", "system_version": "18.3", "app_version": "1.4.0",
            "time_zone": "America/New_York",
        },
        "timestamp": "2025-03-02T12:00:00Z",
    })
}

fn sleep(stage: i32, start: &str, end: &str) -> Value {
    let mut sample = sample("sleepAnalysis", Value::Null, Value::Null, start, end);
    sample["category_value"] = json!(stage);
    sample
}

/// An evening in New York, which is the next day in UTC.
fn evening() -> Vec<Value> {
    vec![
        sample("stepCount", json!(120), json!("count"), "2025-03-02T01:00:00Z", "2025-03-02T01:10:00Z"),
        sample(
            "HKQuantityTypeIdentifierHeartRate",
            json!(61.5),
            json!("count/min"),
            "2025-03-02T01:00:00Z",
            "2025-03-02T01:00:00Z",
        ),
        sample("resting_heart_rate", json!(55), Value::Null, "2025-03-02T01:00:00Z", "2025-03-02T01:00:00Z"),
        sleep(3, "2025-03-02T04:00:00Z", "2025-03-02T09:00:00Z"),
    ]
}

async fn send(phone: &Phone, body: &Value) -> Value {
    let answer = phone.post("health-data/upload", body).await.unwrap().expect(201).unwrap();
    processed(phone, answer["upload_id"].as_str().unwrap()).await;
    answer
}

#[tokio::test]
async fn samples_of_the_shipped_apps_read_back_by_the_clock_of_the_phone() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let answer = send(&phone, &body(&phone, &evening())).await;
    let expected = json!({
        "success": true, "upload_id": answer["upload_id"], "processed_samples": 4, "skipped_samples": 0, "errors": null,
        "message": "4 samples kept, 0 known already, 0 refused",
    });
    assert_eq!(answer, expected);
    let steps = phone.readings("step_count").await.unwrap();
    assert_eq!((&steps[0]["value"], &steps[0]["end"]), (&json!(120.0), &json!("2025-03-02T01:10:00Z")));
    let source =
        json!({ "name": "Anna's Watch", "bundle": "com.apple.health.6E2A", "product_type": "Watch6,2" });
    assert_eq!(steps[0]["source"], source);
    assert_eq!(phone.readings("sleep_analysis").await.unwrap()[0]["value"], 3.0);
    let daily = phone.get("metrics/daily").await.unwrap().expect(200).unwrap();
    let day = &daily["data"][0];
    assert_eq!((&day["date"], &day["zone"]), (&json!("2025-03-01"), &json!("America/New_York")));
    assert_eq!(
        (&day["step_count"]["value"], &day["resting_heart_rate"]["value"]),
        (&json!(120.0), &json!(55.0))
    );
    let nights = phone.get("metrics/sleep").await.unwrap().expect(200).unwrap();
    assert_eq!(nights["data"][0]["total_sleep_time"]["value"], 300.0);
}

#[tokio::test]
async fn samples_sent_again_by_whichever_path_are_known_and_change_nothing() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let body = body(&phone, &evening());
    send(&phone, &body).await;
    let paths = ["health-data?limit=1000", "metrics/daily", "metrics/sleep"];
    let mut before = Vec::new();
    for path in paths {
        before.push(bytes(&phone, path).await);
    }
    for path in ["health-data/upload", "health-data", "health-data/"] {
        let answer = phone.post(path, &body).await.unwrap().expect(201).unwrap();
        assert_eq!(
            (&answer["processed_samples"], &answer["skipped_samples"]),
            (&json!(4), &json!(0)),
            "{path}"
        );
        assert_eq!(answer["message"], "0 samples kept, 4 known already, 0 refused", "{path}");
        processed(&phone, answer["upload_id"].as_str().unwrap()).await;
    }
    for (path, before) in paths.into_iter().zip(before) {
        assert_eq!(bytes(&phone, path).await, before, "{path}");
    }
    // HealthKit's own upload of the same reading has its id; it is one reading still.
    let mut named = evening()[1].clone();
    named["identifier"] = json!(crate::support::new_id());
    upload(&phone, &healthkit(&phone, &[named.clone()])).await;
    let readings = phone.readings("heart_rate").await.unwrap();
    assert_eq!((readings.len(), &readings[0]["id"]), (1, &named["identifier"]));
}

#[tokio::test]
async fn each_faulty_sample_costs_itself_only() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let at = "2025-03-01T08:00:00Z";
    let ahead = in_a_month();
    let mut minutes_of_sleep = sample("sleepAnalysis", json!(3), json!("min"), at, at);
    minutes_of_sleep.as_object_mut().unwrap().remove("category_value");
    let mut no_type = sample("heartRate", json!(61), Value::Null, at, at);
    no_type.as_object_mut().unwrap().remove("sample_type");
    let table = [
        (sample("heartRate", json!(54321.5), json!("count/min"), at, at), "/value"),
        (sample("heartRate", Value::Null, json!("count/min"), at, at), "/value"),
        (sample("heartRate", json!(61), json!("furlong"), at, at), "/unit"),
        (sample("midichlorians", json!(61), Value::Null, at, at), "/sample_type"),
        (no_type, "/sample_type"),
        (sample("heartRate", json!(61), Value::Null, "yesterday", at), "/start_date"),
        (sample("heartRate", json!(61), Value::Null, &ahead, &ahead), "/start_date"),
        (sleep(17, at, at), "/value"),
        (minutes_of_sleep, "/unit"),
        (json!("a sample"), ""),
    ];
    let mut samples: Vec<Value> = table.iter().map(|(sample, _)| sample.clone()).collect();
    samples.push(sample("heartRate", json!(62), json!("count/min"), at, at));
    let answer = send(&phone, &body(&phone, &samples)).await;
    assert_eq!((&answer["success"], &answer["processed_samples"]), (&json!(true), &json!(1)));
    assert_eq!(answer["skipped_samples"], table.len());
    let errors: Vec<&str> =
        answer["errors"].as_array().unwrap().iter().map(|error| error.as_str().unwrap()).collect();
    let places: Vec<&str> = errors.iter().map(|error| error.split_once(": ").unwrap().0).collect();
    let expected: Vec<String> =
        table.iter().enumerate().map(|(at, (_, field))| format!("/samples/{at}{field}")).collect();
    assert_eq!(places, expected);
    for sent in ["54321", "furlong", "midichlorians", "yesterday"] {
        assert!(!answer["errors"].to_string().contains(sent), "an error repeats {sent}");
    }
    let id = answer["upload_id"].as_str().unwrap();
    let status = phone.get(&format!("health-data/upload/{id}/status")).await.unwrap().expect(200).unwrap();
    assert_eq!((&status["processed_samples"], &status["total_samples"]), (&json!(1), &json!(11)));
    assert_eq!(status["errors"], answer["errors"]);
    assert_eq!(phone.readings("heart_rate").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_status_is_that_of_the_job() {
    let server = SHARED.get();
    let (phone, other) = (server.phone().await, server.phone().await);
    let sent = send(&phone, &body(&phone, &evening())).await;
    let id = sent["upload_id"].as_str().unwrap();
    let completed = phone.get(&format!("healthkit/status/{id}")).await.unwrap().expect(200).unwrap();
    for path in [
        format!("health-data/upload/{id}/status"),
        format!("health-data/upload/{id}/status/"),
        format!("health-data/sync/{id}"),
    ] {
        let status = phone.get(&path).await.unwrap().expect(200).unwrap();
        let expected = json!({
            "upload_id": id, "sync_id": id, "status": "completed", "progress": 1.0, "processed_samples": 4, "total_samples": 4, "errors": null,
            "completed_at": completed["last_updated"],
        });
        assert_eq!(status, expected, "{path}");
        assert_eq!(problem(&other.get(&path).await.unwrap(), 404), "not-found", "{path}");
    }
    for path in ["health-data/upload/none/status", "health-data/sync/none"] {
        assert_eq!(problem(&phone.get(path).await.unwrap(), 404), "not-found", "{path}");
    }
}

#[tokio::test]
async fn a_body_is_of_one_form_and_of_the_caller() {
    let server = SHARED.get();
    let (phone, other) = (server.phone().await, server.phone().await);
    let foreign = phone.post("health-data/upload", &body(&other, &evening())).await.unwrap();
    assert_eq!(problem(&foreign, 403), "foreign-user");
    let mut both = body(&phone, &evening());
    both["metrics"] = json!([]);
    let mut nobody = body(&phone, &evening());
    nobody.as_object_mut().unwrap().remove("user_id");
    let mut neither = health_data(&phone, &[]);
    neither.as_object_mut().unwrap().remove("metrics");
    for (body, pointer) in [(both, "/samples"), (nobody, "/user_id"), (neither, "/metrics")] {
        let answer = phone.post("health-data/upload", &body).await.unwrap();
        assert_eq!((problem(&answer, 422).as_str(), pointers(&answer)), ("validation", vec![pointer]));
    }
    assert_eq!(phone.all_readings().await.unwrap().len(), 0);
}
