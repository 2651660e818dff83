//! Consents: whom a user lets see their data, how far, and for how long.

use std::collections::BTreeSet;

use adapters_local::SystemClock;
use e2e::{Answer, Phone, read};
use ports::{Clock, Role};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    people::{clinician_of, operator_of, set_roles},
    support::{
        Server, Shared, bytes, health_data, healthkit, heart_rate, new_id, pointers, problem, upload,
        without_instance,
    },
};

static SHARED: Shared = Shared::new();

/// Everything of a user that a consent can be about.
const PATHS: [(&str, &str); 5] = [
    ("readings", "health-data"),
    ("metrics", "metrics/daily"),
    ("metrics", "metrics/sleep"),
    ("metrics", "metrics/circadian"),
    ("insights", "insights"),
];

async fn of(phone: &Phone, user_id: &str, path: &str) -> Answer {
    phone.get(&format!("users/{user_id}/{path}")).await.unwrap()
}

async fn grant(phone: &Phone, body: Value) -> Value {
    phone.post("users/me/consents", &body).await.unwrap().expect(201).unwrap()
}

/// A user with a reading and an insight.
async fn user(server: &Server) -> Phone {
    let phone = server.phone().await;
    upload(&phone, &healthkit(&phone, &[heart_rate(0), heart_rate(1), heart_rate(2)])).await;
    phone.post("insights", &json!({})).await.unwrap().expect(200).unwrap();
    phone
}

async fn seen(clinician: &Phone, user: &Phone) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    for (scope, path) in PATHS {
        let answer = of(clinician, &user.user_id, path).await;
        match answer.status.as_u16() {
            200 => drop(seen.insert(scope)),
            _ => assert_eq!(problem(&answer, 403), "foreign-user", "{path}"),
        }
    }
    seen
}

#[tokio::test]
async fn a_clinician_sees_what_was_consented_to_and_the_trail_says_so() {
    let server = SHARED.get();
    let (anna, clinician) = (user(&server).await, clinician_of(&server).await);
    assert_eq!(seen(&clinician, &anna).await, BTreeSet::new());
    let consent = grant(&anna, json!({ "clinician_email": clinician.email.to_uppercase() })).await;
    assert_eq!(consent["clinician_id"], clinician.user_id.as_str());
    assert_eq!(consent["clinician_email"], clinician.email.as_str());
    assert_eq!(
        (&consent["scope"], &consent["revoked_at"]),
        (&json!(["metrics", "readings", "insights"]), &Value::Null)
    );
    assert_eq!(seen(&clinician, &anna).await, BTreeSet::from(["readings", "metrics", "insights"]));
    // The same bytes as the owner gets, but for where they are.
    for path in ["metrics/daily", "metrics/sleep", "metrics/circadian"] {
        assert_eq!(
            bytes(&clinician, &format!("users/{}/{path}", anna.user_id)).await,
            bytes(&anna, path).await
        );
    }
    let readings = of(&clinician, &anna.user_id, "health-data").await.expect(200).unwrap();
    assert_eq!(readings["data"], anna.get("health-data").await.unwrap().expect(200).unwrap()["data"]);
    assert_eq!(readings["data"].as_array().unwrap().len(), 3);
    let insights = of(&clinician, &anna.user_id, "insights").await.expect(200).unwrap();
    assert_eq!(
        (&insights["data"]["count"], &insights["data"]["insights"][0]["user_id"]),
        (&json!(1), &json!(anna.user_id))
    );

    let trail = anna.get("users/me/audit?limit=1000").await.unwrap().expect(200).unwrap();
    let entries = trail["data"].as_array().unwrap();
    let by_clinician: Vec<_> = entries.iter().filter(|entry| entry["actor"] == "clinician").collect();
    let read: BTreeSet<&str> = by_clinician.iter().map(|entry| entry["resource"].as_str().unwrap()).collect();
    assert_eq!(
        read,
        BTreeSet::from([
            "health_data",
            "metrics/daily",
            "metrics/sleep",
            "metrics/circadian",
            "insights/history"
        ])
    );
    assert!(
        by_clinician
            .iter()
            .all(|entry| entry["actor_id"] == clinician.user_id.as_str() && entry["action"] == "read")
    );
    assert!(entries.iter().any(|entry| entry["action"] == "grant_consent" && entry["actor"] == "self"));
    // The clinician's own trail has none of it.
    let own = clinician.get("users/me/audit").await.unwrap().expect(200).unwrap();
    assert_eq!(own["data"], json!([]));
}

