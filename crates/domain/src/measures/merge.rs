//! Merging cumulative readings of several devices: steps, energy, distance, flights.
//!
//! **Rule.** For each instant, the reading of the highest-priority source that covers it counts, with its value spread
//! evenly over its interval; nothing else counts at that instant. So overlapping devices are never both added, and no
//! device is preferred for a whole day: a phone fills the gaps of a watch.
//!
//! - *Between sources* the kind of device decides (see [`SourcePriority`]); between two of one kind, the order of their
//!   [`Source`]s, so that the result does not depend on the order of the readings.
//! - *Within one source* that overlaps with itself, the reading that starts later counts, of two that start together the
//!   shorter one, then the one with the smaller id: the finer reading replaces that part of the coarser one.
//! - *A reading without a length* counts whole at its instant, unless a reading of the same or a higher-priority source
//!   covers that instant; of several at one instant, the first by the order above counts.
//! - Readings that are not a finite quantity of at least 0 take no part.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{opaque_debug, source_labels, sweep};
use crate::{
    metric::Metric,
    sample::{DeviceKind, Sample, Source, Value},
    time::{Interval, MINUTE_MS},
};

/// Which kind of device wins where several cover the same instant, for all metrics and for single ones.
///
/// The default is watch, ring, phone, other.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourcePriority {
    /// The order for every metric that has none of its own. Kinds that are not listed come last, in the default order.
    pub order: Vec<DeviceKind>,
    /// The order for single metrics.
    pub by_metric: BTreeMap<Metric, Vec<DeviceKind>>,
}

impl SourcePriority {
    /// The priority that puts the kinds of `order` first, for every metric.
    pub fn new(order: impl Into<Vec<DeviceKind>>) -> Self {
        Self { order: order.into(), by_metric: BTreeMap::new() }
    }

    /// The place of a kind of device for `metric`: the smaller one wins.
    pub fn rank(&self, metric: Metric, kind: DeviceKind) -> usize {
        let order = self.by_metric.get(&metric).unwrap_or(&self.order);
        let listed = order.iter().position(|listed| *listed == kind);
        // `DeviceKind`s are declared in the default order.
        listed.unwrap_or(order.len() + kind as usize)
    }

    /// The place of a sample's source: by its kind of device, then by the source itself.
    pub(crate) fn place<'a>(&self, sample: &'a Sample) -> (usize, &'a Source) {
        (self.rank(sample.metric, sample.source.device_kind()), &sample.source)
    }
}

/// What the readings of a window add up to.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MergedTotal {
    /// The sum, in the metric's unit.
    pub value: f64,
    /// How much of the window some reading covers.
    pub covered_ms: i64,
    /// The labels of the sources that count at some instant.
    pub sources: Vec<String>,
}

opaque_debug!(MergedTotal);

/// The part of the window in which one sample counts; without a length for a point reading.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) interval: Interval,
    pub(crate) sample: &'a Sample,
    quantity: f64,
}

impl Piece<'_> {
    /// What the sample adds in `won_ms` of its time.
    fn share(&self, won_ms: i64) -> f64 {
        let whole = self.sample.interval.duration_ms();
        if won_ms == whole { self.quantity } else { self.quantity * (won_ms as f64 / whole as f64) }
    }
}

