//! What every answer has in common, how the service is, its metrics, its limits and its event stream.

use std::time::{Duration, Instant};

use e2e::{Answer, Phone, read};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use simulator::{Simulation, SimulatorSettings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

use crate::support::{
    PATIENCE, Server, Shared, healthkit, heart_rate, new_id, problem, processed, quantity, until, upload,
};

static SHARED: Shared = Shared::new();

async fn get(server: &Server, path: &str) -> Answer {
    read(reqwest::Client::new().get(server.url(path))).await.unwrap()
}

#[tokio::test]
async fn every_refusal_is_a_problem_document() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let send = async |method: Method, path: &str| read(phone.request(method, path)).await.unwrap();
    assert_eq!(problem(&send(Method::GET, "nowhere").await, 404), "not-found");
    assert_eq!(problem(&send(Method::GET, &format!("insights/{}", new_id())).await, 404), "not-found");
    assert_eq!(
        problem(&send(Method::GET, &format!("insights/history/{}", new_id())).await, 403),
        "foreign-user"
    );
    for (method, path) in [
        (Method::DELETE, "auth/me"),
        (Method::PATCH, "health-data"),
        (Method::GET, "auth/login"),
        (Method::GET, "healthkit"),
        (Method::PUT, "insights/status"),
        (Method::POST, "metrics/daily"),
        (Method::POST, "health"),
        (Method::POST, "openapi.json"),
    ] {
        assert_eq!(problem(&send(method.clone(), path).await, 405), "method-not-allowed", "{method} {path}");
    }
    for path in
        ["/nowhere", "/api/v2/health", "/.env", "/api/v1/health-data/processing/x/y", "/objects/a%00b"]
    {
        assert_eq!(problem(&get(&server, path).await, 404), "not-found", "{path}");
    }
    assert_eq!(problem(&read(phone.anonymous(Method::GET, "auth/me")).await.unwrap(), 401), "unauthorized");
    for query in ["limit=ten", "unknown=1", "start_date=soon"] {
        assert_eq!(
            problem(&send(Method::GET, &format!("health-data?{query}")).await, 422),
            "validation",
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_request_keeps_its_id_and_its_trace_or_gets_an_id() {
    let server = SHARED.get();
    let client = reqwest::Client::new();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for path in ["/health", "/nowhere", "/api/v1/auth/me"] {
        let request =
            client.get(server.url(path)).header("x-request-id", "phone-7_a").header("traceparent", trace);
        let answer = read(request).await.unwrap();
        assert_eq!(answer.headers["x-request-id"], "phone-7_a", "{path}");
        assert_eq!(answer.headers["traceparent"], trace, "{path}");
        let mut made = Vec::new();
        for given in [None, Some("two words"), Some("a\"b"), Some(&*"x".repeat(65)), Some("")] {
            let request = client.get(server.url(path));
            let request = given.into_iter().fold(request, |request, id| request.header("x-request-id", id));
            let answer = read(request).await.unwrap();
            made.push(answer.headers["x-request-id"].to_str().unwrap().parse::<Uuid>().expect("a new id"));
            assert!(!answer.headers.contains_key("traceparent"));
        }
        made.dedup();
        assert_eq!(made.len(), 5, "each request has an id of its own");
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_is_not_stored() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let answers = [
        phone.get("health-data").await.unwrap(),
        phone.get("metrics/daily").await.unwrap(),
        phone.get("auth/me").await.unwrap(),
        phone.get("nowhere").await.unwrap(),
        read(phone.anonymous(Method::GET, "auth/me")).await.unwrap(),
        get(&server, "/health").await,
        get(&server, "/nowhere").await,
    ];
    for answer in answers {
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["x-frame-options"], "DENY");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(!answer.headers.contains_key("server"));
    }
}

#[tokio::test]
async fn a_trailing_slash_makes_no_difference() {
    let server = SHARED.get();
    let phone = server.phone().await;
    for path in [
        "health-data",
        "metrics/daily",
        "auth/me",
        "health",
        "insights/status",
        "pat/models/info",
        "openapi.json",
    ] {
        let plain = phone.get(path).await.unwrap().expect(200).unwrap();
        let slash = phone.get(&format!("{path}/")).await.unwrap().expect(200).unwrap();
        if path != "health" {
            assert_eq!(plain, slash, "{path}");
        }
    }
    let answer =
        phone.post("healthkit/", &healthkit(&phone, &[heart_rate(0)])).await.unwrap().expect(202).unwrap();
    let id = answer["upload_id"].as_str().unwrap();
    processed(&phone, id).await;
    phone.delete(&format!("health-data/{id}/")).await.unwrap().expect(200).unwrap();
    for path in ["/", "/api/v1", "/api/v1/"] {
        assert_eq!(get(&server, path).await.expect(200).unwrap()["name"], "clarity", "{path}");
    }
}

#[tokio::test]
async fn health_is_measured() {
    let server = SHARED.get();
    for path in ["/health", "/api/v1/health"] {
        let live = get(&server, path).await.expect(200).unwrap();
        assert_eq!(live["status"], "healthy");
        assert!(live["version"].is_string());
        assert!(!live["timestamp"].as_str().unwrap().contains('.'), "whole seconds");
    }
    let database = get(&server, "/health/db").await.expect(200).unwrap();
    assert_eq!(database["status"], "up");
    assert!(database["latency_ms"].as_f64().unwrap() > 0.0);
    let ready = until_ready(&server).await;
    assert_eq!(
        (&ready["status"], &ready["database"], &ready["cache"]),
        (&json!("healthy"), &json!("up"), &json!("none"))
    );
    let detailed = get(&server, "/api/v1/health/detailed").await.expect(200).unwrap();
    for part in ["health_data", "objects", "jobs", "models"] {
        assert_eq!(detailed["dependencies"][part]["status"], "up", "{part}");
        assert!(detailed["dependencies"][part]["latency_ms"].is_f64(), "{part}");
    }
}

/// Waits until the models are read, and answers the readiness.
async fn until_ready(server: &Server) -> Value {
    let ready = async || get(server, "/api/v1/health/ready").await;
    until("the server becomes ready", async || ready().await.status == 200).await;
    ready().await.expect(200).unwrap()
}

#[tokio::test]
async fn without_a_model_pat_says_so_and_everything_else_works() {
    let models = tempfile::tempdir().unwrap();
    let server = Server::start(&[("inference.models_dir", models.path().to_str().unwrap())]);
    let phone = server.phone().await;
    let ready = until_ready(&server).await;
    assert_eq!(
        (&ready["status"], &ready["dependencies"]["models"]["status"]),
        (&json!("degraded"), &json!("down"))
    );
    assert!(ready["dependencies"]["models"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()));

    let health = phone.get("pat/health").await.unwrap().expect(503).unwrap();
    assert_eq!(health["status"], "unavailable");
    assert_eq!(health["inference_engine"]["execution_provider"], Value::Null);
    // A week, so that the model would be asked.
    let start: jiff::Timestamp = "2025-03-01T00:00:00Z".parse().unwrap();
    let minute = |at: i64| (start + jiff::SignedDuration::from_mins(at)).to_string();
    let week = json!({
        "step_counts": (0..10_080).map(|at| if at % 1440 > 480 { at % 90 } else { 0 }).collect::<Vec<i64>>(),
        "timestamps": (0..10_080).map(minute).collect::<Vec<_>>(),
    });
    let answer = phone.post("pat/step-analysis", &week).await.unwrap();
    assert_eq!(problem(&answer, 503), "unavailable");
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);

    // Days that a model would embed.
    let start = "2025-03-03".parse().unwrap();
    let settings = SimulatorSettings { days: 14, seed: 7, start, zone: "Europe/Berlin".to_owned() };
    for body in Simulation::new(&settings).unwrap().healthkit_uploads(&phone.user_id) {
        upload(&phone, &body).await;
    }
    let circadian = phone.get("metrics/circadian").await.unwrap().expect(200).unwrap();
    assert!(circadian["circadian"]["measures"]["interdaily_stability"]["value"].is_number());
    let pat = &circadian["pat"];
    assert_eq!((&pat["embedding"], &pat["model"]), (&Value::Null, &Value::Null));
    assert!(pat["not_assessed"].as_str().is_some_and(|reason| reason.contains("model")), "{pat}");
    let nights = phone.get("metrics/sleep").await.unwrap().expect(200).unwrap();
    assert_eq!(nights["data"].as_array().unwrap().len(), 13);
    phone.post("insights", &json!({})).await.unwrap().expect(200).unwrap();
}

#[tokio::test]
async fn with_a_model_pat_embeds_a_week_and_the_analysis_is_kept() {
    let server = SHARED.get();
    let phone = server.phone().await;
    until_ready(&server).await;
    let start: jiff::Timestamp = "2025-03-01T00:00:00Z".parse().unwrap();
    let minute = |at: i64| (start + jiff::SignedDuration::from_mins(at)).to_string();
    let week = json!({
        "step_counts": (0..10_080).map(|at| if at % 1440 > 480 { at % 90 } else { 0 }).collect::<Vec<i64>>(),
        "timestamps": (0..10_080).map(minute).collect::<Vec<_>>(),
    });
    let first = phone.post("pat/step-analysis", &week).await.unwrap().expect(200).unwrap();
    let analysis = &first["analysis"];
    assert_eq!(analysis["embedding"].as_array().unwrap().len(), 96);
    assert_eq!(
        (&analysis["model"]["weights"], &analysis["experimental"]),
        (&json!("synthetic"), &json!(true))
    );
    // What nothing computes is absent, with the reason.
    for name in
        ["depression_risk_score", "mania_risk_score", "confidence_score", "sleep_efficiency", "sleep_stages"]
    {
        assert_eq!(analysis[name], Value::Null, "{name}");
        assert!(analysis["not_assessed"][name].is_string(), "{name}");
    }
    let second = phone.post("pat/step-analysis", &week).await.unwrap().expect(200).unwrap();
    assert_eq!(analysis["embedding"], second["analysis"]["embedding"]);
    assert_eq!(analysis["measures"], second["analysis"]["measures"]);
    let path = format!("pat/analysis/{}", first["analysis_id"].as_str().unwrap());
    let stored = phone.get(&path).await.unwrap().expect(200).unwrap();
    assert_eq!(stored["activity_embedding"], analysis["embedding"]);
    let health = phone.get("pat/health").await.unwrap().expect(200).unwrap();
    assert_eq!(
        (&health["status"], &health["pat_model"]["identity"]["weights"]),
        (&json!("healthy"), &json!("synthetic"))
    );
    let hash = health["pat_model"]["identity"]["sha256"].as_str().unwrap();
    assert_eq!(analysis["model"]["sha256"], hash);
    let info = phone.get("pat/models/info").await.unwrap().expect(200).unwrap();
    assert_eq!(info["models"][0], health["pat_model"]);
}

#[tokio::test]
async fn a_day_is_no_week_and_pat_says_so() {
    let server = SHARED.get();
    let phone = server.phone().await;
    until_ready(&server).await;
    let steps =
        quantity("StepCount", 50.0, "count", "2025-03-01T10:00:00+01:00", "2025-03-01T10:01:00+01:00");
    upload(&phone, &healthkit(&phone, &[heart_rate(0), steps])).await;
    let circadian = phone.get("metrics/circadian").await.unwrap().expect(200).unwrap();
    assert!(
        circadian["circadian"]["measures"]["l5"]["not_assessed"].is_string(),
        "{}",
        circadian["circadian"]
    );
    let pat = &circadian["pat"];
    assert_eq!(pat["embedding"], Value::Null);
    assert!(pat["not_assessed"].as_str().is_some_and(|reason| reason.contains("10080")), "{pat}");
}

/// The value of one series of `/metrics`; 0 before it was first counted.
fn series(text: &str, name: &str, labels: &[&str]) -> f64 {
    let line = text.lines().find(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn metrics_have_their_names_and_move() {
    // One of its own: nobody else's requests are counted here.
    let server = Server::start(&[]);
    let phone = server.phone().await;
    let text = async || {
        let answer = phone.client.get(server.url("/metrics")).send().await.unwrap();
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
        answer.text().await.unwrap()
    };
    let before = text().await;
    upload(&phone, &healthkit(&phone, &[heart_rate(0), heart_rate(1)])).await;
    // A job is counted after its results are there.
    let is_counted = async || {
        series(&text().await, "job_duration_seconds_count", &[])
            > series(&before, "job_duration_seconds_count", &[])
    };
    until("the job is counted", is_counted).await;
    let after = text().await;
    let moved = |name: &str, labels: &[&str]| series(&after, name, labels) - series(&before, name, labels);
    assert!((moved("samples_accepted_total", &[]) - 2.0).abs() < 1e-9);
    assert!((moved("jobs_published_total", &[]) - 1.0).abs() < 1e-9);
    assert!((moved("jobs_total", &["outcome=\"completed\""]) - 1.0).abs() < 1e-9, "{after}");
    let posted = ["method=\"POST\"", "route=\"/api/v1/healthkit\"", "status=\"202\""];
    assert!((moved("http_requests_total", &posted) - 1.0).abs() < 1e-9, "{after}");
    assert!((moved("http_request_duration_seconds_count", &posted[..2]) - 1.0).abs() < 1e-9);
    assert!((moved("job_duration_seconds_count", &[]) - 1.0).abs() < 1e-9);
    for gauge in ["queue_depth", "queue_dead_letters", "queue_oldest_age_seconds"] {
        assert!(after.lines().any(|line| line.starts_with(&format!("{gauge} "))), "{gauge}");
    }
    assert!(!after.contains(&phone.user_id) && !after.contains(&phone.email));
}

#[tokio::test]
async fn uploads_analyses_sign_ups_and_sign_ins_have_their_rates() {
    let server = Server::start(&[
        ("limits.uploads_per_hour", "2"),
        ("limits.pat_per_hour", "1"),
        ("limits.registrations_per_hour", "2"),
        ("limits.logins_per_minute", "3"),
    ]);
    let (anna, berta) = (server.phone().await, server.phone().await);
    let limited = |answer: &Answer, most: u64| {
        assert_eq!(problem(answer, 429), "rate-limited");
        let after: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=most).contains(&after), "{after}");
    };
    for minute in 0..2 {
        anna.post("healthkit", &healthkit(&anna, &[heart_rate(minute)])).await.unwrap().expect(202).unwrap();
    }
    limited(&anna.post("healthkit", &healthkit(&anna, &[heart_rate(2)])).await.unwrap(), 1800);
    limited(&anna.post("health-data", &json!({})).await.unwrap(), 1800);
    // What was refused was not kept, and others are not held up.
    assert_eq!(anna.readings("heart_rate").await.unwrap().len(), 2);
    berta.post("healthkit", &healthkit(&berta, &[heart_rate(0)])).await.unwrap().expect(202).unwrap();
    let steps = json!({ "step_counts": [1], "timestamps": ["2025-03-01T08:00:00Z"] });
    anna.post("pat/step-analysis", &steps).await.unwrap().expect(200).unwrap();
    limited(&anna.post("pat/step-analysis", &steps).await.unwrap(), 3600);
    let register = anna.anonymous(Method::POST, "auth/register");
    let body = json!({ "email": "third@example.org", "password": "a long password" });
    limited(&read(register.json(&body)).await.unwrap(), 1800);
    for attempt in 0..4 {
        let body = json!({ "email": anna.email, "password": anna.password });
        let answer = read(anna.anonymous(Method::POST, "auth/login").json(&body)).await.unwrap();
        if attempt < 3 { drop(answer.expect(200).unwrap()) } else { limited(&answer, 20) }
    }
}

/// An event stream as it is read: whole lines.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn open(phone: &Phone, last: Option<&str>) -> Self {
        // Without the client's usual deadline: the stream goes on.
        let request = phone.request(Method::GET, "events").timeout(PATIENCE * 2);
        let request = last.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = Self { response, text: String::new() };
        assert_eq!(events.block().await, ": connected");
        events
    }

    /// The next block: a comment or an event.
    async fn block(&mut self) -> String {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return block;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk())
                .await
                .expect("the stream speaks")
                .unwrap();
            self.text.push_str(std::str::from_utf8(&chunk.expect("the stream goes on")).unwrap());
        }
    }

    /// The next event: its id, its name and its data.
    async fn next(&mut self) -> (String, String, Value) {
        loop {
            let block = self.block().await;
            if block.starts_with(':') {
                continue;
            }
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_else(|| panic!("no {name} in {block}")).to_owned()
            };
            return (field("id: "), field("event: "), serde_json::from_str(&field("data: ")).unwrap());
        }
    }
}

