//! `POST health-data/batch`: each record is an upload of its own, in whichever form the app that sends it has.

use std::sync::Arc;

use domain::{
    ids::SampleId,
    metric::MetricKind,
    sample::{Sample, Source, Value},
    time::Interval,
    unit,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    BodyError, Fault, Limits, Parsed, WHOLE, check, health_data, metric, object,
    wire::{Instant, Shared, Text, instant},
};

/// Swift writes instants as seconds since this one where nobody tells it otherwise: the beginning of 2001.
const SWIFT_EPOCH_SECONDS: i64 = 978_307_200;

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
}

/// What tells the forms of a record apart, and whose it says it is.
#[derive(Deserialize)]
struct Form<'a> {
    #[serde(borrow, default)]
    user_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    metric_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data_type: Option<&'a RawValue>,
}

/// One reading without anything around it.
#[derive(Deserialize)]
struct Reading<'a> {
    #[serde(borrow)]
    data_type: Text<'a>,
    value: f64,
    #[serde(borrow)]
    unit: Text<'a>,
    #[serde(borrow, alias = "timestamp", alias = "created_at")]
    recorded_at: &'a RawValue,
    #[serde(borrow, default)]
    source: Option<Text<'a>>,
}

/// One record of a batch.
pub struct Record<'a> {
    /// Its JSON.
    pub body: &'a str,
    /// The user that it names.
    pub user_id: Option<String>,
}

/// Reads the records of a batch, at most `records_max`, without looking further into them.
pub fn records(body: &[u8], records_max: usize) -> Result<Vec<Record<'_>>, BodyError> {
    let Batch { records } = super::body(body)?;
    let count = records.len();
    if !(1..=records_max).contains(&count) {
        let message = format!("{count} records; a batch holds 1 to {records_max}");
        return Err(BodyError::new("/records", message));
    }
    let user = |raw| object::<Form<'_>>(raw)?.user_id.map(|id| id.0.into_owned());
    Ok(records.into_iter().map(|raw| Record { body: raw.get(), user_id: user(raw) }).collect())
}

/// Reads one record. One of which nothing can be kept is refused as a whole.
pub fn parse(body: &[u8], limits: Limits, now: Timestamp) -> Result<Parsed, BodyError> {
    let form: Form<'_> = super::body(body)?;
    let parsed = if form.data_type.is_some() {
        let reading = super::body(body)?;
        let sample = sample(&reading, now).map_err(Fault::of_body)?;
        let mut parsed = Parsed { received: vec![("samples", 1)], ..Parsed::default() };
        parsed.push(WHOLE, 0, sample);
        parsed.user_id = form.user_id.map(|id| id.0.into_owned());
        parsed
    } else if form.metric_type.is_some() {
        let parsed = health_data::parse_metric(body, now)?;
        Parsed { user_id: form.user_id.map(|id| id.0.into_owned()), ..parsed }
    } else {
        health_data::parse(body, limits, now)?
    };
    match parsed.rejected.first() {
        Some(fault) if parsed.samples.is_empty() => {
            Err(BodyError::new(&fault.pointer, fault.message.clone()))
        }
        _ => Ok(parsed),
    }
}

fn sample(reading: &Reading<'_>, now: Timestamp) -> Result<Sample, Fault> {
    let metric = metric(reading.data_type.as_ref()).map_err(|fault| Fault { field: "data_type", ..fault })?;
    if metric.kind() == MetricKind::Category {
        let message = "a category, such as a stage of sleep, is sent among `samples`";
        return Err(Fault::new("data_type", "wrong_kind", message));
    }
    let value = unit::to_canonical(metric, reading.value, reading.unit.as_ref())
        .map_err(|error| Fault::new("unit", "unknown_unit", error.to_string()))?;
    let at = recorded_at(reading.recorded_at)?;
    let interval = Interval::new(at.ms, at.ms)
        .map_err(|_hidden| Fault::new("recorded_at", "invalid_timestamp", "invalid"))?;
    let source = Source { name: reading.source.as_ref().map(|name| name.0.to_string()), ..Source::default() };
    let mut sample = Sample {
        id: SampleId(Uuid::nil()),
        metric,
        interval,
        value: Value::Quantity(value),
        clock: Shared::default().clock(at.offset_seconds, None),
        source: Arc::new(source),
        metadata: None,
    };
    let place = |field| if field == "start_date" { "recorded_at" } else { field };
    check(&sample, now).map_err(|fault| Fault { field: place(fault.field), ..fault })?;
    sample.id = sample.content_key().sample_id();
    Ok(sample)
}

/// An RFC 3339 timestamp, or seconds since the beginning of 2001. Seconds since 1970 would lie in the future, and are refused.
fn recorded_at(raw: &RawValue) -> Result<Instant, Fault> {
    if let Ok(text) = serde_json::from_str::<Text<'_>>(raw.get()) {
        return instant("recorded_at", text.as_ref(), None);
    }
    let fault = || Fault::new("recorded_at", "invalid_timestamp", "not an RFC 3339 timestamp");
    let seconds = raw.get().parse::<f64>().map_err(|_hidden| fault())?;
    if !(0.0..=1e10).contains(&seconds) {
        return Err(fault());
    }
    #[expect(clippy::cast_possible_truncation, reason = "within centuries, as the line above made sure")]
    let ms = (seconds * 1000.0).round() as i64;
    Ok(Instant { ms: ms + SWIFT_EPOCH_SECONDS * 1000, offset_seconds: 0 })
}
