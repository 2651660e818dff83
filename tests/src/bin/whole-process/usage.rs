//! What a process has used, as Linux counts it.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// Linux counts the processor's time in these towards every program, whatever the kernel's own clock is.
const TICK: Duration = Duration::from_millis(10);

/// The processor's time of a process over all its threads, those that ended included.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("this benchmark needs Linux")?;
    // The name, which may hold anything, ends with the last parenthesis. What follows is the third field.
    let (_, fields) = stat.rsplit_once(')').context("stat names the process")?;
    let ticks = fields.split_ascii_whitespace().skip(11).take(2).map(str::parse::<u32>);
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
