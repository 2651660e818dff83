//! Activity minute by minute, with the minutes in which nobody looked told apart from those in which nobody walked.
//!
//! **Missing-data rule.** A minute of a series is *observed* when
//! - a merged step interval of at most [`STEP_INTERVAL_MINUTES_MAX`] minutes touches it: its steps are those of
//!   [`merge`]; or
//! - a worn device (watch or ring) was on the body: the minute lies in a chain of two or more readings of any metric of
//!   that one device, each at most [`WORN_GAP_MINUTES_MAX`] minutes after the one before. Then it has 0 steps, because a
//!   worn device writes no step reading while nobody walks.
//!
//! Every other minute is missing, never 0. A phone on a table proves nothing. A reading longer than the maximum, or without any length, is
//! a summary that tells no minutes: its steps are spread nowhere, the minutes that only it covers are missing, and it is no
//! proof of wear.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{
    merge::{self, SourcePriority, minutes_touched},
    opaque_debug, source_labels,
};
use crate::{
    calendar::LocalDay,
    sample::{DeviceKind, Sample, Source},
    time::{Interval, MINUTE_MS, day_interval, timestamp},
};

const MINUTES_PER_DAY: usize = 1440;

/// The longest pause between two readings of a worn device for which it counts as worn, in minutes.
pub const WORN_GAP_MINUTES_MAX: i64 = 60;

/// The longest reading that tells what happened in its minutes, in minutes.
pub const STEP_INTERVAL_MINUTES_MAX: i64 = 60;

/// Counts per minute over whole minutes; `None` is a missing minute.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MinuteSeries {
    /// When the first minute begins, in milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// One value a minute.
    pub values: Vec<Option<f64>>,
    /// The labels of the sources that any observed minute rests on.
    pub sources: Vec<String>,
}

opaque_debug!(MinuteSeries);

impl MinuteSeries {
    /// How many minutes were observed.
    pub fn observed(&self) -> u32 {
        super::count(self.values.iter().flatten().count())
    }

    /// How many minutes there are.
    pub fn minutes(&self) -> u32 {
        super::count(self.values.len())
    }

    /// When minute `index` begins, in milliseconds since the Unix epoch.
    pub fn minute_start_ms(&self, index: usize) -> i64 {
        self.start_ms.saturating_add(i64::try_from(index).unwrap_or(i64::MAX).saturating_mul(MINUTE_MS))
    }
}

/// Steps per minute over the whole minutes of `window`, which begins with the window.
///
/// `steps` are the step readings and `presence` the readings of any metric that touch the window. For chains that cross
/// its ends, `presence` may reach [`WORN_GAP_MINUTES_MAX`] beyond it.
pub fn minute_series(
    window: Interval,
    steps: &[&Sample],
    presence: &[&Sample],
    priority: &SourcePriority,
) -> MinuteSeries {
    let telling = 1..=STEP_INTERVAL_MINUTES_MAX * MINUTE_MS;
    let (fine, summaries): (Vec<&Sample>, Vec<&Sample>) =
        steps.iter().partition(|sample| telling.contains(&sample.interval.duration_ms()));
    let pieces = merge::pieces(&fine, window, priority);
    let mut values = merge::minute_totals(&pieces, window);
    let worn = worn(window, presence);
    let mut still = worn.minutes;
    for summary in summaries.iter().filter_map(|sample| sample.interval.intersection(window)) {
        minutes_touched(window, summary).for_each(|minute| {
            still.get_mut(minute).into_iter().for_each(|still| *still = false);
        });
    }
    for (value, _) in values.iter_mut().zip(still).filter(|(value, still)| value.is_none() && *still) {
        *value = Some(0.0);
    }
    let stepping = pieces.iter().map(|piece| &*piece.sample.source);
    MinuteSeries {
        start_ms: window.start_ms(),
        values,
        sources: source_labels(stepping.chain(worn.sources.iter().copied())),
    }
}

/// Steps per minute of successive local days, by the person's own clock: 1440 slots a day, each at its local minute.
///
/// A circadian rhythm is a rhythm of the clock that one lives by, so a traveller's days are laid side by side as their
/// clocks showed them: of a day that began in one zone and ended in another, the hours by the clock at its end are taken.
/// An hour that a clock skipped is missing; of one that it repeated, each minute is the mean of what was observed. The
/// series counts its minutes as if in UTC: `start_ms` is the UTC midnight of the first date.
pub fn local_series(
    days: &[LocalDay],
    steps: &[&Sample],
    presence: &[&Sample],
    priority: &SourcePriority,
) -> MinuteSeries {
    let mut values = Vec::with_capacity(days.len() * MINUTES_PER_DAY);
    let mut sources = BTreeSet::new();
    for day in days {
        let rules = day.clock.rules();
        let by_clock = day_interval(day.date, &rules);
        let mut slots = vec![(0_u32, 0.0_f64); MINUTES_PER_DAY];
        if let Some(window) = day.interval.intersection(by_clock) {
            let near = |sample: &&&Sample| {
                let margin_ms = WORN_GAP_MINUTES_MAX * MINUTE_MS;
                sample.interval.start_ms() <= window.end_ms() + margin_ms
                    && sample.interval.end_ms() >= window.start_ms() - margin_ms
            };
            let near_steps: Vec<&Sample> = steps.iter().filter(near).copied().collect();
            let near_presence: Vec<&Sample> = presence.iter().filter(near).copied().collect();
            let series = minute_series(window, &near_steps, &near_presence, priority);
            for (index, value) in series.values.iter().enumerate() {
                let time = rules.to_datetime(timestamp(series.minute_start_ms(index))).time();
                let slot =
                    usize::from(time.hour().unsigned_abs()) * 60 + usize::from(time.minute().unsigned_abs());
                if let (Some(value), Some((count, sum))) = (value, slots.get_mut(slot)) {
                    *count += 1;
                    *sum += value;
                }
            }
            sources.extend(series.sources);
        }
        values.extend(slots.into_iter().map(|(count, sum)| (count > 0).then(|| sum / f64::from(count))));
    }
    let start_ms = days.first().map_or(0, |day| day_interval(day.date, &TimeZone::UTC).start_ms());
    MinuteSeries { start_ms, values, sources: sources.into_iter().collect() }
}

