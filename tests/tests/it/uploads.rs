//! Uploads: what was accepted reads back, once, by its owner only.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
};

use e2e::{Answer, Phone, read};
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    PATIENCE, Server, Shared, bytes, files, health_data, healthkit, heart_rate, in_a_month, new_id, pointers,
    problem, processed, quantity, until, upload, without_instance,
};

static SHARED: Shared = Shared::new();

fn ten() -> Vec<Value> {
    (0..10).map(heart_rate).collect()
}

/// A morning of every kind of reading that a result is computed from.
fn morning(phone: &Phone) -> Value {
    let mut quantities = ten();
    for minute in 0..30 {
        let (start, end) =
            (format!("2025-03-01T10:{minute:02}:00+01:00"), format!("2025-03-01T10:{minute:02}:30+01:00"));
        quantities.push(quantity("StepCount", 80.0, "count", &start, &end));
        quantities.push(quantity("ActiveEnergyBurned", 3.5, "kcal", &start, &end));
    }
    let noon = "2025-03-01T12:00:00+01:00";
    quantities.push(quantity("HeartRateVariabilitySDNN", 41.5, "ms", noon, noon));
    quantities.push(quantity("RestingHeartRate", 55.0, "count/min", noon, noon));
    let mut body = healthkit(phone, &quantities);
    body["category_samples"] = json!([
        sleep(0, "2025-02-28T22:30:00+01:00", "2025-03-01T06:30:00+01:00"),
        sleep(3, "2025-02-28T23:00:00+01:00", "2025-03-01T02:00:00+01:00"),
        sleep(4, "2025-03-01T02:00:00+01:00", "2025-03-01T03:00:00+01:00"),
        sleep(5, "2025-03-01T03:00:00+01:00", "2025-03-01T06:00:00+01:00"),
    ]);
    body
}

fn sleep(stage: i32, start: &str, end: &str) -> Value {
    let mut sample = quantity("", 0.0, "", start, end);
    sample["type"] = json!("HKCategoryTypeIdentifierSleepAnalysis");
    sample["value"] = json!(stage);
    sample
}

/// All that a person can read of their data, byte for byte.
async fn everything(phone: &Phone) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    for path in ["health-data?limit=1000", "metrics/daily", "metrics/sleep", "metrics/circadian"] {
        seen.push(bytes(phone, path).await);
    }
    seen
}

async fn raw(phone: &Phone, path: &str, encoding: &str, body: Vec<u8>) -> Answer {
    let request = phone.request(Method::POST, path).header("content-encoding", encoding).body(body);
    read(request.header("content-type", "application/json")).await.unwrap()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn values(readings: &[Value]) -> Vec<f64> {
    readings.iter().map(|reading| reading["value"].as_f64().unwrap()).collect()
}

#[tokio::test]
async fn ten_heart_rates_of_one_health_data_upload_read_back_as_ten() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let metrics: Vec<Value> = (0..10)
        .map(|minute| {
            json!({
                "metric_type": "heart_rate",
                "biometric_data": { "heart_rate": 60 + minute },
                "created_at": format!("2025-03-01T08:0{minute}:00Z"),
            })
        })
        .collect();
    let answer =
        phone.post("health-data", &health_data(&phone, &metrics)).await.unwrap().expect(201).unwrap();
    assert_eq!((&answer["accepted_metrics"], &answer["rejected_metrics"]), (&json!(10), &json!(0)));
    assert_eq!(answer["receipts"]["accepted"], 10);
    // They are there with the 201, not only once the job has run.
    let readings = phone.readings("heart_rate").await.unwrap();
    assert_eq!(values(&readings), (0..10).rev().map(|minute| f64::from(60 + minute)).collect::<Vec<_>>());
    for (reading, minute) in readings.iter().zip((0..10).rev()) {
        assert_eq!(reading["timestamp"], format!("2025-03-01T08:0{minute}:00Z"));
        assert_eq!((&reading["unit"], &reading["data_type"]), (&json!("/min"), &json!("heart_rate")));
    }
    let ids: BTreeSet<&str> = readings.iter().map(|reading| reading["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 10);
    let id = answer["processing_id"].as_str().unwrap();
    processed(&phone, id).await;
    let status = phone.get(&format!("health-data/processing/{id}")).await.unwrap().expect(200).unwrap();
    assert_eq!((&status["accepted_metrics"], &status["progress"]), (&json!(10), &json!(1.0)));
    assert_eq!(phone.readings("heart_rate").await.unwrap(), readings);
    let daily = phone.get("metrics/daily").await.unwrap().expect(200).unwrap();
    assert_eq!(daily["data"][0]["heart_rate_max"]["value"], 69.0);
}

#[tokio::test]
async fn ten_heart_rates_of_one_healthkit_upload_read_back_as_ten() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let samples = ten();
    let answer = upload(&phone, &healthkit(&phone, &samples)).await;
    assert_eq!(
        answer["receipts"],
        json!({ "accepted": 10, "duplicate": 0, "rejected": [], "rejected_total": 0 })
    );
    assert_eq!(answer["samples_received"]["quantity_samples"], 10);
    let readings = phone.readings("heart_rate").await.unwrap();
    assert_eq!(readings.len(), 10);
    for (reading, sample) in readings.iter().rev().zip(&samples) {
        assert_eq!((&reading["id"], &reading["value"]), (&sample["identifier"], &sample["value"]));
        assert_eq!(reading["source"]["product_type"], "Watch6,2");
    }
}

#[tokio::test]
async fn the_same_healthkit_upload_again_is_all_duplicates_and_changes_nothing() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let body = morning(&phone);
    let first = upload(&phone, &body).await;
    let status = format!("healthkit/status/{}", first["upload_id"].as_str().unwrap());
    let (before, status_before) = (everything(&phone).await, bytes(&phone, &status).await);
    assert_eq!(first["receipts"]["accepted"], 76);
    let daily: Value = serde_json::from_slice(&before[1]).unwrap();
    assert_eq!(daily["data"].as_array().unwrap().last().unwrap()["step_count"]["value"], 2400.0);
    let nights: Value = serde_json::from_slice(&before[2]).unwrap();
    assert_eq!(nights["data"][0]["total_sleep_time"]["value"], 420.0);

    let second = upload(&phone, &body).await;
    assert_eq!(
        second["receipts"],
        json!({ "accepted": 0, "duplicate": 76, "rejected": [], "rejected_total": 0 })
    );
    assert_eq!(everything(&phone).await, before);
    assert_eq!(bytes(&phone, &status).await, status_before);
}

