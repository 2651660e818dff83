//! `POST health-data`: the original's own metrics, each of which holds one or more readings.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    ids::SampleId,
    metric::{Metric, MetricKind},
    sample::{Sample, Source, Value},
    time::{Interval, LocalClock},
    unit,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    BodyError, Fault, Limits, Parsed, Place, WHOLE, check, object, samples,
    wire::{Instant, Shared, Text, instant, interval},
};

/// Either of the two forms: the original's has `metrics`, that of the shipped iOS apps has `samples`.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    user_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    metrics: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    upload_source: Option<Text<'a>>,
    #[serde(borrow, default)]
    client_timestamp: Option<Text<'a>>,
    #[serde(borrow, default)]
    samples: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    device_info: Option<&'a RawValue>,
}

type Fields<'a> = BTreeMap<Text<'a>, &'a RawValue>;

#[derive(Deserialize)]
struct WireMetric<'a> {
    #[serde(borrow, default)]
    metric_id: Option<Text<'a>>,
    #[serde(borrow)]
    metric_type: Text<'a>,
    #[serde(borrow, default)]
    biometric_data: Option<Fields<'a>>,
    #[serde(borrow, default)]
    sleep_data: Option<Fields<'a>>,
    #[serde(borrow, default)]
    activity_data: Option<Fields<'a>>,
    #[serde(borrow, default)]
    mental_health_data: Option<Fields<'a>>,
    #[serde(borrow, default)]
    device_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    created_at: Option<Text<'a>>,
}

/// Field of a metric's data, HealthKit identifier (or Clarity's own where HealthKit has none), unit of the original's API.
type FieldTable = &'static [(&'static str, &'static str, &'static str)];

const BIOMETRIC: FieldTable = &[
    ("heart_rate", "HKQuantityTypeIdentifierHeartRate", "count/min"),
    ("blood_pressure_systolic", "HKQuantityTypeIdentifierBloodPressureSystolic", "mmHg"),
    ("blood_pressure_diastolic", "HKQuantityTypeIdentifierBloodPressureDiastolic", "mmHg"),
    ("oxygen_saturation", "HKQuantityTypeIdentifierOxygenSaturation", "%"),
    ("heart_rate_variability", "HKQuantityTypeIdentifierHeartRateVariabilitySDNN", "ms"),
    ("respiratory_rate", "HKQuantityTypeIdentifierRespiratoryRate", "count/min"),
    ("body_temperature", "HKQuantityTypeIdentifierBodyTemperature", "degC"),
    ("blood_glucose", "HKQuantityTypeIdentifierBloodGlucose", "mg/dL"),
];
const ACTIVITY: FieldTable = &[
    ("steps", "HKQuantityTypeIdentifierStepCount", "count"),
    ("distance", "HKQuantityTypeIdentifierDistanceWalkingRunning", "km"),
    ("active_energy", "HKQuantityTypeIdentifierActiveEnergyBurned", "kcal"),
    ("exercise_minutes", "HKQuantityTypeIdentifierAppleExerciseTime", "min"),
    ("flights_climbed", "HKQuantityTypeIdentifierFlightsClimbed", "count"),
    ("vo2_max", "HKQuantityTypeIdentifierVO2Max", "mL/kg*min"),
    ("active_minutes", "ClarityQuantityTypeIdentifierActiveTime", "min"),
    ("resting_heart_rate", "HKQuantityTypeIdentifierRestingHeartRate", "count/min"),
];
const MENTAL: FieldTable = &[
    ("mood_score", "ClarityQuantityTypeIdentifierMoodScore", "{score}"),
    ("stress_level", "ClarityQuantityTypeIdentifierStressLevel", "{score}"),
    ("anxiety_level", "ClarityQuantityTypeIdentifierAnxietyLevel", "{score}"),
    ("energy_level", "ClarityQuantityTypeIdentifierEnergyLevel", "{score}"),
    ("focus_rating", "ClarityQuantityTypeIdentifierFocusRating", "{score}"),
    ("social_interaction_minutes", "ClarityQuantityTypeIdentifierSocialInteractionTime", "min"),
    ("meditation_minutes", "HKCategoryTypeIdentifierMindfulSession", "min"),
];
/// Sleep as totals. They are kept as what they are, reported totals of a period: minutes of a stage do not say when it was,
/// nor does a period of sleep say when somebody was in bed.
const SLEEP: FieldTable = &[
    ("total_sleep_minutes", "ClarityQuantityTypeIdentifierReportedSleepDuration", "min"),
    ("sleep_efficiency", "ClarityQuantityTypeIdentifierReportedSleepEfficiency", "1"),
    ("time_to_sleep_minutes", "ClarityQuantityTypeIdentifierReportedSleepLatency", "min"),
    ("wake_count", "ClarityQuantityTypeIdentifierReportedAwakenings", "count"),
];
const SLEEP_STAGES: FieldTable = &[
    ("awake", "ClarityQuantityTypeIdentifierReportedAwakeTime", "min"),
    ("light", "ClarityQuantityTypeIdentifierReportedLightSleep", "min"),
    ("deep", "ClarityQuantityTypeIdentifierReportedDeepSleep", "min"),
    ("rem", "ClarityQuantityTypeIdentifierReportedRemSleep", "min"),
];

