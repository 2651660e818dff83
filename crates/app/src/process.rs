//! The worker's work: computing anew what an upload or a deletion changed, and committing that with the job's end.
//!
//! Every result is a function of the readings that are stored, so doing the work twice changes nothing. A result is
//! replaced only in the version that was read before the readings were: a worker that was overtaken by another conflicts,
//! and begins again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use domain::{
    calendar::Calendar,
    envelope::{Envelope, Work},
    ids::{SampleId, UploadId, UserId},
    job::{JobEvent, JobState},
    measures::{
        activity::{self, MinuteSeries},
        daily::{self, zone_label},
        merge::SourcePriority,
        profile::{ProfileRules, profile},
        vitals::vitals,
    },
    metric::Metric,
    record::{Kind, Partition, RecordKey, SortRange},
    sample::Sample,
    sleep::{self, Night, SleepRules},
    time::{Interval, day_interval, local_date, timestamp},
};
use jiff::{ToSpan, civil::Date, tz::TimeZone};
use ports::{Error, ErrorKind, Precondition, Priority, Query, Version, Write};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    App,
    analysis::Week,
    days::DayRanges,
    error::Result,
    ingest::MEASURED,
    readings::Reader,
    records::{Stored, Tombstones, Upload, encode, get, query_all, replace},
    results::{CircadianWindow, Embedding},
    segments,
    upload::write_bytes,
};

/// Readings that begin up to so many days before a local day can touch it: a zone's offset and the longest reading.
pub(crate) const MARGIN_DAYS: i64 = 2;

/// How many days are computed, and committed, at once: what is in memory does not grow with what an upload touches.
pub(crate) const CHUNK_DAYS: usize = 7;

/// Eight days hold both weeks that may be chosen: the one that ends today, and the one that ended last midnight.
const WEEK_DAYS: u32 = 8;

/// How many segments are looked through at once.
const SEGMENTS_PAGE: usize = 64;

impl App {
    /// Computes what an upload changed, and completes its job.
    pub(crate) async fn process_upload(&self, user: UserId, id: UploadId) -> Result<()> {
        let key = RecordKey::upload(user, id);
        let Some(stored) = self.start_job(&key).await? else { return Ok(()) };
        let mut days: BTreeSet<Date> = stored.body.days.iter().copied().collect();
        if stored.body.has_deletions {
            days.extend(self.days_of_deleted(user, stored.body.sequence).await?);
        }
        self.recompute(user, &days).await?;
        let Some(completed) = stored.body.after(JobEvent::Complete, self.platform.clock.now()) else {
            return Err(Error::new(ErrorKind::Conflict, "job.complete").into());
        };
        let subject = json!({ "upload_id": id, "status": completed.state, "days": days });
        let writes = vec![replace(key, stored.version, encode(&completed)?)];
        self.commit_with_event(user, "upload.completed", subject, writes).await?;
        for of in &completed.segments {
            self.join_if_many(user, *of, self.settings.join_segments_min).await;
        }
        Ok(())
    }

    async fn join_if_many(&self, user: UserId, of: (Metric, Date), segments_min: usize) {
        if let Err(error) = self.join_segments(user, of, segments_min).await {
            // The readings are there all the same, and the next upload of that day tries again.
            tracing::warn!(%error, "segments could not be joined");
        }
    }

