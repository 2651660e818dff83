//! Files that are put into the object store first, and imported by a worker.

use std::path::Path;

use e2e::{Answer, Clarity, Phone};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    imports::{archive, counts, export, import, readings, stream_in},
    support::{PATIENCE, Shared, problem, until},
};

static SHARED: Shared = Shared::new();

async fn announce(phone: &Phone, kind: &str, size: usize) -> Value {
    let body = json!({ "content_type": kind, "size_bytes": size });
    phone.post("healthkit/imports", &body).await.unwrap().expect(201).unwrap()
}

/// Puts a file where the announcement says.
async fn put(phone: &Phone, announced: &Value, bytes: Vec<u8>) -> u16 {
    assert_eq!(announced["upload"]["method"], "PUT");
    let url = announced["upload"]["url"].as_str().unwrap();
    // The server listens on a port that its configuration does not name.
    let path = &url[url.find("/objects/").unwrap()..];
    let url = format!("http://{}{path}", phone.address);
    phone.client.put(url).body(bytes).send().await.unwrap().status().as_u16()
}

fn id(announced: &Value) -> &str {
    announced["import"]["import_id"].as_str().unwrap()
}

async fn start(phone: &Phone, id: &str) -> Answer {
    e2e::read(phone.request(Method::POST, &format!("healthkit/imports/{id}/start"))).await.unwrap()
}

async fn stored(phone: &Phone, id: &str) -> Value {
    phone.get(&format!("healthkit/imports/{id}")).await.unwrap().expect(200).unwrap()
}

/// The events of an import to its end: their names and data.
async fn watched(phone: &Phone, id: &str) -> Vec<(String, Value)> {
    let request = phone.request(Method::GET, &format!("healthkit/imports/{id}"));
    let request = request.header("accept", "text/event-stream").timeout(PATIENCE * 4);
    let answer = request.send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let text = answer.text().await.unwrap();
    let event = |block: &str| {
        let (name, data) = block.strip_prefix("event: ")?.split_once("\ndata: ")?;
        Some((name.to_owned(), serde_json::from_str(data).unwrap()))
    };
    text.split("\n\n").filter_map(event).collect()
}

#[tokio::test]
async fn a_file_that_was_put_is_imported_and_its_progress_told() {
    let server = SHARED.get();
    let (phone, other) = (server.phone().await, server.phone().await);
    let xml = export(20);
    let sent = stream_in(&other, "application/xml", xml.clone()).await;
    for (kind, bytes) in [("application/xml", xml.clone()), ("application/zip", archive(&xml, &[]))] {
        let announced = announce(&phone, kind, bytes.len()).await;
        assert_eq!(announced["import"]["state"], "waiting");
        assert_eq!(put(&phone, &announced, bytes).await, 200);
        let queued = start(&phone, id(&announced)).await.expect(202).unwrap();
        assert_eq!(queued["state"], "queued");
        let events = watched(&phone, id(&announced)).await;
        let (name, last) = events.last().unwrap();
        assert_eq!((name.as_str(), &last["state"]), ("import", &json!("completed")), "{last}");
        assert_eq!(*last, stored(&phone, id(&announced)).await);
        // Whoever starts it again gets what came of it.
        assert_eq!(start(&phone, id(&announced)).await.expect(202).unwrap(), *last);
        let (accepted, duplicate, rejected) = counts(last);
        assert_eq!((accepted + duplicate, rejected), (counts(import(&sent)).0, 0));
    }
    assert_eq!(readings(&phone).await, readings(&other).await);
    let stranger = announce(&other, "application/xml", 7).await;
    assert_eq!(problem(&start(&phone, id(&stranger)).await, 404), "not-found");
}

#[tokio::test]
async fn what_was_not_put_as_announced_is_not_imported() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let xml = export(1);
    // Never put; shorter than announced; longer, which the URL does not take.
    for (bytes, status, words) in [
        (None, 0, "nothing was put"),
        (Some(xml[..xml.len() - 1].to_vec()), 200, "not as long as"),
        (Some([xml.clone(), vec![b' ']].concat()), 413, "nothing was put"),
    ] {
        let announced = announce(&phone, "application/xml", xml.len()).await;
        if let Some(bytes) = bytes {
            assert_eq!(put(&phone, &announced, bytes).await, status);
        }
        start(&phone, id(&announced)).await.expect(202).unwrap();
        let (_, last) = watched(&phone, id(&announced)).await.pop().unwrap();
        assert_eq!(last["state"], "failed");
        assert!(last["failure"].as_str().unwrap().contains(words), "{last}");
    }
    assert!(readings(&phone).await.is_empty());
    for (body, pointer) in [
        (json!({ "content_type": "application/xml", "size_bytes": 0 }), "/size_bytes"),
        (
            json!({ "content_type": "application/xml", "size_bytes": 1, "time_zone": "Mars/Olympus" }),
            "/time_zone",
        ),
        (json!({ "content_type": "text/plain", "size_bytes": 1 }), "/content_type"),
    ] {
        let refused = phone.post("healthkit/imports", &body).await.unwrap();
        assert_eq!(problem(&refused, 422), "validation");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.body);
    }
    let huge = json!({ "content_type": "application/xml", "size_bytes": 1_u64 << 40 });
    assert_eq!(problem(&phone.post("healthkit/imports", &huge).await.unwrap(), 413), "too-large");
}

#[tokio::test]
async fn an_import_goes_on_when_its_worker_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let server = Clarity::serve(data.path()).unwrap().args(&["--no-worker"]).start().unwrap();
    let address = server.address().unwrap();
    let (phone, other) = (Phone::sign_up(address).await.unwrap(), Phone::sign_up(address).await.unwrap());
    let xml = export(60);
    let announced = announce(&phone, "application/xml", xml.len()).await;
    assert_eq!(put(&phone, &announced, xml.clone()).await, 200);
    start(&phone, id(&announced)).await.expect(202).unwrap();
    let worker = |data: &Path| {
        let worker = Clarity::worker(data).unwrap().set("worker.lease_ms", "2000");
        worker.set("worker.heartbeat_ms", "500").start().unwrap()
    };
    let mut killed = worker(data.path());
    until("the first portion", async || stored(&phone, id(&announced)).await["position"] != 0).await;
    killed.kill().unwrap();
    let _next = worker(data.path());
    let (_, last) = watched(&phone, id(&announced)).await.pop().unwrap();
    assert_eq!(last["state"], "completed", "{last}");
    let sent = stream_in(&other, "application/xml", xml).await;
    // What of a portion was kept before the kill is known when it is read again, so the sums are the same.
    let (accepted, duplicate, rejected) = counts(&last);
    let whole = counts(import(&sent));
    assert_eq!((accepted + duplicate, rejected), (whole.0 + whole.1, whole.2));
    assert_eq!(readings(&phone).await, readings(&other).await);
}
