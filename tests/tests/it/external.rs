//! People whom an external issuer signs in: its tokens, by its published keys, through the real binary.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use adapters_local::SystemClock;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use e2e::{Answer, Clarity, Phone, Started, read};
use ports::Clock;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use crate::support::{PATIENCE, healthkit, heart_rate, problem, processed};

/// An issuer on loopback. It is gone when it is dropped.
struct Issuer {
    url: String,
    pair: Ed25519KeyPair,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Issuer {
    async fn start() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let jwk = json!({
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "key-1",
            "x": BASE64.encode(pair.public_key().as_ref()),
        });
        let body = json!({ "keys": [jwk] }).to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0
                {
                }
                assert!(request.starts_with(b"GET /.well-known/jwks.json "));
                count.fetch_add(1, Ordering::SeqCst);
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
        });
        Self { url, pair, asked, task }
    }

    fn token(&self, subject: &str, members: &Value) -> String {
        let now = SystemClock.now().as_second();
        let mut claims = json!({
            "iss": self.url, "sub": subject, "client_id": "phone", "token_use": "access",
            "jti": format!("{subject}-{}", crate::support::new_id()), "iat": now, "exp": now + 600,
        });
        claims.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let header = json!({ "alg": "EdDSA", "kid": "key-1" });
        let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        format!("{message}.{}", BASE64.encode(self.pair.sign(message.as_bytes())))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A configuration folder that names the issuer.
fn configuration(issuer: &Issuer) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[[identity.issuers]]\nname = \"example\"\nissuer = \"{}\"\nclient_ids = [\"phone\"]\ntoken_use = \"access\"\n\
         roles_claim = \"groups\"\nroles = {{ doctors = \"clinician\" }}\n",
        issuer.url
    );
    std::fs::write(folder.path().join("development.toml"), text).unwrap();
    folder
}

fn serve(data: &Path, config: &Path) -> Started {
    let clarity = Clarity::serve(data).unwrap();
    clarity.args(&["--config", config.to_str().unwrap()]).start().unwrap()
}

/// The phone of whoever the token is for.
async fn phone(started: &Started, token: String) -> Phone {
    let mut phone = Phone {
        client: reqwest::Client::builder().timeout(PATIENCE).build().unwrap(),
        address: started.address().unwrap(),
        email: String::new(),
        password: String::new(),
        access_token: token,
        refresh_token: String::new(),
        user_id: String::new(),
    };
    let me = phone.get("auth/me").await.unwrap().expect(200).unwrap();
    me["user_id"].as_str().unwrap().clone_into(&mut phone.user_id);
    phone
}

async fn me(phone: &Phone, token: &str) -> Answer {
    read(phone.anonymous(Method::GET, "auth/me").bearer_auth(token)).await.unwrap()
}

