//! `clarity cloud`: what a provider's adapters need to be there.

use std::process::ExitCode;

use serde_json::Value;

use crate::{
    cli::{Failure, Global},
    commands::runtime,
    platform::aws_resources,
};

pub(crate) fn init_aws(global: &Global, with_user_pool: bool) -> Result<ExitCode, Failure> {
    let config = global.load(None)?.config;
    let made = runtime()?.block_on(aws_resources::init(&config, with_user_pool))?;
    global.print(&made, || {
        made.iter().map(|(kind, name)| format!("{kind:20} {name}")).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn manifest_aws(global: &Global) -> Result<ExitCode, Failure> {
    let config = global.load(None)?.config;
    let manifest = aws_resources::manifest(&config)?;
    let manifest = serde_json::to_value(&manifest).map_err(anyhow::Error::from)?;
    global.print(&manifest, || text(&manifest))?;
    Ok(ExitCode::SUCCESS)
}

/// A line a resource, and below each role what it may do.
fn text(manifest: &Value) -> String {
    let each = |list: &'static str| manifest[list].as_array().into_iter().flatten();
    let mut lines = Vec::new();
    for list in ["tables", "buckets", "queues", "topics", "user_pools"] {
        let names = each(list).filter_map(|resource| resource["name"].as_str());
        lines.extend(names.map(|name| format!("{list:12} {name}")));
    }
    let prefixes = each("secrets").filter_map(|secrets| secrets["prefix"].as_str());
    lines.extend(prefixes.map(|prefix| format!("{:12} {prefix}*", "secrets")));
    for role in each("roles") {
        lines.push(format!("{:12} {}", "role", role["name"].as_str().unwrap_or_default()));
        let words = |value: &Value| {
            let words = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            words.collect::<Vec<_>>().join(" ")
        };
        for statement in role["policy"]["Statement"].as_array().into_iter().flatten() {
            lines.push(format!("  {}", words(&statement["Resource"])));
            lines.push(format!("    {}", words(&statement["Action"])));
        }
    }
    lines.join("\n")
}