/// Reads an upload of metrics or of samples.
pub fn parse(body: &[u8], limits: Limits, now: Timestamp) -> Result<Parsed, BodyError> {
    let mut body: Body<'_> = super::body(body)?;
    let user_id = body.user_id.take().ok_or_else(|| missing("/user_id"))?;
    let parsed = match (body.metrics.take(), body.samples.take()) {
        (Some(list), None) => metrics(&body, &list, limits.metrics_max, now)?,
        (None, Some(list)) => samples::parse(&list, body.device_info, limits.samples_max, now)?,
        (None, None) => return Err(missing("/metrics")),
        (Some(_), Some(_)) => {
            return Err(BodyError::new("/samples", "an upload has either metrics or samples"));
        }
    };
    Ok(Parsed { user_id: Some(user_id.0.into_owned()), ..parsed })
}

fn missing(pointer: &str) -> BodyError {
    BodyError::new(pointer, "is missing")
}

/// Reads a metric that stands alone. Nothing around it tells when it was made, so it must do so itself.
pub(super) fn parse_metric(body: &[u8], now: Timestamp) -> Result<Parsed, BodyError> {
    let raw: &RawValue = serde_json::from_slice(body).map_err(|error| BodyError::json(&error))?;
    let mut context = Context { shared: Shared::default(), source: None, uploaded: None, now };
    let mut parsed = Parsed { received: vec![("metrics", 1)], ..Parsed::default() };
    context.metric(Place { list: WHOLE, index: 0 }, raw, &mut parsed);
    parsed.items_rejected = usize::from(parsed.rejected_total > 0);
    Ok(parsed)
}

/// Reads a `HealthDataUpload` of at most `metrics_max` metrics.
fn metrics(
    body: &Body<'_>,
    metrics: &[&RawValue],
    metrics_max: usize,
    now: Timestamp,
) -> Result<Parsed, BodyError> {
    let source = body.upload_source.as_ref().ok_or_else(|| missing("/upload_source"))?;
    let client_timestamp = body.client_timestamp.as_ref().ok_or_else(|| missing("/client_timestamp"))?;
    let count = metrics.len();
    if count > metrics_max {
        return Err(BodyError::new(
            "/metrics",
            format!("{count} metrics; an upload holds at most {metrics_max}"),
        ));
    }
    if count == 0 {
        return Err(BodyError::new("/metrics", "an upload holds at least one metric"));
    }
    let uploaded = instant("client_timestamp", client_timestamp.as_ref(), None)
        .map_err(|fault| BodyError::new("/client_timestamp", fault.message))?;
    let source = Some(source.0.to_string());
    let mut context = Context { shared: Shared::default(), source, uploaded: Some(uploaded), now };
    let mut parsed = Parsed { received: vec![("metrics", count)], ..Parsed::default() };
    for (index, raw) in metrics.iter().enumerate() {
        let before = parsed.rejected_total;
        context.metric(Place { list: "metrics", index }, raw, &mut parsed);
        parsed.items_rejected += usize::from(parsed.rejected_total > before);
    }
    Ok(parsed)
}

