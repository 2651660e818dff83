//! NDJSON: one HealthKit sample a line, as in the lists of `POST healthkit`. A broken line costs that line only.

use domain::time::ZoneName;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Fault, Parsed,
    healthkit::{Context, deleted},
    object,
    wire::{Shared, Text},
};

/// The list that lines are of, in the pointers of receipts: `/line/12`.
const LIST: &str = "line";

/// What tells the kinds of lines apart.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default, rename = "type", alias = "sample_type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    objects: Option<&'a RawValue>,
    #[serde(borrow, default)]
    deleted: Option<&'a RawValue>,
}

/// Reads lines one by one. What they share, such as sources, is kept once.
pub struct Lines {
    context: Context,
}

impl Lines {
    /// `zone` is that of samples that name none.
    pub fn new(zone: Option<&str>, now: Timestamp) -> Self {
        let mut shared = Shared::default();
        let zone: Option<ZoneName> = zone.and_then(|name| shared.zone(name));
        Self { context: Context { shared, zone, now } }
    }

    /// Reads line number `number`: a sample, a workout, a correlation with its `objects`, or `{"deleted": UUID}`. An empty
    /// line is nothing.
    pub fn read(&mut self, number: u64, line: &[u8], parsed: &mut Parsed) {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        let raw =
            crate::json::strict(line).ok().and_then(|()| serde_json::from_slice::<&RawValue>(line).ok());
        let Some((raw, kind)) = raw.and_then(|raw| Some((raw, object::<Kind<'_>>(raw)?))) else {
            let fault = Fault::new("", "malformed", "not a JSON object of a sample's shape");
            return parsed.reject(fault, LIST, index, None);
        };
        if let Some(id) = kind.deleted {
            return match deleted(id) {
                Ok(id) => parsed.deleted.push(id),
                Err(fault) => parsed.reject(fault, LIST, index, None),
            };
        }
        let is_workout = kind.kind.is_some_and(|kind| kind.as_ref() == "HKWorkoutTypeIdentifier");
        self.context.any(LIST, index, raw, (is_workout, kind.objects.is_some()), parsed);
    }

    /// Refuses a line that is longer than any sample.
    pub fn too_long(number: u64, parsed: &mut Parsed) {
        let fault = Fault::new("", "too_long", "the line is longer than a sample can be");
        parsed.reject(fault, LIST, usize::try_from(number).unwrap_or(usize::MAX), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Parsed {
        let mut parsed = Parsed::default();
        let mut reader = Lines::new(Some("Europe/Berlin"), "2026-03-02T00:00:00Z".parse().unwrap());
        for (at, line) in lines.iter().enumerate() {
            reader.read(at as u64 + 1, line.as_bytes(), &mut parsed);
        }
        parsed
    }

    const HEART_RATE: &str = r#"{"type":"HKQuantityTypeIdentifierHeartRate","value":61,"unit":"count/min","start_date":"2026-03-01T08:00:00","end_date":"2026-03-01T08:00:00"}"#;

    #[test]
    fn each_line_stands_for_itself() {
        let broken = r#"{"type":"HKQuantityTypeIdentifierHeartRate","value":"#;
        let deleted = r#"{"deleted":"5F0C6F5E-7A0C-4A3D-9D4E-2F6F0C1A7B11"}"#;
        let parsed = read(&[HEART_RATE, broken, "", "[]", "7", deleted, r#"{"deleted":7}"#, HEART_RATE]);
        assert_eq!(parsed.samples.len(), 2);
        assert_eq!(parsed.places.iter().map(|place| place.index).collect::<Vec<_>>(), [1, 8]);
        // Without an offset, by the clock of the zone.
        assert_eq!(parsed.samples[0].interval.start_ms(), 1_772_348_400_000);
        assert_eq!(parsed.deleted.len(), 1);
        let refused: Vec<_> = parsed.rejected.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(refused, ["/line/2", "/line/4", "/line/5", "/line/7"]);
    }

    #[test]
    fn workouts_and_correlations_are_told_by_what_they_hold() {
        let workout = r#"{"type":"HKWorkoutTypeIdentifier","workout_activity_type":37,"start_date":"2026-03-01T08:00:00Z","end_date":"2026-03-01T08:30:00Z"}"#;
        let correlation =
            format!(r#"{{"type":"HKCorrelationTypeIdentifierBloodPressure","objects":[{HEART_RATE}]}}"#);
        let parsed = read(&[workout, &correlation]);
        assert_eq!((parsed.samples.len(), parsed.rejected_total), (2, 0));
        assert_eq!(parsed.samples[0].metric, domain::metric::Metric::WORKOUT);
    }
}
