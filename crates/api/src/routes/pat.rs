//! `pat`: the Pretrained Actigraphy Transformer.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, http::StatusCode, web};
use app::{
    AppError,
    analysis::{Actigraphy, Analysis},
    idempotency::Once,
    requests::Pending,
};
use domain::{
    ids::{AnalysisId, RequestId},
    measures::{
        Measure,
        screening::{self, Alert, Finding, Screen},
    },
    time::MINUTE_MS,
};
use jiff::{
    Timestamp,
    fmt::temporal::{DateTimeParser, PiecesOffset},
    tz::TimeZone,
};
use ports::{ModelIdentity, ModelState, ModelStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{openapi::schemas, resource, seconds};
use crate::{
    extract::{Authenticated, Ctx, HealthUser, Json},
    problem::{Problem, ProblemBody},
    routes,
    terms::{Terms, accepted, reply},
};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(resource("/pat/step-analysis").route(web::post().to(analyse_steps)))
        .service(resource("/pat/analyze-step-data").route(web::post().to(analyse_steps_alias)))
        .service(resource("/pat/analyze").route(web::post().to(analyse_points_alias)))
        .service(resource("/pat/analysis").route(web::post().to(analyse_points)))
        .service(resource("/pat/analysis/{processing_id}").route(web::get().to(stored)))
        .service(resource("/pat/health").route(web::get().to(health)))
        .service(resource("/pat/models/info").route(web::get().to(models)));
}

/// Steps by the minute.
#[derive(Deserialize, ToSchema)]
pub(crate) struct StepDataRequest {
    /// One count a minute, at most 20,160 (14 days).
    #[schema(min_items = 1, max_items = 20160, example = json!([0, 12, 87]))]
    step_counts: Vec<u32>,
    /// The minute of each count, RFC 3339; as many as there are counts.
    #[schema(min_items = 1, max_items = 20160, value_type = Vec<schemas::Instant>, example = json!(["2026-03-01T08:00:00+01:00", "2026-03-01T08:01:00+01:00", "2026-03-01T08:02:00+01:00"]))]
    timestamps: Vec<String>,
    /// Not read; the identity is the token's.
    #[schema(value_type = Value)]
    #[serde(default)]
    #[expect(dead_code, reason = "part of the shipped apps' request")]
    user_metadata: serde_json::Value,
}

/// One value at an instant.
#[derive(Deserialize, ToSchema)]
pub(crate) struct DataPoint {
    #[schema(format = DateTime, example = "2026-03-01T08:00:00+01:00")]
    timestamp: String,
    #[schema(minimum = 0.0, example = 12.0)]
    value: f64,
}

/// Actigraphy as points.
#[derive(Deserialize, ToSchema)]
pub(crate) struct DirectActigraphyRequest {
    #[schema(min_items = 1)]
    data_points: Vec<DataPoint>,
    /// Checked, and otherwise not used: the points carry their times, and those of one minute are added up.
    #[serde(default = "one")]
    #[schema(exclusive_minimum = 0.0, default = 1.0)]
    sampling_rate: f64,
    /// Checked, and otherwise not used: the points say how long the recording is.
    #[serde(default = "twenty_four")]
    #[schema(minimum = 1, maximum = 168, default = 24)]
    duration_hours: u32,
}

fn one() -> f64 {
    1.0
}

fn twenty_four() -> u32 {
    24
}

