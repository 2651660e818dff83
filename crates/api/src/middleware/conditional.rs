//! Entity tags and the conditions that clients make of them (RFC 9110, section 13).

use actix_web::{
    HttpResponse,
    body::{BoxBody, MessageBody},
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    context::{Context, mac},
    problem::{Problem, ProblemKind},
};

/// The entity tags of a condition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    /// `*`: whatever is there.
    Any,
    /// Each as it was sent, quotes and `W/` included.
    These(Vec<String>),
}

impl Tags {
    /// The condition in the headers of this name, where there is one.
    pub(crate) fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Problem> {
        let lines: Option<Vec<&str>> = headers.get_all(name).map(|line| line.to_str().ok()).collect();
        match lines.as_deref() {
            Some([]) => Ok(None),
            Some(lines) => parse(&lines.join(",")).map(Some).ok_or_else(|| fault(name)),
            None => Err(fault(name)),
        }
    }

    /// Whether one of them is this tag, byte by byte: a weak one never is.
    pub(crate) fn hold_strongly(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => !tag.starts_with("W/") && tags.iter().any(|held| held == tag),
        }
    }

    fn hold_weakly(&self, tag: &str) -> bool {
        let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|held| opaque(held) == opaque(tag)),
        }
    }
}

fn fault(name: &HeaderName) -> Problem {
    Problem::field(name.as_str(), "a list of entity tags, each in quotes, or *")
}

fn parse(text: &str) -> Option<Tags> {
    if text.trim() == "*" {
        return Some(Tags::Any);
    }
    let (mut tags, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        // An empty element of a list is none.
        if let Some(behind) = rest.strip_prefix(',') {
            rest = behind.trim_start();
            continue;
        }
        let quoted = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
        let (opaque, behind) = quoted.split_once('"')?;
        if opaque.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return None;
        }
        tags.push(rest[..rest.len() - behind.len()].to_owned());
        rest = behind.trim_start();
        if !(rest.is_empty() || rest.starts_with(',')) {
            return None;
        }
    }
    Some(Tags::These(tags))
}

/// On what condition a client wants what is there.
pub(super) struct Condition {
    /// It has these.
    none_match: Option<Tags>,
    /// It knows these, and has no use for anything else.
    must_match: Option<Tags>,
}

impl Condition {
    /// A condition that cannot be read is none (RFC 9110, section 13.1): a read does no harm.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let tags = |name| Tags::of(headers, name).ok().flatten();
        Self { none_match: tags(&header::IF_NONE_MATCH), must_match: tags(&header::IF_MATCH) }
    }
}

/// The largest body that a tag is computed of.
const TAGGED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Tags a JSON answer, and leaves its body out where the client has it. The tag is keyed: a log that holds it tells nobody
/// what the body was.
pub(super) fn tag(
    context: &Context,
    condition: &Condition,
    id: &str,
    response: HttpResponse<BoxBody>,
) -> HttpResponse<BoxBody> {
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if response.status() != StatusCode::OK || !is_json {
        return response;
    }
    let (mut response, body) = response.into_parts();
    let body = match body.try_into_bytes() {
        Ok(bytes) => bytes,
        Err(stream) => return response.set_body(stream),
    };
    if !response.headers().contains_key(header::ETAG) && body.len() <= TAGGED_BYTES_MAX {
        let hash = mac(&context.cursor_key, &[b"etag", &body]);
        let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&hash[..16]));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
    }
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let tag = tag.unwrap_or_default();
    if condition.must_match.as_ref().is_some_and(|tags| !tags.hold_strongly(tag)) {
        return Problem::new(ProblemKind::PreconditionFailed).response(id);
    }
    if condition.none_match.as_ref().is_some_and(|tags| tags.hold_weakly(tag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(header::CONTENT_TYPE);
        return response.set_body(BoxBody::new(()));
    }
    response.set_body(BoxBody::new(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn these(tags: &[&str]) -> Tags {
        Tags::These(tags.iter().map(|&tag| tag.to_owned()).collect())
    }

    #[test]
    fn lists_of_tags_are_read_as_the_standard_writes_them() {
        assert_eq!(parse(" * "), Some(Tags::Any));
        assert_eq!(parse(r#""a""#), Some(these(&[r#""a""#])));
        assert_eq!(parse(r#"W/"a" , "b,c","""#), Some(these(&[r#"W/"a""#, r#""b,c""#, r#""""#])));
        assert_eq!(parse(r#", "a",, "b""#), Some(these(&[r#""a""#, r#""b""#])));
        for wrong in ["a", r#""a"#, r#"w/"a""#, r#""a" "b""#, r#""a b""#, r#"*, "a""#, r#""a"x"#] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_weak_tag_answers_reads_and_guards_no_change() {
        let weak = parse(r#"W/"a""#).unwrap();
        assert!(weak.hold_weakly(r#""a""#) && !weak.hold_strongly(r#""a""#));
        assert!(!weak.hold_strongly(r#"W/"a""#));
        let strong = parse(r#""b", "a""#).unwrap();
        assert!(strong.hold_weakly(r#"W/"a""#) && strong.hold_strongly(r#""a""#));
        assert!(!strong.hold_weakly(r#""c""#) && !strong.hold_strongly(r#""A""#));
        assert!(Tags::Any.hold_strongly(r#""a""#));
    }
}
