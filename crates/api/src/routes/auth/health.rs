//! Whether accounts can be asked.

use actix_web::HttpResponse;
use domain::ids::UserId;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    extract::Ctx,
    problem::{Problem, ProblemBody},
};

/// The state of the accounts.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuthHealth {
    #[schema(example = "healthy")]
    status: &'static str,
    #[schema(example = "auth")]
    service: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
}

/// Whether accounts answer: one is looked up.
#[utoipa::path(get, path = "/api/v1/auth/health", tag = "auth", responses(
    (status = 200, body = AuthHealth),
    (status = 503, description = "Accounts cannot be asked", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn health(context: Ctx) -> Result<HttpResponse, Problem> {
    // Nobody's.
    context.app.platform.identity.profile(UserId(Uuid::nil())).await?;
    Ok(HttpResponse::Ok().json(AuthHealth {
        status: "healthy",
        service: "auth",
        version: env!("CARGO_PKG_VERSION"),
    }))
}
