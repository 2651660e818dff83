//! SIGTERM under load.
//!
//! What is promised: a request on a connection on which the server has not yet said `Connection: close` is answered whole. A
//! client that was told so and comes back all the same is served as long as the lame duck lasts; once that ends, its new
//! connection is refused, or reset before the server read from it. No answer is torn, and what was acknowledged is there after.

mod wire;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::{Clarity, Phone, Reading, Started, healthkit};
use reqwest::Method;
use tempfile::TempDir;
use tokio::{
    task::{JoinSet, block_in_place},
    time::{sleep, timeout},
};
use uuid::Uuid;

use self::wire::{Answered, Connection, Outcome};
use crate::folder::Folder;

/// How long anything here may take at most.
const PATIENCE: Duration = Duration::from_secs(40);

/// 6 January 2025, midnight in Berlin.
const BEGIN_MS: i64 = 1_736_118_000_000;

fn start(data: &TempDir, settings: &[(&str, &str)]) -> anyhow::Result<Started> {
    let clarity = Clarity::serve(data.path())?;
    let clarity = settings.iter().fold(clarity, |clarity, (key, value)| clarity.set(key, value));
    block_in_place(|| clarity.start())
}

/// Waits for the end, which must be a success, and answers how long it took.
async fn ended(process: Started, within: Duration) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let (status, log) = timeout(PATIENCE, tokio::task::spawn_blocking(|| process.wait()))
        .await
        .context("it never ends")???;
    let took = began.elapsed();
    ensure!(status.code() == Some(0), "it ended with {status}: {log}");
    ensure!(took <= within, "it took {took:?} to end: {log}");
    Ok(took)
}

fn heart_rates(count: u32) -> Vec<Reading> {
    e2e::heart_rates(BEGIN_MS, 60_000, count)
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    /// Readings of uploads whose 2xx arrived whole.
    acknowledged: Vec<Uuid>,
    /// Answers on connections that stayed open afterwards.
    kept_alive: usize,
    /// Answers that said `Connection: close`.
    closed: usize,
    /// Readings of requests on connections that were opened after such an answer, and that were turned away without a byte.
    turned_away: Vec<Uuid>,
    /// Everything that must not be.
    faults: Vec<String>,
}

