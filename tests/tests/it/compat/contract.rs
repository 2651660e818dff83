//! Every operation of the original that is kept takes the original's bodies, and answers all of its fields, in types that the
//! shipped apps decode: a JSON number is never a text, a date has whole seconds, and what is not known is null.

use e2e::{Answer, Phone, read};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, Shared, heart_rate, processed, until};

static SHARED: Shared = Shared::new();

/// What a field holds. A `?` lets it be null: Clarity says so where the original made a number up.
fn holds(value: &Value, kind: &str) -> bool {
    if let Some(kind) = kind.strip_suffix('?') {
        return value.is_null() || holds(value, kind);
    }
    let all = |kind: &str| value.as_array().is_some_and(|items| items.iter().all(|item| holds(item, kind)));
    match kind {
        "string" => value.is_string(),
        "id" => value.as_str().is_some_and(|text| text.parse::<uuid::Uuid>().is_ok()),
        "time" => value.as_str().is_some_and(is_whole_second),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "numbers" => value.as_object().is_some_and(|fields| fields.values().all(Value::is_number)),
        "counts" => value.as_object().is_some_and(|fields| fields.values().all(Value::is_u64)),
        "[string]" => all("string"),
        "[number]" => all("number"),
        "[object]" => all("object"),
        _ => panic!("{kind} is no kind"),
    }
}

/// As Swift's `.iso8601` reads it.
fn is_whole_second(text: &str) -> bool {
    let form = "0000-00-00T00:00:00Z";
    text.len() == form.len()
        && text.chars().zip(form.chars()).all(|(found, form)| match form {
            '0' => found.is_ascii_digit(),
            _ => found == form,
        })
}

/// Finds a text that reads as an instant and that Swift would refuse.
fn odd_date(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() && !is_whole_second(text) => {
            Some(text)
        }
        Value::Array(items) => items.iter().find_map(odd_date),
        Value::Object(fields) => fields.values().find_map(odd_date),
        _ => None,
    }
}

/// Checks an answer against the fields that the original describes for it: `path: kind`, one a line.
fn check(what: &str, answer: &Answer, status: u16, fields: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/json", "{what}");
    let mut faults = Vec::new();
    for line in fields.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (path, kind) = line.split_once(": ").unwrap_or_else(|| panic!("{line} is no field"));
        let pointer = format!("/{}", path.replace('.', "/"));
        match answer.body.pointer(&pointer) {
            None => faults.push(format!("{path} is missing")),
            Some(value) if !holds(value, kind) => faults.push(format!("{path} is no {kind}")),
            Some(_) => {}
        }
    }
    assert_eq!(faults, Vec::<String>::new(), "{what}: {}", answer.body);
    assert_eq!(odd_date(&answer.body), None, "{what}");
}

