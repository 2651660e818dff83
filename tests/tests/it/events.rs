//! `events`: nothing is missed, nothing comes twice, nothing lasts too long.

use std::time::{Duration, Instant};

use app::events::StoredEvent;
use domain::{
    ids::{EventId, UserId},
    record::RecordKey,
};
use e2e::{Clarity, Phone};
use ports::{HealthDataRepository, Precondition, Write};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpSocket, time::timeout};

use crate::{
    folder::Folder,
    support::{PATIENCE, Server, Shared, healthkit, heart_rate, new_id, problem, until, upload},
};

static SHARED: Shared = Shared::new();

/// A stream as a browser reads it.
pub(crate) struct Stream {
    response: Response,
    text: String,
    /// The id that it would come back with.
    last_id: Option<String>,
}

impl Stream {
    async fn open(phone: &Phone, last: Option<&str>) -> Self {
        let request = phone.request(Method::GET, "events").timeout(PATIENCE * 2);
        let request = last.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        Self::of(request.send().await.unwrap())
    }

    pub(crate) fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        Self { response, text: String::new(), last_id: None }
    }

    /// The next block with a field; `None` where the stream ended.
    async fn block(&mut self) -> Option<Vec<(String, String)>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let lines = block.lines().filter(|line| !line.starts_with(':'));
                let fields: Vec<(String, String)> = lines
                    .map(|line| line.split_once(": ").expect("a field"))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                self.text = rest.to_owned();
                if let Some((_, id)) = fields.iter().find(|(name, _)| name == "id") {
                    self.last_id = Some(id.clone());
                }
                if !fields.is_empty() {
                    return Some(fields);
                }
                continue;
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("the stream speaks or ends");
            self.text.push_str(std::str::from_utf8(&chunk.ok()??).unwrap());
        }
    }

    /// Where it begins, and when to come back.
    async fn position(&mut self) -> String {
        let block = self.block().await.expect("a position");
        assert_eq!(block[0], ("retry".to_owned(), "3000".to_owned()));
        self.last_id.clone().expect("the position has an id")
    }

    /// The next event: its name and its data.
    pub(crate) async fn event(&mut self) -> (String, Value) {
        let block = self.block().await.expect("an event");
        let field = |name: &str| {
            let found = block.iter().find(|(field, _)| field == name);
            found.unwrap_or_else(|| panic!("no {name}")).1.clone()
        };
        (field("event"), serde_json::from_str(&field("data")).unwrap())
    }

    async fn upload_id(&mut self) -> String {
        let (name, data) = self.event().await;
        assert_eq!(name, "upload.completed");
        data["subject"]["upload_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn is_over(&mut self) -> bool {
        self.block().await.is_none()
    }
}

async fn uploads(phone: &Phone, count: u32) -> Vec<String> {
    let mut ids = Vec::new();
    for minute in 0..count {
        let sent = upload(phone, &healthkit(phone, &[heart_rate(minute)])).await;
        ids.push(sent["upload_id"].as_str().unwrap().to_owned());
    }
    ids
}

#[tokio::test]
async fn a_stream_goes_on_over_a_restart_and_on_another_instance() {
    let data = tempfile::tempdir().unwrap();
    let first = Clarity::serve(data.path()).unwrap().start().unwrap();
    let phone = Phone::sign_up(first.address().unwrap()).await.unwrap();
    // A client that has not seen any event can come back, too.
    let beginning = Stream::open(&phone, None).await.position().await;
    let mut expected = uploads(&phone, 3).await;
    let mut stream = Stream::open(&phone, Some(&beginning)).await;
    stream.position().await;
    assert_eq!(stream.upload_id().await, expected[0]);
    let seen = stream.last_id.clone().unwrap();
    drop(first);
    let second = Clarity::serve(data.path()).unwrap().start().unwrap();
    let third = Clarity::serve(data.path()).unwrap().args(&["--no-worker"]).start().unwrap();
    let (here, there) = (phone.at(second.address().unwrap()), phone.at(third.address().unwrap()));
    let mut stream = Stream::open(&there, Some(&seen)).await;
    stream.position().await;
    for id in &expected[1..] {
        assert_eq!(&stream.upload_id().await, id);
    }
    // Live, from the other instance.
    expected.extend(uploads(&here, 2).await);
    for id in &expected[3..] {
        assert_eq!(&stream.upload_id().await, id);
    }
    let by_query = format!("events?last_event_id={seen}");
    let mut again = Stream::of(here.request(Method::GET, &by_query).send().await.unwrap());
    again.position().await;
    for id in &expected[1..] {
        assert_eq!(&again.upload_id().await, id);
    }
}

#[tokio::test]
async fn an_unknown_event_begins_with_the_oldest_and_says_so() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let expected = uploads(&phone, 2).await;
    let mut stream = Stream::open(&phone, Some(&new_id())).await;
    stream.position().await;
    assert_eq!(stream.event().await, ("gap".to_owned(), json!({ "kept_days": 7 })));
    for id in &expected {
        assert_eq!(&stream.upload_id().await, id);
    }
    for (query, name) in
        [("?last_event_id=yesterday", "last_event_id"), ("?last_event_id=a&last_event_id=b", "last_event_id")]
    {
        let answer = phone.get(&format!("events{query}")).await.unwrap();
        assert_eq!(problem(&answer, 422), "validation");
        assert_eq!(answer.body["errors"][0]["pointer"], name);
    }
}

