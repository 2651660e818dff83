//! Good tokens: what is taken from them, how long they hold, and that no other text is as good.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use adapters_jwks::{Algorithm, Issuers, JwksVerifier};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use conformance::ManualClock;
use ports::{Clock, ExternalVerifier, Role};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixture::{Endpoint, Home, ISSUER, Reply, SIGNERS, Signer, claims, merged, settings};

#[tokio::test]
async fn a_token_of_each_algorithm_says_who_is_meant() {
    let home = Home::new().await;
    let claims = merged(home.claims(), json!({ "email": "Anna@Example.org", "email_verified": "true" }));
    for signer in &*SIGNERS {
        let token = home.verify(&signer.token(&claims)).await.unwrap().unwrap();
        assert_eq!((token.issuer.as_str(), token.subject.as_str()), (ISSUER, "3f2b8c1e-anna"));
        assert_eq!((token.provider.as_str(), &token.roles), ("example", &BTreeSet::from([Role::User])));
        assert_eq!(token.email.as_ref().unwrap().expose(), "anna@example.org");
        assert!(token.email_verified);
        let now = home.clock.now().as_second();
        assert_eq!(token.began_at.unwrap().as_second(), now);
        assert_eq!(token.expires_at.as_second(), now + 3_600 + 60);
        assert!(!format!("{token:?}").contains("anna"), "{token:?}");
    }
}

#[tokio::test]
async fn tokens_of_another_library_are_believed() {
    let home = Home::new().await;
    for signer in &*SIGNERS {
        let (algorithm, key) = match signer.algorithm {
            Algorithm::Rs256 => {
                let body = base64::engine::general_purpose::STANDARD.encode(signer.pkcs8());
                let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
                let key = jsonwebtoken::EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
                (jsonwebtoken::Algorithm::RS256, key)
            }
            Algorithm::Es256 => {
                (jsonwebtoken::Algorithm::ES256, jsonwebtoken::EncodingKey::from_ec_der(&signer.pkcs8()))
            }
            Algorithm::EdDsa => {
                (jsonwebtoken::Algorithm::EdDSA, jsonwebtoken::EncodingKey::from_ed_der(&signer.pkcs8()))
            }
        };
        let mut header = jsonwebtoken::Header::new(algorithm);
        header.kid = Some(signer.id.clone());
        let token = jsonwebtoken::encode(&header, &home.claims(), &key).unwrap();
        assert!(home.believes(&token).await, "{}", signer.id);
    }
}

