//! The server of models, by the Open Inference Protocol: `clarity serve --role inference`, and beside the other where it is
//! switched on.

use std::{
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use e2e::{Clarity, Started};
use flate2::{Compression, write::GzEncoder};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::support::PATIENCE;

/// How long a week is that PAT reads.
const MINUTES: usize = 10_080;
const KEY: &str = "9f86d081884c7d659a2feaa0c55ad015";

/// Every route of the model server that needs the key.
const KEYED: [(&str, &str); 17] = [
    ("GET", "/v2"),
    ("GET", "/v2/models/stats"),
    ("GET", "/v2/models/pat-s"),
    ("GET", "/v2/models/pat-s/ready"),
    ("GET", "/v2/models/pat-s/config"),
    ("GET", "/v2/models/pat-s/stats"),
    ("POST", "/v2/models/pat-s/infer"),
    ("GET", "/v2/models/pat-s/versions/1"),
    ("GET", "/v2/models/pat-s/versions/1/ready"),
    ("GET", "/v2/models/pat-s/versions/1/config"),
    ("GET", "/v2/models/pat-s/versions/1/stats"),
    ("POST", "/v2/models/pat-s/versions/1/infer"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/pat-s/load"),
    ("POST", "/v2/repository/models/pat-s/unload"),
    ("POST", "/invocations"),
    ("GET", "/metrics"),
];
/// And what everybody may ask who reaches it.
const OPEN: [&str; 3] = ["/v2/health/live", "/v2/health/ready", "/ping"];

struct ModelServer {
    started: Started,
    _data: tempfile::TempDir,
}

impl ModelServer {
    fn start(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let clarity = Clarity::models(data.path()).unwrap();
        let clarity = settings.iter().fold(clarity, |clarity, (key, value)| clarity.set(key, value));
        Self { started: clarity.start().unwrap(), _data: data }
    }

    fn address(&self) -> SocketAddr {
        self.started.address().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Waits until the models are loaded.
    async fn ready(self) -> Self {
        ready(self.address()).await;
        self
    }
}

async fn ready(address: SocketAddr) {
    let start = Instant::now();
    loop {
        let answer = reqwest::get(format!("http://{address}/v2/health/ready")).await.unwrap();
        if answer.status() == 200 {
            return;
        }
        assert_eq!(answer.status(), 503);
        assert!(start.elapsed() < PATIENCE, "not ready: {}", answer.text().await.unwrap());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn week() -> Value {
    let data: Vec<f64> =
        (0..MINUTES).map(|minute| f64::from(u32::try_from(minute % 7).unwrap()) / 8.0).collect();
    json!({ "inputs": [{ "name": "x", "shape": [1, MINUTES], "datatype": "FP32", "data": data }] })
}

async fn error(answer: Response) -> String {
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1, "an error is nothing else: {body}");
    body["error"].as_str().unwrap().to_owned()
}

/// Every promise of the protocol, by the client that those use who come from Triton or `KServe`.
#[tokio::test]
async fn tritons_own_client_is_answered_as_by_triton() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join(".tools/triton-client/bin/python");
    assert!(python.is_file(), "`make test` installs tritonclient");
    let server = ModelServer::start(&[("inference.server.invocations_model", "pat-s")]).ready().await;
    let mut command = Command::new(python);
    command.arg(root.join("scripts/triton-client.py")).arg(server.address().to_string());
    command.arg(root.join("models/pat-s")).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let checks: u32 = text.split(' ').next().unwrap().trim().parse().unwrap();
    assert!(checks > 200, "{text}");
}

#[tokio::test]
async fn without_the_key_nothing_but_health_is_answered() {
    let server = ModelServer::start(&[("inference.server.key", KEY)]).ready().await;
    let client = Client::new();
    // Before a caller with the key unloads the model.
    for path in OPEN {
        assert_eq!(client.get(server.url(path)).send().await.unwrap().status(), 200, "{path}");
    }
    for (method, path) in KEYED {
        let request = || client.request(method.parse::<Method>().unwrap(), server.url(path));
        for request in [request(), request().bearer_auth("other"), request().basic_auth(KEY, None::<&str>)] {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 401, "{method} {path}");
            assert_eq!(answer.headers()["www-authenticate"], "Bearer");
            assert!(error(answer).await.contains("key"), "{method} {path}");
        }
        let status = request().bearer_auth(KEY).send().await.unwrap().status();
        assert!(status != 401 && status != 405 && status != 500, "{method} {path} with the key: {status}");
    }
    // A route that is added later is locked before anybody thinks of it.
    assert_eq!(client.get(server.url("/v2/later")).send().await.unwrap().status(), 401);
    let later = client.get(server.url("/v2/later")).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(later.status(), 404);
    assert!(!server.started.log().contains(KEY), "the key is in the log");
}

#[tokio::test]
async fn phones_do_not_reach_the_models() {
    let data = tempfile::tempdir().unwrap();
    let clarity = Clarity::serve(data.path()).unwrap().set("inference.server.enabled", "true");
    let server = clarity.set("inference.server.listen", "127.0.0.1:0").start().unwrap();
    let (phones, models) = (server.address().unwrap(), server.models_address().unwrap());
    ready(models).await;
    let client = Client::new();
    for (method, path) in KEYED.into_iter().chain(OPEN.map(|path| ("GET", path))) {
        if path == "/metrics" {
            continue;
        }
        let asked = client.request(method.parse::<Method>().unwrap(), format!("http://{phones}{path}"));
        assert_eq!(asked.send().await.unwrap().status(), 404, "{method} {path}");
    }
    let asked = client.post(format!("http://{models}/v2/models/pat-s/infer")).json(&week());
    assert_eq!(asked.send().await.unwrap().status(), 200);
    assert_eq!(client.get(format!("http://{models}/api/v1/health")).send().await.unwrap().status(), 404);
    // One that does not ask for it serves none.
    let plain = Clarity::serve(&data.path().join("plain")).unwrap().start().unwrap();
    assert!(plain.models_address().is_err());
}

#[tokio::test]
async fn bad_input_is_answered_in_words() {
    let server = ModelServer::start(&[("inference.server.body_bytes_max", "200000")]).ready().await;
    let (client, infer) = (Client::new(), server.url("/v2/models/pat-s/infer"));
    let post = || client.post(&infer);
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 200_001]).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1_000);
    let length = "inference-header-content-length";
    let cases = [
        (post().body("{"), 400, "JSON"),
        (post().body(""), 400, "JSON"),
        (post().body("[]"), 400, "an object"),
        (post().body(r#"{"inputs":[]}"#), 400, ""),
        (post().body(vec![b' '; 200_001]), 413, "200000 bytes"),
        (post().header("content-encoding", "gzip").body(bomb), 413, "200000 bytes"),
        (post().header("content-encoding", "gzip").body("no gzip"), 400, "content encoding"),
        (post().header("content-encoding", "br").body("{}"), 415, "gzip, deflate"),
        (post().header(length, "3").body("{}"), 400, "larger than the body"),
        (post().header(length, "-1").body("{}"), 400, "not one number"),
        (post().header(length, "1").header(length, "2").body("{}"), 400, "not one number"),
        (post().header(length, "0").body("abc"), 400, "3 bytes are no tensor"),
        (client.get(&infer), 405, "method"),
        (client.get(server.url("/v2/nowhere")), 404, "nothing here"),
        (client.get(server.url("/")), 404, "nothing here"),
    ];
    for (at, (request, status, words)) in cases.into_iter().enumerate() {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "case {at}");
        assert!(answer.headers().contains_key("x-request-id"), "case {at}");
        let error = error(answer).await;
        assert!(error.contains(words), "case {at}: {error}");
    }
}

