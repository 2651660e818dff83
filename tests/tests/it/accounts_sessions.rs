//! Where somebody is signed in, and how that ends: here, and at once on every other instance.

use e2e::{Clarity, Phone, read};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    accounts::{latest_code, login, me, post, refresh},
    support::{Server, Shared, new_id, problem, without_instance},
};

static SHARED: Shared = Shared::new();

/// The phone with a session of its own.
async fn another(phone: &Phone, more: Value) -> Phone {
    let mut body = json!({ "email": phone.email, "password": phone.password });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let tokens = post(phone, "auth/login", body).await.expect(200).unwrap();
    let mut other = phone.clone();
    other.take_tokens(&tokens).unwrap();
    other
}

async fn sessions(phone: &Phone) -> Vec<Value> {
    let listed = phone.get("auth/sessions").await.unwrap().expect(200).unwrap();
    listed["data"].as_array().unwrap().clone()
}

async fn current(phone: &Phone) -> String {
    let listed = sessions(phone).await;
    let current: Vec<&Value> = listed.iter().filter(|session| session["current"] == true).collect();
    assert_eq!(current.len(), 1);
    current[0]["id"].as_str().unwrap().to_owned()
}

async fn assert_ended(phone: &Phone) {
    assert_eq!(problem(&phone.get("auth/me").await.unwrap(), 401), "unauthorized");
    assert_eq!(problem(&refresh(phone, &phone.refresh_token).await, 401), "unauthorized");
}

#[tokio::test]
async fn sessions_are_listed_with_their_devices() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let long = "x".repeat(300);
    let named = [
        (json!("Anna's iPhone"), json!("Anna's iPhone")),
        (json!({ "name": "Watch", "model": "Watch6,2", "os": "11.0" }), json!("Watch")),
        (json!({ "model": "iPhone15,2", "serial": "secret" }), json!("iPhone15,2")),
        (json!({ "device_model": "iPad", "system_name": "iPadOS" }), json!("iPad")),
        (json!({ "name": long }), json!("x".repeat(200))),
        (json!("  two\nlines\u{7} "), json!("twolines")),
        (json!({ "name": 7, "model": "fallback" }), json!("fallback")),
        (json!({ "app_version": "1.0" }), Value::Null),
        (json!(""), Value::Null),
        (Value::Null, Value::Null),
    ];
    for (info, expected) in &named {
        let other = another(&phone, json!({ "device_info": info })).await;
        let listed = sessions(&other).await;
        let session = listed.iter().find(|session| session["current"] == true).unwrap();
        assert_eq!(&session["device"], expected, "{info}");
        assert!(!session.to_string().contains("secret"));
    }
    let listed = sessions(&phone).await;
    assert_eq!(listed.len(), 1 + named.len());
    for session in &listed {
        for field in ["created_at", "last_used_at", "expires_at"] {
            let time: Timestamp = session[field].as_str().unwrap().parse().unwrap();
            assert_eq!(time.subsec_nanosecond(), 0);
        }
        assert_eq!(session.as_object().unwrap().len(), 6);
    }
    let faulty = json!({ "email": phone.email, "password": phone.password, "device_info": 7 });
    assert_eq!(problem(&post(&phone, "auth/login", faulty).await, 422), "validation");
}

#[tokio::test]
async fn who_asks_to_be_remembered_stays_longer_and_a_refresh_prolongs() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let (brief, lasting) = (
        another(&phone, json!({ "device_info": "brief", "remember_me": false })).await,
        another(&phone, json!({ "device_info": "lasting", "remember_me": true })).await,
    );
    let days = |listed: &[Value], device: &str| {
        let session = listed.iter().find(|session| session["device"] == device).unwrap();
        let time = |field: &str| session[field].as_str().unwrap().parse::<Timestamp>().unwrap();
        (time("expires_at").as_second() - time("last_used_at").as_second()) / 86_400
    };
    let listed = sessions(&brief).await;
    assert_eq!((days(&listed, "brief"), days(&listed, "lasting")), (14, 30));
    // What was used last comes first, and a session stays itself when it is refreshed.
    let before = current(&brief).await;
    let mut refreshed = brief.clone();
    refreshed.take_tokens(&refresh(&brief, &brief.refresh_token).await.expect(200).unwrap()).unwrap();
    assert_eq!(current(&refreshed).await, before);
    assert_eq!(sessions(&lasting).await.len(), 3);
}

#[tokio::test]
async fn one_session_is_ended_and_the_others_go_on() {
    let server = SHARED.get();
    let (phone, stranger) = (server.phone().await, server.phone().await);
    let other = another(&phone, json!({})).await;
    let id = current(&other).await;
    let end = async |phone: &Phone, id: &str| phone.delete(&format!("auth/sessions/{id}")).await.unwrap();
    // Somebody else's session is none at all.
    let foreign = end(&stranger, &id).await;
    assert_eq!(problem(&foreign, 404), "not-found");
    for missing in [new_id(), "nothing".to_owned(), stranger.user_id.clone()] {
        assert_eq!(without_instance(&end(&stranger, &missing).await), without_instance(&foreign));
    }
    other.get("auth/me").await.unwrap().expect(200).unwrap();

    end(&phone, &id).await.expect(200).unwrap();
    assert_ended(&other).await;
    phone.get("auth/me").await.unwrap().expect(200).unwrap();
    assert_eq!(without_instance(&end(&phone, &id).await), without_instance(&foreign));
    assert_eq!(sessions(&phone).await.len(), 1);
    // One's own, too.
    end(&phone, &current(&phone).await).await.expect(200).unwrap();
    assert_ended(&phone).await;
    stranger.get("auth/me").await.unwrap().expect(200).unwrap();
}

