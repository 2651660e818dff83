//! Erasure: afterwards no file of the data folder holds anything of the person, whatever happens on the way.

use std::{fs, path::Path, time::Duration};

use e2e::{Answer, Clarity, Phone, read};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    people::{clinician_of, sign_in},
    support::{Server, files, healthkit, new_id, problem, quantity, until, upload},
};

/// Every word of the person begins with this.
const MARKER: &str = "canary";
/// And every word of anyone else with this.
const OTHER: &str = "sparrow";

fn marked(what: &str) -> String {
    format!("{MARKER}{what}")
}

/// Where in the folder, in a file or a name, one of the needles is.
fn found(folder: &Path, needles: &[Vec<u8>]) -> Vec<String> {
    let mut places = Vec::new();
    for path in files(folder) {
        // What went since the folder was listed holds nothing.
        let Ok(mut bytes) = fs::read(&path) else { continue };
        bytes.extend(path.strip_prefix(folder).unwrap().as_os_str().as_encoded_bytes());
        for needle in needles {
            if bytes.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle)) {
                places.push(format!("{} in {}", needle.escape_ascii(), path.display()));
            }
        }
    }
    places
}

/// A user's id in every form in which it could be written.
fn forms(id: &str) -> Vec<Vec<u8>> {
    let uuid: uuid::Uuid = id.parse().unwrap();
    vec![id.as_bytes().to_vec(), uuid.simple().to_string().into_bytes(), uuid.as_bytes().to_vec()]
}

async fn erase(phone: &Phone) -> Answer {
    phone.delete("users/me").await.unwrap()
}

fn count(receipt: &Value, store: &str) -> u64 {
    let stores = receipt["stores"].as_array().unwrap();
    let of_store = stores.iter().find(|emptied| emptied["store"] == store);
    of_store.unwrap_or_else(|| panic!("no {store} in {receipt}"))["count"].as_u64().unwrap()
}

/// More than a record holds, so that the raw body becomes an object. Each on a day of its own, in words that begin with `first`.
fn large(phone: &Phone, day: u32, first: &str) -> Value {
    let word = |what: &str| format!("{first}{what}");
    let reading = |n: u32| {
        let at = format!("2025-{:02}-{:02}T{:02}:{:02}:00+01:00", 1 + day / 28, 1 + day % 28, n / 60, n % 60);
        let mut sample =
            quantity("HeartRate", 60.0 + f64::from(n * 7919 % 997) / 13.0, "count/min", &at, &at);
        sample["source_name"] = json!(word("source"));
        sample["device"] = json!({ "name": word("device"), "product_type": word("product") });
        sample["metadata"] = json!({ "note": word("metadata") });
        sample
    };
    healthkit(phone, &(0..300).map(reading).collect::<Vec<_>>())
}

/// Plants something of a person wherever they can put it.
async fn live(phone: &mut Phone, clinician: &Phone) {
    let put = json!({ "display_name": marked("name"), "email": format!("{}-{}@example.org", marked("mail"), new_id()) });
    let profile = read(phone.request(Method::PUT, "auth/me").json(&put)).await.unwrap().expect(200).unwrap();
    profile["email"].as_str().unwrap().clone_into(&mut phone.email);
    let login = json!({ "email": phone.email, "password": phone.password,
                        "device_info": { "name": marked("phone"), "device_model": marked("model") } });
    let other =
        read(phone.anonymous(Method::POST, "auth/login").json(&login)).await.unwrap().expect(200).unwrap();
    assert!(other["access_token"].is_string());
    for day in 0..3 {
        upload(phone, &large(phone, day, MARKER)).await;
    }
    let small =
        quantity("StepCount", 100.0, "count", "2025-03-01T08:00:00+01:00", "2025-03-01T08:10:00+01:00");
    upload(phone, &healthkit(phone, &[small])).await;
    let metric = json!({ "metric_type": "heart_rate", "biometric_data": { "heart_rate": 61, "note": marked("data") },
                         "device_id": marked("deviceid"), "created_at": "2025-03-01T09:00:00Z" });
    let mut data = crate::support::health_data(phone, &[metric]);
    data["upload_source"] = json!(marked("uploadsource"));
    let keyed =
        phone.request(Method::POST, "health-data").header("idempotency-key", marked("key")).json(&data);
    read(keyed).await.unwrap().expect(201).unwrap();
    let insight = json!({ "insight_type": marked("insight"), "language": marked("language"), "context": marked("context") });
    phone.post("insights", &insight).await.unwrap().expect(200).unwrap();
    let steps = json!({ "step_counts": vec![7; 20], "timestamps": (0..20).map(|n| format!("2025-03-01T08:{n:02}:00Z")).collect::<Vec<_>>(),
                        "user_metadata": marked("user") });
    phone.post("pat/step-analysis", &steps).await.unwrap();
    phone
        .post("users/me/consents", &json!({ "clinician_email": clinician.email }))
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    read(phone.request(Method::GET, "health-data").header("x-request-id", marked("request")))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    phone.post("auth/forgot-password", &json!({ "email": phone.email })).await.unwrap();
}