async fn send(phone: &Phone, method: &str, path: &str, body: &Value) -> Answer {
    let request = phone.request(method.parse::<Method>().unwrap(), path);
    let answer = read(if body.is_null() { request } else { request.json(body) }).await;
    answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

async fn table(phone: &Phone, rows: &[(&str, &str, Value, u16, &str)]) {
    for (method, path, body, status, fields) in rows {
        check(&format!("{method} {path}"), &send(phone, method, path, body).await, *status, fields);
    }
}

const TOKENS: &str = "
    access_token: string
    refresh_token: string
    token_type: string
    expires_in: integer
    scope: string?";

#[tokio::test]
async fn accounts_answer_the_originals_fields() {
    let server = Server::start(&[]);
    let mut phone = server.phone().await;
    let device = json!({ "platform": "iOS", "model": "iPhone15,2" });
    let login = json!({ "email": phone.email, "password": phone.password, "remember_me": true, "device_info": device });
    let answer = send(&phone, "POST", "auth/login", &login).await;
    check("login", &answer, 200, TOKENS);
    assert_eq!(answer.body["token_type"], "bearer");
    let refresh = json!({ "refresh_token": answer.body["refresh_token"] });
    let register =
        json!({ "email": "other@example.org", "password": "a-long-password", "display_name": null });
    let address = json!({ "email": phone.email });
    table(
        &phone,
        &[
            ("POST", "auth/refresh/", refresh, 200, TOKENS),
            ("POST", "auth/register/", register, 200, TOKENS),
            ("POST", "auth/resend-confirmation", address.clone(), 200, "status: string"),
            ("POST", "auth/forgot-password/", address, 200, "status: string"),
            ("GET", "auth/health", Value::Null, 200, "status: string\nservice: string\nversion: string"),
            (
                "GET",
                "auth/me",
                Value::Null,
                200,
                "
            user_id: id
            email: string?
            email_verified: boolean
            display_name: string?
            auth_provider: string
            id: id
            first_name: string?
            last_name: string?
            created_at: time",
            ),
            (
                "PUT",
                "auth/me",
                json!({ "display_name": "Anna B" }),
                200,
                "
            user_id: id
            email: string?
            display_name: string?
            updated: boolean",
            ),
        ],
    )
    .await;
    // The original took the refresh token as the bearer token as well.
    phone.access_token = std::mem::take(&mut phone.refresh_token);
    let answer = send(&phone, "POST", "auth/refresh", &Value::Null).await;
    check("refresh with a bearer token", &answer, 200, TOKENS);
    phone.take_tokens(&answer.body).unwrap();
    table(&phone, &[("POST", "auth/logout", Value::Null, 200, "message: string")]).await;
}

/// A metric of each type, each with every field that the original's schema has for it.
fn metrics() -> Vec<Value> {
    let biometric = json!({
        "heart_rate": 61.5, "blood_pressure_systolic": 121, "blood_pressure_diastolic": 79, "oxygen_saturation": 97.5,
        "heart_rate_variability": 42.0, "respiratory_rate": 14.5, "body_temperature": 36.6, "blood_glucose": 92.0,
    });
    let sleep = json!({
        "total_sleep_minutes": 430, "sleep_efficiency": 0.91, "time_to_sleep_minutes": 12, "wake_count": 2,
        "sleep_stages": { "awake": 30, "light": 230, "deep": 90, "rem": 110 },
        "sleep_start": "2025-02-28T22:30:00Z", "sleep_end": "2025-03-01T06:20:00Z",
    });
    let activity = json!({
        "steps": 8123, "distance": 5.4, "active_energy": 412.5, "exercise_minutes": 33, "flights_climbed": 9,
        "vo2_max": 44.1, "active_minutes": 70, "resting_heart_rate": 54.0,
    });
    let mental = json!({
        "mood_score": "good", "stress_level": 3.5, "anxiety_level": 2.8, "energy_level": 7.2, "focus_rating": 6.5,
        "social_interaction_minutes": 120, "meditation_minutes": 15, "notes": "slept well",
        "timestamp": "2025-03-01T20:00:00Z",
    });
    let types = [
        ("heart_rate", "biometric_data"),
        ("heart_rate_variability", "biometric_data"),
        ("blood_pressure", "biometric_data"),
        ("blood_oxygen", "biometric_data"),
        ("respiratory_rate", "biometric_data"),
        ("sleep_analysis", "sleep_data"),
        ("activity_level", "activity_data"),
        ("stress_indicators", "mental_health_data"),
        ("mood_assessment", "mental_health_data"),
        ("cognitive_metrics", "mental_health_data"),
        ("environmental", "biometric_data"),
        ("body_temperature", "biometric_data"),
        ("blood_glucose", "biometric_data"),
    ];
    let metric = |(at, (kind, part)): (usize, (&str, &str))| {
        let mut metric = json!({
            "metric_id": crate::support::new_id(), "metric_type": kind,
            "biometric_data": null, "sleep_data": null, "activity_data": null, "mental_health_data": null,
            "device_id": "watch-1", "raw_data": { "any": ["thing"] }, "metadata": { "trusted": true },
            "created_at": format!("2025-03-01T20:{at:02}:00Z"),
        });
        metric[part] = match part {
            "sleep_data" => sleep.clone(),
            "activity_data" => activity.clone(),
            "mental_health_data" => mental.clone(),
            _ => biometric.clone(),
        };
        metric
    };
    types.into_iter().enumerate().map(metric).collect()
}

const PAGE: &str = "
    data: [object]
    data.0.id: id
    data.0.timestamp: time
    data.0.end: time
    data.0.data_type: string
    data.0.value: number
    data.0.unit: string
    data.0.source: object
    pagination.total_count: integer?
    pagination.page_size: integer
    pagination.has_next: boolean
    pagination.has_previous: boolean
    pagination.next_cursor: string?
    pagination.previous_cursor: string?
    links.self: string
    links.first: string?
    links.previous: string?
    links.next: string?
    links.last: string?";

#[tokio::test]
async fn health_data_takes_every_type_of_metric_and_answers_the_originals_fields() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let upload = json!({
        "user_id": phone.user_id, "metrics": metrics(), "upload_source": "apple_health",
        "client_timestamp": "2025-03-01T21:00:00.123456Z", "sync_token": "41",
    });
    let answer = send(&phone, "POST", "health-data/", &upload).await;
    check(
        "POST health-data",
        &answer,
        201,
        "
        processing_id: id
        status: string
        accepted_metrics: integer
        rejected_metrics: integer
        validation_errors: [object]
        estimated_processing_time: integer?
        sync_token: string?
        message: string
        timestamp: time",
    );
    assert_eq!((&answer.body["accepted_metrics"], &answer.body["rejected_metrics"]), (&json!(13), &json!(0)));
    assert_eq!(answer.body["status"], "received");
    let id = answer.body["processing_id"].as_str().unwrap();
    processed(&phone, id).await;
    let mut faulty = upload.clone();
    faulty["metrics"] = json!([{ "metric_type": "aura" }]);
    let refused = send(&phone, "POST", "health-data/", &faulty).await;
    check(
        "POST health-data with a fault",
        &refused,
        201,
        "
        validation_errors: [object]
        validation_errors.0.loc: [string]
        validation_errors.0.msg: string
        validation_errors.0.type: string",
    );
    let query = "health-data/?limit=2&offset=1&data_type=heart_rate&start_date=2025-03-01T00:00:00Z\
                 &end_date=2025-03-02T00:00:00%2B00:00&source=apple_health";
    table(
        &phone,
        &[
            ("GET", query, Value::Null, 200, PAGE),
            ("GET", "health-data?page=1&limit=50", Value::Null, 200, PAGE),
            (
                "GET",
                &format!("health-data/processing/{id}"),
                Value::Null,
                200,
                "
            processing_id: id
            status: string
            progress: number
            processed_metrics: integer
            total_metrics: integer
            message: string",
            ),
            ("DELETE", &format!("health-data/{id}"), Value::Null, 200, "message: string"),
        ],
    )
    .await;
}

