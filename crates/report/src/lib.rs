//! One self-contained HTML page about a person's days: pictures, and the numbers that they show with unit, method,
//! coverage and sources.
//!
//! [`render`] is a pure function: it reads no clock, no file and no network, and the page asks for nothing either. What is
//! missing is drawn as missing and written as "not assessed" with its reason, never as 0.
#![warn(missing_docs)]

mod actogram;
mod heart;
mod html;
mod measures;
mod nights;
mod page;
mod picture;
mod rhythm;
mod table;

use domain::{
    measures::{
        Measure, activity::MinuteSeries, circadian::Circadian, daily::Daily, profile::Profile,
        scoring::SleepWake,
    },
    sleep::Night,
};
use jiff::{Timestamp, ToSpan, civil::Date};

/// Minutes that each day of a series has.
pub(crate) const MINUTES_PER_DAY: usize = 1440;

/// One local day.
pub struct ReportDay {
    /// Its date.
    pub date: Date,
    /// Its measures; `None` where nothing was assessed.
    pub daily: Option<Daily>,
    /// The night whose waking is on this date; `None` where none was recorded.
    pub night: Option<Night>,
}

/// What a page is made of. The series and the measures are of these days, no more and no fewer.
pub struct ReportData {
    /// What the person calls themselves. Nothing else on the page names them but their devices.
    pub display_name: Option<String>,
    /// When the page is made.
    pub generated_at: Timestamp,
    /// The zone at the end of the last day: an IANA name, or an offset such as `+02:00`.
    pub zone: String,
    /// Successive local days, oldest first; at least one.
    pub days: Vec<ReportDay>,
    /// Steps per minute as [`local_series`](domain::measures::activity::local_series) lays them: 1440 a day.
    pub activity: MinuteSeries,
    /// Sleep and wake of the same minutes, as [`scored_minutes`](domain::measures::profile::scored_minutes) tells them.
    pub sleep: Vec<Option<SleepWake>>,
    /// Circadian measures of `activity`.
    pub circadian: Circadian,
    /// Regularity and rhythm of `activity` and the nights.
    pub profile: Profile,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A page needs a day.
    #[error("there is no day to report")]
    NoDays,
    /// The days do not follow each other.
    #[error("the days do not follow each other")]
    NotSuccessive,
    /// The series are not of these days.
    #[error("the series do not have 1440 minutes for each day")]
    NotOfTheseDays,
    /// A picture could not be drawn.
    #[error("a picture could not be drawn")]
    Picture(#[from] plotters::drawing::DrawingAreaErrorKind<std::io::Error>),
}

impl ReportData {
    /// Every measure that the page shows, with its name.
    pub fn measures(&self) -> impl Iterator<Item = (&'static str, &Measure)> {
        let daily = self.days.iter().filter_map(|day| day.daily.as_ref());
        let nights = self.days.iter().filter_map(|day| day.night.as_ref());
        let of_days =
            daily.flat_map(|daily| measures::activity(daily).into_iter().chain(measures::heart(daily)));
        let of_rhythm =
            measures::circadian(&self.circadian).into_iter().chain(measures::profile(&self.profile));
        let all = of_days.chain(nights.flat_map(measures::night)).chain(of_rhythm);
        all.map(|named| (named.name, named.measure))
    }

    fn check(&self) -> Result<(), RenderError> {
        if self.days.is_empty() {
            return Err(RenderError::NoDays);
        }
        let follow =
            |pair: &[ReportDay]| pair[0].date.checked_add(1.day()).is_ok_and(|next| next == pair[1].date);
        if !self.days.windows(2).all(follow) {
            return Err(RenderError::NotSuccessive);
        }
        let minutes = self.days.len() * MINUTES_PER_DAY;
        if self.activity.values.len() != minutes || self.sleep.len() != minutes {
            return Err(RenderError::NotOfTheseDays);
        }
        Ok(())
    }
}

/// Makes the page: HTML that is also well-formed XML, with style and pictures in it.
pub fn render(data: &ReportData) -> Result<String, RenderError> {
    data.check()?;
    page::page(data)
}
