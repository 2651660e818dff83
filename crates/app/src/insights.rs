//! Insights: facts from the user's own stored results, written down by whichever writer is configured.

use domain::{
    ids::InsightId,
    measures::{Measure, daily::Daily},
    record::{Kind, Partition, RecordKey, SortRange},
    sleep::Night,
};
use jiff::{Timestamp, ToSpan};
use ports::{Fact, InsightFacts, Listener, Narrative, Write};
use serde::{Deserialize, Serialize};

use crate::{
    App,
    audit::{Action, Caller},
    error::{AppError, Result},
    idempotency::{Once, Outcome},
    records::{decode, encode, get, query_newest},
    results::{CircadianWindow, DayRange},
};

/// How many days and nights, up to the newest that has any reading, an insight speaks of.
const DAYS: u32 = 14;

/// How far back the history goes: what a store gives at once, less one that tells whether there is more.
pub const HISTORY_MAX: usize = 999;

/// An insight as it is kept.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Insight {
    /// Its id.
    pub id: InsightId,
    /// When it was written.
    pub generated_at: Timestamp,
    /// What was asked for.
    pub insight_type: String,
    /// What was written.
    pub narrative: Narrative,
    /// What it was written from.
    pub facts: InsightFacts,
}

/// What an insight is asked for.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct InsightRequest {
    /// The kind, as the phone named it.
    pub insight_type: String,
    /// Whether recommendations are wanted.
    pub include_recommendations: bool,
    /// BCP 47 language.
    pub language: String,
}

impl App {
    /// Writes an insight and keeps it, and has its text heard as it comes. Its figures are the server's own results: numbers that a request carries are not
    /// facts, because nothing says how they were computed.
    pub async fn write_insight(
        &self,
        caller: &Caller,
        request: InsightRequest,
        once: Option<&Once<'_, Insight>>,
        hear: &mut Listener<'_>,
    ) -> Result<Outcome<Insight>> {
        let _held = self.hold(once)?;
        if let Some(reply) = self.replay(once).await? {
            return Ok(Outcome::Replayed(reply));
        }
        let id = InsightId(self.platform.ids.next());
        let insight = self.insight_of(id, caller, request, hear).await?;
        let writes = vec![
            Write::insert(RecordKey::insight(caller.user_id, id), encode(&insight)?),
            self.platform.audit(caller, Action::Analyse, format!("insight/{id}"))?,
        ];
        self.commit_once(writes, once, insight).await
    }

    /// An insight, not kept yet.
    pub(crate) async fn insight_of(
        &self,
        id: InsightId,
        caller: &Caller,
        request: InsightRequest,
        hear: &mut Listener<'_>,
    ) -> Result<Insight> {
        let facts = self.facts(caller, &request).await?;
        let narrative = self.platform.insight.write(&facts, hear).await?;
        let generated_at = self.platform.clock.now();
        Ok(Insight { id, generated_at, insight_type: request.insight_type, narrative, facts })
    }

    /// An insight of the caller's.
    pub async fn insight(&self, caller: &Caller, id: InsightId) -> Result<Insight> {
        self.platform.audit_read(caller, format!("insight/{id}")).await?;
        let stored =
            get::<Insight>(&*self.platform.health_data, &RecordKey::insight(caller.user_id, id)).await?;
        stored.map(|stored| stored.body).ok_or(AppError::NotFound)
    }

    /// A page of the caller's insights, newest first, and whether older ones follow. `offset` and `limit` together are at
    /// most [`HISTORY_MAX`].
    pub async fn insight_history(
        &self,
        caller: &Caller,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<Insight>, bool)> {
        self.platform.audit_read(caller, "insights/history").await?;
        let partition = Partition::User(caller.user_id);
        let store = &*self.platform.health_data;
        let one_more = offset + limit + 1;
        let records = query_newest(store, partition, Kind::Insight, SortRange::all(), one_more).await?;
        let page = records.iter().skip(offset).take(limit).map(decode).collect::<ports::Result<_>>()?;
        Ok((page, records.len() == one_more))
    }

