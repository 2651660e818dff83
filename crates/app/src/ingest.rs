//! From an upload's body to samples and a receipt for each.

mod health_data;
mod healthkit;
mod record;
mod samples;
mod stream;
mod wire;

use domain::{
    ids::SampleId,
    metric::{Metric, MetricKind},
    sample::{Sample, Value},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::{
    health_data::parse as parse_health_data,
    healthkit::parse as parse_healthkit,
    record::{parse as parse_record, records as batch_records},
    stream::{Line, LineLimits, Stream},
};

/// How far ahead of our clock a phone's may be before a reading counts as from the future.
const CLOCK_SKEW_MS: i64 = 24 * 3_600_000;

/// The metrics that the measures of days and nights are computed from.
pub const MEASURED: [Metric; 14] = [
    Metric::STEP_COUNT,
    Metric::ACTIVE_ENERGY_BURNED,
    Metric::BASAL_ENERGY_BURNED,
    Metric::DISTANCE_WALKING_RUNNING,
    Metric::FLIGHTS_CLIMBED,
    Metric::APPLE_EXERCISE_TIME,
    Metric::HEART_RATE,
    Metric::RESTING_HEART_RATE,
    Metric::HEART_RATE_VARIABILITY_SDNN,
    Metric::RESPIRATORY_RATE,
    Metric::OXYGEN_SATURATION,
    Metric::HEART_RATE_RECOVERY_ONE_MINUTE,
    Metric::APPLE_SLEEPING_WRIST_TEMPERATURE,
    Metric::SLEEP_ANALYSIS,
];

/// The longest reading of these: the total of a day that the clock made longer, and some. A day's measures look for
/// readings that began up to two days before it.
const MEASURED_HOURS_MAX: i64 = 36;

/// The longest reading of any other metric: a pregnancy, and some.
const OTHER_HOURS_MAX: i64 = 400 * 24;

/// How much one body holds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Metrics of the original's own form.
    pub metrics_max: usize,
    /// HealthKit samples.
    pub samples_max: usize,
}

/// What a body held.
#[derive(Default)]
pub struct Parsed {
    /// The user that the body names, which must be the caller.
    pub user_id: Option<String>,
    /// What can be kept, in the body's order.
    pub samples: Vec<Sample>,
    /// The item of the body that each sample is of.
    pub places: Vec<Place>,
    /// What was deleted on the phone.
    pub deleted: Vec<SampleId>,
    /// What cannot be kept, and why; at most [`REJECTIONS_MAX`] of them.
    pub rejected: Vec<Rejection>,
    /// How many cannot be kept.
    pub rejected_total: usize,
    /// How many items each list of the body had, by the list's name.
    pub received: Vec<(&'static str, usize)>,
    /// Items of which at least a part was rejected.
    pub items_rejected: usize,
}

/// An item of a body: the name of its list and its index there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    /// The list; empty: the body is itself the item.
    pub list: &'static str,
    /// The index.
    pub index: usize,
}

impl Place {
    /// The item's JSON Pointer.
    pub fn pointer(self) -> String {
        if self.list == WHOLE { String::new() } else { format!("/{}/{}", self.list, self.index) }
    }
}

/// The list of a body that is itself the item.
const WHOLE: &str = "";

/// The most rejections that a receipt lists one by one.
pub const REJECTIONS_MAX: usize = 1000;

impl Parsed {
    fn reject(&mut self, fault: Fault, list: &'static str, index: usize, id: Option<SampleId>) {
        self.rejected_total += 1;
        if self.rejected.len() < REJECTIONS_MAX {
            self.rejected.push(fault.at(list, index, id));
        }
    }

    fn push(&mut self, list: &'static str, index: usize, sample: Sample) {
        self.samples.push(sample);
        self.places.push(Place { list, index });
    }
}

/// Why one item of a body was not kept. Names the place, never the value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rejection {
    /// JSON Pointer (RFC 6901) into the body.
    pub pointer: String,
    /// The client's id of the item, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SampleId>,
    /// A stable word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// Why a whole body was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct BodyError {
    /// JSON Pointer to the fault; empty for the whole body.
    pub pointer: String,
    /// What is wrong, without what was sent.
    pub message: String,
}

impl BodyError {
    pub(crate) fn new(pointer: &str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.to_owned(), message: message.into() }
    }

    /// serde's words name fields and types of our own and the place; what was sent is cut off them.
    pub(crate) fn json(error: &serde_json::Error) -> Self {
        let what = match error.classify() {
            serde_json::error::Category::Syntax => "the body is not JSON",
            serde_json::error::Category::Eof => "the body ends too early",
            serde_json::error::Category::Data | serde_json::error::Category::Io => {
                "the body does not have the expected shape"
            }
        };
        Self::new("", format!("{what} (line {}, column {})", error.line(), error.column()))
    }
}

