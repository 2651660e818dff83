//! Readings for tests.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    ids::SampleId,
    metric::Metric,
    sample::{Sample, Source, Value},
    time::{Interval, LocalClock, MINUTE_MS, ZoneName},
};

/// A device that makes readings, whose clock is in one zone.
#[derive(Clone)]
pub(crate) struct Device {
    source: Arc<Source>,
    clock: Arc<LocalClock>,
}

fn device(name: &str, product_type: &str) -> Device {
    let source = Source {
        name: Some(name.to_owned()),
        bundle: Some(format!("com.apple.health.{name}")),
        product_type: Some(product_type.to_owned()),
    };
    let clock = LocalClock { offset_seconds: 0, zone: None };
    Device { source: Arc::new(source), clock: Arc::new(clock) }
}

pub(crate) fn watch() -> Device {
    device("Watch", "Watch6,2")
}

pub(crate) fn phone() -> Device {
    device("Phone", "iPhone15,2")
}

pub(crate) fn ring() -> Device {
    device("Ring", "Ring4,1")
}

pub(crate) fn app() -> Device {
    device("App", "Website")
}

impl Device {
    pub(crate) fn in_zone(mut self, zone: &str) -> Self {
        self.clock = Arc::new(LocalClock { offset_seconds: 0, zone: Some(ZoneName::new(zone).unwrap()) });
        self
    }

    pub(crate) fn source(&self) -> Arc<Source> {
        Arc::clone(&self.source)
    }

    pub(crate) fn reading(&self, metric: Metric, interval: Interval, value: Value) -> Sample {
        let sample = Sample {
            id: SampleId(Uuid::nil()),
            metric,
            interval,
            value,
            clock: Arc::clone(&self.clock),
            source: Arc::clone(&self.source),
            metadata: None,
        };
        Sample { id: sample.content_key().sample_id(), ..sample }
    }

    pub(crate) fn quantity(&self, metric: Metric, interval: Interval, value: f64) -> Sample {
        self.reading(metric, interval, Value::Quantity(value))
    }

    pub(crate) fn point(&self, metric: Metric, at_ms: i64, value: f64) -> Sample {
        self.quantity(metric, Interval::new(at_ms, at_ms).unwrap(), value)
    }
}

/// The instant that is so many minutes after the epoch.
pub(crate) fn at(minute: i64) -> i64 {
    minute * MINUTE_MS
}

/// The interval between two minutes after the epoch.
pub(crate) fn minutes(start: i64, end: i64) -> Interval {
    Interval::new(at(start), at(end)).unwrap()
}

/// Steps between two minutes after the epoch.
pub(crate) fn steps(device: &Device, start: i64, end: i64, value: f64) -> Sample {
    device.quantity(Metric::STEP_COUNT, minutes(start, end), value)
}

/// An instant by its RFC 3339 text.
pub(crate) fn instant(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// An interval by the RFC 3339 texts of its ends.
pub(crate) fn between(start: &str, end: &str) -> Interval {
    Interval::new(instant(start), instant(end)).unwrap()
}
