//! `ws/health-analysis`.

use serde_json::{Value, json};

use super::{Socket, points};
use crate::support::{Server, Shared, healthkit, heart_rate, new_id, upload};

static SHARED: Shared = Shared::new();

async fn analysed(socket: &mut Socket) -> (String, String) {
    let started = socket.expect("analysis_update").await;
    assert_eq!((&started["status"], &started["progress"]), (&json!("started"), &json!(0)));
    let processing = socket.expect("analysis_update").await;
    assert_eq!((&processing["status"], &processing["progress"]), (&json!("processing"), &json!(50)));
    let completed = socket.expect("analysis_update").await;
    assert_eq!((&completed["status"], &completed["progress"]), (&json!("completed"), &json!(100)));
    let details: Value = serde_json::from_str(completed["details"].as_str().unwrap()).unwrap();
    let message = socket.expect("message").await;
    assert_eq!(message["user_id"], "AI");
    (details["analysis_id"].as_str().unwrap().to_owned(), message["content"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn steps_are_analysed_kept_and_answered_step_by_step() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let mut socket = Socket::open_silently(&phone, &format!("health-analysis/{}", phone.user_id)).await;
    let ack = socket.expect("connection_ack").await;
    assert_eq!(ack["user_id"], phone.user_id);
    assert!(ack["session_id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    assert_eq!(ack["server_info"]["messages_per_minute"], 60);
    socket.expect("system").await;
    socket.send(&json!({ "type": "health_data", "data": points(240) })).await;
    let (id, narrative) = analysed(&mut socket).await;
    assert!(!narrative.is_empty());
    let stored = phone.get(&format!("pat/analysis/{id}")).await.unwrap().expect(200).unwrap();
    assert_eq!(stored["processing_id"], id);
    let history = phone.get(&format!("insights/history/{}", phone.user_id)).await.unwrap();
    assert_eq!(history.expect(200).unwrap()["data"]["insights"][0]["narrative"], narrative);
    let berta = server.phone().await;
    assert_eq!(berta.get(&format!("pat/analysis/{id}")).await.unwrap().status, 404);
    socket.is_alive().await;
}

#[tokio::test]
async fn every_fault_of_a_message_has_its_code_and_ends_nothing() {
    let server = SHARED.get();
    let (phone, stranger) = (server.phone().await, server.phone().await);
    let mut socket = Socket::health(&phone).await;
    let data = |data: Value| json!({ "type": "health_data", "data": data }).to_string();
    let point = |point: Value| data(json!({ "data_points": [point] }));
    let good = || json!({ "timestamp": "2026-03-01T08:00:00Z", "value": 1 });
    let far = json!({ "timestamp": "2029-03-01T08:00:00Z", "value": 1 });
    let faults = [
        ("INVALID_JSON", "{".to_owned()),
        ("INVALID_JSON", "nonsense".to_owned()),
        ("INVALID_JSON", "[]".to_owned()),
        ("INVALID_JSON", "\"heartbeat\"".to_owned()),
        ("INVALID_JSON", format!("{}{}", "[".repeat(300), "]".repeat(300))),
        ("UNKNOWN_MESSAGE_TYPE", "{}".to_owned()),
        ("UNKNOWN_MESSAGE_TYPE", json!({ "type": 7 }).to_string()),
        ("UNKNOWN_MESSAGE_TYPE", json!({ "type": "message", "content": "Hello" }).to_string()),
        ("UNKNOWN_MESSAGE_TYPE", json!({ "type": "auth", "token": "again" }).to_string()),
        ("MESSAGE_PARSE_ERROR", json!({ "type": "heartbeat", "client_timestamp": 7 }).to_string()),
        (
            "MESSAGE_PARSE_ERROR",
            json!({ "type": "heartbeat", "client_timestamp": "x".repeat(65) }).to_string(),
        ),
        ("INVALID_HEALTH_DATA_PAYLOAD", json!({ "type": "health_data" }).to_string()),
        ("INVALID_HEALTH_DATA_PAYLOAD", data(json!(null))),
        ("INVALID_HEALTH_DATA_PAYLOAD", data(json!([good()]))),
        ("INVALID_HEALTH_DATA_PAYLOAD", data(json!({ "data_points": { "0": good() } }))),
        ("INVALID_HEALTH_DATA", data(json!({ "data_points": [] }))),
        ("INVALID_HEALTH_DATA", point(json!(7))),
        ("INVALID_HEALTH_DATA", point(json!({ "timestamp": "2026-03-01T08:00:00Z" }))),
        ("INVALID_HEALTH_DATA", point(json!({ "timestamp": "2026-03-01T08:00:00", "value": 1 }))),
        ("INVALID_HEALTH_DATA", point(json!({ "timestamp": "2026-03-01T08:00:00Z", "value": -1 }))),
        ("INVALID_HEALTH_DATA", point(json!({ "timestamp": "2026-03-01T08:00:00Z", "value": "1" }))),
        ("FORBIDDEN_USER_ID", json!({ "type": "heartbeat", "user_id": stranger.user_id }).to_string()),
        (
            "FORBIDDEN_USER_ID",
            json!({ "type": "health_data", "user_id": new_id(), "data": points(2) }).to_string(),
        ),
        ("FORBIDDEN_USER_ID", json!({ "type": "heartbeat", "user_id": 7 }).to_string()),
    ];
    for (code, text) in &faults {
        assert_eq!(socket.error_of(text).await, *code, "{text}");
    }
    // A span that is too long shows only when the series is laid out: the analysis had begun.
    socket.send_text(&data(json!({ "data_points": [good(), far] }))).await;
    assert_eq!(socket.expect("analysis_update").await["status"], "started");
    assert_eq!(socket.expect("analysis_update").await["status"], "failed");
    assert_eq!(socket.expect("error").await["error_code"], "INVALID_HEALTH_DATA");
    // The caller's own id is the caller's own id.
    socket.send(&json!({ "type": "heartbeat", "user_id": phone.user_id })).await;
    assert_eq!(socket.expect("heartbeat_ack").await["client_timestamp"], json!(null));
}

#[tokio::test]
async fn without_a_model_an_analysis_fails_and_says_so() {
    let nothing = tempfile::tempdir().unwrap();
    let server = Server::start(&[("inference.models_dir", nothing.path().to_str().unwrap())]);
    let phone = server.phone().await;
    let mut socket = Socket::health(&phone).await;
    socket.send(&json!({ "type": "health_data", "data": points(10) })).await;
    assert_eq!(socket.expect("analysis_update").await["status"], "started");
    assert_eq!(socket.expect("analysis_update").await["status"], "failed");
    assert_eq!(socket.expect("error").await["error_code"], "HEALTH_ANALYSIS_ERROR");
    socket.is_alive().await;
}

#[tokio::test]
async fn analyses_count_as_those_over_http_do() {
    let server = Server::start(&[("limits.pat_per_hour", "2")]);
    let phone = server.phone().await;
    let body = json!({ "step_counts": [1], "timestamps": ["2025-03-01T08:00:00Z"] });
    phone.post("pat/step-analysis", &body).await.unwrap().expect(200).unwrap();
    let mut socket = Socket::health(&phone).await;
    let data = json!({ "type": "health_data", "data": points(3) });
    socket.send(&data).await;
    analysed(&mut socket).await;
    assert_eq!(socket.error_of(&data.to_string()).await, "RATE_LIMIT_EXCEEDED");
    assert_eq!(phone.post("pat/step-analysis", &body).await.unwrap().status, 429);
}

#[tokio::test]
async fn a_week_of_minutes_is_the_most() {
    let server = Server::start(&[("live.message_bytes_max", "1048576")]);
    let phone = server.phone().await;
    let mut socket = Socket::health(&phone).await;
    let week = |count: usize| json!({ "type": "health_data", "data": points(count) });
    assert_eq!(socket.error_of(&week(10_081).to_string()).await, "INVALID_HEALTH_DATA");
    socket.send(&week(10_080)).await;
    let (id, _) = analysed(&mut socket).await;
    let stored = phone.get(&format!("pat/analysis/{id}")).await.unwrap().expect(200).unwrap();
    assert_eq!(stored["activity_embedding"].as_array().map(Vec::len), Some(96), "{stored}");
}

#[tokio::test]
async fn uploads_are_told_to_their_owner_and_to_nobody_else() {
    let server = SHARED.get();
    let (anna, berta) = (server.phone().await, server.phone().await);
    let (mut annas, mut bertas) = (Socket::health(&anna).await, Socket::health(&berta).await);
    let sent = upload(&anna, &healthkit(&anna, &[heart_rate(1)])).await;
    let update = annas.expect("analysis_update").await;
    assert_eq!((&update["status"], &update["progress"]), (&json!("completed"), &json!(100)));
    assert_eq!(update["user_id"], anna.user_id);
    let details: Value = serde_json::from_str(update["details"].as_str().unwrap()).unwrap();
    assert_eq!(details["upload_id"], sent["upload_id"]);
    assert_eq!(details["event"], "upload.completed");
    anna.delete(&format!("health-data/{}", sent["upload_id"].as_str().unwrap())).await.unwrap();
    assert_eq!(annas.expect("system").await["level"], "info");
    // Had something been said to Berta, it would come before this.
    bertas.is_alive().await;
}
