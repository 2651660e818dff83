//! `POST healthkit`: HealthKit's own samples.

use std::{borrow::Cow, sync::Arc};

use domain::{
    ids::SampleId,
    metric::{Metric, MetricKind},
    sample::{Sample, Value},
    time::{LocalClock, ZoneName, timestamp},
    unit,
};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{
    BodyError, Fault, Parsed, check, metric, named, object, samples,
    wire::{Shared, Text, interval},
};

/// The body. `user_id` is only compared with the caller; fields that are not named here stay in the raw body.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    user_id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "list")]
    quantity_samples: Vec<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "list")]
    category_samples: Vec<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "list")]
    workouts: Vec<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "list")]
    correlation_samples: Vec<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "list")]
    deleted_samples: Vec<&'a RawValue>,
    #[serde(default)]
    upload_metadata: Option<UploadMetadata>,
}

/// A list; `null` is an empty one.
fn list<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<&'a RawValue>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
pub(super) struct UploadMetadata {
    #[serde(default, alias = "timezone", alias = "timeZone")]
    pub(super) time_zone: Option<String>,
}

/// One sample. `identifier` is the client's UUID and `type` HealthKit's type identifier; clients that put the type into
/// `identifier` and the UUID into `uuid` are understood too.
#[derive(Deserialize)]
struct WireSample<'a> {
    #[serde(borrow, default)]
    identifier: Option<Text<'a>>,
    #[serde(borrow, default)]
    uuid: Option<Text<'a>>,
    #[serde(borrow, default, rename = "type", alias = "sample_type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    /// Of a category, where the phone tells its values apart.
    #[serde(borrow, default)]
    category_value: Option<&'a RawValue>,
    #[serde(borrow, default)]
    unit: Option<Text<'a>>,
    #[serde(borrow, default)]
    start_date: Option<Text<'a>>,
    #[serde(borrow, default)]
    end_date: Option<Text<'a>>,
    #[serde(borrow, default)]
    source_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    device: Option<&'a RawValue>,
    #[serde(borrow, default)]
    source_revision: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
    /// The parts of a correlation.
    #[serde(borrow, default, deserialize_with = "list")]
    objects: Vec<&'a RawValue>,
    /// Of a workout.
    #[serde(borrow, default, alias = "activity_type", alias = "workoutActivityType")]
    workout_activity_type: Option<&'a RawValue>,
}

/// What parsing one list needs.
pub(super) struct Context {
    pub(super) shared: Shared,
    pub(super) zone: Option<ZoneName>,
    pub(super) now: Timestamp,
}

