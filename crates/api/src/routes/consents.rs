//! `users/me/consents`: whom a user lets see their data.

use std::collections::BTreeSet;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use app::{
    consents::{Consent, Scope, Terms as ConsentTerms, Whom},
    records::Stored,
};
use jiff::Timestamp;
use ports::{Email, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{resource, seconds};
use crate::{
    extract::{Ctx, HealthUser, Json},
    middleware::conditional::Tags,
    problem::{Problem, ProblemBody, ProblemKind},
    routes,
    terms::{Terms, reply},
};

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(resource("/users/me/consents").route(web::post().to(grant)).route(web::get().to(list)))
        .service(
            resource("/users/me/consents/{consent_id}")
                .route(web::get().to(stored))
                .route(web::put().to(change))
                .route(web::delete().to(revoke)),
        );
}

/// What of the data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScopeWord {
    /// Days, nights and rhythms.
    Metrics,
    /// Single readings.
    Readings,
    /// Insights.
    Insights,
}

impl From<ScopeWord> for Scope {
    fn from(word: ScopeWord) -> Self {
        match word {
            ScopeWord::Metrics => Self::Metrics,
            ScopeWord::Readings => Self::Readings,
            ScopeWord::Insights => Self::Insights,
        }
    }
}

impl From<Scope> for ScopeWord {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Metrics => Self::Metrics,
            Scope::Readings => Self::Readings,
            Scope::Insights => Self::Insights,
        }
    }
}

/// Whom to let in: a clinician, by address or by id.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ConsentRequest {
    #[schema(example = "doctor@example.org")]
    clinician_email: Option<String>,
    #[schema(value_type = Option<String>, format = "uuid")]
    clinician_id: Option<String>,
    /// At most a year ahead; 90 days where it is not said.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// To what; to everything where it is not said.
    #[schema(min_items = 1, example = json!(["metrics", "readings", "insights"]))]
    scope: Option<Vec<ScopeWord>>,
}

/// How a consent is to be from now on.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ConsentUpdate {
    /// At most a year ahead.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    #[schema(min_items = 1, example = json!(["metrics"]))]
    scope: Vec<ScopeWord>,
}

/// A consent.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConsentBody {
    #[schema(value_type = String, format = "uuid")]
    consent_id: String,
    #[schema(value_type = String, format = "uuid")]
    clinician_id: String,
    /// As the user named them; `null` where that was by id.
    clinician_email: Option<String>,
    #[schema(example = json!(["metrics", "readings", "insights"]))]
    scope: Vec<ScopeWord>,
    #[schema(example = "2026-03-01T08:00:00Z")]
    created_at: String,
    #[schema(example = "2026-05-30T08:00:00Z")]
    expires_at: String,
    /// When it was ended.
    revoked_at: Option<String>,
}

/// The caller's consents, the newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConsentList {
    data: Vec<ConsentBody>,
}

impl From<&Consent> for ConsentBody {
    fn from(consent: &Consent) -> Self {
        Self {
            consent_id: consent.id.to_string(),
            clinician_id: consent.clinician_id.to_string(),
            clinician_email: consent.clinician_email.clone(),
            scope: consent.scope.iter().copied().map(ScopeWord::from).collect(),
            created_at: seconds(consent.created_at),
            expires_at: seconds(consent.expires_at),
            revoked_at: consent.revoked_at.map(seconds),
        }
    }
}

fn scope(words: Vec<ScopeWord>) -> BTreeSet<Scope> {
    words.into_iter().map(Scope::from).collect()
}

/// What is shown in whole seconds is kept in whole seconds.
fn whole(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant)
}

fn tag(version: Version) -> String {
    format!("\"{}\"", version.0)
}

fn respond(consent: &Stored<Consent>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::ETAG, tag(consent.version)))
        .json(ConsentBody::from(&consent.body))
}

