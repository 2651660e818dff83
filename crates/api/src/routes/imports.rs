//! `healthkit/stream`: files of readings of any size, read while they come, with receipts sent back meanwhile.

mod announced;
mod body;
mod progress;
mod spool;

use std::{
    io::{self, Cursor, Read},
    sync::Arc,
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use app::{
    import::{self, Ended, Form, Import, LeftOut, Source, import_id},
    ingest::Rejection,
};
use domain::{ids::ImportId, time::ZoneName};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{runtime::Handle, sync::Semaphore};
use utoipa::{IntoParams, ToSchema};

use self::{
    body::bridge,
    spool::{Done, Spool},
};
use super::{openapi::schemas, resource, seconds};
use crate::{
    extract::{Ctx, HealthUser},
    problem::{Problem, ProblemBody, ProblemKind},
    routes,
};

pub(crate) use announced::*;

/// How many imports a process reads at once: each holds two threads.
static IMPORTS: Semaphore = Semaphore::const_new(8);

/// When to ask again where an import of the same user is under way.
const RETRY_AFTER: Duration = Duration::from_secs(10);

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(resource("/healthkit/stream").route(web::post().to(stream_in)))
        .service(resource("/healthkit/imports").route(web::post().to(announce)))
        .service(resource("/healthkit/imports/{import_id}").route(web::get().to(stored)))
        .service(resource("/healthkit/imports/{import_id}/start").route(web::post().to(start)));
}

/// How the samples of a stream of lines are read.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamQuery {
    /// The IANA zone of samples that name none; of NDJSON only.
    #[param(example = "Europe/Berlin")]
    time_zone: Option<String>,
}

/// What was counted of a file.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImportCounts {
    /// Readings that were new.
    #[schema(example = 9_446)]
    accepted: u64,
    /// Readings that were held already.
    #[schema(example = 12)]
    duplicate: u64,
    /// Elements that were refused.
    #[schema(example = 0)]
    rejected: u64,
    /// Elements of types that are not kept, by type.
    unsupported: std::collections::BTreeMap<String, u64>,
}

/// How far a file was read.
#[derive(Serialize)]
struct Progress {
    state: &'static str,
    /// Bytes of its content.
    position: u64,
    line: u64,
    /// New, known and refused ones.
    readings: u64,
}

impl From<&Import> for Progress {
    fn from(import: &Import) -> Self {
        let Import { state, position, counts, .. } = import;
        let readings = counts.received();
        Self { state: (*state).into(), position: position.offset, line: position.line, readings }
    }
}

/// A file that is, or was, imported.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImportBody {
    #[schema(format = "uuid", example = "019b1f6e-0000-8000-8000-000000000000")]
    import_id: String,
    /// `waiting` for an announced file to be put and started; `queued`; `running`, also where it broke off: the same file goes on
    /// there; `completed`; or `failed`, where `failure` says why.
    #[schema(example = "completed")]
    state: &'static str,
    /// How far it was read: bytes of its content.
    #[schema(example = 2_203_112)]
    position: u64,
    /// The line there.
    #[schema(example = 24_112)]
    line: u64,
    counts: ImportCounts,
    /// What was refused, and why; the first thousand.
    #[schema(value_type = Vec<schemas::Rejection>)]
    rejected: Vec<Rejection>,
    failure: Option<String>,
    /// Names of files that came with the readings and are kept as they are.
    attachments: Vec<String>,
    /// How many such files are not kept.
    #[schema(example = 0)]
    attachments_left_out: u64,
    /// Which, and why; the first hundred.
    left_out: Vec<LeftOutBody>,
    #[schema(example = "2026-03-01T08:00:00Z")]
    started_at: String,
    #[schema(example = "2026-03-01T08:01:00Z")]
    updated_at: String,
}

/// A file that came with the readings and is not kept.
#[derive(Serialize, ToSchema)]
pub(crate) struct LeftOutBody {
    /// Its path in the archive.
    #[schema(example = "apple_health_export/workout-routes/route_2025-03-03_6.32pm.gpx")]
    name: String,
    #[schema(example = 48_112_904)]
    size_bytes: u64,
    /// `too_large` (more than 32 MiB), or `too_many`: 500 others came before it.
    #[schema(example = "too_large")]
    code: String,
}

