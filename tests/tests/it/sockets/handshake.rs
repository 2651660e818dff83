//! Who gets in.

use std::sync::Arc;

use adapters_local::{LocalCloud, LocalSettings, SystemClock, SystemIds, identity};
use e2e::Phone;
use ports::Role;
use reqwest::Method;
use serde_json::json;
use tokio_tungstenite::tungstenite::handshake::client::Request;

use super::{A_WHILE, Socket, connect, handshake, refused, with_header, with_token};
use crate::support::{Server, Shared, new_id, problem, until};

static SHARED: Shared = Shared::new();

fn own(phone: &Phone) -> String {
    format!("health-analysis/{}", phone.user_id)
}

fn with_query(phone: &Phone, path: &str) -> Request {
    handshake(phone.address, &format!("{path}?token={}", phone.access_token))
}

/// Connects without a token, and sends it as the first message.
async fn first_message(phone: &Phone, path: &str, first: &str) -> Socket {
    let mut socket = connect(phone.address, handshake(phone.address, path)).await.unwrap();
    socket.send_text(first).await;
    socket
}

fn auth(token: &str) -> String {
    json!({ "type": "auth", "token": token }).to_string()
}

#[tokio::test]
async fn a_token_comes_by_header_by_query_or_by_the_first_message() {
    let server = SHARED.get();
    let phone = server.phone().await;
    for path in [own(&phone), "den".to_owned(), "chat/den".to_owned()] {
        let mut by_header = Socket::open(&phone, &path).await;
        let mut by_query = connect(phone.address, with_query(&phone, &path)).await.unwrap();
        by_query.greeted(&phone).await;
        let mut by_message = first_message(&phone, &path, &auth(&phone.access_token)).await;
        by_message.greeted(&phone).await;
        by_message.is_alive().await;
        // Seats are given back when the connection has ended, which takes a moment.
        for socket in [&mut by_header, &mut by_query, &mut by_message] {
            socket.0.close(None).await.unwrap();
        }
        drop((by_header, by_query, by_message));
        let seats = || async {
            let text = reqwest::get(server.url("/metrics")).await.unwrap().text().await.unwrap();
            text.contains("live_connections{kind=\"sockets\"} 0")
        };
        until("the seats are free", seats).await;
    }
}

#[tokio::test]
async fn who_is_not_let_in_is_told_before_the_socket_opens() {
    let server = SHARED.get();
    let address = server.address();
    let (anna, berta) = (server.phone().await, server.phone().await);
    let bad = |path: &str| with_header(handshake(address, path), "authorization", "Bearer nonsense");
    let basic = with_header(handshake(address, "den"), "authorization", "Basic YTpi");
    let both = with_header(with_query(&anna, "den"), "authorization", "Bearer nonsense");
    let unauthorized = (401, "unauthorized".to_owned());
    assert_eq!(refused(address, bad("den")).await, unauthorized);
    assert_eq!(refused(address, bad(&own(&anna))).await, unauthorized);
    assert_eq!(refused(address, basic).await, unauthorized);
    assert_eq!(refused(address, handshake(address, "den?token=nonsense")).await, unauthorized);
    assert_eq!(refused(address, both).await, unauthorized, "the header counts");
    let refresh = handshake(address, &format!("den?token={}", anna.refresh_token));
    assert_eq!(refused(address, refresh).await, unauthorized);
    let foreign = (403, "foreign-user".to_owned());
    for user_id in [berta.user_id.clone(), new_id(), "nobody".to_owned()] {
        let path = format!("health-analysis/{user_id}");
        assert_eq!(refused(address, with_token(handshake(address, &path), &anna)).await, foreign);
    }
    for room in ["a%20b", "%2e%2e%2f", &"x".repeat(65), "caf%C3%A9"] {
        let request = with_token(handshake(address, room), &anna);
        assert!(matches!(refused(address, request).await.0, 404 | 422), "{room}");
    }
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "https://localhost.evil.example"] {
        let request = with_header(with_query(&anna, "den"), "origin", origin);
        assert_eq!(refused(address, request).await, (403, "forbidden".to_owned()), "{origin}");
    }
    let own_page = with_header(with_query(&anna, "den"), "origin", &format!("http://{address}"));
    connect(address, own_page).await.unwrap().greeted(&anna).await;
}

#[tokio::test]
async fn pages_of_listed_origins_may_connect() {
    let server = Server::start(&[("server.cors_origins", "https://app.example.org")]);
    let phone = server.phone().await;
    let from = |origin: &str| with_header(with_query(&phone, "den"), "origin", origin);
    connect(phone.address, from("https://app.example.org")).await.unwrap().greeted(&phone).await;
    for origin in
        ["http://app.example.org", "https://app.example.org.evil.example", "https://app.example.org:8443"]
    {
        assert_eq!(refused(phone.address, from(origin)).await, (403, "forbidden".to_owned()), "{origin}");
    }
}

#[tokio::test]
async fn a_plain_request_is_told_which_protocol_is_spoken() {
    let server = SHARED.get();
    let phone = server.phone().await;
    for path in [format!("ws/{}", own(&phone)), "ws/den".to_owned(), "ws/chat/den".to_owned()] {
        let answer = phone.get(&path).await.unwrap();
        assert_eq!(problem(&answer, 426), "upgrade-required");
        assert_eq!(answer.headers["upgrade"], "websocket");
        assert_eq!(answer.headers["sec-websocket-version"], "13");
        let anonymous = e2e::read(phone.anonymous(Method::GET, &path)).await.unwrap();
        assert_eq!(problem(&anonymous, 401), "unauthorized");
        assert_eq!(problem(&phone.post(&path, &json!({})).await.unwrap(), 405), "method-not-allowed");
    }
    let old = with_header(with_token(handshake(phone.address, "den"), &phone), "sec-websocket-version", "8");
    assert_eq!(refused(phone.address, old).await, (426, "upgrade-required".to_owned()));
}