    /// Marks the upload's job as processing; `None` where there is nothing left to do.
    async fn start_job(&self, key: &RecordKey) -> Result<Option<Stored<Upload>>> {
        let mut attempt = 0;
        loop {
            let Some(stored) = get::<Upload>(&*self.platform.health_data, key).await? else {
                // An intent is committed with its upload, so this message was made up.
                return Err(Error::new(ErrorKind::NotFound, "job.upload").into());
            };
            if stored.body.deleted_at.is_some() || stored.body.state == JobState::Completed {
                return Ok(None);
            }
            let Some(processing) = stored.body.after(JobEvent::Start, self.platform.clock.now()) else {
                return Err(Error::new(ErrorKind::Conflict, "job.start").into());
            };
            if processing.state == stored.body.state {
                return Ok(Some(stored));
            }
            let write = replace(key.clone(), stored.version, encode(&processing)?);
            match self.platform.health_data.commit(vec![write]).await {
                Ok(()) => return Ok(Some(Stored { body: processing, version: stored.version.next() })),
                // The relay marked the job as queued in the meantime.
                Err(error)
                    if error.kind() == ErrorKind::Conflict && attempt < self.settings.commit_attempts_max =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Computes anew the days whose readings a deletion took away or, if the upload itself had deleted some, gave up to
    /// compute, and removes the upload's raw body.
    pub(crate) async fn process_deletion(&self, user: UserId, id: UploadId) -> Result<()> {
        let key = RecordKey::upload(user, id);
        let Some(stored) = get::<Upload>(&*self.platform.health_data, &key).await? else {
            return Err(Error::new(ErrorKind::NotFound, "job.deletion").into());
        };
        self.forget_raw(&stored.body.raw).await?;
        let mut days: BTreeSet<Date> = stored.body.days.iter().copied().collect();
        if stored.body.has_deletions {
            days.extend(self.days_of_deleted(user, stored.body.sequence).await?);
        }
        self.recompute(user, &days).await?;
        let subject = json!({ "upload_id": id, "days": days });
        self.commit_with_event(user, "upload.deleted", subject, Vec::new()).await
    }

    /// Writes that have the results of days computed; answers the intent.
    pub(crate) fn due(&self, user: UserId, due: &DueDays, writes: &mut Vec<Write>) -> Result<RecordKey> {
        let part = self.platform.ids.next();
        writes.push(Write::insert(RecordKey::due_days(user, part), encode(due)?));
        let (key, write) = self.intend_envelope(Envelope::new(user, Work::ComputeDays { part }))?;
        writes.push(write);
        Ok(key)
    }

    /// Computes the results of days that are due, and joins what an import left of them in pieces.
    pub(crate) async fn compute_due(&self, user: UserId, part: Uuid) -> Result<()> {
        let key = RecordKey::due_days(user, part);
        let store = &*self.platform.health_data;
        // Where it is gone, another worker did it.
        let Some(stored) = get::<DueDays>(store, &key).await? else { return Ok(()) };
        self.recompute(user, &stored.body.days.iter().collect()).await?;
        for (metric, days) in &stored.body.joins {
            for day in days.iter() {
                self.join_if_many(user, (*metric, day), 2).await;
            }
        }
        let days: Vec<Date> = stored.body.days.iter().collect();
        let subject = json!({ "first": days.first(), "last": days.last() });
        let writes = vec![Write::delete(key, Precondition::VersionEquals(stored.version))];
        self.commit_with_event(user, "metrics.computed", subject, writes).await
    }

    /// The local days of samples that change number `sequence` deleted. Ids do not say where their samples are, so all
    /// segments are looked through, a few at a time.
    async fn days_of_deleted(&self, user: UserId, sequence: u64) -> Result<BTreeSet<Date>> {
        let store = &*self.platform.health_data;
        let tombstones = Tombstones::of_change(store, user, sequence).await?;
        let deleted: HashSet<SampleId> = tombstones.ids.into_iter().collect();
        let mut days = BTreeSet::new();
        let mut query = Query::new(Partition::User(user), Kind::Segment, SortRange::all());
        query.limit = SEGMENTS_PAGE;
        loop {
            // What was joined while it was read lies in this page or a later one.
            let (found, next) = segments::load_page(&self.platform, &query).await?;
            for (_, sample) in found.iter().flat_map(|segment| &segment.samples) {
                if deleted.contains(&sample.id) {
                    let rules = sample.clock.rules();
                    days.insert(local_date(sample.interval.start_ms(), &rules));
                    days.insert(local_date(sample.interval.end_ms(), &rules));
                }
            }
            match next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(days),
            }
        }
    }

    /// Brings all results up to date which depend on `days`, and commits them chunk by chunk. A crash between two chunks
    /// leaves results that the next delivery finds already right.
    async fn recompute(&self, user: UserId, days: &BTreeSet<Date>) -> Result<()> {
        if days.is_empty() {
            return Ok(());
        }
        // A night may begin the day before, and the day after begins where this one ends.
        let around = days.iter().flat_map(|day| [day.yesterday().ok(), Some(*day), day.tomorrow().ok()]);
        let around: Vec<Date> = around.flatten().collect::<BTreeSet<_>>().into_iter().collect();
        for chunk in around.chunk_by(|day, next| day.tomorrow().is_ok_and(|after| after == *next)) {
            for days in chunk.chunks(CHUNK_DAYS) {
                self.compute_days(user, days).await?;
            }
        }
        self.compute_window(user).await
    }

    /// Reads the stored results of a range, each of which will be replaced or, if nothing takes its place, deleted.
    async fn read_results(
        &self,
        user: UserId,
        kind: Kind,
        range: SortRange,
        results: &mut Results,
    ) -> Result<()> {
        for record in query_all(&*self.platform.health_data, Partition::User(user), kind, range).await? {
            results.stored.insert(record.key, (record.version, record.body));
        }
        Ok(())
    }

    /// Computes successive days and their nights.
    async fn compute_days(&self, user: UserId, days: &[Date]) -> Result<()> {
        let (Some(first), Some(last)) = (days.first().copied(), days.last().copied()) else { return Ok(()) };
        let mut results = Results::default();
        for kind in [Kind::Daily, Kind::Sleep] {
            self.read_results(user, kind, RecordKey::days_between(first, last), &mut results).await?;
        }
        let reader = Reader::open(&self.platform, user).await?;
        let from = first.checked_sub(MARGIN_DAYS.days()).unwrap_or(first);
        let to = last.checked_add(MARGIN_DAYS.days()).unwrap_or(last);
        let samples = reader.samples_of(&MEASURED, from, to).await?;
        let workouts = reader.samples(Metric::WORKOUT, from, to).await?;
        let calendar = Calendar::new(&samples);
        let priority = self.source_priority(user).await?;
        let nights = self.nights_of(&samples);
        for date in days {
            let Some(day) = calendar.day(*date) else { continue };
            let of_day: Vec<Sample> =
                samples.iter().filter(|sample| touches(sample, day.interval)).cloned().collect();
            let mut measures = daily::daily(&day, &of_day, &priority);
            if measures.is_assessed() {
                // The night may have begun the day before.
                measures.vitals = Some(vitals(&day, &samples, &workouts, &nights, &priority));
                results.put(RecordKey::of_day(user, Kind::Daily, *date), encode(&measures)?);
            }
        }
        for night in nights {
            if (first..=last).contains(&night.date) {
                results.put(RecordKey::of_day(user, Kind::Sleep, night.date), encode(&night)?);
            }
        }
        self.commit_results(results, &reader).await
    }

    fn nights_of(&self, samples: &[Sample]) -> Vec<Night> {
        let stages: Vec<Sample> =
            samples.iter().filter(|sample| sample.metric == Metric::SLEEP_ANALYSIS).cloned().collect();
        let rules =
            SleepRules { session_gap_minutes: self.settings.sleep_gap_minutes, ..SleepRules::default() };
        sleep::nights(&stages, &rules)
    }

    /// The circadian window and the PAT week that end with the last day of steps. There is one of each: a window that
    /// ended earlier would go stale when a late reading touches it.
    pub(crate) async fn compute_window(&self, user: UserId) -> Result<()> {
        let mut results = Results::default();
        for kind in [Kind::Circadian, Kind::Embedding] {
            self.read_results(user, kind, SortRange::all(), &mut results).await?;
        }
        let reader = Reader::open(&self.platform, user).await?;
        if let Some(date) = last_day_of_steps(&reader).await? {
            let samples = samples_before(&reader, date, self.settings.circadian_days.max(WEEK_DAYS)).await?;
            self.window_of(user, date, &samples, &mut results).await?;
        }
        self.commit_results(results, &reader).await
    }

    /// The newest week of somebody's steps that was observed well enough for PAT.
    pub(crate) async fn newest_week(&self, user: UserId) -> Result<Option<Week>> {
        let reader = Reader::open(&self.platform, user).await?;
        let Some(date) = last_day_of_steps(&reader).await? else { return Ok(None) };
        let samples = samples_before(&reader, date, WEEK_DAYS).await?;
        let priority = self.source_priority(user).await?;
        let series = Steps::new(&samples, &priority).until(date, WEEK_DAYS);
        let week = Week::best(&series, &TimeZone::UTC);
        Ok(week.filter(|week| week.coverage().share() >= self.settings.pat_coverage_min))
    }

    async fn window_of(
        &self,
        user: UserId,
        date: Date,
        samples: &[Sample],
        results: &mut Results,
    ) -> Result<()> {
        let priority = self.source_priority(user).await?;
        let steps = Steps::new(samples, &priority);
        let calendar = &steps.calendar;
        let Some(last) = calendar.day(date) else { return Ok(()) };
        let zone = zone_label(&last.clock.rules(), last.interval.start_ms());
        let midnights = |first: Date, last_date: Date| {
            let here = last.clock.rules();
            let of = |date| calendar.day(date).map_or_else(|| day_interval(date, &here), |day| day.interval);
            (timestamp(of(first).start_ms()), timestamp(of(last_date).end_ms()))
        };
        let back = i64::from(self.settings.circadian_days) - 1;
        let (start, end) = midnights(date.checked_sub(back.days()).unwrap_or(date), date);
        let of_window = steps.until(date, self.settings.circadian_days);
        let measures = self.circadian_of(&of_window, &TimeZone::UTC);
        let days = calendar.days_to(date, self.settings.circadian_days);
        let profile = profile(&days, &of_window, &self.nights_of(samples), &ProfileRules::default());
        let window =
            CircadianWindow { date, start, end, zone: zone.clone(), measures, profile: Some(profile) };
        results.put(RecordKey::of_day(user, Kind::Circadian, date), encode(&window)?);
        let embedding =
            self.embed_best_week(&steps.until(date, WEEK_DAYS), &TimeZone::UTC, Priority::Batch).await?;
        let (start, end) =
            midnights(embedding.date.checked_sub(6.days()).unwrap_or(embedding.date), embedding.date);
        let embedding = Embedding { start, end, zone, ..embedding };
        results.put(RecordKey::of_day(user, Kind::Embedding, embedding.date), encode(&embedding)?);
        Ok(())
    }

    /// Commits results in as many commits as they need.
    async fn commit_results(&self, results: Results, reader: &Reader<'_>) -> Result<()> {
        let limits = self.platform.health_data.limits();
        let mut writes = results.into_writes(Version(reader.timeline.sequence.max(1)));
        while !writes.is_empty() {
            let mut bytes = 0;
            let fitting = writes.iter().take(limits.writes_max).take_while(|write| {
                bytes += write_bytes(write);
                bytes <= limits.bytes_max
            });
            let count = fitting.count().max(1);
            let rest = writes.split_off(count);
            self.platform.health_data.commit(writes).await?;
            writes = rest;
        }
        Ok(())
    }
}

/// Somebody's steps beside all that shows whether a device was there to count them.
struct Steps<'a> {
    counts: Vec<&'a Sample>,
    presence: Vec<&'a Sample>,
    calendar: Calendar,
    priority: &'a SourcePriority,
}

impl<'a> Steps<'a> {
    fn new(samples: &'a [Sample], priority: &'a SourcePriority) -> Self {
        let counts = samples.iter().filter(|sample| sample.metric == Metric::STEP_COUNT).collect();
        Self { counts, presence: samples.iter().collect(), calendar: Calendar::new(samples), priority }
    }

