//! The keys that tokens are verified with.

use actix_web::{HttpResponse, http::header};

use crate::{
    extract::Ctx,
    problem::{Problem, ProblemBody, ProblemKind},
    routes::openapi::schemas,
};

/// The public keys of the tokens issued here.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "auth", responses(
    (status = 200, description = "RFC 7517 key set", body = schemas::KeySet),
    (status = 404, description = "The issuer publishes its keys itself", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn jwks(context: Ctx) -> Result<HttpResponse, Problem> {
    let keys =
        context.app.platform.tokens.jwks().await?.ok_or_else(|| Problem::new(ProblemKind::NotFound))?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=300")).json(keys))
}
