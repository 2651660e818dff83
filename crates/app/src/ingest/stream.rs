//! `POST healthkit/stream`: one record a line (NDJSON), taken in as the bytes arrive.
//!
//! A line is a sample as the lists of `POST healthkit` hold them: a quantity, a category, a workout (`workout_activity_type`, or
//! HealthKit's workout type) or a correlation (`objects`); or `{"deleted": UUID}`; or `{"upload_metadata": {...}}`, whose time
//! zone is that of the lines after it. A broken line costs that line only.

use domain::{ids::SampleId, sample::Sample, time::ZoneName};
use jiff::Timestamp;
use memchr::memchr;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    BodyError, Fault, Parsed, Place, Rejection, WHOLE,
    healthkit::{Context, UploadMetadata, deleted},
    object,
    wire::{Shared, Text},
};

/// How much one line holds.
#[derive(Clone, Copy, Debug)]
pub struct LineLimits {
    /// Its bytes.
    pub bytes_max: usize,
    /// The samples of a correlation.
    pub samples_max: usize,
}

/// What one line held.
#[derive(Default, Debug)]
pub struct Line {
    /// Its number, from 1; blank lines count, but are not told of.
    pub number: u64,
    /// What can be kept.
    pub samples: Vec<Sample>,
    /// What was deleted on the phone.
    pub deleted: Option<SampleId>,
    /// What cannot be kept, and why. Pointers are within the line.
    pub rejected: Vec<Rejection>,
}

/// Takes in the bytes of a stream. Holds at most one line of them.
pub struct Stream {
    context: Context,
    limits: LineLimits,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// Whether that line was longer than a line may be, so that the rest of it is passed over.
    is_too_long: bool,
    number: u64,
}

impl Stream {
    /// A stream that begins.
    pub fn new(limits: LineLimits, now: Timestamp) -> Self {
        let context = Context { shared: Shared::default(), zone: None, now };
        Self { context, limits, begun: Vec::new(), is_too_long: false, number: 0 }
    }

    /// The zone of samples that name none, until a line says otherwise. One that is none is not used.
    pub fn set_zone(&mut self, name: &str) {
        self.context.zone = self.context.shared.zone(name);
    }

    /// Takes in bytes as they came, and hands on each line that they complete.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line)) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (last, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            let begun = std::mem::take(&mut self.begun);
            // Nothing is copied of a line that came whole.
            let line = if begun.is_empty() { self.line(last) } else { self.joined(begun, last) };
            self.is_too_long = false;
            line.into_iter().for_each(&mut each);
        }
        self.is_too_long |= self.begun.len() + bytes.len() > self.limits.bytes_max;
        if self.is_too_long {
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    /// The stream has ended: its last line need not end with a line feed.
    pub fn finish(mut self) -> Option<Line> {
        let begun = std::mem::take(&mut self.begun);
        self.line(&begun)
    }

    fn joined(&mut self, mut begun: Vec<u8>, last: &[u8]) -> Option<Line> {
        self.is_too_long |= begun.len() + last.len() > self.limits.bytes_max;
        if !self.is_too_long {
            begun.extend_from_slice(last);
        }
        let line = self.line(&begun);
        // Its memory serves the next line.
        begun.clear();
        self.begun = begun;
        line
    }

    /// Reads a whole line; `None` where it is blank.
    fn line(&mut self, bytes: &[u8]) -> Option<Line> {
        self.number += 1;
        if self.is_too_long || bytes.len() > self.limits.bytes_max {
            let message = format!("the line has more than {} bytes", self.limits.bytes_max);
            return Some(self.broken(Fault::new("", "too_long", message)));
        }
        if bytes.trim_ascii().is_empty() {
            return None;
        }
        Some(match crate::json::strict(bytes).and_then(|()| raw(bytes)) {
            Ok(raw) => self.record(raw),
            Err(BodyError { pointer, message }) => {
                let rejection = Rejection { pointer, id: None, code: "malformed".to_owned(), message };
                Line { number: self.number, rejected: vec![rejection], ..Line::default() }
            }
        })
    }

    fn broken(&self, fault: Fault) -> Line {
        Line { number: self.number, rejected: vec![fault.at(WHOLE, 0, None)], ..Line::default() }
    }

    fn record(&mut self, raw: &RawValue) -> Line {
        #[derive(Deserialize)]
        struct Form<'a> {
            #[serde(borrow, default)]
            deleted: Option<&'a RawValue>,
            #[serde(default)]
            upload_metadata: Option<UploadMetadata>,
            #[serde(borrow, default)]
            objects: Option<Vec<&'a RawValue>>,
            #[serde(borrow, default, alias = "activity_type", alias = "workoutActivityType")]
            workout_activity_type: Option<&'a RawValue>,
            #[serde(borrow, default, rename = "type")]
            kind: Option<Text<'a>>,
        }
        let Some(form) = object::<Form<'_>>(raw) else {
            return self.broken(Fault::new("", "malformed", "not a sample: a field has the wrong type"));
        };
        if let Some(id) = form.deleted {
            return match deleted(id) {
                Ok(id) => Line { number: self.number, deleted: Some(id), ..Line::default() },
                Err(fault) => self.broken(Fault { field: "deleted", ..fault }),
            };
        }
        if let Some(metadata) = form.upload_metadata {
            self.context.zone = self.zone(metadata);
            return Line { number: self.number, ..Line::default() };
        }
        let parts = form.objects.map_or(0, |objects| objects.len());
        if parts > self.limits.samples_max {
            let message = format!("a correlation holds at most {} samples", self.limits.samples_max);
            return self.broken(Fault::new("objects", "too_many", message));
        }
        let is_workout = form.workout_activity_type.is_some()
            || form.kind.is_some_and(|kind| kind.as_ref() == "HKWorkoutTypeIdentifier");
        let list = match (parts > 0, is_workout) {
            (true, _) => "correlation_samples",
            (false, true) => "workouts",
            (false, false) => WHOLE,
        };
        let mut parsed = Parsed::default();
        self.context.item(list, 0, raw, &mut parsed);
        let place = Place { list, index: 0 }.pointer();
        for rejection in &mut parsed.rejected {
            rejection.pointer.drain(..place.len());
        }
        Line { number: self.number, samples: parsed.samples, deleted: None, rejected: parsed.rejected }
    }

    fn zone(&mut self, metadata: UploadMetadata) -> Option<ZoneName> {
        metadata.time_zone.and_then(|name| self.context.shared.zone(&name))
    }
}

fn raw(bytes: &[u8]) -> Result<&RawValue, BodyError> {
    serde_json::from_slice(bytes).map_err(|error| BodyError::json(&error))
}

#[cfg(test)]
mod tests;
