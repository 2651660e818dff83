//! What the command line does.

pub(crate) mod batch;
pub(crate) mod cloud;
pub(crate) mod db;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod import;
pub(crate) mod jobs;
pub(crate) mod models;
pub(crate) mod normalisation;
pub(crate) mod report;
pub(crate) mod sample;
pub(crate) mod serve;
pub(crate) mod users;

use std::process::ExitCode;

use crate::{
    cli::{Failure, Global, complain, say},
    platform,
};

pub(crate) fn openapi() -> Result<ExitCode, Failure> {
    say(&serde_json::to_string_pretty(&crate::contract()?)?)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn config_show(global: &Global) -> Result<ExitCode, Failure> {
    let loaded = global.load(None)?;
    global.print(&loaded.show(), || {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_header(["key", "value", "source"]);
        for (key, setting) in &loaded.settings {
            table.add_row([key.clone(), setting.value.to_string(), setting.source.clone()]);
        }
        format!("profile: {}\n{table}", loaded.config.profile)
    })?;
    loaded.warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn dev_codes(global: &Global) -> Result<ExitCode, Failure> {
    let loaded = global.load(None)?;
    if !loaded.config.profile.is_for_developers() {
        return Err(anyhow::anyhow!(
            "`clarity dev` works under the profiles for developers only: development and localstack"
        )
        .into());
    }
    let codes = runtime()?.block_on(platform::dev_codes(&loaded.config))?;
    let rows: Vec<_> = codes
        .iter()
        .map(|(email, purpose, code, expires_at)| {
            serde_json::json!({ "email": email, "purpose": purpose, "code": code, "expires_at": expires_at })
        })
        .collect();
    global.print(&rows, || {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_header(["e-mail", "purpose", "code", "expires"]);
        for (email, purpose, code, expires_at) in &codes {
            table.add_row([email, purpose, code, expires_at]);
        }
        table.to_string()
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The runtime of everything but the HTTP server's own threads.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
