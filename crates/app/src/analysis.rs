//! Actigraphy that is sent for analysis rather than kept as readings: circadian measures and the PAT embedding of it.

use std::collections::BTreeMap;

use domain::{
    ids::{AnalysisId, UserId},
    measures::{
        Coverage,
        activity::MinuteSeries,
        circadian::{self, Circadian, CircadianRules},
        daily::zone_label,
        pat::{self, PAT_MINUTES, PatWeek},
        screening::Finding,
    },
    record::RecordKey,
    time::{Interval, MINUTE_MS, day_interval, local_date, timestamp},
};
use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Weekday},
    tz::TimeZone,
};
use ports::{
    Error, ErrorKind, ModelIdentity, ModelState, ModelStatus, PredictionRequest, Priority, Tensor, Write,
};
use serde::{Deserialize, Serialize};

use crate::{
    App,
    audit::{Action, Caller},
    error::{AppError, Result},
    idempotency::{Once, Outcome},
    records::{encode, get},
    results::Embedding,
};

/// An analysis as it is kept.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Its id.
    pub id: AnalysisId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Circadian measures of everything that was sent.
    pub measures: Circadian,
    /// The embedding of its best covered week that ends at one of its last two midnights.
    pub embedding: Embedding,
    /// What the configured rules say of the nights up to its last local day; empty where screening is off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub screening: Vec<Finding>,
    /// How long it took, in milliseconds.
    pub processing_time_ms: f64,
}

/// Counts at instants, as they were sent.
pub struct Actigraphy {
    /// Instant (milliseconds) and count of each minute.
    pub minutes: Vec<(i64, f64)>,
    /// The zone of the instants: the offset of the last timestamp.
    pub zone: TimeZone,
    /// What sent them, for the measures' sources.
    pub source: String,
}

impl App {
    /// Analyses what was sent, keeps the analysis, and answers it. 503 while the PAT model cannot be used.
    pub async fn analyse(
        &self,
        caller: &Caller,
        actigraphy: Actigraphy,
        once: Option<&Once<'_, Analysis>>,
    ) -> Result<Outcome<Analysis>> {
        let _held = self.hold(once)?;
        if let Some(reply) = self.replay(once).await? {
            return Ok(Outcome::Replayed(reply));
        }
        let series = self.series(actigraphy.minutes, actigraphy.source)?;
        let id = AnalysisId(self.platform.ids.next());
        let zone = &actigraphy.zone;
        let analysis = self.analysis_of((caller.user_id, id), &series, zone, Priority::Interactive).await?;
        let writes = vec![
            Write::insert(RecordKey::analysis(caller.user_id, id), encode(&analysis)?),
            self.platform.audit(caller, Action::Analyse, format!("analysis/{id}"))?,
        ];
        self.commit_once(writes, once, analysis).await
    }

    /// The analysis of a series, not kept yet.
    pub(crate) async fn analysis_of(
        &self,
        (user, id): (UserId, AnalysisId),
        series: &MinuteSeries,
        zone: &TimeZone,
        priority: Priority,
    ) -> Result<Analysis> {
        let started = std::time::Instant::now();
        self.pat_ready().await?;
        let last = local_date(series.minute_start_ms(series.values.len()) - 1, zone);
        Ok(Analysis {
            id,
            created_at: self.platform.clock.now(),
            measures: self.circadian_of(series, zone),
            embedding: self.embed_best_week(series, zone, priority).await?,
            screening: self.screened(user, last).await?,
            processing_time_ms: started.elapsed().as_secs_f64() * 1e3,
        })
    }

    /// An analysis of the caller's.
    pub async fn analysis(&self, caller: &Caller, id: AnalysisId) -> Result<Analysis> {
        self.platform.audit_read(caller, format!("analysis/{id}")).await?;
        let key = RecordKey::analysis(caller.user_id, id);
        let stored = get::<Analysis>(&*self.platform.health_data, &key).await?;
        stored.map(|stored| stored.body).ok_or(AppError::NotFound)
    }

    /// The state of the PAT model.
    pub async fn pat_status(&self) -> Option<ModelStatus> {
        let models = self.platform.predictor.models().await;
        models.into_iter().find(|model| model.active && model.name == self.settings.pat_model)
    }

