//! The use cases over the memory adapters.

mod bench;
mod deletion;
mod pipeline;
mod uploads;