#[tokio::test]
async fn the_same_health_data_upload_again_is_all_duplicates_and_changes_nothing() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let body = health_data(
        &phone,
        &[
            json!({ "metric_type": "heart_rate", "biometric_data": { "heart_rate": 61.5 }, "created_at": "2025-03-01T08:00:00Z" }),
            json!({ "metric_type": "activity_level", "activity_data": { "steps": 4000, "distance": 2.5 }, "created_at": "2025-03-01T20:00:00Z" }),
            json!({ "metric_type": "sleep_analysis", "created_at": "2025-03-01T07:00:00Z", "sleep_data": {
                "total_sleep_minutes": 420, "sleep_efficiency": 0.9, "sleep_start": "2025-02-28T23:00:00Z",
                "sleep_end": "2025-03-01T06:30:00Z", "sleep_stages": { "awake": 20, "deep": 100, "light": 200, "rem": 120 } } }),
        ],
    );
    let post = async || {
        let answer = phone.post("health-data", &body).await.unwrap().expect(201).unwrap();
        processed(&phone, answer["processing_id"].as_str().unwrap()).await;
        answer
    };
    let first = post().await;
    assert_eq!(first["accepted_metrics"], 3, "{first}");
    let before = everything(&phone).await;
    let second = post().await;
    assert_eq!((&second["accepted_metrics"], &second["duplicate_metrics"]), (&json!(0), &json!(3)));
    assert_eq!(second["receipts"]["duplicate"], first["receipts"]["accepted"]);
    assert_eq!(everything(&phone).await, before);
}

#[tokio::test]
async fn fifty_identical_uploads_at_once_keep_ten_readings_and_count_them_once() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let body = healthkit(&phone, &ten());
    let answers = join_all((0..50).map(|_| phone.post("healthkit", &body))).await;
    let answers: Vec<Value> =
        answers.into_iter().map(|answer| answer.unwrap().expect(202).unwrap()).collect();
    let sum =
        |name: &str| answers.iter().map(|answer| answer["receipts"][name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("accepted"), sum("duplicate"), sum("rejected_total")), (10, 490, 0));
    assert_eq!(phone.readings("heart_rate").await.unwrap().len(), 10);
    for answer in &answers {
        processed(&phone, answer["upload_id"].as_str().unwrap()).await;
    }
    assert_eq!(phone.readings("heart_rate").await.unwrap().len(), 10);
    let tokens: BTreeSet<&str> =
        answers.iter().map(|answer| answer["sync_token"].as_str().unwrap()).collect();
    assert_eq!(tokens.len(), 50, "each upload has its own place in the order");
}

