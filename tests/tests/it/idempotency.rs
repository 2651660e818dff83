//! Requests that come again: one effect, and the same bytes for each.

use std::{collections::BTreeSet, time::Duration};

use e2e::{Clarity, Phone};
use futures::future::join_all;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Server, Shared, health_data, healthkit, heart_rate, new_id, problem, until};

static SHARED: Shared = Shared::new();

fn keyed(phone: &Phone, path: &str, key: &str, body: &Value) -> RequestBuilder {
    phone.request(Method::POST, path).header("idempotency-key", key).json(body)
}

/// Status, whether it was replayed, and the exact bytes.
async fn whole(response: Response) -> (u16, bool, Vec<u8>) {
    let replayed = response.headers().contains_key("idempotency-replayed");
    (response.status().as_u16(), replayed, response.bytes().await.unwrap().to_vec())
}

async fn send(phone: &Phone, path: &str, key: &str, body: &Value) -> (u16, bool, Vec<u8>) {
    whole(keyed(phone, path, key, body).send().await.unwrap()).await
}

fn steps() -> Value {
    let start: jiff::Timestamp = "2025-03-01T00:00:00Z".parse().unwrap();
    let minute = |at: i64| (start + jiff::SignedDuration::from_mins(at)).to_string();
    json!({
        "step_counts": (0..4320).map(|at| if at % 1440 > 480 { at % 90 } else { 0 }).collect::<Vec<i64>>(),
        "timestamps": (0..4320).map(minute).collect::<Vec<_>>(),
    })
}

async fn ready(server: &Server) {
    until("the model is read", async || {
        reqwest::get(server.url("/api/v1/health/ready")).await.unwrap().status() == 200
    })
    .await;
}

