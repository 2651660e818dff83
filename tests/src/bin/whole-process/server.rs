//! The server under test: as it ships, logs in JSON included.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use e2e::{Clarity, Started};
use serde_json::Value;

use crate::{
    floors::Echo,
    load::{Connection, Request},
    report::{Goal, Row},
    usage,
};

const STARTS: usize = 5;
/// How long a server is left alone before its memory is looked at.
const SETTLING: Duration = Duration::from_secs(1);
/// How long it may take to be ready.
const READY_MAX: Duration = Duration::from_secs(30);

pub(crate) fn with_model(data: &Path) -> anyhow::Result<Clarity> {
    Ok(Clarity::serve(data)?.set("telemetry.log_format", "json"))
}

pub(crate) fn without_model(data: &Path, folder: &Path) -> anyhow::Result<Clarity> {
    let models = folder.join("no-models");
    fs::create_dir_all(&models)?;
    Ok(with_model(data)?.set("inference.models_dir", &models.to_string_lossy()))
}

/// Starts, waits for the first 200 of `health/ready`, and answers how long that took.
async fn ready(clarity: Clarity, wants_model: bool) -> anyhow::Result<(Started, Duration)> {
    let start = Instant::now();
    let server = clarity.start()?;
    let mut connection = Connection::open(server.address()?).await?;
    let request = Request::get("/api/v1/health/ready");
    loop {
        let (status, body) = connection.exchange(request.bytes()).await?;
        if status == 200 {
            let took = start.elapsed();
            let body: Value = serde_json::from_slice(body)?;
            let models = body.pointer("/dependencies/models/status").and_then(Value::as_str);
            ensure!(models == Some(if wants_model { "up" } else { "down" }), "the models: {body}");
            return Ok((server, took));
        }
        ensure!(start.elapsed() < READY_MAX, "not ready: {}", String::from_utf8_lossy(body));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Start and memory. `used` is a data folder that holds something.
pub(crate) async fn measure(folder: &Path, used: &Path) -> anyhow::Result<Vec<Row>> {
    let mut floors = Vec::new();
    let mut floor_memory = 0.0;
    for _ in 0..STARTS {
        let echo = Echo::start()?;
        floors.push(echo.started_in);
        tokio::time::sleep(SETTLING / 5).await;
        floor_memory = usage::memory(echo.pid())?.resident;
    }
    let floor_ms = median_ms(floors);
    let mut rows = Vec::new();
    for (models, has_model) in [("without a model", false), ("with PAT-S", true)] {
        for (state, is_used) in [("a fresh folder", false), ("a folder with data", true)] {
            let mut times = Vec::new();
            for attempt in 0..STARTS {
                let fresh = folder.join(format!("fresh-{has_model}-{attempt}"));
                let data = if is_used { used } else { &fresh };
                let clarity = if has_model { with_model(data)? } else { without_model(data, folder)? };
                times.push(ready(clarity, has_model).await?.1);
            }
            let row = Row::new(format!("start to ready, {models}, {state}"), median_ms(times), "ms");
            rows.push(row.goal(Goal::AtMost(300.0)).floor("echo starts", floor_ms));
        }
    }
    for (models, has_model) in [("without a model", false), ("with PAT-S", true)] {
        let data = folder.join(format!("idle-{has_model}"));
        let clarity = if has_model { with_model(&data)? } else { without_model(&data, folder)? };
        let (server, _) = ready(clarity, has_model).await?;
        tokio::time::sleep(SETTLING).await;
        let memory = usage::memory(server.pid())?;
        let row = Row::new(format!("idle memory, {models}"), memory.resident, "MB");
        let row = if has_model { row } else { row.goal(Goal::AtMost(40.0)) };
        rows.push(row.floor("idle echo", floor_memory).note(format!("at most {:.0} MB", memory.most)));
    }
    Ok(rows)
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}
