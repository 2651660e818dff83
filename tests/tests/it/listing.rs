//! Listing readings: every page holds what it should, also while others are added and deleted.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{Answer, Phone};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Shared, health_data, healthkit, heart_rate, pointers, problem, quantity, upload};

static SHARED: Shared = Shared::new();

/// A reading of heart rate or steps on one of three days; many share an instant.
fn reading(at: u32) -> Value {
    let time = format!("2025-03-{:02}T{:02}:00:00Z", 1 + at % 3, 8 + at / 6);
    match at % 2 {
        0 => quantity("HeartRate", 60.0 + f64::from(at), "count/min", &time, &time),
        _ => quantity("StepCount", 10.0 + f64::from(at), "count", &time, &time),
    }
}

fn ids(samples: &[Value]) -> BTreeSet<String> {
    samples.iter().map(|sample| sample["identifier"].as_str().unwrap().to_owned()).collect()
}

async fn page(phone: &Phone, path: &str) -> Value {
    phone.get(path.trim_start_matches("/api/v1/")).await.unwrap().expect(200).unwrap()
}

fn listed(page: &Value) -> Vec<String> {
    page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reading| reading["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_pages_forth_are_the_pages_back() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let samples: Vec<Value> = (0..40).map(reading).collect();
    upload(&phone, &healthkit(&phone, &samples)).await;
    for limit in [1, 7, 39, 40, 41] {
        let first = page(&phone, &format!("health-data?limit={limit}")).await;
        assert_eq!(first["links"]["previous"], Value::Null);
        let (mut forth, mut at) = (vec![listed(&first)], first.clone());
        while let Some(next) = at["links"]["next"].as_str() {
            assert_eq!(at["pagination"]["has_next"], true);
            at = page(&phone, next).await;
            forth.push(listed(&at));
        }
        assert_eq!(at["pagination"]["has_next"], false);
        let all: BTreeSet<String> = forth.iter().flatten().cloned().collect();
        assert_eq!((all, forth.iter().flatten().count()), (ids(&samples), 40), "limit {limit}");
        let mut back = vec![listed(&at)];
        while let Some(previous) = at["links"]["previous"].as_str() {
            at = page(&phone, previous).await;
            back.push(listed(&at));
        }
        back.reverse();
        let flat = |pages: &[Vec<String>]| pages.concat();
        assert_eq!(flat(&back), flat(&forth), "limit {limit}");
        assert!(back.iter().chain(&forth).all(|page| page.len() <= limit && !page.is_empty()));
    }
}

#[tokio::test]
async fn a_walk_sees_each_reading_that_stays_exactly_once() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let stable: Vec<Value> = (0..60).map(reading).collect();
    let fleeting: Vec<Value> = (0..60).map(reading).collect();
    upload(&phone, &healthkit(&phone, &stable)).await;
    let mut doomed = Vec::new();
    for part in fleeting.chunks(10) {
        doomed.push(upload(&phone, &healthkit(&phone, part)).await["upload_id"].as_str().unwrap().to_owned());
    }
    let mut at = page(&phone, "health-data?limit=7").await;
    for direction in ["next", "previous"] {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let mut gone = BTreeSet::new();
        let mut pages = 0;
        loop {
            for id in listed(&at) {
                assert!(!gone.contains(&id), "a deleted reading is listed");
                *seen.entry(id).or_default() += 1;
            }
            let Some(link) = at["links"][direction].as_str().map(str::to_owned) else { break };
            pages += 1;
            // Between two pages somebody adds readings all over the range, and deletes others.
            if pages % 2 == 1 {
                upload(&phone, &healthkit(&phone, &[reading(pages), reading(59 - pages)])).await;
            }
            if pages % 3 == 1 && doomed.len() > usize::from(direction == "next") * 3 {
                let index = doomed.len() - 1;
                phone
                    .delete(&format!("health-data/{}", doomed.remove(index)))
                    .await
                    .unwrap()
                    .expect(200)
                    .unwrap();
                gone.extend(ids(&fleeting[index * 10..index * 10 + 10]));
            }
            at = page(&phone, &link).await;
        }
        assert!(pages > 8 && !gone.is_empty());
        for id in ids(&stable) {
            assert_eq!(seen.get(&id), Some(&1), "{direction}");
        }
        assert!(seen.values().all(|times| *times == 1), "{direction}");
    }
}