impl From<&LeftOut> for LeftOutBody {
    fn from(file: &LeftOut) -> Self {
        Self { name: file.name.clone(), size_bytes: file.size_bytes, code: file.code.clone() }
    }
}

impl From<&Import> for ImportBody {
    fn from(import: &Import) -> Self {
        let state: &'static str = import.state.into();
        Self {
            import_id: import.id.to_string(),
            state,
            position: import.position.offset,
            line: import.position.line,
            counts: ImportCounts {
                accepted: import.counts.accepted,
                duplicate: import.counts.duplicate,
                rejected: import.counts.rejected,
                unsupported: import.counts.unsupported.clone(),
            },
            rejected: import.rejected.clone(),
            failure: import.failure.clone(),
            attachments: import.attachments.iter().map(|attachment| attachment.name.clone()).collect(),
            attachments_left_out: import.attachments_left_out,
            left_out: import.left_out.iter().map(LeftOutBody::from).collect(),
            started_at: seconds(import.started_at),
            updated_at: seconds(import.updated_at),
        }
    }
}

/// Import a file of readings while it is sent: lines of samples (`application/x-ndjson`, one as in the lists of `POST
/// healthkit`, or `{"deleted": UUID}`), Apple Health's `export.xml` (`application/xml`) or the archive with it
/// (`application/zip`). The answer is NDJSON and begins at once: for NDJSON a receipt for each line, `{"line", "status", "code"?,
/// "message"?}`; for a file its progress; and last `{"import": ...}`, as `GET healthkit/imports/{import_id}` answers it. What
/// has a receipt, or comes before a progress' position, is kept. A file that broke off goes on where it stopped when it is sent
/// again with the same `Content-Length`. Readings are told by what they hold: sending a file twice keeps nothing twice.
#[utoipa::path(post, path = "/api/v1/healthkit/stream", tag = "healthkit", security(("bearer" = [])), params(StreamQuery),
    request_body(content((String = "application/x-ndjson"), (String = "application/xml"), (Vec<u8> = "application/zip"))), responses(
    (status = 200, description = "Receipts, line by line", content_type = "application/x-ndjson", body = String),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, description = "The file is announced as longer than a stream may be", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, description = "Neither of these content types", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Another import of this user is under way, or too many uploads", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn stream_in(
    context: Ctx,
    request: HttpRequest,
    user: HealthUser,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let query = web::Query::<StreamQuery>::from_query(request.query_string())
        .map_err(|_hidden| Problem::field("", "the query parameter is time_zone"))?
        .into_inner();
    if let Some(zone) = &query.time_zone
        && ZoneName::new(zone).is_err()
    {
        return Err(Problem::field("time_zone", "not an IANA zone such as Europe/Berlin"));
    }
    let form = form(&request)?;
    let bytes_max = context.config.server.stream_bytes_max;
    let announced =
        crate::extract::header(&request, "content-length").and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max) {
        let detail = format!("a stream has at most {bytes_max} bytes");
        return Err(Problem::new(ProblemKind::TooLarge).detail(detail));
    }
    context.limiter.upload(user.user_id).await?;
    let seat = context.live.imports.take(user.user_id).ok_or_else(|| {
        Problem::new(ProblemKind::RateLimited).detail("another import is under way").retry_after(RETRY_AFTER)
    })?;
    let place = IMPORTS.try_acquire().map_err(|_full| {
        Problem::new(ProblemKind::Unavailable)
            .detail("too many imports are under way")
            .retry_after(RETRY_AFTER)
    })?;
    let spool = Arc::new(Spool::new().map_err(|_hidden| Problem::new(ProblemKind::Unavailable))?);
    let body = bridge(payload, bytes_max, Duration::from_millis(context.config.server.stream_idle_ms));
    let ended = context.lifecycle.streams.clone().cancelled_owned();
    let (writer, app, caller) = (Arc::clone(&spool), Arc::clone(&context.app), user.0.caller);
    let handle = Handle::current();
    // On a thread of its own: encoding a portion takes milliseconds, which other connections would wait.
    let work = tokio::task::spawn_blocking(move || {
        // The place is free before the answer ends: whoever read that may send the next file at once.
        let _says_so_when_dropped = Done(Arc::clone(&writer));
        let _held = (seat, place);
        let outcome =
            source(body, form, query.time_zone, announced, &*app.platform.ids).map(|(id, source)| {
                handle.block_on(
                    app.import_file(&caller, id, source, |import, receipts| writer.report(import, receipts)),
                )
            });
        let last = match outcome {
            Ok(Ok(Ended::Read(import) | Ended::BrokeOff(import, _))) => {
                json!({ "import": ImportBody::from(&import) })
            }
            Ok(Ok(Ended::Changed(_))) => {
                json!({ "error": "the file is not the one whose import was begun, although it is as long and begins alike: send it again, and it is read from its beginning" })
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "an import broke off");
                json!({ "error": "the import broke off: send the same file again to go on" })
            }
            Err(error) => {
                tracing::info!(%error, "a stream broke off");
                json!({ "error": "the stream broke off before anything was read" })
            }
        };
        let _nobody_reads = writer.line(&last);
    });
    drop(work);
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/x-ndjson"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(Box::pin(Spool::read(spool)).take_until(ended)))
}