/// An analysis. What could not be computed is `null` and named in `not_assessed` with the reason.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActigraphyAnalysis {
    user_id: String,
    analysis_timestamp: String,
    /// Needs scored sleep, which steps alone do not give.
    sleep_efficiency: Option<f64>,
    sleep_onset_latency: Option<f64>,
    wake_after_sleep_onset: Option<f64>,
    total_sleep_time: Option<f64>,
    /// Interdaily stability (IS), 0 to 1.
    circadian_rhythm_score: Option<f64>,
    /// Intradaily variability (IV).
    activity_fragmentation: Option<f64>,
    /// Needs a trained head; no published one exists.
    depression_risk_score: Option<f64>,
    sleep_stages: Option<Vec<String>>,
    confidence_score: Option<f64>,
    clinical_insights: Vec<String>,
    /// PAT embedding, 96 numbers.
    embedding: Option<Vec<f32>>,
    mania_risk_score: Option<f64>,
    /// The highest alert of the configured screening rules that are met: `none`, `low`, `moderate` or `high`. Screening, not a diagnosis.
    #[schema(value_type = Option<String>)]
    mania_alert_level: Option<Alert>,
    /// What each configured screening rule found, in the nights up to the last local day; empty where screening is off.
    #[schema(value_type = Vec<schemas::Finding>)]
    screening: Vec<Finding>,
    /// Each measure with method, coverage and sources.
    #[schema(value_type = schemas::Circadian)]
    measures: domain::measures::circadian::Circadian,
    /// What could not be computed, and why.
    not_assessed: BTreeMap<&'static str, String>,
    /// The model that computed the embedding.
    #[schema(value_type = Option<schemas::ModelIdentity>)]
    model: Option<ModelIdentity>,
    /// Steps are not what PAT was trained on.
    experimental: bool,
    /// The minutes that were observed of the week that was embedded.
    #[schema(value_type = schemas::Coverage)]
    coverage: domain::measures::Coverage,
}

/// The answer to an analysis.
#[derive(Serialize, ToSchema)]
pub(crate) struct AnalysisResponse {
    #[schema(value_type = String, format = "uuid")]
    analysis_id: String,
    #[schema(example = "completed")]
    status: &'static str,
    analysis: Option<ActigraphyAnalysis>,
    processing_time_ms: Option<f64>,
    message: Option<String>,
    cached: bool,
}

const NO_SLEEP: &str = "sleep is not scored from steps; see metrics/sleep for nights that HealthKit recorded";
const NO_HEAD: &str = "no trained head is published for PAT, so there is an embedding only";
const NO_CONFIDENCE: &str = "nothing computed one";

impl AnalysisResponse {
    /// One that is not made yet.
    fn pending(pending: &Pending) -> Self {
        let (status, message) = match &pending.failure {
            None => ("processing", "the analysis is being made".to_owned()),
            Some(_) => ("failed", "the analysis could not be made; ask for it again".to_owned()),
        };
        Self {
            analysis_id: pending.id.to_string(),
            status,
            analysis: None,
            processing_time_ms: None,
            message: Some(message),
            cached: false,
        }
    }

    fn new(user: &Authenticated, analysis: Analysis) -> Self {
        let Analysis { id, created_at, measures, embedding, screening, processing_time_ms } = analysis;
        let mut not_assessed = BTreeMap::from([
            ("sleep_efficiency", NO_SLEEP.to_owned()),
            ("sleep_onset_latency", NO_SLEEP.to_owned()),
            ("wake_after_sleep_onset", NO_SLEEP.to_owned()),
            ("total_sleep_time", NO_SLEEP.to_owned()),
            ("sleep_stages", NO_SLEEP.to_owned()),
            ("depression_risk_score", NO_HEAD.to_owned()),
            ("mania_risk_score", NO_HEAD.to_owned()),
            ("confidence_score", NO_CONFIDENCE.to_owned()),
        ]);
        let mut score = |name, measure: &Measure| {
            if let Some(reason) = measure.not_assessed() {
                not_assessed.insert(name, reason.to_owned());
            }
            measure.value()
        };
        let circadian_rhythm_score = score("circadian_rhythm_score", &measures.interdaily_stability);
        let activity_fragmentation = score("activity_fragmentation", &measures.intradaily_variability);
        if let Some(reason) = &embedding.not_assessed {
            not_assessed.insert("embedding", reason.clone());
        }
        let mania_alert_level = screening::alert(&screening, Screen::Mania);
        if let Err(reason) = mania_alert_level {
            not_assessed.insert("mania_alert_level", reason.to_owned());
        }
        Self {
            analysis_id: id.to_string(),
            status: "completed",
            analysis: Some(ActigraphyAnalysis {
                user_id: user.user_id.to_string(),
                analysis_timestamp: seconds(created_at),
                sleep_efficiency: None,
                sleep_onset_latency: None,
                wake_after_sleep_onset: None,
                total_sleep_time: None,
                circadian_rhythm_score,
                activity_fragmentation,
                depression_risk_score: None,
                sleep_stages: None,
                confidence_score: None,
                clinical_insights: Vec::new(),
                embedding: embedding.embedding,
                mania_risk_score: None,
                mania_alert_level: mania_alert_level.ok(),
                screening,
                measures,
                not_assessed,
                model: embedding.model,
                experimental: embedding.experimental,
                coverage: embedding.coverage,
            }),
            processing_time_ms: Some(processing_time_ms),
            message: None,
            cached: false,
        }
    }
}

