//! `clarity sample`: a simulated person's uploads.

use std::{
    fs::File,
    io::{BufWriter, ErrorKind, Write as _},
    path::PathBuf,
    process::ExitCode,
};

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
    pub(crate) chest_strap: Option<u16>,
    pub(crate) output: Option<PathBuf>,
}

/// Where the simulated person lives at first.
pub(crate) const ZONE: &str = "Europe/Berlin";

pub(crate) fn sample(options: Options) -> Result<ExitCode, Failure> {
    let Options { format, days, seed, start, user, chest_strap, output } = options;
    let simulation = Simulation::new(&SimulatorSettings { days, seed, start, zone: ZONE.to_owned() })?;
    let simulation = match chest_strap {
        Some(every_seconds) => simulation.with_chest_strap(every_seconds),
        None => simulation,
    };
    let user = user.to_string();
    let body = match format {
        SampleFormat::Healthkit => serde_json::to_string_pretty(&simulation.healthkit_uploads(&user))?,
        SampleFormat::HealthData => serde_json::to_string_pretty(&simulation.health_data_uploads(&user))?,
        SampleFormat::Steps => serde_json::to_string_pretty(&simulation.step_data())?,
        SampleFormat::ExportXml => return export_xml(&simulation, output),
    };
    match output {
        Some(path) => std::fs::write(&path, body + "\n")
            .with_context(|| format!("{} cannot be written", path.display()))?,
        None => say(&body)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A file of any length: it is written as it is made.
fn export_xml(simulation: &Simulation, output: Option<PathBuf>) -> Result<ExitCode, Failure> {
    if let Some(path) = output {
        let cannot = || format!("{} cannot be written", path.display());
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).with_context(cannot)?);
        simulation.write_export_xml(&mut file).and_then(|()| file.flush()).with_context(cannot)?;
    } else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        match simulation.write_export_xml(&mut out).and_then(|()| out.flush()) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            outcome => outcome?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