#[tokio::test]
async fn of_an_erased_person_nothing_is_in_any_file() {
    let server = Server::start(&[]);
    let data = server.data.path();
    let clinician = clinician_of(&server).await;
    let bystander = server.phone().await;
    upload(&bystander, &large(&bystander, 5, OTHER)).await;
    let mut anna = server.phone().await;
    let first_email = anna.email.clone();
    live(&mut anna, &clinician).await;
    let of_bystander = bystander.all_readings().await.unwrap();
    let id = anna.user_id.clone();
    let mut needles = forms(&id);
    needles.extend([&anna.email, &first_email, &anna.password].map(|text| text.clone().into_bytes()));
    let session = anna.get("auth/sessions").await.unwrap();
    if let Some(id) = session.body.pointer("/data/0/id").and_then(Value::as_str) {
        needles.extend(forms(id));
    }
    // Whoever looks now finds most of it.
    assert!(found(data, &needles).len() >= 3, "{:?}", found(data, &needles));
    assert!(!found(data, &[MARKER.into()]).is_empty());
    assert_eq!(clinician.get(&format!("users/{id}/metrics/daily")).await.unwrap().status, 200);

    let receipt = erase(&anna).await.expect(200).unwrap();
    for store in ["accounts", "sessions", "consents", "objects", "records"] {
        assert!(count(&receipt, store) > 0, "{store}: {receipt}");
    }
    assert!(count(&receipt, "objects") >= 3 && count(&receipt, "sessions") >= 2, "{receipt}");
    needles.push(MARKER.into());
    assert_eq!(found(data, &needles), Vec::<String>::new());

    assert_eq!(problem(&anna.get("auth/me").await.unwrap(), 401), "unauthorized");
    assert_eq!(problem(&erase(&anna).await, 401), "unauthorized");
    let refresh = json!({ "refresh_token": anna.refresh_token });
    assert_eq!(read(anna.anonymous(Method::POST, "auth/refresh").json(&refresh)).await.unwrap().status, 401);
    let login = json!({ "email": anna.email, "password": anna.password });
    let login = read(anna.anonymous(Method::POST, "auth/login").json(&login)).await.unwrap();
    assert_eq!(problem(&login, 401), "wrong-credentials");
    let denied = clinician.get(&format!("users/{id}/metrics/daily")).await.unwrap();
    assert_eq!(problem(&denied, 403), "foreign-user");
    let patients = clinician.get("clinician/patients").await.unwrap().expect(200).unwrap();
    assert_eq!(patients["data"], json!([]));
    // Others are as they were, and the address is free.
    assert_eq!(bystander.all_readings().await.unwrap(), of_bystander);
    let again = json!({ "email": anna.email, "password": "a long password" });
    read(anna.anonymous(Method::POST, "auth/register").json(&again)).await.unwrap().expect(200).unwrap();
}

#[tokio::test]
async fn an_erasure_asks_for_the_password_only_where_one_is_sent() {
    let server = Server::start(&[]);
    let mut anna = server.phone().await;
    let with = async |phone: &Phone, body: Value| {
        read(phone.request(Method::DELETE, "users/me").json(&body)).await.unwrap()
    };
    assert_eq!(problem(&with(&anna, json!({ "password": "wrong" })).await, 401), "wrong-credentials");
    anna.get("auth/me").await.unwrap().expect(200).unwrap();
    sign_in(&mut anna).await;
    with(&anna, json!({ "password": anna.password })).await.expect(200).unwrap();
    let berta = server.phone().await;
    with(&berta, json!({})).await.expect(200).unwrap();
    for phone in [&anna, &berta] {
        assert_eq!(problem(&phone.get("auth/me").await.unwrap(), 401), "unauthorized");
    }
}

