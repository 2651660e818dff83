//! From accepted samples to segments: one block per metric and UTC day.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    ids::UserId,
    metric::Metric,
    record::RecordKey,
    sample::Sample,
    segment,
    time::{Interval, LocalClock, day_interval, local_date, utc_date},
};
use jiff::civil::Date;
use ports::{Error, ErrorKind, Write};

use super::{Fate, Prepared, judge::Verdicts};
use crate::{error::Result, ingest::MEASURED, records::Timeline};

const DAY_MS: i64 = 86_400_000;

/// No clock is set back or forward over midnight by more.
const CLOCK_CHANGE_MS: i64 = 3 * 3_600_000;

/// The samples of one metric and one UTC day.
pub(super) type Groups = BTreeMap<(Metric, Date), Vec<usize>>;

/// What tells one block from another: the metric and the number of the UTC day.
pub(crate) fn block_of(sample: &Sample) -> (Metric, i64) {
    (sample.metric, sample.interval.start_ms().div_euclid(DAY_MS))
}

pub(super) fn group(samples: &[Sample]) -> Groups {
    let (mut groups, mut at) = (Groups::new(), 0);
    for run in samples.chunk_by(|one, next| block_of(one) == block_of(next)) {
        let key = (run[0].metric, utc_date(run[0].interval.start_ms()));
        groups.entry(key).or_default().extend(at..at + run.len());
        at += run.len();
    }
    groups
}

/// When the first and when the last of `members` begins.
pub(super) fn span(prepared: &Prepared, members: &[usize]) -> (i64, i64) {
    let starts = members.iter().map(|at| prepared.parsed.samples[*at].interval.start_ms());
    starts.fold((i64::MAX, i64::MIN), |(low, high), at| (low.min(at), high.max(at)))
}

/// The segments of an upload.
#[derive(Default)]
pub(super) struct Blocks {
    pub writes: Vec<Write>,
    pub keys: Vec<(Metric, Date)>,
    /// Those of days of which segments are held already.
    pub beside: Vec<(Metric, Date)>,
    pub days: BTreeSet<Date>,
}

/// Encodes the accepted samples, and enters their days into the timeline.
pub(super) fn encode(
    user: UserId,
    groups: Groups,
    verdicts: &Verdicts<'_>,
    timeline: &mut Timeline,
) -> Result<Blocks> {
    let mut made = Blocks { writes: Vec::with_capacity(groups.len() + 6), ..Blocks::default() };
    let mut touched = Touched::default();
    for ((metric, day), members) in groups {
        let samples = accepted(verdicts, &members);
        if samples.is_empty() {
            continue;
        }
        if MEASURED.contains(&metric) || metric == Metric::WORKOUT {
            for sample in samples.iter() {
                touched.add(sample);
            }
        }
        let body = segment::encode(&samples)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "segment.encode").with_cause(error))?;
        made.writes.push(Write::insert(RecordKey::segment(user, metric, day, timeline.sequence), body));
        let last_ms = samples.iter().map(|sample| sample.interval.start_ms()).max();
        if timeline.holds(metric, day) {
            made.beside.push((metric, day));
        }
        timeline.note(metric, day, last_ms.unwrap_or(i64::MAX));
        made.keys.push((metric, day));
    }
    made.days = touched.days;
    Ok(made)
}

/// Those of `members` that were accepted, and what duplicates tell more of held ones. A file's stand together, and are mostly accepted all: they are not copied.
fn accepted<'a>(verdicts: &Verdicts<'a>, members: &[usize]) -> Cow<'a, [Sample]> {
    let samples = &verdicts.prepared.parsed.samples;
    let is_accepted = |at: &usize| verdicts.fates[*at] == Fate::Accepted;
    if let (Some(first), Some(last)) = (members.first(), members.last())
        && last - first + 1 == members.len()
        && verdicts.carried.is_empty()
        && verdicts.completed.is_empty()
        && members.iter().all(is_accepted)
    {
        return Cow::Borrowed(&samples[*first..=*last]);
    }
    let sample = |at: &usize| match (verdicts.completed.get(at), verdicts.carried.get(at)) {
        (Some(held), _) => held.clone(),
        (None, Some(metadata)) => Sample { metadata: Some(Arc::clone(metadata)), ..samples[*at].clone() },
        (None, None) => samples[*at].clone(),
    };
    let is_written = |at: &&usize| is_accepted(at) || verdicts.completed.contains_key(*at);
    Cow::Owned(members.iter().filter(is_written).map(sample).collect())
}

/// The local days in which readings begin and end; [`MEASURED`] ones last no longer than two, and a workout is its last
/// day's.
#[derive(Default)]
struct Touched {
    days: BTreeSet<Date>,
    /// The middle of the day of the reading before: whatever lies in it touches that day only.
    middle: Option<(Arc<LocalClock>, Interval)>,
}

impl Touched {
    fn add(&mut self, sample: &Sample) {
        let first_ms = sample.interval.start_ms();
        let last_ms = sample.interval.end_ms().max(first_ms + 1) - 1;
        if let Some((clock, middle)) = &self.middle
            && Arc::ptr_eq(clock, &sample.clock)
            && middle.start_ms() <= first_ms
            && last_ms < middle.end_ms()
        {
            return;
        }
        let rules = sample.clock.rules();
        let date = local_date(first_ms, &rules);
        self.days.extend([date, local_date(last_ms, &rules)]);
        let day = day_interval(date, &rules);
        let middle = Interval::new(
            day.start_ms().saturating_add(CLOCK_CHANGE_MS),
            day.end_ms().saturating_sub(CLOCK_CHANGE_MS),
        );
        self.middle = middle.ok().map(|middle| (Arc::clone(&sample.clock), middle));
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        sample::{Source, Value},
        time::ZoneName,
    };

    use super::*;

    #[test]
    fn each_local_day_that_a_reading_touches_is_noted_also_where_clocks_change() {
        let source = Arc::new(Source::default());
        for zone in ["Europe/Berlin", "America/Santiago", "America/Havana", "Asia/Kathmandu"] {
            let clock = Arc::new(LocalClock { offset_seconds: 0, zone: Some(ZoneName::new(zone).unwrap()) });
            let rules = clock.rules();
            let (mut touched, mut expected) = (Touched::default(), BTreeSet::new());
            // Of a year, every 7 minutes, and an hour long now and then.
            let start_ms = 1_735_689_600_000;
            for at in 0..365 * 24 * 60 / 7 {
                let start_ms = start_ms + at * 7 * 60_000;
                let interval = Interval::new(start_ms, start_ms + (at % 11) * 360_000).unwrap();
                let sample = Sample {
                    id: uuid::Uuid::nil().into(),
                    metric: Metric::HEART_RATE,
                    interval,
                    value: Value::Quantity(60.0),
                    clock: Arc::clone(&clock),
                    source: Arc::clone(&source),
                    metadata: None,
                };
                touched.add(&sample);
                let last_ms = interval.end_ms().max(start_ms + 1) - 1;
                expected.extend([local_date(start_ms, &rules), local_date(last_ms, &rules)]);
            }
            assert_eq!(touched.days, expected, "{zone}");
        }
    }
}
