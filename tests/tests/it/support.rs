//! What the tests that speak HTTP share: a running server, its people, and the bodies they send.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use adapters_local::{SystemClock, SystemIds};
use e2e::{Answer, Clarity, Phone, Started, binary};
use ports::{Clock, IdSource};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything here takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A server with a data folder of its own; both go when it is dropped.
pub(crate) struct Server {
    pub(crate) started: Started,
    pub(crate) data: TempDir,
}

impl Server {
    /// Starts one with these configuration keys beside the development profile's.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let clarity = Clarity::serve(data.path()).unwrap();
        // Where the suite is run on other providers, on an account or a database of this server's own.
        let site = crate::providers::chosen();
        let clarity = site.iter().fold(clarity, |clarity, (key, value)| clarity.set(key, value));
        let clarity = settings.iter().fold(clarity, |clarity, (key, value)| clarity.set(key, value));
        Self { started: clarity.start().unwrap(), data }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.started.address().unwrap()
    }

    pub(crate) async fn phone(&self) -> Phone {
        Phone::sign_up(self.address()).await.unwrap()
    }

    /// A URL below the server's root.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }
}

/// One server for the tests that run at the same time. Whoever is the last to hold it stops it: a static would leave the
/// process behind.
pub(crate) struct Shared(Mutex<Weak<Server>>);

impl Shared {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    pub(crate) fn get(&self) -> Arc<Server> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = slot.upgrade() {
            return server;
        }
        let server = Arc::new(Server::start(&[]));
        *slot = Arc::downgrade(&server);
        server
    }
}

/// An id that nothing has.
pub(crate) fn new_id() -> String {
    SystemIds.next().to_string()
}

/// A month from now, as phones write it.
pub(crate) fn in_a_month() -> String {
    (SystemClock.now() + jiff::SignedDuration::from_hours(24 * 30)).to_string()
}

/// The binary with these arguments, without what is set around the tests.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary().unwrap());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    command.env_clear().current_dir(root).stdin(Stdio::null()).args(arguments);
    command
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// Standard output as JSON.
pub(crate) fn stdout_json(output: &Output) -> Value {
    let text = || String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text()))
}

/// A HealthKit quantity with an id of its own.
pub(crate) fn quantity(kind: &str, value: f64, unit: &str, start: &str, end: &str) -> Value {
    json!({
        "identifier": new_id(),
        "type": format!("HKQuantityTypeIdentifier{kind}"),
        "value": value,
        "unit": unit,
        "start_date": start,
        "end_date": end,
        "source_name": "Apple Watch",
        "device": { "name": "Apple Watch", "product_type": "Watch6,2" },
    })
}

/// A heart rate reading so many minutes after eight in the morning of 1 March 2025.
pub(crate) fn heart_rate(minute: u32) -> Value {
    let at = format!("2025-03-01T{:02}:{:02}:00+01:00", 8 + minute / 60, minute % 60);
    quantity("HeartRate", 60.0 + f64::from(minute % 100), "count/min", &at, &at)
}

/// A `POST healthkit` body of quantities.
pub(crate) fn healthkit(phone: &Phone, quantities: &[Value]) -> Value {
    json!({
        "user_id": phone.user_id,
        "quantity_samples": quantities,
        "category_samples": [],
        "workouts": [],
        "correlation_samples": [],
        "upload_metadata": { "time_zone": "Europe/Berlin" },
        "sync_token": null,
    })
}

/// A `POST health-data` body.
pub(crate) fn health_data(phone: &Phone, metrics: &[Value]) -> Value {
    json!({
        "user_id": phone.user_id,
        "metrics": metrics,
        "upload_source": "apple_health",
        "client_timestamp": "2025-03-01T09:00:00Z",
    })
}

/// Sends a `POST healthkit` body that must be taken, waits for its job, and answers the 202's body.
pub(crate) async fn upload(phone: &Phone, body: &Value) -> Value {
    let answer = phone.post("healthkit", body).await.unwrap().expect(202).unwrap();
    processed(phone, answer["upload_id"].as_str().unwrap()).await;
    answer
}

/// Waits until an upload's job is completed.
pub(crate) async fn processed(phone: &Phone, upload_id: &str) {
    let status =
        tokio::time::timeout(PATIENCE, phone.processed(upload_id)).await.expect("the job ends").unwrap();
    assert_eq!(status["status"], "completed", "{status}");
}

/// Asks again and again until the answer is yes.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

/// The exact bytes of a 200.
pub(crate) async fn bytes(phone: &Phone, path: &str) -> Vec<u8> {
    let answer = phone.request(Method::GET, path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.bytes().await.unwrap().to_vec()
}

/// Checks that an answer is a problem document in full, and answers its type.
pub(crate) fn problem(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.body["status"], status);
    assert_eq!(answer.body["instance"], answer.headers["x-request-id"].to_str().unwrap());
    assert!(answer.body["title"].as_str().is_some_and(|title| !title.is_empty()));
    answer.body["type"].as_str().unwrap().strip_prefix("/problems/").unwrap().to_owned()
}

/// The pointers of a validation problem.
pub(crate) fn pointers(answer: &Answer) -> Vec<&str> {
    answer.body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

/// A problem without the only part that differs from request to request.
pub(crate) fn without_instance(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    body.as_object_mut().unwrap().remove("instance").unwrap();
    body
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
