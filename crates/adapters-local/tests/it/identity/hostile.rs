//! Tokens that must not be believed, most of them signed with the right key.

use std::sync::Arc;

use aws_lc_rs::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use conformance::ManualClock;
use ports::{Clock, IdentityProvider, TokenVerifier};
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Home, in_memory, open, settings, sign_in, sign_up, verifies};

/// Writes tokens with the provider's own key.
struct Forger {
    pair: Ed25519KeyPair,
    kid: String,
    claims: Value,
}

impl Forger {
    async fn new(home: &Home) -> Self {
        let file = std::fs::read(home.folder.path().join("identity/keys.json")).unwrap();
        let file: Value = serde_json::from_slice(&file).unwrap();
        let pkcs8 = BASE64.decode(file["keys"][0]["private_key"].as_str().unwrap()).unwrap();
        let jwks = home.identity.jwks().await.unwrap().unwrap();
        let payload = BASE64.decode(home.token().split('.').nth(1).unwrap()).unwrap();
        Self {
            pair: Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap(),
            kid: jwks["keys"][0]["kid"].as_str().unwrap().to_owned(),
            claims: serde_json::from_slice(&payload).unwrap(),
        }
    }

    fn header(&self) -> Value {
        json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": self.kid })
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = BASE64.encode(self.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// A token whose header has `members` instead of, or beside, those of a good one.
    fn with_header(&self, members: Value) -> String {
        self.sign(&merged(self.header(), members).to_string(), &self.claims.to_string())
    }

    fn with_claims(&self, members: Value) -> String {
        self.sign(&self.header().to_string(), &merged(self.claims.clone(), members).to_string())
    }

    fn without_claim(&self, name: &str) -> String {
        let mut claims = self.claims.clone();
        claims.as_object_mut().unwrap().remove(name).unwrap();
        self.sign(&self.header().to_string(), &claims.to_string())
    }

    /// A token with the raw text `member` after the claims of a good one.
    fn with_raw_claim(&self, member: &str) -> String {
        let claims = self.claims.to_string();
        self.sign(&self.header().to_string(), &format!("{},{member}}}", &claims[..claims.len() - 1]))
    }

    fn with_hmac(&self, header: &Value, secret: &[u8]) -> String {
        let message =
            format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(self.claims.to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        format!("{message}.{}", BASE64.encode(tag))
    }
}

fn merged(mut base: Value, members: Value) -> Value {
    let Value::Object(members) = members else { panic!("members are an object") };
    base.as_object_mut().unwrap().extend(members);
    base
}

fn with_other_headers(forger: &Forger) -> Vec<(&'static str, String)> {
    let public = forger.pair.public_key().as_ref();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(public) });
    let unsigned = |alg: &str| {
        let header = merged(forger.header(), json!({ "alg": alg }));
        format!("{}.{}.", BASE64.encode(header.to_string()), BASE64.encode(forger.claims.to_string()))
    };
    let hs256 = merged(forger.header(), json!({ "alg": "HS256" }));
    let duplicate = |member: &str| {
        let header = forger.header().to_string();
        forger.sign(&format!("{{{member},{}", &header[1..]), &forger.claims.to_string())
    };
    vec![
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg NONE", unsigned("NONE")),
        ("alg nOnE, signed", forger.with_header(json!({ "alg": "nOnE" }))),
        ("alg empty", forger.with_header(json!({ "alg": "" }))),
        ("alg null", forger.with_header(json!({ "alg": null }))),
        ("alg an array", forger.with_header(json!({ "alg": ["EdDSA"] }))),
        ("alg eddsa", forger.with_header(json!({ "alg": "eddsa" }))),
        ("HS256 with the public key", forger.with_hmac(&hs256, public)),
        ("HS256 with the public key in base64", forger.with_hmac(&hs256, BASE64.encode(public).as_bytes())),
        ("EdDSA with a MAC", forger.with_hmac(&forger.header(), public)),
        ("HS256 with our signature", forger.with_header(json!({ "alg": "HS256" }))),
        ("RS256 with our signature", forger.with_header(json!({ "alg": "RS256" }))),
        ("ES256 with our signature", forger.with_header(json!({ "alg": "ES256" }))),
        ("a key of its own", forger.with_header(json!({ "jwk": jwk }))),
        ("a place for keys", forger.with_header(json!({ "jku": "https://evil.example/jwks.json" }))),
        ("a place for certificates", forger.with_header(json!({ "x5u": "https://evil.example/cert.pem" }))),
        ("certificates", forger.with_header(json!({ "x5c": ["MIIB"] }))),
        ("crit", forger.with_header(json!({ "crit": ["exp"] }))),
        ("crit b64", forger.with_header(json!({ "crit": ["b64"], "b64": false }))),
        ("zip", forger.with_header(json!({ "zip": "DEF" }))),
        ("typ JWT", forger.with_header(json!({ "typ": "JWT" }))),
        (
            "typ absent",
            forger
                .sign(&json!({ "alg": "EdDSA", "kid": forger.kid }).to_string(), &forger.claims.to_string()),
        ),
        ("kid absent", forger.sign(r#"{"alg":"EdDSA","typ":"at+jwt"}"#, &forger.claims.to_string())),
        ("kid a path", forger.with_header(json!({ "kid": "../../../../dev/null" }))),
        ("kid SQL", forger.with_header(json!({ "kid": "' OR 1=1 --" }))),
        ("kid an array", forger.with_header(json!({ "kid": [forger.kid] }))),
        ("kid null", forger.with_header(json!({ "kid": null }))),
        ("kid a number", forger.with_header(json!({ "kid": 0 }))),
        ("kid of 5 KB", forger.with_header(json!({ "kid": "k".repeat(5_000) }))),
        ("kid of 10 KB", forger.with_header(json!({ "kid": "k".repeat(10_000) }))),
        ("kid with NUL", forger.with_header(json!({ "kid": format!("{}\0", forger.kid) }))),
        ("alg twice", duplicate(r#""alg":"none""#)),
        ("kid twice", duplicate(r#""kid":"other""#)),
        (
            "header an array",
            forger.sign(&json!([["EdDSA"], "at+jwt"]).to_string(), &forger.claims.to_string()),
        ),
        ("header not JSON", forger.sign("EdDSA", &forger.claims.to_string())),
        ("header with a tail", forger.sign(&format!("{} x", forger.header()), &forger.claims.to_string())),
    ]
}

fn with_other_claims(forger: &Forger, now: i64) -> Vec<(&'static str, String)> {
    let expiry = forger.claims["exp"].as_i64().unwrap();
    vec![
        ("exp a string", forger.with_claims(json!({ "exp": expiry.to_string() }))),
        ("exp a float", forger.with_claims(json!({ "exp": expiry as f64 + 0.5 }))),
        ("exp 1e308", forger.with_claims(json!({ "exp": 1e308 }))),
        ("exp null", forger.with_claims(json!({ "exp": null }))),
        ("exp absent", forger.without_claim("exp")),
        ("exp past", forger.with_claims(json!({ "exp": now - 1 }))),
        ("exp now", forger.with_claims(json!({ "exp": now }))),
        ("exp negative", forger.with_claims(json!({ "exp": -1 }))),
        ("exp over 64 bits", forger.with_claims(json!({ "exp": u64::MAX }))),
        ("a long life", forger.with_claims(json!({ "iat": now - 7200, "exp": i64::MAX }))),
        ("iat at the end of time", forger.with_claims(json!({ "iat": i64::MAX, "exp": i64::MAX }))),
        ("nbf ahead", forger.with_claims(json!({ "nbf": now + 61 }))),
        ("iat ahead", forger.with_claims(json!({ "iat": now + 61 }))),
        ("nbf absent", forger.without_claim("nbf")),
        ("iat absent", forger.without_claim("iat")),
        ("sub absent", forger.without_claim("sub")),
        ("sub no id", forger.with_claims(json!({ "sub": "anna" }))),
        ("sid absent", forger.without_claim("sid")),
        ("other issuer", forger.with_claims(json!({ "iss": "https://evil.example" }))),
        ("issuer with a slash", forger.with_claims(json!({ "iss": "https://clarity.test/" }))),
        ("issuer an array", forger.with_claims(json!({ "iss": ["https://clarity.test"] }))),
        ("issuer absent", forger.without_claim("iss")),
        ("other audience", forger.with_claims(json!({ "aud": "other" }))),
        ("audiences", forger.with_claims(json!({ "aud": ["clarity", "other"] }))),
        ("audience absent", forger.without_claim("aud")),
        ("a refresh token's use", forger.with_claims(json!({ "token_use": "refresh" }))),
        ("an id token's use", forger.with_claims(json!({ "token_use": "id" }))),
        ("no use", forger.without_claim("token_use")),
        ("a role of nobody", forger.with_claims(json!({ "roles": ["root"] }))),
        ("roles a string", forger.with_claims(json!({ "roles": "operator" }))),
        ("sub twice", forger.with_raw_claim(r#""sub":"00000000-0000-0000-0000-000000000000""#)),
        ("exp twice", forger.with_raw_claim(&format!(r#""exp":{expiry}"#))),
        ("an unknown claim", forger.with_raw_claim(r#""admin":true"#)),
        ("claims an array", forger.sign(&forger.header().to_string(), "[]")),
        ("claims deep", forger.sign(&forger.header().to_string(), &"[".repeat(3_000))),
        ("claims empty", forger.sign(&forger.header().to_string(), "")),
    ]
}

fn of_other_shape(good: &str, refresh_token: &str) -> Vec<(&'static str, String)> {
    let parts: Vec<&str> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let flipped = |index: usize| {
        let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        let mut bytes = BASE64.decode(&parts[index]).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        parts[index] = BASE64.encode(bytes);
        parts.join(".")
    };
    vec![
        ("empty", String::new()),
        ("dots", "..".to_owned()),
        ("a refresh token", refresh_token.to_owned()),
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{claims}")),
        ("no signature", format!("{header}.{claims}.")),
        ("four parts", format!("{good}.")),
        ("five parts", format!("{header}..{claims}..{signature}")),
        ("five parts with a tail", format!("{good}.{claims}.{signature}")),
        ("padding", format!("{good}==")),
        ("padding in the header", format!("{header}=.{claims}.{signature}")),
        ("a trailing byte", format!("{good}A")),
        ("a trailing space", format!("{good} ")),
        ("a trailing line", format!("{good}\n")),
        ("a trailing NUL", format!("{good}\0")),
        ("a leading space", format!(" {good}")),
        ("Bearer", format!("Bearer {good}")),
        ("64 KB", format!("{header}.{}.{signature}", "A".repeat(65_536))),
        ("64 KB after a good one", format!("{good}{}", "A".repeat(65_536))),
        ("not ASCII", format!("{header}.{claims}é.{signature}")),
        ("parts exchanged", format!("{claims}.{header}.{signature}")),
        ("a signature cut", good[..good.len() - 2].to_owned()),
        ("a signature of zeros", format!("{header}.{claims}.{}", BASE64.encode([0; 64]))),
        ("header flipped", flipped(0)),
        ("claims flipped", flipped(1)),
        ("signature flipped", flipped(2)),
    ]
}

#[tokio::test]
async fn no_hostile_token_is_accepted() {
    let home = Home::new().await;
    let forger = Forger::new(&home).await;
    let now = home.clock.now().as_second();
    // What the forger writes is believed where nothing is wrong with it, so each refusal is for what the case changes.
    assert!(verifies(&home.identity, &forger.with_claims(json!({}))).await);
    assert!(verifies(&home.identity, &forger.with_claims(json!({ "nbf": now + 60, "iat": now + 60 }))).await);

    let mut hostile = with_other_headers(&forger);
    hostile.extend(with_other_claims(&forger, now));
    hostile.extend(of_other_shape(home.token(), home.tokens.refresh_token.expose_secret()));
    assert!(hostile.len() >= 95, "{} cases", hostile.len());
    for round in ["cold", "again"] {
        for (what, token) in &hostile {
            assert!(!verifies(&home.identity, token).await, "accepted, {round}: {what}");
        }
    }
    assert!(verifies(&home.identity, home.token()).await);
}

#[tokio::test]
async fn a_key_of_someone_else_is_not_believed_whatever_id_it_claims() {
    let home = Home::new().await;
    let mut forger = Forger::new(&home).await;
    forger.pair = Ed25519KeyPair::generate().unwrap();
    assert!(!verifies(&home.identity, &forger.with_claims(json!({}))).await);
    let stranger = in_memory(settings(), &home.clock);
    sign_up(&stranger, "anna@example.org").await;
    let tokens = sign_in(&stranger, "anna@example.org").await;
    assert!(!verifies(&home.identity, tokens.access_token.expose_secret()).await);
}

#[tokio::test]
async fn no_flip_of_one_bit_is_accepted() {
    let home = Home::new().await;
    let good = home.token().as_bytes();
    assert!(verifies(&home.identity, home.token()).await);
    let mut tried = 0;
    for index in 0..good.len() {
        for bit in 0..7 {
            let mut bytes = good.to_vec();
            bytes[index] ^= 1 << bit;
            let token = String::from_utf8(bytes).unwrap();
            assert!(!verifies(&home.identity, &token).await, "bit {bit} of byte {index}");
            tried += 1;
        }
    }
    assert!(tried > 2_000);
}

#[tokio::test]
async fn no_random_damage_is_accepted() {
    let home = Home::new().await;
    let good = home.token().as_bytes();
    let mut random = SmallRng::seed_from_u64(7);
    for _ in 0..2_000 {
        let mut bytes = good.to_vec();
        match random.random_range(0..4) {
            0 => bytes.truncate(random.random_range(0..good.len())),
            1 => bytes.insert(random.random_range(0..=good.len()), random.random_range(0x20..0x7f)),
            2 => {
                let (a, b) = (random.random_range(0..good.len()), random.random_range(0..good.len()));
                bytes.swap(a, b);
            }
            _ => {
                for _ in 0..random.random_range(1..8) {
                    let index = random.random_range(0..good.len());
                    bytes[index] = (random.next_u32() & 0x7f) as u8;
                }
            }
        }
        if bytes == good {
            continue;
        }
        let token = String::from_utf8(bytes).unwrap();
        assert!(!verifies(&home.identity, &token).await, "{token}");
    }
}

#[tokio::test]
async fn a_token_that_was_believed_expires() {
    let home = Home::new().await;
    assert!(verifies(&home.identity, home.token()).await);
    home.clock.advance_by(std::time::Duration::from_millis(3_599_500));
    assert!(verifies(&home.identity, home.token()).await);
    home.clock.advance_by(std::time::Duration::from_millis(500));
    assert!(!verifies(&home.identity, home.token()).await);
}

#[tokio::test]
async fn a_token_of_another_issuer_audience_or_lifetime_is_refused_by_the_same_keys() {
    let home = Home::new().await;
    let other = |change: fn(&mut adapters_local::identity::Settings)| {
        let mut settings = settings();
        change(&mut settings);
        open(home.folder.path(), settings, &home.clock)
    };
    let issuer = other(|settings| settings.issuer = "https://staging.clarity.test".to_owned()).await;
    assert!(!verifies(&issuer, home.token()).await);
    let audience = other(|settings| settings.audience = "staging".to_owned()).await;
    assert!(!verifies(&audience, home.token()).await);
    let hasty = other(|settings| settings.access_token_lifetime = std::time::Duration::from_mins(1)).await;
    assert!(verifies(&hasty, home.token()).await);
    home.clock.advance_by(std::time::Duration::from_mins(1));
    assert!(!verifies(&hasty, home.token()).await);
    assert!(verifies(&home.identity, home.token()).await);
}

#[tokio::test]
async fn a_token_that_was_believed_ends_with_its_session_and_its_user() {
    let clock = Arc::new(ManualClock::default());
    let identity = in_memory(settings(), &clock);
    let user_id = sign_up(&identity, "anna@example.org").await;
    let (first, second) =
        (sign_in(&identity, "anna@example.org").await, sign_in(&identity, "anna@example.org").await);
    let (first_token, second_token) =
        (first.access_token.expose_secret(), second.access_token.expose_secret());
    assert!(verifies(&identity, first_token).await && verifies(&identity, second_token).await);

    identity.sign_out(user_id, first.session_id).await.unwrap();
    assert!(!verifies(&identity, first_token).await);
    assert!(verifies(&identity, second_token).await);

    identity.set_disabled(user_id, true).await.unwrap();
    assert!(!verifies(&identity, second_token).await);
    identity.set_disabled(user_id, false).await.unwrap();
    assert!(verifies(&identity, second_token).await);
    assert!(!verifies(&identity, first_token).await);

    identity.delete(user_id).await.unwrap();
    assert!(!verifies(&identity, second_token).await);
}

#[tokio::test]
async fn claims_and_keys_hold_nothing_they_should_not() {
    let home = Home::new().await;
    let payload = BASE64.decode(home.token().split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    let mut names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["aud", "exp", "iat", "iss", "jti", "nbf", "roles", "sid", "sub", "token_use"]);

    let jwks = home.identity.jwks().await.unwrap().unwrap();
    let key = jwks["keys"][0].as_object().unwrap();
    assert_eq!(key.get("d"), None);
    assert_eq!((key["kty"].as_str(), key["crv"].as_str()), (Some("OKP"), Some("Ed25519")));
    let x = BASE64.decode(key["x"].as_str().unwrap()).unwrap();
    let (message, signature) = home.token().rsplit_once('.').unwrap();
    let public = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, x);
    public.verify(message.as_bytes(), &BASE64.decode(signature).unwrap()).unwrap();
}