/// Uploads one reading after the other on connections that it keeps as long as the server lets it.
async fn keep_uploading(phone: Phone) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut was_told = false;
    // Nobody listens any more: the server has stopped.
    while let Some(mut connection) = Connection::open(phone.address).await? {
        let mut is_first = true;
        loop {
            let reading = heart_rates(1);
            let body = healthkit(&reading).to_string();
            match connection.post(&phone, "healthkit", &body).await {
                Outcome::Whole(Answered { status: 202, closes, .. }) => {
                    seen.acknowledged.push(reading[0].id);
                    was_told |= closes;
                    if closes {
                        seen.closed += 1;
                        break;
                    }
                    seen.kept_alive += 1;
                    is_first = false;
                }
                Outcome::Nothing if is_first && was_told => {
                    seen.turned_away.push(reading[0].id);
                    break;
                }
                outcome => {
                    seen.faults.push(format!(
                        "first on its connection: {is_first}, told to go: {was_told}: {outcome:?}"
                    ));
                    break;
                }
            }
        }
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_no_request_and_nothing_acknowledged() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let server = start(&data, &[("server.lame_duck_ms", "1000"), ("server.shutdown_timeout_ms", "15000")])?;
    let address = server.address()?;
    let mut phones = Vec::new();
    for _ in 0..8 {
        phones.push(Phone::sign_up(address).await?);
    }
    let mut clients = JoinSet::new();
    for phone in phones.clone() {
        clients.spawn(async move { (phone.clone(), keep_uploading(phone).await) });
    }
    // Under way, all of them.
    sleep(Duration::from_millis(500)).await;
    server.terminate()?;
    let ready = phones[0].get("health/ready").await?;
    ensure!(ready.status == 503, "ready while it stops: {}", ready.body);
    let took = ended(server, Duration::from_secs(15)).await?;
    let mut seen = Vec::new();
    while let Some(joined) = clients.join_next().await {
        let (phone, outcome) = joined?;
        seen.push((phone, outcome?));
    }
    let sum = |count: fn(&Seen) -> usize| seen.iter().map(|(_, seen)| count(seen)).sum::<usize>();
    println!(
        "shutdown: {} answers kept their connection, {} closed it, {} late comers turned away, stopped after {took:?}",
        sum(|seen| seen.kept_alive),
        sum(|seen| seen.closed),
        sum(|seen| seen.turned_away.len()),
    );
    let faults: Vec<&String> = seen.iter().flat_map(|(_, seen)| &seen.faults).collect();
    ensure!(faults.is_empty(), "{faults:#?}");
    ensure!(
        seen.iter().all(|(_, seen)| seen.kept_alive > 0 && seen.closed > 0),
        "a client was not there before and after"
    );

    let folder = Folder::open(data.path()).await?;
    ensure!(folder.leased().await? == 0, "jobs would wait for the leases of a process that is gone");
    let second = start(&data, &[])?;
    for (phone, seen) in &seen {
        let phone = phone.at(second.address()?);
        let listed = phone.all_readings().await?;
        let listed: Vec<&str> = listed.iter().filter_map(|reading| reading["id"].as_str()).collect();
        let lost = seen.acknowledged.iter().filter(|id| !listed.contains(&id.to_string().as_str())).count();
        ensure!(lost == 0, "{lost} of {} acknowledged readings are gone", seen.acknowledged.len());
        // Whoever was turned away may try elsewhere: nothing of the request was taken in.
        let taken = seen.turned_away.iter().filter(|id| listed.contains(&id.to_string().as_str())).count();
        ensure!(taken == 0, "{taken} requests were turned away and done all the same");
    }
    let done = async {
        while folder.waiting().await? > 0 {
            sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, done).await.context("the second start leaves jobs undone")??;
    ensure!(folder.dead_letters().await?.is_empty(), "a shutdown cost a job");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lame_duck_is_unready_and_alive_and_ends_streams() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let server = start(&data, &[("server.lame_duck_ms", "1500")])?;
    let phone = Phone::sign_up(server.address()?).await?;
    let mut stream = phone.request(Method::GET, "events").send().await?;
    ensure!(stream.status() == 200, "{}", stream.status());
    let upload = phone.post("healthkit", &healthkit(&heart_rates(3))).await?.expect(202)?;
    let id = upload["upload_id"].as_str().context("an upload has an id")?;
    phone.processed(id).await?;

    server.terminate()?;
    let draining = async {
        while phone.get("health/ready").await?.status != 503 {}
        anyhow::Ok(())
    };
    timeout(Duration::from_secs(1), draining).await.context("ready while it stops")??;
    let alive = phone.get("health").await?;
    assert_eq!((alive.status.as_u16(), alive.headers["connection"].to_str()?), (200, "close"));
    phone.post("healthkit", &healthkit(&heart_rates(3))).await?.expect(202)?;

    // Until its end, which is one that HTTP calls an end: a stream that breaks off is an error here.
    let mut text = String::new();
    let reading = async {
        while let Some(chunk) = stream.chunk().await? {
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, reading).await.context("the stream never ends")??;
    assert!(text.contains("event: upload.completed") && text.contains(id), "{text}");
    ended(server, Duration::from_secs(5)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_half_sent_at_sigterm_is_answered() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let server = start(&data, &[("server.lame_duck_ms", "0")])?;
    let phone = Phone::sign_up(server.address()?).await?;
    let reading = heart_rates(1);
    let body = healthkit(&reading).to_string();
    let mut connection = Connection::open(phone.address).await?.context("it listens")?;
    connection.send_head(&phone, "healthkit", body.len()).await?;
    connection.send(&body.as_bytes()[..10]).await?;
    // The server has seen the request: it answers others behind it.
    phone.get("health").await?.expect(200)?;
    server.terminate()?;
    // And now it does not listen any more.
    let closed = async {
        while Connection::open(phone.address).await?.is_some() {
            sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, closed).await.context("it goes on listening")??;
    connection.send(&body.as_bytes()[10..]).await?;
    match connection.answer().await {
        Outcome::Whole(Answered { status: 202, closes: true, .. }) => {}
        outcome => anyhow::bail!("{outcome:?}"),
    }
    ended(server, Duration::from_secs(5)).await?;
    let second = start(&data, &[])?;
    let listed = phone.at(second.address()?).all_readings().await?;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], reading[0].id.to_string());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_and_stalled_requests_do_not_hold_the_server_up() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let server = start(&data, &[("server.shutdown_timeout_ms", "2000")])?;
    let phone = Phone::sign_up(server.address()?).await?;
    let mut idle = Vec::new();
    for _ in 0..5 {
        let mut connection = Connection::open(phone.address).await?.context("it listens")?;
        let outcome = connection.post(&phone, "healthkit", "{}").await;
        ensure!(matches!(outcome, Outcome::Whole(Answered { closes: false, .. })), "{outcome:?}");
        idle.push(connection);
    }
    let silent = Connection::open(phone.address).await?.context("it listens")?;
    let mut stalled = Connection::open(phone.address).await?.context("it listens")?;
    stalled.send_head(&phone, "healthkit", 1000).await?;
    stalled.send(b"{").await?;
    server.terminate()?;
    ended(server, Duration::from_secs(5)).await?;
    drop((idle, silent, stalled));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_that_it_runs_may_stop_it_at_once() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    for _ in 0..3 {
        let server = start(&data, &[])?;
        server.terminate()?;
        ended(server, Duration::from_secs(5)).await?;
        let worker = Clarity::worker(data.path())?;
        let worker = block_in_place(|| worker.start())?;
        worker.terminate()?;
        ended(worker, Duration::from_secs(5)).await?;
    }
    Ok(())
}

/// An upload of so many days that a debug build has to think.
async fn large_upload(phone: &Phone) -> anyhow::Result<String> {
    let readings = e2e::heart_rates(BEGIN_MS, -4_320_000, 16_000);
    let answer = phone.post("healthkit", &healthkit(&readings)).await?.expect(202)?;
    Ok(answer["upload_id"].as_str().context("an upload has an id")?.to_owned())
}

async fn at_work(phone: &Phone, upload: &str) -> anyhow::Result<()> {
    let started = async {
        while phone.get(&format!("healthkit/status/{upload}")).await?.expect(200)?["status"] == "received" {}
        anyhow::Ok(())
    };
    timeout(PATIENCE, started).await.context("the worker does not begin")?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_stopped_finishes_its_job() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let server = Clarity::serve(data.path())?.args(&["--no-worker"]);
    let server = block_in_place(|| server.start())?;
    let phone = Phone::sign_up(server.address()?).await?;
    let worker = Clarity::worker(data.path())?;
    let worker = block_in_place(|| worker.start())?;
    let upload = large_upload(&phone).await?;
    at_work(&phone, &upload).await?;
    worker.terminate()?;
    ended(worker, Duration::from_secs(25)).await?;
    let status = phone.get(&format!("healthkit/status/{upload}")).await?.expect(200)?;
    assert_eq!(status["status"], "completed", "{status}");
    let folder = Folder::open(data.path()).await?;
    assert_eq!(folder.waiting().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_cannot_finish_its_job_in_time_hands_it_back() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let server = Clarity::serve(data.path())?.args(&["--no-worker"]);
    let server = block_in_place(|| server.start())?;
    let phone = Phone::sign_up(server.address()?).await?;
    let hurried = Clarity::worker(data.path())?
        .set("server.lame_duck_ms", "0")
        .set("server.shutdown_timeout_ms", "100");
    let hurried = block_in_place(|| hurried.start())?;
    let upload = large_upload(&phone).await?;
    at_work(&phone, &upload).await?;
    // While this holds the database, the job cannot commit: it is certain not to finish in time.
    let folder = Folder::open(data.path()).await?;
    let held = folder.database.begin("test.hold").await?;
    hurried.terminate()?;
    let late = || hurried.log().contains("stopping before all jobs were done");
    crate::support::until("the worker to run out of time", async || late()).await;
    drop(held);
    ended(hurried, Duration::from_secs(5)).await?;
    let status = phone.get(&format!("healthkit/status/{upload}")).await?.expect(200)?;
    assert_eq!(status["status"], "processing", "{status}");

    // The lease would last another half minute; the next worker does not have to wait for that.
    let next = Clarity::worker(data.path())?;
    let _next = block_in_place(|| next.start())?;
    let began = Instant::now();
    let status =
        timeout(Duration::from_secs(20), phone.processed(&upload)).await.context("nobody took it over")??;
    assert_eq!(status["status"], "completed", "{status}");
    println!(
        "shutdown: the job that was handed back was done {:?} after the next worker's start",
        began.elapsed()
    );
    Ok(())
}
