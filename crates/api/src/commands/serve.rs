//! `clarity serve` in its roles, and `clarity worker`.

use std::{net::SocketAddr, process::ExitCode};

use crate::{
    cli::{Failure, Global, complain, say},
    commands::runtime,
    config::{Config, Role},
    platform, server, telemetry,
};

pub(crate) fn serve(
    global: &Global,
    listen: Option<SocketAddr>,
    no_worker: bool,
) -> Result<ExitCode, Failure> {
    let config = load(global, Role::All, listen)?;
    let work = config.worker.in_server && !no_worker;
    run(global, config, server::Roles { serve: true, work })
}

pub(crate) fn work(global: &Global) -> Result<ExitCode, Failure> {
    let config = load(global, Role::All, None)?;
    run(global, config, server::Roles { serve: false, work: true })
}

/// Models for other services, and nothing else.
pub(crate) fn serve_models(global: &Global, listen: Option<SocketAddr>) -> Result<ExitCode, Failure> {
    let config = load(global, Role::Inference, listen)?;
    telemetry::start_logs(&config.telemetry)?;
    let metrics = telemetry::start_metrics()?;
    runtime()?.block_on(async {
        let mut signals = server::Signals::listen()?;
        let engine = platform::models(&config).await?;
        let mut models = server::ModelServer::start(&config, &engine, &metrics)?;
        let address = models.address;
        let started = serde_json::json!({ "listening": address, "role": "inference" });
        say(&if global.json {
            started.to_string()
        } else {
            format!("Clarity serves models on http://{address}  (Open Inference Protocol: http://{address}/v2, stop: Ctrl-C)")
        })?;
        models.until_signal(&mut signals).await?;
        models.stop().await
    })?;
    Ok(ExitCode::SUCCESS)
}

fn load(global: &Global, role: Role, listen: Option<SocketAddr>) -> Result<Config, Failure> {
    let loaded = global.load_for(role, listen)?;
    loaded.warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
    Ok(loaded.config)
}

fn run(global: &Global, config: Config, roles: server::Roles) -> Result<ExitCode, Failure> {
    telemetry::start_logs(&config.telemetry)?;
    let metrics = telemetry::start_metrics()?;
    runtime()?.block_on(async {
        let mut signals = server::Signals::listen()?;
        let mut running = server::start(config, roles, metrics, platform::time_and_ids()).await?;
        // One line, also as JSON: programs that start this read the port from it.
        let models = running.models.as_ref().map(|models| models.address);
        let mut started = serde_json::json!({ "listening": running.address, "worker": roles.work });
        if let Some(models) = models {
            started["models"] = models.to_string().into();
        }
        say(&match running.address {
            _ if global.json => started.to_string(),
            Some(address) => {
                format!("Clarity listens on http://{address}  (API: http://{address}/docs/, stop: Ctrl-C)")
            }
            None => "Clarity's worker runs (stop: Ctrl-C)".to_owned(),
        })?;
        running.until_signal(&mut signals).await?;
        running.stop().await
    })?;
    Ok(ExitCode::SUCCESS)
}
