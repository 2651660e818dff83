//! Public keys, and what they say about a signature.

use std::fmt;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rsa::PublicKeyComponents,
    signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// How a token may be signed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The name in headers and keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of exactly this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// Points of small order on Ed25519, without the sign bit: for such a key anybody can write signatures. Their other encodings
/// verify nothing.
const SMALL_ORDER: [[u8; 32]; 5] = [
    coordinate(0x00, 0x00, 0x00),
    coordinate(0x01, 0x00, 0x00),
    coordinate(0xec, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

const fn coordinate(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut bytes = [between; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// Members that only private and symmetric keys have.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A key that can verify signatures of one algorithm.
pub struct PublicKey {
    algorithm: Algorithm,
    key: ParsedPublicKey,
    fingerprint: [u8; 32],
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?})", self.algorithm)
    }
}

impl PublicKey {
    /// The key that a JWK (RFC 7517) describes; `None` where it is symmetric, private, weak, malformed, of another algorithm or
    /// not meant for signatures.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Option<Self> {
        let is_private = PRIVATE.iter().any(|member| jwk.contains_key(*member));
        let signs = jwk.get("use").is_none_or(|usage| usage == "sig");
        let verifies = match jwk.get("key_ops") {
            None => true,
            Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
            Some(_) => false,
        };
        if is_private || !signs || !verifies {
            return None;
        }
        let text = |member: &str| jwk.get(member)?.as_str();
        let bytes = |member: &str| URL_SAFE_NO_PAD.decode(text(member)?).ok();
        let (algorithm, key) = match (text("kty")?, text("crv")) {
            ("RSA", None) => (Algorithm::Rs256, rsa(&bytes("n")?, &bytes("e")?)?),
            ("EC", Some("P-256")) => (Algorithm::Es256, p256(&bytes("x")?, &bytes("y")?)?),
            ("OKP", Some("Ed25519")) => (Algorithm::EdDsa, ed25519(&bytes("x")?)?),
            _ => return None,
        };
        if jwk.get("alg").is_some_and(|name| name != algorithm.as_str()) {
            return None;
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, key.as_ref()).as_ref());
        Some(Self { algorithm, key, fingerprint })
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature` is one of this key over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    /// The same for the same key, and for no other.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

/// Checks what the library is not asked for: the length is that of the modulus, and the exponent is odd, not 1, and short.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<ParsedPublicKey> {
    let is_odd = |bytes: &[u8]| bytes.last().is_some_and(|last| last % 2 == 1);
    let is_canonical = |bytes: &[u8]| bytes.first().is_some_and(|first| *first != 0);
    let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
    let is_sound = (2048..=8192).contains(&bits) && is_canonical(modulus) && is_odd(modulus);
    let is_exponent = is_canonical(exponent) && is_odd(exponent) && exponent != [1] && exponent.len() <= 4;
    if !is_sound || !is_exponent {
        return None;
    }
    PublicKeyComponents { n: modulus, e: exponent }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()
}

fn p256(x: &[u8], y: &[u8]) -> Option<ParsedPublicKey> {
    if x.len() != 32 || y.len() != 32 {
        return None;
    }
    // The library refuses a point that is not on the curve.
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [&[4], x, y].concat()).ok()
}

fn ed25519(x: &[u8]) -> Option<ParsedPublicKey> {
    let mut point: [u8; 32] = x.try_into().ok()?;
    point[31] &= 0x7f;
    if SMALL_ORDER.contains(&point) {
        return None;
    }
    ParsedPublicKey::new(&ED25519, x).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each point of the list is there for a reason: a signature that nobody had to compute is right for one message in eight.
    #[test]
    fn anyone_signs_for_a_key_of_small_order() {
        let neutral: Vec<u8> = coordinate(1, 0, 0).into_iter().chain([0; 32]).collect();
        for point in SMALL_ORDER {
            let key = ParsedPublicKey::new(&ED25519, point).unwrap();
            let is_forged = |message: u32| key.verify_sig(&message.to_le_bytes(), &neutral).is_ok();
            assert!((0..500).any(is_forged), "{}", hex::encode(point));
        }
    }
}
