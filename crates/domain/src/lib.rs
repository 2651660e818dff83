//! Values, invariants and the science of Clarity.
//!
//! Nothing here reads a clock, draws a random number, or does I/O: the same input gives the same output, bit for bit.
#![warn(missing_docs)]

pub mod calendar;
pub mod envelope;
pub mod ids;
pub mod job;
pub mod measures;
pub mod metric;
pub mod record;
pub mod sample;
pub mod segment;
pub mod sleep;
pub mod time;
pub mod unit;
