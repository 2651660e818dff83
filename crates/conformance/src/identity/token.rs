use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ports::{Denial, Role, TokenVerifier};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::Sha256;

use super::assert_denied;
use crate::{IdentityFixture, time::after};

/// The three parts of a signed token.
fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().expect("header, claims and signature")
}

fn header(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts(token)[0]).unwrap()).unwrap()
}

/// The header and the claims of `token`, with another algorithm and without a signature.
fn unsigned(token: &str, algorithm: &str) -> String {
    let mut header = header(token);
    header["alg"] = json!(algorithm);
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), parts(token)[1])
}

async fn assert_not_valid(verifier: &dyn TokenVerifier, token: &str) {
    assert_denied(verifier.verify(token).await, Denial::InvalidToken);
}

pub async fn an_access_token_verifies_and_names_its_user_and_session(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let tokens = fixture.sign_in(&person).await;
    let verified = fixture.verify(&tokens).await.unwrap();
    assert_eq!((verified.user_id, verified.session_id), (person.user_id, tokens.session_id));
    assert_eq!(verified.roles, [Role::User].into());
    assert!(!verified.issuer.is_empty());
    let end = after(fixture.time.now(), Duration::from_secs(tokens.expires_in_seconds));
    assert!(
        (verified.expires_at.as_second() - end.as_second()).abs() <= 1,
        "it ends at {}",
        verified.expires_at
    );
}

pub async fn a_refreshed_access_token_verifies(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let tokens = fixture.refresh(&fixture.sign_in(&person).await).await.unwrap();
    let verified = fixture.verify(&tokens).await.unwrap();
    assert_eq!((verified.user_id, verified.session_id), (person.user_id, tokens.session_id));
}

pub async fn an_access_token_is_not_valid_after_its_end(fixture: IdentityFixture) {
    let tokens = fixture.sign_in(&fixture.person().await).await;
    fixture.time.advance(Duration::from_secs(tokens.expires_in_seconds - 5)).await;
    fixture.verify(&tokens).await.unwrap();
    fixture.time.advance(Duration::from_secs(6)).await;
    assert_denied(fixture.verify(&tokens).await, Denial::InvalidToken);
    // Nor does a cache of the verifier bring it back.
    assert_denied(fixture.verify(&tokens).await, Denial::InvalidToken);
}

pub async fn a_token_changed_in_any_bit_is_not_valid(fixture: IdentityFixture) {
    let tokens = fixture.sign_in(&fixture.person().await).await;
    let token = tokens.access_token.expose_secret();
    for place in 0..token.len() {
        for bit in 0..7 {
            let mut bytes = token.as_bytes().to_vec();
            bytes[place] ^= 1 << bit;
            let changed = String::from_utf8(bytes).unwrap();
            let result = fixture.verifier.verify(&changed).await;
            assert!(result.is_err(), "bit {bit} of character {place} may be changed");
            assert_denied(result, Denial::InvalidToken);
        }
    }
    fixture.verify(&tokens).await.unwrap();
}

pub async fn a_token_without_its_own_signature_is_not_valid(fixture: IdentityFixture) {
    let (anna, boris) = (fixture.person().await, fixture.person().await);
    let (hers, his) = (fixture.sign_in(&anna).await, fixture.sign_in(&boris).await);
    let [header, claims, signature] = parts(hers.access_token.expose_secret());
    let [_, other_claims, other_signature] = parts(his.access_token.expose_secret());
    let verifier = &*fixture.verifier;
    assert_not_valid(verifier, &format!("{header}.{other_claims}.{signature}")).await;
    assert_not_valid(verifier, &format!("{header}.{claims}.{other_signature}")).await;
    assert_not_valid(verifier, &format!("{header}.{claims}.")).await;
    assert_not_valid(verifier, &format!("{header}.{claims}")).await;
    assert_not_valid(verifier, &format!("{header}.{claims}.{signature}.")).await;
    assert_not_valid(verifier, &format!(" {header}.{claims}.{signature}")).await;
}

pub async fn a_token_of_the_algorithm_none_is_not_valid(fixture: IdentityFixture) {
    let tokens = fixture.sign_in(&fixture.person().await).await;
    let token = tokens.access_token.expose_secret();
    for none in ["none", "None", "NONE", ""] {
        let unsigned = unsigned(token, none);
        assert_not_valid(&*fixture.verifier, &format!("{unsigned}.")).await;
        assert_not_valid(&*fixture.verifier, &format!("{unsigned}.{}", parts(token)[2])).await;
    }
}

pub async fn a_token_signed_with_the_public_key_as_a_secret_is_not_valid(fixture: IdentityFixture) {
    let tokens = fixture.sign_in(&fixture.person().await).await;
    let unsigned = unsigned(tokens.access_token.expose_secret(), "HS256");
    let mut secrets = vec![Vec::new(), b"secret".to_vec()];
    if let Some(jwks) = fixture.verifier.jwks().await.unwrap() {
        secrets.push(jwks.to_string().into_bytes());
        for value in jwks["keys"].as_array().unwrap().iter().flat_map(|key| key.as_object().unwrap().values())
        {
            let text = value.as_str().unwrap_or_default();
            secrets.push(text.as_bytes().to_vec());
            secrets.extend(URL_SAFE_NO_PAD.decode(text));
        }
    }
    for secret in secrets {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
        mac.update(unsigned.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        assert_not_valid(&*fixture.verifier, &format!("{unsigned}.{signature}")).await;
    }
}

pub async fn a_refresh_token_is_no_access_token(fixture: IdentityFixture) {
    let tokens = fixture.sign_in(&fixture.person().await).await;
    assert_not_valid(&*fixture.verifier, tokens.refresh_token.expose_secret()).await;
    fixture.verify(&tokens).await.unwrap();
}

pub async fn what_is_no_token_is_not_valid(fixture: IdentityFixture) {
    for text in ["", ".", "..", "a.b.c", "{}", "\u{1F980}", &"x".repeat(100_000)] {
        assert_not_valid(&*fixture.verifier, text).await;
    }
}

pub async fn a_token_from_before_a_key_rotation_verifies_until_it_ends(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let before = fixture.sign_in(&person).await;
    (fixture.rotate_keys)().await.unwrap();
    let after = fixture.sign_in(&person).await;
    let signed_by = |tokens: &ports::Tokens| header(tokens.access_token.expose_secret())["kid"].clone();
    assert_ne!(signed_by(&before), signed_by(&after), "the keys were not rotated");
    fixture.verify(&before).await.unwrap();
    fixture.verify(&after).await.unwrap();
    if let Some(jwks) = fixture.verifier.jwks().await.unwrap() {
        let published: Vec<_> =
            jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
        assert!(published.contains(&signed_by(&before)) && published.contains(&signed_by(&after)));
    }

    fixture.time.advance(Duration::from_secs(before.expires_in_seconds + 1)).await;
    assert_denied(fixture.verify(&before).await, Denial::InvalidToken);
    let renewed = fixture.refresh(&before).await.unwrap();
    fixture.verify(&renewed).await.unwrap();
}

pub async fn the_published_keys_have_no_private_part(fixture: IdentityFixture) {
    (fixture.rotate_keys)().await.unwrap();
    let Some(jwks) = fixture.verifier.jwks().await.unwrap() else { return };
    let keys = jwks["keys"].as_array().expect("a JWKS document");
    assert!(!keys.is_empty());
    for key in keys {
        assert!(key["kty"].is_string() && key["kid"].is_string(), "a key has no type or no id");
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "the private member {private} is published");
        }
    }
}
