//! Files that are put into the object store first: announced, put by a presigned URL, started.

use actix_web::{HttpResponse, http::StatusCode, web};
use app::{
    idempotency::{Once, Reply},
    import::{Announced, Form, UploadPlace},
};
use domain::time::ZoneName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ImportBody;
use crate::{
    extract::{Ctx, HealthUser, Json},
    problem::{Problem, ProblemBody, ProblemKind},
    routes,
    routes::seconds,
    terms::{Terms, reply},
};

/// What a file is.
#[derive(Clone, Copy, Deserialize, ToSchema)]
pub(crate) enum FileType {
    /// `export.xml`.
    #[serde(rename = "application/xml")]
    Xml,
    /// The archive with it.
    #[serde(rename = "application/zip")]
    Archive,
    /// Lines of samples.
    #[serde(rename = "application/x-ndjson")]
    Lines,
}

/// A file that will be put.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportAnnouncement {
    content_type: FileType,
    /// How long it is: what is put must be as long.
    #[schema(minimum = 1, example = 2_203_112_904_u64)]
    size_bytes: u64,
    /// The IANA zone of samples that name none; of NDJSON only.
    #[schema(example = "Europe/Berlin")]
    time_zone: Option<String>,
}

/// Where a file is put.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImportPlace {
    import: ImportBody,
    upload: ImportUpload,
}

/// One request, without other credentials.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImportUpload {
    #[schema(example = "PUT")]
    method: &'static str,
    /// The object store's, or this server's own.
    url: String,
    /// Until when the URL holds.
    #[schema(example = "2026-03-01T14:00:00Z")]
    expires_at: String,
}

impl From<&UploadPlace> for ImportPlace {
    fn from(place: &UploadPlace) -> Self {
        let upload =
            ImportUpload { method: "PUT", url: place.url.clone(), expires_at: seconds(place.expires_at) };
        Self { import: ImportBody::from(&place.import), upload }
    }
}

/// Announce a file that is imported from the object store: `PUT` it to the URL of the answer, then `POST
/// healthkit/imports/{import_id}/start`. A worker reads it, and goes on where it stopped if it was stopped; `GET
/// healthkit/imports/{import_id}` tells how far it is. Smaller files, and those who want receipts for lines, need not: `POST
/// healthkit/stream`.
#[utoipa::path(post, path = "/api/v1/healthkit/imports", tag = "healthkit", security(("bearer" = [])), request_body = ImportAnnouncement,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body answer the same place again")), responses(
    (status = 201, body = ImportPlace, headers(("Location" = String, description = "The import"))),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "A request with the same idempotency key is in progress", body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, description = "The file is longer than one may be", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Too many uploads, or too many announced files that never came", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn announce(
    context: Ctx,
    user: HealthUser,
    terms: Terms,
    body: Json<ImportAnnouncement>,
) -> Result<HttpResponse, Problem> {
    let ImportAnnouncement { content_type, size_bytes, time_zone } = body.0;
    let bytes_max = context.config.server.stream_bytes_max;
    if size_bytes == 0 {
        return Err(Problem::field("/size_bytes", "a file has at least one byte"));
    }
    if size_bytes > bytes_max {
        let detail = format!("a file has at most {bytes_max} bytes");
        return Err(Problem::new(ProblemKind::TooLarge).detail(detail));
    }
    let zone = time_zone.as_deref().map(ZoneName::new).transpose();
    let time_zone =
        zone.map_err(|_hidden| Problem::field("/time_zone", "not an IANA zone such as Europe/Berlin"))?;
    context.limiter.upload(user.user_id).await?;
    let form = match content_type {
        FileType::Xml => Form::Xml,
        FileType::Archive => Form::Archive,
        FileType::Lines => Form::Lines,
    };
    let announced = Announced { form, size_bytes, time_zone };
    let placed = |place: &UploadPlace| {
        let location = Some(format!("/api/v1/healthkit/imports/{}", place.import.id));
        Ok(Reply { location, ..reply(StatusCode::CREATED, &ImportPlace::from(place))? })
    };
    let announce = async |once: Option<&Once<'_, UploadPlace>>| {
        context.app.announce_import(&user.caller, announced, once).await
    };
    terms.answer(user.user_id, placed, announce).await
}

/// Import an announced file, now that it was put. One that was started before is answered as it stands.
#[utoipa::path(post, path = "/api/v1/healthkit/imports/{import_id}/start", tag = "healthkit", security(("bearer" = [])),
    params(("import_id" = String, Path, example = "019b1f6e-0000-8000-8000-000000000000")), responses(
    (status = 202, body = ImportBody),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "The caller has no such import", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "It is being started by another request", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn start(
    context: Ctx,
    user: HealthUser,
    import_id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let import = context.app.start_import(&user.caller, routes::id(&import_id)?).await?;
    Ok(HttpResponse::Accepted().json(ImportBody::from(&import)))
}
