//! Renews the snapshot of the contract from the binary, unless that would break clients.

use std::{
    fs,
    io::{Write as _, stderr},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser;
use e2e::contract::{breaking, document, response_fields};
use serde_json::Value;

/// Renews `tests/contract` from what the binary says.
#[derive(Parser)]
struct Arguments {
    /// Renew it although clients that were written against the snapshot will break.
    #[arg(long)]
    breaking: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let document = document()?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract");
    let snapshot = folder.join("openapi.json");
    let before: Value = serde_json::from_slice(&fs::read(&snapshot)?).context("the snapshot is not JSON")?;
    let broken = breaking(&before, &document);
    if !broken.is_empty() && !arguments.breaking {
        writeln!(
            stderr(),
            "breaking:\n  {}\n`make contract BREAKING=1` renews the snapshot all the same",
            broken.join("\n  ")
        )?;
        return Ok(ExitCode::FAILURE);
    }
    fs::write(&snapshot, format!("{}\n", serde_json::to_string_pretty(&document)?))?;
    fs::write(folder.join("response-fields.txt"), response_fields(&document))?;
    Ok(ExitCode::SUCCESS)
}