/// Samples with one fault each, the field below which it is, and its code.
fn faulty_samples() -> [(Value, &'static str, &'static str); 14] {
    let change = |field: &str, value: Value| {
        let mut sample = heart_rate(30);
        match value {
            Value::Null => drop(sample.as_object_mut().unwrap().remove(field)),
            value => sample[field] = value,
        }
        sample
    };
    let ahead = in_a_month();
    let mut future = change("start_date", json!(ahead));
    future["end_date"] = json!(ahead);
    [
        (change("unit", json!("furlong")), "/unit", "unknown_unit"),
        (change("value", json!(54321.5)), "/value", "out_of_range"),
        (change("value", json!("fifty")), "/value", "not_a_number"),
        (change("value", Value::Null), "/value", "missing"),
        (change("type", json!("HKQuantityTypeIdentifierMidichlorians")), "/type", "unknown_type"),
        (change("type", Value::Null), "/type", "missing"),
        (change("start_date", json!("yesterday")), "/start_date", "invalid_timestamp"),
        (change("start_date", Value::Null), "/start_date", "missing"),
        (change("end_date", json!("2025-02-30T00:00:00Z")), "/end_date", "invalid_timestamp"),
        (change("end_date", json!("2025-03-01T07:00:00+01:00")), "/end_date", "end_before_start"),
        (future, "/start_date", "in_the_future"),
        (json!("not a sample"), "", "malformed"),
        (json!([new_id(), null, "HKQuantityTypeIdentifierHeartRate", 60]), "", "malformed"),
        (change("start_date", json!(17)), "", "malformed"),
    ]
}

#[tokio::test]
async fn each_faulty_sample_gets_its_own_receipt_and_the_good_ones_are_kept() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let table = faulty_samples();
    let mut quantities = vec![heart_rate(0)];
    quantities.extend(table.iter().map(|(sample, ..)| sample.clone()));
    quantities.push(heart_rate(1));
    let mut body = healthkit(&phone, &quantities);
    let mut half = sleep(3, "2025-03-01T00:00:00+01:00", "2025-03-01T01:00:00+01:00");
    half["value"] = json!(3.5);
    body["category_samples"] =
        json!([sleep(4, "2025-03-01T01:00:00+01:00", "2025-03-01T02:00:00+01:00"), half]);
    body["correlation_samples"] =
        json!([{ "type": "HKCorrelationTypeIdentifierBloodPressure", "objects": [] }]);
    body["deleted_samples"] = json!(["not-a-uuid"]);
    let answer = upload(&phone, &body).await;

    let rejected = answer["receipts"]["rejected"].as_array().unwrap();
    let seen: Vec<(&str, &str)> = rejected
        .iter()
        .map(|fault| (fault["pointer"].as_str().unwrap(), fault["code"].as_str().unwrap()))
        .collect();
    let owned: Vec<(String, &str)> = table
        .iter()
        .enumerate()
        .map(|(at, (_, field, code))| (format!("/quantity_samples/{}{field}", at + 1), *code))
        .collect();
    let mut expected: Vec<(&str, &str)> =
        owned.iter().map(|(pointer, code)| (pointer.as_str(), *code)).collect();
    expected.push(("/category_samples/1/value", "not_a_category"));
    expected.push(("/correlation_samples/0/objects", "missing"));
    expected.push(("/deleted_samples/0", "invalid_id"));
    assert_eq!(seen, expected);
    assert_eq!(
        (&answer["receipts"]["accepted"], &answer["receipts"]["rejected_total"]),
        (&json!(3), &json!(17))
    );
    for sent in ["furlong", "54321.5", "fifty", "Midichlorians", "yesterday"] {
        assert!(!answer["receipts"].to_string().contains(sent), "a receipt repeats {sent}");
    }
    for (fault, (sample, ..)) in rejected.iter().zip(&table).filter(|(fault, _)| fault["code"] != "malformed")
    {
        assert_eq!(fault["id"], sample["identifier"]);
    }
    let status =
        phone.get(&format!("healthkit/status/{}", answer["upload_id"].as_str().unwrap())).await.unwrap();
    assert_eq!(status.expect(200).unwrap()["receipts"], answer["receipts"]);
    assert_eq!(values(&phone.readings("heart_rate").await.unwrap()), [61.0, 60.0]);
    assert_eq!(values(&phone.readings("sleep_analysis").await.unwrap()), [4.0]);
}

