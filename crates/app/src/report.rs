//! What a report of a person's days is made of.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    calendar::{Calendar, LocalDay},
    ids::UserId,
    measures::{
        activity::{self, MinuteSeries},
        circadian::Circadian,
        daily::{Daily, zone_label},
        merge::SourcePriority,
        profile::{self, Profile, ProfileRules},
        scoring::SleepWake,
    },
    metric::Metric,
    record::Kind,
    sample::Sample,
    sleep::Night,
};
use jiff::{ToSpan, civil::Date, tz::TimeZone};
use ports::{Error, ErrorKind};

use crate::{
    App,
    audit::Caller,
    error::Result,
    ingest::MEASURED,
    process::{CHUNK_DAYS, MARGIN_DAYS},
    readings::Reader,
    results::DayRange,
};

/// Successive local days with everything that is known of them.
pub struct Report {
    /// The zone at the end of the last day.
    pub zone: String,
    /// Each day with its measures and the night whose waking is on it, where there are such; oldest first.
    pub days: Vec<(Date, Option<Daily>, Option<Night>)>,
    /// Steps per minute by the person's own clock, 1440 a day.
    pub activity: MinuteSeries,
    /// Sleep and wake of the same minutes.
    pub sleep: Vec<Option<SleepWake>>,
    /// Circadian measures of these days.
    pub circadian: Circadian,
    /// Regularity and rhythm of these days.
    pub profile: Profile,
}

impl App {
    /// The last `days` local days up to the newest that has results; `None` where none has.
    ///
    /// Days and nights are the stored results. Circadian measures are computed of just these days, because the stored window is
    /// of a length of its own.
    pub async fn report(&self, caller: &Caller, days: u16) -> Result<Option<Report>> {
        self.platform.audit_read(caller, "report").await?;
        let user = caller.user_id;
        let newest_day = self.newest::<Daily>(user, Kind::Daily).await?.map(|day| day.date);
        let newest_night = self.newest::<Night>(user, Kind::Sleep).await?.map(|night| night.date);
        let Some(last) = newest_day.max(newest_night) else { return Ok(None) };
        let first = last.checked_sub((i64::from(days.max(1)) - 1).days()).unwrap_or(last);
        let range = DayRange { first: Some(first), last: Some(last) };
        let daily: Vec<Daily> = self.of_days(user, Kind::Daily, range).await?;
        let nights: Vec<Night> = self.of_days(user, Kind::Sleep, range).await?;
        let (local, activity) = self.minutes(user, first, last).await?;
        let zone = local
            .last()
            .map(|day| zone_label(&day.clock.rules(), day.interval.start_ms()))
            .unwrap_or_default();
        let circadian = self.circadian_of(&activity, &TimeZone::UTC);
        // Fluctuation analysis of a quarter of a year is a lot for a thread that serves others meanwhile.
        let computed = tokio::task::spawn_blocking(move || {
            let sleep = profile::scored_minutes(&local, &activity, &nights);
            let profile = profile::profile(&local, &activity, &nights, &ProfileRules::default());
            (activity, sleep, profile, nights)
        });
        let (activity, sleep, profile, nights) = computed.await.map_err(lost)?;
        let days = in_order(first, last, daily, nights);
        Ok(Some(Report { zone, days, activity, sleep, circadian, profile }))
    }

    /// The local days and their steps, minute by minute, read a few days at a time.
    async fn minutes(&self, user: UserId, first: Date, last: Date) -> Result<(Vec<LocalDay>, MinuteSeries)> {
        let reader = Reader::open(&self.platform, user).await?;
        let priority = Arc::new(self.source_priority(user).await?);
        let dates: Vec<Date> = first.series(1.day()).take_while(|date| *date <= last).collect();
        let mut days = Vec::new();
        let mut whole: Option<MinuteSeries> = None;
        let mut sources = BTreeSet::new();
        for chunk in dates.chunks(CHUNK_DAYS) {
            let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { continue };
            let from = first.checked_sub(MARGIN_DAYS.days()).unwrap_or(*first);
            let to = last.checked_add(MARGIN_DAYS.days()).unwrap_or(*last);
            let samples = reader.samples_of(&MEASURED, from, to).await?;
            let (last, count) = (*last, u32::try_from(chunk.len()).unwrap_or(u32::MAX));
            let priority = Arc::clone(&priority);
            let (local, series) =
                tokio::task::spawn_blocking(move || of_days(last, count, &samples, &priority))
                    .await
                    .map_err(lost)?;
            days.extend(local);
            sources.extend(series.sources.iter().cloned());
            match &mut whole {
                Some(whole) => whole.values.extend(series.values),
                None => whole = Some(series),
            }
        }
        let series = whole.map_or_else(
            || MinuteSeries { start_ms: 0, values: Vec::new(), sources: Vec::new() },
            |whole| MinuteSeries { sources: sources.into_iter().collect(), ..whole },
        );
        Ok((days, series))
    }
}

fn of_days(
    last: Date,
    count: u32,
    samples: &[Sample],
    priority: &SourcePriority,
) -> (Vec<LocalDay>, MinuteSeries) {
    let days = Calendar::new(samples).days_to(last, count);
    let steps: Vec<&Sample> = samples.iter().filter(|sample| sample.metric == Metric::STEP_COUNT).collect();
    let presence: Vec<&Sample> = samples.iter().collect();
    let series = activity::local_series(&days, &steps, &presence, priority);
    (days, series)
}

/// A place for each day, whether something is known of it or not.
fn in_order(
    first: Date,
    last: Date,
    daily: Vec<Daily>,
    nights: Vec<Night>,
) -> Vec<(Date, Option<Daily>, Option<Night>)> {
    let (mut daily, mut nights) = (daily.into_iter().peekable(), nights.into_iter().peekable());
    first
        .series(1.day())
        .take_while(|date| *date <= last)
        .map(|date| (date, daily.next_if(|day| day.date == date), nights.next_if(|night| night.date == date)))
        .collect()
}

fn lost(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Unexpected, "report.compute").with_cause(error)
}