#[tokio::test]
async fn every_route_that_creates_answers_a_repetition_with_the_same_bytes() {
    let server = SHARED.get();
    ready(&server).await;
    let (phone, other) = (server.phone().await, server.phone().await);
    let metric = json!({
        "metric_type": "heart_rate",
        "biometric_data": { "heart_rate": 61 },
        "created_at": "2025-03-01T08:00:00Z",
    });
    let points: Vec<Value> = (0..60)
        .map(|minute| json!({ "timestamp": format!("2025-03-01T08:{minute:02}:00Z"), "value": 12.0 }))
        .collect();
    for (path, body) in [
        ("healthkit", healthkit(&phone, &[heart_rate(0)])),
        ("health-data", health_data(&phone, &[metric])),
        ("pat/step-analysis", steps()),
        ("pat/analysis", json!({ "data_points": points })),
        ("insights", json!({})),
    ] {
        let key = new_id();
        let (status, replayed, first) = send(&phone, path, &key, &body).await;
        assert!((200..300).contains(&status) && !replayed, "{path}: {status}");
        for quoted in [key.clone(), format!("\"{key}\"")] {
            assert_eq!(send(&phone, path, &quoted, &body).await, (status, true, first.clone()), "{path}");
        }
        // Another body, another path, another user.
        let mut changed = body.clone();
        changed["sync_token"] = json!("another");
        let mismatch = e2e::read(keyed(&phone, path, &key, &changed)).await.unwrap();
        assert_eq!(problem(&mismatch, 422), "idempotency-mismatch", "{path}");
        let elsewhere = if path == "insights" { "healthkit" } else { "insights" };
        let mismatch = e2e::read(keyed(&phone, elsewhere, &key, &body)).await.unwrap();
        assert_eq!(problem(&mismatch, 422), "idempotency-mismatch", "{path}");
        let mut own = body.clone();
        if own.get("user_id").is_some() {
            own["user_id"] = json!(other.user_id);
        }
        let (status, replayed, theirs) = send(&other, path, &key, &own).await;
        assert!((200..300).contains(&status) && !replayed, "{path}: {status}");
        assert_ne!(theirs, first, "{path}: another user's reply");
        // Without a key it is a request of its own.
        let again = phone.post(path, &body).await.unwrap();
        assert_ne!(again.body, serde_json::from_slice::<Value>(&first).unwrap(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_have_one_effect_also_over_two_instances() {
    let first = Server::start(&[]);
    let second = Clarity::serve(first.data.path()).unwrap().start().unwrap();
    let phone = first.phone().await;
    let elsewhere = phone.at(second.address().unwrap());
    let body = healthkit(&phone, &(0..40).map(heart_rate).collect::<Vec<_>>());
    let key = new_id();
    let requests = (0..50).map(|number| {
        let phone = if number % 2 == 0 { &phone } else { &elsewhere };
        keyed(phone, "healthkit", &key, &body).send()
    });
    let mut replies = BTreeSet::new();
    let (mut acted, mut in_progress) = (0, 0);
    for response in join_all(requests).await {
        let response = response.unwrap();
        if response.status() == 409 {
            assert!(response.headers().contains_key("retry-after"));
            in_progress += 1;
            continue;
        }
        let (status, replayed, bytes) = whole(response).await;
        assert_eq!(status, 202);
        acted += usize::from(!replayed);
        replies.insert(bytes);
    }
    assert_eq!((acted, replies.len()), (1, 1), "{in_progress} were told to wait");
    let (_, replayed, bytes) = send(&elsewhere, "healthkit", &key, &body).await;
    assert!(replayed && replies.contains(&bytes));
    let reply: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(reply["receipts"]["accepted"], 40);
    assert_eq!(phone.readings("heart_rate").await.unwrap().len(), 40);
}

/// Kills the server at any moment of a request, most of all between commit and answer, and sends the request again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_the_same_request_has_had_one_effect() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Clarity::serve(data.path()).unwrap().start().unwrap();
    let mut phone = Phone::sign_up(server.address().unwrap()).await.unwrap();
    let mut kept = 0;
    for round in 0..12_usize {
        let key = new_id();
        let readings: Vec<Value> =
            (0..20).map(|n| heart_rate(u32::try_from(round * 20 + n).unwrap())).collect();
        let body = healthkit(&phone, &readings);
        let sending = tokio::spawn(keyed(&phone, "healthkit", &key, &body).send());
        tokio::time::sleep(Duration::from_millis(u64::try_from(round).unwrap())).await;
        server.kill().unwrap();
        let first = match sending.await.unwrap() {
            Ok(response) => response.bytes().await.ok().map(|bytes| bytes.to_vec()),
            Err(_) => None,
        };
        server = tokio::task::spawn_blocking({
            let data = data.path().to_owned();
            move || Clarity::serve(&data).unwrap().start().unwrap()
        })
        .await
        .unwrap();
        phone = phone.at(server.address().unwrap());
        let (status, replayed, again) = send(&phone, "healthkit", &key, &body).await;
        assert_eq!(status, 202);
        kept += usize::from(replayed);
        if let Some(first) = first.filter(|first| !first.is_empty()) {
            assert!(replayed && first == again, "an answer that was given was forgotten");
        }
        let reply: Value = serde_json::from_slice(&again).unwrap();
        assert_eq!(reply["receipts"]["accepted"], 20, "{reply}");
        assert_eq!(phone.readings("heart_rate").await.unwrap().len(), (round + 1) * 20);
    }
    // Both happened: kills before the commit, and kills after it.
    assert!(kept > 0, "no kill came after a commit");
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_and_nothing_is_kept() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let body = healthkit(&phone, &[heart_rate(0)]);
    for key in ["", "\"\"", "two words", "é", &"x".repeat(256)] {
        let request = phone.request(Method::POST, "healthkit").json(&body);
        let value = reqwest::header::HeaderValue::from_bytes(key.as_bytes()).unwrap();
        let answer = e2e::read(request.header("idempotency-key", value)).await.unwrap();
        assert_eq!(problem(&answer, 422), "validation", "{key}");
    }
    let twice = keyed(&phone, "healthkit", "a", &body).header("idempotency-key", "b");
    assert_eq!(problem(&e2e::read(twice).await.unwrap(), 422), "validation");
    assert!(phone.readings("heart_rate").await.unwrap().is_empty());
    // A request that was refused took no key: it may be corrected and sent again.
    let key = new_id();
    assert_eq!(send(&phone, "healthkit", &key, &json!([])).await.0, 422);
    assert_eq!(send(&phone, "healthkit", &key, &body).await.0, 202);
}

#[tokio::test]
async fn who_rather_waits_elsewhere_gets_a_promise_that_is_kept() {
    let server = SHARED.get();
    ready(&server).await;
    let phone = server.phone().await;
    for (path, body, id) in
        [("pat/step-analysis", steps(), "/analysis_id"), ("insights", json!({}), "/insight_id")]
    {
        let key = new_id();
        let ask = || keyed(&phone, path, &key, &body).header("prefer", "respond-async, wait=5");
        let promise = e2e::read(ask()).await.unwrap();
        assert_eq!(promise.headers["preference-applied"], "respond-async");
        let location = promise.headers["location"].to_str().unwrap().to_owned();
        let promise = promise.expect(202).unwrap();
        assert_eq!(promise["status"], "processing");
        let promised = promise.pointer(id).unwrap().as_str().unwrap();
        assert!(location.ends_with(promised));
        let location = location.trim_start_matches("/api/v1/");
        let again = e2e::read(ask()).await.unwrap();
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(again.body, promise);
        let made = async || {
            let answer = phone.get(location).await.unwrap();
            answer.status == 200 && answer.body["status"] != "processing"
        };
        tokio::time::timeout(PATIENCE, until("the promise is kept", made)).await.unwrap();
        let made = phone.get(location).await.unwrap().expect(200).unwrap();
        if path == "insights" {
            assert_eq!(made["data"]["insight_id"], promised);
            assert!(made["data"]["narrative"].as_str().is_some_and(|text| !text.is_empty()));
        } else {
            assert_eq!((&made["status"], &made["processing_id"]), (&json!("completed"), &json!(promised)));
            assert!(made["pat_features"]["l5"].is_number(), "{made}");
        }
        // Another user's promise is as missing as what nobody was promised.
        let other = server.phone().await;
        assert_eq!(problem(&other.get(location).await.unwrap(), 404), "not-found");
    }
}
