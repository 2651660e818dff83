//! A record or a workout that is open, with what is within it.

use std::{ops::Range, sync::Arc};

use domain::{
    ids::SampleId,
    metric::Metric,
    sample::{Sample, Source, Value},
    time::{Interval, ZoneName},
};
use serde::Serialize;
use uuid::Uuid;

use super::{super::element::Element, Fault};
use crate::{
    error::Reason,
    item::{Batch, Beat, Beats, Place},
    limits,
    shared::Shared,
    tag::Attributes,
    values,
};

/// What the attributes said.
#[derive(Default)]
pub(super) enum Outcome {
    Draft(Draft),
    Fault(Fault),
    /// Of a type that is not kept.
    Unsupported(String),
    #[default]
    Nothing,
}

pub(super) struct Draft {
    pub(super) metric: Metric,
    pub(super) interval: Interval,
    pub(super) offset_seconds: i32,
    pub(super) value: Value,
    pub(super) source: Arc<Source>,
}

#[derive(Default)]
pub(super) struct Pending {
    pub(super) line: u64,
    pub(super) outcome: Outcome,
    is_member: bool,
    /// Metadata as the members of a JSON object.
    json: Vec<u8>,
    /// Where the names of those members are in it.
    names: Vec<Range<usize>>,
    /// What is within a workout, as the items of a JSON array.
    parts: Vec<u8>,
    zone: Option<ZoneName>,
    /// Time of day and rate.
    beats: Vec<(i64, f64)>,
    has_lost_beats: bool,
}

/// The member of a workout's metadata that lists what is within it: events, statistics, activities, routes.
const PARTS: &str = "WorkoutParts";

const DAY_MS: i64 = 86_400_000;

impl Pending {
    #[inline]
    pub(super) fn begin(&mut self, line: u64, is_member: bool) {
        self.line = line;
        self.is_member = is_member;
        self.outcome = Outcome::Nothing;
        self.json.clear();
        self.names.clear();
        self.parts.clear();
        self.zone = None;
        self.beats.clear();
        self.has_lost_beats = false;
    }

    /// A `MetadataEntry`.
    pub(super) fn entry(&mut self, attributes: &str, shared: &mut Shared) -> Result<Element, Reason> {
        let (mut key, mut value) = (None, None);
        Attributes::new(attributes).each(|name, text| {
            match name {
                "key" => key = Some(text),
                "value" => value = Some(text),
                _ => {}
            }
            Ok(())
        })?;
        if let (Some(key), Some(value)) = (key, value) {
            if matches!(&*key, "HKTimeZone" | "HKMetadataKeyTimeZone") {
                self.zone = shared.zone(&value);
            }
            self.write(&key, &value)?;
        }
        Ok(Element::Other)
    }

    /// Writes a member of the metadata; of two with one name the first counts.
    pub(super) fn write(&mut self, name: &str, value: &str) -> Result<(), Reason> {
        let before = self.json.len();
        if !self.names.is_empty() {
            self.json.push(b',');
        }
        let begin = self.json.len();
        json(&mut self.json, name)?;
        let written = begin..self.json.len();
        if self.names.iter().any(|other| self.json[other.clone()] == self.json[written.clone()]) {
            self.json.truncate(before);
            return Ok(());
        }
        self.json.push(b':');
        json(&mut self.json, value)?;
        self.names.push(written);
        self.within_limits()
    }

    /// Anything else within a workout.
    pub(super) fn part(&mut self, element: &str, attributes: &str) -> Result<Element, Reason> {
        if !self.parts.is_empty() {
            self.parts.push(b',');
        }
        self.parts.extend_from_slice(b"{\"element\":");
        json(&mut self.parts, element)?;
        Attributes::new(attributes).each(|name, value| {
            if name != "element" {
                self.parts.push(b',');
                json(&mut self.parts, name)?;
                self.parts.push(b':');
                json(&mut self.parts, &value)?;
            }
            Ok(())
        })?;
        self.parts.push(b'}');
        self.within_limits()?;
        Ok(Element::WorkoutPart)
    }

    fn within_limits(&self) -> Result<(), Reason> {
        let is_within = self.json.len() + self.parts.len() <= limits::METADATA_BYTES_MAX;
        if is_within { Ok(()) } else { Err(limits::too_much_within()) }
    }

    /// An `InstantaneousBeatsPerMinute`.
    pub(super) fn beat(&mut self, attributes: &str) -> Result<Element, Reason> {
        let (mut rate, mut time) = (None, None);
        Attributes::new(attributes).each(|name, text| {
            match name {
                "bpm" => rate = values::number(&text),
                "time" => time = values::time_of_day_ms(&text),
                _ => {}
            }
            Ok(())
        })?;
        if self.beats.len() == limits::BEATS_MAX {
            return Err(limits::too_many_beats());
        }
        match (time, rate.filter(|rate| *rate > 0.0)) {
            (Some(time), Some(rate)) => self.beats.push((time, rate)),
            _ => self.has_lost_beats = true,
        }
        Ok(Element::Other)
    }

    /// The element ends: its sample is whole.
    #[inline]
    pub(super) fn finish(&mut self, draft: Draft, shared: &mut Shared, batch: &mut Batch) {
        let Draft { metric, interval, offset_seconds, value, source } = draft;
        let metadata =
            if self.json.is_empty() && self.parts.is_empty() { None } else { self.metadata(shared) };
        let mut sample = Sample {
            id: SampleId(Uuid::nil()),
            metric,
            interval,
            value,
            clock: shared.clock(offset_seconds, self.zone.take()),
            source,
            metadata,
        };
        sample.id = sample.content_key().sample_id();
        if !self.beats.is_empty() {
            let beats = self.dated_beats(interval, offset_seconds);
            batch.beats.push(Beats { of: sample.id, interval, clock: Arc::clone(&sample.clock), beats });
        }
        if self.has_lost_beats {
            let message = "some beats have no time or no rate that can be read; the others are kept";
            Fault::new("invalid_beat", message).reject(self.line, batch);
        }
        batch.samples.push(sample);
        batch.places.push(Place { line: self.line, is_member: self.is_member });
    }

    fn metadata(&mut self, shared: &mut Shared) -> Option<Arc<str>> {
        if !self.parts.is_empty() {
            let separator: &[u8] = if self.names.is_empty() { b"" } else { b"," };
            let name = format!("\"{PARTS}\":[");
            self.json.extend([separator, name.as_bytes(), &self.parts, b"]"].concat());
        }
        self.json.insert(0, b'{');
        self.json.push(b'}');
        std::str::from_utf8(&self.json).ok().map(|json| shared.metadata(json))
    }

    /// Beats tell the time of day only; the day is the sample's own, or the next after midnight.
    fn dated_beats(&self, interval: Interval, offset_seconds: i32) -> Vec<Beat> {
        let offset_ms = i64::from(offset_seconds) * 1000;
        let local_start = interval.start_ms() + offset_ms;
        let midnight = local_start - local_start.rem_euclid(DAY_MS) - offset_ms;
        let dated = |(time, beats_per_minute): &(i64, f64)| {
            let at_ms = midnight + time;
            let is_next_day = at_ms < interval.start_ms() - DAY_MS / 2;
            Beat {
                at_ms: if is_next_day { at_ms + DAY_MS } else { at_ms },
                beats_per_minute: *beats_per_minute,
            }
        };
        self.beats.iter().map(dated).collect()
    }
}

fn json(into: &mut Vec<u8>, text: &str) -> Result<(), Reason> {
    text.serialize(&mut serde_json::Serializer::new(into))
        .map_err(|_hidden| Reason::Malformed("metadata that is no text"))
}
