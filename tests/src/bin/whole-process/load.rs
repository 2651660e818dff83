//! A client that costs little: requests are written out before the clock starts, and answers are searched, not parsed.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::usage;

/// A request as its bytes, and what its answer must say.
#[derive(Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    status: u16,
    /// What the body must hold; empty for anything.
    holds: String,
}

impl Request {
    pub(crate) fn post(path: &str, token: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        Self { bytes: [head.as_bytes(), body.as_bytes()].concat(), status: 200, holds: String::new() }
    }

    /// JSON, and the tensors behind it.
    pub(crate) fn post_binary(path: &str, json: &str, tensors: &[u8]) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ninference-header-content-length: {}\r\n\
             content-length: {}\r\n\r\n{json}",
            json.len(),
            json.len() + tensors.len()
        );
        Self { bytes: [head.as_bytes(), tensors].concat(), status: 200, holds: String::new() }
    }

    /// Makes a binary request one that was not sent before: no cache has its answer.
    pub(crate) fn vary(&mut self) {
        static SENT: AtomicU32 = AtomicU32::new(0);
        // Of 24 bits each is another float, and a small one.
        let number = SENT.fetch_add(1, Ordering::Relaxed) % (1 << 24);
        let last = (number as f32 / 16_777_216.0).to_le_bytes();
        let at = self.bytes.len() - last.len();
        self.bytes[at..].copy_from_slice(&last);
    }

    pub(crate) fn get(path: &str) -> Self {
        let bytes = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes();
        Self { bytes, status: 200, holds: String::new() }
    }

    pub(crate) fn get_with(path: &str, token: &str) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
        Self { bytes: head.into_bytes(), status: 200, holds: String::new() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn expect(mut self, status: u16, holds: impl Into<String>) -> Self {
        self.status = status;
        self.holds = holds.into();
        self
    }
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 * 1024) })
    }

    /// The status and the body.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            let count = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(count > 0, "the server closed a connection");
            if let Some((status, body)) = whole(&self.buffer)? {
                return Ok((status, &self.buffer[body..]));
            }
        }
    }

    /// Exchanges, and checks the answer.
    pub(crate) async fn check(&mut self, request: &Request) -> anyhow::Result<()> {
        let (status, body) = self.exchange(&request.bytes).await?;
        let text = || String::from_utf8_lossy(&body[..body.len().min(2000)]);
        ensure!(status == request.status, "expected {}, got {status}: {}", request.status, text());
        let wanted = request.holds.as_bytes();
        let is_held = wanted.is_empty() || body.windows(wanted.len()).any(|part| part == wanted);
        ensure!(is_held, "expected {}, got {}", request.holds, text());
        Ok(())
    }
}

/// The status of an answer and where its body begins, once all of it is there.
fn whole(bytes: &[u8]) -> anyhow::Result<Option<(u16, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end])?;
    let status = head.get(9..12).context("an answer begins with its status")?.parse()?;
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.clone().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    // Other servers send chunks. They are searched as they are, and the last one is empty.
    if length.is_none() && headers.any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding")) {
        return Ok(bytes.ends_with(b"\r\n0\r\n\r\n").then_some((status, end + 4)));
    }
    let length: usize = length.context("an answer tells its length")?.1.trim().parse()?;
    Ok((bytes.len() >= end + 4 + length).then_some((status, end + 4)))
}

/// What a round of requests took.
pub(crate) struct Round {
    pub(crate) requests: usize,
    pub(crate) wall: Duration,
    pub(crate) server_cpu: Duration,
    pub(crate) client_cpu: Duration,
    latencies: Vec<Duration>,
}

impl Round {
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn cpu_us(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.requests as f64
    }

    /// Of 100 requests, so many were answered within this time.
    pub(crate) fn latency_ms(&self, percent: usize) -> f64 {
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len() - 1);
        self.latencies[at].as_secs_f64() * 1e3
    }

    pub(crate) fn described(&self) -> String {
        let (rate, median, late) = (self.per_second(), self.latency_ms(50), self.latency_ms(99));
        format!("{rate:.0}/s, p50 {median:.2} ms, p99 {late:.2} ms; {}", self.shares())
    }

    /// How many cores each side kept busy.
    pub(crate) fn shares(&self) -> String {
        let cores = |cpu: Duration| cpu.as_secs_f64() / self.wall.as_secs_f64();
        format!("cores busy: server {:.2}, client {:.2}", cores(self.server_cpu), cores(self.client_cpu))
    }
}

/// Sends a request `each` times on each of so many connections, a binary one never twice the same.
pub(crate) async fn repeat(
    address: SocketAddr,
    pid: u32,
    (connections, each): (usize, usize),
    request: &Request,
) -> anyhow::Result<Round> {
    let mut connections = try_join_all((0..connections).map(|_| Connection::open(address))).await?;
    let work = connections.iter_mut().map(async |connection| {
        let (mut request, mut latencies) = (request.clone(), Vec::with_capacity(each));
        let is_binary = !request.bytes.ends_with(b"}");
        for _ in 0..each {
            if is_binary {
                request.vary();
            }
            let sent = Instant::now();
            connection.check(&request).await?;
            latencies.push(sent.elapsed());
        }
        anyhow::Ok(latencies)
    });
    timed(pid, try_join_all(work)).await
}

/// Sends each list of requests on a connection of its own, one after the other, all lists at once.
pub(crate) async fn send(address: SocketAddr, pid: u32, lists: &[Vec<Request>]) -> anyhow::Result<Round> {
    let mut connections = try_join_all(lists.iter().map(|_| Connection::open(address))).await?;
    let work = connections.iter_mut().zip(lists).map(async |(connection, requests)| {
        let mut latencies = Vec::with_capacity(requests.len());
        for request in requests {
            let sent = Instant::now();
            connection.check(request).await?;
            latencies.push(sent.elapsed());
        }
        anyhow::Ok(latencies)
    });
    timed(pid, try_join_all(work)).await
}

/// What work took that tells the latencies on each connection.
async fn timed(
    pid: u32,
    work: impl Future<Output = anyhow::Result<Vec<Vec<Duration>>>>,
) -> anyhow::Result<Round> {
    let (server, client, start) = (usage::cpu(pid)?, usage::own_cpu()?, Instant::now());
    let mut latencies = work.await?.concat();
    let wall = start.elapsed();
    let server_cpu = usage::cpu(pid)?.saturating_sub(server);
    let client_cpu = usage::own_cpu()?.saturating_sub(client);
    latencies.sort_unstable();
    Ok(Round { requests: latencies.len(), wall, server_cpu, client_cpu, latencies })
}