#[tokio::test]
async fn a_clinician_who_is_erased_goes_from_the_consents() {
    let server = Server::start(&[]);
    let (anna, clinician) = (server.phone().await, clinician_of(&server).await);
    let ask = json!({ "clinician_email": clinician.email });
    // One that goes on, and one that ended.
    for is_ended in [false, true] {
        let consent = anna.post("users/me/consents", &ask).await.unwrap().expect(201).unwrap();
        if is_ended {
            let id = consent["consent_id"].as_str().unwrap();
            anna.delete(&format!("users/me/consents/{id}")).await.unwrap().expect(200).unwrap();
        }
    }
    let patients = clinician.get("clinician/patients").await.unwrap().expect(200).unwrap();
    assert_eq!(patients["data"].as_array().unwrap().len(), 1);
    erase(&clinician).await.expect(200).unwrap();
    let held = anna.get("users/me/consents").await.unwrap().expect(200).unwrap();
    assert_eq!(held["data"], json!([]));
    let email = clinician.email.clone().into_bytes();
    assert_eq!(found(server.data.path(), &[email]), Vec::<String>::new());
}

#[tokio::test]
async fn what_one_instance_erases_no_other_serves() {
    let server = Server::start(&[]);
    let other = Clarity::serve(server.data.path()).unwrap().start().unwrap();
    let anna = server.phone().await;
    let there = anna.at(other.address().unwrap());
    // The other instance has seen the token, and remembers the timeline.
    upload(&there, &large(&there, 0, MARKER)).await;
    there.get("health-data").await.unwrap().expect(200).unwrap();
    erase(&anna).await.expect(200).unwrap();
    for path in ["auth/me", "health-data", "metrics/daily", "users/me/audit"] {
        assert_eq!(problem(&there.get(path).await.unwrap(), 401), "unauthorized", "{path}");
    }
    let late = there.post("healthkit", &large(&there, 1, MARKER)).await.unwrap();
    assert_eq!(problem(&late, 401), "unauthorized");
    assert_eq!(found(server.data.path(), &forms(&anna.user_id)), Vec::<String>::new());
}

/// The database, read beside the processes that have it open.
async fn beside(data: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(data.join("clarity.sqlite3")).read_only(true);
    options.connect().await.unwrap()
}

async fn under_way(connection: &mut SqliteConnection) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM records WHERE kind = 'erasing')")
        .fetch_one(connection)
        .await
        .unwrap()
}

async fn held(connection: &mut SqliteConnection, user: &str) -> i64 {
    let query =
        sqlx::query_scalar("SELECT count(*) FROM records WHERE partition = ?").bind(format!("user/{user}"));
    query.fetch_one(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_was_killed_half_way_is_finished_by_the_next_process() {
    let mut server = Server::start(&[]);
    let mut interrupted = 0;
    // The process may be done before the kill comes; then somebody else is erased.
    for _ in 0..10 {
        let anna = server.phone().await;
        for day in 0..40 {
            anna.post("healthkit", &large(&anna, day, MARKER)).await.unwrap().expect(202).unwrap();
        }
        let request = anna.request(Method::DELETE, "users/me");
        let erasing = tokio::spawn(async move { request.send().await.map(|answer| answer.status()) });
        let mut connection = beside(server.data.path()).await;
        let seen = tokio::time::timeout(Duration::from_secs(20), async {
            while !under_way(&mut connection).await && !erasing.is_finished() {}
        });
        seen.await.expect("it begins");
        server.started.kill().unwrap();
        let was_under_way = under_way(&mut connection).await;
        connection.close().await.unwrap();
        if was_under_way {
            interrupted += 1;
            assert!(erasing.await.unwrap().is_err(), "it was said to be done");
        }
        server.started = Clarity::serve(server.data.path()).unwrap().start().unwrap();
        let anna = anna.at(server.address());
        let mut connection = beside(server.data.path()).await;
        until("the erasure is done", async || !under_way(&mut connection).await).await;
        assert_eq!(held(&mut connection, &anna.user_id).await, 0);
        connection.close().await.unwrap();
        let needles = [forms(&anna.user_id), vec![anna.email.clone().into_bytes()]].concat();
        until("the files are scrubbed", async || found(server.data.path(), &needles).is_empty()).await;
        let login = json!({ "email": anna.email, "password": anna.password });
        let login = read(anna.anonymous(Method::POST, "auth/login").json(&login)).await.unwrap();
        assert_eq!(problem(&login, 401), "wrong-credentials");
        assert_eq!(problem(&anna.get("auth/me").await.unwrap(), 401), "unauthorized");
        if interrupted == 2 {
            return;
        }
    }
    panic!("only {interrupted} erasures were interrupted");
}
