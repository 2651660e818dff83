//! Changing one's profile without overwriting another's change.

use e2e::{Answer, Phone, read};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    accounts::{latest_code, login, post, stranger},
    support::{Server, Shared, pointers, problem},
};

static SHARED: Shared = Shared::new();

async fn etag(phone: &Phone) -> String {
    let answer = phone.get("auth/me").await.unwrap();
    let tag = answer.headers["etag"].to_str().unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag} is not strong");
    answer.expect(200).unwrap();
    tag
}

async fn put(phone: &Phone, if_match: &str, body: Value) -> Answer {
    read(phone.request(Method::PUT, "auth/me").header("if-match", if_match).json(&body)).await.unwrap()
}

#[tokio::test]
async fn a_change_of_what_was_changed_meanwhile_is_refused() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let first = etag(&phone).await;
    assert_eq!(etag(&phone).await, first, "reading changes nothing");
    put(&phone, &first, json!({ "display_name": "Anna" })).await.expect(200).unwrap();
    let second = etag(&phone).await;
    assert_ne!(second, first);
    for stale in [first.as_str(), "\"never\"", &format!("W/{second}"), ""] {
        let answer = put(&phone, stale, json!({ "display_name": "Bert" })).await;
        assert_eq!(problem(&answer, 412), "precondition-failed", "{stale}");
    }
    let no_tag = put(&phone, &second.replace('"', ""), json!({ "display_name": "Bert" })).await;
    assert_eq!(problem(&no_tag, 422), "validation");
    assert_eq!(phone.get("auth/me").await.unwrap().body["display_name"], "Anna");
    assert_eq!(etag(&phone).await, second);
    put(&phone, &format!("\"other\", {second}"), json!({ "display_name": "Carla" }))
        .await
        .expect(200)
        .unwrap();
    put(&phone, "*", json!({ "display_name": "Dora" })).await.expect(200).unwrap();
    let answer = put(&phone, "*", json!({})).await.expect(200).unwrap();
    assert_eq!((&answer["display_name"], &answer["updated"]), (&json!("Dora"), &json!(false)));
}

#[tokio::test]
async fn of_changes_that_race_from_the_same_state_one_wins() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let tag = etag(&phone).await;
    let names: Vec<String> = (0..8).map(|at| format!("name {at}")).collect();
    let answers = join_all(names.iter().map(|name| put(&phone, &tag, json!({ "display_name": name })))).await;
    let won: Vec<usize> = (0..8).filter(|at| answers[*at].status == 200).collect();
    assert_eq!(won.len(), 1);
    for (at, answer) in answers.iter().enumerate().filter(|(at, _)| *at != won[0]) {
        assert_eq!(problem(answer, 412), "precondition-failed", "{at}");
    }
    assert_eq!(phone.get("auth/me").await.unwrap().body["display_name"], json!(names[won[0]]));
}

#[tokio::test]
async fn an_address_that_is_taken_is_a_conflict_and_no_failed_precondition() {
    let server = SHARED.get();
    let (phone, other) = (server.phone().await, server.phone().await);
    let tag = etag(&phone).await;
    assert_eq!(problem(&put(&phone, &tag, json!({ "email": other.email })).await, 409), "conflict");
    assert_eq!(etag(&phone).await, tag);
    let long = put(&phone, &tag, json!({ "display_name": "x".repeat(201) })).await;
    assert_eq!((problem(&long, 422).as_str(), pointers(&long)), ("validation", vec!["/display_name"]));
    put(&phone, &tag, json!({ "display_name": "é".repeat(200) })).await.expect(200).unwrap();
}

#[tokio::test]
async fn what_hands_an_account_over_needs_a_sign_in_of_late_or_the_password() {
    let server = Server::start(&[("identity.password_asked_after_s", "0")]);
    let phone = server.phone().await;
    let address = stranger();
    let change = async |more: Value| {
        let mut body = json!({ "email": address });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(phone.request(Method::PUT, "auth/me").json(&body)).await.unwrap()
    };
    let set_up = async |body: Value| phone.post("auth/mfa/setup", &body).await.unwrap();
    for refused in [change(json!({})).await, set_up(json!({})).await] {
        assert_eq!((problem(&refused, 422).as_str(), pointers(&refused)), ("validation", vec!["/password"]));
    }
    let wrong = json!({ "password": "wrong" });
    for refused in [change(wrong.clone()).await, set_up(wrong).await] {
        assert_eq!(problem(&refused, 401), "wrong-credentials");
    }
    assert_eq!(phone.get("auth/me").await.unwrap().body["email"], json!(phone.email));
    let right = json!({ "password": phone.password });
    set_up(right.clone()).await.expect(200).unwrap();
    change(right).await.expect(200).unwrap();
    assert_eq!(phone.get("auth/me").await.unwrap().body["email"], json!(address));
    // A name alone hands nothing over, and the checks left no session behind.
    put(&phone, "*", json!({ "display_name": "Anna" })).await.expect(200).unwrap();
    let sessions = phone.get("auth/sessions").await.unwrap().expect(200).unwrap();
    assert_eq!(sessions["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_new_address_is_unconfirmed_until_its_code_comes_back() {
    let server = Server::start(&[]);
    let phone = server.phone().await;
    // The same people, with a server that asks for confirmation from now on.
    let strict = e2e::Clarity::serve(server.data.path()).unwrap();
    let strict = strict.set("identity.email_confirmation_required", "true").start().unwrap();
    let phone = phone.at(strict.address().unwrap());
    let address = stranger();
    phone.request(Method::PUT, "auth/me").json(&json!({ "email": address })).send().await.unwrap();
    let profile = phone.get("auth/me").await.unwrap().expect(200).unwrap();
    assert_eq!((&profile["email"], &profile["email_verified"]), (&json!(address), &json!(false)));
    assert_eq!(problem(&login(&phone, &address, &phone.password).await, 403), "email-not-verified");
    let tag = etag(&phone).await;
    let code = latest_code(server.data.path(), &address);
    post(&phone, "auth/confirm-email", json!({ "email": address, "code": code })).await.expect(200).unwrap();
    assert_ne!(etag(&phone).await, tag);
    assert_eq!(phone.get("auth/me").await.unwrap().body["email_verified"], true);
    login(&phone, &address, &phone.password).await.expect(200).unwrap();
}