#[tokio::test]
async fn a_person_of_an_external_issuer_uploads_and_is_the_same_after_a_restart() {
    let issuer = Issuer::start().await;
    let (data, config) = (tempfile::tempdir().unwrap(), configuration(&issuer));
    let mut started = serve(data.path(), config.path());
    let anna = phone(&started, issuer.token("anna", &json!({}))).await;
    let profile = anna.get("auth/me").await.unwrap().expect(200).unwrap();
    for (field, expected) in [
        ("user_id", json!(anna.user_id)),
        ("id", json!(anna.user_id)),
        ("email", Value::Null),
        ("email_verified", json!(false)),
        ("display_name", Value::Null),
        ("auth_provider", json!("example")),
        ("roles", json!(["user"])),
    ] {
        assert_eq!(profile[field], expected, "{field}");
    }
    let upload =
        anna.post("healthkit", &healthkit(&anna, &[heart_rate(1)])).await.unwrap().expect(202).unwrap();
    processed(&anna, upload["upload_id"].as_str().unwrap()).await;
    assert_eq!(anna.all_readings().await.unwrap().len(), 1);

    // Someone else of the same issuer sees nothing of it, and finds no difference to what is not there.
    let bert = phone(&started, issuer.token("bert", &json!({ "email": "bert@example.org" }))).await;
    assert_ne!(bert.user_id, anna.user_id);
    assert_eq!(bert.get("auth/me").await.unwrap().expect(200).unwrap()["email"], "bert@example.org");
    assert_eq!(bert.all_readings().await.unwrap(), Vec::<Value>::new());
    let path = format!("healthkit/status/{}", upload["upload_id"].as_str().unwrap());
    assert_eq!(problem(&bert.get(&path).await.unwrap(), 404), "not-found");
    let foreign = bert.post("healthkit", &healthkit(&anna, &[heart_rate(2)])).await.unwrap();
    assert_eq!(problem(&foreign, 403), "foreign-user");

    started.kill().unwrap();
    let restarted = serve(data.path(), config.path());
    let again = phone(&restarted, issuer.token("anna", &json!({}))).await;
    assert_eq!(again.user_id, anna.user_id);
    assert_eq!(again.all_readings().await.unwrap().len(), 1);
    // The profile is the issuer's to change, and the server's own people are unchanged.
    let change =
        read(again.request(Method::PUT, "auth/me").json(&json!({ "display_name": "Anna" }))).await.unwrap();
    assert_eq!(problem(&change, 403), "forbidden");
    // What is kept by the issuer, too: their second factor and their sessions.
    for (method, path) in [
        (Method::GET, "auth/mfa"),
        (Method::POST, "auth/mfa/setup"),
        (Method::GET, "auth/sessions"),
        (Method::DELETE, "auth/sessions"),
    ] {
        let answer = read(again.request(method, path)).await.unwrap();
        assert_eq!(problem(&answer, 403), "forbidden", "{path}");
    }
    let own = Phone::sign_up(restarted.address().unwrap()).await.unwrap();
    assert_eq!(own.get("auth/me").await.unwrap().expect(200).unwrap()["auth_provider"], "local");
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 2, "keys are fetched once a process");
}

#[tokio::test]
async fn a_logout_ends_an_external_session_at_once_in_every_process() {
    let issuer = Issuer::start().await;
    let (data, config) = (tempfile::tempdir().unwrap(), configuration(&issuer));
    let (one, other) = (serve(data.path(), config.path()), serve(data.path(), config.path()));
    let sign_in = json!({ "origin_jti": "sign-in-1" });
    let here = phone(&one, issuer.token("anna", &sign_in)).await;
    let there = here.at(other.address().unwrap());
    let (refreshed, another) = (issuer.token("anna", &sign_in), issuer.token("anna", &json!({})));
    for token in [&here.access_token, &refreshed, &another] {
        assert_eq!(me(&there, token).await.expect(200).unwrap()["user_id"], here.user_id.as_str());
    }
    here.post("auth/logout", &json!({})).await.unwrap().expect(200).unwrap();
    for phone in [&here, &there] {
        for token in [&here.access_token, &refreshed] {
            assert_eq!(problem(&me(phone, token).await, 401), "unauthorized");
        }
        me(phone, &another).await.expect(200).unwrap();
    }
}

#[tokio::test]
async fn a_token_that_the_issuer_did_not_make_for_us_is_unauthorized() {
    let issuer = Issuer::start().await;
    let (data, config) = (tempfile::tempdir().unwrap(), configuration(&issuer));
    let started = serve(data.path(), config.path());
    let anna = phone(&started, issuer.token("anna", &json!({}))).await;
    let clinician = issuer.token("doctor", &json!({ "groups": ["doctors"] }));
    assert_eq!(me(&anna, &clinician).await.expect(200).unwrap()["roles"], json!(["user", "clinician"]));
    let stranger = Issuer::start().await;
    let mut hostile = vec![
        stranger.token("anna", &json!({})),
        stranger.token("anna", &json!({ "iss": issuer.url })),
        anna.access_token[..anna.access_token.len() - 4].to_owned(),
    ];
    for members in [
        json!({ "client_id": "other" }),
        json!({ "token_use": "id" }),
        json!({ "exp": 1 }),
        json!({ "exp": "9999999999" }),
        json!({ "aud": "someone" }),
        json!({ "iss": "clarity" }),
        json!({ "sub": "" }),
    ] {
        hostile.push(issuer.token("anna", &members));
    }
    for token in hostile {
        assert_eq!(problem(&me(&anna, &token).await, 401), "unauthorized");
    }
    assert_eq!(
        stranger.asked.load(Ordering::SeqCst),
        0,
        "keys of an issuer that is not configured were asked for"
    );
    let log = started.log();
    assert!(!log.contains(&anna.access_token) && !log.contains("\"anna\""), "{log}");
}