    async fn facts(&self, caller: &Caller, request: &InsightRequest) -> Result<InsightFacts> {
        let user = caller.user_id;
        let newest_day: Option<Daily> = self.newest(user, Kind::Daily).await?;
        let newest_night: Option<Night> = self.newest(user, Kind::Sleep).await?;
        let dates = [newest_day.map(|day| day.date), newest_night.map(|night| night.date)];
        let last = dates.into_iter().flatten().max();
        let first = last.and_then(|last| last.checked_sub((i64::from(DAYS) - 1).days()).ok());
        let range = DayRange { first, last };
        let days: Vec<Daily> = self.of_days(user, Kind::Daily, range).await?;
        let nights: Vec<Night> = self.of_days(user, Kind::Sleep, range).await?;
        let window: Option<CircadianWindow> = self.newest(user, Kind::Circadian).await?;
        let mut facts = Facts::default();
        facts.means("sleep", "night", &night_measures(&nights));
        facts.means("day", "day", &day_measures(&days));
        match &window {
            Some(window) => facts.circadian(window),
            None => facts.not_assessed.push("circadian rhythm: no activity by the minute".to_owned()),
        }
        Ok(InsightFacts {
            facts: facts.facts,
            not_assessed: facts.not_assessed,
            language: request.language.clone(),
            include_recommendations: request.include_recommendations,
        })
    }
}

/// Name, label, decimals, and the measure of each night or day.
type Column<'a> = (&'static str, &'static str, u8, Vec<&'a Measure>);

fn night_measures(nights: &[Night]) -> Vec<Column<'_>> {
    let column = |pick: fn(&Night) -> &Measure| nights.iter().map(pick).collect();
    vec![
        ("total_sleep_time", "total sleep time", 0, column(|night| &night.total_sleep_time)),
        ("sleep_efficiency", "sleep efficiency", 0, column(|night| &night.sleep_efficiency)),
        (
            "wake_after_sleep_onset",
            "wake after sleep onset",
            0,
            column(|night| &night.wake_after_sleep_onset),
        ),
    ]
}

fn day_measures(days: &[Daily]) -> Vec<Column<'_>> {
    let column = |pick: fn(&Daily) -> &Measure| days.iter().map(pick).collect();
    vec![
        ("step_count", "step count", 0, column(|day| &day.step_count)),
        ("active_energy", "active energy", 0, column(|day| &day.active_energy)),
        ("resting_heart_rate", "resting heart rate", 0, column(|day| &day.resting_heart_rate)),
        ("hrv_sdnn", "heart rate variability (SDNN)", 0, column(|day| &day.hrv_sdnn)),
    ]
}

#[derive(Default)]
struct Facts {
    facts: Vec<Fact>,
    not_assessed: Vec<String>,
}

impl Facts {
    fn means(&mut self, group: &str, of: &str, columns: &[Column<'_>]) {
        for (name, label, decimals, measures) in columns {
            let assessed: Vec<&&Measure> =
                measures.iter().filter(|measure| measure.value().is_some()).collect();
            let values: Vec<f64> = assessed.iter().filter_map(|measure| measure.value()).collect();
            match assessed.first() {
                Some(first) => self.facts.push(Fact {
                    name: format!("{group}.{name}.mean"),
                    label: format!("mean {label}"),
                    value: values.iter().sum::<f64>() / values.len() as f64,
                    unit: first.unit().to_owned(),
                    decimals: *decimals,
                    method: format!("arithmetic mean of {}", first.method()),
                    coverage: format!("{} of {DAYS} {of}s", values.len()),
                }),
                None => self.not_assessed.push(format!("{label}: not assessed for any {of}")),
            }
        }
    }

    fn circadian(&mut self, window: &CircadianWindow) {
        let measures = &window.measures;
        for (name, label, measure) in [
            ("interdaily_stability", "interdaily stability", &measures.interdaily_stability),
            ("intradaily_variability", "intradaily variability", &measures.intradaily_variability),
            ("relative_amplitude", "relative amplitude", &measures.relative_amplitude),
        ] {
            match (measure.value(), measure.not_assessed()) {
                (Some(value), _) => self.facts.push(Fact {
                    name: format!("circadian.{name}"),
                    label: label.to_owned(),
                    value,
                    unit: String::new(),
                    decimals: 2,
                    method: measure.method().to_owned(),
                    coverage: format!(
                        "{} of {} minutes",
                        measure.coverage().observed,
                        measure.coverage().expected
                    ),
                }),
                (None, reason) => {
                    self.not_assessed.push(format!("{label}: {}", reason.unwrap_or("no reason recorded")));
                }
            }
        }
    }
}
