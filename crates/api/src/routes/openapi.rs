//! The OpenAPI document, generated from the handlers, and Swagger UI over it.

use actix_web::HttpResponse;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_swagger_ui::SwaggerUi;

use super::{auth, events, health, health_data, healthkit, insights, measures, objects, operator, pat, root};

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
    paths(
        root::root, health::live, health::ready, health::detailed, health::database, health::metrics,
        auth::register, auth::login, auth::refresh, auth::logout, auth::me, auth::update_me, auth::jwks,
        health_data::upload, health_data::upload_alias, health_data::list, health_data::status, health_data::delete, health_data::delete_processing,
        healthkit::upload, healthkit::upload_alias, healthkit::status,
        pat::analyse_steps, pat::analyse_steps_alias, pat::analyse_points, pat::analyse_points_alias, pat::stored, pat::health, pat::models,
        insights::write, insights::write_alias, insights::stored, insights::history, insights::status,
        measures::daily, measures::sleep, measures::circadian,
        operator::jobs,
        events::stream, objects::get, objects::put,
    ),
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

/// The document itself.
pub(crate) async fn document() -> HttpResponse {
    HttpResponse::Ok().json(ClarityApi::openapi())
}

/// Swagger UI, served from the binary.
pub(crate) fn swagger() -> SwaggerUi {
    SwaggerUi::new("/docs/{_:.*}").config(utoipa_swagger_ui::Config::new(["/api/v1/openapi.json"]))
}