    /// Which PAT model is ready; 503 if none is.
    pub(crate) async fn pat_ready(&self) -> Result<ModelIdentity> {
        match self.pat_status().await {
            Some(ModelStatus { state: ModelState::Ready { .. }, identity: Some(identity), .. }) => {
                Ok(identity)
            }
            _ => Err(Error::new(ErrorKind::Unavailable, "pat.predict").into()),
        }
    }

    pub(crate) fn circadian_of(&self, series: &MinuteSeries, zone: &TimeZone) -> Circadian {
        let rules = CircadianRules { days_min: self.settings.circadian_days_min };
        circadian::circadian(series, zone, rules)
    }

    pub(crate) fn series(&self, minutes: Vec<(i64, f64)>, source: String) -> Result<MinuteSeries> {
        let fault = |message: String| AppError::Parameter { name: "timestamps", message };
        let mut by_minute = BTreeMap::new();
        for (instant_ms, count) in minutes {
            if by_minute.insert(instant_ms.div_euclid(MINUTE_MS), count).is_some() {
                return Err(fault("two counts fall into one minute".to_owned()));
            }
        }
        let (Some((first, _)), Some((last, _))) = (by_minute.first_key_value(), by_minute.last_key_value())
        else {
            return Err(fault("there is no count".to_owned()));
        };
        let (first, last) = (*first, *last);
        let length = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
        if length > self.settings.step_minutes_max {
            return Err(fault(format!(
                "the counts span more than {} minutes",
                self.settings.step_minutes_max
            )));
        }
        let values = (first..=last).map(|minute| by_minute.get(&minute).copied()).collect();
        Ok(MinuteSeries { start_ms: first * MINUTE_MS, values, sources: vec![source] })
    }

    /// The embedding of the week that ends at the last midnight the series reaches or at the one before, whichever was
    /// observed better: the last day is often not over.
    pub(crate) async fn embed_best_week(
        &self,
        series: &MinuteSeries,
        zone: &TimeZone,
        priority: Priority,
    ) -> Result<Embedding> {
        match Week::best(series, zone) {
            Some(week) => self.embed(week, zone, priority).await,
            None => Err(AppError::Parameter { name: "timestamps", message: "out of range".to_owned() }),
        }
    }

    async fn embed(&self, week: Week, zone: &TimeZone, priority: Priority) -> Result<Embedding> {
        let coverage = week.coverage();
        let mut embedding = Embedding {
            date: week.date,
            start: timestamp(week.interval.start_ms()),
            end: timestamp(week.interval.end_ms()),
            zone: zone_label(zone, week.interval.start_ms()),
            embedding: None,
            method: "PAT encoder (Ruan et al. 2024, arXiv 2411.15240), mean over patches, of steps per minute; minutes that were \
                     not observed are set to the cohort's mean"
                .to_owned(),
            model: None,
            coverage,
            experimental: true,
            not_assessed: None,
        };
        let status = self.pat_status().await;
        embedding.model = status.as_ref().and_then(|status| status.identity.clone());
        let refusal = match &status {
            _ if coverage.share() < self.settings.pat_coverage_min => Some(format!(
                "{} of {PAT_MINUTES} minutes of the week were observed; at least {:.0} % are needed",
                week.observed,
                self.settings.pat_coverage_min * 100.0
            )),
            None => Some("no PAT model is configured".to_owned()),
            Some(ModelStatus { state: ModelState::Unavailable { reason }, .. }) => {
                Some(format!("the PAT model is not available: {reason}"))
            }
            Some(ModelStatus { normalisation: None, .. }) => {
                Some("the PAT model carries no normalisation".to_owned())
            }
            Some(ModelStatus { normalisation: Some(vectors), version, .. }) => {
                let (mean, deviation) =
                    (week.by_its_weekday(&vectors.mean), week.by_its_weekday(&vectors.standard_deviation));
                let data = pat::normalise(&week.minutes, &mean, &deviation)
                    .map_err(|error| Error::new(ErrorKind::Corrupt, "pat.normalise").with_cause(error))?;
                let input = Tensor { name: "x".to_owned(), shape: vec![1, PAT_MINUTES], data };
                let request = PredictionRequest {
                    // The one whose normalisation this is, also where another was activated meanwhile.
                    version: version.clone(),
                    // The embedding is all that is kept of it.
                    outputs: vec!["embedding".to_owned()],
                    priority,
                    ..PredictionRequest::new(&self.settings.pat_model, vec![input])
                };
                match self.platform.predictor.predict(request).await {
                    Ok(prediction) => {
                        embedding.model = Some(prediction.model);
                        let output = prediction.outputs.into_iter().find(|output| output.name == "embedding");
                        embedding.embedding = output.map(|output| output.data);
                        let missing = embedding.embedding.is_none();
                        missing.then(|| "the model has no output named embedding".to_owned())
                    }
                    // A full queue is worth waiting for, and a version that is gone has a successor; anything else would be the
                    // same tomorrow.
                    Err(error) if error.is_retryable() => return Err(error.into()),
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        return Err(Error::new(ErrorKind::Unavailable, "pat.predict")
                            .with_cause(error)
                            .into());
                    }
                    Err(error) => {
                        tracing::error!(error = %error, "a model refused a week");
                        Some(format!("the model did not take this week ({:?})", error.kind()))
                    }
                }
            }
        };
        embedding.not_assessed = refusal;
        Ok(embedding)
    }
}

