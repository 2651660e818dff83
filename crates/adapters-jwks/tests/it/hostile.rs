//! Tokens that must not be believed, most of them signed with the right key.

use std::collections::BTreeSet;

use adapters_jwks::Algorithm;
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD as BASE64},
};
use serde_json::{Value, json};

use crate::fixture::{Home, ISSUER, SIGNERS, Signer, merged};

type Cases = Vec<(String, String)>;

/// Writes tokens with one of the issuer's own keys.
struct Forger<'a> {
    signer: &'a Signer,
    claims: Value,
}

impl Forger<'_> {
    fn with_header(&self, members: Value) -> String {
        self.signer.sign(&merged(self.signer.header(), members).to_string(), &self.claims.to_string())
    }

    fn without_header(&self, name: &str) -> String {
        let mut header = self.signer.header();
        header.as_object_mut().unwrap().remove(name).unwrap();
        self.signer.sign(&header.to_string(), &self.claims.to_string())
    }

    fn with_claims(&self, members: Value) -> String {
        self.signer.token(&merged(self.claims.clone(), members))
    }

    fn without_claim(&self, name: &str) -> String {
        let mut claims = self.claims.clone();
        claims.as_object_mut().unwrap().remove(name).unwrap();
        self.signer.token(&claims)
    }

    /// A token whose claim `name` has the raw text `value`.
    fn with_raw(&self, name: &str, value: &str) -> String {
        let mut claims = self.claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        let claims = claims.to_string();
        let claims = format!("{},\"{name}\":{value}}}", &claims[..claims.len() - 1]);
        self.signer.sign(&self.signer.header().to_string(), &claims)
    }

    /// A token with one more raw member before the claims.
    fn with_first(&self, member: &str) -> String {
        let claims = format!("{{{member},{}", &self.claims.to_string()[1..]);
        self.signer.sign(&self.signer.header().to_string(), &claims)
    }

    fn with_first_in_header(&self, member: &str) -> String {
        let header = format!("{{{member},{}", &self.signer.header().to_string()[1..]);
        self.signer.sign(&header, &self.claims.to_string())
    }

    fn with_mac(&self, alg: &str, secret: &[u8]) -> String {
        let header = merged(self.signer.header(), json!({ "alg": alg }));
        let message =
            format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(self.claims.to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        format!("{message}.{}", BASE64.encode(tag))
    }

    fn unsigned(&self, alg: &str) -> String {
        let header = merged(self.signer.header(), json!({ "alg": alg }));
        format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(self.claims.to_string()))
    }
}

fn with_other_algorithms(forger: &Forger<'_>) -> Cases {
    let mut cases = Cases::new();
    for none in ["none", "None", "NONE", "nOnE", "none ", " none", "n\u{f6}ne", "null", ""] {
        let unsigned = forger.unsigned(none);
        cases.push((format!("alg {none:?} without a signature"), format!("{unsigned}.")));
        cases.push((format!("alg {none:?} without a third part"), unsigned.clone()));
        cases.push((format!("alg {none:?} with a signature"), forger.with_header(json!({ "alg": none }))));
    }
    for (index, secret) in forger.signer.public_forms().iter().enumerate() {
        for alg in ["HS256", forger.signer.algorithm.as_str()] {
            cases.push((format!("{alg} by the public key, form {index}"), forger.with_mac(alg, secret)));
        }
    }
    for secret in [&b""[..], b"secret", &[0; 32]] {
        cases.push((format!("HS256 by {secret:?}"), forger.with_mac("HS256", secret)));
    }
    for label in [
        "HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "PS384", "PS512", "ES384", "ES512", "ES256K",
        "RS1", "Ed25519", "Ed448", "rs256", "es256", "eddsa", "RS256 ", "RS256\0", "dir", "RSA-OAEP",
    ] {
        cases.push((format!("label {label:?}"), forger.with_header(json!({ "alg": label }))));
    }
    for value in [json!(null), json!(["RS256", "ES256", "EdDSA"]), json!(0), json!(true), json!({})] {
        cases.push((format!("alg {value}"), forger.with_header(json!({ "alg": value }))));
    }
    cases.push(("alg absent".to_owned(), forger.without_header("alg")));
    cases
}