#[tokio::test]
async fn a_cursor_outlives_the_reading_that_it_names() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let (kept, doomed) = ([heart_rate(0), heart_rate(9)], [heart_rate(5)]);
    upload(&phone, &healthkit(&phone, &kept)).await;
    let id = upload(&phone, &healthkit(&phone, &doomed)).await["upload_id"].as_str().unwrap().to_owned();
    // The second page ends with the doomed reading, and begins with it too.
    let first = page(&phone, "health-data?limit=1").await;
    let second = page(&phone, first["links"]["next"].as_str().unwrap()).await;
    assert_eq!(listed(&second), [doomed[0]["identifier"].as_str().unwrap()]);
    phone.delete(&format!("health-data/{id}")).await.unwrap().expect(200).unwrap();
    let third = page(&phone, second["links"]["next"].as_str().unwrap()).await;
    assert_eq!(listed(&third), [kept[0]["identifier"].as_str().unwrap()]);
    let back = page(&phone, second["links"]["previous"].as_str().unwrap()).await;
    assert_eq!(listed(&back), [kept[1]["identifier"].as_str().unwrap()]);
}

#[tokio::test]
async fn filters_choose_by_metric_time_and_source() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let mut phone_steps = quantity("StepCount", 5.0, "count", "2025-03-01T10:00:00Z", "2025-03-01T10:05:00Z");
    phone_steps["source_name"] = json!("Anna's iPhone & more");
    phone_steps["device"] = json!({ "product_type": "iPhone16,1", "bundle_identifier": "org.example.steps" });
    let samples = [heart_rate(0), heart_rate(60), heart_rate(120), phone_steps];
    upload(&phone, &healthkit(&phone, &samples)).await;
    let found = async |query: &str| {
        let path = format!("health-data?{query}");
        let found = listed(&page(&phone, &path).await);
        found
            .iter()
            .map(|id| samples.iter().position(|sample| sample["identifier"] == *id).unwrap())
            .collect::<Vec<_>>()
    };
    // Heart rates at 7, 8 and 9 UTC, steps at 10; newest first.
    for (query, expected) in [
        ("", vec![3, 2, 1, 0]),
        ("data_type=heart_rate", vec![2, 1, 0]),
        ("data_type=HKQuantityTypeIdentifierStepCount", vec![3]),
        ("start_date=2025-03-01T08:00:00Z", vec![3, 2, 1]),
        ("start_date=2025-03-01T08:00:00.001Z", vec![3, 2]),
        ("end_date=2025-03-01T08:00:00Z", vec![0]),
        ("end_date=2025-03-01T08:00:00.001Z", vec![1, 0]),
        ("start_date=2025-03-01T07:00:00Z&end_date=2025-03-01T09:00:00Z", vec![1, 0]),
        // An offset, with its plus sign escaped or as phones forget to.
        ("start_date=2025-03-01T10:00:00%2B01:00", vec![3, 2]),
        ("start_date=2025-03-01T10:00:00+01:00", vec![3, 2]),
        ("start_date=2025-03-01T08:00:00Z&end_date=2025-03-01T08:00:00Z", vec![]),
        ("source=Apple%20Watch", vec![2, 1, 0]),
        ("source=Watch6,2", vec![2, 1, 0]),
        ("source=Anna%27s+iPhone+%26+more", vec![3]),
        ("source=org.example.steps", vec![3]),
        ("source=iPhone", vec![]),
        ("source=iPhone16,1&data_type=heart_rate", vec![]),
        ("data_type=body_mass", vec![]),
    ] {
        assert_eq!(found(query).await, expected, "{query}");
    }
    // The links carry the filter on.
    let mut at = page(&phone, "health-data?limit=1&source=Watch6,2&end_date=2025-03-01T09:00:00Z").await;
    let mut seen = listed(&at);
    while let Some(next) = at["links"]["next"].as_str() {
        at = page(&phone, next).await;
        seen.extend(listed(&at));
    }
    assert_eq!(
        seen,
        [samples[1]["identifier"].as_str().unwrap(), samples[0]["identifier"].as_str().unwrap()]
    );
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_listing_only() {
    let server = SHARED.get();
    let (phone, other) = (server.phone().await, server.phone().await);
    for phone in [&phone, &other] {
        upload(phone, &healthkit(phone, &(0..5).map(heart_rate).collect::<Vec<_>>())).await;
    }
    let first = page(&phone, "health-data?limit=2&data_type=heart_rate").await;
    let cursor = first["pagination"]["next_cursor"].as_str().unwrap();
    let ask = async |phone: &Phone, query: String| phone.get(&format!("health-data?{query}")).await.unwrap();
    ask(&phone, format!("data_type=heart_rate&cursor={cursor}")).await.expect(200).unwrap();
    let refused = |answer: &Answer, what: &str| {
        assert_eq!(problem(answer, 422), "validation", "{what}");
        assert_eq!(pointers(answer), ["cursor"], "{what}");
    };
    refused(&ask(&other, format!("data_type=heart_rate&cursor={cursor}")).await, "another person's");
    refused(&ask(&phone, format!("cursor={cursor}")).await, "another filter's");
    refused(&ask(&phone, format!("data_type=heart_rate&source=x&cursor={cursor}")).await, "another filter's");
    for at in [0, 10, 30, cursor.len() - 2] {
        let mut tampered = cursor.to_owned().into_bytes();
        tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(tampered).unwrap();
        refused(&ask(&phone, format!("data_type=heart_rate&cursor={tampered}")).await, "tampered");
    }
    for cursor in ["", "x", "AAAA", "!!!!", &cursor[..20]] {
        refused(&ask(&phone, format!("data_type=heart_rate&cursor={cursor}")).await, cursor);
    }
}

