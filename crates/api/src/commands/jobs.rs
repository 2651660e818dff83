//! `clarity jobs`: what the worker gave up, and what crashes left over.

use std::{process::ExitCode, sync::Arc, time::Duration};

use app::App;
use ports::{DeadLetter, JobQueue, MessageId};

use crate::{
    cli::{Failure, Global},
    commands::runtime,
    platform, settings,
};

pub(crate) fn dead_letters(global: &Global) -> Result<ExitCode, Failure> {
    let config = global.load(None)?.config;
    let letters = runtime()?.block_on(async {
        let (clock, ids) = platform::time_and_ids();
        let connected = platform::connect_without_models(&config, clock, ids).await?;
        list(&*connected.platform.jobs).await
    })?;
    let rows: Vec<_> = letters
        .iter()
        .map(|letter| {
            serde_json::json!({ "id": letter.id.0, "reason": letter.reason, "deliveries": letter.delivery_count })
        })
        .collect();
    global.print(&rows, || {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_header(["id", "deliveries", "reason"]);
        for letter in &letters {
            table.add_row([letter.id.0.clone(), letter.delivery_count.to_string(), letter.reason.clone()]);
        }
        table.to_string()
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn list(jobs: &dyn JobQueue) -> anyhow::Result<Vec<DeadLetter>> {
    let (mut letters, mut cursor) = (Vec::new(), None);
    loop {
        let page = jobs.dead_letters(cursor.as_ref(), 1000).await?;
        letters.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(letters),
        }
    }
}

/// Removes objects that no record names.
pub(crate) fn sweep(global: &Global, older_than_days: u16) -> Result<ExitCode, Failure> {
    let config = global.load(None)?.config;
    let removed = runtime()?.block_on(async {
        let (clock, ids) = platform::time_and_ids();
        let connected = platform::connect_without_models(&config, clock, Arc::clone(&ids)).await?;
        let age = Duration::from_hours(24) * u32::from(older_than_days);
        anyhow::Ok(App::new(connected.platform, settings(&config)).sweep_objects(age).await?)
    })?;
    global.print(&serde_json::json!({ "removed": removed }), || {
        format!("{removed} objects that no record named were removed")
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn redrive(global: &Global, ids: Vec<String>) -> Result<ExitCode, Failure> {
    let config = global.load(None)?.config;
    let asked = ids.len();
    let redriven = runtime()?.block_on(async {
        let (clock, new_ids) = platform::time_and_ids();
        let connected = platform::connect_without_models(&config, clock, new_ids).await?;
        let jobs = &*connected.platform.jobs;
        let ids = if ids.is_empty() {
            list(jobs).await?.into_iter().map(|letter| letter.id).collect()
        } else {
            ids.into_iter().map(MessageId).collect::<Vec<_>>()
        };
        anyhow::Ok(jobs.redrive(&ids).await?)
    })?;
    global.print(&serde_json::json!({ "redriven": redriven }), || {
        format!("{redriven} jobs sent back to the queue")
    })?;
    if redriven < asked as u64 {
        return Err(anyhow::anyhow!(
            "{} of the ids are no dead letters; `clarity jobs dead-letters` lists those there are",
            asked as u64 - redriven
        )
        .into());
    }
    Ok(ExitCode::SUCCESS)
}
