//! Merging what several sources tell of one person's sleep; see the [rule](super).

use std::{cmp::Reverse, collections::BTreeMap};

use super::{SleepRules, SleepStage, sessions};
use crate::{measures::sweep, sample::Sample, time::Interval};

/// A time in which one sample counts.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) interval: Interval,
    pub(super) stage: SleepStage,
    pub(super) sample: &'a Sample,
}

/// What lies in time.
pub(super) trait Timed {
    fn interval(&self) -> Interval;
}

impl Timed for Part<'_> {
    fn interval(&self) -> Interval {
        self.interval
    }
}

/// Merges both layers: sleep and in bed. The parts of one layer do not overlap.
pub(super) fn merge<'a>(told: &[(&'a Sample, SleepStage)], rules: &SleepRules) -> Vec<Part<'a>> {
    let mut sources: BTreeMap<_, Vec<Part<'a>>> = BTreeMap::new();
    for (sample, stage) in told {
        let part = Part { interval: sample.interval, stage: *stage, sample };
        sources.entry(rules.priority.place(sample)).or_default().push(part);
    }
    // The map has the sources in the order of their priority.
    let by_priority: Vec<Vec<Part<'a>>> = sources
        .into_values()
        .flat_map(|mut parts| {
            parts.sort_by_key(|part| (part.interval, part.stage, part.sample.id));
            sessions(parts, rules.gap_ms())
        })
        .collect();
    let in_bed = merge_layer(&by_priority, |stage| stage == SleepStage::InBed);
    let sleep = merge_layer(&by_priority, |stage| stage != SleepStage::InBed);
    in_bed.into_iter().chain(sleep).collect()
}

fn merge_layer<'a>(sessions: &[Vec<Part<'a>>], is_of_layer: fn(SleepStage) -> bool) -> Vec<Part<'a>> {
    // In the order in which they count. After the parts of a session comes its whole span, with no part: there the session
    // says nothing, and neither may a source of lower priority.
    let mut ranked: Vec<(Interval, Option<Part<'a>>)> = Vec::new();
    for session in sessions {
        let mut layer: Vec<Part<'a>> =
            session.iter().filter(|part| is_of_layer(part.stage)).copied().collect();
        if layer.is_empty() {
            continue;
        }
        // Of one source that overlaps with itself the sample that starts later counts, of two that start together the
        // shorter one, then the one with the smaller id.
        layer.sort_by_key(|part| {
            (Reverse(part.interval.start_ms()), part.interval.end_ms(), part.sample.id, part.stage)
        });
        ranked.extend(layer.into_iter().map(|part| (part.interval, Some(part))));
        ranked.extend(span(session).map(|span| (span, None)));
    }
    let intervals: Vec<Interval> = ranked.iter().map(|(interval, _)| *interval).collect();
    let winners = sweep::winners(&intervals, |_, _| false);
    winners.into_iter().filter_map(|(interval, index)| Some(Part { interval, ..ranked[index].1? })).collect()
}

/// From the first start to the last end.
fn span(session: &[Part<'_>]) -> Option<Interval> {
    let start_ms = session.iter().map(|part| part.interval.start_ms()).min()?;
    let end_ms = session.iter().map(|part| part.interval.end_ms()).max()?;
    Interval::new(start_ms, end_ms).ok()
}