/// Seven local days that end with a date.
pub(crate) struct Week {
    date: Date,
    interval: Interval,
    minutes: Vec<Option<f32>>,
    observed: u32,
}

impl Week {
    /// Of the week that ends at the last midnight the series reaches and the one that ends at the midnight before, the one that was
    /// observed better.
    pub(crate) fn best(series: &MinuteSeries, zone: &TimeZone) -> Option<Self> {
        let end_ms = series.minute_start_ms(series.values.len());
        let last = local_date(end_ms - 1, zone);
        let weeks = [Some(last), last.yesterday().ok()].into_iter().flatten();
        weeks.filter_map(|date| Self::new(series, date, zone)).max_by_key(|week| (week.observed, week.date))
    }

    /// How much of the week was observed.
    pub(crate) fn coverage(&self) -> Coverage {
        Coverage::minutes(self.observed, u32::try_from(PAT_MINUTES).unwrap_or(u32::MAX))
    }

    /// How many minutes of a week that begins on Monday come before this one.
    fn minutes_from_monday(&self) -> usize {
        let first = self.date.weekday().since(Weekday::Monday) + 1;
        usize::try_from(first).unwrap_or(0) * 1440 % PAT_MINUTES
    }

    /// A vector over the minutes of a week that begins on Monday, as over this one.
    fn by_its_weekday(&self, vector: &[f32]) -> Vec<f32> {
        let (before, after) = vector.split_at(self.minutes_from_monday().min(vector.len()));
        [after, before].concat()
    }

    /// Its minutes as over a week that begins on Monday.
    pub(crate) fn laid_from_monday(&self) -> Vec<Option<f32>> {
        let mut minutes = self.minutes.clone();
        minutes.rotate_right(self.minutes_from_monday());
        minutes
    }

    /// Cuts the week out of `series`; what lies outside it is missing. `None` where the calendar ends.
    fn new(series: &MinuteSeries, date: Date, zone: &TimeZone) -> Option<Self> {
        let first = date.checked_sub(6.days()).ok()?;
        let (start_ms, end_ms) = (day_interval(first, zone).start_ms(), day_interval(date, zone).end_ms());
        let minutes = (start_ms..end_ms).step_by(usize::try_from(MINUTE_MS).ok()?);
        let values = minutes.map(|at| {
            let index = usize::try_from((at - series.start_ms).div_euclid(MINUTE_MS)).ok()?;
            series.values.get(index).copied().flatten()
        });
        let week = MinuteSeries { start_ms, values: values.collect(), sources: series.sources.clone() };
        let PatWeek { minutes, observed } = pat::pat_week(&week, zone).ok()?;
        Some(Self { date, interval: Interval::new(start_ms, end_ms).ok()?, minutes, observed })
    }
}
