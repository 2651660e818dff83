//! What an element is, by its name and by the one that it is in.

/// An element that is open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    /// The root.
    HealthData,
    /// A reading, whether it stands by itself or in a correlation.
    Record,
    /// Readings that belong together, such as a blood pressure.
    Correlation,
    /// A workout.
    Workout,
    /// What is within a workout.
    WorkoutPart,
    /// The beats behind a heart rate variability.
    BeatList,
    /// What says nothing about a reading: the person, the date of the export, and types that are not kept.
    Other,
}