#[tokio::test]
async fn healthkit_takes_what_the_original_describes_and_answers_its_fields() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let sample = |kind: &str, value: Value, unit: Value| {
        json!({
            "identifier": crate::support::new_id(), "type": kind, "value": value, "unit": unit,
            "start_date": "2025-03-01T08:00:00Z", "end_date": "2025-03-01T08:10:00Z",
            "source_name": null, "device": { "name": "Apple Watch", "model": "Watch" }, "metadata": {},
        })
    };
    let steps = "HKQuantityTypeIdentifierStepCount";
    let stage = "HKCategoryTypeIdentifierSleepAnalysis";
    let mut workout = sample("HKWorkoutTypeIdentifier", Value::Null, Value::Null);
    workout["workout_activity_type"] = json!(37);
    let pressure = [
        sample("HKQuantityTypeIdentifierBloodPressureSystolic", json!(121), json!("mmHg")),
        sample("HKQuantityTypeIdentifierBloodPressureDiastolic", json!(79), json!("mmHg")),
    ];
    let upload = json!({
        "user_id": phone.user_id,
        // A value is a number, or an object that holds one.
        "quantity_samples": [sample(steps, json!(120), json!("count")), sample(steps, json!({ "quantity": 80.0 }), json!("count")), heart_rate(1)],
        "category_samples": [sample(stage, json!(3), Value::Null), sample(stage, json!({ "value": 4 }), Value::Null)],
        "workouts": [workout],
        "correlation_samples": [{ "type": "HKCorrelationTypeIdentifierBloodPressure", "objects": pressure }],
        "upload_metadata": { "app_version": "1.4.0", "time_zone": "Europe/Berlin" },
        "sync_token": null,
    });
    let answer = send(&phone, "POST", "healthkit/", &upload).await;
    check(
        "POST healthkit",
        &answer,
        202,
        "
        upload_id: id
        status: string
        queued_at: time
        samples_received: counts
        message: string",
    );
    assert_eq!(
        (&answer.body["receipts"]["accepted"], &answer.body["receipts"]["rejected_total"]),
        (&json!(8), &json!(0)),
        "{}",
        answer.body
    );
    let path = format!("healthkit/status/{}", answer.body["upload_id"].as_str().unwrap());
    let status = "
        upload_id: id
        status: string
        progress: number
        receipts.accepted: integer
        receipts.duplicate: integer
        receipts.rejected: [object]
        last_updated: time";
    table(
        &phone,
        &[
            ("GET", &path, Value::Null, 200, status),
            ("POST", "healthkit/", json!({ "user_id": phone.user_id }), 202, "upload_id: id"),
        ],
    )
    .await;
}

const ANALYSIS: &str = "
    analysis_id: id
    status: string
    analysis.user_id: id
    analysis.analysis_timestamp: time
    analysis.sleep_efficiency: number?
    analysis.sleep_onset_latency: number?
    analysis.wake_after_sleep_onset: number?
    analysis.total_sleep_time: number?
    analysis.circadian_rhythm_score: number?
    analysis.activity_fragmentation: number?
    analysis.depression_risk_score: number?
    analysis.sleep_stages: [string]?
    analysis.confidence_score: number?
    analysis.clinical_insights: [string]
    analysis.embedding: [number]?
    analysis.mania_risk_score: number?
    analysis.mania_alert_level: string?
    processing_time_ms: number?
    message: string?
    cached: boolean";