/// Every triple of label, named key and signing key but the three good ones.
fn with_mismatches(claims: &Value) -> Cases {
    let mut cases = Cases::new();
    for label in Algorithm::ALL {
        for named in &*SIGNERS {
            for signing in &*SIGNERS {
                let is_good = label == named.algorithm && named.id == signing.id;
                if !is_good {
                    let header = json!({ "alg": label.as_str(), "typ": "JWT", "kid": named.id });
                    let what = format!("{} by {} in the name of {}", label.as_str(), signing.id, named.id);
                    cases.push((what, signing.sign(&header.to_string(), &claims.to_string())));
                }
            }
        }
    }
    cases
}

fn with_other_headers(forger: &Forger<'_>, evil: &str) -> Cases {
    let kid = &forger.signer.id;
    let mut cases: Cases = [
        json!({ "jwk": forger.signer.jwk() }),
        json!({ "jku": evil }),
        json!({ "x5u": evil }),
        json!({ "x5c": ["MIIB"] }),
        json!({ "x5t": 1 }),
        json!({ "crit": [] }),
        json!({ "crit": ["exp"], "exp": 1 }),
        json!({ "crit": ["b64"], "b64": false }),
        json!({ "crit": ["b64"], "b64": true }),
        json!({ "b64": false }),
        json!({ "b64": true }),
        json!({ "zip": "DEF" }),
        json!({ "enc": "A256GCM" }),
        json!({ "cty": "JWT" }),
        json!({ "nonce": "x" }),
        json!({ "p2c": 1_000_000_000 }),
        json!({ "url": evil }),
        json!({ "iss": ISSUER }),
        json!({ "typ": "JWE" }),
        json!({ "typ": "id+jwt" }),
        json!({ "typ": "dpop+jwt" }),
        json!({ "typ": "logout+jwt" }),
        json!({ "typ": "" }),
        json!({ "typ": null }),
        json!({ "typ": ["JWT"] }),
        json!({ "kid": "../../../../dev/null" }),
        json!({ "kid": "/proc/self/environ" }),
        json!({ "kid": format!("{kid}' OR '1'='1") }),
        json!({ "kid": "x' UNION SELECT 'key' --" }),
        json!({ "kid": evil }),
        json!({ "kid": [kid] }),
        json!({ "kid": 0 }),
        json!({ "kid": null }),
        json!({ "kid": true }),
        json!({ "kid": { "kid": kid } }),
        json!({ "kid": "" }),
        json!({ "kid": kid.to_uppercase() }),
        json!({ "kid": format!("{kid} ") }),
        json!({ "kid": format!("{kid}\0") }),
        json!({ "kid": format!("{kid}\n") }),
        json!({ "kid": format!("{kid}\u{301}") }),
        json!({ "kid": "k".repeat(129) }),
        json!({ "kid": "k".repeat(5_000) }),
        json!({ "kid": "k".repeat(10_240) }),
    ]
    .into_iter()
    .map(|members| {
        let mut what = members.to_string();
        what.truncate(60);
        (what, forger.with_header(members))
    })
    .collect();
    cases.push(("kid absent".to_owned(), forger.without_header("kid")));
    for member in
        [r#""alg":"none""#.to_owned(), format!(r#""kid":"{kid}""#), r#""\u0061lg":"none""#.to_owned()]
    {
        cases.push((format!("first in the header: {member}"), forger.with_first_in_header(&member)));
    }
    let claims = forger.claims.to_string();
    let header = forger.signer.header().to_string();
    for text in
        ["[]", "\"x\"", "null", "", "{}", &format!("{header} x"), &format!("[{header}]"), &header[1..]]
    {
        cases.push((format!("header {text}"), forger.signer.sign(text, &claims)));
    }
    cases
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn with_other_claims(forger: &Forger<'_>, now: i64) -> Cases {
    let expiry = now + 3_600;
    let mut cases = Cases::new();
    for name in ["iss", "sub", "aud", "client_id", "token_use", "exp"] {
        cases.push((format!("{name} absent"), forger.without_claim(name)));
        for value in ["null", "{}", "[]", "[[]]", "true", "\"\"", "-1", "{\"a\":1}"] {
            cases.push((format!("{name}: {value}"), forger.with_raw(name, value)));
        }
        let twice = format!("\"{name}\":{}", forger.claims[name]);
        cases.push((format!("{name} twice"), forger.with_first(&twice)));
    }
    let late = now + 61;
    for (name, value) in [
        ("exp", format!("\"{expiry}\"")),
        ("exp", format!("{expiry}.5")),
        ("exp", format!("{expiry}.0")),
        ("exp", "1e10".to_owned()),
        ("exp", "1e308".to_owned()),
        ("exp", "-1e308".to_owned()),
        ("exp", "1e309".to_owned()),
        ("exp", "NaN".to_owned()),
        ("exp", "-0".to_owned()),
        ("exp", "0".to_owned()),
        ("exp", "0x7fffffff".to_owned()),
        ("exp", i64::MAX.to_string()),
        ("exp", i64::MIN.to_string()),
        ("exp", u64::MAX.to_string()),
        ("exp", "99999999999999999999999999".to_owned()),
        ("exp", format!("[{expiry}]")),
        ("exp", (now - 60).to_string()),
        ("exp", (now - 86_400).to_string()),
        // A day and a minute ahead of what any token may promise.
        ("exp", (now + 86_461).to_string()),
        ("exp", (expiry * 1_000).to_string()),
        ("nbf", late.to_string()),
        ("nbf", format!("\"{now}\"")),
        ("nbf", "null".to_owned()),
        ("nbf", format!("{now}.0")),
        ("nbf", i64::MAX.to_string()),
        ("iat", late.to_string()),
        ("iat", format!("\"{now}\"")),
        ("iat", "null".to_owned()),
        ("iat", "1e308".to_owned()),
        ("iat", i64::MAX.to_string()),
        ("iat", i64::MIN.to_string()),
        // Issued too long ago for what it promises.
        ("iat", (now - 90_000).to_string()),
        ("auth_time", late.to_string()),
        ("auth_time", format!("\"{now}\"")),
        ("auth_time", i64::MIN.to_string()),
        ("jti", "1".to_owned()),
        ("jti", "\"\"".to_owned()),
        ("jti", format!("\"{}\"", "j".repeat(513))),
        ("origin_jti", "[]".to_owned()),
        ("sub", format!("\"{}\"", "s".repeat(256))),
        ("sub", "1".to_owned()),
        ("sub", "\"\\ud800\"".to_owned()),
        ("iss", "\"https://issuer.example/\"".to_owned()),
        ("iss", "\"https://ISSUER.example\"".to_owned()),
        ("iss", "\"http://issuer.example\"".to_owned()),
        ("iss", "\"https://issuer.example \"".to_owned()),
        ("iss", "\"https://evil.example\"".to_owned()),
        ("iss", "[\"https://issuer.example\"]".to_owned()),
        ("aud", "\"other\"".to_owned()),
        ("aud", "\"clarity-api \"".to_owned()),
        ("aud", "[\"other\"]".to_owned()),
        ("aud", "[\"clarity-api\",1]".to_owned()),
        ("aud", "[[\"clarity-api\"]]".to_owned()),
        ("aud", "{\"clarity-api\":1}".to_owned()),
        ("client_id", "\"other\"".to_owned()),
        ("client_id", "[\"phone-app\"]".to_owned()),
        ("token_use", "\"id\"".to_owned()),
        ("token_use", "\"refresh\"".to_owned()),
        ("token_use", "\"ACCESS\"".to_owned()),
        ("token_use", "[\"access\"]".to_owned()),
    ] {
        let shown: String = value.chars().take(40).collect();
        cases.push((format!("{name}: {shown}"), forger.with_raw(name, &value)));
    }
    for member in ["\"\\u0073ub\":\"bert\"", "\"admin\":{\"a\":1,\"a\":2}", "\"groups\":[{\"a\":1,\"a\":2}]"]
    {
        cases.push((format!("first of the claims: {member}"), forger.with_first(member)));
    }
    let header = forger.signer.header().to_string();
    let claims = forger.claims.to_string();
    let deep = format!("{{\"a\":{}", "[".repeat(3_000));
    for text in [
        "",
        "[]",
        "null",
        "1",
        &format!("[{claims}]"),
        &format!("{claims}{claims}"),
        &format!("{claims},"),
        &deep,
    ] {
        cases.push((format!("claims {text:.40}"), forger.signer.sign(&header, text)));
    }
    cases.push(("claims not UTF-8".to_owned(), {
        let bytes = [&claims.as_bytes()[..claims.len() - 1], b",\"x\":\"\xff\"}"].concat();
        forger.signer.sign_parts(&BASE64.encode(&header), &BASE64.encode(bytes))
    }));
    cases
}

/// The same bytes with a last character whose unused bits are not zero.
fn with_loose_bits(part: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_ne!(part.len() % 4, 0, "the part has no unused bits");
    let last = *part.as_bytes().last().unwrap();
    let index = ALPHABET.iter().position(|byte| *byte == last).unwrap();
    format!("{}{}", &part[..part.len() - 1], char::from(ALPHABET[index | 1]))
}

/// A text as long as it takes for its encoding to have unused bits.
fn with_unused_bits(text: &str) -> String {
    if text.len().is_multiple_of(3) { format!("{text} ") } else { text.to_owned() }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn of_other_shape(forger: &Forger<'_>) -> Cases {
    let signer = forger.signer;
    let (header_text, claims_text) = (signer.header().to_string(), forger.claims.to_string());
    let good = signer.sign(&header_text, &claims_text);
    let parts: Vec<&str> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let raw = BASE64.decode(signature).unwrap();
    let with_signature = |bytes: &[u8]| format!("{header}.{claims}.{}", BASE64.encode(bytes));
    let loose = |text: &str| with_loose_bits(&BASE64.encode(with_unused_bits(text)));
    // A text whose encoding differs between the two alphabets.
    let special = merged(forger.claims.clone(), json!({ "x": "~~~???>>>\u{ff}\u{3ff}" })).to_string();
    let special = ["", " ", "  "].map(|tail| format!("{special}{tail}"));
    let special = special.iter().find(|text| STANDARD_NO_PAD.encode(text).contains(['+', '/'])).unwrap();
    let filler = |length: usize| forger.with_claims(json!({ "filler": "x".repeat(length) }));
    let json = json!({ "payload": claims, "protected": header, "signature": signature });
    let general =
        json!({ "payload": claims, "signatures": [{ "protected": header, "signature": signature }] });
    let nested = signer.sign_parts(header, &BASE64.encode(&good));
    let mut cases: Cases = [
        ("empty", String::new()),
        ("dots", "..".to_owned()),
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{claims}")),
        ("no signature", format!("{header}.{claims}.")),
        ("no header", format!(".{claims}.{signature}")),
        ("no claims", signer.sign_parts(header, "")),
        ("four parts", format!("{good}.")),
        ("four parts with a copy", format!("{good}.{signature}")),
        ("five parts", format!("{good}.{claims}.{signature}")),
        ("five parts with empty ones", format!("{header}..{claims}..{signature}")),
        ("padding after the signature", format!("{good}==")),
        ("signed padding", signer.sign_parts(&URL_SAFE.encode(with_unused_bits(&header_text)), claims)),
        (
            "signed padding of claims",
            signer.sign_parts(header, &URL_SAFE.encode(with_unused_bits(&claims_text))),
        ),
        ("a trailing byte", format!("{good}A")),
        ("a trailing space", format!("{good} ")),
        ("a trailing line", format!("{good}\n")),
        ("a trailing NUL", format!("{good}\0")),
        ("a leading space", format!(" {good}")),
        ("a byte order mark", format!("\u{feff}{good}")),
        ("a space in the signature", format!("{header}.{claims}.{} {}", &signature[..8], &signature[8..])),
        ("signed white space", signer.sign_parts(&format!("{header}\n"), claims)),
        ("signed loose bits of the header", signer.sign_parts(&loose(&header_text), claims)),
        ("signed loose bits of the claims", signer.sign_parts(header, &loose(&claims_text))),
        ("loose bits of the signature", format!("{header}.{claims}.{}", with_loose_bits(signature))),
        ("the other alphabet", signer.sign_parts(header, &STANDARD_NO_PAD.encode(special))),
        ("the other alphabet, padded", signer.sign_parts(header, &STANDARD.encode(special))),
        ("hexadecimal", signer.sign_parts(&hex::encode(&header_text), &hex::encode(&claims_text))),
        ("Bearer", format!("Bearer {good}")),
        ("64 KB", filler(65_536)),
        ("64 KB of nothing", "A".repeat(65_536)),
        ("64 KB of dots", ".".repeat(65_536)),
        ("64 KB after a good one", format!("{good}{}", "A".repeat(65_536))),
        ("not ASCII", format!("{header}.{claims}é.{signature}")),
        ("parts exchanged", format!("{claims}.{header}.{signature}")),
        ("a nested token", nested),
        ("JSON", json.to_string()),
        ("JSON of several signatures", general.to_string()),
        ("a signature cut", with_signature(&raw[..raw.len() - 1])),
        ("a signature with a tail", with_signature(&[&raw[..], &[0]].concat())),
        ("a signature with a head", with_signature(&[&[0], &raw[..]].concat())),
        ("a signature twice", with_signature(&[&raw[..], &raw[..]].concat())),
        ("a signature of zeros", with_signature(&vec![0; raw.len()])),
        ("a signature of ones", with_signature(&vec![0xff; raw.len()])),
        ("a signature of one byte", with_signature(&[0])),
        ("a signature reversed", with_signature(&raw.iter().rev().copied().collect::<Vec<_>>())),
        ("a signature of other claims", {
            let other = forger.with_claims(json!({ "sub": "bert" }));
            format!("{header}.{claims}.{}", other.rsplit('.').next().unwrap())
        }),
    ]
    .into_iter()
    .map(|(what, token)| (what.to_owned(), token))
    .collect();
    // At the limit and above it: see the test for the one that is still believed.
    cases.push(("8 KiB and a little".to_owned(), filler(6_300)));
    cases
}

fn of_p256(forger: &Forger<'_>) -> Cases {
    let message = forger.unsigned("ES256");
    let good = forger.signer.signature(message.as_bytes());
    let (r, s) = good.split_at(32);
    let case = |what: &str, bytes: &[u8]| (what.to_owned(), format!("{message}.{}", BASE64.encode(bytes)));
    let der = |integer: &[u8]| {
        let integer: Vec<u8> = if integer[0] >= 0x80 { [&[0], integer].concat() } else { integer.to_vec() };
        [&[2, u8::try_from(integer.len()).unwrap()], &integer[..]].concat()
    };
    let sequence = [der(r), der(s)].concat();
    let der = [&[0x30, u8::try_from(sequence.len()).unwrap()], &sequence[..]].concat();
    let asn1 = {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &forger.signer.pkcs8()).unwrap();
        pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec()
    };
    vec![
        case("r and s zero", &[0; 64]),
        case("r zero", &[&[0; 32], s].concat()),
        case("s zero", &[r, &[0; 32]].concat()),
        case("r the order", &[&ORDER, s].concat()),
        case("s the order", &[r, &ORDER].concat()),
        case("r and s the order", &[ORDER, ORDER].concat()),
        case("r and s one", &[[0; 31].as_slice(), &[1], &[0; 31], &[1]].concat()),
        case("r and s exchanged", &[s, r].concat()),
        case("DER", &der),
        case("DER by the library", &asn1),
        case("of 96 bytes", &[r, &[0; 16], s, &[0; 16]].concat()),
        case("of 132 bytes", &[&[0; 34], r, &[0; 34], s].concat()),
        case("a compressed one", r),
    ]
}

fn of_rsa(forger: &Forger<'_>) -> Cases {
    let mut cases = Cases::new();
    for (what, encoding) in [
        ("PS256", &RSA_PSS_SHA256 as &'static dyn aws_lc_rs::signature::RsaEncoding),
        ("RS384", &RSA_PKCS1_SHA384),
        ("RS512", &RSA_PKCS1_SHA512),
    ] {
        for label in ["RS256", what] {
            let message = forger.unsigned(label);
            let signature = BASE64.encode(forger.signer.rsa_signature(encoding, message.as_bytes()));
            cases.push((format!("{what} labelled {label}"), format!("{message}.{signature}")));
        }
    }
    cases
}

/// The order of P-256's group.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

#[tokio::test]
async fn no_hostile_token_is_accepted() {
    let home = Home::new().await;
    let now = ports::Clock::now(&*home.clock).as_second();
    let evil = crate::fixture::Endpoint::start(crate::fixture::Reply::Keys(vec![SIGNERS[0].jwk()])).await;
    let mut hostile = with_mismatches(&home.claims());
    for signer in &*SIGNERS {
        let forger = Forger { signer, claims: home.claims() };
        // What the forger writes is believed where nothing is wrong with it, so each refusal is for what the case changes.
        for good in [
            forger.with_claims(json!({})),
            forger.with_header(json!({ "typ": "JWT", "x5t": "abc" })),
            forger.without_header("typ"),
            forger.with_claims(json!({ "nbf": now + 60, "iat": now + 60, "exp": now + 7_200 })),
            forger.with_claims(json!({ "aud": ["other", "clarity-api"], "client_id": "watch-app" })),
            forger.with_claims(json!({ "filler": "x".repeat(5_000) })),
            forger.with_raw("exp", &(now - 59).to_string()),
            forger.without_claim("nbf"),
            forger.without_claim("iat"),
            forger.without_claim("jti"),
        ] {
            assert!(home.believes(&good).await, "refused: {good}");
        }
        hostile.extend(with_other_algorithms(&forger));
        hostile.extend(with_other_headers(&forger, &evil.url));
        hostile.extend(with_other_claims(&forger, now));
        hostile.extend(of_other_shape(&forger));
        match signer.algorithm {
            Algorithm::Rs256 => hostile.extend(of_rsa(&forger)),
            Algorithm::Es256 => hostile.extend(of_p256(&forger)),
            Algorithm::EdDsa => {}
        }
    }
    let kinds: BTreeSet<&str> = hostile.iter().map(|(what, _)| what.as_str()).collect();
    assert!(kinds.len() >= 300 && hostile.len() >= 800, "{} kinds, {} tokens", kinds.len(), hostile.len());
    for round in ["cold", "again"] {
        for (what, token) in &hostile {
            assert!(!home.believes(token).await, "accepted, {round}: {what}");
        }
    }
    assert_eq!(evil.asked(), 0, "an address out of a token was asked for keys");
    println!("{} hostile tokens of {} kinds, 0 accepted", hostile.len(), kinds.len());
}

#[tokio::test]
async fn a_signature_with_the_larger_s_is_as_good() {
    let home = Home::new().await;
    let signer = &SIGNERS[1];
    let token = signer.token(&home.claims());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = BASE64.decode(signature).unwrap();
    let (mut other, mut borrow) = ([0; 32], false);
    for index in (0..32).rev() {
        let (byte, first) = ORDER[index].overflowing_sub(signature[32 + index]);
        let (byte, second) = byte.overflowing_sub(u8::from(borrow));
        (other[index], borrow) = (byte, first || second);
    }
    let twin = [&signature[..32], &other].concat();
    assert_ne!(twin, signature);
    assert!(home.believes(&token).await);
    assert!(home.believes(&format!("{message}.{}", BASE64.encode(twin))).await);
}

#[tokio::test]
async fn a_key_of_someone_else_is_not_believed_whatever_id_it_claims() {
    let home = Home::new().await;
    for own in &*SIGNERS {
        let stranger = Signer::generate(own.algorithm, &own.id);
        assert!(home.believes(&own.token(&home.claims())).await);
        assert!(!home.believes(&stranger.token(&home.claims())).await);
    }
}

#[tokio::test]
async fn an_algorithm_that_the_issuer_does_not_use_is_refused_also_with_its_key() {
    let home = Home::with(|settings| settings.algorithms = [Algorithm::Es256].into()).await;
    for signer in &*SIGNERS {
        let is_used = signer.algorithm == Algorithm::Es256;
        assert_eq!(home.believes(&signer.token(&home.claims())).await, is_used, "{}", signer.id);
    }
}

/// A key on another curve, as it is and as one that it is not.
fn on_other_curve(algorithm: &'static EcdsaSigningAlgorithm, curve: &str, id: &str) -> (Value, EcdsaKeyPair) {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let jwk = json!({ "kty": "EC", "crv": curve, "x": BASE64.encode(x), "y": BASE64.encode(y), "kid": id });
    (jwk, pair)
}

#[tokio::test]
async fn weak_symmetric_private_and_foreign_keys_of_an_issuer_are_not_used() {
    let good = &SIGNERS[2];
    let (rsa, ec, okp) = (SIGNERS[0].jwk(), SIGNERS[1].jwk(), SIGNERS[2].jwk());
    let modulus = BASE64.decode(rsa["n"].as_str().unwrap()).unwrap();
    let with = |base: &Value, members: Value| merged(base.clone(), members);
    let encoded = |bytes: &[u8]| BASE64.encode(bytes);
    let mut keys: Vec<(&str, Value)> = vec![
        ("1024 bits", with(&rsa, json!({ "n": encoded(&modulus[..128]) }))),
        ("2047 bits", with(&rsa, json!({ "n": encoded(&[&[0x7f], &modulus[1..]].concat()) }))),
        ("2048 bits with a zero before", with(&rsa, json!({ "n": encoded(&[&[0], &modulus[..]].concat()) }))),
        ("an even modulus", with(&rsa, json!({ "n": encoded(&[&modulus[..255], &[2]].concat()) }))),
        ("16384 bits", with(&rsa, json!({ "n": encoded(&[&[0xff; 2047][..], &[1]].concat()) }))),
        ("e = 1", with(&rsa, json!({ "e": "AQ" }))),
        ("e = 0", with(&rsa, json!({ "e": "AA" }))),
        ("e = 2", with(&rsa, json!({ "e": "Ag" }))),
        ("e empty", with(&rsa, json!({ "e": "" }))),
        ("e with a zero before", with(&rsa, json!({ "e": "AAEAAQ" }))),
        ("e of 8 bytes", with(&rsa, json!({ "e": encoded(&[0x81; 8]) }))),
        ("n padded", with(&rsa, json!({ "n": STANDARD.encode(&modulus) }))),
        ("n a number", with(&rsa, json!({ "n": 65_537 }))),
        ("a private RSA key", with(&rsa, json!({ "d": "AQAB" }))),
        ("a private EC key", with(&ec, json!({ "d": "AQAB" }))),
        ("a private OKP key", with(&okp, json!({ "d": "AQAB" }))),
        ("for encryption", with(&rsa, json!({ "use": "enc" }))),
        ("use null", with(&rsa, json!({ "use": null }))),
        ("to sign only", with(&rsa, json!({ "key_ops": ["sign"] }))),
        ("key_ops a text", with(&rsa, json!({ "key_ops": "verify" }))),
        ("RS512", with(&rsa, json!({ "alg": "RS512" }))),
        ("PS256", with(&rsa, json!({ "alg": "PS256" }))),
        ("alg of another kind", with(&rsa, json!({ "alg": "ES256" }))),
        ("RSA with a curve", with(&rsa, json!({ "crv": "P-256" }))),
        ("kty EC of RSA", with(&rsa, json!({ "kty": "EC" }))),
        ("kty unknown", with(&rsa, json!({ "kty": "PQC" }))),
        ("kty in lower case", with(&rsa, json!({ "kty": "rsa" }))),
        ("P-384 of P-256", with(&ec, json!({ "crv": "P-384" }))),
        ("a point off the curve", with(&ec, json!({ "y": ec["x"] }))),
        ("the origin", with(&ec, json!({ "x": encoded(&[0; 32]), "y": encoded(&[0; 32]) }))),
        ("a short x", with(&ec, json!({ "x": encoded(&[1; 31]) }))),
        ("a long x", with(&ec, json!({ "x": encoded(&[0; 33]) }))),
        ("no y", with(&ec, json!({ "y": null }))),
        ("X25519", with(&okp, json!({ "crv": "X25519" }))),
        ("Ed448", with(&okp, json!({ "crv": "Ed448" }))),
        ("a short Ed25519", with(&okp, json!({ "x": encoded(&[1; 31]) }))),
        ("the neutral point", with(&okp, json!({ "x": encoded(&[&[1], [0; 31].as_slice()].concat()) }))),
        ("a secret", json!({ "kty": "oct", "k": encoded(&[7; 32]), "alg": "HS256", "kid": "x" })),
        ("a text", json!("rsa-1")),
    ];
    for (_, jwk) in &mut keys {
        if jwk.is_object() {
            *jwk = merged(jwk.clone(), json!({ "kid": "weak" }));
        }
    }
    keys.push(("no kid", merged(rsa.clone(), json!({ "kid": null }))));
    keys.push(("a kid of 10 KB", merged(rsa.clone(), json!({ "kid": "k".repeat(10_240) }))));
    let home = Home::new().await;
    for (what, jwk) in keys {
        home.endpoint.reply(crate::fixture::Reply::Keys(vec![jwk, good.jwk()]));
        home.clock.advance_by(std::time::Duration::from_mins(61));
        assert!(home.believes(&good.token(&home.claims())).await, "{what}: the good key beside it");
        for signer in &*SIGNERS {
            let header = merged(signer.header(), json!({ "kid": "weak" }));
            let token = signer.sign(&header.to_string(), &home.claims().to_string());
            assert!(!home.believes(&token).await, "used: {what}");
        }
        let forger = Forger { signer: good, claims: home.claims() };
        let mac = forger.with_mac("HS256", &[7; 32]);
        assert!(!home.believes(&mac).await, "used as a secret: {what}");
    }
}

#[tokio::test]
async fn a_key_on_another_curve_signs_nothing() {
    let home = Home::new().await;
    let good = &SIGNERS[2];
    let (p384, p384_pair) = on_other_curve(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", "p384");
    let (k1, k1_pair) = on_other_curve(&ECDSA_P256K1_SHA256_FIXED_SIGNING, "secp256k1", "k1");
    let masked = merged(k1.clone(), json!({ "crv": "P-256", "kid": "masked" }));
    home.endpoint.reply(crate::fixture::Reply::Keys(vec![p384, k1, masked, good.jwk()]));
    for (id, pair) in [("p384", &p384_pair), ("k1", &k1_pair), ("masked", &k1_pair)] {
        let header = json!({ "alg": "ES256", "kid": id }).to_string();
        let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(home.claims().to_string()));
        let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        assert!(!home.believes(&format!("{message}.{}", BASE64.encode(signature))).await, "{id}");
    }
    assert!(home.believes(&good.token(&home.claims())).await);
}