#[tokio::test]
async fn what_comes_while_the_queue_is_full_is_refused_at_once() {
    // Each that is taken waits a second for others, which there is no room for: at most one a second is taken, however slow or
    // fast anything is.
    let server = ModelServer::start(&[
        ("inference.sessions_per_model", "1"),
        ("inference.queue_depth", "1"),
        ("inference.batching.pat-s.batch_rows_max", "4"),
        ("inference.batching.pat-s.batch_delay_us", "1000000"),
    ])
    .ready()
    .await;
    let (client, infer) = (Client::new(), server.url("/v2/models/pat-s/infer"));
    // Each its own input, so that none is answered out of a cache.
    let ask = async |at: usize| {
        let mut body = week();
        body["inputs"][0]["data"][0] = json!(at);
        client.post(&infer).json(&body).send().await.unwrap()
    };
    let start = Instant::now();
    let answers = futures::future::join_all((0..64).map(ask)).await;
    let seconds_begun = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
    let mut taken = 0;
    for answer in answers {
        if answer.status() == 200 {
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["outputs"][0]["shape"], json!([1, 96]));
            taken += 1;
            continue;
        }
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "1");
        assert!(!error(answer).await.is_empty());
    }
    assert!((1..=seconds_begun.min(63)).contains(&taken), "{taken} of 64 were taken in {seconds_begun} s");
    // And it goes on.
    assert_eq!(ask(99).await.status(), 200);
}

#[tokio::test]
async fn what_takes_too_long_leaves_a_trace() {
    let settings = [("server.body_timeout_ms", "100"), ("server.request_timeout_ms", "100")];
    let server = ModelServer::start(&settings).ready().await;
    let client = Client::new();
    // One after the other: together they take longer than one may.
    let load = |at: usize| {
        let load = client.post(server.url("/v2/repository/models/pat-s/load"));
        load.header("x-request-id", format!("load-{at}")).send()
    };
    let answers = futures::future::try_join_all((0..24).map(load)).await.unwrap();
    let late: Vec<_> = answers.iter().filter(|answer| answer.status() == 503).collect();
    assert!(!late.is_empty());
    for answer in &late {
        let id = answer.headers()["x-request-id"].to_str().unwrap();
        assert!(server.started.log().contains(id), "{id} is not in the log");
        assert_eq!(answer.headers()["cache-control"], "no-store");
    }
    let metrics = client.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let line = format!(
        r#"http_requests_total{{method="POST",route="/v2/repository/models/{{model}}/load",status="503"}} {}"#,
        late.len()
    );
    assert!(metrics.contains(&line), "{metrics}");
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_answers_what_it_took() {
    let server = ModelServer::start(&[("server.lame_duck_ms", "2000")]).ready().await;
    let client = Client::new();
    server.started.terminate().unwrap();
    let start = Instant::now();
    loop {
        let answer = client.get(server.url("/ping")).send().await.unwrap();
        if answer.status() == 503 {
            assert_eq!(answer.headers()["connection"], "close");
            break;
        }
        assert!(start.elapsed() < PATIENCE, "it does not stop");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = client.post(server.url("/v2/models/pat-s/infer")).json(&week()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let (status, log) = server.started.wait().unwrap();
    assert!(status.success(), "{log}");
}

#[tokio::test]
async fn it_tells_prometheus_what_it_does() {
    let server = ModelServer::start(&[("inference.server.invocations_model", "pat-s")]).ready().await;
    let client = Client::new();
    assert_eq!(client.post(server.url("/invocations")).json(&week()).send().await.unwrap().status(), 200);
    let metrics = client.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let line = r#"http_requests_total{method="POST",route="/invocations",status="200"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}
