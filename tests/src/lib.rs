//! What the end-to-end tests and the whole-process benchmarks share: the real binary as a child process, and a phone.

pub mod contract;
mod phone;
mod process;
mod reading;

pub use phone::{Answer, Phone, read};
pub use process::{Clarity, Started, binary};
pub use reading::{METRICS, Reading, healthkit, heart_rates};
