//! Measures of single hours. They are computed when somebody asks: days are what results are kept of.

use std::sync::Arc;

use domain::{
    calendar::Calendar,
    measures::{
        daily::Daily,
        hourly::{Hour, hourly},
        merge::SourcePriority,
    },
    record::Kind,
    sample::Sample,
};
use jiff::{ToSpan, civil::Date};
use ports::{Error, ErrorKind};

use crate::{
    App,
    audit::Caller,
    error::{AppError, Result},
    ingest::MEASURED,
    process::{CHUNK_DAYS, MARGIN_DAYS, touches},
    readings::Reader,
    results::DayRange,
};

/// The most days of which one request asks for the hours.
pub const DAYS_MAX: usize = 31;

impl App {
    /// The hours of local days, oldest first. A day of which no hour was assessed is not in it. Without an end, the range ends
    /// with the newest day that has measures; without a beginning, it is that one day.
    pub async fn hourly(&self, caller: &Caller, range: DayRange) -> Result<Vec<Hour>> {
        self.platform.audit_read(caller, "metrics/hourly").await?;
        let user = caller.user_id;
        let newest = async || {
            let newest: Option<Daily> = self.newest(user, Kind::Daily).await?;
            Ok::<_, AppError>(newest.map(|day| day.date))
        };
        let last = match range.last {
            Some(last) => Some(last),
            None => newest().await?.map(|newest| newest.max(range.first.unwrap_or(newest))),
        };
        let Some(last) = last else { return Ok(Vec::new()) };
        let days = days(range.first.unwrap_or(last), last)?;
        let reader = Reader::open(&self.platform, user).await?;
        let priority = Arc::new(self.source_priority(user).await?);
        let mut hours = Vec::new();
        for days in days.chunks(CHUNK_DAYS) {
            let (Some(first), Some(last)) = (days.first(), days.last()) else { continue };
            let from = first.checked_sub(MARGIN_DAYS.days()).unwrap_or(*first);
            let to = last.checked_add(MARGIN_DAYS.days()).unwrap_or(*last);
            let samples = reader.samples_of(&MEASURED, from, to).await?;
            // A week of a sportsman's heart rate is a lot to add up on a thread that serves others meanwhile.
            let days = days.to_vec();
            let priority = Arc::clone(&priority);
            let done = tokio::task::spawn_blocking(move || of_days(&days, &samples, &priority)).await;
            hours.extend(
                done.map_err(|error| Error::new(ErrorKind::Unexpected, "hours.compute").with_cause(error))?,
            );
        }
        Ok(hours)
    }
}

fn days(first: Date, last: Date) -> Result<Vec<Date>> {
    if last < first {
        return Err(AppError::Parameter { name: "end_date", message: "is before start_date".to_owned() });
    }
    let days: Vec<Date> = first.series(1.day()).take_while(|day| *day <= last).take(DAYS_MAX + 1).collect();
    if days.len() > DAYS_MAX {
        let message = format!("the range holds more than {DAYS_MAX} days; ask for a shorter one");
        return Err(AppError::Parameter { name: "start_date", message });
    }
    Ok(days)
}

fn of_days(days: &[Date], samples: &[Sample], priority: &SourcePriority) -> Vec<Hour> {
    let calendar = Calendar::new(samples);
    let mut hours = Vec::new();
    for day in days.iter().filter_map(|date| calendar.day(*date)) {
        let of_day: Vec<Sample> =
            samples.iter().filter(|sample| touches(sample, day.interval)).cloned().collect();
        let of_day = hourly(&day, &of_day, priority);
        if of_day.iter().any(Hour::is_assessed) {
            hours.extend(of_day);
        }
    }
    hours
}