#[tokio::test]
async fn without_a_consent_that_holds_every_answer_is_the_same() {
    let server = SHARED.get();
    let (anna, clinician, other) = (user(&server).await, clinician_of(&server).await, server.phone().await);
    let (other_clinician, third) = (clinician_of(&server).await, user(&server).await);
    grant(&third, json!({ "clinician_id": other_clinician.user_id })).await;
    let narrow = grant(&anna, json!({ "clinician_id": clinician.user_id, "scope": ["insights"] })).await;
    assert_eq!(narrow["clinician_email"], Value::Null);
    assert_eq!(seen(&clinician, &anna).await, BTreeSet::from(["insights"]));
    let ended = grant(&third, json!({ "clinician_id": clinician.user_id })).await;
    let path = format!("users/me/consents/{}", ended["consent_id"].as_str().unwrap());
    let revoked = third.delete(&path).await.unwrap().expect(200).unwrap();
    assert!(revoked["revoked_at"].is_string());

    let nobody = of(&clinician, &new_id(), "health-data").await;
    assert_eq!(problem(&nobody, 403), "foreign-user");
    for (asks, whose) in [
        // Another scope, an ended consent, another's consent, none, no id at all; and a user who is no clinician.
        (&clinician, anna.user_id.as_str()),
        (&clinician, third.user_id.as_str()),
        (&clinician, other.user_id.as_str()),
        (&clinician, "nobody"),
        (&other, anna.user_id.as_str()),
        (&other, &new_id()),
    ] {
        let answer = of(asks, whose, "health-data").await;
        assert_eq!(without_instance(&answer), without_instance(&nobody), "{whose}");
    }
    // One's own id is no other's.
    assert_eq!(seen(&anna, &anna).await.len(), 3);
    anna.get("users/me/health-data").await.unwrap().expect(200).unwrap();
}

#[tokio::test]
async fn who_is_no_clinician_any_more_sees_nobody() {
    let server = SHARED.get();
    let (anna, mut clinician) = (user(&server).await, clinician_of(&server).await);
    grant(&anna, json!({ "clinician_email": clinician.email })).await;
    assert_eq!(seen(&clinician, &anna).await.len(), 3);
    set_roles(&server, &mut clinician, &[Role::User]).await;
    assert!(seen(&clinician, &anna).await.is_empty());
    assert_eq!(of(&clinician, &clinician.user_id, "health-data").await.status, 200, "their own they do");
    set_roles(&server, &mut clinician, &[Role::User, Role::Clinician]).await;
    assert_eq!(seen(&clinician, &anna).await.len(), 3);
}

#[tokio::test]
async fn a_consent_ends_by_itself() {
    let server = SHARED.get();
    let (anna, clinician) = (user(&server).await, clinician_of(&server).await);
    let soon = SystemClock.now() + jiff::SignedDuration::from_secs(3);
    let consent =
        grant(&anna, json!({ "clinician_id": clinician.user_id, "expires_at": soon.to_string() })).await;
    assert_eq!(seen(&clinician, &anna).await.len(), 3);
    let patients = clinician.get("clinician/patients").await.unwrap().expect(200).unwrap();
    assert_eq!(patients["data"][0]["consent_id"], consent["consent_id"]);
    crate::support::until("the consent's end", async || seen(&clinician, &anna).await.is_empty()).await;
    assert!(SystemClock.now().as_second() >= soon.as_second());
    let patients = clinician.get("clinician/patients").await.unwrap().expect(200).unwrap();
    assert_eq!(patients["data"], json!([]));
    // The user still sees that there was one.
    let held = anna.get("users/me/consents").await.unwrap().expect(200).unwrap();
    assert_eq!(held["data"], json!([consent]));
}

