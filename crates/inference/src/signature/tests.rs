use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::*;

const BUNDLE_MADE: &[u8] = include_bytes!("../../tests/fixtures/doubling/model.sig");
const MANIFEST: &[u8] = include_bytes!("../../tests/fixtures/doubling/manifest.json");
const KEY: &str = include_str!("../../tests/fixtures/signing_key.pem");

fn edited(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut bundle = serde_json::from_slice(BUNDLE_MADE).unwrap();
    change(&mut bundle);
    serde_json::to_vec(&bundle).unwrap()
}

fn refused(bundle: &[u8]) -> String {
    verify(bundle, &SigningKey::from_pem(KEY).unwrap()).unwrap_err()
}

#[test]
fn a_bundle_of_model_signing_vouches_for_every_file() {
    let signed = verify(BUNDLE_MADE, &SigningKey::from_pem(KEY).unwrap()).unwrap();
    let files: Vec<_> = signed.keys().map(String::as_str).collect();
    assert_eq!(files, ["golden/x.f32", "golden/y.f32", "golden/z.f32", "manifest.json", "model.onnx"]);
    assert_eq!(signed["manifest.json"], sha256(MANIFEST));
}

#[test]
fn no_byte_of_payload_or_signature_can_be_another() {
    for path in ["/dsseEnvelope/payload", "/dsseEnvelope/signatures/0/sig"] {
        let bundle: Value = serde_json::from_slice(BUNDLE_MADE).unwrap();
        let bytes = STANDARD.decode(bundle.pointer(path).unwrap().as_str().unwrap()).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            let reason = refused(&edited(|bundle| {
                *bundle.pointer_mut(path).unwrap() = json!(STANDARD.encode(flipped));
            }));
            assert!(reason.contains("its signature is not the configured key's"), "{path} {at}: {reason}");
        }
    }
}

#[test]
fn what_is_not_such_a_bundle_is_refused() {
    let with =
        |path: &str, value: Value| refused(&edited(|bundle| *bundle.pointer_mut(path).unwrap() = value));
    let signature = json!({ "sig": "AA==" });
    let reasons = [
        (refused(b""), "no Sigstore bundle"),
        (refused(b"{}"), "no Sigstore bundle"),
        (with("/mediaType", json!("application/vnd.dev.sigstore.bundle.v0.2+json")), "media type"),
        (with("/verificationMaterial", json!({ "certificate": {} })), "no Sigstore bundle of a key"),
        (with("/verificationMaterial/publicKey/hint", json!("0".repeat(64))), "its key is"),
        (with("/verificationMaterial/publicKey/hint", json!("")), "its key is"),
        (with("/dsseEnvelope/payloadType", json!("text/plain")), "payload type"),
        (with("/dsseEnvelope/payload", json!("%")), "payload is no base64"),
        (with("/dsseEnvelope/signatures", json!([])), "exactly one signature"),
        (with("/dsseEnvelope/signatures", json!([signature, signature])), "exactly one signature"),
    ];
    for (reason, expected) in reasons {
        assert!(reason.contains(expected), "{reason} should say {expected}");
    }
}

/// A key of our own, which signs what no honest signer does.
fn bundle(statement: &Value) -> (Vec<u8>, SigningKey) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let der =
        aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key())
            .unwrap();
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()));
    let key = SigningKey::from_pem(&pem).unwrap();
    let payload = statement.to_string().into_bytes();
    let signature = pair.sign(&SystemRandom::new(), &pae(PAYLOAD, &payload)).unwrap();
    let bundle = json!({
        "mediaType": BUNDLE,
        "verificationMaterial": { "publicKey": { "hint": key.hint } },
        "dsseEnvelope": {
            "payload": STANDARD.encode(&payload), "payloadType": PAYLOAD,
            "signatures": [{ "sig": STANDARD.encode(signature.as_ref()) }],
        },
    });
    (bundle.to_string().into_bytes(), key)
}

fn signed(statement: &Value) -> Result<Signed, String> {
    let (bundle, key) = bundle(statement);
    verify(&bundle, &key)
}