/// An import of the caller's. Asked for `text/event-stream` it is watched: events `progress` (`{"state", "position", "line",
/// "readings"}`) as it comes on, and last an event `import` with what this answers otherwise.
#[utoipa::path(get, path = "/api/v1/healthkit/imports/{import_id}", tag = "healthkit", security(("bearer" = [])),
    params(("import_id" = String, Path, example = "019b1f6e-0000-8000-8000-000000000000")), responses(
    (status = 200, content((ImportBody = "application/json"), (String = "text/event-stream"))),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "Without the role user, as operators are", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "The caller has no such import", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "The user has too many streams", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The server stops: of streams", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn stored(
    context: Ctx,
    request: HttpRequest,
    user: HealthUser,
    import_id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id: ImportId = routes::id(&import_id)?;
    let import = context.app.import(&user.caller, id).await?;
    let import = import.ok_or_else(|| Problem::new(ProblemKind::NotFound))?;
    let accepts = crate::extract::header(&request, "accept").unwrap_or_default();
    if accepts.contains("text/event-stream") {
        return progress::watch(&context, user, import);
    }
    Ok(HttpResponse::Ok().json(ImportBody::from(&import)))
}

fn form(request: &HttpRequest) -> Result<Form, Problem> {
    let unsupported = |detail: &str| Problem::new(ProblemKind::UnsupportedMedia).detail(detail.to_owned());
    let is_coded = request.headers().get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    if is_coded {
        return Err(unsupported("a stream has no content encoding; the archive is compressed already"));
    }
    let kind = crate::extract::header(request, "content-type").unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/x-ndjson" | "application/jsonl" => Ok(Form::Lines),
        "application/xml" | "text/xml" => Ok(Form::Xml),
        "application/zip" => Ok(Form::Archive),
        _ => Err(unsupported("content types are application/x-ndjson, application/xml and application/zip")),
    }
}

/// What is imported, and its id: of a stream whose length was not announced a new one, so that it cannot go on.
fn source(
    mut body: impl Read + Send + 'static,
    form: Form,
    time_zone: Option<String>,
    announced: Option<u64>,
    ids: &dyn ports::IdSource,
) -> io::Result<(ImportId, Source)> {
    let id = |size: Option<u64>, head: &[u8]| {
        size.map_or_else(|| ImportId(ids.next()), |size| import_id(size, head))
    };
    if form == Form::Archive {
        // Its table of contents comes last.
        let mut file = import::spool(&mut body)?;
        let size = file.metadata()?.len();
        let (head, _) = import::head(&mut file)?;
        return Ok((id(Some(size), &head), Source::Archive(file)));
    }
    let mut head = Vec::new();
    (&mut body).take(import::HEAD_BYTES as u64).read_to_end(&mut head)?;
    let id = id(announced, &head);
    let whole: Box<dyn Read + Send> = Box::new(Cursor::new(head).chain(body));
    Ok((id, if form == Form::Xml { Source::Xml(whole) } else { Source::Lines(whole, time_zone) }))
}