/// Signatures that others made, with their keys: RFC 7515 (A.2, A.3) and RFC 8037 (A.4). Their claims are not an access
/// token's, so only the signatures can be asked about.
#[test]
fn the_examples_of_the_standards_verify() {
    let examples = [
        (
            json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" }),
            "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ];
    for (jwk, token) in examples {
        let key = adapters_jwks::PublicKey::from_jwk(jwk.as_object().unwrap()).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        assert!(key.verify(message.as_bytes(), &BASE64.decode(signature).unwrap()));
    }
}

#[tokio::test]
async fn a_token_that_was_believed_expires_and_one_that_was_not_yet_valid_becomes_so() {
    let home = Home::new().await;
    let now = home.clock.now().as_second();
    let token = SIGNERS[1].token(&home.claims());
    assert!(home.believes(&token).await);
    home.clock.advance_by(Duration::from_secs(3_659));
    assert!(home.believes(&token).await);
    home.clock.advance_by(Duration::from_secs(1));
    assert!(!home.believes(&token).await);

    let later = merged(home.claims(), json!({ "iat": now + 3_660 + 61, "nbf": now + 3_660 + 61 }));
    let later = SIGNERS[1].token(&later);
    assert!(!home.believes(&later).await);
    home.clock.advance_by(Duration::from_secs(1));
    assert!(home.believes(&later).await);
}

#[tokio::test]
async fn without_leeway_the_issuers_clock_is_the_only_one() {
    let home = Home::with(|settings| settings.leeway = Duration::ZERO).await;
    let now = home.clock.now().as_second();
    for (members, believed) in [
        (json!({ "exp": now }), false),
        (json!({ "exp": now + 1 }), true),
        (json!({ "nbf": now + 1 }), false),
        (json!({ "iat": now + 1 }), false),
    ] {
        assert_eq!(home.said(&merged(home.claims(), members.clone())).await.is_some(), believed, "{members}");
    }
}

#[tokio::test]
async fn groups_become_roles_and_an_operator_has_no_other() {
    let home = Home::with(|settings| {
        settings.roles_claim = Some("cognito:groups".to_owned());
        settings.roles = [
            ("doctors".to_owned(), Role::Clinician),
            ("admins".to_owned(), Role::Operator),
            ("people".to_owned(), Role::User),
        ]
        .into();
    })
    .await;
    let (user, clinician, operator) = (Role::User, Role::Clinician, Role::Operator);
    for (groups, roles) in [
        (json!([]), Some(vec![user])),
        (json!(["people"]), Some(vec![user])),
        (json!(["doctors"]), Some(vec![user, clinician])),
        (json!("doctors"), Some(vec![user, clinician])),
        (json!(["doctors", "admins"]), Some(vec![operator])),
        // Other names mean nothing, also those of our roles.
        (json!(["clinician", "operator", "Doctors"]), Some(vec![user])),
        (json!({ "doctors": true }), None),
        (json!(["doctors", 1]), None),
        (json!(null), None),
    ] {
        let token = home.said(&merged(home.claims(), json!({ "cognito:groups": groups }))).await;
        assert_eq!(token.map(|token| token.roles.clone()), roles.map(BTreeSet::from_iter), "{groups}");
    }
    assert_eq!(home.said(&home.claims()).await.unwrap().roles, [user].into());
}

#[tokio::test]
async fn what_is_not_configured_is_not_taken_on_trust() {
    let home = Home::with(|settings| {
        settings.audience = None;
        settings.token_use = None;
    })
    .await;
    let without = |names: &[&str], members: Value| {
        let mut claims = merged(home.claims(), members);
        for name in names {
            claims.as_object_mut().unwrap().remove(*name).unwrap();
        }
        claims
    };
    assert!(home.said(&without(&["aud"], json!({}))).await.is_some());
    assert!(home.said(&without(&["aud", "token_use"], json!({}))).await.is_some());
    // For someone, and nobody said that it is us; and an id token.
    assert!(home.said(&without(&[], json!({}))).await.is_none());
    assert!(home.said(&without(&["aud"], json!({ "token_use": "id" }))).await.is_none());
    assert!(home.said(&without(&["aud", "client_id"], json!({}))).await.is_none());
}

#[tokio::test]
async fn a_refreshed_token_begins_with_its_sign_in() {
    let home = Home::new().await;
    let now = home.clock.now().as_second();
    let token = home.said(&merged(home.claims(), json!({ "auth_time": now - 86_400 }))).await.unwrap();
    assert_eq!(token.began_at.unwrap().as_second(), now - 86_400);
}

#[tokio::test]
async fn tokens_of_one_sign_in_share_a_session_and_no_others_do() {
    let home = Home::new().await;
    let session = async |members: Value| home.said(&merged(home.claims(), members)).await.unwrap().session_id;
    let base = session(json!({})).await;
    assert_eq!(session(json!({ "scope": "other" })).await, base);
    assert_ne!(session(json!({ "jti": "another" })).await, base);
    assert_ne!(session(json!({ "sub": "another" })).await, base);
    let origin = session(json!({ "origin_jti": "o", "jti": "a" })).await;
    assert_eq!(session(json!({ "origin_jti": "o", "jti": "b" })).await, origin);
    assert_ne!(session(json!({ "jti": "o" })).await, origin);
}

#[tokio::test]
async fn each_issuer_is_judged_by_its_own_keys_and_rules() {
    let clock = Arc::new(ManualClock::default());
    let other = Signer::generate(Algorithm::EdDsa, "okp-1");
    let first = Endpoint::start(Reply::Keys(vec![SIGNERS[2].jwk()])).await;
    let second = Endpoint::start(Reply::Keys(vec![other.jwk()])).await;
    let verifier = |name: &str, issuer: &str, url: &str| {
        let mut settings = settings(url);
        settings.name = name.to_owned();
        settings.issuer = issuer.to_owned();
        JwksVerifier::new(settings, Arc::clone(&clock) as _).unwrap()
    };
    let issuers = Issuers::new(vec![
        verifier("one", ISSUER, &first.url),
        verifier("two", "https://other.example", &second.url),
    ])
    .unwrap();
    let ours = claims(&clock);
    let theirs = merged(ours.clone(), json!({ "iss": "https://other.example" }));
    let provider = async |token: String| {
        issuers.verify(&token).await.map(|found| found.map(|token| token.provider.clone()))
    };
    assert_eq!(provider(SIGNERS[2].token(&ours)).await.unwrap(), Some("one".to_owned()));
    assert_eq!(provider(other.token(&theirs)).await.unwrap(), Some("two".to_owned()));
    assert!(provider(other.token(&ours)).await.is_err());
    assert!(provider(SIGNERS[2].token(&theirs)).await.is_err());
    // Another issuer's, or nobody's: not for us to judge, and no one is asked for keys.
    for foreign in [
        SIGNERS[2].token(&merged(ours.clone(), json!({ "iss": "clarity" }))),
        SIGNERS[2].sign("{}", "{}"),
        String::new(),
        "a.b.c".to_owned(),
    ] {
        assert_eq!(provider(foreign).await.unwrap(), None);
    }
    assert_eq!((first.asked(), second.asked()), (1, 1));
}

#[tokio::test]
async fn no_text_that_differs_from_a_good_token_in_one_bit_is_believed() {
    let home = Home::new().await;
    for signer in &*SIGNERS {
        let good = signer.token(&home.claims());
        assert!(home.believes(&good).await);
        let mut tried = 0;
        for index in 0..good.len() {
            // The eighth bit would leave ASCII, and so a `&str`.
            for bit in 0..7 {
                let mut bytes = good.clone().into_bytes();
                bytes[index] ^= 1 << bit;
                let other = String::from_utf8(bytes).unwrap();
                assert!(!home.believes(&other).await, "{}: bit {bit} of byte {index}", signer.id);
                tried += 1;
            }
        }
        assert!(tried > 3_000, "{tried}");
    }
}

#[tokio::test]
async fn no_token_whose_content_differs_in_one_bit_is_believed() {
    let home = Home::new().await;
    for signer in &*SIGNERS {
        let good = signer.token(&home.claims());
        let parts: Vec<&str> = good.split('.').collect();
        for changed in 0..3 {
            let bytes = BASE64.decode(parts[changed]).unwrap();
            for bit in 0..bytes.len() * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
                parts[changed] = BASE64.encode(bytes);
                assert!(!home.believes(&parts.join(".")).await, "{}: part {changed}, bit {bit}", signer.id);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whoever_is_meant_a_token_is_believed_as_it_is_and_not_with_one_byte_changed(
        subject in "\\PC{1,255}",
        scope in "\\PC{0,100}",
        kind in 0..3_usize,
        at in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
    ) {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=";
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let home = Home::new().await;
            let claims = merged(home.claims(), json!({ "sub": subject, "scope": scope }));
            let good = SIGNERS[kind].token(&claims);
            let found = home.verify(&good).await.unwrap().unwrap();
            prop_assert_eq!(&found.subject, &subject);
            let mut bytes = good.clone().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = ALPHABET[other.index(ALPHABET.len())];
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(home.believes(&changed).await, changed == good);
            Ok(())
        })?;
    }
}