static PARSER: DateTimeParser = DateTimeParser::new();

/// An instant in milliseconds and the offset it was written with.
fn instant(pointer: impl Fn() -> String, text: &str) -> Result<(i64, TimeZone), Problem> {
    let fault = || Problem::field(pointer(), "not an RFC 3339 timestamp with an offset");
    let instant: Timestamp = text.parse().map_err(|_hidden| fault())?;
    let zone = match PARSER.parse_pieces(text).map_err(|_hidden| fault())?.offset() {
        Some(PiecesOffset::Numeric(numeric)) => TimeZone::fixed(numeric.offset()),
        _ => TimeZone::UTC,
    };
    Ok((instant.as_millisecond(), zone))
}

/// Analyse steps by the minute.
#[utoipa::path(post, path = "/api/v1/pat/step-analysis", tag = "pat", security(("bearer" = [])), request_body = StepDataRequest, responses(
    (status = 200, body = AnalysisResponse),
    (status = 202, description = "With `Prefer: respond-async`: it will be made; `Location` says where it will be", body = AnalysisResponse),
    (status = 409, description = "A request with the same `Idempotency-Key` is in progress", body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The model is not available", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn analyse_steps(
    context: Ctx,
    user: HealthUser,
    terms: Terms,
    body: Json<StepDataRequest>,
) -> Result<HttpResponse, Problem> {
    context.limiter.pat(user.user_id).await?;
    let StepDataRequest { step_counts, timestamps, .. } = body.0;
    let minutes_max = context.config.limits.step_minutes_max;
    if step_counts.is_empty() || step_counts.len() > minutes_max {
        return Err(Problem::field("/step_counts", format!("1 to {minutes_max} counts")));
    }
    if step_counts.len() != timestamps.len() {
        return Err(Problem::field("/timestamps", "there are as many timestamps as step counts"));
    }
    let mut minutes = Vec::with_capacity(step_counts.len());
    let mut zone = TimeZone::UTC;
    for (at, (count, text)) in step_counts.iter().zip(&timestamps).enumerate() {
        let (instant_ms, at_zone) = instant(|| format!("/timestamps/{at}"), text)?;
        minutes.push((instant_ms, f64::from(*count)));
        zone = at_zone;
    }
    let actigraphy = Actigraphy { minutes, zone, source: "pat/step-analysis".to_owned() };
    analyse(&context, &user, &terms, actigraphy).await
}

/// Analyse steps by the minute. The same as `POST pat/step-analysis`, by the path that shipped apps call.
#[utoipa::path(post, path = "/api/v1/pat/analyze-step-data", tag = "pat", security(("bearer" = [])), request_body = StepDataRequest, responses(
    (status = 200, body = AnalysisResponse),
    (status = 202, description = "With `Prefer: respond-async`: it will be made; `Location` says where it will be", body = AnalysisResponse),
    (status = 409, description = "A request with the same `Idempotency-Key` is in progress", body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The model is not available", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn analyse_steps_alias(
    context: Ctx,
    user: HealthUser,
    terms: Terms,
    body: Json<StepDataRequest>,
) -> Result<HttpResponse, Problem> {
    analyse_steps(context, user, terms, body).await
}

/// Analyse actigraphy points. Values are taken as steps: the unit that the model's normalisation is in.
#[utoipa::path(post, path = "/api/v1/pat/analysis", tag = "pat", security(("bearer" = [])), request_body = DirectActigraphyRequest, responses(
    (status = 200, body = AnalysisResponse),
    (status = 202, description = "With `Prefer: respond-async`: it will be made; `Location` says where it will be", body = AnalysisResponse),
    (status = 409, description = "A request with the same `Idempotency-Key` is in progress", body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The model is not available", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn analyse_points(
    context: Ctx,
    user: HealthUser,
    terms: Terms,
    body: Json<DirectActigraphyRequest>,
) -> Result<HttpResponse, Problem> {
    context.limiter.pat(user.user_id).await?;
    let DirectActigraphyRequest { data_points, sampling_rate, duration_hours } = body.0;
    if !(1..=168).contains(&duration_hours) {
        return Err(Problem::field("/duration_hours", "1 to 168"));
    }
    if !(sampling_rate.is_finite() && sampling_rate > 0.0) {
        return Err(Problem::field("/sampling_rate", "points a minute, above 0"));
    }
    let actigraphy = actigraphy(&data_points, "pat/analysis")?;
    analyse(&context, &user, &terms, actigraphy).await
}

