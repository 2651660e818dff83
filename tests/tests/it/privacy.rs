//! Nothing of a person gets into the logs: markers are planted wherever something can be sent, and looked for in everything that
//! the process wrote.

use e2e::{Phone, read};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{
    PATIENCE, Server, health_data, healthkit, heart_rate, new_id, problem, processed, quantity, until, upload,
};

/// The number that readings carry, and its digits.
const VALUE: f64 = 123.456_789;
const DIGITS: &str = "456789";
/// Everything else that is planted begins with this.
const MARKER: &str = "canary";

fn marked(what: &str) -> String {
    format!("{MARKER}-{what}")
}

fn uploads(phone: &Phone) -> [Value; 2] {
    let at = "2025-03-01T08:00:00.987+01:00";
    let mut sample = quantity("HeartRate", VALUE, "count/min", at, at);
    sample["source_name"] = json!(marked("source"));
    sample["device"] = json!({ "name": marked("device"), "product_type": marked("product"), "bundle_identifier": marked("bundle") });
    sample["metadata"] = json!({ "HKTimeZone": marked("zone"), "note": marked("metadata"), "n": VALUE });
    let with = |field: &str, value: Value| {
        let mut sample = sample.clone();
        sample[field] = value;
        sample
    };
    // An id that is no UUID counts as none; the reading itself is whole.
    let mut nameless = with("identifier", json!(marked("identifier")));
    nameless["start_date"] = json!("2025-03-01T07:00:00+01:00");
    let faulty = [
        with("unit", json!(marked("unit"))),
        with("type", json!(marked("type"))),
        nameless,
        with("start_date", json!(marked("start"))),
        with("value", json!(marked("value"))),
        with("value", json!(VALUE * 1e6)),
        json!(marked("sample")),
    ];
    let mut kit = healthkit(phone, &faulty);
    kit["quantity_samples"].as_array_mut().unwrap().push(sample.clone());
    kit["deleted_samples"] = json!([marked("deleted")]);
    kit["correlation_samples"] = json!([{ "type": marked("correlation"), "objects": [marked("object")] }]);
    kit["upload_metadata"] = json!({ "time_zone": marked("upload-zone"), "note": marked("upload-metadata") });
    kit["sync_token"] = json!(marked("sync"));
    kit[marked("field")] = json!(marked("unknown-field"));
    let metric = |kind: &str, data: Value| {
        json!({ "metric_type": kind, "biometric_data": data, "device_id": marked("device-id"),
                "metric_id": marked("metric-id"), "created_at": "2025-03-01T09:00:00Z" })
    };
    let mut data = health_data(
        phone,
        &[
            metric("heart_rate", json!({ "heart_rate": VALUE, "note": marked("data") })),
            metric("heart_rate", json!({ "heart_rate": marked("rate") })),
            metric(&marked("metric"), json!({ "heart_rate": VALUE })),
        ],
    );
    data["upload_source"] = json!(marked("upload-source"));
    [kit, data]
}

/// Sends what is well-formed.
async fn behave(phone: &Phone) {
    let [kit, data] = uploads(phone);
    let answer = upload(phone, &kit).await;
    assert_eq!(answer["receipts"]["accepted"], 2, "{answer}");
    let stored = phone.post("health-data", &data).await.unwrap().expect(201).unwrap();
    processed(phone, stored["processing_id"].as_str().unwrap()).await;
    let put = json!({ "display_name": marked("new-name"), "email": format!("{}@example.org", marked("new-address")) });
    read(phone.request(Method::PUT, "auth/me").json(&put)).await.unwrap().expect(200).unwrap();
    let insight = json!({ "analysis_results": { "x": marked("results") }, "context": marked("context"),
                          "insight_type": marked("insight-type") });
    phone.post("insights", &insight).await.unwrap().expect(200).unwrap();
    let points = json!({ "data_points": [{ "timestamp": "2025-03-01T08:00:00Z", "value": VALUE }],
                         "sampling_rate": 1.0, "duration_hours": 1 });
    phone.post("pat/analysis", &points).await.unwrap().expect(200).unwrap();
    let steps = json!({ "step_counts": [7], "timestamps": ["2025-03-01T08:00:00Z"], "user_metadata": marked("user") });
    phone.post("pat/step-analysis", &steps).await.unwrap().expect(200).unwrap();
    for path in [
        "health-data?limit=1",
        "metrics/daily",
        "metrics/sleep",
        "metrics/circadian",
        &format!("insights/history/{}", phone.user_id),
        &format!("health-data?source={}", marked("source")),
    ] {
        phone.get(path).await.unwrap().expect(200).unwrap();
    }
    let path = format!("health-data/{}", answer["upload_id"].as_str().unwrap());
    phone.delete(&path).await.unwrap().expect(200).unwrap();
}