    /// A minute each of the `days` days up to `date`, 1440 a day by the person's own clock, so that they are read as UTC.
    fn until(&self, date: Date, days: u32) -> MinuteSeries {
        let days = self.calendar.days_to(date, days);
        activity::local_series(&days, &self.counts, &self.presence, self.priority)
    }
}

/// What is measured of the `days` days up to `date`, and around them.
async fn samples_before(reader: &Reader<'_>, date: Date, days: u32) -> Result<Vec<Sample>> {
    let from = date.checked_sub((i64::from(days) + MARGIN_DAYS).days()).unwrap_or(date);
    let to = date.checked_add(MARGIN_DAYS.days()).unwrap_or(date);
    Ok(reader.samples_of(&MEASURED, from, to).await?)
}

/// The local date of the last reading of steps that is not deleted.
async fn last_day_of_steps(reader: &Reader<'_>) -> Result<Option<Date>> {
    let Some(days) = reader.timeline.held.get(&Metric::STEP_COUNT) else { return Ok(None) };
    let mut candidate = days.last();
    while let Some(day) = candidate {
        let steps = reader.samples(Metric::STEP_COUNT, day, day).await?;
        if let Some(last) = steps.last() {
            return Ok(Some(local_date(last.interval.start_ms(), &last.clock.rules())));
        }
        candidate = day.yesterday().ok().and_then(|before| days.at_or_before(before));
    }
    Ok(None)
}

pub(crate) fn touches(sample: &Sample, day: Interval) -> bool {
    let (start, end) =
        (sample.interval.start_ms(), sample.interval.end_ms().max(sample.interval.start_ms() + 1));
    start < day.end_ms() && end > day.start_ms()
}

/// Days whose results are to be computed.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct DueDays {
    pub days: DayRanges,
    /// Days that have several segments, which are to be joined.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub joins: BTreeMap<Metric, DayRanges>,
}