#[tokio::test]
async fn all_other_sessions_are_ended_and_counted() {
    let server = SHARED.get();
    let (phone, stranger) = (server.phone().await, server.phone().await);
    let others = [another(&phone, json!({})).await, another(&phone, json!({ "remember_me": true })).await];
    let end_others = async || phone.delete("auth/sessions").await.unwrap().expect(200).unwrap();
    assert_eq!(end_others().await, json!({ "ended": 2 }));
    for other in &others {
        assert_ended(other).await;
    }
    assert_eq!(end_others().await, json!({ "ended": 0 }));
    assert_eq!(sessions(&phone).await.len(), 1);
    refresh(&phone, &phone.refresh_token).await.expect(200).unwrap();
    stranger.get("auth/me").await.unwrap().expect(200).unwrap();
}

/// Two servers on one data folder.
struct Pair {
    first: Server,
    second: e2e::Started,
}

impl Pair {
    fn start() -> Self {
        let first = Server::start(&[]);
        let second = Clarity::serve(first.data.path()).unwrap().start().unwrap();
        Self { first, second }
    }

    /// The same phone, as it speaks to the other instance. Its token was verified there once, so that whatever is kept of
    /// that is kept.
    async fn at_second(&self, phone: &Phone) -> Phone {
        let phone = phone.at(self.second.address().unwrap());
        phone.get("auth/me").await.unwrap().expect(200).unwrap();
        phone
    }
}

#[tokio::test]
async fn whatever_ends_a_session_ends_it_at_once_on_every_instance() {
    let pair = Pair::start();
    for round in 0..5 {
        let phone = pair.first.phone().await;
        let there = pair.at_second(&phone).await;
        phone.post("auth/logout", &json!({})).await.unwrap().expect(200).unwrap();
        assert_ended(&there).await;

        let phone = pair.first.phone().await;
        let there = pair.at_second(&phone).await;
        phone.delete(&format!("auth/sessions/{}", current(&phone).await)).await.unwrap().expect(200).unwrap();
        assert_ended(&there).await;

        let phone = pair.first.phone().await;
        let other = another(&phone, json!({})).await;
        let (there, other_there) = (pair.at_second(&phone).await, pair.at_second(&other).await);
        phone.delete("auth/sessions").await.unwrap().expect(200).unwrap();
        assert_ended(&other_there).await;
        there.get("auth/me").await.unwrap().expect(200).unwrap();
        if round > 0 {
            continue;
        }
        post(&phone, "auth/forgot-password", json!({ "email": phone.email })).await.expect(200).unwrap();
        let code = latest_code(pair.first.data.path(), &phone.email);
        let body = json!({ "email": phone.email, "code": code, "new_password": "another long password" });
        post(&phone, "auth/reset-password", body).await.expect(200).unwrap();
        assert_ended(&there).await;
    }
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_the_family_wherever_it_is_used() {
    let pair = Pair::start();
    let phone = pair.first.phone().await;
    let bystander = another(&phone, json!({})).await;
    let there = pair.at_second(&phone).await;
    // The owner refreshes here, again and again; the thief comes there with the first.
    let mut newest = phone.clone();
    for _ in 0..3 {
        newest.take_tokens(&refresh(&newest, &newest.refresh_token).await.expect(200).unwrap()).unwrap();
    }
    let newest_there = pair.at_second(&newest).await;
    assert_eq!(problem(&refresh(&there, &phone.refresh_token).await, 401), "unauthorized");
    for phone in [&phone, &newest, &there, &newest_there] {
        assert_ended(phone).await;
    }
    // Other sessions of theirs are no family of it.
    bystander.get("auth/me").await.unwrap().expect(200).unwrap();
    login(&phone, &phone.email, &phone.password).await.expect(200).unwrap();
}

#[tokio::test]
async fn of_two_who_refresh_at_once_one_is_taken_for_a_thief() {
    let pair = Pair::start();
    let phone = pair.first.phone().await;
    let there = pair.at_second(&phone).await;
    let (here, there) =
        tokio::join!(refresh(&phone, &phone.refresh_token), refresh(&there, &phone.refresh_token));
    let won: Vec<_> = [here, there].into_iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    // And so the one that was first has nothing of it.
    assert_eq!(
        problem(&me(&phone, won[0].body["access_token"].as_str().unwrap()).await, 401),
        "unauthorized"
    );
}

#[tokio::test]
async fn sessions_need_a_token() {
    let server = SHARED.get();
    let phone = server.phone().await;
    for (method, path) in [
        (Method::GET, "auth/sessions".to_owned()),
        (Method::DELETE, "auth/sessions".to_owned()),
        (Method::DELETE, format!("auth/sessions/{}", current(&phone).await)),
    ] {
        assert_eq!(
            problem(&read(phone.anonymous(method, &path)).await.unwrap(), 401),
            "unauthorized",
            "{path}"
        );
    }
    assert_eq!(sessions(&phone).await.len(), 1);
}
