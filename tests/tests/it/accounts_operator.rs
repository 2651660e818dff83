//! What an operator sees and does of accounts.

use e2e::{Answer, Phone, read};
use reqwest::Method;
use serde_json::json;

use crate::{
    accounts::{login, refresh},
    support::{Server, new_id, problem, run, without_instance},
};

/// Somebody with the role, and new tokens that say so.
async fn operator(server: &Server) -> Phone {
    let mut phone = server.phone().await;
    let data = server.data.path().to_str().unwrap();
    let output = run(&["users", "roles", &phone.email, "operator", "--data", data]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The old tokens have the old role, and so they are no longer good.
    assert_eq!(problem(&phone.get("auth/me").await.unwrap(), 401), "unauthorized");
    let tokens = login(&phone, &phone.email, &phone.password).await.expect(200).unwrap();
    phone.take_tokens(&tokens).unwrap();
    phone
}

async fn see(phone: &Phone, user_id: &str) -> Answer {
    phone.get(&format!("operator/users/{user_id}")).await.unwrap()
}

async fn set_disabled(phone: &Phone, user_id: &str, disabled: bool) -> Answer {
    let request = phone.request(Method::PUT, &format!("operator/users/{user_id}"));
    read(request.json(&json!({ "disabled": disabled }))).await.unwrap()
}

#[tokio::test]
async fn an_operator_bars_somebody_and_lets_them_in_again() {
    let server = Server::start(&[]);
    let (operator, phone) = (operator(&server).await, server.phone().await);
    let seen = see(&operator, &phone.user_id).await.expect(200).unwrap();
    let expected = json!({
        "user_id": phone.user_id, "roles": ["user"], "disabled": false, "created_at": seen["created_at"],
        "email_verified": false,
    });
    assert_eq!(seen, expected);
    assert!(!seen.to_string().contains(&phone.email));

    let barred = set_disabled(&operator, &phone.user_id, true).await.expect(200).unwrap();
    assert_eq!(barred["disabled"], true);
    assert_eq!(problem(&phone.get("auth/me").await.unwrap(), 401), "unauthorized");
    assert_eq!(problem(&phone.get("health-data").await.unwrap(), 401), "unauthorized");
    let refused = refresh(&phone, &phone.refresh_token).await;
    assert_eq!(problem(&refused, 403), "account-disabled");
    assert_eq!(problem(&login(&phone, &phone.email, &phone.password).await, 403), "account-disabled");
    // Who does not know the password is not told.
    assert_eq!(problem(&login(&phone, &phone.email, "wrong password").await, 401), "wrong-credentials");
    // Doing it twice changes nothing.
    set_disabled(&operator, &phone.user_id, true).await.expect(200).unwrap();

    let freed = set_disabled(&operator, &phone.user_id, false).await.expect(200).unwrap();
    assert_eq!(freed, expected);
    login(&phone, &phone.email, &phone.password).await.expect(200).unwrap();
}

#[tokio::test]
async fn only_an_operator_sees_accounts_and_no_operator_sees_health_data() {
    let server = Server::start(&[]);
    let (operator, phone, other) = (operator(&server).await, server.phone().await, server.phone().await);
    // Whether or not there is such a user, and also one's own.
    for id in [&phone.user_id, &other.user_id, &new_id()] {
        assert_eq!(problem(&see(&phone, id).await, 403), "forbidden");
        assert_eq!(problem(&set_disabled(&phone, id, true).await, 403), "forbidden");
    }
    other.get("auth/me").await.unwrap().expect(200).unwrap();
    let missing = see(&operator, &new_id()).await;
    assert_eq!(problem(&missing, 404), "not-found");
    assert_eq!(without_instance(&see(&operator, "nobody").await), without_instance(&missing));
    assert_eq!(problem(&set_disabled(&operator, &new_id(), true).await, 404), "not-found");
    let path = format!("operator/users/{}", phone.user_id);
    for body in [json!({}), json!({ "disabled": "yes" }), json!({ "disabled": null })] {
        let answer = read(operator.request(Method::PUT, &path).json(&body)).await.unwrap();
        assert_eq!(problem(&answer, 422), "validation", "{body}");
    }
    assert_eq!(problem(&operator.get("health-data").await.unwrap(), 403), "forbidden");
    assert_eq!(see(&operator, &operator.user_id).await.expect(200).unwrap()["roles"], json!(["operator"]));
}
