//! Presigned object URLs, where the object store is a folder of this machine. The signature is the only credential.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use futures::StreamExt;
use ports::{Error, ErrorKind, ObjectKey, PresignedMethod, PutOptions};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    extract::Ctx,
    problem::{Problem, ProblemBody, ProblemKind},
};

/// How many pieces of a body wait to be stored.
const PIECES_WAITING_MAX: usize = 16;

/// What a refused signature, an unknown object and a store without such URLs look like: all the same.
fn missing() -> Problem {
    Problem::new(ProblemKind::NotFound)
}

fn granted(
    context: &Ctx,
    request: &HttpRequest,
    key: &str,
    method: &str,
) -> Result<(ObjectKey, PresignedMethod), Problem> {
    let presigned = context.presigned.as_ref().ok_or_else(missing)?;
    let key = ObjectKey::new(key).map_err(|_hidden| missing())?;
    let granted = presigned.verify(&key, method, request.query_string()).ok_or_else(missing)?;
    Ok((key, granted))
}

/// Read an object by a presigned URL.
#[utoipa::path(get, path = "/objects/{key}", tag = "objects", params(("key" = String, Path)), responses(
    (status = 200, description = "The bytes", content_type = "application/octet-stream", body = Vec<u8>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn get(
    context: Ctx,
    key: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (key, _) = granted(&context, &request, &key, "GET")?;
    let object = context.app.platform.objects.get(&key, None).await?.ok_or_else(missing)?;
    let body = object.body.map(|chunk| chunk.map_err(Problem::from));
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, object.meta.content_type))
        .insert_header((header::CONTENT_DISPOSITION, "attachment"))
        .no_chunking(object.meta.size_bytes)
        .streaming(body))
}

/// Put an object by a presigned URL.
#[utoipa::path(put, path = "/objects/{key}", tag = "objects", params(("key" = String, Path)), responses(
    (status = 200, description = "Stored"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn put(
    context: Ctx,
    key: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (key, method) = granted(&context, &request, &key, "PUT")?;
    let PresignedMethod::Put { size_bytes_max } = method else { return Err(missing()) };
    let content_type =
        crate::extract::header(&request, "content-type").unwrap_or("application/octet-stream").to_owned();
    let options = PutOptions { content_type, ..PutOptions::default() };
    let (pieces, body) = mpsc::channel(PIECES_WAITING_MAX);
    // Whatever ends this early ends the body with an error, so that nothing is stored of it.
    let receive = receive(payload, pieces, size_bytes_max, context.config.server.stream_idle_ms);
    let put = context.app.platform.objects.put(&key, Box::pin(ReceiverStream::new(body)), options);
    let (received, put) = futures::join!(receive, put);
    received?;
    put?;
    Ok(HttpResponse::Ok().finish())
}

/// Hands a body on piece by piece.
async fn receive(
    mut payload: web::Payload,
    pieces: mpsc::Sender<ports::Result<web::Bytes>>,
    size_bytes_max: u64,
    idle_ms: u64,
) -> Result<(), Problem> {
    let mut left = size_bytes_max;
    let refusal = loop {
        let piece = match tokio::time::timeout(Duration::from_millis(idle_ms), payload.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(_hidden))) => break Problem::field("", "the body broke off"),
            Err(_elapsed) => break Problem::new(ProblemKind::RequestTimeout),
        };
        let Some(rest) = left.checked_sub(piece.len() as u64) else {
            let detail = format!("at most {size_bytes_max} bytes");
            break Problem::new(ProblemKind::TooLarge).detail(detail);
        };
        left = rest;
        if pieces.send(Ok(piece)).await.is_err() {
            // The store took no more; it says why.
            return Ok(());
        }
    };
    let broken = Error::new(ErrorKind::InvalidInput, "objects.presigned_put");
    let _nobody_stores_it = pieces.send(Err(broken)).await;
    Err(refusal)
}
