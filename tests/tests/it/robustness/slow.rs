//! Clients that take their time, alone and by the thousand.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::Phone;
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet, time::sleep};

use super::wire::{Raw, Wire};
use crate::support::{PATIENCE, Server, until};

/// Sends a byte every 50 ms until the server has closed; answers what it said, and after which time it ended.
async fn trickle(wire: &mut Wire, bytes: &[u8]) -> (Option<Raw>, Duration) {
    let began = Instant::now();
    for byte in bytes.iter().cycle() {
        if !wire.is_quiet_for(Duration::from_millis(50)).await || began.elapsed() > PATIENCE {
            break;
        }
        wire.send(&[*byte]).await;
    }
    let answer = wire.answer().await;
    // Whatever else it says, it ends.
    wire.all().await;
    (answer, began.elapsed())
}

const HEAD: &str = "GET /health HTTP/1.1\r\nHost: clarity\r\n";

#[tokio::test]
async fn a_slow_head_ends_its_connection_also_behind_an_answer() {
    let server = Server::start(&[("server.head_timeout_ms", "1000")]);
    let mut first = Wire::open(server.address()).await;
    let (answer, took) = trickle(&mut first, b"GET /health HTTP/1.1\r\nX-").await;
    assert!(answer.is_none_or(|answer| answer.status == 408 && answer.problem().is_some()));
    assert!(took < Duration::from_secs(20), "{took:?}");
    // The second request of a connection, and one that came with the first in one piece.
    for begun in ["", "GET /hea"] {
        let mut later = Wire::open(server.address()).await;
        later.send(format!("{HEAD}\r\n{begun}").as_bytes()).await;
        assert_eq!(later.answer().await.unwrap().status, 200);
        let (answer, took) = trickle(&mut later, b"x").await;
        assert!(answer.is_none_or(|answer| answer.status >= 400), "{begun}");
        assert!(took < Duration::from_secs(20), "{begun} {took:?}");
    }
    // One that takes its time between two requests is none of these.
    let mut idle = Wire::open(server.address()).await;
    idle.send(format!("{HEAD}\r\n").as_bytes()).await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    assert!(idle.is_quiet_for(Duration::from_millis(2500)).await);
    idle.send(format!("{HEAD}\r\n").as_bytes()).await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_slow_body_is_told_and_ends_its_connection() {
    let server = Server::start(&[
        ("server.body_timeout_ms", "1000"),
        ("server.head_timeout_ms", "1000"),
        ("server.keep_alive_ms", "2000"),
    ]);
    let phone = server.phone().await;
    let head = |path: &str, token: &str, framing: &str| {
        format!(
            "POST /api/v1/{path} HTTP/1.1\r\nHost: clarity\r\nAuthorization: Bearer {token}\r\n{framing}\r\n\r\n"
        )
    };
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        for path in ["healthkit", "pat/step-analysis"] {
            let mut wire = Wire::open(server.address()).await;
            wire.send(head(path, &phone.access_token, framing).as_bytes()).await;
            let bytes: &[u8] = if framing.starts_with('C') { b" " } else { b"1\r\n \r\n" };
            let (answer, took) = trickle(&mut wire, bytes).await;
            let answer = answer.expect("it is told");
            assert_eq!((answer.status, answer.problem().as_deref()), (408, Some("request-timeout")));
            assert!(took < Duration::from_secs(20), "{took:?}");
        }
        // Refused at once, and trickling on.
        let mut wire = Wire::open(server.address()).await;
        wire.send(head("healthkit", "none", framing).as_bytes()).await;
        let bytes: &[u8] = if framing.starts_with('C') { b" " } else { b"1\r\n \r\n" };
        let (answer, took) = trickle(&mut wire, bytes).await;
        assert_eq!(answer.map(|answer| answer.status), Some(401));
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}

/// How many connections to this port the server has not closed.
fn connections(address: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", address.port());
    let held = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let is_local = fields.next().is_some_and(|local| local.ends_with(&port));
        // Established, or closed by the client only.
        is_local && matches!(fields.nth(1), Some("01" | "08"))
    };
    table.lines().filter(held).count()
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_nothing_for_long() {
    let server = Server::start(&[("server.request_timeout_ms", "1000")]);
    let mut readers = Vec::new();
    for _ in 0..5 {
        let mut wire = Wire::open(server.address()).await;
        // Far more than the buffers of two kernels hold.
        let requests = "GET /api/v1/openapi.json HTTP/1.1\r\nHost: clarity\r\n\r\n".repeat(400);
        wire.send(requests.as_bytes()).await;
        readers.push(wire);
    }
    until("the connections are there", async || connections(server.address()) == readers.len()).await;
    until("the connections are given up", async || connections(server.address()) == 0).await;
    let mut answers = 0;
    while readers[0].answer().await.is_some() {
        answers += 1;
    }
    assert!(answers < 400, "all was sent: the test says nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_slow_connections_hold_nobody_up() {
    const CONNECTIONS: usize = 1000;
    const PROBES: usize = 200;
    // Longer than the test: the slow ones are all there all the time.
    let server = Server::start(&[("server.head_timeout_ms", "120000"), ("server.body_timeout_ms", "120000")]);
    let phone = server.phone().await;
    let (stop, connected) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut slow = JoinSet::new();
    for index in 0..CONNECTIONS {
        let (phone, stop, connected) = (phone.clone(), Arc::clone(&stop), Arc::clone(&connected));
        slow.spawn(async move { drip(index, &phone, &stop, &connected).await });
    }
    until("all of them are connected", async || connected.load(Ordering::Relaxed) == CONNECTIONS).await;
    let kept = reqwest::Client::new();
    let mut times = Vec::new();
    for probe in 0..PROBES {
        let began = Instant::now();
        // On a connection that is kept, and on one of its own.
        let fresh;
        let client = if probe % 2 == 0 {
            &kept
        } else {
            fresh = reqwest::Client::new();
            &fresh
        };
        let answer = client.get(server.url("/health")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        times.push(began.elapsed());
    }
    let held = connections(server.address());
    stop.store(true, Ordering::Relaxed);
    let outcomes = slow.join_all().await;
    times.sort_unstable();
    let p99 = times[PROBES * 99 / 100];
    println!(
        "robustness: /health beside {CONNECTIONS} slow connections: median {:?}, p99 {p99:?}",
        times[PROBES / 2]
    );
    assert!(held >= CONNECTIONS, "only {held} connections");
    assert!(outcomes.iter().all(|alive| *alive), "a slow connection was lost on the way");
    assert!(*times.last().unwrap() < Duration::from_secs(1), "{:?}", times.last());
}

/// Sends half a head or half a body, a byte at a time, until told to stop; answers whether it was let.
async fn drip(index: usize, phone: &Phone, stop: &AtomicBool, connected: &AtomicUsize) -> bool {
    let mut stream = TcpStream::connect(phone.address).await.unwrap();
    let begin = if index.is_multiple_of(2) {
        HEAD.to_owned() + "X-Slow: "
    } else {
        let token = &phone.access_token;
        format!(
            "POST /api/v1/healthkit HTTP/1.1\r\nHost: clarity\r\nAuthorization: Bearer {token}\r\nContent-Length: 100000\r\n\r\n"
        )
    };
    stream.write_all(begin.as_bytes()).await.unwrap();
    connected.fetch_add(1, Ordering::Relaxed);
    while !stop.load(Ordering::Relaxed) {
        if stream.write_all(b" ").await.is_err() {
            return false;
        }
        sleep(Duration::from_millis(200)).await;
    }
    true
}
