//! Which of several overlapping intervals counts at each instant.

use std::collections::BTreeSet;

use crate::time::Interval;

/// What happens at one instant. Ends come before starts, because intervals are half-open, and points last, because an
/// interval that starts at their instant covers it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    End,
    Start,
    Point,
}

/// Cuts time into pieces and says for each which of `ranked` counts there: the first that covers it.
///
/// An interval without a length is a point. Of several points at one instant the first counts, unless
/// `silences(interval, point)` says so of the interval that counts there. Pieces come in the order of time and do not
/// overlap.
pub(crate) fn winners(
    ranked: &[Interval],
    silences: impl Fn(usize, usize) -> bool,
) -> Vec<(Interval, usize)> {
    let mut events = Vec::with_capacity(2 * ranked.len());
    for (index, interval) in ranked.iter().enumerate() {
        if interval.duration_ms() == 0 {
            events.push((interval.start_ms(), Event::Point, index));
        } else {
            events.push((interval.start_ms(), Event::Start, index));
            events.push((interval.end_ms(), Event::End, index));
        }
    }
    events.sort_unstable();
    let mut pieces = Vec::new();
    let mut covering = BTreeSet::new();
    let mut at_ms = i64::MIN;
    let mut last_point_ms = None;
    for (next_ms, event, index) in events {
        if let Some(&winner) = covering.first()
            && at_ms < next_ms
        {
            pieces.extend(Interval::new(at_ms, next_ms).map(|interval| (interval, winner)));
        }
        at_ms = next_ms;
        match event {
            Event::End => _ = covering.remove(&index),
            Event::Start => _ = covering.insert(index),
            Event::Point if last_point_ms == Some(at_ms) => {}
            Event::Point => {
                last_point_ms = Some(at_ms);
                if !covering.first().is_some_and(|&winner| silences(winner, index)) {
                    pieces.push((ranked[index], index));
                }
            }
        }
    }
    pieces
}