/// When devices were worn in a window.
pub(crate) struct Worn<'a> {
    /// Whether some device was worn, for each whole minute of the window.
    pub(crate) minutes: Vec<bool>,
    /// The devices that were worn in the window.
    pub(crate) sources: Vec<&'a Source>,
}

/// Finds the minutes of `window` in which a watch or ring was worn; see the [module's rule](self).
pub(crate) fn worn<'a>(window: Interval, presence: &[&'a Sample]) -> Worn<'a> {
    let mut readings: BTreeMap<&Source, Vec<Interval>> = BTreeMap::new();
    for sample in presence {
        if sample.interval.duration_ms() <= STEP_INTERVAL_MINUTES_MAX * MINUTE_MS {
            readings.entry(&sample.source).or_default().push(sample.interval);
        }
    }
    readings.retain(|source, _| matches!(source.device_kind(), DeviceKind::Watch | DeviceKind::Ring));
    let whole_minutes = usize::try_from(window.duration_ms() / MINUTE_MS).unwrap_or(0);
    let mut found = Worn { minutes: vec![false; whole_minutes], sources: Vec::new() };
    for (source, intervals) in readings {
        let mut is_worn = false;
        for chain in chains(intervals) {
            // The minute of the chain's last reading counts, also where that reading is a point.
            let reach = Interval::new(chain.start_ms(), chain.end_ms() + 1).unwrap_or(chain);
            let Some(part) = reach.intersection(window) else { continue };
            is_worn = true;
            for minute in minutes_touched(window, part).take_while(|minute| *minute < whole_minutes) {
                found.minutes[minute] = true;
            }
        }
        found.sources.extend(is_worn.then_some(source));
    }
    found
}

/// The spans of two or more readings whose pauses are at most [`WORN_GAP_MINUTES_MAX`].
fn chains(mut readings: Vec<Interval>) -> Vec<Interval> {
    readings.sort_unstable();
    let mut spans: Vec<(Interval, u32)> = Vec::new();
    for reading in readings {
        if let Some((span, length)) = spans.last_mut()
            && reading.start_ms() - span.end_ms() <= WORN_GAP_MINUTES_MAX * MINUTE_MS
        {
            *span = Interval::new(span.start_ms(), span.end_ms().max(reading.end_ms())).unwrap_or(*span);
            *length += 1;
        } else {
            spans.push((reading, 1));
        }
    }
    spans.into_iter().filter(|(_, length)| *length > 1).map(|(span, _)| span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measures::fixtures::{at, minutes, phone, steps, watch},
        metric::Metric,
    };

    fn series(samples: &[Sample], window: Interval) -> MinuteSeries {
        let all: Vec<&Sample> = samples.iter().collect();
        let steps: Vec<&Sample> =
            samples.iter().filter(|sample| sample.metric == Metric::STEP_COUNT).collect();
        minute_series(window, &steps, &all, &SourcePriority::default())
    }

    #[test]
    fn a_worn_watch_that_counts_no_step_gives_0_and_an_absent_one_gives_nothing() {
        let heart = |minute| watch().point(Metric::HEART_RATE, at(minute), 60.0);
        // A pause of 60 minutes is worn time, one of 61 is not.
        let found = series(&[heart(0), heart(60), heart(121)], minutes(0, 180));
        assert_eq!(found.values[..=60], [Some(0.0); 61]);
        assert_eq!(found.values[61..], [None; 119]);
        assert_eq!((found.observed(), found.minutes()), (61, 180));
        assert_eq!(found.sources, ["Watch"]);
    }

    #[test]
    fn a_phone_proves_only_the_minutes_in_which_it_counted_steps() {
        let found = series(&[steps(&phone(), 10, 12, 100.0), steps(&phone(), 20, 21, 30.0)], minutes(0, 30));
        assert_eq!(found.observed(), 3);
        assert_eq!(found.values[10..12], [Some(50.0); 2]);
        assert_eq!((found.values[12], found.values[20]), (None, Some(30.0)));
        assert_eq!(found.sources, ["Phone"]);
    }

    #[test]
    fn a_summary_of_hours_tells_no_minutes() {
        let heart = |minute| watch().point(Metric::HEART_RATE, at(minute), 60.0);
        let summary = steps(&watch(), 30, 120, 900.0);
        let found = series(&[heart(0), heart(50), heart(100), heart(150), summary], minutes(0, 180));
        assert_eq!(found.values[..30], [Some(0.0); 30]);
        assert_eq!(found.values[30..120], [None; 90]);
        assert_eq!(found.values[120..=150], [Some(0.0); 31]);
        assert_eq!(found.values[151..], [None; 29]);
    }

    #[test]
    fn readings_of_two_devices_make_no_chain() {
        let samples =
            [watch().point(Metric::HEART_RATE, at(0), 60.0), phone().point(Metric::HEART_RATE, at(20), 60.0)];
        assert_eq!(series(&samples, minutes(0, 30)).observed(), 0);
    }
}
