//! `clarity sample`: a simulated person's uploads.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use domain::ids::UserId;
use jiff::civil::Date;
use simulator::{Simulation, SimulatorSettings};

use crate::cli::{Failure, SampleFormat, say};

pub(crate) struct Options {
    pub(crate) format: SampleFormat,
    pub(crate) days: u16,
    pub(crate) seed: u64,
    pub(crate) start: Date,
    pub(crate) user: UserId,
    pub(crate) output: Option<PathBuf>,
}

/// Where the simulated person lives at first.
pub(crate) const ZONE: &str = "Europe/Berlin";

pub(crate) fn sample(options: Options) -> Result<ExitCode, Failure> {
    let Options { format, days, seed, start, user, output } = options;
    let simulation = Simulation::new(&SimulatorSettings { days, seed, start, zone: ZONE.to_owned() })?;
    let user = user.to_string();
    let body = match format {
        SampleFormat::Healthkit => serde_json::to_string_pretty(&simulation.healthkit_uploads(&user))?,
        SampleFormat::HealthData => serde_json::to_string_pretty(&simulation.health_data_uploads(&user))?,
        SampleFormat::Steps => serde_json::to_string_pretty(&simulation.step_data())?,
    };
    match output {
        Some(path) => std::fs::write(&path, body + "\n")
            .with_context(|| format!("{} cannot be written", path.display()))?,
        None => say(&body)?,
    }
    Ok(ExitCode::SUCCESS)
}
