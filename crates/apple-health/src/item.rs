//! What a file holds.

use std::{collections::BTreeMap, fmt, sync::Arc};

use domain::{
    ids::SampleId,
    sample::Sample,
    time::{Interval, LocalClock},
};
use serde::{Deserialize, Serialize};

/// A place between two elements of the uncompressed XML. With the file (known by its digest) it is all that going on takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Position {
    /// Bytes of the XML before it.
    pub offset: u64,
    /// Its line, from 1.
    pub line: u64,
}

impl Position {
    /// The beginning of a file.
    pub const START: Self = Self { offset: 0, line: 1 };
}

/// What was read in one go. Used again for the next, so that nothing is allocated for it.
#[derive(Default)]
pub struct Batch {
    /// Readings in the file's order. Their ids come from their content keys, as the file names none. They are well-formed, but
    /// not yet held against what is plausible: that is the same rule for every way in, and the caller's.
    pub samples: Vec<Sample>,
    /// Where each of the samples stands.
    pub places: Vec<Place>,
    /// Beat by beat, of the samples of heart rate variability that have them.
    pub beats: Vec<Beats>,
    /// Rings of days.
    pub summaries: Vec<ActivitySummary>,
    /// What is not kept, and why; at most [`REJECTIONS_MAX`] of them.
    pub rejected: Vec<Rejection>,
    /// How many are not kept for a fault of their own.
    pub rejected_total: u64,
    /// How many elements are of a type that Clarity does not keep, by type.
    pub unsupported: BTreeMap<Arc<str>, u64>,
    /// What was counted.
    pub counts: Counts,
    /// Where to go on.
    pub position: Option<Position>,
}

/// The most rejections that one batch lists one by one.
pub const REJECTIONS_MAX: usize = 1000;

impl Batch {
    /// Empties it, and keeps its memory.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.places.clear();
        self.beats.clear();
        self.summaries.clear();
        self.rejected.clear();
        self.rejected_total = 0;
        self.unsupported.clear();
        self.counts = Counts::default();
        self.position = None;
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("samples", &self.samples.len())
            .field("rejected_total", &self.rejected_total)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Elements of each kind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Records that stand by themselves.
    pub records: u64,
    /// Records within correlations. Apple writes each of them a second time as a record of its own; both get the same id.
    pub members: u64,
    /// Correlations, such as a blood pressure.
    pub correlations: u64,
    /// Workouts.
    pub workouts: u64,
    /// Rings of days.
    pub summaries: u64,
}

/// Where a sample stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The line of its element, from 1.
    pub line: u64,
    /// Whether it is in a correlation, and so written a second time.
    pub is_member: bool,
}

/// Why one element was not kept. Names the place, never the value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rejection {
    /// The line of its element, from 1.
    pub line: u64,
    /// A stable word for programs, one of those of uploads.
    pub code: &'static str,
    /// A sentence for people.
    pub message: &'static str,
}

/// The beats behind one heart rate variability.
#[derive(Clone, PartialEq)]
pub struct Beats {
    /// The sample of heart rate variability.
    pub of: SampleId,
    /// Its interval.
    pub interval: Interval,
    /// Its clock.
    pub clock: Arc<LocalClock>,
    /// In the file's order.
    pub beats: Vec<Beat>,
}

impl fmt::Debug for Beats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Beats({}, {})", self.of, self.beats.len())
    }
}

/// One heart beat.
#[derive(Clone, Copy, PartialEq)]
pub struct Beat {
    /// When, in milliseconds since the Unix epoch; files tell it to a hundredth of a second.
    pub at_ms: i64,
    /// The rate that the time since the beat before it makes, in beats per minute.
    pub beats_per_minute: f64,
}

/// The rings of one day, as the phone counted them; a goal or a sum that the file does not tell is `None`.
#[derive(Clone, PartialEq)]
pub struct ActivitySummary {
    /// The phone's local date.
    pub date: jiff::civil::Date,
    /// Active energy in kcal, and its goal.
    pub active_energy_kcal: (Option<f64>, Option<f64>),
    /// Time moved in minutes, and its goal: of those who have that ring in place of energy.
    pub move_minutes: (Option<f64>, Option<f64>),
    /// Time of exercise in minutes, and its goal.
    pub exercise_minutes: (Option<f64>, Option<f64>),
    /// Hours with a minute of standing, and their goal.
    pub stand_hours: (Option<f64>, Option<f64>),
}

impl fmt::Debug for ActivitySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActivitySummary({})", self.date)
    }
}