impl DueDays {
    pub(crate) fn is_empty(&self) -> bool {
        self.days.is_empty() && self.joins.is_empty()
    }
}

/// Results as they are stored and as they should be.
#[derive(Default)]
struct Results {
    stored: BTreeMap<RecordKey, (Version, Bytes)>,
    computed: BTreeMap<RecordKey, Bytes>,
}

impl Results {
    fn put(&mut self, key: RecordKey, body: Bytes) {
        self.computed.insert(key, body);
    }

    /// The difference: nothing for a result that is the same, byte for byte. What is new begins at version `first`, which
    /// grows with the user's changes, so that a result that was deleted and made again is not taken for the old one.
    fn into_writes(mut self, first: Version) -> Vec<Write> {
        let mut writes = Vec::new();
        for (key, body) in self.computed {
            match self.stored.remove(&key) {
                Some((_, held)) if held == body => {}
                Some((version, _)) => {
                    let next = version.next().max(first);
                    writes.push(Write::put(key, next, body, Precondition::VersionEquals(version)));
                }
                None => writes.push(Write::put(key, first, body, Precondition::Absent)),
            }
        }
        let stale = self.stored.into_iter();
        writes.extend(
            stale.map(|(key, (version, _))| Write::delete(key, Precondition::VersionEquals(version))),
        );
        writes
    }
}
