//! The Open Inference Protocol v2 with Triton's repository and statistics, and SageMaker's container contract: for services, not
//! for phones. It has a server of its own (`server/models.rs`), with its own address and key, and stands in no document of ours: the
//! protocol is its own standard.

mod about;
mod bodies;
mod infer;
mod refusal;
mod repository;

use std::sync::Arc;

use actix_web::web;
use metrics_exporter_prometheus::PrometheusHandle;
use ports::{IdSource, ModelRepository, ModelState, ModelStatus, Predictor};

pub(crate) use self::{bodies::Bodies, refusal::Refusal};
use crate::{config::Config, context::Lifecycle};

/// What every handler of the model server sees.
pub(crate) struct ModelContext {
    pub config: Arc<Config>,
    pub predictor: Arc<dyn Predictor>,
    pub repository: Arc<dyn ModelRepository>,
    pub ids: Arc<dyn IdSource>,
    pub metrics: PrometheusHandle,
    pub lifecycle: Lifecycle,
    pub bodies: Bodies,
}

/// Handlers get the context by this name.
pub(crate) type Models = web::Data<ModelContext>;

/// What is answered without a key: whoever asks learns no more than whether this is up.
pub(crate) const OPEN: [&str; 3] = ["/v2/health/live", "/v2/health/ready", "/ping"];

/// Which model a request means, and which of its versions.
#[derive(serde::Deserialize)]
pub(crate) struct Target {
    model: String,
    version: Option<String>,
}

impl ModelContext {
    /// The model that is meant, or the active version of it.
    async fn status(&self, target: &Target) -> Result<ModelStatus, Refusal> {
        let statuses = self.predictor.models().await;
        let is_meant = |status: &ModelStatus| {
            status.name == target.model
                && match &target.version {
                    Some(version) => status.version.as_ref() == Some(version),
                    None => status.active,
                }
        };
        statuses.into_iter().find(is_meant).ok_or_else(Refusal::unknown)
    }
}

fn is_ready(status: &ModelStatus) -> bool {
    matches!(status.state, ModelState::Ready { .. })
}

/// Binds every route of the model server.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    // Before the models, one of which might otherwise be called so.
    route(config, "/v2/models/stats", web::get().to(repository::all_statistics));
    for of_model in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        route(config, of_model, web::get().to(about::model));
        route(config, &format!("{of_model}/ready"), web::get().to(about::is_model_ready));
        route(config, &format!("{of_model}/config"), web::get().to(about::configuration));
        route(config, &format!("{of_model}/stats"), web::get().to(repository::statistics));
        route(config, &format!("{of_model}/infer"), web::post().to(infer::infer));
    }
    route(config, "/v2", web::get().to(about::server));
    route(config, "/v2/health/live", web::get().to(about::live));
    route(config, "/v2/health/ready", web::get().to(about::ready));
    route(config, "/v2/repository/index", web::post().to(repository::index));
    route(config, "/v2/repository/models/{model}/load", web::post().to(repository::load));
    route(config, "/v2/repository/models/{model}/unload", web::post().to(repository::unload));
    route(config, "/ping", web::get().to(about::ready));
    route(config, "/invocations", web::post().to(infer::invoke));
    route(config, "/metrics", web::get().to(about::metrics));
    config.default_service(web::to(nowhere));
}

fn route(config: &mut web::ServiceConfig, path: &str, route: actix_web::Route) {
    config.service(web::resource(path).route(route).default_service(web::to(other_method)));
}

async fn nowhere() -> Result<actix_web::HttpResponse, Refusal> {
    Err(Refusal::nowhere())
}

async fn other_method() -> Result<actix_web::HttpResponse, Refusal> {
    Err(Refusal::other_method())
}