#[tokio::test]
async fn a_consent_is_changed_in_the_version_that_was_read() {
    let server = SHARED.get();
    let (anna, clinician) = (user(&server).await, clinician_of(&server).await);
    let consent = grant(&anna, json!({ "clinician_id": clinician.user_id })).await;
    let path = format!("users/me/consents/{}", consent["consent_id"].as_str().unwrap());
    let read_tag = async || anna.get(&path).await.unwrap().headers["etag"].to_str().unwrap().to_owned();
    let tag = read_tag().await;
    let put = async |tag: Option<&str>, body: &Value| {
        let request = anna.request(Method::PUT, &path).json(body);
        read(match tag {
            Some(tag) => request.header("if-match", tag),
            None => request,
        })
        .await
        .unwrap()
    };
    let body = json!({ "expires_at": consent["expires_at"], "scope": ["metrics"] });
    assert_eq!(problem(&put(None, &body).await, 428), "precondition-required");
    assert_eq!(problem(&put(Some("\"99\""), &body).await, 412), "precondition-failed");
    let changed = put(Some(&tag), &body).await;
    assert_eq!(changed.headers["etag"].to_str().unwrap(), read_tag().await);
    assert_eq!(changed.expect(200).unwrap()["scope"], json!(["metrics"]));
    assert_eq!(seen(&clinician, &anna).await, BTreeSet::from(["metrics"]));
    assert_eq!(problem(&put(Some(&tag), &body).await, 412), "precondition-failed");
    let tag = read_tag().await;
    for (wrong, pointer) in [
        (json!({ "expires_at": "2020-01-01T00:00:00Z", "scope": ["metrics"] }), "/expires_at"),
        (json!({ "expires_at": "2099-01-01T00:00:00Z", "scope": ["metrics"] }), "/expires_at"),
        (json!({ "expires_at": consent["expires_at"], "scope": [] }), "/scope"),
        (json!({ "expires_at": consent["expires_at"], "scope": ["everything"] }), "/scope/0"),
    ] {
        let answer = put(Some(&tag), &wrong).await;
        assert_eq!(problem(&answer, 422), "validation");
        assert_eq!(pointers(&answer), [pointer], "{wrong}");
    }
    let revoked = anna.delete(&path).await.unwrap().expect(200).unwrap();
    assert_eq!(
        anna.delete(&path).await.unwrap().expect(200).unwrap(),
        revoked,
        "ending twice is ending once"
    );
    assert_eq!(problem(&put(Some(&read_tag().await), &body).await, 409), "conflict");
    // A consent of another user is as missing as one that never was.
    let other = server.phone().await;
    let unknown = other.get(&format!("users/me/consents/{}", new_id())).await.unwrap();
    assert_eq!(problem(&unknown, 404), "not-found");
    for method in [Method::GET, Method::DELETE] {
        let answer = read(other.request(method, &path)).await.unwrap();
        assert_eq!(without_instance(&answer), without_instance(&unknown));
    }
}

#[tokio::test]
async fn only_a_clinician_is_let_in_and_nobody_learns_who_has_an_account() {
    let server = SHARED.get();
    let (anna, other, clinician) = (server.phone().await, server.phone().await, clinician_of(&server).await);
    let ask = async |body: Value| anna.post("users/me/consents", &body).await.unwrap();
    let unknown = ask(json!({ "clinician_email": format!("{}@example.org", new_id()) })).await;
    assert_eq!(problem(&unknown, 422), "validation");
    for email in [other.email.as_str(), anna.email.as_str(), "nowhere"] {
        let answer = ask(json!({ "clinician_email": email })).await;
        assert_eq!(without_instance(&answer), without_instance(&unknown));
    }
    let unknown = ask(json!({ "clinician_id": new_id() })).await;
    for id in [other.user_id.as_str(), anna.user_id.as_str(), "nobody"] {
        let answer = ask(json!({ "clinician_id": id })).await;
        assert_eq!(without_instance(&answer), without_instance(&unknown));
    }
    for wrong in [json!({}), json!({ "clinician_id": clinician.user_id, "clinician_email": clinician.email })]
    {
        assert_eq!(problem(&ask(wrong).await, 422), "validation");
    }
    // Clinicians cannot let themselves in.
    let own =
        clinician.post("users/me/consents", &json!({ "clinician_id": clinician.user_id })).await.unwrap();
    assert_eq!(problem(&own, 422), "validation");
    // A key makes one consent, however often it is sent.
    let keyed = async || {
        let body = json!({ "clinician_id": clinician.user_id });
        read(anna.request(Method::POST, "users/me/consents").header("idempotency-key", "k").json(&body))
            .await
            .unwrap()
    };
    let (first, second) = (keyed().await.expect(201).unwrap(), keyed().await.expect(201).unwrap());
    assert_eq!(first, second);
    let held = anna.get("users/me/consents").await.unwrap().expect(200).unwrap();
    assert_eq!(held["data"], json!([first]));
}

