//! `clarity db`: the tables of a PostgreSQL database.

use std::process::ExitCode;

use crate::{
    cli::{Failure, Global},
    commands::runtime,
    platform::tables::{self, TableVersion},
};

pub(crate) fn migrate(global: &Global) -> Result<ExitCode, Failure> {
    let config = global.load(None)?.config;
    show(global, &runtime()?.block_on(tables::migrate(&config))?)
}

pub(crate) fn rollback(global: &Global, version: i64) -> Result<ExitCode, Failure> {
    let config = global.load(None)?.config;
    show(global, &runtime()?.block_on(tables::rollback(&config, version))?)
}

pub(crate) fn status(global: &Global) -> Result<ExitCode, Failure> {
    let config = global.load(None)?.config;
    show(global, &runtime()?.block_on(tables::versions(&config))?)
}

fn show(global: &Global, versions: &[TableVersion]) -> Result<ExitCode, Failure> {
    global.print(&versions, || {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_header(["version", "state", "description"]);
        for version in versions {
            table.add_row([&version.version.to_string(), version.state, &version.description]);
        }
        table.to_string()
    })?;
    Ok(ExitCode::SUCCESS)
}
