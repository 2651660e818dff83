//! Uploads of a thousand samples: how many samples a second are kept, and how many are processed.

use std::{net::SocketAddr, path::Path, time::Instant};

use e2e::{Phone, Started};

use crate::{
    bodies::{Ids, SAMPLES, heart_rates, mixed},
    floors::{Echo, Insert},
    load::{Request, Round, send},
    people,
    report::{Goal, Row},
    server, usage,
};

const PEOPLE: usize = 32;
/// Uploads of each person, a day each: to be kept only, and to be processed as well.
const KEPT: usize = 18;
const PROCESSED: usize = 6;

const PATH: &str = "/api/v1/healthkit";

fn post(phone: &Phone, body: &str) -> Request {
    Request::post(PATH, &phone.access_token, body)
        .expect(202, format!(r#""accepted":{SAMPLES},"duplicate":0"#))
}

/// One connection for each person; the days of `days`.
fn of_heart_rates(people: &[Phone], days: std::ops::Range<usize>) -> Vec<Vec<Request>> {
    let mut ids = Ids::new(days.start as u64);
    let mut body = |phone: &Phone, day| post(phone, &heart_rates(&phone.user_id, &mut ids, day));
    people.iter().map(|phone| days.clone().map(|day| body(phone, day)).collect()).collect()
}

fn of_everything(people: &[Phone], count: usize) -> anyhow::Result<Vec<Vec<Request>>> {
    let of_phone = |(seed, phone): (u64, &Phone)| {
        let bodies = mixed(&phone.user_id, seed, count)?;
        Ok(bodies.iter().map(|body| post(phone, body)).collect())
    };
    (0..).zip(people).map(of_phone).collect()
}

pub(crate) async fn measure(folder: &Path, insert: &Insert) -> anyhow::Result<Vec<Row>> {
    let echo = echo().await?;
    let mut rows = vec![
        Row::new("floor: actix that echoes bodies of 1000 samples", samples_per_second(&echo), "samples/s")
            .note(described(&echo)),
    ];
    rows.extend(kept(folder, insert).await?);
    rows.extend(processed(folder, insert).await?);
    Ok(rows)
}

/// Leaves a data folder behind that a few people used.
pub(crate) async fn fill(folder: &Path, data: &Path) -> anyhow::Result<()> {
    let server = server::without_model(data, folder)?.args(&["--no-worker"]).start()?;
    let people = people::sign_up(server.address()?, 4).await?;
    round(&server, of_heart_rates(&people, 0..KEPT)).await?;
    Ok(())
}

/// Without a worker; then the server is killed, and what it said it had kept is read back from another.
async fn kept(folder: &Path, insert: &Insert) -> anyhow::Result<Vec<Row>> {
    let start = || server::without_model(&folder.join("large"), folder)?.args(&["--no-worker"]).start();
    let floor = "raw insert of as many rows";
    let mut server = start()?;
    let people = people::sign_up(server.address()?, PEOPLE).await?;
    round(&server, of_heart_rates(&people, 0..1)).await?;
    let heart = round(&server, of_heart_rates(&people, 1..1 + KEPT)).await?;
    let others = people::sign_up(server.address()?, PEOPLE).await?;
    let everything = round(&server, of_everything(&others, KEPT)?).await?;
    let memory = usage::memory(server.pid())?;
    server.kill()?;
    let server = start()?;
    let address = server.address()?;
    let again: Vec<Phone> = people.iter().map(|phone| phone.at(address)).collect();
    people::read_back(&again, "heart_rate", SAMPLES * (1 + KEPT)).await?;
    Ok(vec![
        Row::new("heart rates, 1000 a body: kept", samples_per_second(&heart), "samples/s")
            .goal(Goal::AtLeast(225_000.0))
            .floor(floor, insert.per_second)
            .note(described(&heart)),
        Row::new("everything a watch sends, 1000 a body: kept", samples_per_second(&everything), "samples/s")
            .goal(Goal::AtLeast(225_000.0))
            .floor(floor, insert.per_second)
            .note(described(&everything)),
        Row::new("memory after these uploads", memory.resident, "MB")
            .note(format!("at most {:.0} MB", memory.most)),
    ])
}

/// With the worker in the server, until all jobs are completed.
async fn processed(folder: &Path, insert: &Insert) -> anyhow::Result<Vec<Row>> {
    let server = server::without_model(&folder.join("large-processed"), folder)?.start()?;
    let address = server.address()?;
    let people = people::sign_up(address, PEOPLE).await?;
    let heart = finish(&server, of_heart_rates(&people, 0..PROCESSED), 0).await?;
    people::results_of(&people).await?;
    let others = people::sign_up(address, PEOPLE).await?;
    let everything = finish(&server, of_everything(&others, PROCESSED)?, PEOPLE * PROCESSED).await?;
    people::results_of(&others).await?;
    let row = |name: &str, (rate, note): (f64, String)| {
        Row::new(name, rate, "samples/s").floor("raw insert of as many rows", insert.per_second).note(note)
    };
    Ok(vec![
        row("heart rates, 1000 a body: kept and processed", heart),
        row("everything a watch sends, 1000 a body: kept and processed", everything),
    ])
}

/// Samples a second from the first request to the end of the last job.
async fn finish(
    server: &Started,
    requests: Vec<Vec<Request>>,
    before: usize,
) -> anyhow::Result<(f64, String)> {
    let (cpu, start) = (usage::cpu(server.pid())?, Instant::now());
    let round = round(server, requests).await?;
    people::completed(server.address()?, before + round.requests).await?;
    let (cpu, wall) = (usage::cpu(server.pid())?.saturating_sub(cpu), start.elapsed());
    let samples = (round.requests * SAMPLES) as f64;
    let us = cpu.as_secs_f64() * 1e6 / samples;
    let kept = samples_per_second(&round);
    Ok((
        samples / wall.as_secs_f64(),
        format!("{us:.2} us of CPU a sample; kept meanwhile: {kept:.0} samples/s"),
    ))
}

async fn round(server: &Started, requests: Vec<Vec<Request>>) -> anyhow::Result<Round> {
    send(server.address()?, server.pid(), &requests).await
}

async fn echo() -> anyhow::Result<Round> {
    let echo = Echo::start()?;
    let (address, pid): (SocketAddr, _) = (echo.address, echo.pid());
    let body = heart_rates(&"u".repeat(36), &mut Ids::new(1), 0);
    let list = || (0..KEPT).map(|_| Request::post(PATH, &"t".repeat(400), &body).expect(200, "")).collect();
    send(address, pid, &(0..PEOPLE).map(|_| list()).collect::<Vec<_>>()).await
}

fn samples_per_second(round: &Round) -> f64 {
    round.per_second() * SAMPLES as f64
}

fn described(round: &Round) -> String {
    let (us, median) = (round.cpu_us() / SAMPLES as f64, round.latency_ms(50));
    format!("{us:.2} us of CPU a sample; p50 {median:.0} ms; {}", round.shares())
}