#[tokio::test]
async fn a_first_message_that_does_not_let_in_ends_the_socket() {
    let server = SHARED.get();
    let (anna, berta) = (server.phone().await, server.phone().await);
    let policy = |reason: &str| (Vec::new(), 1008, reason.to_owned());
    let mut bad = first_message(&anna, "den", &auth("nonsense")).await;
    assert_eq!(bad.end().await, policy("Invalid authentication token"));
    let mut refresh = first_message(&anna, "den", &auth(&anna.refresh_token)).await;
    assert_eq!(refresh.end().await, policy("Invalid authentication token"));
    let mut foreign = first_message(&anna, &own(&berta), &auth(&anna.access_token)).await;
    assert_eq!(foreign.end().await, policy("User ID mismatch"));
    for first in ["{}", "nonsense", "{\"type\":\"heartbeat\"}", "{\"type\":\"auth\",\"token\":7}"] {
        let mut other = first_message(&anna, "den", first).await;
        assert_eq!(other.end().await, policy("Authentication required"), "{first}");
    }
}

#[tokio::test]
async fn who_says_nothing_at_first_is_sent_away() {
    let server = Server::start(&[("live.auth_timeout_ms", "300")]);
    let phone = server.phone().await;
    let mut silent = connect(phone.address, handshake(phone.address, "den")).await.unwrap();
    assert_eq!(silent.end().await, (Vec::new(), 1008, "Authentication timeout".to_owned()));
}

#[tokio::test]
async fn a_user_has_three_sockets_and_a_closed_one_does_not_count() {
    let server = Server::start(&[]);
    let (anna, berta) = (server.phone().await, server.phone().await);
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(Socket::open(&anna, "den").await);
    }
    let fourth = || with_token(handshake(anna.address, &own(&anna)), &anna);
    assert_eq!(refused(anna.address, fourth()).await, (429, "rate-limited".to_owned()));
    let Err(response) = connect(anna.address, fourth()).await else { panic!("it was let in") };
    assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    let mut by_message = first_message(&anna, "den", &auth(&anna.access_token)).await;
    assert_eq!(by_message.end().await, (Vec::new(), 1013, "Too many sockets".to_owned()));
    drop(Socket::open(&berta, "den").await);
    // One that breaks off without a word is free, too.
    drop(sockets.pop());
    until("a seat is free", async || connect(anna.address, fourth()).await.is_ok()).await;
    for socket in &mut sockets {
        while socket.next().await["type"] != "user_left" {}
    }
}

#[tokio::test]
async fn an_operator_is_on_no_socket() {
    let server = Server::start(&[]);
    let mut phone = server.phone().await;
    let cloud = LocalCloud::open(
        LocalSettings {
            data: server.data.path().to_owned(),
            base_url: "http://localhost".to_owned(),
            deliveries_max: 5,
            identity: identity::Settings::new("clarity", "clarity-api"),
        },
        Arc::new(SystemClock),
        Arc::new(SystemIds),
    )
    .await
    .unwrap();
    let identity = ports::CloudProvider::identity(&cloud).unwrap();
    let roles = [Role::Operator].into_iter().collect();
    identity.accounts.set_roles(phone.user_id.parse().unwrap(), roles).await.unwrap();
    let body = json!({ "email": phone.email, "password": phone.password });
    let tokens = e2e::read(phone.anonymous(Method::POST, "auth/login").json(&body)).await.unwrap();
    phone.take_tokens(&tokens.expect(200).unwrap()).unwrap();
    let forbidden = (403, "forbidden".to_owned());
    for path in [own(&phone), "den".to_owned()] {
        let request = with_token(handshake(phone.address, &path), &phone);
        assert_eq!(refused(phone.address, request).await, forbidden);
        let mut by_message = first_message(&phone, &path, &auth(&phone.access_token)).await;
        assert_eq!(by_message.end().await, (Vec::new(), 1008, "Forbidden".to_owned()));
    }
    assert_eq!(problem(&phone.get("events").await.unwrap(), 403), "forbidden");
}

#[tokio::test]
async fn no_token_of_a_query_and_nothing_that_is_said_is_logged_at_any_level() {
    for level in ["trace", "trace,actix_http=trace,actix_web=trace,actix_server=trace"] {
        let server = Server::start(&[("telemetry.log_level", level), ("telemetry.log_format", "json")]);
        let phone = server.phone().await;
        let canary = format!("canary-{}", new_id());
        let mut socket = connect(phone.address, with_query(&phone, &canary)).await.unwrap();
        socket.greeted(&phone).await;
        socket
            .send(&json!({ "type": "message", "content": canary, "metadata": { canary.clone(): canary } }))
            .await;
        socket.expect("message").await;
        socket.send_text(&format!("{canary} is not JSON")).await;
        socket.expect("error").await;
        let bad = handshake(phone.address, &format!("den?token={canary}"));
        assert_eq!(refused(phone.address, bad).await.0, 401);
        let mut by_message = first_message(&phone, "den", &auth(&canary)).await;
        by_message.close_code().await;
        tokio::time::sleep(A_WHILE).await;
        let log = server.started.log();
        assert!(log.contains("/api/v1/ws/{room}"), "the access log names the route");
        for secret in [canary.as_str(), phone.access_token.as_str(), &phone.password, &phone.email] {
            assert!(!log.contains(secret), "the log at {level} holds a secret");
        }
    }
}