/// Reads a `HealthKitUploadRequest` of at most `samples_max` samples.
pub fn parse(body: &[u8], samples_max: usize, now: Timestamp) -> Result<Parsed, BodyError> {
    let body: Body<'_> = super::body(body)?;
    let lists: [(&'static str, &[&RawValue]); 4] = [
        ("quantity_samples", &body.quantity_samples),
        ("category_samples", &body.category_samples),
        ("workouts", &body.workouts),
        ("correlation_samples", &body.correlation_samples),
    ];
    let count = lists.iter().map(|(_, list)| list.len()).sum::<usize>() + body.deleted_samples.len();
    if count > samples_max {
        return Err(BodyError::new("", format!("{count} samples; an upload holds at most {samples_max}")));
    }
    let mut shared = Shared::default();
    let zone =
        body.upload_metadata.and_then(|metadata| metadata.time_zone).and_then(|name| shared.zone(&name));
    let mut context = Context { shared, zone, now };
    let mut parsed = Parsed { user_id: body.user_id.map(|text| text.0.into_owned()), ..Parsed::default() };
    parsed.samples.reserve(count);
    for (list, items) in lists {
        parsed.received.push((list, items.len()));
        for (index, raw) in items.iter().enumerate() {
            let before = parsed.rejected_total;
            context.item(list, index, raw, &mut parsed);
            parsed.items_rejected += usize::from(parsed.rejected_total > before);
            // The parts of correlations count as well, once they are known.
            if parsed.samples.len() + parsed.rejected_total > samples_max {
                return Err(BodyError::new("", format!("an upload holds at most {samples_max} samples")));
            }
        }
    }
    parsed.received.push(("deleted_samples", body.deleted_samples.len()));
    for (index, raw) in body.deleted_samples.iter().enumerate() {
        match deleted(raw) {
            Ok(id) => parsed.deleted.push(id),
            Err(fault) => {
                parsed.items_rejected += 1;
                parsed.reject(fault, "deleted_samples", index, None);
            }
        }
    }
    Ok(parsed)
}

/// A deleted sample is named by its UUID, bare or as `{"uuid": ...}`.
pub(super) fn deleted(raw: &RawValue) -> Result<SampleId, Fault> {
    #[derive(Deserialize)]
    struct Deleted<'a> {
        #[serde(borrow, alias = "identifier", alias = "id")]
        uuid: Text<'a>,
    }
    let fault = || Fault::new("", "invalid_id", "a deleted sample is named by its UUID");
    let text = serde_json::from_str::<Text<'_>>(raw.get())
        .ok()
        .or_else(|| object::<Deleted<'_>>(raw).map(|deleted| deleted.uuid))
        .ok_or_else(fault)?;
    text.as_ref().parse().map_err(|_hidden| fault())
}

impl Context {
    pub(super) fn item(&mut self, list: &'static str, index: usize, raw: &RawValue, parsed: &mut Parsed) {
        let Some(wire) = object::<WireSample<'_>>(raw) else {
            let fault = Fault::new("", "malformed", "not a sample: a field has the wrong type");
            return parsed.reject(fault, list, index, None);
        };
        let id = client_id(&wire);
        if list == "correlation_samples" {
            for part in &wire.objects {
                self.part(list, index, part, parsed);
            }
            if wire.objects.is_empty() {
                let fault = Fault::new("objects", "missing", "a correlation holds its samples in `objects`");
                parsed.reject(fault, list, index, id);
            }
            return;
        }
        match self.sample(&wire, list == "workouts") {
            Ok(sample) => parsed.push(list, index, sample),
            Err(fault) if list == samples::LIST && fault.field == "type" => {
                parsed.reject(Fault { field: "sample_type", ..fault }, list, index, id);
            }
            Err(fault) => parsed.reject(fault, list, index, id),
        }
    }

    fn part(&mut self, list: &'static str, index: usize, raw: &RawValue, parsed: &mut Parsed) {
        let fault = Fault::new("objects", "malformed", "not a sample: a field has the wrong type");
        let outcome = match object::<WireSample<'_>>(raw) {
            Some(wire) => self.sample(&wire, false).map_err(|fault| (fault, client_id(&wire))),
            None => Err((fault, None)),
        };
        match outcome {
            Ok(sample) => parsed.push(list, index, sample),
            Err((fault, id)) => parsed.reject(fault, list, index, id),
        }
    }

    fn sample(&mut self, wire: &WireSample<'_>, is_workout: bool) -> Result<Sample, Fault> {
        let metric = if is_workout { Metric::WORKOUT } else { metric(type_identifier(wire)?)? };
        let own = self.own_zone(wire);
        // A timestamp without an offset is read in the reading's zone, or the upload's.
        let zone = own.clone().or_else(|| self.zone.clone());
        let (interval, offset_seconds) = interval(
            wire.start_date.as_ref().map(AsRef::as_ref),
            wire.end_date.as_ref().map(AsRef::as_ref),
            zone.as_ref(),
        )?;
        let value = value(metric, wire)?;
        let mut sample = Sample {
            id: SampleId(uuid::Uuid::nil()),
            metric,
            interval,
            value,
            clock: self.clock(own, interval.start_ms(), offset_seconds),
            source: self.shared.source(
                wire.source_name.as_ref().map(AsRef::as_ref),
                wire.device,
                wire.source_revision,
            ),
            metadata: metadata(wire.metadata),
        };
        check(&sample, self.now)?;
        sample.id = match client_id(wire) {
            Some(id) => id,
            None => sample.content_key().sample_id(),
        };
        Ok(sample)
    }

    /// The zone that the sample itself names as `HKTimeZone`.
    fn own_zone(&mut self, wire: &WireSample<'_>) -> Option<ZoneName> {
        #[derive(Deserialize)]
        struct Zone<'a> {
            #[serde(borrow, default, rename = "HKTimeZone", alias = "HKMetadataKeyTimeZone")]
            name: Option<Text<'a>>,
        }
        wire.metadata
            .filter(|raw| raw.get().contains("TimeZone"))
            .and_then(|raw| serde_json::from_str::<Zone<'_>>(raw.get()).ok())
            .and_then(|zone| zone.name)
            .and_then(|name| self.shared.zone(name.as_ref()))
    }

    /// The clock of a reading: its own zone; else the upload's where the timestamp agrees with it or says nothing of the
    /// place (`Z`); else the offset alone. An upload tells where the phone is, not where it was last week.
    fn clock(&mut self, own: Option<ZoneName>, start_ms: i64, offset_seconds: i32) -> Arc<LocalClock> {
        let upload = self.zone.clone().filter(|zone| {
            offset_seconds == 0 || zone.rules().to_offset(timestamp(start_ms)).seconds() == offset_seconds
        });
        self.shared.clock(offset_seconds, own.or(upload))
    }
}