fn statement() -> Value {
    let file = |name: &str| json!({ "name": name, "algorithm": "sha256", "digest": "00".repeat(32) });
    json!({
        "_type": STATEMENT, "predicateType": PREDICATE,
        "subject": [{ "name": "m", "digest": { "sha256": sha256(&[0; 64]) } }],
        "predicate": { "serialization": { "method": "files", "hash_type": "sha256" }, "resources": [file("a"), file("b")] },
    })
}

#[test]
fn a_signed_statement_that_says_something_else_is_refused() {
    assert_eq!(signed(&statement()).unwrap().len(), 2);
    for (path, value) in [
        ("/_type", json!("https://in-toto.io/Statement/v0.1")),
        ("/predicateType", json!("https://model_signing/Digests/v0.1")),
        ("/subject", json!([])),
        ("/subject/0/digest/sha256", json!("00".repeat(32))),
        ("/predicate/serialization/method", json!("shards")),
        ("/predicate/serialization/hash_type", json!("blake2b")),
        ("/predicate/resources/0/algorithm", json!("md5")),
        ("/predicate/resources/0/digest", json!("xyz")),
        ("/predicate/resources/1/name", json!("a")),
        ("/predicate/resources", json!(null)),
    ] {
        let mut other = statement();
        *other.pointer_mut(path).unwrap() = value;
        assert!(signed(&other).is_err(), "{path}");
    }
}

/// A bundle as `model_signing sign key` makes it of a folder with these files, by path in byte order.
fn of_folder(files: &[(&str, String)]) -> (Vec<u8>, SigningKey) {
    let all: Vec<u8> = files.iter().flat_map(|(_, digest)| hex::decode(digest).unwrap()).collect();
    let file =
        |(name, digest): &(&str, String)| json!({ "name": name, "algorithm": "sha256", "digest": digest });
    let mut statement = statement();
    statement["subject"][0]["digest"]["sha256"] = json!(sha256(&all));
    statement["predicate"]["resources"] = files.iter().map(file).collect();
    bundle(&statement)
}

#[test]
fn a_folder_may_hold_more_than_its_manifest_lists_and_not_less_or_other() {
    let signed = verify(BUNDLE_MADE, &SigningKey::from_pem(KEY).unwrap()).unwrap();
    let files: Vec<_> = signed.iter().map(|(name, digest)| (name.as_str(), digest.clone())).collect();
    let read = |files: &[(&str, String)]| {
        let (bundle, key) = of_folder(files);
        crate::files::Declared::read(None, MANIFEST, Some(&bundle), Some(&key)).map(drop)
    };
    assert_eq!(read(&files), Ok(()));
    let with_card = [&[("MODEL_CARD.md", sha256(b"for people"))], &files[..]].concat();
    assert_eq!(read(&with_card), Ok(()));
    let mut other = with_card.clone();
    other[1].1 = sha256(b"another");
    for files in [&with_card[..with_card.len() - 1], &other] {
        let reason = read(files).unwrap_err();
        assert!(reason.contains("it does not list"), "{reason}");
    }
    let without_manifest: Vec<_> = files.into_iter().filter(|(name, _)| *name != "manifest.json").collect();
    assert!(read(&without_manifest).unwrap_err().contains("it is not for this manifest.json"));
}

#[test]
fn only_a_p256_public_key_is_a_signing_key() {
    assert!(SigningKey::from_pem("").is_err());
    assert!(SigningKey::from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----").is_err());
    // A P-384 key, from `openssl ecparam -name secp384r1 -genkey`.
    let other = "-----BEGIN PUBLIC KEY-----\nMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEGYcTD3vYdVrM+XrmLLk84dcoZ+eklCbyYoZCzGRk41E5X+A8Yyu+WPtr6I6laIzd+V8UXDAwova3Aixi7jSc+6FHRgzjd0sOZj5d0fUoecz6TE88oCIrVlI7pELoGnY0\n-----END PUBLIC KEY-----\n";
    assert!(SigningKey::from_pem(other).is_err());
    // Line ends and spaces around it are no matter: it is the same key.
    let windows = format!("\n{}\n", KEY.replace('\n', "\r\n"));
    let reason = verify(BUNDLE_MADE, &SigningKey::from_pem(&windows).unwrap());
    assert!(reason.is_ok(), "{reason:?}");
}