// Errors of parsers are hidden throughout: their texts quote what was sent.

/// A fault of one item: the field below it, a code and a sentence.
struct Fault {
    field: &'static str,
    code: &'static str,
    message: String,
}

impl Fault {
    fn new(field: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self { field, code, message: message.into() }
    }

    fn at(self, list: &'static str, index: usize, id: Option<SampleId>) -> Rejection {
        let pointer = format!("{}{}", Place { list, index }.pointer(), self.pointer());
        Rejection { pointer, id, code: self.code.to_owned(), message: self.message }
    }

    /// The fault of a body that is itself the item.
    fn of_body(self) -> BodyError {
        BodyError { pointer: self.pointer(), message: self.message }
    }

    fn pointer(&self) -> String {
        if self.field.is_empty() { String::new() } else { format!("/{}", self.field) }
    }
}

/// Checks what every reading must hold: it is finite and plausible for its metric, and not from the future.
fn check(sample: &Sample, now: Timestamp) -> Result<(), Fault> {
    let plausible = sample.metric.plausible_range();
    let value = match (sample.metric.kind(), sample.value) {
        (MetricKind::Quantity, Value::Quantity(value)) => value,
        (MetricKind::Category, Value::Category(value)) => f64::from(value),
        (MetricKind::Quantity, Value::Category(_)) | (MetricKind::Category, Value::Quantity(_)) => {
            return Err(Fault::new(
                "value",
                "wrong_kind",
                format!("{} is not of this list's kind", sample.metric.identifier()),
            ));
        }
    };
    if !plausible.contains(&value) {
        let (low, high) = (plausible.start(), plausible.end());
        let unit = sample.metric.unit();
        return Err(Fault::new(
            "value",
            "out_of_range",
            format!("the plausible range is {low} to {high} {unit}"),
        ));
    }
    let latest_ms = now.as_millisecond() + CLOCK_SKEW_MS;
    if sample.interval.start_ms() > latest_ms {
        return Err(Fault::new("start_date", "in_the_future", "the reading begins in the future"));
    }
    if sample.interval.end_ms() > latest_ms {
        return Err(Fault::new("end_date", "in_the_future", "the reading ends in the future"));
    }
    let is_measured = MEASURED.contains(&sample.metric);
    let hours_max = if is_measured { MEASURED_HOURS_MAX } else { OTHER_HOURS_MAX };
    if sample.interval.duration_ms() > hours_max * 3_600_000 {
        return Err(Fault::new(
            "end_date",
            "too_long",
            format!("the reading lasts longer than {hours_max} hours"),
        ));
    }
    if sample.interval.start_ms() < 0 {
        return Err(Fault::new("start_date", "too_early", "the reading begins before 1970"));
    }
    Ok(())
}

/// Why a reading of a file is not kept, if it is not.
pub(crate) fn implausible(sample: &Sample, now: Timestamp, place: Place) -> Option<Rejection> {
    check(sample, now).err().map(|fault| fault.at(place.list, place.index, None))
}

/// Reads a body that is an object. serde would take an array as well, by the order in which our fields happen to stand.
fn body<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BodyError> {
    if is_array(bytes) {
        return Err(BodyError::new("", "the body is an array where an object is expected"));
    }
    crate::json::strict(bytes)?;
    serde_json::from_slice(bytes).map_err(|error| BodyError::json(&error))
}

/// Reads an item that is an object of the expected shape.
fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    if is_array(raw.get().as_bytes()) {
        return None;
    }
    serde_json::from_str(raw.get()).ok()
}

fn is_array(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'[')
}

/// The metric of a HealthKit type identifier, or the fault that names it as unknown.
fn metric(identifier: &str) -> Result<Metric, Fault> {
    named(identifier)
        .ok_or_else(|| Fault::new("type", "unknown_type", "not a HealthKit type that Clarity keeps"))
}

/// The metric that apps call so: by HealthKit's identifier (`HKQuantityTypeIdentifierStepCount`), by that without its
/// beginning (`stepCount`), by our short name (`step_count`), or by two words of the shipped apps' own.
fn named(name: &str) -> Option<Metric> {
    let short = || {
        let mut letters = name.chars();
        let first = letters.next().filter(char::is_ascii_lowercase)?.to_ascii_uppercase();
        let rest = letters.as_str();
        let identifier = |kind: &str| format!("HK{kind}TypeIdentifier{first}{rest}");
        ["Quantity", "Category"].iter().find_map(|kind| Metric::from_identifier(&identifier(kind)))
    };
    let own = || match name {
        "steps" => Some(Metric::STEP_COUNT),
        "weight" => Some(Metric::BODY_MASS),
        _ => None,
    };
    Metric::from_identifier(name).or_else(|| Metric::from_name(name)).or_else(short).or_else(own)
}
