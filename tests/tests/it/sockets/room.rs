//! `ws/{room}`.

use e2e::{Clarity, Phone};
use serde_json::{Value, json};

use super::{Socket, points};
use crate::support::{Shared, files, healthkit, heart_rate, new_id, upload};

static SHARED: Shared = Shared::new();

async fn joined(socket: &mut Socket, phone: &Phone) {
    let joined = socket.expect("user_joined").await;
    assert_eq!((&joined["user_id"], &joined["username"]), (&json!(phone.user_id), &json!("Test")));
}

#[tokio::test]
async fn a_users_devices_hear_each_other_and_nobody_else_does() {
    let server = SHARED.get();
    let (anna, berta) = (server.phone().await, server.phone().await);
    upload(&anna, &healthkit(&anna, &[heart_rate(1)])).await;
    let mut tablet = Socket::open(&anna, "kitchen").await;
    let mut bertas = Socket::open(&berta, "kitchen").await;
    let mut elsewhere = Socket::open(&anna, "cellar").await;
    // By the path that shipped apps call, it is the same room.
    let mut phone = Socket::open(&anna, "chat/kitchen").await;
    joined(&mut tablet, &anna).await;
    phone.send(&json!({ "type": "typing", "is_typing": true, "username": "Mallory" })).await;
    let typing = tablet.expect("typing").await;
    assert_eq!((&typing["is_typing"], &typing["username"]), (&json!(true), &json!("Test")));
    let metadata = json!({ "app": "1.0" });
    let said = json!({ "type": "message", "content": "How did I sleep?", "user_id": anna.user_id, "username": "Mallory", "metadata": metadata });
    phone.send(&said).await;
    let heard = tablet.expect("message").await;
    assert_eq!(heard["content"], "How did I sleep?");
    assert_eq!((&heard["user_id"], &heard["username"]), (&json!(anna.user_id), &json!("Test")));
    assert_eq!(heard["metadata"], metadata);
    // The sender does not hear itself; the answer comes to both, and is one insight.
    let (here, there) = (phone.expect("message").await, tablet.expect("message").await);
    assert_eq!(here, there);
    assert_eq!(here["user_id"], "AI");
    let history = anna.get(&format!("insights/history/{}", anna.user_id)).await.unwrap().expect(200).unwrap();
    assert_eq!(history["data"]["count"], 1);
    assert_eq!(history["data"]["insights"][0]["narrative"], here["content"]);
    assert!(!history.to_string().contains("How did I sleep"), "the writer did not see the question");
    phone.0.close(None).await.unwrap();
    let left = tablet.expect("user_left").await;
    assert_eq!(left["user_id"], anna.user_id);
    for other in [&mut bertas, &mut elsewhere] {
        other.is_alive().await;
    }
}

#[tokio::test]
async fn steps_that_are_said_in_a_room_become_an_insight_without_a_made_up_confidence() {
    let server = SHARED.get();
    let anna = server.phone().await;
    let mut tablet = Socket::open(&anna, "study").await;
    let mut phone = Socket::open(&anna, "study").await;
    joined(&mut tablet, &anna).await;
    phone.send(&json!({ "type": "health_insight", "user_id": anna.user_id, "content": points(60) })).await;
    for status in ["started", "processing", "completed"] {
        assert_eq!(phone.expect("analysis_update").await["status"], status);
    }
    let insight = phone.expect("health_insight").await;
    assert_eq!(insight["user_id"], anna.user_id);
    assert_eq!(insight["confidence"], json!(null));
    assert!(!insight["insight"].as_str().unwrap().is_empty());
    let id = insight["source_data"]["analysis_id"].as_str().unwrap();
    anna.get(&format!("pat/analysis/{id}")).await.unwrap().expect(200).unwrap();
    assert_eq!(tablet.expect("health_insight").await, insight);
}

