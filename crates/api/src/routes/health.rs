//! How the service is: measured, never said.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, HttpResponse, http::header};
use domain::record::{Kind, Partition, SortRange};
use ports::{ModelState, Query, SharedKey};
use serde::Serialize;
use utoipa::ToSchema;

use super::seconds;
use crate::{
    address,
    context::Context,
    extract::Ctx,
    platform::PoolState,
    problem::{Problem, ProblemBody, ProblemKind},
};

/// Liveness.
#[derive(Serialize, ToSchema)]
pub(crate) struct Live {
    #[schema(example = "healthy")]
    status: &'static str,
    timestamp: String,
    version: &'static str,
}

/// Whether the process answers. Asks nobody else.
#[utoipa::path(get, path = "/api/v1/health", tag = "service", responses((status = 200, body = Live)))]
pub(crate) async fn live(context: Ctx) -> HttpResponse {
    HttpResponse::Ok().json(Live {
        status: "healthy",
        timestamp: seconds(context.app.platform.clock.now()),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Whether the process answers. The same as `GET /api/v1/health`, where load balancers look for it.
#[utoipa::path(get, path = "/health", tag = "service", responses((status = 200, body = Live)))]
pub(crate) async fn live_page(context: Ctx) -> HttpResponse {
    live(context).await
}

/// One part, as it answered just now.
#[derive(Serialize, ToSchema)]
pub(crate) struct Part {
    /// `up` or `down`.
    status: &'static str,
    latency_ms: f64,
    /// What is wrong, in fixed words.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The connections of a database server's pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<PoolBody>,
}

/// How many connections there are.
#[derive(Serialize, ToSchema)]
pub(crate) struct PoolBody {
    open: u32,
    idle: u32,
    max: u32,
}

/// The parts of the service.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `healthy`; `degraded` when a part is down that others do without; `unhealthy` when a required one is.
    status: &'static str,
    timestamp: String,
    version: &'static str,
    /// `up` or `down`.
    database: &'static str,
    /// `up` or `down`; `none` where instances share nothing.
    cache: &'static str,
    #[schema(value_type = BTreeMap<String, Part>)]
    dependencies: BTreeMap<&'static str, Part>,
}

/// How long a part may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

async fn probe<T>(check: impl Future<Output = Result<T, String>>) -> Part {
    let started = Instant::now();
    let answered = tokio::time::timeout(PROBE_TIMEOUT, check).await;
    let outcome = answered.unwrap_or_else(|_elapsed| Err(format!("no answer within {PROBE_TIMEOUT:?}")));
    let latency_ms = started.elapsed().as_secs_f64() * 1e3;
    Part {
        status: if outcome.is_ok() { "up" } else { "down" },
        latency_ms,
        reason: outcome.err(),
        pool: None,
    }
}

fn word(error: &ports::Error) -> String {
    format!("{:?}", error.kind())
}

async fn database_part(context: &Context) -> Part {
    let query = Query { limit: 1, ..Query::new(Partition::Outbox(0), Kind::Outbox, SortRange::all()) };
    probe(async { context.app.platform.health_data.query(&query).await.map_err(|error| word(&error)) }).await
}

async fn parts(context: &Context) -> BTreeMap<&'static str, Part> {
    let platform = &context.app.platform;
    let models = async {
        let models = platform.predictor.models().await;
        // What is only loaded beside the active version, or was found to be wrong, is no part of the service.
        let active = models.iter().filter(|model| model.active);
        let down = active.clone().find_map(|model| match &model.state {
            ModelState::Unavailable { reason } => Some(format!("{}: {reason}", model.name)),
            ModelState::Ready { .. } => None,
        });
        match down {
            Some(reason) => Err(reason),
            None if active.count() == 0 => Err("no model is configured".to_owned()),
            None => Ok(()),
        }
    };
    let objects = async { platform.objects.list("", None, 1).await.map_err(|error| word(&error)) };
    let jobs = async { platform.jobs.stats().await.map_err(|error| word(&error)) };
    let (health_data, objects, jobs, models) =
        tokio::join!(database_part(context), probe(objects), probe(jobs), probe(models));
    let mut parts = BTreeMap::from([
        ("health_data", health_data),
        ("objects", objects),
        ("jobs", jobs),
        ("models", models),
    ]);
    if let Some(shared) = &context.shared {
        let asked =
            async { shared.is_marked(SharedKey::of("health", "probe")).await.map_err(|error| word(&error)) };
        parts.insert("cache", probe(asked).await);
    }
    parts
}

/// The parts that nothing works without.
const REQUIRED: [&str; 3] = ["health_data", "objects", "jobs"];

fn health_body(context: &Context, dependencies: BTreeMap<&'static str, Part>) -> (bool, Health) {
    let is_up = |name: &str| dependencies.get(name).is_some_and(|part| part.status == "up");
    let required = REQUIRED.iter().all(|name| is_up(name));
    let all = dependencies.values().all(|part| part.status == "up");
    let status = match (required, all) {
        (true, true) => "healthy",
        (true, false) => "degraded",
        (false, _) => "unhealthy",
    };
    let body = Health {
        status,
        timestamp: seconds(context.app.platform.clock.now()),
        version: env!("CARGO_PKG_VERSION"),
        database: if is_up("health_data") { "up" } else { "down" },
        cache: dependencies.get("cache").map_or("none", |part| part.status),
        dependencies,
    };
    (required, body)
}

/// Whether to send requests here: 503 while starting, draining, or without a required part.
#[utoipa::path(get, path = "/api/v1/health/ready", tag = "service", responses(
    (status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn ready(context: Ctx) -> HttpResponse {
    let (required, body) = health_body(&context, parts(&context).await);
    let loading = context.app.platform.predictor.models().await.iter().any(|model| {
        model.active && matches!(&model.state, ModelState::Unavailable { reason } if reason == "loading")
    });
    if required && !loading && !context.lifecycle.is_draining() {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

/// The same, for people.
#[utoipa::path(get, path = "/api/v1/health/detailed", tag = "service", responses(
    (status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn detailed(context: Ctx) -> HttpResponse {
    let (required, body) = health_body(&context, parts(&context).await);
    if required { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
}

/// How the service that keeps readings is. The same as `GET health/detailed`, where the original's apps look for it.
#[utoipa::path(get, path = "/api/v1/health-data/health", tag = "health-data", responses(
    (status = 200, body = Health), (status = 503, body = Health)))]
pub(crate) async fn health_data(context: Ctx) -> HttpResponse {
    detailed(context).await
}

/// Whether the record store answers, and how fast.
#[utoipa::path(get, path = "/health/db", tag = "service", responses((status = 200, body = Part), (status = 503, body = Part)))]
pub(crate) async fn database(context: Ctx) -> HttpResponse {
    let mut part = database_part(&context).await;
    if let Some(pool) = &context.pool
        && let Ok(Ok(PoolState { open, idle, max })) = tokio::time::timeout(PROBE_TIMEOUT, pool.state()).await
    {
        part.pool = Some(PoolBody { open, idle, max });
    }
    if part.status == "up" {
        HttpResponse::Ok().json(part)
    } else {
        HttpResponse::ServiceUnavailable().json(part)
    }
}

/// Prometheus text, for callers on this machine only: it tells how much is going on.
#[utoipa::path(get, path = "/metrics", tag = "service", responses(
    (status = 200, description = "Prometheus text", content_type = "text/plain", body = String),
    (status = 404, description = "Not asked from this machine", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn metrics(context: Ctx, request: HttpRequest) -> Result<HttpResponse, Problem> {
    // What a proxy on this machine passes on was asked by somebody else.
    let is_local = request.peer_addr().is_some_and(|address| address.ip().to_canonical().is_loopback());
    if !is_local || address::is_forwarded(request.headers()) {
        return Err(Problem::new(ProblemKind::NotFound));
    }
    if let Ok(stats) = context.app.platform.jobs.stats().await {
        let now = context.app.platform.clock.now().as_second();
        let age = stats.oldest_published_at.map_or(0, |published| (now - published.as_second()).max(0));
        metrics::gauge!("queue_depth").set(stats.depth as f64);
        metrics::gauge!("queue_dead_letters").set(stats.dead as f64);
        metrics::gauge!("queue_oldest_age_seconds").set(age as f64);
    }
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4"))
        .body(context.metrics.render()))
}
