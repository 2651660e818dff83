//! The people whose phones make the load.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use e2e::Phone;
use futures::future::try_join_all;

use crate::load::{Connection, Request};

pub(crate) async fn sign_up(address: SocketAddr, count: usize) -> anyhow::Result<Vec<Phone>> {
    try_join_all((0..count).map(|_| Phone::sign_up(address))).await
}

/// Waits until so many jobs have been completed. The counter is read, not the uploads: reading those is work that is
/// audited.
pub(crate) async fn completed(address: SocketAddr, jobs: usize) -> anyhow::Result<()> {
    let mut connection = Connection::open(address).await?;
    let request = Request::get("/metrics");
    loop {
        let (_, text) = connection.exchange(request.bytes()).await?;
        let text = std::str::from_utf8(text)?;
        let count = |outcome: &str| -> anyhow::Result<usize> {
            let name = format!("jobs_total{{outcome=\"{outcome}\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&name));
            Ok(line.map(str::parse).transpose()?.unwrap_or(0))
        };
        ensure!(count("failed")? == 0, "a job failed");
        if count("completed")? >= jobs {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads everything back that some of the people sent.
pub(crate) async fn read_back(people: &[Phone], data_type: &str, readings: usize) -> anyhow::Result<()> {
    for phone in people.iter().step_by(people.len().div_ceil(4)) {
        let held = phone.readings(data_type).await?.len();
        ensure!(held == readings, "{readings} readings were acknowledged, {held} came back");
    }
    Ok(())
}

/// Looks whether the completed jobs left results.
pub(crate) async fn results_of(people: &[Phone]) -> anyhow::Result<()> {
    for phone in people.iter().step_by(people.len().div_ceil(4)) {
        let days = phone.get("metrics/daily?start_date=2026-03-01&end_date=2026-03-31").await?.expect(200)?;
        let days = days["data"].as_array().context("days are a list")?;
        ensure!(!days.is_empty(), "the jobs are completed, but there are no daily results");
    }
    Ok(())
}
