//! `OpenSSF` Model Signing, verified offline: a Sigstore bundle of version 0.3 with a DSSE envelope over an in-toto statement that
//! lists every file of the model with its SHA-256, signed with an ECDSA P-256 key. `model_signing sign key` of the Python package
//! `model-signing` makes them.
//!
//! Everything fails closed: a bundle that holds anything else than what is expected here is refused.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;

/// The file in a model's folder that holds the bundle: the default of `model_signing`.
pub(crate) const FILE: &str = "model.sig";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://model_signing/signature/v1.0";

/// The ECDSA P-256 public key whose signature every model needs.
#[derive(Clone)]
pub struct SigningKey {
    key: ParsedPublicKey,
    /// What bundles name the key by: SHA-256 of its PEM.
    hint: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.hint)
    }
}

impl SigningKey {
    /// Reads a PEM with one `PUBLIC KEY`.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| format!("it is no PEM with a PUBLIC KEY: {error}"))?;
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der.as_ref())
            .map_err(|_no_reason| "it is no ECDSA P-256 key".to_owned())?;
        // The signer hashes the PEM as its library writes it: lines of 64 characters and a line feed after each.
        let text = STANDARD.encode(der.as_ref());
        let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
        let written = format!("-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n");
        Ok(Self { key, hint: sha256(written.as_bytes()) })
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

/// The files that a bundle vouches for, by path, with their SHA-256 in hex.
pub(crate) type Signed = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: VerificationMaterial,
    dsse_envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerificationMaterial {
    public_key: PublicKeyIdentifier,
}

#[derive(Deserialize)]
struct PublicKeyIdentifier {
    hint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Deserialize)]
struct Subject {
    digest: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

/// Checks `bundle` against `key`, and says what it vouches for. The error says what is wrong with it.
pub(crate) fn verify(bundle: &[u8], key: &SigningKey) -> Result<Signed, String> {
    let bundle: Bundle = serde_json::from_slice(bundle)
        .map_err(|error| format!("it is no Sigstore bundle of a key: {error}"))?;
    expect("media type", &bundle.media_type, BUNDLE)?;
    expect("payload type", &bundle.dsse_envelope.payload_type, PAYLOAD)?;
    expect("key", &bundle.verification_material.public_key.hint, &key.hint)?;
    let [signature] = &bundle.dsse_envelope.signatures[..] else {
        return Err("it does not have exactly one signature".to_owned());
    };
    let decode = |what: &str, text: &str| {
        STANDARD.decode(text).map_err(|error| format!("its {what} is no base64: {error}"))
    };
    let payload = decode("payload", &bundle.dsse_envelope.payload)?;
    let signature = decode("signature", &signature.sig)?;
    key.key
        .verify_sig(&pae(PAYLOAD, &payload), &signature)
        .map_err(|_no_reason| "its signature is not the configured key's over this payload".to_owned())?;
    // Only now is what was signed read.
    let statement: Statement = serde_json::from_slice(&payload)
        .map_err(|error| format!("its payload is no in-toto statement of a model: {error}"))?;
    files(statement)
}

fn expect(what: &str, found: &str, expected: &str) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("its {what} is {found:?}, not {expected:?}")) }
}

/// What a DSSE envelope signs: its pre-authentication encoding.
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn files(statement: Statement) -> Result<Signed, String> {
    expect("statement type", &statement.kind, STATEMENT)?;
    expect("predicate type", &statement.predicate_type, PREDICATE)?;
    let Serialization { method, hash_type } = &statement.predicate.serialization;
    expect("serialization", method, "files")?;
    expect("hash", hash_type, "sha256")?;
    let [Subject { digest: subject }] = &statement.subject[..] else {
        return Err("it does not have exactly one subject".to_owned());
    };
    let mut all = digest::Context::new(&digest::SHA256);
    let mut signed = Signed::new();
    for Resource { name, algorithm, digest } in statement.predicate.resources {
        expect("algorithm of a file", &algorithm, "sha256")?;
        let bytes = hex::decode(&digest).map_err(|error| format!("the digest of {name}: {error}"))?;
        all.update(&bytes);
        if signed.insert(name.clone(), digest).is_some() {
            return Err(format!("it lists {name} twice"));
        }
    }
    let root = hex::encode(all.finish());
    expect("subject", subject.get("sha256").map_or("", String::as_str), &root)?;
    Ok(signed)
}

#[cfg(test)]
mod tests;
