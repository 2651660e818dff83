//! Presigned object URLs, where the object store is a folder of this machine. The signature is the only credential.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use futures::StreamExt;
use ports::{ObjectKey, PresignedMethod, PutOptions, objects};

use crate::{
    extract::Ctx,
    problem::{Problem, ProblemBody, ProblemKind},
};

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
    mut payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (key, method) = granted(&context, &request, &key, "PUT")?;
    let PresignedMethod::Put { size_bytes_max } = method else { return Err(missing()) };
    let mut body = web::BytesMut::new();
    let size_max =
        usize::try_from(size_bytes_max).unwrap_or(usize::MAX).min(context.config.server.upload_bytes_max);
    let receive = async {
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_hidden| Problem::field("", "the body broke off"))?;
            if body.len() + chunk.len() > size_max {
                return Err(Problem::new(ProblemKind::TooLarge).detail(format!("at most {size_max} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(())
    };
    let received = tokio::time::timeout(context.body_timeout(), receive).await;
    received.map_err(|_hidden| Problem::new(ProblemKind::RequestTimeout))??;
    let content_type =
        crate::extract::header(&request, "content-type").unwrap_or("application/octet-stream").to_owned();
    let options = PutOptions { content_type, ..PutOptions::default() };
    context.app.platform.objects.put(&key, objects::once(body.freeze()), options).await?;
    Ok(HttpResponse::Ok().finish())
}
