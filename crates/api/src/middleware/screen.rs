//! What is refused, or put straight, before a request is routed.

use actix_web::{
    dev::ServiceRequest,
    http::{
        Method, Uri, Version,
        header::{self, HeaderMap},
        uri::PathAndQuery,
    },
    web::Bytes,
};

use crate::{
    connection::Watch,
    problem::{Problem, ProblemKind},
};

/// All of a request's header lines together.
const HEADER_BYTES_MAX: usize = 32 * 1024;
const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Refuses what no route may see. After such a request the connection is closed, and nothing that follows on it is done: it may
/// be a part of the request to whoever stands in between.
pub(super) fn refuse(request: &ServiceRequest, connection: Option<&Watch>) -> Result<(), Problem> {
    if connection.is_some_and(Watch::is_spoilt) {
        let why = "it follows one that ended its connection";
        return Err(Problem::new(ProblemKind::BadRequest).detail(why));
    }
    let outcome = judge(request);
    if let (Err(_), Some(connection)) = (&outcome, connection) {
        connection.spoil();
    }
    outcome
}

fn judge(request: &ServiceRequest) -> Result<(), Problem> {
    let (headers, uri) = (request.headers(), request.uri());
    if uri.path_and_query().is_some_and(|target| target.as_str().len() > TARGET_BYTES_MAX) {
        return Err(Problem::new(ProblemKind::UriTooLong));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > HEADER_BYTES_MAX {
        return Err(Problem::new(ProblemKind::HeadersTooLarge));
    }
    // This is nobody's tunnel.
    if *request.method() == Method::CONNECT {
        return Err(Problem::new(ProblemKind::MethodNotAllowed));
    }
    framing(headers, request.version()).map_err(|why| Problem::new(ProblemKind::BadRequest).detail(why))
}

/// The server refuses these as well; a smuggled request is worth a second look.
fn framing(headers: &HeaderMap, version: Version) -> Result<(), &'static str> {
    let lengths = headers.get_all(header::CONTENT_LENGTH).count();
    let codings = headers.get_all(header::TRANSFER_ENCODING).count();
    if lengths > 1 || codings > 1 || (lengths > 0 && codings > 0) {
        return Err("the end of the body is given more than once");
    }
    if codings > 0 && version < Version::HTTP_11 {
        return Err("HTTP/1.0 has no transfer encodings");
    }
    if headers.get_all(header::HOST).count() > 1 {
        return Err("there is more than one Host");
    }
    Ok(())
}

/// Takes one slash off the end of the path: both forms answer. Slashes within are the client's own matter; a path with two
/// in a row is another path.
pub(super) fn trim(request: &mut ServiceRequest) {
    let uri = request.uri();
    let Some(path) = uri.path().strip_suffix('/').filter(|path| !path.is_empty() && !path.ends_with('/'))
    else {
        return;
    };
    let target = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    let Ok(target) = PathAndQuery::from_maybe_shared(Bytes::from(target)) else { return };
    parts.path_and_query = Some(target);
    if let Ok(uri) = Uri::from_parts(parts) {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
}
