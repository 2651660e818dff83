//! From a request to what a handler needs: the caller, and the body within its limits and deadline.

use std::{
    collections::BTreeSet,
    future::{Ready, ready},
    io::Read,
    net::IpAddr,
    ops::Deref,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::header,
    web::{self, Bytes, BytesMut},
};
use app::audit::Caller;
use domain::ids::{SessionId, UserId};
use futures::StreamExt;
use ports::{ExternalAccount, Role};
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use crate::{
    address,
    context::Context,
    middleware::{RequestId, is_traceparent},
    problem::{Problem, ProblemKind},
    terms::note_body,
};

/// Handlers get the context by this name.
pub(crate) type Ctx = web::Data<Context>;

/// Someone whose access token was verified.
pub(crate) struct Authenticated {
    pub user_id: UserId,
    pub session_id: SessionId,
    pub caller: Caller,
    /// For answers that last: it is verified again while they do.
    pub token: SecretString,
    /// What the token allows.
    pub roles: BTreeSet<Role>,
    /// Where someone else signs them in.
    pub external: Option<Arc<ExternalAccount>>,
}

/// Marks a request with its user, for the access log.
pub(crate) struct UserHash(pub String);

impl FromRequest for Authenticated {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let context = context(&request)?;
            let token = bearer(&request).ok_or_else(|| Problem::new(ProblemKind::Unauthorized))?;
            let verified = context.app.platform.tokens.verify(&token).await?;
            request.extensions_mut().insert(UserHash(context.user_hash(verified.user_id)));
            let caller = Caller {
                user_id: verified.user_id,
                actor: verified.user_id,
                request_id: RequestId::of(&request),
                traceparent: header(&request, "traceparent")
                    .filter(|text| is_traceparent(text.as_bytes()))
                    .map(str::to_owned),
            };
            Ok(Self {
                user_id: verified.user_id,
                session_id: verified.session_id,
                caller,
                token: token.into(),
                roles: verified.roles,
                external: verified.external,
            })
        })
    }
}

macro_rules! roles {
    ($($(#[$doc:meta])* $name:ident => $role:ident),+ $(,)?) => {$(
        $(#[$doc])*
        pub(crate) struct $name(pub Authenticated);

        impl Deref for $name {
            type Target = Authenticated;
            fn deref(&self) -> &Authenticated {
                &self.0
            }
        }

        impl FromRequest for $name {
            type Error = Problem;
            type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

            fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
                let authenticated = Authenticated::from_request(request, payload);
                Box::pin(async move {
                    let authenticated = authenticated.await?;
                    if authenticated.roles.contains(&Role::$role) {
                        Ok(Self(authenticated))
                    } else {
                        Err(Problem::new(ProblemKind::Forbidden))
                    }
                })
            }
        }
    )+};
}

roles! {
    /// Someone with health data of their own: every route of health data asks for it, and operators are not.
    HealthUser => User,
    /// Someone who may see the data of users who consented.
    Clinician => Clinician,
    /// Someone who runs the service.
    Operator => Operator,
}

fn context(request: &HttpRequest) -> Result<Arc<Context>, Problem> {
    let context = request.app_data::<Ctx>().ok_or_else(|| Problem::new(ProblemKind::Internal))?;
    Ok(Arc::clone(context))
}

pub(crate) fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The token of `Authorization: Bearer ...`.
pub(crate) fn bearer(request: &HttpRequest) -> Option<String> {
    let value = header(request, header::AUTHORIZATION.as_str())?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// The client's address: the peer's, or behind trusted proxies the one that they name.
pub(crate) struct Peer(pub IpAddr);

impl FromRequest for Peer {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(context(request).map(|context| {
            Self(address::client(&context.config.server, request.peer_addr(), request.headers()))
        }))
    }
}

/// A JSON body of at most `server.json_bytes_max` bytes.
pub(crate) struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let context = context(&request)?;
            expect_json(&request)?;
            let body = read(&request, payload, &context, context.config.server.json_bytes_max).await?;
            note_body(&request, &body);
            parse(&body).map(Self)
        })
    }
}

/// The same, where there may be no body.
pub(crate) struct OptionalJson<T>(pub Option<T>);

impl<T: DeserializeOwned + 'static> FromRequest for OptionalJson<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let context = context(&request)?;
            expect_json(&request)?;
            let body = read(&request, payload, &context, context.config.server.json_bytes_max).await?;
            if body.is_empty() { Ok(Self(None)) } else { parse(&body).map(|body| Self(Some(body))) }
        })
    }
}

/// An upload's body of at most `server.upload_bytes_max` bytes once decoded, whatever it holds.
pub(crate) struct UploadBody(pub Bytes);

impl FromRequest for UploadBody {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let context = context(&request)?;
            expect_json(&request)?;
            let body = read(&request, payload, &context, context.config.server.upload_bytes_max).await?;
            note_body(&request, &body);
            Ok(Self(body))
        })
    }
}

/// A body of any type, of at most `server.upload_bytes_max` bytes once decoded. The handler judges the type, and notes what of it
/// an `Idempotency-Key` stands for.
pub(crate) struct RawBody(pub Bytes);

impl FromRequest for RawBody {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let context = context(&request)?;
            read(&request, payload, &context, context.config.server.upload_bytes_max).await.map(Self)
        })
    }
}

