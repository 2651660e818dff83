//! Two instances over one data folder, behind what a load balancer does: the restart of one costs nobody a request.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use e2e::{Clarity, Phone, Reading, Started, healthkit};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, block_in_place},
    time::{sleep, timeout},
};
use uuid::Uuid;

use crate::support::PATIENCE;

const CLIENTS: usize = 200;
/// Of them, these write.
const WRITERS: usize = 20;

fn start(data: &TempDir, listen: &str) -> anyhow::Result<Started> {
    let clarity = Clarity::serve_at(data.path(), listen)?.set("server.lame_duck_ms", "1500");
    block_in_place(|| clarity.start())
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    answers: usize,
    /// Times it went to the other instance.
    moves: usize,
    failures: Vec<String>,
    acknowledged: Vec<Uuid>,
}

/// One client with one connection at a time. As a balancer does, it goes to the other instance where this one says
/// `Connection: close` or does not listen; a request on a connection that was to be kept must be answered.
struct Client {
    phone: Phone,
    instances: [SocketAddr; 2],
    at: usize,
    connection: Option<TcpStream>,
    seen: Seen,
}

impl Client {
    async fn connect(&mut self) -> anyhow::Result<()> {
        for _ in 0..2 {
            match TcpStream::connect(self.instances[self.at]).await {
                Ok(stream) => {
                    self.connection = Some(stream);
                    return Ok(());
                }
                Err(_refused) => self.turn(),
            }
        }
        anyhow::bail!("neither instance listens")
    }

    fn turn(&mut self) {
        self.at = 1 - self.at;
        self.seen.moves += 1;
        self.connection = None;
    }

    /// Sends one request and reads its answer: the status, and whether the connection ends with it.
    async fn exchange(&mut self, request: &str) -> anyhow::Result<(u16, bool)> {
        let stream = self.connection.as_mut().context("it is connected")?;
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        loop {
            ensure!(
                stream.read_buf(&mut bytes).await? > 0,
                "closed after {} bytes of the answer",
                bytes.len()
            );
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
            let length: usize = field("content-length: ").context("an answer has a length")?.parse()?;
            if bytes.len() >= end + 4 + length {
                let status = head.split(' ').nth(1).context("a status")?.parse()?;
                return Ok((status, field("connection: ") == Some("close")));
            }
        }
    }

    async fn run(mut self, index: usize, stop: Arc<AtomicBool>) -> (Phone, Seen) {
        let token = self.phone.access_token.clone();
        while !stop.load(Ordering::Relaxed) {
            let reading = e2e::heart_rates(1_736_118_000_000, 60_000, 1).remove(0);
            let request = if index < WRITERS { upload(&token, &reading) } else { read(&token, index) };
            if self.connection.is_none()
                && let Err(error) = self.connect().await
            {
                self.seen.failures.push(format!("{error:#}"));
                break;
            }
            match timeout(PATIENCE, self.exchange(&request)).await {
                Ok(Ok((200 | 202, closes))) => {
                    self.seen.answers += 1;
                    if index < WRITERS {
                        self.seen.acknowledged.push(reading.id);
                    }
                    if closes {
                        self.turn();
                    }
                }
                outcome => {
                    self.seen.failures.push(format!("{outcome:?}"));
                    self.connection = None;
                }
            }
            // A phone is no benchmark.
            sleep(Duration::from_millis(20)).await;
        }
        (self.phone, self.seen)
    }
}

fn upload(token: &str, reading: &Reading) -> String {
    let body = healthkit(std::slice::from_ref(reading)).to_string();
    format!(
        "POST /api/v1/healthkit HTTP/1.1\r\nHost: clarity\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn read(token: &str, index: usize) -> String {
    let path = ["health", "auth/me"][index % 2];
    format!("GET /api/v1/{path} HTTP/1.1\r\nHost: clarity\r\nAuthorization: Bearer {token}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_do_not_notice_the_restart_of_an_instance() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let (first, second) = (start(&data, "127.0.0.1:0")?, start(&data, "127.0.0.1:0")?);
    let instances = [first.address()?, second.address()?];
    let mut phones = Vec::new();
    for _ in 0..10 {
        phones.push(Phone::sign_up(instances[0]).await?);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for index in 0..CLIENTS {
        let phone = phones[index % phones.len()].clone();
        let client = Client { phone, instances, at: index % 2, connection: None, seen: Seen::default() };
        clients.spawn(client.run(index, Arc::clone(&stop)));
    }
    sleep(Duration::from_secs(1)).await;

    let began = Instant::now();
    first.terminate()?;
    let (status, log) = timeout(PATIENCE, tokio::task::spawn_blocking(|| first.wait())).await???;
    ensure!(status.code() == Some(0), "it ended with {status}: {log}");
    // At the same address, as the balancer knows it.
    let again = start(&data, &instances[0].to_string())?;
    let gap = began.elapsed();
    sleep(Duration::from_secs(1)).await;
    // And now the other, so that whoever has gone to it comes back.
    second.terminate()?;
    let (status, log) = timeout(PATIENCE, tokio::task::spawn_blocking(|| second.wait())).await???;
    ensure!(status.code() == Some(0), "it ended with {status}: {log}");
    sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);

    let mut seen = Vec::new();
    while let Some(joined) = clients.join_next().await {
        seen.push(joined?);
    }
    let answers: usize = seen.iter().map(|(_, seen)| seen.answers).sum();
    let failures: Vec<&String> = seen.iter().flat_map(|(_, seen)| &seen.failures).collect();
    println!(
        "handover: {CLIENTS} clients, {answers} answers, {} failed; restarted in {gap:?}",
        failures.len()
    );
    ensure!(failures.is_empty(), "{failures:#?}");
    ensure!(answers > CLIENTS * 10, "too little load to say anything: {answers}");
    ensure!(seen.iter().all(|(_, seen)| seen.moves > 0), "a client never had to move");
    for phone in &phones {
        let phone = phone.at(again.address()?);
        let listed = phone.all_readings().await?;
        let listed: Vec<&str> = listed.iter().filter_map(|reading| reading["id"].as_str()).collect();
        let own = seen.iter().filter(|(owner, _)| owner.user_id == phone.user_id);
        let lost: Vec<&Uuid> = own
            .flat_map(|(_, seen)| &seen.acknowledged)
            .filter(|id| !listed.contains(&id.to_string().as_str()))
            .collect();
        ensure!(lost.is_empty(), "acknowledged and gone: {lost:?}");
    }
    Ok(())
}
