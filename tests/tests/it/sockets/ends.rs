//! When a socket ends although its client would stay.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::{QUICK, Socket, handshake, refused, with_token};
use crate::support::{PATIENCE, Server};

const REVOKED: (u16, &str) = (1008, "Invalid authentication token");

async fn sign_out(phone: &e2e::Phone) {
    let answer = phone.request(Method::POST, "auth/logout").json(&json!({})).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}

#[tokio::test]
async fn who_signs_out_is_sent_off_every_socket_and_hears_no_more() {
    let server = Server::start(&QUICK);
    let (anna, berta) = (server.phone().await, server.phone().await);
    let mut quiet = Socket::health(&anna).await;
    let mut bertas = Socket::health(&berta).await;
    sign_out(&anna).await;
    let (messages, code, reason) = quiet.end().await;
    assert_eq!((messages.len(), code, reason.as_str()), (0, REVOKED.0, REVOKED.1));
    bertas.is_alive().await;
}

#[tokio::test]
async fn what_is_said_after_the_token_has_ended_is_not_heard() {
    // No ping comes within the test: it is the message itself that is not taken.
    let server = Server::start(&[("live.ping_interval_ms", "60000"), ("live.dead_after_ms", "600000")]);
    let anna = server.phone().await;
    let mut socket = Socket::health(&anna).await;
    sign_out(&anna).await;
    socket.send(&json!({ "type": "heartbeat" })).await;
    let (messages, code, reason) = socket.end().await;
    assert_eq!((messages.len(), code, reason.as_str()), (0, REVOKED.0, REVOKED.1));
}

#[tokio::test]
async fn sockets_go_away_in_the_lame_duck_and_no_new_one_is_taken() {
    let server = Server::start(&[("server.lame_duck_ms", "3000"), ("server.shutdown_timeout_ms", "20000")]);
    let phone = server.phone().await;
    let mut socket = Socket::open(&phone, "den").await;
    let mut waiting = super::connect(phone.address, handshake(phone.address, "den")).await.unwrap();
    let began = Instant::now();
    server.started.terminate().unwrap();
    let (messages, code, _) = socket.end().await;
    assert_eq!((messages.len(), code), (0, 1001));
    assert_eq!(waiting.close_code().await, 1001);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let late = with_token(handshake(phone.address, "den"), &phone);
    assert_eq!(refused(phone.address, late).await, (503, "unavailable".to_owned()));
    let status = tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(move || server.started.wait()));
    assert!(status.await.expect("it ends").unwrap().unwrap().0.success());
}