/// Counts by the minute: those of one minute are added up.
pub(crate) fn actigraphy(data_points: &[DataPoint], source: &str) -> Result<Actigraphy, Problem> {
    let mut by_minute: BTreeMap<i64, f64> = BTreeMap::new();
    let mut zone = TimeZone::UTC;
    for (at, point) in data_points.iter().enumerate() {
        let (instant_ms, at_zone) = instant(|| format!("/data_points/{at}/timestamp"), &point.timestamp)?;
        if !point.value.is_finite() || point.value < 0.0 {
            return Err(Problem::field(format!("/data_points/{at}/value"), "a count is at least 0"));
        }
        *by_minute.entry(instant_ms.div_euclid(MINUTE_MS)).or_default() += point.value;
        zone = at_zone;
    }
    if by_minute.is_empty() {
        return Err(Problem::field("/data_points", "at least one point"));
    }
    let minutes = by_minute.into_iter().map(|(minute, count)| (minute * MINUTE_MS, count)).collect();
    Ok(Actigraphy { minutes, zone, source: source.to_owned() })
}

/// Analyse actigraphy points. The same as `POST pat/analysis`, by the path that shipped apps call.
#[utoipa::path(post, path = "/api/v1/pat/analyze", tag = "pat", security(("bearer" = [])), request_body = DirectActigraphyRequest, responses(
    (status = 200, body = AnalysisResponse),
    (status = 202, description = "With `Prefer: respond-async`: it will be made; `Location` says where it will be", body = AnalysisResponse),
    (status = 409, description = "A request with the same `Idempotency-Key` is in progress", body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The model is not available", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn analyse_points_alias(
    context: Ctx,
    user: HealthUser,
    terms: Terms,
    body: Json<DirectActigraphyRequest>,
) -> Result<HttpResponse, Problem> {
    analyse_points(context, user, terms, body).await
}

/// Analyses now, or promises to.
async fn analyse(
    context: &Ctx,
    user: &Authenticated,
    terms: &Terms,
    actigraphy: Actigraphy,
) -> Result<HttpResponse, Problem> {
    if terms.respond_async {
        let promise = |pending: &Pending| {
            let location = format!("/api/v1/pat/analysis/{}", pending.id);
            accepted(location, &AnalysisResponse::pending(pending))
        };
        let request = async |once: Option<&Once<'_, Pending>>| {
            context.app.request_analysis(&user.caller, actigraphy, once).await
        };
        return terms.answer(user.user_id, promise, request).await;
    }
    let made = |analysis: &Analysis| reply(StatusCode::OK, &AnalysisResponse::new(user, analysis.clone()));
    let analyse =
        async |once: Option<&Once<'_, Analysis>>| context.app.analyse(&user.caller, actigraphy, once).await;
    terms.answer(user.user_id, made, analyse).await
}

/// A stored analysis.
#[derive(Serialize, ToSchema)]
pub(crate) struct PatAnalysisResponse {
    #[schema(value_type = String, format = "uuid")]
    processing_id: String,
    status: &'static str,
    message: Option<String>,
    analysis_date: Option<String>,
    /// Circadian measures by name; what was not assessed is left out.
    #[schema(value_type = BTreeMap<String, f64>)]
    pat_features: BTreeMap<&'static str, f64>,
    activity_embedding: Option<Vec<f32>>,
    /// Method, model and coverage.
    #[schema(value_type = schemas::AnalysisMetadata)]
    metadata: serde_json::Value,
}

