//! What the pipeline computed, and reading it back.

use std::collections::BTreeMap;

use domain::{
    ids::UserId,
    measures::{
        Coverage, Measure,
        baseline::{BaselineRules, Deviation, deviation},
        circadian::Circadian,
        daily::Daily,
        profile::Profile,
    },
    record::{Kind, Partition, RecordKey, SortRange},
    sleep::Night,
};
use jiff::{Timestamp, ToSpan, civil::Date};
use ports::ModelIdentity;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    App,
    audit::Caller,
    error::{AppError, Result},
    records::{decode, query_newest},
};

/// The most days that one request reads.
const DAYS_MAX: usize = 366;

/// Circadian measures of a window of days.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct CircadianWindow {
    /// The last local day of the window.
    pub date: Date,
    /// Where the window begins: a local midnight.
    pub start: Timestamp,
    /// Where it ends: the local midnight after `date`.
    pub end: Timestamp,
    /// The zone at the end of `date`; earlier days are taken by the clock of their own zone.
    pub zone: String,
    /// The measures, in the person's local clock time.
    pub measures: Circadian,
    /// Regularity and rhythm; `None` where an earlier build computed the window.
    #[serde(default)]
    pub profile: Option<Profile>,
}

/// The PAT embedding of seven days.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// The last local day of the week.
    pub date: Date,
    /// Where the week begins.
    pub start: Timestamp,
    /// Where it ends.
    pub end: Timestamp,
    /// The zone whose midnights these are.
    pub zone: String,
    /// 96 numbers without a unit; `None` where they were not assessed.
    pub embedding: Option<Vec<f32>>,
    /// How they were computed.
    pub method: String,
    /// Which model computed them.
    pub model: Option<ModelIdentity>,
    /// Minutes of the week that were observed.
    pub coverage: Coverage,
    /// Steps a minute are not what PAT was trained on.
    pub experimental: bool,
    /// Why there is no embedding.
    pub not_assessed: Option<String>,
}

/// How far a local day is from what is usual: each measure from the median of the 28 days before.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Deviations {
    /// The local day.
    pub date: Date,
    /// Of the resting heart rate.
    pub resting_heart_rate: Deviation,
    /// Of HealthKit's SDNN.
    pub hrv_sdnn: Deviation,
    /// Of the respiratory rate.
    pub respiratory_rate: Deviation,
    /// Of the oxygen saturation.
    pub oxygen_saturation: Deviation,
    /// Of the temperature of the wrist in sleep.
    pub wrist_temperature: Deviation,
}

type Pick = fn(&Daily) -> Option<&Measure>;

fn deviations_of(day: &Daily, days: &BTreeMap<Date, &Daily>, rules: BaselineRules) -> Deviations {
    let of = |pick: Pick, unit| {
        let measure = pick(day);
        // One value a calendar day, whether or not there are any readings of it.
        let value = |date: Date| days.get(&date).and_then(|day| pick(day)).and_then(Measure::value);
        let back = (1..=i64::from(rules.days)).rev();
        let history: Vec<Option<f64>> =
            back.map(|back| day.date.checked_sub(back.days()).ok().and_then(value)).collect();
        let sources = measure.map(|measure| measure.sources().to_vec()).unwrap_or_default();
        deviation(measure.and_then(Measure::value), &history, unit, &sources, rules)
    };
    Deviations {
        date: day.date,
        resting_heart_rate: of(|day| Some(&day.resting_heart_rate), "/min"),
        hrv_sdnn: of(|day| Some(&day.hrv_sdnn), "ms"),
        respiratory_rate: of(|day| Some(&day.respiratory_rate), "/min"),
        oxygen_saturation: of(|day| Some(&day.oxygen_saturation), "%"),
        wrist_temperature: of(|day| day.vitals.as_ref().map(|vitals| &vitals.wrist_temperature), "Cel"),
    }
}

/// A range of local days, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DayRange {
    /// The first day; absent: as far back as a request goes.
    pub first: Option<Date>,
    /// The last day; absent: no end.
    pub last: Option<Date>,
}

impl App {
    /// Aggregates of local days, oldest first.
    pub async fn daily(&self, caller: &Caller, range: DayRange) -> Result<Vec<Daily>> {
        self.platform.audit_read(caller, "metrics/daily").await?;
        self.of_days(caller.user_id, Kind::Daily, range).await
    }

    /// How far days are from what is usual for the caller: of each, from the median of the days before it. Oldest first.
    pub async fn deviations(&self, caller: &Caller, range: DayRange) -> Result<Vec<Deviations>> {
        self.platform.audit_read(caller, "metrics/deviations").await?;
        let rules = BaselineRules::default();
        let before = |first: Date| first.checked_sub(i64::from(rules.days).days()).unwrap_or(first);
        let wide = DayRange { first: range.first.map(before), last: range.last };
        let days: Vec<Daily> = self.of_days(caller.user_id, Kind::Daily, wide).await?;
        let is_asked = |day: &&Daily| range.first.is_none_or(|first| day.date >= first);
        let by_date: BTreeMap<Date, &Daily> = days.iter().map(|day| (day.date, day)).collect();
        Ok(days.iter().filter(is_asked).map(|day| deviations_of(day, &by_date, rules)).collect())
    }

    /// Nights by the local date of waking, oldest first. A night without readings is not in it.
    pub async fn nights(&self, caller: &Caller, range: DayRange) -> Result<Vec<Night>> {
        self.platform.audit_read(caller, "metrics/sleep").await?;
        self.of_days(caller.user_id, Kind::Sleep, range).await
    }

    /// The newest circadian window and the newest embedding; `None` before there was any activity.
    pub async fn circadian(&self, caller: &Caller) -> Result<(Option<CircadianWindow>, Option<Embedding>)> {
        self.platform.audit_read(caller, "metrics/circadian").await?;
        let user = caller.user_id;
        Ok((self.newest(user, Kind::Circadian).await?, self.newest(user, Kind::Embedding).await?))
    }

    pub(crate) async fn newest<T: DeserializeOwned>(&self, user: UserId, kind: Kind) -> Result<Option<T>> {
        let store = &*self.platform.health_data;
        let records = query_newest(store, Partition::User(user), kind, SortRange::all(), 1).await?;
        Ok(records.first().map(decode).transpose()?)
    }

    pub(crate) async fn of_days<T: DeserializeOwned>(
        &self,
        user: UserId,
        kind: Kind,
        range: DayRange,
    ) -> Result<Vec<T>> {
        let sort = match (range.first, range.last) {
            (None, None) => SortRange::all(),
            (first, last) => {
                let first = first.unwrap_or(Date::constant(1970, 1, 1));
                let last = last.unwrap_or(Date::constant(9998, 12, 31));
                if last < first {
                    return Err(AppError::Parameter {
                        name: "end_date",
                        message: "is before start_date".to_owned(),
                    });
                }
                RecordKey::days_between(first, last)
            }
        };
        let store = &*self.platform.health_data;
        let newest = query_newest(store, Partition::User(user), kind, sort, DAYS_MAX + 1).await?;
        if newest.len() > DAYS_MAX && range.first.is_some() {
            let message = format!("the range holds more than {DAYS_MAX} days; ask for a shorter one");
            return Err(AppError::Parameter { name: "start_date", message });
        }
        Ok(newest.iter().take(DAYS_MAX).rev().map(decode).collect::<ports::Result<_>>()?)
    }
}
