//! The socket of a user's analyses, and the analysis that both sockets do.

use app::{
    AppError,
    idempotency::Outcome,
    insights::{Insight, InsightRequest},
};
use domain::ids::AnalysisId;
use ports::Event;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    messages::{AI, Body, Code, Fields, Level, Points, Refusal, Status},
    session::{Link, Work},
};
use crate::routes::pat;

/// Takes a message of a client.
pub(super) fn received(link: &Link, kind: &str, mut fields: Fields) -> Result<Work, Refusal> {
    if kind != "health_data" {
        return Err(Refusal::new(Code::UnknownMessageType, "types here are health_data and heartbeat"));
    }
    let codes = Codes { payload: Code::InvalidHealthDataPayload, data: Code::InvalidHealthData };
    let analysis = Analysis::of(link, fields.remove("data"), "ws/health-analysis", codes)?;
    let link = link.clone();
    Ok(Box::pin(async move {
        let Some((_, insight)) = analysis.run(&link, "health_analysis").await else { return };
        link.send(answer(insight));
    }))
}

/// An insight as the AI says it.
pub(super) fn answer(insight: Insight) -> Body {
    Body::Message {
        content: insight.narrative.narrative,
        user_id: AI.to_owned(),
        username: None,
        metadata: None,
    }
}

/// What a kept event says to its user.
pub(super) fn news(link: &Link, event: &Event) -> Body {
    #[derive(Deserialize)]
    struct Kept {
        subject: Map<String, Value>,
    }
    // Ids only: an event may name a thousand days.
    let subject = serde_json::from_slice::<Kept>(&event.body).map(|kept| kept.subject).unwrap_or_default();
    let mut details: Map<String, Value> =
        subject.into_iter().filter(|(name, value)| name.ends_with("_id") && value.is_string()).collect();
    details.insert("event".to_owned(), json!(event.name));
    details.insert("event_id".to_owned(), json!(event.id));
    if event.name.ends_with(".completed") {
        let details = Some(Value::Object(details).to_string());
        return link.update(Status::Completed, 100, details);
    }
    let content = match event.name.as_str() {
        "upload.deleted" => "An upload and its readings were deleted.".to_owned(),
        name => format!("Something happened to your data: {name}."),
    };
    Body::System { content, level: Level::Info }
}

/// The error codes of the two kinds of message that bring points.
#[derive(Clone, Copy)]
pub(super) struct Codes {
    /// There are no points.
    pub(super) payload: Code,
    /// The points are not sound.
    pub(super) data: Code,
}

/// Points that are sound.
pub(super) struct Analysis {
    actigraphy: app::analysis::Actigraphy,
    codes: Codes,
}

impl Analysis {
    /// Checks what came.
    pub(super) fn of(link: &Link, data: Option<Value>, source: &str, codes: Codes) -> Result<Self, Refusal> {
        let Some(Value::Object(data)) = data else {
            return Err(Refusal::new(codes.payload, "an object with data_points is expected"));
        };
        if !data.get("data_points").is_some_and(Value::is_array) {
            return Err(Refusal::new(codes.payload, "data_points is not a list"));
        }
        let points: Points = serde_json::from_value(Value::Object(data)).map_err(|_hidden| {
            Refusal::new(codes.data, "a data point is {timestamp: RFC 3339, value: number}")
        })?;
        let (count, max) = (points.data_points.len(), link.context.config.live.points_max);
        if !(1..=max).contains(&count) {
            return Err(Refusal::new(codes.data, format!("1 to {max} data points")));
        }
        let actigraphy = pat::actigraphy(&points.data_points, source)
            .map_err(|problem| Refusal::new(codes.data, problem.fault().unwrap_or_default()))?;
        Ok(Self { actigraphy, codes })
    }

    /// Analyses, keeps, and writes an insight. Progress is the share of these two steps that is done.
    pub(super) async fn run(self, link: &Link, insight_type: &str) -> Option<(AnalysisId, Insight)> {
        if link.context.limiter.pat(link.caller.user_id).await.is_err() {
            link.refuse(&Refusal::new(Code::RateLimitExceeded, "too many analyses; try again later"));
            return None;
        }
        link.send(link.update(Status::Started, 0, None));
        let app = &link.context.app;
        let analysis = match app.analyse(&link.caller, self.actigraphy, None).await {
            Ok(Outcome::Done(analysis)) => analysis,
            // Nothing is sent twice here: there is no key.
            Ok(Outcome::Replayed(_)) => return None,
            Err(error) => {
                link.send(link.update(Status::Failed, 0, None));
                link.refuse(&match &error {
                    AppError::Parameter { message, .. } => Refusal::new(self.codes.data, message),
                    _ => failed(&error),
                });
                return None;
            }
        };
        let details = Some(json!({ "analysis_id": analysis.id }).to_string());
        link.send(link.update(Status::Processing, 50, details.clone()));
        match write(link, insight_type, true).await {
            Ok(insight) => {
                link.send(link.update(Status::Completed, 100, details));
                Some((analysis.id, insight))
            }
            Err(refusal) => {
                link.send(link.update(Status::Failed, 50, details));
                link.refuse(&refusal);
                None
            }
        }
    }
}

/// Writes an insight from what is stored.
pub(super) async fn write(
    link: &Link,
    insight_type: &str,
    include_recommendations: bool,
) -> Result<Insight, Refusal> {
    let request = InsightRequest {
        insight_type: insight_type.to_owned(),
        include_recommendations,
        language: "en".to_owned(),
    };
    let limited = link.context.limiter.insight(link.caller.user_id).await;
    limited.map_err(|_hidden| Refusal::new(Code::RateLimitExceeded, "too many insights; try again later"))?;
    match link.context.app.write_insight(&link.caller, request, None, &mut |_| ()).await {
        Ok(Outcome::Done(insight)) => Ok(insight),
        Ok(Outcome::Replayed(_)) => Err(Refusal::new(Code::HealthAnalysisError, "there is no answer")),
        Err(error) => Err(failed(&error)),
    }
}

fn failed(error: &AppError) -> Refusal {
    tracing::warn!(error = %error, "an analysis on a socket failed");
    let words = match error {
        AppError::Port(error) if error.is_retryable() => {
            "a part of the service is not available; try again later"
        }
        _ => "something went wrong on our side",
    };
    Refusal::new(Code::HealthAnalysisError, words)
}