#[tokio::test]
async fn each_faulty_metric_gets_its_own_receipt_and_the_good_ones_are_kept() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let metric = |data: Value, at: &str| json!({ "metric_type": "heart_rate", "biometric_data": data, "created_at": at });
    let morning = "2025-03-01T08:00:00Z";
    let ahead = in_a_month();
    let mut unknown = metric(json!({ "heart_rate": 60 }), morning);
    unknown["metric_type"] = json!("aura");
    let body = health_data(
        &phone,
        &[
            metric(json!({ "heart_rate": 60 }), morning),
            metric(json!({ "heart_rate": 54321 }), morning),
            metric(json!({ "heart_rate": "fast" }), morning),
            metric(json!({ "heart_rate": 61 }), "soon"),
            metric(json!({ "heart_rate": 62 }), &ahead),
            metric(json!({}), morning),
            unknown,
            json!({ "biometric_data": { "heart_rate": 60 } }),
            json!(7),
            json!({ "metric_type": "sleep_analysis", "sleep_data": { "total_sleep_minutes": 400 } }),
            json!({ "metric_type": "sleep_analysis", "sleep_data": { "total_sleep_minutes": 400,
                "sleep_start": "2025-03-01T06:00:00Z", "sleep_end": "2025-03-01T05:00:00Z" } }),
            metric(json!({ "heart_rate": 63 }), "2025-03-01T09:00:00Z"),
        ],
    );
    let answer = phone.post("health-data", &body).await.unwrap().expect(201).unwrap();
    let faults = answer["validation_errors"].as_array().unwrap();
    let seen: Vec<(String, &str)> = faults
        .iter()
        .map(|fault| {
            let loc: Vec<&str> =
                fault["loc"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
            (loc.join("/"), fault["type"].as_str().unwrap())
        })
        .collect();
    let expected = [
        ("metrics/1/biometric_data", "out_of_range"),
        ("metrics/2/biometric_data", "not_a_number"),
        ("metrics/3/created_at", "invalid_timestamp"),
        ("metrics/4/biometric_data", "in_the_future"),
        ("metrics/5", "empty"),
        ("metrics/6/metric_type", "unknown_type"),
        ("metrics/7", "malformed"),
        ("metrics/8", "malformed"),
        ("metrics/9/sleep_data", "missing"),
        ("metrics/10/end_date", "end_before_start"),
    ];
    let expected: Vec<(String, &str)> = expected.map(|(loc, code)| (loc.to_owned(), code)).into();
    assert_eq!(seen, expected);
    assert_eq!((&answer["accepted_metrics"], &answer["rejected_metrics"]), (&json!(2), &json!(10)));
    assert_eq!(values(&phone.readings("heart_rate").await.unwrap()), [63.0, 60.0]);
}

#[tokio::test]
async fn two_people_never_see_each_other() {
    let server = SHARED.get();
    let (anna, berta) = (server.phone().await, server.phone().await);
    let sent = upload(&anna, &morning(&anna)).await;
    let upload_id = sent["upload_id"].as_str().unwrap();
    let steps =
        json!({ "step_counts": [10, 20], "timestamps": ["2025-03-01T08:00:00Z", "2025-03-01T08:01:00Z"] });
    let analysis = anna.post("pat/step-analysis", &steps).await.unwrap().expect(200).unwrap();
    let insight =
        anna.post("insights", &json!({ "analysis_results": {} })).await.unwrap().expect(200).unwrap();
    let before = everything(&anna).await;

    let list = berta.get("health-data").await.unwrap().expect(200).unwrap();
    assert_eq!(list["data"], json!([]));
    for path in ["metrics/daily", "metrics/sleep"] {
        assert_eq!(berta.get(path).await.unwrap().expect(200).unwrap()["data"], json!([]), "{path}");
    }
    let circadian = berta.get("metrics/circadian").await.unwrap().expect(200).unwrap();
    assert_eq!(circadian, json!({ "circadian": null, "pat": null }));
    let analysis_id = analysis["analysis_id"].as_str().unwrap();
    let insight_id = insight["data"]["insight_id"].as_str().unwrap();
    for (method, path, id) in [
        (Method::GET, "healthkit/status/", upload_id),
        (Method::GET, "health-data/processing/", upload_id),
        (Method::DELETE, "health-data/processing/", upload_id),
        (Method::DELETE, "health-data/", upload_id),
        (Method::GET, "pat/analysis/", analysis_id),
        (Method::GET, "insights/", insight_id),
    ] {
        let ask = async |id: &str| read(berta.request(method.clone(), &format!("{path}{id}"))).await.unwrap();
        let (foreign, missing) = (ask(id).await, ask(&new_id()).await);
        assert_eq!(problem(&foreign, 404), "not-found");
        assert_eq!(without_instance(&foreign), without_instance(&missing), "{method} {path}");
        let malformed = ask("no-id").await;
        assert_eq!(without_instance(&foreign), without_instance(&malformed), "{method} {path}");
    }
    let history = berta.get(&format!("insights/history/{}", anna.user_id)).await.unwrap();
    assert_eq!(problem(&history, 403), "foreign-user");
    let own = berta.get(&format!("insights/history/{}", berta.user_id)).await.unwrap().expect(200).unwrap();
    assert_eq!(own["data"]["count"], 0);
    for (path, body) in [
        ("healthkit", healthkit(&anna, &ten())),
        (
            "health-data",
            health_data(
                &anna,
                &[json!({
                    "metric_type": "heart_rate", "biometric_data": { "heart_rate": 60 }, "created_at": "2025-03-01T08:00:00Z",
                })],
            ),
        ),
    ] {
        assert_eq!(problem(&berta.post(path, &body).await.unwrap(), 403), "foreign-user");
    }
    assert_eq!(everything(&anna).await, before);
    assert_eq!(berta.get("health-data").await.unwrap().expect(200).unwrap()["data"], json!([]));
}