impl PatAnalysisResponse {
    /// One that is not made yet.
    fn pending(pending: &Pending) -> Self {
        let AnalysisResponse { analysis_id, status, message, .. } = AnalysisResponse::pending(pending);
        Self {
            processing_id: analysis_id,
            status,
            message,
            analysis_date: None,
            pat_features: BTreeMap::new(),
            activity_embedding: None,
            metadata: serde_json::json!({}),
        }
    }
}

/// A stored analysis of the caller's.
#[utoipa::path(get, path = "/api/v1/pat/analysis/{processing_id}", tag = "pat", security(("bearer" = [])),
    params(("processing_id" = String, Path)), responses(
    (status = 200, body = PatAnalysisResponse),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn stored(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id: AnalysisId = routes::id(&id)?;
    let Analysis { id, created_at, measures, embedding, screening, .. } =
        match context.app.analysis(&user.caller, id).await {
            Err(AppError::NotFound) => {
                let pending = context.app.pending(&user.caller, RequestId(id.0)).await?;
                return Ok(HttpResponse::Ok().json(PatAnalysisResponse::pending(&pending)));
            }
            analysis => analysis?,
        };
    let named = [
        ("interdaily_stability", &measures.interdaily_stability),
        ("intradaily_variability", &measures.intradaily_variability),
        ("l5", &measures.l5),
        ("m10", &measures.m10),
        ("relative_amplitude", &measures.relative_amplitude),
    ];
    Ok(HttpResponse::Ok().json(PatAnalysisResponse {
        processing_id: id.to_string(),
        status: "completed",
        message: embedding.not_assessed.clone(),
        analysis_date: Some(seconds(created_at)),
        pat_features: named
            .into_iter()
            .filter_map(|(name, measure)| Some((name, measure.value()?)))
            .collect(),
        activity_embedding: embedding.embedding,
        metadata: serde_json::json!({
            "measures": measures,
            "method": embedding.method,
            "model": embedding.model,
            "coverage": embedding.coverage,
            "experimental": embedding.experimental,
            "screening": screening,
        }),
    }))
}

/// The state of the model.
#[derive(Serialize, ToSchema)]
pub(crate) struct PatHealth {
    service: &'static str,
    /// `healthy` when the model is verified and answers; else `unavailable`.
    status: &'static str,
    timestamp: String,
    version: &'static str,
    #[schema(value_type = schemas::InferenceEngine)]
    inference_engine: serde_json::Value,
    #[schema(value_type = Option<schemas::Model>)]
    pat_model: serde_json::Value,
}

fn model_json(status: &ModelStatus) -> serde_json::Value {
    serde_json::json!({ "name": status.name, "identity": status.identity, "state": status.state })
}

/// Whether the PAT model can be used, and which one it is.
#[utoipa::path(get, path = "/api/v1/pat/health", tag = "pat", security(("bearer" = [])), responses(
    (status = 200, body = PatHealth),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The model is not available", body = PatHealth)))]
pub(crate) async fn health(context: Ctx, _user: Authenticated) -> HttpResponse {
    let status = context.app.pat_status().await;
    let provider = status.as_ref().and_then(|status| match &status.state {
        ModelState::Ready { execution_provider, .. } => Some(execution_provider.clone()),
        ModelState::Unavailable { .. } => None,
    });
    let body = PatHealth {
        service: "pat",
        status: if provider.is_some() { "healthy" } else { "unavailable" },
        timestamp: seconds(context.app.platform.clock.now()),
        version: env!("CARGO_PKG_VERSION"),
        inference_engine: serde_json::json!({ "runtime": "onnxruntime", "execution_provider": provider }),
        pat_model: status.as_ref().map_or(serde_json::Value::Null, model_json),
    };
    if provider.is_some() {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

/// Every configured model.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelsInfo {
    /// Name, identity (version, sha-256, weights, licence, intended use) and state.
    #[schema(value_type = Vec<schemas::Model>)]
    models: Vec<serde_json::Value>,
}

/// Every configured model: its identity, where its weights come from, and whether it was verified.
#[utoipa::path(get, path = "/api/v1/pat/models/info", tag = "pat", security(("bearer" = [])), responses(
    (status = 200, body = ModelsInfo),
    (status = 401, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn models(context: Ctx, _user: Authenticated) -> HttpResponse {
    let models = context.app.platform.predictor.models().await;
    HttpResponse::Ok().json(ModelsInfo { models: models.iter().map(model_json).collect() })
}
