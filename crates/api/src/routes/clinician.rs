//! `clinician/*`: who consented to the caller.

use actix_web::{HttpRequest, HttpResponse, web};
use app::consents::Patient;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    consents::ScopeWord,
    pages::{Asked, NextPage, PageQuery},
    resource, seconds,
};
use crate::{
    extract::{Clinician, Ctx},
    problem::{Problem, ProblemBody},
};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config.service(resource("/clinician/patients").route(web::get().to(patients)));
}

/// Someone who consented.
#[derive(Serialize, ToSchema)]
pub(crate) struct PatientBody {
    #[schema(value_type = String, format = "uuid")]
    user_id: String,
    #[schema(value_type = String, format = "uuid")]
    consent_id: String,
    #[schema(example = json!(["metrics"]))]
    scope: Vec<ScopeWord>,
    #[schema(example = "2026-03-01T08:00:00Z")]
    created_at: String,
    #[schema(example = "2026-05-30T08:00:00Z")]
    expires_at: String,
}

/// A page of those who consented.
#[derive(Serialize, ToSchema)]
pub(crate) struct PatientPage {
    data: Vec<PatientBody>,
    pagination: NextPage,
}

impl From<Patient> for PatientBody {
    fn from(patient: Patient) -> Self {
        Self {
            user_id: patient.user_id.to_string(),
            consent_id: patient.consent_id.to_string(),
            scope: patient.scope.into_iter().map(ScopeWord::from).collect(),
            created_at: seconds(patient.created_at),
            expires_at: seconds(patient.expires_at),
        }
    }
}

/// Those whose consent to the caller holds now, by their ids.
#[utoipa::path(get, path = "/api/v1/clinician/patients", tag = "clinician", security(("bearer" = [])), params(PageQuery), responses(
    (status = 200, body = PatientPage),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "The caller is no clinician", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn patients(
    context: Ctx,
    clinician: Clinician,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let asked = Asked::of(&context, &request, format!("patients/{}", clinician.user_id))?;
    let page = context.app.patients(&clinician.caller, asked.cursor.clone(), asked.limit).await?;
    let pagination = asked.next(&context, page.next.as_ref());
    let data = page.items.into_iter().map(PatientBody::from).collect();
    Ok(HttpResponse::Ok().json(PatientPage { data, pagination }))
}
