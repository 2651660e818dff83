//! `clarity demo`: the whole way of one person's days, through the HTTP API as a phone goes it.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::{Context as _, ensure};
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{ToSpan, civil::Date, tz::TimeZone};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use simulator::{Simulation, SimulatorSettings};

use super::sample::ZONE;
use crate::{
    cli::{Failure, Global, person_watches, say},
    commands::runtime,
    platform, server, telemetry,
};

#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) days: u16,
    pub(crate) seed: u64,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) exit: bool,
}

pub(crate) fn demo(global: &Global, options: Options) -> Result<ExitCode, Failure> {
    let config = global.load(options.listen)?.config;
    telemetry::start_logs(&crate::config::Telemetry {
        log_level: "warn".to_owned(),
        ..config.telemetry.clone()
    })?;
    let metrics = telemetry::start_metrics()?;
    let data = config.data.dir.display().to_string();
    runtime()?.block_on(async {
        let roles = server::Roles { serve: true, work: true };
        let mut signals = server::Signals::listen()?;
        let mut running = server::start(config, roles, metrics, platform::time_and_ids()).await?;
        let address = running.address.context("the server has no address")?;
        let outcome = tokio::select! {
            outcome = visit(address, &options) => outcome,
            signal = running.until_signal(&mut signals) => signal.and_then(|()| anyhow::bail!("stopped by a signal")),
        };
        match outcome {
            Ok(seen) => global.print(&seen.json, || seen.text(&data))?,
            Err(error) => {
                running.stop().await?;
                return Err(error);
            }
        }
        if !options.exit {
            if !global.json {
                say(&format!(
                    "Clarity keeps serving on http://{address}  (API: http://{address}/docs/, stop: Ctrl-C)"
                ))?;
            }
            running.until_signal(&mut signals).await?;
        }
        running.stop().await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A phone: a client with the tokens of one person.
struct Phone {
    client: Client,
    base: String,
    token: String,
}

impl Phone {
    async fn sign_up(address: SocketAddr) -> anyhow::Result<(Self, String, String)> {
        let client = Client::builder().timeout(Duration::from_mins(1)).build()?;
        let base = format!("http://{address}/api/v1");
        let (email, password) = demo_account();
        let body = json!({ "email": email, "password": password, "display_name": "Demo" });
        let answer = client.post(format!("{base}/auth/register")).json(&body).send().await?;
        let status = answer.status();
        let tokens: Value = answer.json().await?;
        ensure!(
            status == StatusCode::OK,
            "signing up answered {status}: the demo needs identity.self_sign_up and no e-mail confirmation, as in the development profile"
        );
        let token = text(&tokens, "/access_token")?.to_owned();
        Ok((Self { client, base, token }, email, password))
    }

    async fn send(&self, request: RequestBuilder, expected: StatusCode) -> anyhow::Result<Value> {
        let answer = request.bearer_auth(&self.token).send().await?;
        let (status, url) = (answer.status(), answer.url().path().to_owned());
        let body: Value = answer.json().await?;
        ensure!(
            status == expected,
            "{url} answered {status}: {}",
            body.pointer("/title").unwrap_or(&Value::Null)
        );
        Ok(body)
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.client.get(format!("{}/{path}", self.base)), StatusCode::OK).await
    }

    async fn post(&self, path: &str, body: &Value, expected: StatusCode) -> anyhow::Result<Value> {
        self.send(self.client.post(format!("{}/{path}", self.base)).json(body), expected).await
    }
}

/// An address and a password of its own for each demo, so that demos share a data folder without sharing a person.
fn demo_account() -> (String, String) {
    let random: [u8; 12] = rand::random();
    (format!("demo-{}@example.org", hex::encode(&random[..4])), hex::encode(&random[4..]))
}

/// What the demo saw.
struct Seen {
    json: Value,
}

async fn visit(address: SocketAddr, options: &Options) -> anyhow::Result<Seen> {
    let (phone, email, password) = Phone::sign_up(address).await?;
    let me = phone.get("auth/me").await?;
    let user = text(&me, "/user_id")?.to_owned();
    let zone = TimeZone::get(ZONE)?;
    let today = platform::time_and_ids().0.now().to_zoned(zone).date();
    let start = today.checked_sub(i64::from(options.days).days())?;
    let settings = SimulatorSettings { days: options.days, seed: options.seed, start, zone: ZONE.to_owned() };
    let uploads = Simulation::new(&settings)?.healthkit_uploads(&user);
    let bar = progress(uploads.len());
    let (mut ids, mut samples) = (Vec::new(), 0);
    bar.set_message("uploading");
    for body in &uploads {
        let answer = phone.post("healthkit", body, StatusCode::ACCEPTED).await?;
        samples += answer
            .pointer("/receipts/accepted")
            .and_then(Value::as_u64)
            .context("the answer has no /receipts/accepted")?;
        ids.push(text(&answer, "/upload_id")?.to_owned());
        bar.inc(1);
    }
    bar.set_position(0);
    bar.set_message("processing");
    for id in &ids {
        completed(&phone, id).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let insight = phone.post("insights", &json!({ "analysis_results": {} }), StatusCode::OK).await?;
    let json = json!({
        "address": address.to_string(),
        "account": { "email": email, "password": password, "user_id": user },
        "uploads": uploads.len(),
        "samples": samples,
        "daily": phone.get("metrics/daily").await?["data"],
        "sleep": phone.get("metrics/sleep").await?["data"],
        "circadian": phone.get("metrics/circadian").await?,
        "models": phone.get("pat/models/info").await?["models"],
        "insight": insight,
    });
    Ok(Seen { json })
}

/// Waits until an upload's job ended.
async fn completed(phone: &Phone, id: &str) -> anyhow::Result<()> {
    loop {
        let status = phone.get(&format!("healthkit/status/{id}")).await?;
        match text(&status, "/status")? {
            "completed" => return Ok(()),
            "failed" => anyhow::bail!("the upload {id} failed: {}", status["error"]),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn progress(length: usize) -> ProgressBar {
    if !person_watches() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg:12} {bar:40} {pos}/{len}") {
        bar.set_style(style);
    }
    bar
}

fn text<'a>(value: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).with_context(|| format!("the answer has no {pointer}"))
}

/// A measure in a table: its value with so many decimals, or a dash where it was not assessed.
fn cell(of: &Value, name: &str, decimals: usize) -> String {
    match of.pointer(&format!("/{name}/value")).and_then(Value::as_f64) {
        Some(value) => format!("{value:.decimals$}"),
        None => "-".to_owned(),
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header);
    table
}

fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Seen {
    fn text(&self, data: &str) -> String {
        let seen = &self.json;
        let parts = [
            format!("{} samples in {} uploads, kept in {data}.", seen["samples"], seen["uploads"]),
            format!("Nights, by the date of waking (a dash is \"not assessed\")\n{}", nights(&seen["sleep"])),
            format!("Days\n{}", days(&seen["daily"])),
            format!("Circadian rhythm\n{}", circadian(&seen["circadian"])),
            format!("PAT\n{}", pat(seen)),
            format!("Insight\n{}", insight(&seen["insight"])),
            format!(
                "Sign in as {} with {}",
                plain(&seen["account"]["email"]),
                plain(&seen["account"]["password"])
            ),
        ];
        parts.join("\n\n")
    }
}

fn nights(list: &Value) -> Table {
    let mut table = table(&[
        "woke on",
        "zone",
        "asleep min",
        "efficiency %",
        "latency min",
        "awake min",
        "core",
        "deep",
        "REM",
        "naps",
    ]);
    let mut expected: Option<Date> = None;
    for night in rows(list) {
        let date: Option<Date> = night["date"].as_str().and_then(|date| date.parse().ok());
        while let (Some(missing), Some(date)) = (expected, date)
            && missing < date
        {
            table.add_row([missing.to_string(), "no readings: not assessed".to_owned()]);
            expected = missing.tomorrow().ok();
        }
        expected = date.and_then(|date| date.tomorrow().ok());
        let naps = night["naps"].as_array().map_or(0, Vec::len);
        table.add_row([
            plain(&night["date"]),
            plain(&night["zone"]),
            cell(night, "total_sleep_time", 0),
            cell(night, "sleep_efficiency", 1),
            cell(night, "sleep_onset_latency", 0),
            cell(night, "wake_after_sleep_onset", 0),
            cell(night, "core", 0),
            cell(night, "deep", 0),
            cell(night, "rem", 0),
            naps.to_string(),
        ]);
    }
    table
}

fn days(list: &Value) -> Table {
    let mut table =
        table(&["day", "hours", "steps", "kcal", "km", "HR min-max", "resting HR", "SDNN ms", "SpO2 %"]);
    for day in rows(list) {
        let range = format!("{}-{}", cell(day, "heart_rate_min", 0), cell(day, "heart_rate_max", 0));
        let hours = day["day_length_minutes"]
            .as_u64()
            .map_or_else(|| "-".to_owned(), |minutes| (minutes / 60).to_string());
        let distance = day.pointer("/distance/value").and_then(Value::as_f64);
        table.add_row([
            plain(&day["date"]),
            hours,
            cell(day, "step_count", 0),
            cell(day, "active_energy", 0),
            distance.map_or_else(|| "-".to_owned(), |metres| format!("{:.1}", metres / 1000.0)),
            range,
            cell(day, "resting_heart_rate", 0),
            cell(day, "hrv_sdnn", 0),
            cell(day, "oxygen_saturation", 1),
        ]);
    }
    table
}

fn circadian(answer: &Value) -> Table {
    let measures = &answer["circadian"]["measures"];
    let mut table = table(&["measure", "value", "unit", "method", "observed"]);
    for name in [
        "interdaily_stability",
        "intradaily_variability",
        "l5",
        "l5_onset",
        "m10",
        "m10_onset",
        "relative_amplitude",
    ] {
        let measure = &measures[name];
        let coverage = &measure["coverage"];
        let observed =
            format!("{} of {} {}", coverage["observed"], coverage["expected"], plain(&coverage["of"]));
        let value = if measure["value"].is_null() {
            plain(&measure["not_assessed"])
        } else {
            cell(measures, name, if name.ends_with("onset") { 0 } else { 3 })
        };
        table.add_row([name.to_owned(), value, plain(&measure["unit"]), plain(&measure["method"]), observed]);
    }
    table
}

fn pat(seen: &Value) -> String {
    let week = &seen["circadian"]["pat"];
    let result = match week["embedding"].as_array() {
        Some(embedding) => {
            let first: Vec<String> = embedding
                .iter()
                .take(4)
                .filter_map(Value::as_f64)
                .map(|value| format!("{value:.3}"))
                .collect();
            format!(
                "embedding of {} numbers for the week to {}: {}, ...",
                embedding.len(),
                plain(&week["date"]),
                first.join(", ")
            )
        }
        None => format!("not assessed: {}", plain(&week["not_assessed"])),
    };
    let coverage = &week["coverage"];
    let model = &week["model"];
    format!(
        "{result}\nmodel {} {}, weights: {}, sha-256 {}\n{} of {} minutes observed; experimental: steps are not what PAT was trained on",
        plain(&model["name"]),
        plain(&model["version"]),
        plain(&model["weights"]),
        plain(&model["sha256"]),
        coverage["observed"],
        coverage["expected"],
    )
}

fn insight(answer: &Value) -> String {
    let mut lines = vec![plain(&answer["data"]["narrative"])];
    lines.extend(rows(&answer["data"]["key_insights"]).map(|line| format!("- {}", plain(line))));
    lines.extend(rows(&answer["data"]["recommendations"]).map(|line| format!("* {}", plain(line))));
    lines.push(format!("(written by: {})", plain(&answer["metadata"]["provider"])));
    lines.join("\n")
}