#[tokio::test]
async fn the_same_ids_of_two_people_are_two_readings() {
    let server = SHARED.get();
    let (anna, berta) = (server.phone().await, server.phone().await);
    let samples = ten();
    upload(&anna, &healthkit(&anna, &samples)).await;
    let answer = upload(&berta, &healthkit(&berta, &samples)).await;
    assert_eq!(answer["receipts"]["accepted"], 10);
    let id = answer["upload_id"].as_str().unwrap();
    berta.delete(&format!("health-data/{id}")).await.unwrap().expect(200).unwrap();
    assert_eq!(anna.readings("heart_rate").await.unwrap().len(), 10);
    assert_eq!(berta.readings("heart_rate").await.unwrap().len(), 0);
}

/// Waits until the first day counts so many steps; null where there is no day.
async fn steps_become(phone: &Phone, expected: &Value) {
    let follow = async || {
        let daily = phone.get("metrics/daily").await.unwrap().expect(200).unwrap();
        daily.pointer("/data/0/step_count/value").unwrap_or(&Value::Null) == expected
    };
    until("the aggregates follow the deletion", follow).await;
}

#[tokio::test]
async fn a_deleted_upload_is_gone_from_readings_and_measures_and_does_not_come_back() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let steps = |minute: u32, count: f64| {
        let (start, end) = (
            format!("2025-03-01T10:{minute:02}:00+01:00"),
            format!("2025-03-01T10:{:02}:00+01:00", minute + 1),
        );
        quantity("StepCount", count, "count", &start, &end)
    };
    upload(&phone, &healthkit(&phone, &[steps(0, 100.0)])).await;
    let body = healthkit(&phone, &[steps(10, 30.0), steps(20, 7.0)]);
    let second = upload(&phone, &body).await;
    steps_become(&phone, &json!(137.0)).await;

    let path = format!("health-data/{}", second["upload_id"].as_str().unwrap());
    let answer = phone.delete(&path).await.unwrap().expect(200).unwrap();
    assert_eq!(answer["message"], "2 samples deleted");
    assert_eq!(values(&phone.readings("step_count").await.unwrap()), [100.0]);
    steps_become(&phone, &json!(100.0)).await;
    for gone in [
        phone.delete(&path).await.unwrap(),
        phone.delete(&path.replace("health-data/", "health-data/processing/")).await.unwrap(),
        phone.get(&path.replace("health-data/", "healthkit/status/")).await.unwrap(),
        phone.get(&path.replace("health-data/", "health-data/processing/")).await.unwrap(),
    ] {
        assert_eq!(problem(&gone, 404), "not-found");
    }

    let again = upload(&phone, &body).await;
    assert_eq!((&again["receipts"]["accepted"], &again["receipts"]["duplicate"]), (&json!(0), &json!(0)));
    let rejected = again["receipts"]["rejected"].as_array().unwrap();
    let seen: Vec<_> =
        rejected.iter().map(|fault| (&fault["pointer"], &fault["code"], &fault["id"])).collect();
    let id = |at: usize| &body["quantity_samples"][at]["identifier"];
    let (first, second) = (json!("/quantity_samples/0"), json!("/quantity_samples/1"));
    assert_eq!(seen, [(&first, &json!("deleted"), id(0)), (&second, &json!("deleted"), id(1))]);
    assert_eq!(values(&phone.readings("step_count").await.unwrap()), [100.0]);
    steps_become(&phone, &json!(100.0)).await;
}

