//! Measures by the time that the processor works rather than by the clock, so that a busy machine makes nothing slower than it
//! is. The peer is measured in the same way.

use std::time::Duration;

use cpu_time::ProcessTime;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// Processor time of this process.
pub(crate) struct ProcessorTime;

impl Measurement for ProcessorTime {
    type Intermediate = ProcessTime;
    type Value = Duration;

    fn start(&self) -> Self::Intermediate {
        ProcessTime::now()
    }

    fn end(&self, start: Self::Intermediate) -> Self::Value {
        start.elapsed()
    }

    fn add(&self, one: &Self::Value, other: &Self::Value) -> Self::Value {
        *one + *other
    }

    fn zero(&self) -> Self::Value {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Self::Value) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        static CLOCK: WallTime = WallTime;
        CLOCK.formatter()
    }
}
