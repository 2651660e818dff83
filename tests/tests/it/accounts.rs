//! Accounts: signing up, in and out, and what a token is good for.

use std::path::Path;

use e2e::{Answer, Phone, read};
use futures::future::join_all;
use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};

use crate::support::{Server, Shared, new_id, pointers, problem, run, stdout_json, without_instance};

static SHARED: Shared = Shared::new();

pub(crate) const PASSWORD: &str = "a long password of ours";

pub(crate) async fn login(phone: &Phone, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    read(phone.anonymous(Method::POST, "auth/login").json(&body)).await.unwrap()
}

pub(crate) async fn register(phone: &Phone, body: &Value) -> Answer {
    read(phone.anonymous(Method::POST, "auth/register").json(body)).await.unwrap()
}

pub(crate) async fn refresh(phone: &Phone, token: &str) -> Answer {
    let body = json!({ "refresh_token": token });
    read(phone.anonymous(Method::POST, "auth/refresh").json(&body)).await.unwrap()
}

pub(crate) async fn me(phone: &Phone, token: &str) -> Answer {
    read(phone.anonymous(Method::GET, "auth/me").bearer_auth(token)).await.unwrap()
}

/// Signs up without the tokens that this gives where no confirmation is asked for.
pub(crate) async fn sign_up(phone: &Phone, email: &str) -> Answer {
    register(phone, &json!({ "email": email, "password": PASSWORD })).await
}

pub(crate) async fn post(phone: &Phone, path: &str, body: Value) -> Answer {
    read(phone.anonymous(Method::POST, path).json(&body)).await.unwrap()
}

/// Somebody without an account.
pub(crate) fn anybody(server: &Server) -> Phone {
    Phone {
        client: reqwest::Client::new(),
        address: server.address(),
        email: stranger(),
        password: PASSWORD.to_owned(),
        access_token: String::new(),
        refresh_token: String::new(),
        user_id: String::new(),
    }
}

/// The codes that `clarity dev codes` lists for an address, newest last.
pub(crate) fn dev_codes(data: &Path, email: &str) -> Vec<String> {
    let output = run(&["dev", "codes", "--json", "--data", data.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let codes = stdout_json(&output);
    let of = codes.as_array().unwrap().iter().filter(|code| code["email"] == email);
    of.map(|code| code["code"].as_str().unwrap().to_owned()).collect()
}

pub(crate) fn latest_code(data: &Path, email: &str) -> String {
    dev_codes(data, email).pop().expect("a code was kept")
}

/// Six digits that are none of these.
pub(crate) fn other_code(codes: &[&str]) -> String {
    (0..1_000_000).map(|number| format!("{number:06}")).find(|code| !codes.contains(&code.as_str())).unwrap()
}

/// The parts of an answer that could tell one caller from another: all but the request's own id and time.
pub(crate) fn shape(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let own = ["date", "x-request-id", "ratelimit"];
    let headers = answer.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    headers.sort();
    let mut body = answer.body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("instance");
    }
    (answer.status.as_u16(), headers, body)
}

/// An address that nobody has signed up with.
pub(crate) fn stranger() -> String {
    format!("{}@example.org", new_id())
}

pub(crate) fn retry_after(headers: &HeaderMap) -> u64 {
    headers["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_person_signs_up_and_in_and_is_who_they_are() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let tokens = login(&phone, &phone.email, &phone.password).await.expect(200).unwrap();
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("bearer"), &json!(900)));
    let profile = me(&phone, tokens["access_token"].as_str().unwrap()).await.expect(200).unwrap();
    for (field, expected) in [
        ("user_id", json!(phone.user_id)),
        ("id", json!(phone.user_id)),
        ("email", json!(phone.email)),
        ("email_verified", json!(false)),
        ("display_name", json!("Test")),
        ("auth_provider", json!("local")),
        ("roles", json!(["user"])),
        ("first_name", Value::Null),
        ("last_name", Value::Null),
    ] {
        assert_eq!(profile[field], expected, "{field}");
    }
    let created: jiff::Timestamp = profile["created_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(created.subsec_nanosecond(), 0);
    // Addresses are the same whatever their case.
    login(&phone, &format!("  {}  ", phone.email.to_uppercase()), &phone.password).await.expect(200).unwrap();
}

#[tokio::test]
async fn a_profile_is_changed_field_by_field() {
    let server = SHARED.get();
    let (phone, other) = (server.phone().await, server.phone().await);
    let put = async |body: Value| read(phone.request(Method::PUT, "auth/me").json(&body)).await.unwrap();
    let answer = put(json!({ "display_name": "Anna" })).await.expect(200).unwrap();
    assert_eq!((&answer["display_name"], &answer["updated"]), (&json!("Anna"), &json!(true)));
    let answer = put(json!({})).await.expect(200).unwrap();
    assert_eq!((&answer["display_name"], &answer["updated"]), (&json!("Anna"), &json!(false)));
    let address = stranger();
    put(json!({ "display_name": null, "email": address })).await.expect(200).unwrap();
    let profile = phone.get("auth/me").await.unwrap().expect(200).unwrap();
    assert_eq!((&profile["display_name"], &profile["email"]), (&Value::Null, &json!(address)));
    assert_eq!(problem(&put(json!({ "email": other.email })).await, 409), "conflict");
    assert_eq!(pointers(&put(json!({ "email": "nowhere" })).await), ["/email"]);
    login(&phone, &address, &phone.password).await.expect(200).unwrap();
    assert_eq!(problem(&login(&phone, &phone.email, &phone.password).await, 401), "wrong-credentials");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let wrong = login(&phone, &phone.email, "not the password").await;
    let unknown = login(&phone, &stranger(), "not the password").await;
    let no_address = login(&phone, "nowhere", "not the password").await;
    assert_eq!(problem(&wrong, 401), "wrong-credentials");
    for other in [unknown, no_address] {
        assert_eq!(problem(&other, 401), "wrong-credentials");
        assert_eq!(without_instance(&wrong), without_instance(&other));
        let names = |answer: &Answer| {
            let mut names: Vec<_> = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&wrong), names(&other));
    }
}

