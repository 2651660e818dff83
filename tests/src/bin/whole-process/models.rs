//! The server of models beside ONNX Runtime in a bare loop, and beside other servers of the same protocol.

mod onnx;
mod peers;
mod raw;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::{Clarity, Started};
use futures::future::try_join_all;
use tokio::time::{Instant, sleep_until};

use self::{
    onnx::{NAME, WIDTH},
    peers::{Peer, Running},
    raw::Raw,
};
use crate::{
    floors::Echo,
    load::{Connection, Request, Round, repeat},
    report::{Goal, Row},
    usage,
};

/// A week of minutes.
const MINUTES: usize = 10_080;
/// Of each, the middle one counts.
const ROUNDS: usize = 5;
const WEEKS: usize = 100;
const SMALL_RUNS: usize = 4_000;
const CLIENTS: usize = 8;
const PEER_RUNS: usize = 200;
/// Requests of which the memory must not grow.
const MANY: usize = 100_000;
const OVERLOAD: Duration = Duration::from_secs(10);
/// Enough that one of them is free whenever a request is due: what is refused is answered at once.
const OVERLOAD_CONNECTIONS: usize = 32;

/// Waits until the models are loaded.
async fn ready(clarity: Clarity) -> anyhow::Result<Started> {
    let server = clarity.start()?;
    let mut connection = Connection::open(server.address()?).await?;
    let request = Request::get("/v2/health/ready");
    let start = Instant::now();
    loop {
        let (status, body) = connection.exchange(request.bytes()).await?;
        if status == 200 {
            return Ok(server);
        }
        ensure!(start.elapsed() < Duration::from_mins(1), "not ready: {}", String::from_utf8_lossy(body));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One row for a model, in and out in binary.
fn binary(model: &str, width: usize, output: &str) -> Request {
    let json = format!(
        r#"{{"inputs":[{{"name":"x","shape":[1,{width}],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}],"parameters":{{"binary_data_output":true}}}}"#,
        4 * width
    );
    let row: Vec<u8> = (0..width).flat_map(|at| ((at % 7) as f32 / 8.0).to_le_bytes()).collect();
    Request::post_binary(&format!("/v2/models/{model}/infer"), &json, &row).expect(200, output)
}

/// The same in JSON, for those who do not read binary.
fn json(model: &str, width: usize, output: &str) -> Request {
    let row: Vec<String> = (0..width).map(|at| format!("{:?}", (at % 7) as f32 / 8.0)).collect();
    let json = format!(
        r#"{{"inputs":[{{"name":"x","shape":[1,{width}],"datatype":"FP32","data":[{}]}}]}}"#,
        row.join(",")
    );
    Request::post(&format!("/v2/models/{model}/infer"), "none", &json).expect(200, output)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

pub(crate) async fn measure(folder: &Path, pat: &Path) -> anyhow::Result<Vec<Row>> {
    let raw = Raw::load()?;
    let pat = Pat::new(pat)?;
    let mut rows = vec![pat.week(folder, &raw).await?];
    rows.extend(pat.overload(folder).await?);
    let small = folder.join("models");
    onnx::write(&small)?;
    let ours = Small::start(folder, &small).await?;
    rows.extend(ours.measure(&raw).await?);
    rows.push(ours.memory().await?);
    rows.extend(ours.beside_peers(folder).await?);
    Ok(rows)
}

/// A model of weeks.
struct Pat {
    name: String,
    models: PathBuf,
}

impl Pat {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.canonicalize().with_context(|| format!("{} is not there", folder.display()))?;
        let (name, models) = folder.file_name().zip(folder.parent()).context("a model lies in a folder")?;
        Ok(Self { name: name.to_string_lossy().into_owned(), models: models.to_owned() })
    }

    fn server(&self, folder: &Path) -> anyhow::Result<Clarity> {
        let server = Clarity::models(folder)?.set("inference.models_dir", &self.models.to_string_lossy());
        Ok(server.set("inference.sessions_per_model", "1"))
    }

    fn request(&self) -> Request {
        binary(&self.name, MINUTES, "attention_profile")
    }

    /// What a week costs through HTTP, beside what it costs in a loop.
    async fn week(&self, folder: &Path, raw: &Raw) -> anyhow::Result<Row> {
        let server = ready(self.server(folder)?).await?;
        let model = self.models.join(&self.name).join("model.onnx");
        let request = self.request();
        repeat(server.address()?, server.pid(), (1, WEEKS / 5), &request).await?;
        let (mut ours, mut floors, mut described) = (Vec::new(), Vec::new(), String::new());
        // In turn, so that whatever else the machine does concerns both.
        for _ in 0..ROUNDS {
            floors.push(raw.run(&model, ("x", MINUTES), 1, WEEKS)?.cpu_us());
            let round = repeat(server.address()?, server.pid(), (1, WEEKS), &request).await?;
            ours.push(round.cpu_us());
            described = round.described();
        }
        let (ours, floor) = (middle(ours), middle(floors));
        let name = format!("inference: a week through {}, binary: CPU by that of a bare loop", self.name);
        Ok(Row::new(name, ours / floor, "x")
            .goal(Goal::AtMost(1.05))
            .note(format!("{ours:.0} us of CPU, in the loop {floor:.0} us; {described}")))
    }

    /// Twice as many weeks as the server can do.
    async fn overload(&self, folder: &Path) -> anyhow::Result<Vec<Row>> {
        let server = ready(self.server(folder)?.set("inference.queue_depth", "2")).await?;
        let request = self.request();
        // One in work and one that waits: the session is never idle, and nothing is refused.
        let normal = repeat(server.address()?, server.pid(), (2, 2 * WEEKS), &request).await?;
        let rate = 2.0 * normal.per_second();
        let Answered { accepted, refused } = flood(server.address()?, &request, rate).await?;
        let late = |latencies: &[Duration]| latencies[latencies.len() * 99 / 100].as_secs_f64() * 1e3;
        ensure!(
            !accepted.is_empty() && !refused.is_empty(),
            "at {rate:.0}/s nothing was refused, or everything"
        );
        let (fine, over) = (normal.latency_ms(99), late(&accepted));
        let told = format!(
            "{rate:.0}/s asked for {} s: {} answered, {} refused; p99 {over:.1} ms, before {fine:.1} ms",
            OVERLOAD.as_secs(),
            accepted.len(),
            refused.len()
        );
        Ok(vec![
            Row::new(
                "inference: p99 of what is accepted at twice the capacity, by that at capacity",
                over / fine,
                "x",
            )
            .goal(Goal::AtMost(2.0))
            .note(told),
            Row::new("inference: p99 of refusals at twice the capacity", late(&refused), "ms")
                .note("beside the loop's own processor time".to_owned()),
        ])
    }
}

/// How long answers took, sorted.
struct Answered {
    accepted: Vec<Duration>,
    refused: Vec<Duration>,
}

/// Sends `rate` requests a second, whatever comes back.
async fn flood(address: std::net::SocketAddr, request: &Request, rate: f64) -> anyhow::Result<Answered> {
    let mut connections = try_join_all((0..OVERLOAD_CONNECTIONS).map(|_| Connection::open(address))).await?;
    let begin = Instant::now();
    let work = connections.iter_mut().enumerate().map(async |(at, connection)| {
        let (mut request, mut answers) = (request.clone(), Vec::new());
        for turn in 0_u32.. {
            let number = at as f64 + f64::from(turn) * OVERLOAD_CONNECTIONS as f64;
            let due = Duration::from_secs_f64(number / rate);
            if due > OVERLOAD {
                break;
            }
            sleep_until(begin + due).await;
            request.vary();
            let sent = Instant::now();
            let (status, body) = connection.exchange(request.bytes()).await?;
            ensure!([200, 503].contains(&status), "{status}: {}", String::from_utf8_lossy(body));
            answers.push((status, sent.elapsed()));
        }
        Ok(answers)
    });
    let answers = try_join_all(work).await?.concat();
    let of = |wanted: u16| {
        let mut latencies: Vec<Duration> =
            answers.iter().filter(|(status, _)| *status == wanted).map(|(_, took)| *took).collect();
        latencies.sort_unstable();
        latencies
    };
    Ok(Answered { accepted: of(200), refused: of(503) })
}

/// The server with the small model.
struct Small {
    server: Started,
    model: PathBuf,
    request: Request,
}

impl Small {
    async fn start(folder: &Path, models: &Path) -> anyhow::Result<Self> {
        let clarity = Clarity::models(folder)?.set("inference.models_dir", &models.to_string_lossy());
        // As many sessions as the floor at eight clients has threads.
        // Kept answers are bounded: so few that the bound is reached before memory is looked at.
        let clarity =
            clarity.set("inference.sessions_per_model", "2").set("inference.cache_bytes_max", "1048576");
        let server = ready(clarity).await?;
        let model = models.join(NAME).join("model.onnx");
        Ok(Self { server, model, request: binary(NAME, WIDTH, "binary_data_size") })
    }

    async fn round(&self, clients: usize, each: usize) -> anyhow::Result<Round> {
        repeat(self.server.address()?, self.server.pid(), (clients, each), &self.request).await
    }

    async fn measure(&self, raw: &Raw) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        let echo = Echo::start()?;
        self.round(CLIENTS, SMALL_RUNS / CLIENTS).await?;
        for (clients, threads) in [(1, 1), (CLIENTS, 2)] {
            let (mut ours, mut floors, mut described) = (Vec::new(), Vec::new(), String::new());
            for _ in 0..ROUNDS {
                floors.push(raw.run(&self.model, ("x", WIDTH), threads, SMALL_RUNS)?.per_second());
                let round = self.round(clients, SMALL_RUNS / clients).await?;
                ours.push(round.per_second());
                described = round.described();
            }
            let (ours, floor) = (middle(ours), middle(floors));
            let echoed =
                repeat(echo.address, echo.pid(), (clients, SMALL_RUNS / clients), &self.request).await?;
            rows.push(
                Row::new(
                    format!("inference: a small model, binary, {clients} clients, by a bare loop"),
                    ours / floor,
                    "x",
                )
                .goal(Goal::AtLeast(0.5))
                .note(format!(
                    "{ours:.0}/s, the loop on {threads} threads {floor:.0}/s, HTTP that echoes the request {:.0}/s; {described}",
                    echoed.per_second()
                )),
            );
        }
        Ok(rows)
    }

    /// What the process holds after many requests more than before.
    async fn memory(&self) -> anyhow::Result<Row> {
        self.round(CLIENTS, MANY / 10 / CLIENTS).await?;
        let before = usage::memory(self.server.pid())?.resident;
        self.round(CLIENTS, MANY / CLIENTS).await?;
        let after = usage::memory(self.server.pid())?.resident;
        Ok(Row::new("inference: memory that 100 000 requests leave behind", after - before, "MB")
            .goal(Goal::AtMost(5.0))
            .note(format!("{before:.1} MB before, {after:.1} MB after")))
    }

    async fn beside_peers(&self, folder: &Path) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for peer in Peer::ALL {
            let Some(other) = Running::start(peer, folder, &self.model).await? else { continue };
            let (request, form) = spoken(&other).await?;
            for clients in [1, CLIENTS] {
                let warm = (clients, PEER_RUNS / 10);
                repeat(other.address, other.pid(), warm, &request).await?;
                let theirs = repeat(other.address, other.pid(), (clients, PEER_RUNS), &request).await?;
                let ours = self.round(clients, SMALL_RUNS / clients).await?;
                let times = ours.per_second() / theirs.per_second();
                let name = peer.name();
                let row =
                    Row::new(format!("inference: a small model, {clients} clients, by {name}"), times, "x");
                let row = if peer == Peer::MlServer { row.goal(Goal::AtLeast(20.0)) } else { row };
                rows.push(row.note(format!(
                    "{:.0}/s, {name} in {form} {:.0}/s, p50 {:.2} ms",
                    ours.per_second(),
                    theirs.per_second(),
                    theirs.latency_ms(50)
                )));
            }
        }
        Ok(rows)
    }
}

/// A request that the server reads: binary, or else JSON.
async fn spoken(other: &Running) -> anyhow::Result<(Request, &'static str)> {
    let mut connection = Connection::open(other.address).await?;
    for (request, form) in
        [(binary(NAME, WIDTH, "outputs"), "binary"), (json(NAME, WIDTH, "outputs"), "JSON")]
    {
        if let Ok((200, _)) = connection.exchange(request.bytes()).await {
            return Ok((request, form));
        }
        connection = Connection::open(other.address).await?;
    }
    anyhow::bail!("it reads neither form")
}
