//! Columns whose few different values are stored once each: clocks, sources, metadata.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use super::{
    SegmentError, column,
    wire::{Reader, put_i64, put_optional_str, put_u64},
};
use crate::{
    sample::Source,
    time::{LocalClock, ZoneName},
};

/// Stores `items`, each different one once. `items` are references or the like: cheap to copy. Answers as
/// [`column::put_integers`] does.
#[must_use]
pub(super) fn put<K: Copy + Eq + Hash>(
    out: &mut Vec<u8>,
    items: impl ExactSizeIterator<Item = K>,
    put_entry: impl Fn(&mut Vec<u8>, K),
) -> bool {
    let mut entries: Vec<K> = Vec::new();
    let mut places = HashMap::new();
    let mut indices = Vec::with_capacity(items.len());
    let mut previous = None;
    for item in items {
        let index = match previous {
            // Most items equal the one before.
            Some((key, index)) if key == item => index,
            _ => *places.entry(item).or_insert_with(|| {
                entries.push(item);
                // The index is at most `SAMPLES_MAX`.
                (entries.len() - 1).cast_signed() as i64
            }),
        };
        previous = Some((item, index));
        indices.push(index);
    }
    put_u64(out, entries.len() as u64);
    for entry in entries {
        put_entry(out, entry);
    }
    column::put_integers(out, &indices)
}

/// A dictionary and the entry of each sample.
pub(super) struct Dictionary<T> {
    entries: Vec<T>,
    indices: Vec<i64>,
}

pub(super) fn read<'a, T>(
    reader: &mut Reader<'a>,
    count: usize,
    read_entry: impl Fn(&mut Reader<'a>) -> Result<T, SegmentError>,
) -> Result<Dictionary<T>, SegmentError> {
    let entry_count = reader.length()?;
    // An entry takes at least a byte, and there are no more of them than samples.
    if entry_count > count.min(reader.remaining()) {
        return Err(SegmentError::Malformed);
    }
    let mut entries = Vec::with_capacity(entry_count);
    for _ in 0..entry_count {
        entries.push(read_entry(reader)?);
    }
    Ok(Dictionary { entries, indices: column::integers(reader, count)? })
}

impl<T: Clone> Dictionary<T> {
    /// The entry of the sample at `at`.
    pub(super) fn get(&self, at: usize) -> Result<T, SegmentError> {
        let index = usize::try_from(self.indices[at]).ok().ok_or(SegmentError::Malformed)?;
        self.entries.get(index).cloned().ok_or(SegmentError::Malformed)
    }
}

pub(super) fn put_clock(out: &mut Vec<u8>, clock: &LocalClock) {
    put_i64(out, i64::from(clock.offset_seconds));
    put_optional_str(out, clock.zone.as_ref().map(ZoneName::as_str));
}

pub(super) fn read_clock(reader: &mut Reader<'_>) -> Result<Arc<LocalClock>, SegmentError> {
    let offset_seconds = i32::try_from(reader.i64()?).ok().ok_or(SegmentError::Malformed)?;
    let zone = reader.optional_str()?.map(ZoneName::new).transpose().ok().ok_or(SegmentError::UnknownZone)?;
    Ok(Arc::new(LocalClock { offset_seconds, zone }))
}

pub(super) fn put_source(out: &mut Vec<u8>, source: &Source) {
    for part in [&source.name, &source.bundle, &source.product_type] {
        put_optional_str(out, part.as_deref());
    }
}

pub(super) fn read_source(reader: &mut Reader<'_>) -> Result<Arc<Source>, SegmentError> {
    let mut part = || reader.optional_str().map(|text| text.map(str::to_owned));
    Ok(Arc::new(Source { name: part()?, bundle: part()?, product_type: part()? }))
}
