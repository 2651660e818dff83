//! The OpenAPI document, generated from the handlers, and Swagger UI over it.

mod complete;
mod examples;
pub(crate) mod schemas;

use std::sync::LazyLock;

use actix_web::{
    HttpResponse,
    http::header::{self, ContentType},
    web::Bytes,
};
use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_swagger_ui::SwaggerUi;

use super::{
    auth, clinician, consents, events, health, health_data, healthkit, imports, insights, measures, objects,
    operator, pat, retina, root, users, users_me, ws,
};
use crate::problem::{Problem, ProblemKind};

/// Clarity's API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Clarity",
        description = "Keeps what phones record with Apple HealthKit, computes sleep, circadian and cardio measures from it by published \
                       methods, runs verified models on it, and writes insights. Every value says which method or model computed it and \
                       from how much; what could not be computed is not assessed, with the reason.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "The server that this document comes from")),
    tags(
        (name = "auth", description = "Accounts, sign-in and tokens"),
        (name = "health-data", description = "Uploads of metrics, and every reading that is held"),
        (name = "healthkit", description = "Uploads of HealthKit's own samples"),
        (name = "metrics", description = "What is computed: local days, nights, circadian rhythm"),
        (name = "pat", description = "The Pretrained Actigraphy Transformer"),
        (name = "retina", description = "Photographs of the retina: quality, grade of diabetic retinopathy, and what it was read from. Screening support, not a diagnosis"),
        (name = "insights", description = "Narratives from the caller's own results"),
        (name = "events", description = "What happens to the caller's data, as it happens"),
        (name = "websocket", description = "Sockets: analyses as they run, and rooms that a user's devices share"),
        (name = "objects", description = "Presigned URLs of stored objects"),
        (name = "users", description = "What belongs to the caller: consents, the audit trail; and the data of those who consented to them"),
        (name = "clinician", description = "Who consented to the caller"),
        (name = "operator", description = "How the service stands, for whoever runs it; never health data"),
        (name = "service", description = "The service itself: health, metrics and this document")
    ),
    paths(
        root::root, root::page, document, health::live, health::live_page, health::ready, health::detailed, health::health_data, health::database, health::metrics,
        auth::sign_in::register, auth::sign_in::login, auth::sign_in::challenge, auth::sign_in::refresh, auth::sign_in::logout,
        auth::codes::confirm_email, auth::codes::resend_confirmation, auth::codes::forgot_password, auth::codes::reset_password,
        auth::mfa::state, auth::mfa::set_up, auth::mfa::verify, auth::mfa::disable,
        auth::sessions::list, auth::sessions::end, auth::sessions::end_others,
        auth::profile::me, auth::profile::update_me, auth::health::health, auth::keys::jwks,
        health_data::upload, health_data::upload_alias, health_data::batch::upload_batch, health_data::samples::upload_status,
        health_data::samples::sync_status, health_data::list, health_data::status, health_data::delete, health_data::delete_processing,
        healthkit::upload, healthkit::upload_alias, healthkit::status,
        imports::stream_in, imports::announce, imports::start, imports::stored,
        pat::analyse_steps, pat::analyse_steps_alias, pat::analyse_points, pat::analyse_points_alias, pat::stored, pat::health, pat::models,
        retina::analyse, retina::list, retina::stored, retina::image, retina::map, retina::eyes,
        insights::write, insights::write_alias, insights::stored, insights::history, insights::status,
        measures::daily, measures::hourly, measures::sleep, measures::deviations, measures::circadian,
        consents::grant, consents::list, consents::stored, consents::change, consents::revoke,
        users::audit, users::readings, users::daily, users::sleep, users::circadian, users::insights, clinician::patients,
        users_me::export, users_me::priority, users_me::set_priority, users_me::erase,
        operator::jobs, operator::user, operator::update_user,
        events::stream, ws::health_analysis, ws::room, ws::chat_room, objects::get, objects::put,
    ),
    components(schemas(ws::ClientMessage, ws::ServerMessage)),
    modifiers(&Bearer, &OperationIds)
)]
pub struct ClarityApi;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// Operations are called by their tag and their function: client generators make methods of these names, and functions of
/// different resources share theirs.
struct OperationIds;

impl Modify for OperationIds {
    fn modify(&self, document: &mut Document) {
        for item in document.paths.paths.values_mut() {
            let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
            for operation in methods.into_iter().flatten() {
                let tag = operation.tags.iter().flatten().next().map_or("", String::as_str).replace('-', "_");
                operation.operation_id = operation.operation_id.as_ref().map(|name| format!("{tag}_{name}"));
            }
        }
    }
}

/// The whole contract: what the handlers say, completed by what they have in common.
pub fn contract() -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(ClarityApi::openapi())?;
    complete::complete(&mut document);
    examples::add(&mut document)?;
    Ok(document)
}

static DOCUMENT: LazyLock<Result<Bytes, String>> = LazyLock::new(|| {
    let document = contract().and_then(|document| serde_json::to_vec(&document));
    document.map(Bytes::from).map_err(|error| error.to_string())
});

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "service", responses(
    (status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(crate) async fn document() -> Result<HttpResponse, Problem> {
    let document = DOCUMENT.as_ref().map_err(|_hidden| Problem::new(ProblemKind::Internal))?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(document.clone()))
}

/// To the first page of Swagger UI.
pub(crate) async fn docs() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, "/docs/index.html")).finish()
}

/// Swagger UI, served from the binary.
pub(crate) fn swagger() -> SwaggerUi {
    SwaggerUi::new("/docs/{_:.*}").config(utoipa_swagger_ui::Config::new(["/api/v1/openapi.json"]))
}

#[cfg(test)]
mod tests;