#[tokio::test]
async fn every_fault_of_a_rooms_message_has_its_code_and_reaches_nobody_else() {
    let server = SHARED.get();
    let (anna, berta) = (server.phone().await, server.phone().await);
    let mut tablet = Socket::open(&anna, "hall").await;
    let mut phone = Socket::open(&anna, "hall").await;
    joined(&mut tablet, &anna).await;
    let message = |content: Value| json!({ "type": "message", "content": content }).to_string();
    let insight = |content: Value| json!({ "type": "health_insight", "content": content }).to_string();
    let faults = [
        ("INVALID_JSON", "{\"type\":\"message\"".to_owned()),
        ("UNKNOWN_MESSAGE_TYPE", json!({ "type": "health_data", "data": points(2) }).to_string()),
        ("UNKNOWN_MESSAGE_TYPE", json!({ "type": "system", "content": "I am the server" }).to_string()),
        ("UNKNOWN_MESSAGE_TYPE", json!({ "type": "user_left" }).to_string()),
        ("MESSAGE_PARSE_ERROR", json!({ "type": "message" }).to_string()),
        ("MESSAGE_PARSE_ERROR", message(json!(7))),
        ("MESSAGE_PARSE_ERROR", message(json!(""))),
        ("MESSAGE_PARSE_ERROR", message(json!("é".repeat(2001)))),
        ("MESSAGE_PARSE_ERROR", json!({ "type": "message", "content": "x", "metadata": [1] }).to_string()),
        (
            "MESSAGE_PARSE_ERROR",
            json!({ "type": "message", "content": "x", "metadata": { "x": "y".repeat(4096) } }).to_string(),
        ),
        ("MESSAGE_PARSE_ERROR", json!({ "type": "typing" }).to_string()),
        ("MESSAGE_PARSE_ERROR", json!({ "type": "typing", "is_typing": "yes" }).to_string()),
        ("INVALID_HEALTH_INSIGHT_CONTENT", json!({ "type": "health_insight" }).to_string()),
        ("INVALID_HEALTH_INSIGHT_CONTENT", insight(json!("steps"))),
        ("INVALID_HEALTH_INSIGHT_CONTENT", insight(json!({ "data_points": 3 }))),
        ("INVALID_HEALTH_INSIGHT_DATA", insight(json!({ "data_points": [] }))),
        (
            "INVALID_HEALTH_INSIGHT_DATA",
            insight(json!({ "data_points": [{ "timestamp": "today", "value": 1 }] })),
        ),
        (
            "FORBIDDEN_USER_ID",
            json!({ "type": "message", "content": "x", "user_id": berta.user_id }).to_string(),
        ),
        (
            "FORBIDDEN_USER_ID",
            json!({ "type": "typing", "is_typing": true, "user_id": new_id() }).to_string(),
        ),
        ("FORBIDDEN_USER_ID", json!({ "type": "message", "content": "x", "user_id": "AI" }).to_string()),
    ];
    for (code, text) in &faults {
        assert_eq!(phone.error_of(text).await, *code, "{text}");
    }
    tablet.is_alive().await;
    // As much as may be is fine.
    phone.send_text(&message(json!("é".repeat(2000)))).await;
    assert_eq!(tablet.expect("message").await["content"], "é".repeat(2000));
}

#[tokio::test]
async fn it_does_not_matter_which_instance_a_device_is_on() {
    let data = tempfile::tempdir().unwrap();
    let first = Clarity::serve(data.path()).unwrap().start().unwrap();
    let second = Clarity::serve(data.path()).unwrap().args(&["--no-worker"]).start().unwrap();
    let here = Phone::sign_up(first.address().unwrap()).await.unwrap();
    let there = here.at(second.address().unwrap());
    let mut tablet = Socket::open(&there, "porch").await;
    let mut phone = Socket::open(&here, "porch").await;
    joined(&mut tablet, &here).await;
    let marker = format!("canary {}", new_id());
    phone.send(&json!({ "type": "message", "content": marker })).await;
    assert_eq!(tablet.expect("message").await["content"], json!(marker));
    assert_eq!(phone.expect("message").await, tablet.expect("message").await);
    // An upload that the first instance takes and processes is told on the second.
    let mut health = Socket::health(&there).await;
    let sent = upload(&here, &healthkit(&here, &[heart_rate(1)])).await;
    let update = health.expect("analysis_update").await;
    assert!(update["details"].as_str().unwrap().contains(sent["upload_id"].as_str().unwrap()));
    // What was said went through the data folder, and cannot be read there.
    for file in files(data.path()) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(marker.len()).any(|part| part == marker.as_bytes());
        assert!(!found, "{}", file.display());
    }
}