#[tokio::test]
async fn an_address_has_one_account_also_when_two_sign_up_at_once() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let again =
        register(&phone, &json!({ "email": phone.email.to_uppercase(), "password": "another password" }))
            .await;
    assert_eq!(problem(&again, 409), "conflict");
    assert_eq!(problem(&login(&phone, &phone.email, "another password").await, 401), "wrong-credentials");
    let body = json!({ "email": stranger(), "password": "a long password" });
    let answers = join_all((0..8).map(|_| register(&phone, &body))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn a_sign_up_that_is_not_valid_names_the_field() {
    let server = SHARED.get();
    let phone = server.phone().await;
    for (body, pointer) in [
        (json!({ "email": stranger(), "password": "seven77" }), "/password"),
        // Eight bytes, four characters.
        (json!({ "email": stranger(), "password": "éééé" }), "/password"),
        (json!({ "email": "nowhere", "password": "a long password" }), "/email"),
        (json!({ "email": "a b@example.org", "password": "a long password" }), "/email"),
        (
            json!({ "email": stranger(), "password": "a long password", "display_name": "x".repeat(201) }),
            "/display_name",
        ),
        (json!({ "password": "a long password" }), ""),
    ] {
        let answer = register(&phone, &body).await;
        assert_eq!(problem(&answer, 422), "validation", "{body}");
        assert_eq!(pointers(&answer), [pointer], "{body}");
    }
    register(&phone, &json!({ "email": stranger(), "password": "eight888" })).await.expect(200).unwrap();
}

#[tokio::test]
async fn a_refresh_whose_reply_got_lost_is_asked_again_by_its_key() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let trade = async |token: &str, key: &str| {
        let body = json!({ "refresh_token": token });
        let request = phone.anonymous(Method::POST, "auth/refresh").header("idempotency-key", key);
        read(request.json(&body)).await.unwrap()
    };
    let lost = trade(&phone.refresh_token, "first").await.expect(200).unwrap();
    let again = trade(&phone.refresh_token, "first").await.expect(200).unwrap();
    assert_eq!(again["refresh_token"], lost["refresh_token"]);
    me(&phone, again["access_token"].as_str().unwrap()).await.expect(200).unwrap();
    // Whoever cannot name the trade has a copy of the token.
    assert_eq!(problem(&trade(&phone.refresh_token, "guess").await, 401), "unauthorized");
    assert_eq!(problem(&trade(again["refresh_token"].as_str().unwrap(), "next").await, 401), "unauthorized");
    assert_eq!(problem(&me(&phone, again["access_token"].as_str().unwrap()).await, 401), "unauthorized");
}

#[tokio::test]
async fn after_a_logout_neither_token_is_good() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let other = login(&phone, &phone.email, &phone.password).await.expect(200).unwrap();
    phone.post("auth/logout", &json!({})).await.unwrap().expect(200).unwrap();
    assert_eq!(problem(&phone.get("auth/me").await.unwrap(), 401), "unauthorized");
    assert_eq!(problem(&refresh(&phone, &phone.refresh_token).await, 401), "unauthorized");
    assert_eq!(problem(&phone.post("auth/logout", &json!({})).await.unwrap(), 401), "unauthorized");
    // The other session goes on.
    me(&phone, other["access_token"].as_str().unwrap()).await.expect(200).unwrap();
    refresh(&phone, other["refresh_token"].as_str().unwrap()).await.expect(200).unwrap();
}

