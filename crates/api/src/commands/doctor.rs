//! `clarity doctor`: asks every part, and says what to do about what does not answer.

use std::{process::ExitCode, time::Duration};

use bytes::Bytes;
use domain::{
    ids::UserId,
    record::{Kind, Partition, RecordKey, SortRange},
};
use ports::{ModelState, ObjectKey, PutOptions, Query, objects};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    cli::{Failure, Global},
    commands::runtime,
    config::Config,
    platform::{self, Connected},
};

#[derive(Serialize)]
struct Finding {
    check: &'static str,
    ok: bool,
    /// What was seen.
    seen: String,
    /// What to do; empty where all is well.
    #[serde(skip_serializing_if = "str::is_empty")]
    advice: &'static str,
}

pub(crate) fn doctor(global: &Global) -> Result<ExitCode, Failure> {
    let loaded = global.load(None)?;
    let mut findings = vec![Finding {
        check: "configuration",
        ok: true,
        seen: format!("valid; profile {}", loaded.config.profile),
        advice: "",
    }];
    findings.extend(loaded.warnings.iter().map(|warning| Finding {
        check: "configuration",
        ok: true,
        seen: warning.clone(),
        advice: "see `clarity config show`",
    }));
    findings.push(clock());
    findings.extend(runtime()?.block_on(parts(&loaded.config)));
    let all = findings.iter().all(|finding| finding.ok);
    global.print(&serde_json::json!({ "ok": all, "findings": findings }), || {
        let line = |finding: &Finding| {
            let advice = if finding.advice.is_empty() {
                String::new()
            } else {
                format!("\n      -> {}", finding.advice)
            };
            format!(
                "{:4}  {:14} {}{advice}",
                if finding.ok { "ok" } else { "FAIL" },
                finding.check,
                finding.seen
            )
        };
        findings.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A clock before this build's year would give tokens that nobody accepts.
fn clock() -> Finding {
    let now = platform::time_and_ids().0.now();
    let ok = now.as_second() > 1_767_225_600;
    let advice = if ok { "" } else { "set the machine's clock: tokens and ids depend on it" };
    Finding { check: "clock", ok, seen: now.to_string(), advice }
}

async fn parts(config: &Config) -> Vec<Finding> {
    let (clock, ids) = platform::time_and_ids();
    let connected = match platform::connect(config, clock, ids).await {
        Ok(connected) => connected,
        Err(error) => {
            let advice = "check data.dir: it must be a folder that this user can write";
            return vec![Finding { check: "stores", ok: false, seen: format!("{error:#}"), advice }];
        }
    };
    let mut findings = vec![records(&connected).await, objects(&connected).await, queue(&connected).await];
    findings.extend(mail(&connected).await);
    if tokio::time::timeout(Duration::from_secs(30), connected.engine.loaded()).await.is_err() {
        findings.push(Finding {
            check: "models",
            ok: false,
            seen: "still loading after 30 s".to_owned(),
            advice: "look at the disk",
        });
    }
    findings.extend(models(&connected).await);
    findings
}

fn finding<T>(
    check: &'static str,
    outcome: ports::Result<T>,
    seen: impl FnOnce(T) -> String,
    advice: &'static str,
) -> Finding {
    match outcome {
        Ok(value) => Finding { check, ok: true, seen: seen(value), advice: "" },
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            Finding { check, ok: false, seen: format!("{error}{cause}"), advice }
        }
    }
}

async fn records(connected: &Connected) -> Finding {
    let query = Query { limit: 1, ..Query::new(Partition::Outbox(0), Kind::Outbox, SortRange::all()) };
    let outcome = connected.platform.health_data.query(&query).await;
    // A write that only checks: it takes the writer's way and leaves nothing behind.
    let key = RecordKey::timeline(UserId(Uuid::nil()));
    let check = ports::Write::check(key, ports::Precondition::Absent);
    let written = connected.platform.health_data.commit(vec![check]).await;
    finding(
        "records",
        outcome.and(written),
        |()| "read and committed".to_owned(),
        "is another program holding the database, or the disk full?",
    )
}

async fn objects(connected: &Connected) -> Finding {
    let outcome = async {
        let key = ObjectKey::new("doctor/probe")?;
        let store = &connected.platform.objects;
        store.put(&key, objects::once(Bytes::from_static(b"probe")), PutOptions::default()).await?;
        let read = store.get(&key, None).await?;
        store.delete(&key).await?;
        Ok(read.is_some())
    };
    finding(
        "objects",
        outcome.await,
        |_| "written, read and deleted".to_owned(),
        "is the disk full or read-only?",
    )
}

async fn queue(connected: &Connected) -> Finding {
    let stats = connected.platform.jobs.stats().await;
    finding(
        "jobs",
        stats,
        |stats| format!("{} waiting, {} dead", stats.depth, stats.dead),
        "is another program holding the database?",
    )
}

async fn mail(connected: &Connected) -> Option<Finding> {
    let smtp = connected.smtp.as_ref()?;
    Some(finding(
        "mail",
        smtp.check().await,
        |()| "the mail server let us in".to_owned(),
        "is mail.smtp right: host, port, tls, username and password? is the way to the server free?",
    ))
}

async fn models(connected: &Connected) -> Vec<Finding> {
    let models = connected.platform.predictor.models().await;
    if models.is_empty() {
        let advice = "set inference.models_dir to a folder of models; until then PAT answers 503 and everything else works";
        return vec![Finding {
            check: "models",
            ok: false,
            seen: "no model is configured".to_owned(),
            advice,
        }];
    }
    models
        .iter()
        .map(|model| match &model.state {
            ModelState::Ready { golden_check, execution_provider } => Finding {
                check: "models",
                ok: true,
                seen: format!("{}: verified ({golden_check}), runs on {execution_provider}", model.name),
                advice: "",
            },
            ModelState::Unavailable { reason } => Finding {
                check: "models",
                ok: false,
                seen: format!("{}: {reason}", model.name),
                advice: "run `make onnxruntime` for the library; restore the model's files if they were changed",
            },
        })
        .collect()
}