/// Let a clinician see the caller's data.
#[utoipa::path(post, path = "/api/v1/users/me/consents", tag = "users", security(("bearer" = [])), request_body = ConsentRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body answer the same consent again")), responses(
    (status = 201, body = ConsentBody),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "A request with the same idempotency key is in progress", body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "Nobody of that address or id is a clinician; or another fault", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn grant(
    context: Ctx,
    user: HealthUser,
    terms: Terms,
    body: Json<ConsentRequest>,
) -> Result<HttpResponse, Problem> {
    let ConsentRequest { clinician_email, clinician_id, expires_at, scope: words } = body.0;
    let whom = match (clinician_email, clinician_id) {
        (Some(email), None) => Whom::Email(
            Email::parse(&email).ok_or_else(|| Problem::field("/clinician_email", "names no clinician"))?,
        ),
        (None, Some(id)) => {
            Whom::Id(id.parse().map_err(|_hidden| Problem::field("/clinician_id", "names no clinician"))?)
        }
        _ => return Err(Problem::field("", "clinician_email or clinician_id, and not both")),
    };
    let asked = ConsentTerms { expires_at: expires_at.map(whole), scope: words.map(scope) };
    let made = |consent: &Consent| reply(StatusCode::CREATED, &ConsentBody::from(consent));
    terms
        .answer(user.user_id, made, async |once| context.app.grant(&user.caller, whom, asked, once).await)
        .await
}

/// The caller's consents, ended ones included.
#[utoipa::path(get, path = "/api/v1/users/me/consents", tag = "users", security(("bearer" = [])), responses(
    (status = 200, body = ConsentList),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn list(context: Ctx, user: HealthUser) -> Result<HttpResponse, Problem> {
    let consents = context.app.consents(&user.caller).await?;
    let data = consents.iter().map(|stored| ConsentBody::from(&stored.body)).collect();
    Ok(HttpResponse::Ok().json(ConsentList { data }))
}

/// A consent of the caller's.
#[utoipa::path(get, path = "/api/v1/users/me/consents/{consent_id}", tag = "users", security(("bearer" = [])),
    params(("consent_id" = String, Path)), responses(
    (status = 200, body = ConsentBody, headers(("ETag" = String, description = "For `If-Match`"))),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn stored(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    Ok(respond(&context.app.consent(&user.caller, routes::id(&id)?).await?))
}

/// Change how far and how long a consent goes.
#[utoipa::path(put, path = "/api/v1/users/me/consents/{consent_id}", tag = "users", security(("bearer" = [])), request_body = ConsentUpdate,
    params(("consent_id" = String, Path), ("If-Match" = String, Header, description = "The ETag of the consent that is changed")), responses(
    (status = 200, body = ConsentBody, headers(("ETag" = String, description = "For `If-Match`"))),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "The consent was ended", body = ProblemBody, content_type = "application/problem+json"),
    (status = 412, description = "It was changed since it was read", body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 428, description = "Without `If-Match`", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn change(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
    request: HttpRequest,
    body: Json<ConsentUpdate>,
) -> Result<HttpResponse, Problem> {
    let expected = Tags::of(request.headers(), &header::IF_MATCH)?
        .ok_or_else(|| Problem::new(ProblemKind::PreconditionRequired))?;
    let is_expected = |version: Version| expected.hold_strongly(&tag(version));
    let ConsentUpdate { expires_at, scope: words } = body.0;
    let terms = ConsentTerms { expires_at: Some(whole(expires_at)), scope: Some(scope(words)) };
    let changed = context.app.change_consent(&user.caller, routes::id(&id)?, terms, &is_expected).await?;
    Ok(respond(&changed))
}

/// End a consent: its clinician is refused from now on.
#[utoipa::path(delete, path = "/api/v1/users/me/consents/{consent_id}", tag = "users", security(("bearer" = [])),
    params(("consent_id" = String, Path)), responses(
    (status = 200, body = ConsentBody),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn revoke(
    context: Ctx,
    user: HealthUser,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    Ok(respond(&context.app.revoke(&user.caller, routes::id(&id)?).await?))
}