/// Sends what is refused.
async fn misbehave(phone: &Phone) {
    for path in [
        format!("health-data?cursor={}", marked("cursor")),
        format!("health-data?{}=1", marked("parameter")),
        format!("health-data?data_type={}", marked("data-type")),
        format!("health-data?start_date={}", marked("start-date")),
        format!("insights/{}", marked("insight")),
        format!("insights/history/{}", marked("user")),
        format!("healthkit/status/{}", marked("status")),
        marked("nowhere"),
        format!("../../objects/{}?signature={}", marked("object"), marked("signature")),
    ] {
        assert!(phone.get(&path).await.unwrap().status.is_client_error(), "{path}");
    }
    for path in [
        "healthkit",
        "health-data",
        "insights",
        "pat/step-analysis",
        "pat/analysis",
        "auth/login",
        "auth/register",
    ] {
        for body in [
            format!("{{\"{}\": ", marked("broken")),
            format!("\"{}\"", marked("text")),
            format!("{{\"email\": \"{}\", \"password\": [\"{}\"]}}", marked("mail"), marked("pass")),
            format!("{{\"user_id\": \"{}\", \"language\": \"{}!\"}}", marked("someone"), marked("language")),
        ] {
            let request = phone
                .request(Method::POST, path)
                .header("content-type", "application/json")
                .body(body.clone());
            // Some overlook fields that they do not know.
            let status = read(request).await.unwrap().status;
            assert!(!status.is_server_error(), "{path} {body}: {status}");
        }
    }
}

