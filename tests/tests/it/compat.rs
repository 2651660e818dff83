//! What shipped phone apps call, with the bodies that they send and the fields that they read.

mod aliases;
mod batch;
mod contract;
mod hours;
mod samples;