/// Keeps so many events, as if they had happened, each with a subject of so many bytes.
async fn keep_events(server: &Server, user: UserId, count: u64, bytes: usize) -> Vec<EventId> {
    let folder = Folder::open(server.data.path()).await.unwrap();
    let mut ids = Vec::new();
    let mut writes = Vec::new();
    let at: jiff::Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    for number in 0..count {
        let id = EventId(uuid::Uuid::from_u64_pair(0x0190_0000_0000_7000, 0x8000_0000_0000_0000 + number));
        let subject = json!({ "number": number, "padding": "x".repeat(bytes) });
        let stored = StoredEvent { id, name: "test.happened".to_owned(), at, subject };
        writes.push(Write::insert(RecordKey::event(user, id), serde_json::to_vec(&stored).unwrap()));
        ids.push(id);
    }
    let head = json!({ "first": ids[0], "last": ids[ids.len() - 1] });
    writes.push(Write::put(
        RecordKey::event_head(user),
        ports::Version::FIRST,
        serde_json::to_vec(&head).unwrap(),
        Precondition::None,
    ));
    while !writes.is_empty() {
        let rest = writes.split_off(writes.len().min(100));
        folder.records.commit(writes).await.unwrap();
        writes = rest;
    }
    ids
}

#[tokio::test]
async fn what_was_missed_comes_page_by_page_each_once_and_in_order() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let user: UserId = phone.user_id.parse().unwrap();
    let ids = keep_events(&server, user, 1000, 10).await;
    let mut stream = Stream::open(&phone, Some(&ids[0].to_string())).await;
    stream.position().await;
    for (number, id) in ids.iter().enumerate().skip(1) {
        let (_, data) = stream.event().await;
        assert_eq!(data["subject"]["number"], number);
        assert_eq!(stream.last_id, Some(id.to_string()));
    }
    let live = uploads(&phone, 1).await;
    assert_eq!(stream.upload_id().await, live[0]);
}

fn resident_kib(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

#[tokio::test]
async fn who_does_not_read_what_was_missed_holds_no_memory() {
    let server = Server::start(&[]);
    let phone = server.phone().await;
    let user: UserId = phone.user_id.parse().unwrap();
    // 60 MB.
    let ids = keep_events(&server, user, 1000, 60_000).await;
    drop(Stream::open(&phone, None).await);
    let before = resident_kib(server.started.pid());
    let mut streams = Vec::new();
    for _ in 0..4 {
        let tcp = TcpSocket::new_v4().unwrap();
        tcp.set_recv_buffer_size(4096).unwrap();
        let mut stream = tcp.connect(server.address()).await.unwrap();
        let head = format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: clarity\r\nAuthorization: Bearer {}\r\nLast-Event-ID: {}\r\n\r\n",
            phone.access_token, ids[0]
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    let mut most = before;
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        most = most.max(resident_kib(server.started.pid()));
    }
    // A page and its text for each, and what the allocator and the sockets keep: nowhere near four times 60 MB.
    let grown = most - before;
    assert!(grown < 96 * 1024, "{grown} KiB");
}

#[tokio::test]
async fn a_user_has_five_streams_and_a_closed_one_does_not_count() {
    let server = SHARED.get();
    let (phone, other) = (server.phone().await, server.phone().await);
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(Stream::open(&phone, None).await);
    }
    let answer = phone.get("events").await.unwrap();
    assert_eq!(problem(&answer, 429), "rate-limited");
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    drop(Stream::open(&other, None).await);
    drop(streams.pop());
    until("a stream may be opened", async || {
        phone.request(Method::GET, "events").send().await.unwrap().status() == 200
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let mut stream = Stream::open(&phone, None).await;
    stream.position().await;
    phone.request(Method::POST, "auth/logout").json(&json!({})).send().await.unwrap();
    let asked = Instant::now();
    assert!(stream.is_over().await);
    assert!(asked.elapsed() <= Duration::from_secs(15), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn streams_end_in_the_lame_duck_and_no_new_one_is_taken() {
    let server = Server::start(&[("server.lame_duck_ms", "3000"), ("server.shutdown_timeout_ms", "20000")]);
    let phone = server.phone().await;
    let mut stream = Stream::open(&phone, None).await;
    stream.position().await;
    let began = Instant::now();
    server.started.terminate().unwrap();
    assert!(stream.is_over().await);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let late = phone.get("events").await.unwrap();
    assert_eq!(problem(&late, 503), "unavailable");
    let ended = timeout(PATIENCE, tokio::task::spawn_blocking(move || server.started.wait())).await;
    assert!(ended.expect("it ends").unwrap().unwrap().0.success());
}
