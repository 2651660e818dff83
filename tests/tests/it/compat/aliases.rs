//! The paths that shipped apps call are answered by the same code as the others, with the same limits and receipts.

use serde_json::{Value, json};

use crate::support::{Server, Shared, health_data, healthkit, heart_rate, problem, upload};

static SHARED: Shared = Shared::new();

fn metric(minute: u32) -> Value {
    json!({
        "metric_type": "heart_rate",
        "biometric_data": { "heart_rate": 60 + minute },
        "created_at": format!("2025-03-01T08:{minute:02}:00Z"),
    })
}

#[tokio::test]
async fn a_reading_by_one_path_is_known_by_the_other_with_and_without_a_slash() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let body = health_data(&phone, &[metric(1), metric(2)]);
    for (at, path) in
        ["health-data/upload", "health-data/upload/", "health-data", "health-data/"].iter().enumerate()
    {
        let answer = phone.post(path, &body).await.unwrap().expect(201).unwrap();
        let expected = if at == 0 { (2, 0) } else { (0, 2) };
        let seen =
            (answer["accepted_metrics"].as_u64().unwrap(), answer["duplicate_metrics"].as_u64().unwrap());
        assert_eq!(seen, expected, "{path}");
    }
    let body = healthkit(&phone, &[heart_rate(30)]);
    for (at, path) in ["healthkit/upload/", "healthkit/upload", "healthkit"].iter().enumerate() {
        let answer = phone.post(path, &body).await.unwrap().expect(202).unwrap();
        assert_eq!(answer["receipts"]["duplicate"], u64::from(at > 0), "{path}");
        let id = answer["upload_id"].as_str().unwrap();
        let status = phone.get(&format!("healthkit/status/{id}/")).await.unwrap().expect(200).unwrap();
        assert_eq!(status["receipts"], answer["receipts"]);
    }
    assert_eq!(phone.readings("heart_rate").await.unwrap().len(), 3);
}

#[tokio::test]
async fn analyses_and_insights_answer_by_both_paths_alike() {
    let server = SHARED.get();
    let phone = server.phone().await;
    upload(&phone, &healthkit(&phone, &[heart_rate(1)])).await;
    let steps =
        json!({ "step_counts": [7, 9], "timestamps": ["2025-03-01T08:00:00Z", "2025-03-01T08:01:00Z"] });
    let points = json!({ "data_points": [{ "timestamp": "2025-03-01T08:00:00Z", "value": 3.0 }] });
    for (path, alias, body, own) in [
        (
            "pat/step-analysis",
            "pat/analyze-step-data",
            &steps,
            vec!["/analysis_id", "/processing_time_ms", "/analysis/analysis_timestamp"],
        ),
        (
            "pat/analysis",
            "pat/analyze/",
            &points,
            vec!["/analysis_id", "/processing_time_ms", "/analysis/analysis_timestamp"],
        ),
        ("insights", "insights/generate", &json!({}), vec!["/data/insight_id", "/data/generated_at"]),
    ] {
        let mut answers = Vec::new();
        for path in [path, alias] {
            let mut answer = phone.post(path, body).await.unwrap().expect(200).unwrap();
            for pointer in &own {
                *answer.pointer_mut(pointer).unwrap_or_else(|| panic!("{path}: no {pointer}")) = Value::Null;
            }
            answers.push(answer);
        }
        assert_eq!(answers[0], answers[1], "{path}");
    }
}

#[tokio::test]
async fn aliases_draw_on_the_same_limits() {
    let server = Server::start(&[("limits.uploads_per_hour", "3"), ("limits.pat_per_hour", "2")]);
    let phone = server.phone().await;
    let metrics = health_data(&phone, &[metric(1)]);
    let samples = healthkit(&phone, &[heart_rate(1)]);
    for (path, body) in
        [("health-data", &metrics), ("healthkit/upload", &samples), ("health-data/upload", &metrics)]
    {
        assert!(phone.post(path, body).await.unwrap().status.is_success(), "{path}");
    }
    let batch = json!({ "records": [metrics] });
    for (path, body) in [
        ("health-data/upload", &metrics),
        ("healthkit", &samples),
        ("healthkit/upload", &samples),
        ("health-data/batch", &batch),
    ] {
        let answer = phone.post(path, body).await.unwrap();
        assert_eq!(problem(&answer, 429), "rate-limited", "{path}");
    }
    let steps = json!({ "step_counts": [7], "timestamps": ["2025-03-01T08:00:00Z"] });
    let points = json!({ "data_points": [{ "timestamp": "2025-03-01T08:00:00Z", "value": 3.0 }] });
    phone.post("pat/analyze-step-data", &steps).await.unwrap().expect(200).unwrap();
    phone.post("pat/analysis", &points).await.unwrap().expect(200).unwrap();
    for (path, body) in [("pat/analyze", &points), ("pat/step-analysis", &steps)] {
        assert_eq!(problem(&phone.post(path, body).await.unwrap(), 429), "rate-limited", "{path}");
    }
}