/// Parses JSON. The problem names the place and what was expected there, never what was sent.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // serde would take an array as well, by the order in which our fields happen to stand.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::field("", "an array where an object is expected"));
    }
    app::json::strict(body)?;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let words = error.inner().to_string();
        let detail = match words.split_once(" at line") {
            // These two name a field of ours and nothing of the sender's.
            Some((missing, _)) if missing.starts_with("missing field") => missing.to_owned(),
            _ => match error.inner().classify() {
                serde_json::error::Category::Syntax | serde_json::error::Category::Eof => {
                    "not JSON".to_owned()
                }
                serde_json::error::Category::Data | serde_json::error::Category::Io => {
                    "does not have the type or form that the API describes".to_owned()
                }
            },
        };
        Problem::field(pointer, detail)
    })?;
    deserializer.end().map_err(|_hidden| Problem::field("", "something follows the JSON value"))?;
    Ok(value)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let part = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => format!("/{variant}"),
        Segment::Unknown => String::new(),
    };
    path.iter().map(part).collect()
}

/// Refuses a body that says of itself that it is something else. Without a type, or with the one that `curl -d` gives
/// everything, it is taken for the JSON that it has to be.
fn expect_json(request: &HttpRequest) -> Result<(), Problem> {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else { return Ok(()) };
    let value = value.to_str().unwrap_or("?").to_ascii_lowercase();
    let mut parts = value.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let is_json = kind.ends_with("+json")
        || ["", "application/json", "text/json", "text/plain", "application/octet-stream"].contains(&kind)
        || kind == "application/x-www-form-urlencoded";
    let is_utf8 = parts
        .filter_map(|parameter| parameter.strip_prefix("charset="))
        .all(|charset| matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii"));
    if is_json && is_utf8 {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::UnsupportedMedia).detail("bodies are application/json in UTF-8"))
}

/// What is reserved for a body before any of it has come.
const RESERVED_BYTES_MAX: usize = 64 * 1024;

/// Reads a body within `bytes_max`, coded and decoded, and within the deadline.
async fn read(
    request: &HttpRequest,
    payload: Payload,
    context: &Context,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    let bounds = Bounds { bytes_max, timeout: context.body_timeout(), encodings: &["gzip", "zstd"] };
    receive(request, payload, bounds).await
}

/// What a body may be.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Coded, and decoded.
    pub bytes_max: usize,
    pub timeout: Duration,
    /// Beside identity; of gzip, deflate and zstd.
    pub encodings: &'static [&'static str],
}

/// Reads a body within its bounds, and decodes it.
pub(crate) async fn receive(
    request: &HttpRequest,
    payload: Payload,
    Bounds { bytes_max, timeout, encodings }: Bounds,
) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(ProblemKind::TooLarge)
            .detail(format!("a body here has at most {bytes_max} bytes, decoded"))
    };
    let announced = header(request, "content-length").and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(too_large());
    }
    let receive = async {
        let mut payload = payload;
        let mut body = BytesMut::with_capacity(announced.unwrap_or(0).min(RESERVED_BYTES_MAX));
        while let Some(chunk) = payload.next().await {
            let chunk = chunk
                .map_err(|_hidden| Problem::new(ProblemKind::BadRequest).detail("the body broke off"))?;
            if body.len() + chunk.len() > bytes_max {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    let body = tokio::time::timeout(timeout, receive)
        .await
        .map_err(|_hidden| Problem::new(ProblemKind::RequestTimeout))??;
    // All lines of it: two encodings in two lines are as many as two in one.
    let named = request.headers().get_all(header::CONTENT_ENCODING);
    let encoding: Vec<&str> = named.map(|line| line.to_str().unwrap_or("?").trim()).collect();
    let encoding = if encoding.is_empty() { "identity".to_owned() } else { encoding.join(",") };
    let encoding = encoding.to_ascii_lowercase();
    match encoding.as_str() {
        "identity" | "" => Ok(body),
        known if encodings.contains(&known) => {
            // A few megabytes take milliseconds to decode: not on the thread that serves the other connections.
            let decoded = web::block(move || decode(&encoding, &body, bytes_max)).await;
            decoded.map_err(|_hidden| Problem::new(ProblemKind::Unavailable))?.map_err(|fault| match fault {
                DecodeFault::TooLarge => too_large(),
                DecodeFault::Malformed => {
                    Problem::field("", "the body is not in the content encoding that the request names")
                }
            })
        }
        _ => Err(Problem::new(ProblemKind::UnsupportedMedia)
            .detail(format!("content encodings are {} and identity", encodings.join(", ")))),
    }
}

enum DecodeFault {
    TooLarge,
    Malformed,
}

/// A frame says how much memory its decoding takes; none of what is accepted needs more than this.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

fn decode(encoding: &str, body: &[u8], bytes_max: usize) -> Result<Bytes, DecodeFault> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX) + 1;
    let mut decoded = Vec::new();
    let outcome = match encoding {
        "gzip" => flate2::read::MultiGzDecoder::new(body).take(limit).read_to_end(&mut decoded),
        // HTTP calls zlib's format so (RFC 9110, section 8.4.1.2).
        "deflate" => flate2::read::ZlibDecoder::new(body).take(limit).read_to_end(&mut decoded),
        _ => zstd::Decoder::with_buffer(body).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            decoder.take(limit).read_to_end(&mut decoded)
        }),
    };
    outcome.map_err(|_hidden| DecodeFault::Malformed)?;
    if decoded.len() > bytes_max { Err(DecodeFault::TooLarge) } else { Ok(decoded.into()) }
}