#[tokio::test]
async fn operators_see_how_the_queue_stands_and_no_health_data() {
    let server = SHARED.get();
    let (anna, operator) = (user(&server).await, operator_of(&server).await);
    let jobs = operator.get("operator/jobs").await.unwrap().expect(200).unwrap();
    assert!(jobs["depth"].is_u64() && jobs["dead"].is_u64(), "{jobs}");
    assert_eq!(problem(&anna.get("operator/jobs").await.unwrap(), 403), "forbidden");
    assert_eq!(problem(&anna.get("clinician/patients").await.unwrap(), 403), "forbidden");
    for path in [
        "health-data",
        "metrics/daily",
        "insights/status",
        "events",
        "users/me/audit",
        "users/me/consents",
        "clinician/patients",
    ] {
        assert_eq!(problem(&operator.get(path).await.unwrap(), 403), "forbidden", "{path}");
    }
    for (_, path) in PATHS {
        assert_eq!(problem(&of(&operator, &anna.user_id, path).await, 403), "forbidden", "{path}");
    }
    let upload = operator.post("health-data", &health_data(&operator, &[])).await.unwrap();
    assert_eq!(problem(&upload, 403), "forbidden");
}

#[tokio::test]
async fn trails_and_patients_are_read_page_by_page() {
    let server = SHARED.get();
    let clinician = clinician_of(&server).await;
    let mut users = BTreeSet::new();
    for _ in 0..5 {
        let phone = server.phone().await;
        grant(&phone, json!({ "clinician_id": clinician.user_id })).await;
        users.insert(phone.user_id);
    }
    let pages = async |phone: &Phone, path: &str| {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = phone.get(&format!("{path}?limit=2{cursor}")).await.unwrap().expect(200).unwrap();
            assert!(page["data"].as_array().unwrap().len() <= 2);
            items.extend(page["data"].as_array().unwrap().clone());
            match page["pagination"]["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return (items, cursor),
            }
        }
    };
    let (patients, cursor) = pages(&clinician, "clinician/patients").await;
    let found: BTreeSet<String> =
        patients.iter().map(|patient| patient["user_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((found, patients.len()), (users, 5));
    let anna = user(&server).await;
    for _ in 0..3 {
        anna.get("metrics/daily").await.unwrap().expect(200).unwrap();
    }
    let (entries, own_cursor) = pages(&anna, "users/me/audit").await;
    let whole = anna.get("users/me/audit?limit=1000").await.unwrap().expect(200).unwrap();
    assert_eq!(json!(entries), whole["data"]);
    assert_eq!(entries[0]["resource"], "metrics/daily", "the newest comes first");
    assert_eq!(entries.last().unwrap()["action"], "upload");
    // A cursor opens the listing of its own user only.
    for (phone, path, cursor) in
        [(&clinician, "users/me/audit", &own_cursor), (&anna, "users/me/audit", &cursor)]
    {
        let answer = phone.get(&format!("{path}?{}", cursor.trim_start_matches('&'))).await.unwrap();
        assert_eq!(pointers(&answer), ["cursor"]);
    }
    let other = clinician_of(&server).await;
    grant(&anna, json!({ "clinician_id": clinician.user_id })).await;
    grant(&anna, json!({ "clinician_id": other.user_id })).await;
    let page = of(&clinician, &anna.user_id, "health-data?limit=1").await.expect(200).unwrap();
    let next = page["links"]["next"].as_str().unwrap().trim_start_matches("/api/v1/");
    clinician.get(next).await.unwrap().expect(200).unwrap();
    for phone in [&other, &anna] {
        assert_eq!(pointers(&phone.get(next).await.unwrap()), ["cursor"]);
    }
}
