//! The worker's work: computing anew what an upload or a deletion changed, and committing that with the job's end.
//!
//! Every result is a function of the readings that are stored, so doing the work twice changes nothing. A result is
//! replaced only in the version that was read before the readings were: a worker that was overtaken by another conflicts,
//! and begins again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use domain::{
    calendar::{Calendar, LocalDay},
    ids::{SampleId, UploadId, UserId},
    job::{JobEvent, JobState},
    measures::{
        activity,
        daily::{self, zone_label},
        merge::SourcePriority,
    },
    metric::Metric,
    record::{Kind, Partition, RecordKey, SortRange},
    sample::Sample,
    segment,
    sleep::{self, SleepRules},
    time::{local_date, timestamp},
};
use jiff::{ToSpan, civil::Date, tz::TimeZone};
use ports::{Error, ErrorKind, Event, Precondition, Version, Write};
use serde_json::json;

use crate::{
    App,
    days::DayRanges,
    error::Result,
    readings::Reader,
    records::{Stored, Tombstones, Upload, corrupt, encode, get, query_all, replace},
    results::{CircadianWindow, Embedding},
    upload::write_bytes,
};

/// What the measures of a day are computed from.
const DAY_METRICS: [Metric; 12] = [
    Metric::STEP_COUNT,
    Metric::ACTIVE_ENERGY_BURNED,
    Metric::BASAL_ENERGY_BURNED,
    Metric::DISTANCE_WALKING_RUNNING,
    Metric::FLIGHTS_CLIMBED,
    Metric::APPLE_EXERCISE_TIME,
    Metric::HEART_RATE,
    Metric::RESTING_HEART_RATE,
    Metric::HEART_RATE_VARIABILITY_SDNN,
    Metric::RESPIRATORY_RATE,
    Metric::OXYGEN_SATURATION,
    Metric::SLEEP_ANALYSIS,
];

/// Readings that begin up to so many days before a local day can touch it: a zone's offset and a long night.
const MARGIN_DAYS: i64 = 2;

/// Days that lie further apart than this are computed one after the other.
const RUN_GAP_DAYS: i64 = 5;