#[tokio::test]
async fn a_refresh_rotates_the_token_and_a_second_use_ends_the_session() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let second = refresh(&phone, &phone.refresh_token).await.expect(200).unwrap();
    let (access, rotated) =
        (second["access_token"].as_str().unwrap(), second["refresh_token"].as_str().unwrap());
    assert_ne!(rotated, phone.refresh_token);
    me(&phone, access).await.expect(200).unwrap();
    // As the bearer token, without a body.
    let third = phone.anonymous(Method::POST, "auth/refresh").bearer_auth(rotated);
    let third = read(third).await.unwrap().expect(200).unwrap();
    let newest = third["access_token"].as_str().unwrap();
    me(&phone, newest).await.expect(200).unwrap();

    assert_eq!(problem(&refresh(&phone, &phone.refresh_token).await, 401), "unauthorized");
    assert_eq!(
        problem(&refresh(&phone, third["refresh_token"].as_str().unwrap()).await, 401),
        "unauthorized"
    );
    for token in [access, newest, &phone.access_token] {
        assert_eq!(problem(&me(&phone, token).await, 401), "unauthorized");
    }
    login(&phone, &phone.email, &phone.password).await.expect(200).unwrap();
}

#[tokio::test]
async fn failures_lock_the_account_for_a_while_and_say_for_how_long() {
    let server = Server::start(&[("identity.lockout_failures", "3"), ("identity.lockout_duration_s", "600")]);
    let phone = server.phone().await;
    for _ in 0..3 {
        assert_eq!(problem(&login(&phone, &phone.email, "wrong").await, 401), "wrong-credentials");
    }
    // The right password does not help, and says nothing.
    for password in [phone.password.as_str(), "wrong"] {
        let locked = login(&phone, &phone.email, password).await;
        assert_eq!(problem(&locked, 429), "locked");
        // Rounded up to whole seconds, and so perhaps one more.
        assert!((1..=601).contains(&retry_after(&locked.headers)));
    }
    // An address without an account locks alike, so that the lock tells nobody who has one.
    let nobody = stranger();
    for _ in 0..3 {
        assert_eq!(problem(&login(&phone, &nobody, "wrong").await, 401), "wrong-credentials");
    }
    assert_eq!(problem(&login(&phone, &nobody, "wrong").await, 429), "locked");
    phone.get("auth/me").await.unwrap().expect(200).unwrap();
}

#[tokio::test]
async fn only_a_whole_token_of_ours_opens_anything() {
    let server = SHARED.get();
    let (phone, other) = (server.phone().await, server.phone().await);
    let parts: Vec<&str> = phone.access_token.split('.').collect();
    let others: Vec<&str> = other.access_token.split('.').collect();
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    let flipped = {
        let mut signature = parts[2].to_owned().into_bytes();
        signature[10] = if signature[10] == b'A' { b'B' } else { b'A' };
        String::from_utf8(signature).unwrap()
    };
    for token in [
        "x".to_owned(),
        "a.b.c".to_owned(),
        "x".repeat(10_000),
        phone.refresh_token.clone(),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{unsigned}.{}.", parts[1]),
        format!("{}.{}.{}", parts[0], others[1], parts[2]),
        format!("{}.{}.{flipped}", parts[0], parts[1]),
        format!("{}.x", phone.access_token),
    ] {
        let answer = me(&phone, &token).await;
        assert_eq!(problem(&answer, 401), "unauthorized", "{token}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    for value in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", phone.access_token.as_str()] {
        let answer =
            read(phone.anonymous(Method::GET, "auth/me").header("authorization", value)).await.unwrap();
        assert_eq!(problem(&answer, 401), "unauthorized", "{value}");
    }
    let scheme = format!("bearer {}", phone.access_token);
    read(phone.anonymous(Method::GET, "auth/me").header("authorization", scheme))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
}

#[tokio::test]
async fn the_keys_of_the_tokens_are_served_without_their_secrets() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let answer = read(phone.client.get(server.url("/.well-known/jwks.json"))).await.unwrap();
    assert!(answer.headers["cache-control"].to_str().unwrap().starts_with("public"));
    let keys = answer.expect(200).unwrap();
    let keys = keys["keys"].as_array().unwrap();
    assert!(!keys.is_empty());
    for key in keys {
        assert_eq!(
            (&key["kty"], &key["crv"], &key["alg"]),
            (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA"))
        );
        assert!(key["kid"].is_string() && key["x"].is_string());
        assert!(key.get("d").is_none(), "a private key is served");
    }
}

#[tokio::test]
async fn sign_up_can_be_switched_off() {
    let server = Server::start(&[("identity.self_sign_up", "false")]);
    let answer = reqwest::Client::new()
        .post(server.url("/api/v1/auth/register"))
        .json(&json!({ "email": stranger(), "password": "a long password" }));
    assert_eq!(problem(&read(answer).await.unwrap(), 403), "sign-up-disabled");
}
