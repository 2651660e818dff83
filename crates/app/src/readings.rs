//! Reading samples back: a day's segments merged, the newest version of each reading, without the deleted ones.

use std::{collections::HashSet, sync::Arc};

use domain::{
    ids::{SampleId, UserId},
    metric::Metric,
    record::RecordKey,
    sample::{ContentKey, Sample},
};
use jiff::civil::Date;

use crate::{
    App, Platform,
    audit::Caller,
    error::Result,
    records::{Deleted, Timeline},
    segments::{self, Segment},
};

/// Samples of one user as of one moment.
pub(crate) struct Reader<'a> {
    platform: &'a Platform,
    user: UserId,
    pub(crate) timeline: Timeline,
    deleted: Arc<Deleted>,
}

impl<'a> Reader<'a> {
    pub(crate) async fn open(platform: &'a Platform, user: UserId) -> ports::Result<Self> {
        let store = &*platform.health_data;
        let timeline = Timeline::read(store, user).await?;
        let deleted = Deleted::read(store, user, &timeline).await?;
        Ok(Self { platform, user, timeline, deleted: Arc::new(deleted) })
    }

    /// The readings of `metric` that begin on the UTC days `[first, last]`, ordered by start and id.
    pub(crate) async fn samples(
        &self,
        metric: Metric,
        first: Date,
        last: Date,
    ) -> ports::Result<Vec<Sample>> {
        if !self.timeline.held.get(&metric).is_some_and(|days| days.touches(first, last)) {
            return Ok(Vec::new());
        }
        let range = RecordKey::segments_between(metric, first, last);
        let segments = segments::load(self.platform, self.user, range, |_| Ok(true)).await?;
        let count: usize = segments.iter().map(|segment| segment.samples.len()).sum();
        let deleted = Arc::clone(&self.deleted);
        segments::apart(count, move || Ok(newest(segments, &deleted))).await
    }

    /// The readings of several metrics, in the metrics' order.
    pub(crate) async fn samples_of(
        &self,
        metrics: &[Metric],
        first: Date,
        last: Date,
    ) -> ports::Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for metric in metrics {
            samples.extend(self.samples(*metric, first, last).await?);
        }
        Ok(samples)
    }
}

/// The newest version of each reading, without the deleted ones, ordered by start and id.
fn newest(segments: Vec<Segment>, deleted: &Deleted) -> Vec<Sample> {
    let named = named_beside_lines(&segments);
    // Also where the one with an id was deleted: its line does not come back.
    let is_told_twice =
        |sample: &Sample| !named.is_empty() && is_line(sample) && named.contains(&sample.export_key());
    let identity = |sample: &Sample| (sample.interval.start_ms(), sample.id);
    let mut samples: Vec<(u64, Sample)> = segments
        .into_iter()
        .flat_map(|segment| segment.samples)
        .filter(|(_, sample)| !deleted.holds(sample) && !is_told_twice(sample))
        .collect();
    // Segments are sorted, so that this only merges them.
    samples.sort_by_key(|(sequence, sample)| (identity(sample), *sequence));
    samples.dedup_by(|(_, later), (_, earlier)| {
        let is_same = identity(later) == identity(earlier);
        if is_same {
            std::mem::swap(later, earlier);
        }
        is_same
    });
    samples.into_iter().map(|(_, sample)| sample).collect()
}

/// Whether a reading may be a line of an export: it has no id of the phone's, and tells no more than those do.
fn is_line(sample: &Sample) -> bool {
    sample.id.is_derived() && sample.may_be_exported()
}

/// What the readings with ids of the phone's are in an export, where there are lines of one beside them.
fn named_beside_lines(segments: &[Segment]) -> HashSet<ContentKey> {
    let samples = || segments.iter().flat_map(|segment| &segment.samples).map(|(_, sample)| sample);
    if !samples().any(is_line) {
        return HashSet::new();
    }
    samples().filter(|sample| !sample.id.is_derived()).map(Sample::export_key).collect()
}

/// What a listing is asked for.
#[derive(Clone, Default)]
pub struct Listing {
    /// One metric, or all.
    pub metric: Option<Metric>,
    /// Readings that begin at or after this instant (milliseconds).
    pub start_ms: Option<i64>,
    /// Readings that begin before this instant (milliseconds).
    pub end_ms: Option<i64>,
    /// Readings whose source has this bundle, name or product type.
    pub source: Option<String>,
    /// Where to go on.
    pub from: Option<Position>,
    /// At most so many.
    pub limit: usize,
}

