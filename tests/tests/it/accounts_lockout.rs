//! Locks by account and by network address, and which passwords are taken.

use std::io::Write;

use e2e::Answer;
use serde_json::json;

use crate::{
    accounts::{anybody, latest_code, login, post, register, retry_after, shape, stranger},
    support::{Server, pointers, problem},
};

/// An answer without the seconds that are left.
fn locked(answer: &Answer) -> (u16, Vec<(String, String)>, serde_json::Value) {
    let (status, mut headers, body) = shape(answer);
    headers.retain(|(name, _)| name != "retry-after");
    (status, headers, body)
}

#[tokio::test]
async fn a_lock_by_account_and_one_by_network_address_say_the_same() {
    let settings = [("identity.lockout_failures", "3"), ("identity.lockout_address_failures", "9")];
    let server = Server::start(&settings);
    let (phone, bystander) = (server.phone().await, server.phone().await);
    for _ in 0..3 {
        assert_eq!(problem(&login(&phone, &phone.email, "wrong").await, 401), "wrong-credentials");
    }
    let by_account = login(&phone, &phone.email, &phone.password).await;
    assert_eq!(problem(&by_account, 429), "locked");
    // Others sign in, and their success sets nothing back that the network address did.
    login(&phone, &bystander.email, &bystander.password).await.expect(200).unwrap();
    for _ in 0..6 {
        assert_eq!(problem(&login(&phone, &stranger(), "wrong").await, 401), "wrong-credentials");
    }
    let by_address = login(&phone, &bystander.email, &bystander.password).await;
    assert_eq!(problem(&by_address, 429), "locked");
    let unknown = login(&phone, &stranger(), "wrong").await;
    for other in [&by_address, &unknown] {
        assert_eq!(locked(other), locked(&by_account));
        assert!((1..=901).contains(&retry_after(&other.headers)));
    }
    // Who is signed in stays so.
    bystander.get("auth/me").await.unwrap().expect(200).unwrap();
}

#[tokio::test]
async fn passwords_in_the_list_of_stolen_ones_are_not_taken() {
    let mut list = tempfile::NamedTempFile::new().unwrap();
    // One in plain text, one as haveibeenpwned.com has them.
    writeln!(list, "trustno1trustno1").unwrap();
    writeln!(list, "{}:42", hex::encode_upper(<sha1::Sha1 as sha1::Digest>::digest("letmein letmein")))
        .unwrap();
    let server = Server::start(&[("identity.breached_passwords_file", list.path().to_str().unwrap())]);
    let phone = anybody(&server);
    let email = stranger();
    for password in ["trustno1trustno1", "letmein letmein"] {
        let answer = register(&phone, &json!({ "email": email, "password": password })).await;
        assert_eq!((problem(&answer, 422).as_str(), pointers(&answer)), ("validation", vec!["/password"]));
        assert!(!answer.body.to_string().contains(password));
    }
    let own = register(&phone, &json!({ "email": email, "password": email.to_uppercase() })).await;
    assert_eq!(pointers(&own), ["/password"]);
    register(&phone, &json!({ "email": email, "password": "letmein letmein!" })).await.expect(200).unwrap();
    post(&phone, "auth/forgot-password", json!({ "email": email })).await.expect(200).unwrap();
    let code = latest_code(server.data.path(), &email);
    let reset = async |password: &str| {
        post(&phone, "auth/reset-password", json!({ "email": email, "code": code, "new_password": password }))
            .await
    };
    assert_eq!(pointers(&reset("trustno1trustno1").await), ["/new_password"]);
    reset("not in any list").await.expect(200).unwrap();
}
