//! Analyses and insights that are made later: asked for with `Prefer: respond-async`, kept, and made by the worker.

use domain::{
    envelope::Work,
    ids::{AnalysisId, InsightId, RequestId, UserId},
    measures::activity::MinuteSeries,
    record::RecordKey,
};
use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};
use ports::{Error, ErrorKind, Precondition, Priority, Write};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    App,
    analysis::Actigraphy,
    audit::{Action, Caller},
    error::{AppError, Result},
    idempotency::{Once, Outcome},
    insights::InsightRequest,
    records::{Stored, encode, get, replace},
};

/// Something that was asked for and is not there yet. What comes of it has the same id.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// Its id.
    pub id: RequestId,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The request that asked for it, for the audit trail.
    request_id: String,
    what: What,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum What {
    Analysis {
        start_ms: i64,
        /// By the minute; half as long as pairs of instant and count.
        values: Vec<Option<f64>>,
        offset_seconds: i32,
        source: String,
    },
    Insight(InsightRequest),
}

impl App {
    /// Keeps an analysis that is to be made. When this returns, it will be.
    pub async fn request_analysis(
        &self,
        caller: &Caller,
        actigraphy: Actigraphy,
        once: Option<&Once<'_, Pending>>,
    ) -> Result<Outcome<Pending>> {
        let offset = actigraphy.zone.to_offset(self.platform.clock.now());
        let MinuteSeries { start_ms, values, .. } =
            self.series(actigraphy.minutes, actigraphy.source.clone())?;
        let what =
            What::Analysis { start_ms, values, offset_seconds: offset.seconds(), source: actigraphy.source };
        self.request(caller, what, once).await
    }

    /// Keeps an insight that is to be written. When this returns, it will be.
    pub async fn request_insight(
        &self,
        caller: &Caller,
        request: InsightRequest,
        once: Option<&Once<'_, Pending>>,
    ) -> Result<Outcome<Pending>> {
        self.request(caller, What::Insight(request), once).await
    }

    async fn request(
        &self,
        caller: &Caller,
        what: What,
        once: Option<&Once<'_, Pending>>,
    ) -> Result<Outcome<Pending>> {
        let _held = self.hold(once)?;
        if let Some(reply) = self.replay(once).await? {
            return Ok(Outcome::Replayed(reply));
        }
        let id = RequestId(self.platform.ids.next());
        let pending = Pending {
            id,
            requested_at: self.platform.clock.now(),
            failure: None,
            request_id: caller.request_id.clone(),
            what,
        };
        let (intent, intent_write) = self.intend(caller, Work::AnswerRequest { request_id: id })?;
        let writes = vec![
            Write::insert(RecordKey::request(caller.user_id, id), encode(&pending)?),
            intent_write,
            self.platform.audit(caller, Action::Analyse, format!("request/{id}"))?,
        ];
        self.fits(&writes, 1)?;
        let outcome = self.commit_once(writes, once, pending).await?;
        if matches!(outcome, Outcome::Done(_)) {
            self.relay.nudge(intent);
        }
        Ok(outcome)
    }

    /// What was asked for under `id` and is not there yet.
    pub async fn pending(&self, caller: &Caller, id: RequestId) -> Result<Pending> {
        let key = RecordKey::request(caller.user_id, id);
        let stored = get::<Pending>(&*self.platform.health_data, &key).await?;
        stored.map(|stored| stored.body).ok_or(AppError::NotFound)
    }

    /// Makes what was asked for, in the worker. Where the request is gone, it was answered before, or its user was erased.
    pub(crate) async fn answer_request(&self, user: UserId, id: RequestId) -> Result<()> {
        let key = RecordKey::request(user, id);
        let Some(stored) = get::<Pending>(&*self.platform.health_data, &key).await? else { return Ok(()) };
        let Stored { body: Pending { what, request_id, .. }, version } = stored;
        let caller = Caller { user_id: user, actor: user, request_id, traceparent: None };
        let (name, subject, mut writes) = match what {
            What::Analysis { start_ms, values, offset_seconds, source } => {
                let series = MinuteSeries { start_ms, values, sources: vec![source] };
                let offset = Offset::from_seconds(offset_seconds)
                    .map_err(|error| Error::new(ErrorKind::Corrupt, "request.offset").with_cause(error))?;
                let id = AnalysisId(id.0);
                let zone = TimeZone::fixed(offset);
                let analysis = self.analysis_of((user, id), &series, &zone, Priority::Batch).await?;
                let write = Write::insert(RecordKey::analysis(user, id), encode(&analysis)?);
                ("analysis.completed", json!({ "analysis_id": id }), vec![write])
            }
            What::Insight(request) => {
                let id = InsightId(id.0);
                let insight = self.insight_of(id, &caller, request, &mut |_| ()).await?;
                let write = Write::insert(RecordKey::insight(user, id), encode(&insight)?);
                ("insight.completed", json!({ "insight_id": id }), vec![write])
            }
        };
        writes.push(Write::delete(key, Precondition::VersionEquals(version)));
        writes.push(self.platform.audit(&caller, Action::Analyse, format!("request/{id}"))?);
        self.commit_with_event(user, name, subject, writes).await
    }

    /// Notes that what was asked for will not come, and why.
    pub(crate) async fn fail_request(&self, user: UserId, id: RequestId, reason: &str) -> ports::Result<()> {
        let key = RecordKey::request(user, id);
        let stored = match get::<Pending>(&*self.platform.health_data, &key).await {
            Ok(Some(stored)) if stored.body.failure.is_none() => stored,
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(()),
            Err(error) => return Err(error),
        };
        let failed = Pending { failure: Some(reason.to_owned()), ..stored.body };
        self.platform.health_data.commit(vec![replace(key, stored.version, encode(&failed)?)]).await
    }
}