#[tokio::test]
async fn pat_takes_what_the_original_describes_and_answers_its_fields() {
    let server = SHARED.get();
    let phone = server.phone().await;
    // A server answers before its models are read; where they lie in a cloud that takes a moment.
    until("the model is read", async || phone.get("pat/health").await.unwrap().status == 200).await;
    let minutes: Vec<String> =
        (0..180).map(|at| format!("2025-03-01T{:02}:{:02}:00Z", 8 + at / 60, at % 60)).collect();
    let steps = json!({
        "step_counts": vec![12; minutes.len()], "timestamps": minutes,
        "user_metadata": { "age_group": "30-39", "sex": "female" },
    });
    let points: Vec<Value> =
        minutes.iter().map(|minute| json!({ "timestamp": minute, "value": 3.5 })).collect();
    let points = json!({ "data_points": points, "sampling_rate": 1.0, "duration_hours": 3 });
    let answer = send(&phone, "POST", "pat/step-analysis", &steps).await;
    check("POST pat/step-analysis", &answer, 200, ANALYSIS);
    let path = format!("pat/analysis/{}", answer.body["analysis_id"].as_str().unwrap());
    table(
        &phone,
        &[
            ("POST", "pat/analysis", points, 200, ANALYSIS),
            (
                "GET",
                &path,
                Value::Null,
                200,
                "
            processing_id: id
            status: string
            message: string?
            analysis_date: time?
            pat_features: numbers?
            activity_embedding: [number]?
            metadata: object?",
            ),
            ("GET", "pat/models/info", Value::Null, 200, "models: [object]"),
        ],
    )
    .await;
    let health = send(&phone, "GET", "pat/health", &Value::Null).await;
    check(
        "GET pat/health",
        &health,
        health.status.as_u16(),
        "
        service: string
        status: string
        timestamp: time
        version: string
        inference_engine: object
        pat_model: object?",
    );
    assert!([200, 503].contains(&health.status.as_u16()));
}

const INSIGHT: &str = "
    success: boolean
    data.insight_id: id
    data.user_id: id
    data.narrative: string
    data.key_insights: [string]
    data.recommendations: [string]
    data.confidence_score: number?
    data.generated_at: time
    metadata: object";

#[tokio::test]
async fn insights_take_what_the_original_describes_and_answer_its_fields() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let request = json!({
        "analysis_results": { "sleep_efficiency": 0.9, "nested": [1, { "two": null }] }, "context": "a long week",
        "insight_type": "brief", "include_recommendations": false, "language": "en",
    });
    let answer = send(&phone, "POST", "insights/", &request).await;
    check("POST insights", &answer, 200, INSIGHT);
    let id = answer.body["data"]["insight_id"].as_str().unwrap();
    table(
        &phone,
        &[
            ("GET", &format!("insights/{id}"), Value::Null, 200, INSIGHT),
            (
                "GET",
                &format!("insights/history/{}/?limit=10&offset=0", phone.user_id),
                Value::Null,
                200,
                "
            success: boolean
            data.insights: [object]
            data.insights.0.narrative: string
            data.insights.0.generated_at: time
            data.count: integer
            data.total_count: integer?
            data.has_more: boolean
            metadata: object",
            ),
            (
                "GET",
                "insights/status",
                Value::Null,
                200,
                "
            success: boolean
            data: object
            metadata: object",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn health_and_the_root_answer_the_originals_fields() {
    let server = SHARED.get();
    let phone = server.phone().await;
    table(
        &phone,
        &[
            ("GET", "health", Value::Null, 200, "status: string\ntimestamp: time\nversion: string"),
            ("GET", "", Value::Null, 200, "name: string\nversion: string"),
        ],
    )
    .await;
    for (path, fields) in [
        ("/", "name: string\nversion: string"),
        ("/health", "status: string\ntimestamp: time\nversion: string"),
    ] {
        check(path, &read(phone.client.get(server.url(path))).await.unwrap(), 200, fields);
    }
}

#[test]
fn the_check_sees_a_missing_field_a_wrong_type_and_a_fraction_of_a_second() {
    assert!(
        holds(&json!(null), "number?") && !holds(&json!(null), "number") && !holds(&json!("1"), "number?")
    );
    assert!(holds(&json!("2025-03-01T08:00:00Z"), "time"));
    for odd in ["2025-03-01T08:00:00.5Z", "2025-03-01T08:00:00+01:00"] {
        assert!(!holds(&json!(odd), "time"), "{odd}");
        assert_eq!(odd_date(&json!({ "a": [{ "b": odd }] })), Some(odd));
    }
    assert!(!holds(&json!([1, null]), "[number]") && !holds(&json!({ "a": "b" }), "numbers"));
}
