//! The HTTP routes: the only place, with the server around it, that knows actix. One file per resource.

pub(crate) mod auth;
pub(crate) mod clinician;
pub(crate) mod consents;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod health_data;
pub(crate) mod healthkit;
pub(crate) mod imports;
pub(crate) mod insights;
pub(crate) mod measures;
pub(crate) mod objects;
pub(crate) mod open_inference;
pub(crate) mod openapi;
pub(crate) mod operator;
pub(crate) mod pages;
pub(crate) mod pat;
pub(crate) mod retina;
pub(crate) mod root;
pub(crate) mod users;
pub(crate) mod users_me;
pub(crate) mod ws;

use std::str::FromStr;

use actix_web::{Resource, web};
use jiff::Timestamp;

use crate::{
    middleware::{nowhere, other_method},
    problem::{Problem, ProblemKind},
};

/// An instant as the shipped apps can read it: whole seconds, UTC.
pub(crate) fn seconds(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A resource that answers OPTIONS, and the methods it does not have with a problem.
/// An id from a path; what is no id names nothing.
pub(crate) fn id<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_hidden| Problem::new(ProblemKind::NotFound))
}

fn resource(path: &str) -> Resource {
    web::resource(path).default_service(web::to(other_method))
}

/// Binds every route.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let api = web::scope("/api/v1")
        .configure(auth::configure)
        .configure(health_data::configure)
        .configure(healthkit::configure)
        .configure(imports::configure)
        .configure(pat::configure)
        .configure(insights::configure)
        .configure(retina::configure)
        .configure(measures::configure)
        .configure(consents::configure)
        .configure(users_me::configure)
        .configure(users::configure)
        .configure(clinician::configure)
        .configure(operator::configure)
        .configure(ws::configure)
        .service(resource("/events").route(web::get().to(events::stream)))
        .service(resource("/health").route(web::get().to(health::live)))
        .service(resource("/health/ready").route(web::get().to(health::ready)))
        .service(resource("/health/detailed").route(web::get().to(health::detailed)))
        .service(resource("/openapi.json").route(web::get().to(openapi::document)))
        .service(resource("").route(web::get().to(root::root)));
    config
        .service(resource("/").route(web::get().to(root::page)))
        .service(resource("/health").route(web::get().to(health::live_page)))
        .service(resource("/health/db").route(web::get().to(health::database)))
        .service(resource("/metrics").route(web::get().to(health::metrics)))
        .service(resource("/.well-known/jwks.json").route(web::get().to(auth::keys::jwks)))
        .service(
            resource("/objects/{key:.*}")
                .route(web::get().to(objects::get))
                .route(web::put().to(objects::put)),
        )
        .service(api)
        // Not to `/docs/`: without its slash, which is taken off every path, that is `/docs` again.
        .service(resource("/docs").route(web::get().to(openapi::docs)))
        .service(openapi::swagger())
        .default_service(web::to(nowhere));
}
