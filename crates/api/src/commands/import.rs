//! `clarity import`: Apple Health's export, or lines of samples, into the stores or through a server.

use std::{
    fs::File,
    io::{IsTerminal, Read, Seek},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use app::{
    App,
    audit::{Caller, OPERATOR},
    import::{self, Ended, Form, Import, Source},
};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use ports::Email;
use serde_json::Value;
use url::Url;

use crate::{
    cli::{Failure, Global, complain, person_watches},
    commands::runtime,
    config::Config,
    platform,
    routes::imports::ImportBody,
    settings,
};

/// What is imported, and where to.
pub(crate) struct Order {
    pub file: PathBuf,
    pub email: Option<String>,
    pub time_zone: Option<String>,
    pub server: Option<Url>,
    pub token_file: Option<PathBuf>,
}

pub(crate) fn import(global: &Global, order: &Order) -> Result<ExitCode, Failure> {
    let mut file = File::open(&order.file)
        .with_context(|| format!("{} cannot be opened: check the path", order.file.display()))?;
    let size = file.metadata()?.len();
    let (head, form) = import::head(&mut file)?;
    let form = form.context(
        "this is neither Apple Health's export.xml, nor the archive with it, nor lines of JSON: on the phone, Health > \
         your picture > Export All Health Data makes one",
    )?;
    let done = if let Some(server) = &order.server {
        runtime()?.block_on(send(server, order.token_file.as_deref(), file, size, form))?
    } else {
        let email = order.email.as_deref().context("say whose data it is with --user E-MAIL")?;
        let config = global.load(None)?.config;
        let import = local(&config, email, order.time_zone.as_deref(), (&mut file, size, &head, form))?;
        serde_json::to_value(ImportBody::from(&import))?
    };
    let text = text(&done)?;
    global.print(&done, || text)?;
    Ok(if done["state"] == "failed" { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn local(
    config: &Config,
    email: &str,
    time_zone: Option<&str>,
    (file, size, head, form): (&mut File, u64, &[u8], Form),
) -> anyhow::Result<Import> {
    if let Some(zone) = time_zone {
        domain::time::ZoneName::new(zone).context("this is no time zone: name one such as Europe/Berlin")?;
    }
    let email = Email::parse(email).context("this is no e-mail address: write it as name@example.org")?;
    runtime()?.block_on(async {
        let (clock, ids) = platform::time_and_ids();
        let connected = platform::connect_without_models(config, clock, Arc::clone(&ids)).await?;
        let profile = connected.platform.identity.find(&email).await?;
        let profile = profile.context(
            "no account has this address: check its spelling, and with `clarity config show` that data.dir is the \
             server's",
        )?;
        let app = Arc::new(App::new(connected.platform, settings(config)));
        let user = profile.user_id;
        let request_id = format!("import-{}", ids.next());
        let caller = Caller { user_id: user, actor: OPERATOR, request_id, traceparent: None };
        let bar = bar(size);
        let id = import::import_id(size, head);
        let mut may_begin_anew = true;
        loop {
            let again = file.try_clone()?;
            let source = match form {
                Form::Xml => Source::Xml(Box::new(again)),
                Form::Archive => Source::Archive(again),
                Form::Lines => Source::Lines(Box::new(again), time_zone.map(str::to_owned)),
            };
            let ended = app.import_file(&caller, id, source, |import, _| {
                if form != Form::Archive {
                    bar.set_position(import.position.offset);
                }
                bar.set_message(format!("{} readings", import.counts.received()));
                Ok(())
            });
            match ended.await? {
                Ended::Read(import) => {
                    bar.finish_and_clear();
                    return Ok(import);
                }
                Ended::Changed(_) if may_begin_anew => {
                    complain("the file was changed since its import was begun: it is read from its beginning");
                    file.rewind()?;
                    may_begin_anew = false;
                }
                Ended::Changed(_) => bail!("the file changes while it is read"),
                Ended::BrokeOff(import, error) => {
                    let line = import.position.line;
                    return Err(anyhow::Error::new(error).context(format!(
                        "the file could not be read beyond line {line}: what came before is kept, and the same command goes on there"
                    )));
                }
            }
        }
    })
}

/// Through a server's `POST healthkit/stream`.
async fn send(
    server: &Url,
    token_file: Option<&Path>,
    file: File,
    size: u64,
    form: Form,
) -> anyhow::Result<Value> {
    let mut token = String::new();
    match token_file {
        Some(path) => File::open(path)
            .with_context(|| format!("the token file {} cannot be opened", path.display()))?
            .read_to_string(&mut token)?,
        None if std::io::stdin().is_terminal() => {
            bail!("give an access token of the user: --token-file FILE, or on standard input")
        }
        None => std::io::stdin().read_to_string(&mut token)?,
    };
    let bar = bar(size);
    let body = tokio_util::io::ReaderStream::with_capacity(tokio::fs::File::from_std(file), 256 * 1024);
    let sent = bar.clone();
    let body = body.inspect(move |piece| sent.inc(piece.as_ref().map_or(0, |piece| piece.len() as u64)));
    let kind = match form {
        Form::Xml => "application/xml",
        Form::Archive => "application/zip",
        Form::Lines => "application/x-ndjson",
    };
    let url = server.join("/api/v1/healthkit/stream")?;
    let answer = reqwest::Client::new()
        .post(url)
        .bearer_auth(token.trim())
        .header("content-type", kind)
        .header("content-length", size)
        .body(reqwest::Body::wrap_stream(body))
        .send()
        .await?;
    let status = answer.status();
    if !status.is_success() {
        let problem: Value = answer.json().await.unwrap_or_default();
        let title = problem["title"].as_str().unwrap_or("no reason was given");
        bail!("the server refused the file with {status}: {title}");
    }
    let mut lines = answer.bytes_stream();
    let (mut line, mut last) = (Vec::new(), None);
    while let Some(piece) = lines.next().await {
        for byte in piece? {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            let read: Value = serde_json::from_slice(&std::mem::take(&mut line))?;
            if let Some(import) = read.get("import") {
                last = Some(import.clone());
            }
        }
    }
    bar.finish_and_clear();
    let last = last.context("the server broke off: the same command goes on where it stopped")?;
    if last["state"] == "running" {
        bail!("the server broke off: the same command goes on where it stopped");
    }
    Ok(last)
}

/// How much of a file was read.
pub(super) fn bar(size: u64) -> ProgressBar {
    if !person_watches() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(size);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}")
    {
        bar.set_style(style);
    }
    bar
}

/// What became of a file, as the API tells it. A number that is not there is not taken for 0.
fn text(import: &Value) -> anyhow::Result<String> {
    let number = |pointer: &str| {
        let number = import.pointer(pointer).and_then(Value::as_u64);
        number.with_context(|| format!("the answer has no {pointer}: is the server of this version?"))
    };
    let accepted = number("/counts/accepted")?;
    let (known, refused) = (number("/counts/duplicate")?, number("/counts/rejected")?);
    let mut lines = vec![format!("{accepted} new readings, {known} known, {refused} refused")];
    let unsupported = import["counts"]["unsupported"].as_object();
    for (kind, count) in unsupported.into_iter().flatten() {
        lines.push(format!("not kept: {count} of {kind}"));
    }
    for rejection in import["rejected"].as_array().into_iter().flatten().take(10) {
        let (pointer, message) = (rejection["pointer"].as_str(), rejection["message"].as_str());
        let line = pointer.and_then(|pointer| pointer.split('/').nth(2)).unwrap_or("?");
        lines.push(format!("line {line}: {}", message.unwrap_or_default()));
    }
    for file in import["left_out"].as_array().into_iter().flatten() {
        let why = if file["code"] == "too_large" { "too large" } else { "too many came before it" };
        lines.push(format!("not kept: {}, {why}", file["name"].as_str().unwrap_or("?")));
    }
    let (named, left_out) =
        (import["left_out"].as_array().map_or(0, Vec::len), number("/attachments_left_out")?);
    if left_out > named as u64 {
        lines.push(format!("not kept: {} more files beside the readings", left_out - named as u64));
    }
    if let Some(failure) = import["failure"].as_str() {
        let kept = number("/line")?;
        lines.push(format!("refused: {failure}; what came before line {kept} is kept"));
    }
    lines.push("a running `clarity serve` or `clarity worker` computes the measures".to_owned());
    Ok(lines.join("\n"))
}
