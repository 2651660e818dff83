//! `clarity batch`: the PAT model over many people at once, as a job that several machines share.

use std::{
    collections::BTreeSet,
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, bail, ensure};
use app::{
    App,
    offline::{Progress, Shard},
};
use domain::ids::UserId;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::{
    cli::{Failure, Global, person_watches},
    commands::runtime,
    platform, settings,
};

/// Who is computed, and which part of them here.
pub(crate) struct Order {
    pub users: Option<Range>,
    pub file: Option<PathBuf>,
    pub job: String,
    pub restart: bool,
    pub shard: Option<u32>,
    pub shards: Option<u32>,
}

/// Ids from one on, up to and without another, as their text is ordered; either may be left out, and may be the beginning of one.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    first: String,
    end: Option<String>,
}

impl Range {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bounds = text.to_ascii_lowercase();
        let (first, end) = bounds.split_once("..").ok_or("write it as A..B, A.. or ..B")?;
        let is_id = |part: &str| part.len() <= 36 && part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if !is_id(first) || !is_id(end) {
            return Err("A and B are user ids, or the beginnings of some".to_owned());
        }
        Ok(Self { first: first.to_owned(), end: Some(end.to_owned()).filter(|end| !end.is_empty()) })
    }

    pub(super) fn holds(&self, user: UserId) -> bool {
        let id = user.to_string();
        id >= self.first && self.end.as_ref().is_none_or(|end| id < *end)
    }
}

pub(crate) fn batch(global: &Global, order: &Order) -> Result<ExitCode, Failure> {
    let shard = shard(order)?;
    let listed = order.file.as_deref().map(list).transpose()?;
    let asked_for = asked_for(order, listed.as_ref());
    ensure_name(&order.job)?;
    let config = global.load(None)?.config;
    let (users, progress) = runtime()?.block_on(async {
        let (clock, ids) = platform::time_and_ids();
        let connected = platform::connect(&config, clock, ids).await?;
        connected.engine.loaded().await;
        let app = Arc::new(App::new(connected.platform, settings(&config)));
        let mut users = match listed {
            Some(users) => users,
            None => app.everybody().await?,
        };
        users
            .retain(|user| shard.holds(*user) && order.users.as_ref().is_none_or(|range| range.holds(*user)));
        let bar = bar(users.len());
        let name = format!("{}-{}-of-{}", order.job, shard.index, shard.count);
        let job = (name.as_str(), asked_for.as_str());
        let assessed =
            app.assess_offline(job, &users, order.restart, |progress| bar.set_position(progress.done()));
        let progress = assessed.await.context("the job stopped: the same command goes on where it was")?;
        bar.finish_and_clear();
        anyhow::Ok((users.len(), progress))
    })?;
    let Progress { assessed, not_assessed, ref failed, .. } = progress;
    let told = json!({
        "job": order.job, "shard": shard.index, "shards": shard.count, "users": users,
        "assessed": assessed, "not_assessed": not_assessed, "failed": failed,
    });
    global.print(&told, || {
        let lost: Vec<String> = failed.iter().map(ToString::to_string).collect();
        let lost = if lost.is_empty() { String::new() } else { format!("\nfailed: {}", lost.join(" ")) };
        format!("{users} people: {assessed} assessed, {not_assessed} with too little to be assessed{lost}")
    })?;
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Who was asked for, in words that are the same when the command is.
fn asked_for(order: &Order, listed: Option<&BTreeSet<UserId>>) -> String {
    match (&order.users, listed) {
        (Some(Range { first, end }), _) => format!("{first}..{}", end.as_deref().unwrap_or_default()),
        (None, Some(users)) => users.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        (None, None) => "everybody".to_owned(),
    }
}

fn shard(order: &Order) -> anyhow::Result<Shard> {
    let (index, count) = (order.shard.unwrap_or(0), order.shards.unwrap_or(1));
    ensure!(
        order.shard.is_some() == order.shards.is_some() && index < count,
        "a part needs both its number and how many there are: --shard 0 --shards 4, or AWS_BATCH_JOB_ARRAY_INDEX and \
         AWS_BATCH_JOB_ARRAY_SIZE"
    );
    Ok(Shard { index, count })
}

/// The name becomes a part of an object's.
fn ensure_name(job: &str) -> anyhow::Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ensure!(
        (1..=64).contains(&job.len()) && job.bytes().all(is_plain),
        "--job is up to 64 letters, digits, - and _"
    );
    Ok(())
}

/// The ids of a file, one a line.
pub(super) fn list(path: &Path) -> anyhow::Result<BTreeSet<UserId>> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read: check the path", path.display()))?;
    }
    let mut users = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.parse() {
            Ok(user) => users.insert(user),
            Err(_) => bail!("line {}: no user id (a UUID); nothing was begun", number + 1),
        };
    }
    ensure!(!users.is_empty(), "the list names nobody");
    Ok(users)
}

pub(super) fn bar(people: usize) -> ProgressBar {
    if !person_watches() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(people as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} people {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}