#[tokio::test]
async fn samples_deleted_on_the_phone_are_gone_and_do_not_come_back() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let at = |minute: u32| format!("2025-03-01T10:{minute:02}:00+01:00");
    let samples = [
        quantity("StepCount", 100.0, "count", &at(0), &at(1)),
        quantity("StepCount", 30.0, "count", &at(5), &at(6)),
    ];
    let body = healthkit(&phone, &samples);
    upload(&phone, &body).await;
    let mut deletion = healthkit(&phone, &[]);
    deletion["deleted_samples"] = json!([samples[1]["identifier"], { "uuid": new_id() }]);
    let answer = upload(&phone, &deletion).await;
    assert_eq!(answer["samples_received"]["deleted_samples"], 2);
    assert_eq!(values(&phone.readings("step_count").await.unwrap()), [100.0]);
    steps_become(&phone, &json!(100.0)).await;
    let again = upload(&phone, &body).await;
    assert_eq!(again["receipts"]["rejected"][0]["code"], "deleted");
    assert_eq!(again["receipts"]["duplicate"], 1);
    assert_eq!(values(&phone.readings("step_count").await.unwrap()), [100.0]);
    // Deleting all of a day takes the day with it.
    let mut deletion = healthkit(&phone, &[]);
    deletion["deleted_samples"] = json!([samples[0]["identifier"]]);
    upload(&phone, &deletion).await;
    steps_become(&phone, &Value::Null).await;
}

#[tokio::test]
async fn a_newer_value_wins_and_an_older_retry_does_not_overwrite_it() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let older = healthkit(&phone, &[heart_rate(0)]);
    let mut newer = older.clone();
    newer["quantity_samples"][0]["value"] = json!(77.0);
    assert_eq!(upload(&phone, &older).await["receipts"]["accepted"], 1);
    assert_eq!(upload(&phone, &newer).await["receipts"]["accepted"], 1);
    assert_eq!(values(&phone.readings("heart_rate").await.unwrap()), [77.0]);
    let retry = upload(&phone, &older).await;
    assert_eq!((&retry["receipts"]["accepted"], &retry["receipts"]["duplicate"]), (&json!(0), &json!(1)));
    assert_eq!(values(&phone.readings("heart_rate").await.unwrap()), [77.0]);
    let daily = phone.get("metrics/daily").await.unwrap().expect(200).unwrap();
    assert_eq!(daily["data"][0]["heart_rate_max"]["value"], 77.0);
    assert_eq!(daily["data"][0]["heart_rate_min"]["value"], 77.0);
}

#[tokio::test]
async fn a_reading_that_came_without_an_id_goes_by_the_phones_id_once_it_has_one() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let named = heart_rate(0);
    let mut nameless = named.clone();
    nameless.as_object_mut().unwrap().remove("identifier");
    upload(&phone, &healthkit(&phone, &[nameless.clone()])).await;
    upload(&phone, &healthkit(&phone, std::slice::from_ref(&named))).await;
    let readings = phone.readings("heart_rate").await.unwrap();
    assert_eq!(readings.len(), 1, "{readings:?}");
    assert_eq!(readings[0]["id"], named["identifier"]);
    // Without its id it is the same reading still.
    let again = upload(&phone, &healthkit(&phone, &[nameless])).await;
    assert_eq!(again["receipts"]["accepted"], 0, "{again}");
    let mut deletion = healthkit(&phone, &[]);
    deletion["deleted_samples"] = json!([named["identifier"]]);
    upload(&phone, &deletion).await;
    assert_eq!(phone.readings("heart_rate").await.unwrap().len(), 0);
}

