//! How much of anything a file may hold. All of it is far above what phones write.

use crate::error::Reason;

/// The longest tag, text, comment or DTD. Apple's DTD has some 10 kB; a tag some 600 bytes.
pub(crate) const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// After so many bytes of the file a batch is full, however few items it has.
pub(crate) const BATCH_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The longest value of an attribute.
pub(crate) const ATTRIBUTE_BYTES_MAX: usize = 64 * 1024;

/// The most that is kept of what stands within one record or workout.
pub(crate) const METADATA_BYTES_MAX: usize = 1024 * 1024;

/// The most beats of one heart rate variability, which is measured over a minute.
pub(crate) const BEATS_MAX: usize = 100_000;

/// The deepest element. Apple's are at most five deep.
pub(crate) const DEPTH_MAX: usize = 16;

/// The most different types that are counted by name in one batch.
pub(crate) const TYPES_MAX: usize = 1000;

/// The most sources, or texts of metadata, that are shared between the samples of one batch.
pub(crate) const SHARED_MAX: usize = 4096;

pub(crate) fn too_long_event() -> Reason {
    Reason::TooMuch { what: "the length of an element in bytes", most: EVENT_BYTES_MAX as u64 }
}

pub(crate) fn too_long_attribute() -> Reason {
    Reason::TooMuch { what: "the length of an attribute in bytes", most: ATTRIBUTE_BYTES_MAX as u64 }
}

pub(crate) fn too_much_within() -> Reason {
    Reason::TooMuch { what: "what is within an element, in bytes,", most: METADATA_BYTES_MAX as u64 }
}

pub(crate) fn too_many_beats() -> Reason {
    Reason::TooMuch { what: "the number of beats of a record", most: BEATS_MAX as u64 }
}

pub(crate) fn too_deep() -> Reason {
    Reason::TooMuch { what: "the depth of an element", most: DEPTH_MAX as u64 }
}
