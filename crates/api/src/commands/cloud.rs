//! `clarity cloud`: what a provider's adapters need to be there.

use std::process::ExitCode;

use crate::{
    cli::{Failure, Global},
    commands::runtime,
    platform,
};

pub(crate) fn init_aws(global: &Global) -> Result<ExitCode, Failure> {
    let config = global.load(None)?.config;
    let made = runtime()?.block_on(platform::init_aws(&config))?;
    global.print(&made, || {
        made.iter().map(|(kind, name)| format!("{kind:20} {name}")).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}