#[tokio::test]
async fn an_upload_is_announced_to_its_owner_live_and_again_on_request() {
    let server = SHARED.get();
    let (anna, berta) = (server.phone().await, server.phone().await);
    let (mut live, mut foreign) = (Events::open(&anna, None).await, Events::open(&berta, None).await);
    let mut ids = Vec::new();
    let mut events = Vec::new();
    for minute in 0..3 {
        let sent = upload(&anna, &healthkit(&anna, &[heart_rate(minute)])).await;
        let event = live.next().await;
        assert_eq!(event.1, "upload.completed");
        assert_eq!(event.2["subject"]["upload_id"], sent["upload_id"]);
        assert!(event.0.parse::<Uuid>().is_ok());
        ids.push(sent["upload_id"].as_str().unwrap().to_owned());
        events.push(event);
    }
    anna.delete(&format!("health-data/{}", ids[2])).await.unwrap().expect(200).unwrap();
    let deleted = live.next().await;
    assert_eq!((deleted.1.as_str(), &deleted.2["subject"]["upload_id"]), ("upload.deleted", &json!(ids[2])));
    events.push(deleted);
    // Behind the first come the second and all that followed, the same and once.
    let mut again = Events::open(&anna, Some(&events[0].0)).await;
    for expected in &events[1..] {
        assert_eq!(&again.next().await, expected);
    }
    // Berta's stream holds what is hers, and nothing that came before it.
    let mut from_annas = Events::open(&berta, Some(&events[0].0)).await;
    let sent = upload(&berta, &healthkit(&berta, &[heart_rate(7)])).await;
    for stream in [&mut foreign, &mut from_annas] {
        assert_eq!(stream.next().await.2["subject"]["upload_id"], sent["upload_id"]);
    }
    let values = format!("{events:?}");
    assert!(!values.contains("60.0") && !values.contains("heart"), "an event holds no reading");
    let request = anna.request(Method::GET, "events").header("last-event-id", "yesterday");
    assert_eq!(problem(&read(request).await.unwrap(), 422), "validation");
}

#[tokio::test]
async fn a_quiet_stream_beats_within_fifteen_seconds() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: clarity\r\nAuthorization: Bearer {}\r\n\r\n",
        phone.access_token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut text, mut chunk) = (String::new(), [0; 1024]);
    let mut connected = None;
    while !text.contains(": heartbeat\n\n") {
        let count =
            tokio::time::timeout(PATIENCE, stream.read(&mut chunk)).await.expect("the stream beats").unwrap();
        assert!(count > 0, "the stream ended: {text}");
        text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        if connected.is_none() && text.contains(": connected\n\n") {
            connected = Some(Instant::now());
        }
    }
    assert!(connected.expect("a greeting first").elapsed() <= Duration::from_secs(15));
}
