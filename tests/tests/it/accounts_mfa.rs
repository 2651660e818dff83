//! The second factor, with codes that are computed here and not by what is tested.

use std::collections::BTreeSet;

use adapters_local::SystemClock;
use e2e::{Answer, Phone, read};
use hmac::{Hmac, KeyInit, Mac};
use ports::Clock;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    accounts::{login, me, other_code, post},
    cli::users,
    support::{Server, Shared, pointers, problem},
};

static SHARED: Shared = Shared::new();

/// An authenticator app. RFC 6238 as the RFC has it.
struct Authenticator {
    secret: Vec<u8>,
}

impl Authenticator {
    fn new(base32: &str) -> Self {
        let mut bits = Vec::new();
        for letter in base32.chars() {
            let value = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(letter).expect("a letter of base32");
            bits.extend((0..5).rev().map(|bit| value >> bit & 1));
        }
        let byte = |bits: &[usize]| bits.iter().fold(0, |byte, bit| byte << 1 | u8::try_from(*bit).unwrap());
        Self { secret: bits.chunks_exact(8).map(byte).collect() }
    }

    /// The code of a step.
    fn code(&self, step: i64) -> String {
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(&self.secret).unwrap();
        mac.update(&step.to_be_bytes());
        let digest = mac.finalize().into_bytes();
        let offset = usize::from(digest[19] & 15);
        let word = u32::from_be_bytes(digest[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", word % 1_000_000)
    }

    fn wrong_code(&self) -> String {
        let near: Vec<String> = (now() - 3..now() + 4).map(|step| self.code(step)).collect();
        other_code(&near.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

fn now() -> i64 {
    SystemClock.now().as_second() / 30
}

async fn set_up(phone: &Phone) -> Authenticator {
    let made = phone.post("auth/mfa/setup", &json!({})).await.unwrap().expect(200).unwrap();
    let secret = made["secret"].as_str().unwrap();
    let uri = made["otpauth_uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/") && uri.contains(&format!("secret={secret}")), "{uri}");
    Authenticator::new(secret)
}

/// With it turned on: the authenticator, the step of the code that did it, and the recovery codes.
async fn turned_on(phone: &Phone) -> (Authenticator, i64, Vec<String>) {
    let authenticator = set_up(phone).await;
    let step = now();
    let answer = verify(phone, &authenticator.code(step)).await.expect(200).unwrap();
    assert_eq!(answer["enabled"], true);
    let codes = answer["recovery_codes"].as_array().unwrap().iter();
    (authenticator, step, codes.map(|code| code.as_str().unwrap().to_owned()).collect())
}

async fn verify(phone: &Phone, code: &str) -> Answer {
    phone.post("auth/mfa/verify", &json!({ "code": code })).await.unwrap()
}

async fn disable(phone: &Phone, code: &str) -> Answer {
    read(phone.request(Method::DELETE, "auth/mfa").json(&json!({ "code": code }))).await.unwrap()
}

async fn is_on(phone: &Phone) -> bool {
    let state = phone.get("auth/mfa").await.unwrap().expect(200).unwrap();
    assert_eq!(state.as_object().unwrap().len(), 1);
    state["enabled"].as_bool().unwrap()
}

/// Signs in with the password, and answers the challenge's session.
async fn challenged(phone: &Phone) -> String {
    let answer = login(phone, &phone.email, &phone.password).await.expect(200).unwrap();
    let session = answer["session"].as_str().unwrap().to_owned();
    assert_eq!(answer, json!({ "challenge": "SOFTWARE_TOKEN_MFA", "session": session }));
    session
}

async fn respond(phone: &Phone, session: &str, code: &str) -> Answer {
    let body = json!({ "session": session, "challenge": "SOFTWARE_TOKEN_MFA", "code": code });
    post(phone, "auth/challenge", body).await
}

async fn assert_tokens(phone: &Phone, answer: Answer) {
    let tokens = answer.expect(200).unwrap();
    let profile = me(phone, tokens["access_token"].as_str().unwrap()).await.expect(200).unwrap();
    assert_eq!(profile["user_id"], phone.user_id);
    assert!(tokens["refresh_token"].is_string());
}

#[tokio::test]
async fn a_second_factor_is_set_up_and_asked_for_from_then_on() {
    let server = SHARED.get();
    let phone = server.phone().await;
    assert!(!is_on(&phone).await);
    let authenticator = set_up(&phone).await;
    // Not yet.
    assert!(!is_on(&phone).await);
    login(&phone, &phone.email, &phone.password).await.expect(200).unwrap()["access_token"].as_str().unwrap();
    let wrong = verify(&phone, &authenticator.wrong_code()).await;
    assert_eq!((problem(&wrong, 422).as_str(), pointers(&wrong)), ("validation", vec!["/code"]));
    assert!(!is_on(&phone).await);

    let step = now();
    let answer = verify(&phone, &authenticator.code(step)).await.expect(200).unwrap();
    let codes: BTreeSet<&str> =
        answer["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!((codes.len(), &answer["enabled"]), (10, &json!(true)));
    assert!(is_on(&phone).await);

    let session = challenged(&phone).await;
    let refused = respond(&phone, &session, &authenticator.wrong_code()).await;
    assert_eq!(problem(&refused, 401), "wrong-code");
    // Somebody looked over the shoulder: the code that turned it on is spent.
    assert_eq!(problem(&respond(&phone, &session, &authenticator.code(step)).await, 401), "wrong-code");
    assert_tokens(&phone, respond(&phone, &session, &authenticator.code(step + 1)).await).await;
    // The session is spent, and so is the code.
    let again = respond(&phone, &session, &authenticator.code(step + 1)).await;
    assert_eq!(problem(&again, 401), "unauthorized");
    let session = challenged(&phone).await;
    assert_eq!(problem(&respond(&phone, &session, &authenticator.code(step + 1)).await, 401), "wrong-code");
}

#[tokio::test]
async fn a_recovery_code_stands_in_for_a_code_once() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let (_, _, codes) = turned_on(&phone).await;
    assert_tokens(&phone, respond(&phone, &challenged(&phone).await, &codes[0]).await).await;
    // As it is copied from paper.
    let copied = format!(" {} ", codes[1].to_uppercase().replace('-', " "));
    assert_tokens(&phone, respond(&phone, &challenged(&phone).await, &copied).await).await;
    let session = challenged(&phone).await;
    for spent in [&codes[0], &codes[1]] {
        assert_eq!(problem(&respond(&phone, &session, spent).await, 401), "wrong-code");
    }
    assert_eq!(pointers(&disable(&phone, &codes[0]).await), ["/code"]);
    assert_eq!(disable(&phone, &codes[2]).await.expect(200).unwrap(), json!({ "enabled": false }));
    assert!(!is_on(&phone).await);
    assert_tokens(&phone, login(&phone, &phone.email, &phone.password).await).await;
    // With the factor its open challenges and its codes are gone.
    assert_eq!(problem(&respond(&phone, &session, &codes[3]).await, 401), "unauthorized");
}

#[tokio::test]
async fn it_is_turned_off_with_a_code_and_each_state_says_what_cannot_be_done() {
    let server = SHARED.get();
    let phone = server.phone().await;
    assert_eq!(problem(&verify(&phone, "123456").await, 404), "not-found");
    assert_eq!(problem(&disable(&phone, "123456").await, 404), "not-found");
    let (authenticator, step, _) = turned_on(&phone).await;
    assert_eq!(problem(&phone.post("auth/mfa/setup", &json!({})).await.unwrap(), 409), "conflict");
    assert_eq!(problem(&verify(&phone, &authenticator.code(step + 1)).await, 409), "conflict");
    assert_eq!(pointers(&disable(&phone, &authenticator.wrong_code()).await), ["/code"]);
    assert_eq!(problem(&disable(&phone, "").await, 422), "validation");
    assert!(is_on(&phone).await);
    disable(&phone, &authenticator.code(step + 1)).await.expect(200).unwrap();
    assert!(!is_on(&phone).await);
    // Another set-up has another secret, of which the old one's codes are none.
    let other = set_up(&phone).await;
    assert_ne!(other.secret, authenticator.secret);
}

#[tokio::test]
async fn what_was_not_asked_is_not_answered() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let (_, _, codes) = turned_on(&phone).await;
    let session = challenged(&phone).await;
    for challenge in ["SMS_MFA", "NEW_PASSWORD_REQUIRED", "NOTHING", ""] {
        let body = json!({ "session": session, "challenge": challenge, "code": codes[0] });
        let answer = post(&phone, "auth/challenge", body).await;
        assert_eq!(
            (problem(&answer, 422).as_str(), pointers(&answer)[0]),
            ("validation", "/challenge"),
            "{challenge}"
        );
    }
    for session in ["", "x", phone.refresh_token.as_str(), phone.access_token.as_str()] {
        assert_eq!(problem(&respond(&phone, session, &codes[0]).await, 401), "unauthorized");
    }
    // A session is no token.
    assert_eq!(problem(&me(&phone, &session).await, 401), "unauthorized");
    assert_tokens(&phone, respond(&phone, &session, &codes[0]).await).await;
}

#[tokio::test]
async fn wrong_codes_lock_the_account_as_wrong_passwords_do() {
    let server = Server::start(&[("identity.lockout_failures", "4")]);
    let phone = server.phone().await;
    let (authenticator, step, codes) = turned_on(&phone).await;
    for _ in 0..2 {
        let session = challenged(&phone).await;
        for _ in 0..2 {
            let wrong = respond(&phone, &session, &authenticator.wrong_code()).await;
            assert_eq!(problem(&wrong, 401), "wrong-code");
        }
    }
    // The right password in between set nothing back.
    assert_eq!(problem(&login(&phone, &phone.email, &phone.password).await, 429), "locked");
    assert_eq!(problem(&disable(&phone, &authenticator.code(step + 1)).await, 429), "locked");
    assert_eq!(problem(&disable(&phone, &codes[0]).await, 429), "locked");
    assert!(is_on(&phone).await);
}

#[tokio::test]
async fn neither_secret_nor_code_gets_into_the_log() {
    let server = Server::start(&[("telemetry.log_level", "debug")]);
    let phone = server.phone().await;
    let made = phone.post("auth/mfa/setup", &json!({})).await.unwrap().expect(200).unwrap();
    let secret = made["secret"].as_str().unwrap().to_owned();
    let authenticator = Authenticator::new(&secret);
    let codes = verify(&phone, &authenticator.code(now())).await.expect(200).unwrap();
    let session = challenged(&phone).await;
    let marked = "canary-code-1";
    respond(&phone, &session, marked).await;
    let code = codes["recovery_codes"][0].as_str().unwrap().to_owned();
    let tokens: Value = respond(&phone, &session, &code).await.expect(200).unwrap();
    server.started.terminate().unwrap();
    let (_, log) = server.started.wait().unwrap();
    assert!(log.contains("/auth/challenge"), "the log has the requests");
    for hidden in [&secret, &session, &code, marked, tokens["access_token"].as_str().unwrap()] {
        assert!(!log.contains(hidden), "{log}");
    }
}

#[tokio::test]
async fn an_operator_takes_a_lost_second_factor_off() {
    let server = SHARED.get();
    let phone = server.phone().await;
    turned_on(&phone).await;
    let session = challenged(&phone).await;
    let removed = users(&server, &["remove-second-factor", &phone.email, "--json"]);
    assert_eq!(crate::support::stdout_json(&removed)["second_factor"], false);
    assert!(!is_on(&phone).await);
    let tokens = login(&phone, &phone.email, &phone.password).await;
    assert_tokens(&phone, tokens).await;
    assert_eq!(problem(&respond(&phone, &session, "123456").await, 401), "unauthorized");
    // Where there is none it says so.
    let again = users(&server, &["remove-second-factor", &phone.email]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("has no second factor"));
}
