//! A token's outside: three parts in canonical base64url, and a header that asks for nothing unusual.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::{json, key::Algorithm};

const LENGTH_MAX: usize = 8 * 1024;
const KEY_ID_LENGTH_MAX: usize = 128;
/// What a header may have beside `alg` and `kid`. Thumbprints only describe the key that `kid` names; everything that would
/// bring a key, name a place for one, or change how the token is read is not here, known or unknown.
const HARMLESS: [&str; 2] = ["x5t", "x5t#S256"];

pub(crate) struct Parts<'a> {
    pub(crate) header: Header,
    /// What is signed.
    pub(crate) message: &'a [u8],
    pub(crate) claims: Map<String, Value>,
    pub(crate) signature: Vec<u8>,
}

pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: String,
}

/// The three parts of a token, each not empty.
pub(crate) fn split(token: &str) -> Option<[&str; 3]> {
    if token.len() > LENGTH_MAX {
        return None;
    }
    let mut parts = token.split('.');
    let three = [parts.next()?, parts.next()?, parts.next()?];
    (parts.next().is_none() && three.iter().all(|part| !part.is_empty())).then_some(three)
}

/// Without padding, of the URL's alphabet, and with no bit that means nothing: one way to write each token.
pub(crate) fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

pub(crate) fn parse(token: &str) -> Option<Parts<'_>> {
    let [header, claims, signature] = split(token)?;
    let message = token.get(..header.len() + 1 + claims.len())?.as_bytes();
    Some(Parts {
        header: Header::parse(&decode(header)?)?,
        message,
        claims: json::object(&decode(claims)?)?,
        signature: decode(signature)?,
    })
}

impl Header {
    fn parse(text: &[u8]) -> Option<Self> {
        let members = json::object(text)?;
        let is_usual = members.iter().all(|(name, value)| match name.as_str() {
            "alg" | "kid" => true,
            "typ" => value.as_str().is_some_and(is_type),
            name => HARMLESS.contains(&name) && value.is_string(),
        });
        let algorithm = members.get("alg")?.as_str().and_then(Algorithm::parse)?;
        let key_id = members.get("kid")?.as_str().filter(|id| is_key_id(id))?.to_owned();
        is_usual.then_some(Self { algorithm, key_id })
    }
}

/// Media types are the same in any case (RFC 7515, 4.1.9).
fn is_type(name: &str) -> bool {
    ["JWT", "at+jwt", "application/at+jwt"].iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Letters, digits, and the marks of both alphabets of base64 and of URLs' unreserved part.
pub(crate) fn is_key_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=:".contains(&byte);
    (1..=KEY_ID_LENGTH_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}
