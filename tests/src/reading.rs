//! Readings as a phone sends them.

use jiff::{Timestamp, tz::Offset};
use serde_json::{Value, json};
use uuid::Uuid;

/// HealthKit's identifiers and units of some metrics. The last is a category.
pub const METRICS: [(&str, Option<&str>); 5] = [
    ("HKQuantityTypeIdentifierHeartRate", Some("count/min")),
    ("HKQuantityTypeIdentifierStepCount", Some("count")),
    ("HKQuantityTypeIdentifierActiveEnergyBurned", Some("kcal")),
    ("HKQuantityTypeIdentifierHeartRateVariabilitySDNN", Some("ms")),
    ("HKCategoryTypeIdentifierSleepAnalysis", None),
];

/// One reading, in the metric's own unit.
#[derive(Clone, PartialEq, Debug)]
pub struct Reading {
    pub id: Uuid,
    /// The place of its metric in [`METRICS`].
    pub metric: usize,
    pub start_ms: i64,
    pub end_ms: i64,
    pub value: f64,
}

impl Reading {
    /// A heart rate at an instant.
    pub fn heart_rate(id: Uuid, at_ms: i64, value: f64) -> Self {
        Self { id, metric: 0, start_ms: at_ms, end_ms: at_ms, value }
    }

    fn json(&self) -> Value {
        let (identifier, unit) = METRICS[self.metric];
        let date = |ms: i64| Timestamp::from_millisecond(ms).map_or(Value::Null, |at| local(at).into());
        let mut sample = json!({
            "identifier": self.id,
            "type": identifier,
            "value": self.value,
            "start_date": date(self.start_ms),
            "end_date": date(self.end_ms),
            "source_name": "Test Watch",
            "device": { "productType": "Watch6,2" },
        });
        if let Some(unit) = unit {
            sample["unit"] = unit.into();
        }
        sample
    }
}

/// So many heart rates of about 60 to 100 a minute, the first at `begin_ms`, `step_ms` between them.
pub fn heart_rates(begin_ms: i64, step_ms: i64, count: u32) -> Vec<Reading> {
    let reading =
        |n: u32| Reading::heart_rate(new_id(), begin_ms + i64::from(n) * step_ms, 60.0 + f64::from(n % 40));
    (0..count).map(reading).collect()
}

/// A new id, as a phone makes it.
#[expect(clippy::disallowed_methods, reason = "this is a phone, which has no port to ask")]
pub(crate) fn new_id() -> Uuid {
    Uuid::new_v4()
}

/// The instant by the clock of a winter in Berlin.
fn local(at: Timestamp) -> String {
    at.display_with_offset(Offset::constant(1)).to_string()
}

/// The body that uploads `readings` to `healthkit`.
pub fn healthkit(readings: &[Reading]) -> Value {
    let is_category = |reading: &&Reading| METRICS[reading.metric].1.is_none();
    let (categories, quantities): (Vec<_>, Vec<_>) = readings.iter().partition(is_category);
    let list = |readings: Vec<&Reading>| readings.into_iter().map(Reading::json).collect::<Vec<_>>();
    json!({
        "quantity_samples": list(quantities),
        "category_samples": list(categories),
        "upload_metadata": { "time_zone": "Europe/Berlin" },
    })
}
