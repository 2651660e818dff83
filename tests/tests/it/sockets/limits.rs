//! What a socket bears.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::{net::TcpSocket, time::timeout};
use tokio_tungstenite::{
    client_async,
    tungstenite::{
        Message,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::{Socket, handshake, with_token};
use crate::support::{PATIENCE, Server, Shared, until};

static SHARED: Shared = Shared::new();

#[tokio::test]
async fn messages_beyond_the_limit_are_refused_and_far_more_end_the_socket() {
    let server = Server::start(&[("live.messages_per_minute", "20")]);
    let phone = server.phone().await;
    let mut socket = Socket::open(&phone, "den").await;
    let mut second = Socket::open(&phone, "attic").await;
    for _ in 0..20 {
        socket.is_alive().await;
    }
    let heartbeat = json!({ "type": "heartbeat" }).to_string();
    assert_eq!(socket.error_of(&heartbeat).await, "RATE_LIMIT_EXCEEDED");
    for _ in 0..60 {
        // The server may have hung up by now.
        socket.0.send(Message::text(heartbeat.clone())).await.ok();
    }
    let (messages, code, reason) = socket.end().await;
    assert_eq!((code, reason.as_str()), (1008, "Far too many messages"));
    assert!(messages.iter().all(|message| {
        message["error_code"] == "RATE_LIMIT_EXCEEDED" || message["type"] == "heartbeat_ack"
    }));
    second.is_alive().await;
}

fn fragment(text: &str, code: Data, is_final: bool) -> Message {
    Message::Frame(Frame::message(text.to_owned(), OpCode::Data(code), is_final))
}

#[tokio::test]
async fn a_message_that_is_too_large_is_told_so_and_ends_the_socket() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let fitting = |bytes: usize| {
        let frame = json!({ "type": "heartbeat", "client_timestamp": null, "padding": "" }).to_string().len();
        json!({ "type": "heartbeat", "client_timestamp": null, "padding": "x".repeat(bytes - frame) })
            .to_string()
    };
    let mut socket = Socket::open(&phone, "den").await;
    socket.send_text(&fitting(65_536)).await;
    socket.expect("heartbeat_ack").await;
    socket.send_text(&fitting(65_537)).await;
    let (messages, code, _) = socket.end().await;
    assert_eq!((messages[0]["error_code"].as_str(), code), (Some("MESSAGE_TOO_LARGE"), 1009));
    // In parts it is as large.
    let mut socket = Socket::open(&phone, "den").await;
    let text = fitting(65_536);
    let (head, tail) = text.split_at(40_000);
    socket.0.send(fragment(head, Data::Text, false)).await.unwrap();
    socket.0.send(Message::Ping("between the parts".into())).await.unwrap();
    socket.0.send(fragment(tail, Data::Continue, true)).await.unwrap();
    socket.expect("heartbeat_ack").await;
    socket.0.send(fragment(&"x".repeat(40_000), Data::Text, false)).await.unwrap();
    socket.0.send(fragment(&"x".repeat(40_000), Data::Continue, false)).await.unwrap();
    let (messages, code, _) = socket.end().await;
    assert_eq!((messages[0]["error_code"].as_str(), code), (Some("MESSAGE_TOO_LARGE"), 1009));
}

#[tokio::test]
async fn a_binary_message_ends_the_socket() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let mut socket = Socket::open(&phone, "den").await;
    socket.0.send(Message::binary(b"{\"type\":\"heartbeat\"}".to_vec())).await.unwrap();
    assert_eq!(socket.close_code().await, 1003);
}

fn resident_kib(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

/// A client that asks and never reads what it is answered.
async fn flood_without_reading(server: &Server, phone: &e2e::Phone) {
    let request = with_token(handshake(phone.address, "den"), phone);
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.set_recv_buffer_size(4096).unwrap();
    let stream = tcp.connect(server.address()).await.unwrap();
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    let heartbeat = json!({ "type": "heartbeat", "client_timestamp": "x".repeat(64) }).to_string();
    // It answers until the buffers between the two are full. Then it gives up, and at last it hangs up.
    loop {
        let sent = timeout(PATIENCE, socket.send(Message::text(heartbeat.clone()))).await;
        if sent.expect("the server takes it or hangs up").is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_never_reads_is_sent_away_and_costs_neither_memory_nor_anybody_elses_time() {
    let settings = [
        ("live.messages_per_minute", "1000000"),
        ("live.write_timeout_ms", "500"),
        ("server.request_timeout_ms", "3000"),
    ];
    let server = Server::start(&settings);
    let (anna, berta) = (server.phone().await, server.phone().await);
    let mut bystander = Socket::open(&berta, "den").await;
    bystander.is_alive().await;
    let before = resident_kib(server.started.pid());
    let mut floods = tokio::task::JoinSet::new();
    let server = std::sync::Arc::new(server);
    for _ in 0..3 {
        let (server, anna) = (std::sync::Arc::clone(&server), anna.clone());
        floods.spawn(async move { flood_without_reading(&server, &anna).await });
    }
    let mut most = before;
    while !floods.is_empty() {
        tokio::select! {
            ended = floods.join_next() => ended.unwrap().unwrap(),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        let asked = std::time::Instant::now();
        bystander.is_alive().await;
        assert!(asked.elapsed() < Duration::from_secs(5), "the others wait");
        most = most.max(resident_kib(server.started.pid()));
    }
    let grown = most - before;
    assert!(grown < 24 * 1024, "{grown} KiB for three that do not read");
    // Their seats are free again, although they never said goodbye.
    until("a seat is free", async || {
        let request = with_token(handshake(anna.address, "den"), &anna);
        super::connect(anna.address, request).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_pings_ends_the_socket() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let mut socket = Socket::open(&phone, "den").await;
    for count in 0..10 {
        socket.0.send(Message::Ping(format!("{count}").into())).await.unwrap();
        let Some(Ok(Message::Pong(echo))) = socket.0.next().await else { panic!("a ping has its pong") };
        assert_eq!(echo, format!("{count}"));
    }
    for _ in 0..1000 {
        socket.0.send(Message::Ping("again".into())).await.ok();
    }
    let (_, code, reason) = socket.end().await;
    assert_eq!((code, reason.as_str()), (1008, "Far too many control frames"));
}
