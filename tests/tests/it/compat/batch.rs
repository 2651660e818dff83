//! Batches: each record is kept or refused on its own.

use e2e::{Answer, Phone, read};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Shared, health_data, new_id, pointers, problem, processed};

static SHARED: Shared = Shared::new();

fn metric(minute: u32) -> Value {
    json!({
        "metric_type": "heart_rate",
        "biometric_data": { "heart_rate": 60 + minute },
        "created_at": format!("2025-03-01T08:{minute:02}:00Z"),
    })
}

fn reading(minute: u32) -> Value {
    json!({ "data_type": "heart_rate", "value": 60 + minute, "unit": "count/min", "recorded_at": format!("2025-03-01T09:{minute:02}:00Z") })
}

fn samples(phone: &Phone, minute: u32) -> Value {
    let at = format!("2025-03-01T10:{minute:02}:00Z");
    let sample = json!({ "sample_type": "heartRate", "value": 70, "unit": "count/min", "start_date": at, "end_date": at });
    json!({ "user_id": phone.user_id, "samples": [sample], "timestamp": at })
}

async fn keyed(phone: &Phone, key: &str, body: &Value) -> Answer {
    let request = phone.request(Method::POST, "health-data/batch").header("idempotency-key", key).json(body);
    read(request).await.unwrap()
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["processing_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect()
}

#[tokio::test]
async fn records_of_every_form_become_uploads_of_their_own() {
    let server = SHARED.get();
    let phone = server.phone().await;
    // Swift writes instants so where nobody tells it otherwise: seconds since the beginning of 2001.
    let swift = json!({ "data_type": "steps", "value": 12, "unit": "count", "recorded_at": 762_516_000.5 });
    let body = json!({ "records": [
        reading(1), metric(2), health_data(&phone, &[metric(3), metric(4)]), samples(&phone, 5), swift,
    ]});
    let answer = phone.post("health-data/batch", &body).await.unwrap().expect(201).unwrap();
    assert_eq!(
        (&answer["success_count"], &answer["failed_count"], &answer["errors"]),
        (&json!(5), &json!(0), &json!([]))
    );
    let mut accepted = Vec::new();
    for id in ids(&answer) {
        processed(&phone, id).await;
        let status = phone.get(&format!("health-data/processing/{id}")).await.unwrap().expect(200).unwrap();
        accepted.push(status["receipts"]["accepted"].as_u64().unwrap());
    }
    assert_eq!(accepted, [1, 1, 2, 1, 1]);
    assert_eq!(phone.readings("heart_rate").await.unwrap().len(), 5);
    let steps = phone.readings("step_count").await.unwrap();
    assert_eq!((&steps[0]["timestamp"], &steps[0]["value"]), (&json!("2025-03-01T10:00:00Z"), &json!(12.0)));
    // Sent again, it is known; deleting one upload deletes its readings only.
    let again = phone.post("health-data/batch/", &body).await.unwrap().expect(201).unwrap();
    assert_eq!((&again["success_count"], &again["failed_count"]), (&json!(5), &json!(0)));
    assert_eq!(phone.all_readings().await.unwrap().len(), 6);
    phone.delete(&format!("health-data/{}", ids(&answer)[2])).await.unwrap().expect(200).unwrap();
    assert_eq!(phone.readings("heart_rate").await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_faulty_record_costs_itself_only_and_a_faulty_reading_not_even_its_record() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let change = |field: &str, value: Value| {
        let mut reading = reading(20);
        reading[field] = value;
        reading
    };
    let mut undated = metric(21);
    undated.as_object_mut().unwrap().remove("created_at");
    let mut high = metric(22);
    high["biometric_data"]["heart_rate"] = json!(54321);
    let records = [
        (reading(1), None),
        (change("value", json!(54321)), Some("/value")),
        (change("unit", json!("furlong")), Some("/unit")),
        (change("data_type", json!("aura")), Some("/data_type")),
        (change("data_type", json!("sleep_analysis")), Some("/data_type")),
        (change("recorded_at", json!("soon")), Some("/recorded_at")),
        // Seconds since 1970, in a form that counts from 2001.
        (change("recorded_at", json!(1_740_000_000)), Some("/recorded_at")),
        (change("value", json!("fast")), Some("")),
        (undated, Some("/created_at")),
        (high.clone(), Some("/biometric_data")),
        (json!(7), Some("")),
        (json!({}), Some("/user_id")),
        (health_data(&phone, &[]), Some("/metrics")),
        (health_data(&phone, &[high, metric(2)]), Some("/metrics/0/biometric_data")),
        (samples(&phone, 3), None),
    ];
    let body = json!({ "records": records.iter().map(|(record, _)| record).collect::<Vec<_>>() });
    let answer = phone.post("health-data/batch", &body).await.unwrap().expect(201).unwrap();
    assert_eq!((&answer["success_count"], &answer["failed_count"]), (&json!(3), &json!(12)), "{answer}");
    assert_eq!(ids(&answer).len(), 3);
    let seen: Vec<&str> =
        answer["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    let expected: Vec<String> = records
        .iter()
        .enumerate()
        .filter_map(|(at, (_, fault))| fault.map(|fault| format!("/records/{at}{fault}")))
        .collect();
    assert_eq!(seen, expected);
    for sent in ["54321", "furlong", "aura", "soon", "fast"] {
        assert!(!answer["errors"].to_string().contains(sent), "an error repeats {sent}");
    }
    assert_eq!(phone.all_readings().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_batch_of_which_nothing_can_be_kept_keeps_nothing() {
    let server = SHARED.get();
    let (phone, other) = (server.phone().await, server.phone().await);
    let mut bad = reading(1);
    bad["unit"] = json!("furlong");
    let too_many: Vec<Value> = (0..101).map(|_| reading(1)).collect();
    for (records, expected) in [
        (json!([bad, 7]), vec!["/records/0/unit", "/records/1"]),
        (json!([]), vec!["/records"]),
        (json!(too_many), vec!["/records"]),
        (json!("records"), vec![""]),
    ] {
        let answer = phone.post("health-data/batch", &json!({ "records": records })).await.unwrap();
        assert_eq!((problem(&answer, 422).as_str(), pointers(&answer)), ("validation", expected));
    }
    // The first record is the caller's, and is not kept either.
    let mixed = json!({ "records": [reading(1), health_data(&other, &[metric(2)])] });
    let answer = phone.post("health-data/batch", &mixed).await.unwrap();
    assert_eq!(problem(&answer, 403), "foreign-user");
    let mut reading = reading(1);
    reading["user_id"] = json!(other.user_id);
    let answer = phone.post("health-data/batch", &json!({ "records": [reading] })).await.unwrap();
    assert_eq!(problem(&answer, 403), "foreign-user");
    for phone in [&phone, &other] {
        assert_eq!(phone.all_readings().await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn a_batch_with_a_key_takes_effect_once() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let key = new_id();
    let body = json!({ "records": [metric(1), reading(2), 7] });
    let answers = futures::future::join_all((0..20).map(|_| keyed(&phone, &key, &body))).await;
    let mut replies = Vec::new();
    for answer in answers {
        if answer.status == 409 {
            assert_eq!(problem(&answer, 409), "in-progress");
        } else {
            replies.push(answer.expect(201).unwrap());
        }
    }
    replies.push(keyed(&phone, &key, &body).await.expect(201).unwrap());
    assert!(replies.windows(2).all(|pair| pair[0] == pair[1]), "{replies:?}");
    assert_eq!((&replies[0]["success_count"], &replies[0]["failed_count"]), (&json!(2), &json!(1)));
    let other = json!({ "records": [metric(3)] });
    assert_eq!(problem(&keyed(&phone, &key, &other).await, 422), "idempotency-mismatch");
    assert_eq!(phone.all_readings().await.unwrap().len(), 2);
}