/// The total of `samples` in `window`; `None` where no reading counts in it.
///
/// Formula: `Σ value · (time in which the sample counts / its length)`, and the whole value of each point that counts.
/// The samples should be of one metric; the unit is that metric's.
pub fn total(samples: &[&Sample], window: Interval, priority: &SourcePriority) -> Option<MergedTotal> {
    let pieces = pieces(samples, window, priority);
    if pieces.is_empty() {
        return None;
    }
    // Pieces of one sample are summed in whole milliseconds first, so that a sample that counts all the time adds
    // exactly its value.
    let mut won: BTreeMap<_, (Piece<'_>, i64)> = BTreeMap::new();
    for piece in &pieces {
        let sample = piece.sample;
        let key = (sample.interval, sample.id, &*sample.source, piece.quantity.to_bits());
        won.entry(key).or_insert((*piece, 0)).1 += piece.interval.duration_ms();
    }
    Some(MergedTotal {
        value: won.values().map(|(piece, won_ms)| piece.share(*won_ms)).sum(),
        covered_ms: pieces.iter().map(|piece| piece.interval.duration_ms()).sum(),
        sources: source_labels(pieces.iter().map(|piece| &*piece.sample.source)),
    })
}

/// The totals of the whole minutes of `window`; `None` where no reading counts in the minute.
///
/// The minutes begin at the window's start; what is left after the last whole minute is not looked at.
pub fn minute_series(samples: &[&Sample], window: Interval, priority: &SourcePriority) -> Vec<Option<f64>> {
    minute_totals(&pieces(samples, window, priority), window)
}

/// Spreads `pieces` over the whole minutes of `window`.
pub(crate) fn minute_totals(pieces: &[Piece<'_>], window: Interval) -> Vec<Option<f64>> {
    let minutes = usize::try_from(window.duration_ms() / MINUTE_MS).unwrap_or(0);
    let mut totals = vec![None; minutes];
    for piece in pieces {
        let (start, end) = (piece.interval.start_ms(), piece.interval.end_ms());
        for minute in minutes_touched(window, piece.interval).take_while(|minute| *minute < minutes) {
            let minute_start = window.start_ms() + i64::try_from(minute).unwrap_or(0) * MINUTE_MS;
            let won_ms = end.min(minute_start + MINUTE_MS) - start.max(minute_start);
            *totals[minute].get_or_insert(0.0) += piece.share(won_ms);
        }
    }
    totals
}

/// The minutes of `window` that `interval`, which lies in it, touches. A point touches the minute it lies in.
pub(crate) fn minutes_touched(window: Interval, interval: Interval) -> std::ops::Range<usize> {
    let index = |ms: i64| usize::try_from((ms - window.start_ms()).div_euclid(MINUTE_MS)).unwrap_or(0);
    let last = (interval.end_ms() - 1).max(interval.start_ms());
    index(interval.start_ms())..index(last) + 1
}

/// Cuts `window` into the pieces in which single samples count, in the order of time.
pub(crate) fn pieces<'a>(
    samples: &[&'a Sample],
    window: Interval,
    priority: &SourcePriority,
) -> Vec<Piece<'a>> {
    let pieces: Vec<Piece<'a>> = samples.iter().filter_map(|sample| piece(sample, window)).collect();
    let places = places(&pieces, priority);
    let mut ranked: Vec<(usize, Piece<'a>)> = places.into_iter().zip(pieces).collect();
    ranked.sort_by_cached_key(|(place, Piece { sample, quantity, .. })| {
        let interval = sample.interval;
        (*place, Reverse(interval.start_ms()), interval.end_ms(), sample.id, quantity.to_bits())
    });
    let intervals: Vec<Interval> = ranked.iter().map(|(_, piece)| piece.interval).collect();
    let winners = sweep::winners(&intervals, |interval, point| ranked[interval].0 <= ranked[point].0);
    winners.into_iter().map(|(interval, index)| Piece { interval, ..ranked[index].1 }).collect()
}

/// For each piece, the place of its source among all of theirs: the smaller one wins.
///
/// Sources are looked at once each and not once a reading, because to compare them is to compare their names.
fn places(pieces: &[Piece<'_>], priority: &SourcePriority) -> Vec<usize> {
    let key = |piece: &Piece<'_>| (piece.sample.metric, Arc::as_ptr(&piece.sample.source));
    let mut known = HashMap::new();
    for piece in pieces {
        known.entry(key(piece)).or_insert_with(|| priority.place(piece.sample));
    }
    let order: BTreeSet<_> = known.values().copied().collect();
    let numbers: BTreeMap<_, usize> = order.into_iter().zip(0..).collect();
    pieces.iter().map(|piece| numbers[&known[&key(piece)]]).collect()
}

/// The part of `sample` that lies in `window`; `None` where nothing does, or where it cannot add up.
fn piece(sample: &Sample, window: Interval) -> Option<Piece<'_>> {
    let quantity = match sample.value {
        Value::Quantity(quantity) if quantity.is_finite() && quantity >= 0.0 => quantity,
        Value::Quantity(_) | Value::Category(_) => return None,
    };
    let is_point = sample.interval.duration_ms() == 0;
    let is_inside = (window.start_ms()..window.end_ms()).contains(&sample.interval.start_ms());
    let interval = if is_point {
        Some(sample.interval).filter(|_| is_inside)
    } else {
        sample.interval.intersection(window)
    };
    Some(Piece { interval: interval?, sample, quantity })
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