#[tokio::test]
async fn a_listing_can_be_entered_by_a_page_or_an_offset() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let samples: Vec<Value> = (0..7).map(heart_rate).collect();
    upload(&phone, &healthkit(&phone, &samples)).await;
    let all = listed(&page(&phone, "health-data").await);
    for (query, from, to) in [
        ("limit=3&offset=0", 0, 3),
        ("limit=3&offset=2", 2, 5),
        ("limit=3&offset=5", 5, 7),
        ("limit=3&offset=7", 7, 7),
        ("limit=3&offset=300", 7, 7),
        ("limit=3&page=2", 3, 6),
        ("limit=3&page=100", 7, 7),
    ] {
        let found = page(&phone, &format!("health-data?{query}")).await;
        assert_eq!(listed(&found), all[from..to], "{query}");
        assert_eq!(found["pagination"]["has_next"], to < 7, "{query}");
        assert_eq!(found["links"]["last"], Value::Null, "{query}");
        if let Some(next) = found["links"]["next"].as_str() {
            assert_eq!(listed(&page(&phone, next).await), all[to..(to + 3).min(7)], "{query}");
        }
    }
}

#[tokio::test]
async fn the_history_of_insights_has_pages() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        let answer = phone.post("insights", &json!({})).await.unwrap().expect(200).unwrap();
        ids.insert(0, answer["data"]["insight_id"].clone());
    }
    let path = format!("insights/history/{}", phone.user_id);
    for (query, from, to, total) in [
        ("", 0, 10, Value::Null),
        ("?limit=12", 0, 12, json!(12)),
        ("?limit=5&offset=4", 4, 9, Value::Null),
        ("?offset=10", 10, 12, json!(12)),
        ("?offset=12", 12, 12, Value::Null),
        ("?limit=100&offset=899", 12, 12, Value::Null),
    ] {
        let found = phone.get(&format!("{path}{query}")).await.unwrap().expect(200).unwrap();
        let data = &found["data"];
        let seen: Vec<&Value> =
            data["insights"].as_array().unwrap().iter().map(|insight| &insight["insight_id"]).collect();
        assert_eq!(seen, ids[from..to].iter().collect::<Vec<_>>(), "{query}");
        let figures = (&data["count"], &data["has_more"], &data["total_count"]);
        assert_eq!(figures, (&json!(to - from), &json!(to < 12), &total), "{query}");
    }
    for (query, pointer) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("offset=900", "offset"),
        ("offset=-1", ""),
        ("page=1", ""),
    ] {
        let answer = phone.get(&format!("{path}?{query}")).await.unwrap();
        assert_eq!(
            (problem(&answer, 422).as_str(), pointers(&answer)),
            ("validation", vec![pointer]),
            "{query}"
        );
    }
}