fn client_id(wire: &WireSample<'_>) -> Option<SampleId> {
    [&wire.identifier, &wire.uuid].into_iter().flatten().find_map(|text| text.as_ref().parse().ok())
}

fn type_identifier<'a>(wire: &'a WireSample<'_>) -> Result<&'a str, Fault> {
    let is_type = |text: &&'a Text<'_>| named(text.as_ref()).is_some();
    let candidates = [wire.kind.as_ref(), wire.identifier.as_ref()];
    match candidates.into_iter().flatten().find(is_type).or(wire.kind.as_ref()) {
        Some(text) => Ok(text.as_ref()),
        None => Err(Fault::new("type", "missing", "type is missing: HealthKit's type identifier")),
    }
}

fn metadata(raw: Option<&RawValue>) -> Option<Arc<str>> {
    raw.map(RawValue::get).filter(|text| !matches!(*text, "null" | "{}")).map(Into::into)
}

fn value(metric: Metric, wire: &WireSample<'_>) -> Result<Value, Fault> {
    let own = match metric.kind() {
        MetricKind::Category if metric == Metric::WORKOUT => {
            wire.workout_activity_type.or(wire.category_value)
        }
        MetricKind::Category => wire.category_value,
        MetricKind::Quantity => None,
    };
    let raw = own.or(wire.value).ok_or_else(|| Fault::new("value", "missing", "value is missing"))?;
    if metric.kind() == MetricKind::Category && own.is_none() && wire.unit.as_ref().is_some_and(is_of_time) {
        let message = "a length of time is no category: send the category's number";
        return Err(Fault::new("unit", "not_a_category", message));
    }
    let number = number(raw.get());
    match metric.kind() {
        MetricKind::Quantity => {
            let number =
                number.ok_or_else(|| Fault::new("value", "not_a_number", "value is not a number"))?;
            let unit = wire.unit.as_ref().map_or(Cow::Borrowed(metric.unit()), |unit| unit.0.clone());
            unit::to_canonical(metric, number, &unit)
                .map(Value::Quantity)
                .map_err(|error| Fault::new("unit", "unknown_unit", error.to_string()))
        }
        MetricKind::Category => {
            let whole = number.filter(|number| number.fract() == 0.0 && number.abs() <= f64::from(i32::MAX));
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a whole number within i32, as the line above made sure"
            )]
            let category = whole.map(|number| number as i32).or_else(|| named_category(metric, raw));
            category.map(Value::Category).ok_or_else(|| {
                Fault::new(
                    "value",
                    "not_a_category",
                    "value is neither the category's number nor its HealthKit name",
                )
            })
        }
    }
}

fn is_of_time(unit: &Text<'_>) -> bool {
    unit::to_canonical(Metric::APPLE_EXERCISE_TIME, 1.0, unit.as_ref()).is_ok()
}

/// A JSON number, or the number in `{"value": ...}`, `{"quantity": ...}` or `{"doubleValue": ...}`.
fn number(text: &str) -> Option<f64> {
    #[derive(Deserialize)]
    struct Boxed {
        #[serde(alias = "quantity", alias = "doubleValue")]
        value: f64,
    }
    let number = text
        .parse::<f64>()
        .ok()
        .or_else(|| serde_json::from_str::<Boxed>(text).ok().map(|boxed| boxed.value));
    number.filter(|number| number.is_finite())
}

/// Names that wrappers of HealthKit send for sleep stages in place of their numbers.
fn named_category(metric: Metric, raw: &RawValue) -> Option<i32> {
    if metric != Metric::SLEEP_ANALYSIS {
        return None;
    }
    let text: Text<'_> = serde_json::from_str(raw.get()).ok()?;
    match text.as_ref().trim_start_matches("HKCategoryValueSleepAnalysis").to_ascii_lowercase().as_str() {
        "inbed" => Some(0),
        "asleep" | "asleepunspecified" => Some(1),
        "awake" => Some(2),
        "asleepcore" | "core" => Some(3),
        "asleepdeep" | "deep" => Some(4),
        "asleeprem" | "rem" => Some(5),
        _ => None,
    }
}