/// The place of one reading in the order of a listing: newest first, then metric, then id.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// When the reading begins.
    pub start_ms: i64,
    /// Its metric.
    pub metric: Metric,
    /// Its id.
    pub id: SampleId,
    /// Towards newer readings rather than older ones.
    pub backwards: bool,
}

/// A page of readings, newest first.
pub struct Readings {
    /// The readings.
    pub samples: Vec<Sample>,
    /// Whether older ones follow.
    pub has_older: bool,
    /// Whether newer ones precede.
    pub has_newer: bool,
}

type Order = (std::cmp::Reverse<i64>, Metric, SampleId);

fn order(sample: &Sample) -> Order {
    (std::cmp::Reverse(sample.interval.start_ms()), sample.metric, sample.id)
}

impl App {
    /// Lists readings. Positions name readings, so pages stay stable while others are added or deleted.
    pub async fn list_readings(&self, caller: &Caller, listing: &Listing) -> Result<Readings> {
        self.platform.audit_read(caller, "health_data").await?;
        let reader = Reader::open(&self.platform, caller.user_id).await?;
        let backwards = listing.from.as_ref().is_some_and(|from| from.backwards);
        let from = listing.from.as_ref().map(|from| (std::cmp::Reverse(from.start_ms), from.metric, from.id));
        let metrics: Vec<Metric> = match listing.metric {
            Some(metric) => vec![metric],
            None => reader.timeline.held.keys().copied().collect(),
        };
        let mut found: Vec<Sample> = Vec::new();
        let mut day = first_day(listing, &reader, &metrics, backwards);
        while let Some(at) = day {
            let mut samples = reader.samples_of(&metrics, at, at).await?;
            samples.retain(|sample| {
                let beyond = from
                    .as_ref()
                    .is_none_or(|from| if backwards { order(sample) < *from } else { order(sample) > *from });
                beyond && matches(sample, listing)
            });
            samples.sort_unstable_by_key(order);
            if backwards {
                samples.reverse();
            }
            found.extend(samples);
            if found.len() > listing.limit {
                break;
            }
            day = next_day(&reader, &metrics, at, backwards).filter(|next| within(*next, listing, backwards));
        }
        let more = found.len() > listing.limit;
        found.truncate(listing.limit);
        if backwards {
            found.reverse();
        }
        // Whoever came from a reading has it on the other side.
        let (has_older, has_newer) = if backwards { (true, more) } else { (more, listing.from.is_some()) };
        Ok(Readings { samples: found, has_older, has_newer })
    }
}

fn first_day(listing: &Listing, reader: &Reader<'_>, metrics: &[Metric], backwards: bool) -> Option<Date> {
    let of = |ms: i64| domain::time::utc_date(ms);
    let from = listing.from.as_ref().map(|from| of(from.start_ms));
    let first = if backwards {
        let begin = from.into_iter().chain(listing.start_ms.map(of)).max().unwrap_or(Date::MIN);
        held(reader, metrics).filter_map(|days| days.at_or_after(begin)).min()
    } else {
        let begin = from.into_iter().chain(listing.end_ms.map(of)).min().unwrap_or(Date::MAX);
        held(reader, metrics).filter_map(|days| days.at_or_before(begin)).max()
    };
    first.filter(|day| within(*day, listing, backwards))
}

fn held<'a>(
    reader: &'a Reader<'_>,
    metrics: &'a [Metric],
) -> impl Iterator<Item = &'a crate::days::DayRanges> {
    metrics.iter().filter_map(|metric| reader.timeline.held.get(metric))
}

fn next_day(reader: &Reader<'_>, metrics: &[Metric], day: Date, backwards: bool) -> Option<Date> {
    if backwards {
        let next = day.tomorrow().ok()?;
        held(reader, metrics).filter_map(|days| days.at_or_after(next)).min()
    } else {
        let next = day.yesterday().ok()?;
        held(reader, metrics).filter_map(|days| days.at_or_before(next)).max()
    }
}

/// Whether the walk has not yet left the asked instants.
fn within(day: Date, listing: &Listing, backwards: bool) -> bool {
    let of = |ms: i64| domain::time::utc_date(ms);
    if backwards {
        listing.end_ms.is_none_or(|end| day <= of(end))
    } else {
        listing.start_ms.is_none_or(|start| day >= of(start))
    }
}

fn matches(sample: &Sample, listing: &Listing) -> bool {
    let start = sample.interval.start_ms();
    let source = &sample.source;
    listing.start_ms.is_none_or(|from| start >= from)
        && listing.end_ms.is_none_or(|to| start < to)
        && listing.source.as_deref().is_none_or(|wanted| {
            [&source.bundle, &source.name, &source.product_type]
                .into_iter()
                .flatten()
                .any(|name| name == wanted)
        })
}
