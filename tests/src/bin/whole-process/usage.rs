//! What a process has used, as Linux counts it.

use std::{
    fs,
    process::Child,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// Linux counts the processor's time in these towards every program, whatever the kernel's own clock is.
const TICK: Duration = Duration::from_millis(10);

/// The fields of a process behind its name, from its state on.
fn stat(pid: u32) -> anyhow::Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("this benchmark needs Linux")?;
    // The name, which may hold anything, ends with the last parenthesis. What follows is the third field.
    let (_, fields) = stat.rsplit_once(')').context("stat names the process")?;
    Ok(fields.split_ascii_whitespace().map(str::to_owned).collect())
}

/// The processor's time of a process over all its threads, those that ended included.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let fields = stat(pid)?;
    let ticks = fields.iter().skip(11).take(2).map(|field| field.parse::<u32>());
    Ok(TICK * ticks.sum::<Result<u32, _>>()?)
}

pub(crate) fn own_cpu() -> anyhow::Result<Duration> {
    cpu(std::process::id())
}

/// Memory in megabytes.
pub(crate) struct Memory {
    pub(crate) resident: f64,
    pub(crate) most: f64,
}

pub(crate) fn memory(pid: u32) -> anyhow::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let megabytes = |name: &str| -> anyhow::Result<f64> {
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).context("status tells of memory")?;
        let kibibytes: f64 = line.trim_start_matches(':').trim_end_matches("kB").trim().parse()?;
        Ok(kibibytes * 1024.0 / 1e6)
    };
    Ok(Memory { resident: megabytes("VmRSS")?, most: megabytes("VmHWM")? })
}

/// What a process took from its start to its end.
pub(crate) struct Taken {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// The most memory, in megabytes.
    pub(crate) most: f64,
}

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Watches a child that was just started until it has ended, without reaping it: only so long is told what it took.
pub(crate) async fn to_its_end(child: &Child) -> anyhow::Result<Taken> {
    let (start, mut most) = (Instant::now(), 0.0);
    while stat(child.id())?.first().is_none_or(|state| state != "Z") {
        // It may have ended in between, and has no memory any more.
        if let Ok(memory) = memory(child.id()) {
            most = memory.most;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(Taken { wall: start.elapsed(), cpu: cpu(child.id())?, most })
}