struct Context {
    shared: Shared,
    /// What the upload says it is from.
    source: Option<String>,
    /// When a metric was made that does not say so itself.
    uploaded: Option<Instant>,
    now: Timestamp,
}

/// What the readings of one metric share.
struct Common {
    metric_id: Option<Uuid>,
    interval: Interval,
    clock: Arc<LocalClock>,
    source: Arc<Source>,
}

impl Context {
    fn metric(&mut self, place: Place, raw: &RawValue, parsed: &mut Parsed) {
        let Place { list, index } = place;
        let Some(wire) = object::<WireMetric<'_>>(raw) else {
            let fault = Fault::new("", "malformed", "not a metric: a field is missing or has the wrong type");
            return parsed.reject(fault, list, index, None);
        };
        let metric_id = wire.metric_id.as_ref().and_then(|text| text.as_ref().parse::<Uuid>().ok());
        let id = metric_id.map(SampleId);
        match self.readings(&wire, metric_id) {
            Ok(samples) if samples.is_empty() => {
                let fault = Fault::new("", "empty", "the metric holds no reading that Clarity keeps");
                parsed.reject(fault, list, index, id);
            }
            Ok(samples) => samples.into_iter().for_each(|sample| parsed.push(list, index, sample)),
            Err(fault) => parsed.reject(fault, list, index, id),
        }
    }

    /// All readings of a metric, or the first fault: a metric is taken whole or not at all.
    fn readings(&mut self, wire: &WireMetric<'_>, metric_id: Option<Uuid>) -> Result<Vec<Sample>, Fault> {
        if !METRIC_TYPES.contains(&wire.metric_type.as_ref()) {
            return Err(Fault::new("metric_type", "unknown_type", "not a metric type of this API"));
        }
        let at = match &wire.created_at {
            Some(text) => instant("created_at", text.as_ref(), None)?,
            None => self
                .uploaded
                .ok_or_else(|| Fault::new("created_at", "missing", "created_at says when it was measured"))?,
        };
        let point = Interval::new(at.ms, at.ms)
            .map_err(|_hidden| Fault::new("created_at", "invalid_timestamp", "invalid"))?;
        let device = wire.device_id.as_ref().map(AsRef::as_ref);
        let source =
            Source { name: self.source.clone(), bundle: None, product_type: device.map(str::to_owned) };
        let common = Common {
            metric_id,
            interval: point,
            clock: self.shared.clock(at.offset_seconds, None),
            source: Arc::new(source),
        };
        let mut samples = Vec::new();
        if let Some(fields) = &wire.biometric_data {
            self.fields(("biometric_data", fields), BIOMETRIC, &common, &mut samples)?;
        }
        if let Some(fields) = &wire.activity_data {
            self.fields(("activity_data", fields), ACTIVITY, &common, &mut samples)?;
        }
        if let Some(fields) = &wire.mental_health_data {
            self.mental(fields, &common, &mut samples)?;
        }
        if let Some(fields) = &wire.sleep_data {
            self.sleep(fields, &common, &mut samples)?;
        }
        Ok(samples)
    }

    /// An assessment was made at its own `timestamp`, if it has one.
    fn mental(
        &mut self,
        fields: &Fields<'_>,
        common: &Common,
        samples: &mut Vec<Sample>,
    ) -> Result<(), Fault> {
        let text = fields.get("timestamp").and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let Some(text) = text else {
            return self.fields(("mental_health_data", fields), MENTAL, common, samples);
        };
        let at = instant("mental_health_data", &text, None)?;
        let assessed = Common {
            metric_id: common.metric_id,
            interval: Interval::new(at.ms, at.ms).unwrap_or(common.interval),
            clock: self.shared.clock(at.offset_seconds, None),
            source: Arc::clone(&common.source),
        };
        self.fields(("mental_health_data", fields), MENTAL, &assessed, samples)
    }

    fn sleep(
        &mut self,
        fields: &Fields<'_>,
        common: &Common,
        samples: &mut Vec<Sample>,
    ) -> Result<(), Fault> {
        let text =
            |name: &str| fields.get(name).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let (start, end) = (text("sleep_start"), text("sleep_end"));
        if start.is_none() || end.is_none() {
            return Err(Fault::new("sleep_data", "missing", "sleep_start and sleep_end are timestamps"));
        }
        let (interval, offset_seconds) = interval(start.as_deref(), end.as_deref(), None)?;
        let night = Common {
            metric_id: common.metric_id,
            interval,
            clock: self.shared.clock(offset_seconds, None),
            source: Arc::clone(&common.source),
        };
        self.fields(("sleep_data", fields), SLEEP, &night, samples)?;
        if let Some(raw) = fields.get("sleep_stages").filter(|raw| raw.get() != "null") {
            let stages: Fields<'_> = serde_json::from_str(raw.get()).map_err(|_hidden| {
                Fault::new("sleep_data", "malformed", "sleep_stages maps a stage to its minutes")
            })?;
            self.fields(("sleep_data", &stages), SLEEP_STAGES, &night, samples)?;
        }
        Ok(())
    }

    fn fields(
        &self,
        (name, fields): (&'static str, &Fields<'_>),
        table: FieldTable,
        common: &Common,
        samples: &mut Vec<Sample>,
    ) -> Result<(), Fault> {
        for (field, identifier, unit) in table {
            let Some(raw) = fields.get(*field).filter(|raw| raw.get() != "null") else { continue };
            let number = number(field, raw.get())
                .ok_or_else(|| Fault::new(name, "not_a_number", format!("{field} is not a number")))?;
            let metric = super::metric(identifier)?;
            let sample = match metric.kind() {
                MetricKind::Quantity => {
                    let value = unit::to_canonical(metric, number, unit)
                        .map_err(|error| Fault::new(name, "unknown_unit", error.to_string()))?;
                    common.sample(metric, value)
                }
                // A mindful session lasts as long as it is said to have; it ended when the metric was made.
                MetricKind::Category => {
                    if !(0.0..=480.0).contains(&number) {
                        return Err(Fault::new(name, "out_of_range", format!("{field} is 0 to 480")));
                    }
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "minutes of a day, as the line above made sure"
                    )]
                    let length_ms = (number * 60_000.0) as i64;
                    let end_ms = common.interval.end_ms();
                    let interval = Interval::new(end_ms - length_ms, end_ms).unwrap_or(common.interval);
                    Sample { interval, value: Value::Category(0), ..common.sample(metric, 0.0) }
                }
            };
            check(&sample, self.now).map_err(|fault| Fault { field: name, ..fault })?;
            samples.push(common.identified(field, sample));
        }
        Ok(())
    }
}

