//! What this is.

use actix_web::{HttpResponse, Responder};
use serde::Serialize;
use utoipa::ToSchema;

/// Name, version and where to go on.
#[derive(Serialize, ToSchema)]
pub(crate) struct Root {
    /// The service.
    #[schema(example = "clarity")]
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Where to go on.
    pub links: Links,
}

/// Links by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct Links {
    pub docs: &'static str,
    pub openapi: &'static str,
    pub health: &'static str,
}

/// Name, version, links.
#[utoipa::path(get, path = "/api/v1", tag = "service", responses((status = 200, body = Root)))]
pub(crate) async fn root() -> impl Responder {
    HttpResponse::Ok().json(Root {
        name: "clarity",
        version: env!("CARGO_PKG_VERSION"),
        links: Links { docs: "/docs/", openapi: "/api/v1/openapi.json", health: "/api/v1/health" },
    })
}

/// Name, version, links. The same as `GET /api/v1`.
#[utoipa::path(get, path = "/", tag = "service", responses((status = 200, body = Root)))]
pub(crate) async fn page() -> impl Responder {
    root().await
}