/// Sends headers, tokens and lines that are refused.
async fn misbehave_below_the_routes(phone: &Phone) {
    let headers = [
        ("authorization", format!("Bearer {}", marked("token"))),
        ("authorization", format!("Basic {}", marked("basic"))),
        ("cookie", marked("cookie")),
        ("user-agent", marked("agent")),
        ("referer", marked("referer")),
        ("x-request-id", format!("{} with spaces", marked("request"))),
        ("traceparent", marked("trace")),
        ("x-forwarded-for", marked("forwarded")),
    ];
    for (name, value) in headers {
        let answer = read(phone.anonymous(Method::GET, "auth/me").header(name, value)).await.unwrap();
        assert_eq!(problem(&answer, 401), "unauthorized");
    }
    for (name, value) in [("content-encoding", marked("coding")), ("last-event-id", marked("event"))] {
        let (method, path) =
            if name == "last-event-id" { (Method::GET, "events") } else { (Method::POST, "healthkit") };
        assert!(
            read(phone.request(method, path).header(name, value)).await.unwrap().status.is_client_error()
        );
    }
    let login = json!({ "email": phone.email, "password": marked("wrong-password") });
    assert_eq!(
        problem(&read(phone.anonymous(Method::POST, "auth/login").json(&login)).await.unwrap(), 401),
        "wrong-credentials"
    );
    let refresh = json!({ "refresh_token": marked("refresh") });
    assert_eq!(
        problem(&read(phone.anonymous(Method::POST, "auth/refresh").json(&refresh)).await.unwrap(), 401),
        "unauthorized"
    );
    // What is not even HTTP.
    for line in [
        format!("GET /{} HTTP/9.9\r\n\r\n", marked("version")),
        format!("{} / HTTP/1.1\r\n\r\n", marked("method")),
        format!("GET / HTTP/1.1\r\n{}\r\n\r\n", marked("header")),
        format!("POST /api/v1/healthkit HTTP/1.1\r\nContent-Length: {}\r\n\r\n", marked("length")),
    ] {
        let mut stream = TcpStream::connect(phone.address).await.unwrap();
        stream.write_all(line.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::io::AsyncReadExt::read_buf(&mut stream, &mut answer);
        tokio::time::timeout(PATIENCE, closed).await.expect("an answer or the end").unwrap();
    }
}

#[tokio::test]
async fn no_log_line_holds_anything_of_a_person() {
    // The code that would be mailed is not in question here: writing it to the log is what `log_codes` is for.
    let server = Server::start(&[
        ("telemetry.log_level", "trace"),
        ("telemetry.log_format", "json"),
        ("identity.log_codes", "false"),
    ]);
    let mut phone = server.phone().await;
    let email = format!("{}-{}@example.org", marked("address"), new_id());
    let account = json!({ "email": email, "password": marked("password"), "display_name": marked("name") });
    let tokens = read(phone.anonymous(Method::POST, "auth/register").json(&account))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    phone.take_tokens(&tokens).unwrap();
    phone.email.clone_from(&email);
    phone.user_id =
        phone.get("auth/me").await.unwrap().expect(200).unwrap()["user_id"].as_str().unwrap().to_owned();
    let events = phone.request(Method::GET, "events").send().await.unwrap();
    behave(&phone).await;
    misbehave(&phone).await;
    misbehave_below_the_routes(&phone).await;
    drop(events);
    let first = (phone.access_token.clone(), phone.refresh_token.clone());
    let tokens = phone.post("auth/refresh", &json!({ "refresh_token": phone.refresh_token })).await.unwrap();
    phone.take_tokens(&tokens.expect(200).unwrap()).unwrap();
    phone.post("auth/logout", &json!({})).await.unwrap().expect(200).unwrap();

    let Server { started, data } = server;
    started.terminate().unwrap();
    let (status, log) = started.wait().unwrap();
    assert!(status.success(), "{status}");
    // The log is there at all: it tells of requests by their route and their user's hash.
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(lines.len() > 50, "{} lines", lines.len());
    assert!(
        lines.iter().any(|line| line["route"] == "/api/v1/healthkit" && line["user"].is_string()),
        "{log}"
    );
    let simple = phone.user_id.replace('-', "");
    let secrets = [
        MARKER,
        DIGITS,
        &phone.user_id,
        &simple,
        &first.0,
        &first.1,
        &phone.access_token,
        &phone.refresh_token,
        // A token's signature or secret alone gives it away as well.
        first.0.rsplit('.').next().unwrap(),
        &phone.refresh_token[8..],
    ];
    for secret in secrets {
        if let Some(line) = log.lines().find(|line| line.to_lowercase().contains(&secret.to_lowercase())) {
            panic!("{secret} is in the log: {line}");
        }
    }
    drop(data);
}

#[tokio::test]
async fn a_failing_upload_says_nothing_of_its_person_either() {
    let server = Server::start(&[("telemetry.log_level", "trace"), ("telemetry.log_format", "json")]);
    let phone = server.phone().await;
    upload(&phone, &healthkit(&phone, &[heart_rate(0)])).await;
    // Without its folder the object store fails, and with it every upload that is too large for its record.
    let objects = server.data.path().join("objects");
    std::fs::remove_dir_all(&objects).unwrap();
    std::fs::write(&objects, b"").unwrap();
    let body = healthkit(&phone, &(0..600).map(heart_rate).collect::<Vec<_>>());
    let answer = phone.post("healthkit", &body).await.unwrap();
    assert!(answer.status.is_server_error(), "{}", answer.body);
    let kind = problem(&answer, answer.status.as_u16());
    assert!(kind == "unavailable" || kind == "internal", "{kind}");
    // What was not acknowledged is not there; what was, is.
    assert_eq!(phone.readings("heart_rate").await.unwrap().len(), 1);
    until("the log names the operation that failed", async || server.started.log().contains("objects.put"))
        .await;
    let log = server.started.log();
    assert!(!log.contains(&phone.user_id), "{log}");
    let said = answer.body.to_string();
    assert!(!said.contains(&phone.user_id) && !said.contains("objects") && Url::parse(&said).is_err());
}