impl Common {
    fn sample(&self, metric: Metric, value: f64) -> Sample {
        Sample {
            id: SampleId(Uuid::nil()),
            metric,
            interval: self.interval,
            value: Value::Quantity(value),
            clock: Arc::clone(&self.clock),
            source: Arc::clone(&self.source),
            metadata: None,
        }
    }

    /// The id of one reading of a metric: derived from the metric's own id and the field, else from the content.
    fn identified(&self, field: &str, mut sample: Sample) -> Sample {
        sample.id = match self.metric_id {
            Some(id) => SampleId(Uuid::new_v5(&id, field.as_bytes())),
            None => sample.content_key().sample_id(),
        };
        sample
    }
}

const METRIC_TYPES: [&str; 13] = [
    "heart_rate",
    "heart_rate_variability",
    "blood_pressure",
    "blood_oxygen",
    "respiratory_rate",
    "sleep_analysis",
    "activity_level",
    "stress_indicators",
    "mood_assessment",
    "cognitive_metrics",
    "environmental",
    "body_temperature",
    "blood_glucose",
];

fn number(field: &str, text: &str) -> Option<f64> {
    if field == "mood_score" {
        let word: String = serde_json::from_str(text).ok()?;
        let scale = ["very_low", "low", "neutral", "good", "excellent"];
        return scale.iter().position(|name| *name == word).map(|at| at as f64 + 1.0);
    }
    serde_json::from_str::<f64>(text).ok().filter(|number| number.is_finite())
}