impl App {
    /// Computes what an upload changed, and completes its job.
    pub(crate) async fn process_upload(&self, user: UserId, id: UploadId) -> Result<()> {
        let key = RecordKey::upload(user, id);
        let Some(stored) = self.start_job(&key).await? else { return Ok(()) };
        let mut days: BTreeSet<Date> = stored.body.days.iter().copied().collect();
        if stored.body.has_deletions {
            days.extend(self.days_of_deleted(user, stored.body.sequence).await?);
        }
        let mut writes = self.recompute(user, &days).await?;
        let Some(completed) = stored.body.after(JobEvent::Complete, self.platform.clock.now()) else {
            return Err(Error::new(ErrorKind::Conflict, "job.complete").into());
        };
        let subject = json!({ "upload_id": id, "status": completed.state, "days": days });
        let (event, event_write) = self.event(user, "upload.completed", subject)?;
        writes.push(replace(key, Some(stored.version), encode(&completed)?));
        writes.push(event_write);
        self.commit_results(writes, event).await
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
            let write = replace(key.clone(), Some(stored.version), encode(&processing)?);
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

    /// Computes anew the days whose samples a deletion took away.
    pub(crate) async fn process_deletion(&self, user: UserId, id: UploadId) -> Result<()> {
        let key = RecordKey::upload(user, id);
        let Some(stored) = get::<Upload>(&*self.platform.health_data, &key).await? else {
            return Err(Error::new(ErrorKind::NotFound, "job.deletion").into());
        };
        let days: BTreeSet<Date> = stored.body.days.iter().copied().collect();
        let mut writes = self.recompute(user, &days).await?;
        let (event, event_write) =
            self.event(user, "upload.deleted", json!({ "upload_id": id, "days": days }))?;
        writes.push(event_write);
        self.commit_results(writes, event).await
    }

    /// Commits results in as many commits as they need; the job's end is in the last. A crash between two of them leaves
    /// results that the next delivery finds already right.
    async fn commit_results(&self, mut writes: Vec<Write>, event: Event) -> Result<()> {
        let limits = self.platform.health_data.limits();
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
        // The event is kept in the commit; this only wakes who listens now.
        if let Err(error) = self.platform.events.publish(event).await {
            tracing::warn!(error = %error, "an event was kept but not announced");
        }
        Ok(())
    }

    /// The local days of samples that change number `sequence` deleted. Ids do not say where their samples are, so all
    /// segments are looked through; phones delete rarely.
    async fn days_of_deleted(&self, user: UserId, sequence: u64) -> Result<BTreeSet<Date>> {
        let store = &*self.platform.health_data;
        let Some(stored) = get::<Tombstones>(store, &RecordKey::tombstone(user, sequence)).await? else {
            return Ok(BTreeSet::new());
        };
        let deleted: HashSet<SampleId> = stored.body.ids.into_iter().collect();
        let mut days = BTreeSet::new();
        for record in query_all(store, Partition::User(user), Kind::Segment, SortRange::all()).await? {
            let ids = segment::decode_ids(&record.body).map_err(|error| corrupt(&record.key, &error))?;
            if ids.iter().any(|id| deleted.contains(id)) {
                let samples = segment::decode(&record.body).map_err(|error| corrupt(&record.key, &error))?;
                for sample in samples.iter().filter(|sample| deleted.contains(&sample.id)) {
                    let rules = sample.clock.rules();
                    days.insert(local_date(sample.interval.start_ms(), &rules));
                    days.insert(local_date(sample.interval.end_ms(), &rules));
                }
            }
        }
        Ok(days)
    }

    /// The writes that bring all results up to date which depend on `days`.
    async fn recompute(&self, user: UserId, days: &BTreeSet<Date>) -> Result<Vec<Write>> {
        if days.is_empty() {
            return Ok(Vec::new());
        }
        let mut results = Results::default();
        for (first, last) in runs(days) {
            // The day after begins where this one ends, and its night may have begun in this one.
            let after = last.checked_add(1.day()).unwrap_or(last);
            self.read_results(user, Kind::Daily, RecordKey::days_between(first, after), &mut results).await?;
            self.read_results(user, Kind::Sleep, RecordKey::days_between(first, after), &mut results).await?;
            let reader = Reader::open(&*self.platform.health_data, user).await?;
            self.compute_days(user, &reader, (first, after), &mut results).await?;
        }
        for kind in [Kind::Circadian, Kind::Embedding] {
            self.read_results(user, kind, SortRange::all(), &mut results).await?;
        }
        let reader = Reader::open(&*self.platform.health_data, user).await?;
        self.compute_window(user, &reader, &mut results).await?;
        Ok(results.into_writes())
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

    async fn compute_days(
        &self,
        user: UserId,
        reader: &Reader<'_>,
        (first, last): (Date, Date),
        results: &mut Results,
    ) -> Result<()> {
        let from = first.checked_sub(MARGIN_DAYS.days()).unwrap_or(first);
        let to = last.checked_add(MARGIN_DAYS.days()).unwrap_or(last);
        let samples = reader.samples_of(&DAY_METRICS, from, to).await?;
        let calendar = Calendar::new(&samples);
        let priority = SourcePriority::default();
        let mut date = first;
        while date <= last {
            if let Some(day) = calendar.day(date) {
                let of_day: Vec<Sample> =
                    samples.iter().filter(|sample| touches(sample, &day)).cloned().collect();
                if of_day.iter().any(|sample| sample.metric != Metric::SLEEP_ANALYSIS) {
                    let measures = daily::daily(&day, &of_day, &priority);
                    results.put(RecordKey::of_day(user, Kind::Daily, date), encode(&measures)?);
                }
            }
            date = date.tomorrow().unwrap_or(Date::MAX);
        }
        let stages: Vec<Sample> =
            samples.into_iter().filter(|sample| sample.metric == Metric::SLEEP_ANALYSIS).collect();
        let rules =
            SleepRules { session_gap_minutes: self.settings.sleep_gap_minutes, ..SleepRules::default() };
        for night in sleep::nights(&stages, &rules) {
            if (first..=last).contains(&night.date) {
                results.put(RecordKey::of_day(user, Kind::Sleep, night.date), encode(&night)?);
            }
        }
        Ok(())
    }

    /// The circadian window and the PAT week that end with the last day of steps. There is one of each: a window that
    /// ended earlier would go stale when a late reading touches it.
    async fn compute_window(&self, user: UserId, reader: &Reader<'_>, results: &mut Results) -> Result<()> {
        let Some(last_utc) = reader.timeline.held.get(&Metric::STEP_COUNT).and_then(DayRanges::last) else {
            return Ok(());
        };
        let span = i64::from(self.settings.circadian_days.max(8)) + MARGIN_DAYS;
        let from = last_utc.checked_sub(span.days()).unwrap_or(last_utc);
        let samples = reader.samples_of(&DAY_METRICS, from, last_utc).await?;
        let steps: Vec<&Sample> =
            samples.iter().filter(|sample| sample.metric == Metric::STEP_COUNT).collect();
        let Some(last_step) = steps.iter().max_by_key(|sample| (sample.interval.start_ms(), sample.id))
        else {
            return Ok(());
        };
        let date = local_date(last_step.interval.start_ms(), &last_step.clock.rules());
        let presence: Vec<&Sample> = samples.iter().collect();
        let calendar = Calendar::new(&samples);
        let Some(last) = calendar.day(date) else { return Ok(()) };
        let zone = zone_label(&last.clock.rules(), last.interval.start_ms());
        let local = |days: u32| {
            let dates = (0..i64::from(days)).rev().filter_map(|back| date.checked_sub(back.days()).ok());
            let days: Vec<LocalDay> = dates.filter_map(|date| calendar.day(date)).collect();
            let start_ms = days.first().map_or(last.interval.start_ms(), |day| day.interval.start_ms());
            (
                activity::local_series(&days, &steps, &presence, &SourcePriority::default()),
                timestamp(start_ms),
            )
        };
        // Both series hold 1440 minutes a day by the person's own clock, so both are read as UTC.
        let (series, start) = local(self.settings.circadian_days);
        let measures = self.circadian_of(&series, &TimeZone::UTC);
        let end = timestamp(last.interval.end_ms());
        let window = CircadianWindow { date, start, end, zone: zone.clone(), measures };
        results.put(RecordKey::of_day(user, Kind::Circadian, date), encode(&window)?);
        // Eight days hold both weeks that may be chosen: the one that ends today, and the one that ended last midnight.
        let (series, _) = local(8);
        let embedding = Embedding { zone, ..self.embed_best_week(&series, &TimeZone::UTC).await? };
        let (Some(first), Some(last)) = (
            embedding.date.checked_sub(6.days()).ok().and_then(|first| calendar.day(first)),
            calendar.day(embedding.date),
        ) else {
            return Ok(());
        };
        let (start, end) = (timestamp(first.interval.start_ms()), timestamp(last.interval.end_ms()));
        let embedding = Embedding { start, end, ..embedding };
        results.put(RecordKey::of_day(user, Kind::Embedding, embedding.date), encode(&embedding)?);
        Ok(())
    }
}

fn touches(sample: &Sample, day: &LocalDay) -> bool {
    let (start, end) =
        (sample.interval.start_ms(), sample.interval.end_ms().max(sample.interval.start_ms() + 1));
    start < day.interval.end_ms() && end > day.interval.start_ms()
}

/// Days in runs without a large gap, so that a late reading of last year does not load the year between.
fn runs(days: &BTreeSet<Date>) -> Vec<(Date, Date)> {
    let mut runs: Vec<(Date, Date)> = Vec::new();
    for day in days {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(RUN_GAP_DAYS.days()).is_ok_and(|reach| *day <= reach) => {
                *last = *day;
            }
            _ => runs.push((*day, *day)),
        }
    }
    runs
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

    /// The difference: nothing for a result that is the same, byte for byte.
    fn into_writes(mut self) -> Vec<Write> {
        let mut writes = Vec::new();
        for (key, body) in self.computed {
            match self.stored.remove(&key) {
                Some((_, held)) if held == body => {}
                stored => writes.push(replace(key, stored.map(|(version, _)| version), body)),
            }
        }
        let stale = self.stored.into_iter();
        writes.extend(
            stale.map(|(key, (version, _))| Write::delete(key, Precondition::VersionEquals(version))),
        );
        writes
    }
}