#[tokio::test]
async fn one_body_with_the_same_reading_twice_keeps_it_once() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let sample = heart_rate(0);
    let answer = upload(&phone, &healthkit(&phone, &[sample.clone(), sample])).await;
    assert_eq!((&answer["receipts"]["accepted"], &answer["receipts"]["duplicate"]), (&json!(1), &json!(1)));
    assert_eq!(phone.readings("heart_rate").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_large_raw_body_becomes_an_object_and_a_small_one_does_not() {
    let server = Server::start(&[]);
    let phone = server.phone().await;
    let objects = server.data.path().join("objects");
    upload(&phone, &healthkit(&phone, &ten())).await;
    assert_eq!(files(&objects), Vec::<std::path::PathBuf>::new());

    let body = serde_json::to_vec(&healthkit(&phone, &(0..600).map(heart_rate).collect::<Vec<_>>())).unwrap();
    // What is kept is what was sent, whichever way it was coded for the journey.
    let answer = raw(&phone, "healthkit", "gzip", gzip(&body)).await.expect(202).unwrap();
    assert_eq!(answer["receipts"]["accepted"], 600);
    let id = answer["upload_id"].as_str().unwrap();
    let found = files(&objects);
    assert_eq!(found.len(), 1, "{found:?}");
    let name = found[0].to_str().unwrap();
    // Not by its user's id: the names of folders outlive what is in them.
    assert!(name.contains(id) && !name.contains(&phone.user_id), "the object is named by its upload");
    let file = std::fs::read(&found[0]).unwrap();
    // The file begins with the object's own description; the frame follows.
    let magic = file.windows(4).position(|window| window == [0x28, 0xb5, 0x2f, 0xfd]).unwrap();
    let mut kept = vec![0; body.len()];
    zstd::Decoder::new(&file[magic..]).unwrap().single_frame().read_exact(&mut kept).unwrap();
    assert!(kept == body, "the raw body is kept byte for byte");

    let path = format!("health-data/{}", answer["upload_id"].as_str().unwrap());
    phone.delete(&path).await.unwrap().expect(200).unwrap();
    until("the raw body goes with its upload", async || files(&objects).is_empty()).await;
}

#[tokio::test]
async fn bodies_may_be_coded_with_gzip_or_zstd() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let body = serde_json::to_vec(&healthkit(&phone, &ten())).unwrap();
    let zstd = zstd::encode_all(body.as_slice(), 3).unwrap();
    // A stream of several gzip members is one body (RFC 1952).
    let members = [gzip(&body[..20]), gzip(&body[20..])].concat();
    let answer = raw(&phone, "healthkit", "zstd", zstd).await.expect(202).unwrap();
    assert_eq!(answer["receipts"]["accepted"], 10);
    for (encoding, coded) in [("gzip", members), ("GZIP", gzip(&body)), ("identity", body.clone())] {
        let answer = raw(&phone, "healthkit", encoding, coded).await.expect(202).unwrap();
        assert_eq!(answer["receipts"]["duplicate"], 10, "{encoding}");
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_decoded_are_refused() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let body = serde_json::to_vec(&healthkit(&phone, &ten())).unwrap();
    let whole = gzip(&body);
    for coded in [&whole[..whole.len() - 12], b"not gzip at all", b""] {
        let answer = raw(&phone, "healthkit", "gzip", coded.to_vec()).await;
        assert_eq!(problem(&answer, 422), "validation");
    }
    let zstd = zstd::encode_all(body.as_slice(), 3).unwrap();
    assert_eq!(
        problem(&raw(&phone, "healthkit", "zstd", zstd[..zstd.len() / 2].to_vec()).await, 422),
        "validation"
    );
    for encoding in ["br", "deflate", "gzip, gzip"] {
        assert_eq!(
            problem(&raw(&phone, "healthkit", encoding, body.clone()).await, 415),
            "unsupported-media-type"
        );
    }
    assert_eq!(phone.readings("heart_rate").await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_small_body_that_decodes_to_a_huge_one_is_refused() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let zeros = vec![b' '; 32 << 20];
    for (encoding, coded) in
        [("gzip", gzip(&zeros)), ("zstd", zstd::encode_all(zeros.as_slice(), 3).unwrap())]
    {
        assert!(coded.len() < 1 << 20);
        assert_eq!(problem(&raw(&phone, "healthkit", encoding, coded).await, 413), "too-large", "{encoding}");
    }
}

#[tokio::test]
async fn a_body_above_the_cap_is_refused_whether_or_not_its_length_is_announced() {
    let server = Server::start(&[("server.upload_bytes_max", "65536"), ("server.json_bytes_max", "2048")]);
    let phone = server.phone().await;
    let mut fits = serde_json::to_vec(&healthkit(&phone, &ten())).unwrap();
    fits.resize(65536, b' ');
    assert_eq!(raw(&phone, "healthkit", "identity", fits.clone()).await.status, StatusCode::ACCEPTED);
    fits.push(b' ');
    assert_eq!(problem(&raw(&phone, "healthkit", "identity", fits.clone()).await, 413), "too-large");
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
        fits.chunks(4096).map(|piece| Ok(piece.to_vec())).collect();
    let stream = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let answer = read(phone.request(Method::POST, "healthkit").body(stream)).await.unwrap();
    assert_eq!(problem(&answer, 413), "too-large");
    let long = json!({ "analysis_results": { "note": "x".repeat(4096) } });
    assert_eq!(problem(&phone.post("insights", &long).await.unwrap(), 413), "too-large");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let server = Server::start(&[("server.body_timeout_ms", "300")]);
    let phone = server.phone().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "POST /api/v1/healthkit HTTP/1.1\r\nHost: clarity\r\nAuthorization: Bearer {}\r\nContent-Length: 1000\r\n\r\n{{\"user",
        phone.access_token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let all = async {
        let mut chunk = [0; 4096];
        while !answer.contains("\r\n\r\n") || !answer.ends_with('}') {
            let count = stream.read(&mut chunk).await.unwrap();
            assert!(count > 0, "the connection ended with {answer}");
            answer.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"/problems/request-timeout\""), "{answer}");
    assert_eq!(phone.get("health").await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn a_malformed_body_is_refused_with_a_pointer_and_without_what_was_sent() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let post = async |path: &str, body: &str| {
        raw(&phone, path, "identity", body.replace("USER", &phone.user_id).into_bytes()).await
    };
    for (path, body, pointer) in [
        ("healthkit", r#"{"user_id": "USER", "quantity_samples": ["SECRET""#, ""),
        ("healthkit", r#"{"user_id": "USER", "quantity_samples": "SECRET"}"#, ""),
        ("healthkit", r#"["SECRET"]"#, ""),
        ("healthkit", "", ""),
        ("health-data", r#"{"user_id": "USER", "metrics": "SECRET"}"#, ""),
        (
            "health-data",
            r#"{"user_id": "USER", "metrics": [], "upload_source": "SECRET", "client_timestamp": "2025-03-01T08:00:00Z"}"#,
            "/metrics",
        ),
        (
            "health-data",
            r#"{"user_id": "USER", "metrics": [{}], "upload_source": "a", "client_timestamp": "SECRET"}"#,
            "/client_timestamp",
        ),
        ("insights", r#"{"insight_type": {"SECRET": 1}}"#, "/insight_type"),
        ("insights", r#"{"language": "SECRET SECRET"}"#, "/language"),
        ("pat/step-analysis", r#"{"step_counts": [1, "SECRET"], "timestamps": []}"#, "/step_counts/1"),
        ("pat/step-analysis", r#"{"step_counts": [1], "timestamps": ["SECRET"]}"#, "/timestamps/0"),
        ("pat/step-analysis", r#"{"step_counts": [1], "timestamps": []}"#, "/timestamps"),
        ("pat/step-analysis", r#"{"step_counts": [], "timestamps": []}"#, "/step_counts"),
        (
            "pat/analysis",
            r#"{"data_points": [{"timestamp": "SECRET", "value": 1}], "sampling_rate": 1, "duration_hours": 1}"#,
            "/data_points/0/timestamp",
        ),
        (
            "pat/analysis",
            r#"{"data_points": [], "sampling_rate": 1, "duration_hours": 0}"#,
            "/duration_hours",
        ),
        ("auth/login", r#"["SECRET", "SECRET"]"#, ""),
        ("auth/register", r#"{"email": 7, "password": "SECRET-SECRET"}"#, "/email"),
    ] {
        let answer = post(path, body).await;
        assert_eq!(problem(&answer, 422), "validation", "{path} {body}");
        assert_eq!(pointers(&answer), [pointer], "{path} {body}");
        assert!(!answer.body.to_string().contains("SECRET"), "{path} {body}: {}", answer.body);
    }
}

#[tokio::test]
async fn an_upload_holds_so_many_items_and_no_more() {
    let server =
        Server::start(&[("limits.metrics_per_upload_max", "3"), ("limits.samples_per_upload_max", "3")]);
    let phone = server.phone().await;
    let metrics: Vec<Value> = (0..4)
        .map(|minute| {
            json!({ "metric_type": "heart_rate", "biometric_data": { "heart_rate": 60 }, "created_at": format!("2025-03-01T08:0{minute}:00Z") })
        })
        .collect();
    let answer = phone.post("health-data", &health_data(&phone, &metrics)).await.unwrap();
    assert_eq!((problem(&answer, 422).as_str(), pointers(&answer)), ("validation", vec!["/metrics"]));
    phone.post("health-data", &health_data(&phone, &metrics[..3])).await.unwrap().expect(201).unwrap();
    let samples: Vec<Value> = (0..4).map(heart_rate).collect();
    assert_eq!(
        problem(&phone.post("healthkit", &healthkit(&phone, &samples)).await.unwrap(), 422),
        "validation"
    );
    phone.post("healthkit", &healthkit(&phone, &samples[..3])).await.unwrap().expect(202).unwrap();
}