#[tokio::test]
async fn what_a_listing_is_asked_for_is_checked() {
    let server = SHARED.get();
    let phone = server.phone().await;
    for (query, pointer) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", ""),
        ("limit=ten", ""),
        ("data_type=aura", "data_type"),
        ("start_date=soon", "start_date"),
        ("end_date=2025-03-01", "end_date"),
        ("colour=red", ""),
        ("offset=-1", ""),
        ("offset=201&limit=2", "offset"),
        ("offset=18446744073709551615", "offset"),
        ("offset=1&page=1", "offset"),
        ("offset=0&cursor=x", "offset"),
    ] {
        let answer = phone.get(&format!("health-data?{query}")).await.unwrap();
        assert_eq!(
            (problem(&answer, 422).as_str(), pointers(&answer)),
            ("validation", vec![pointer]),
            "{query}"
        );
    }
    for query in ["limit=1", "limit=1000"] {
        phone.get(&format!("health-data?{query}")).await.unwrap().expect(200).unwrap();
    }
    for (path, pointer) in [
        ("metrics/daily?start_date=today", "start_date"),
        ("metrics/sleep?start_date=2025-03-02&end_date=2025-03-01", "end_date"),
        ("metrics/sleep?days=3", ""),
    ] {
        let answer = phone.get(path).await.unwrap();
        assert_eq!(
            (problem(&answer, 422).as_str(), pointers(&answer)),
            ("validation", vec![pointer]),
            "{path}"
        );
    }
}

/// Every text in an answer that reads as an instant.
fn instants<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| instants(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| instants(field, found)),
        _ => {}
    }
}

#[tokio::test]
async fn dates_are_whole_seconds_as_swift_reads_them() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let fine = |second: u32| format!("2025-03-01T02:{:02}:{:02}.257+01:00", second / 60, second % 60);
    let mut night = quantity("", 0.0, "", &fine(0), &fine(1800));
    night["type"] = json!("HKCategoryTypeIdentifierSleepAnalysis");
    night["value"] = json!(3);
    let mut body = healthkit(
        &phone,
        &[
            quantity("HeartRate", 61.0, "count/min", &fine(2), &fine(3)),
            quantity("StepCount", 30.0, "count", &fine(100), &fine(160)),
        ],
    );
    body["category_samples"] = json!([night]);
    let sent = upload(&phone, &body).await;
    let id = sent["upload_id"].as_str().unwrap();
    let metric = json!({ "metric_type": "heart_rate", "biometric_data": { "heart_rate": 60 } });
    let mut answers = vec![
        sent.clone(),
        phone.post("health-data", &health_data(&phone, &[metric])).await.unwrap().expect(201).unwrap(),
        phone.post("insights", &json!({})).await.unwrap().expect(200).unwrap(),
        phone
            .post("pat/step-analysis", &json!({ "step_counts": [1], "timestamps": [fine(0)] }))
            .await
            .unwrap()
            .expect(200)
            .unwrap(),
    ];
    for path in [
        "health-data".to_owned(),
        format!("healthkit/status/{id}"),
        format!("health-data/processing/{id}"),
        "metrics/daily".to_owned(),
        "metrics/sleep".to_owned(),
        "metrics/circadian".to_owned(),
        "auth/me".to_owned(),
        "pat/health".to_owned(),
        "health".to_owned(),
        "health/detailed".to_owned(),
        format!("insights/history/{}", phone.user_id),
    ] {
        let answer = phone.request(Method::GET, &path).send().await.unwrap();
        answers.push(answer.json().await.unwrap());
    }
    let mut count = 0;
    for answer in &answers {
        let mut found = Vec::new();
        instants(answer, &mut found);
        count += found.len();
        for instant in found {
            assert!(instant.len() == 20 && instant.ends_with('Z'), "{instant} in {answer}");
        }
    }
    assert!(count > 15, "{count} instants");
    let listed = page(&phone, "health-data?data_type=heart_rate&end_date=2025-03-02T00:00:00Z").await;
    let reading = listed["data"].as_array().unwrap().last().unwrap();
    assert_eq!(reading["timestamp"], "2025-03-01T01:00:02Z");
    assert_eq!(reading["timestamp_ms"], 1_740_790_802_257_i64);
}
