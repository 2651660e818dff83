//! Bytes that are no WebSocket.

use std::net::SocketAddr;

use e2e::Phone;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{QUICK, Socket};
use crate::support::{PATIENCE, Server, Shared};

static SHARED: Shared = Shared::new();

/// A connection on which the handshake was made by hand.
struct Wire(TcpStream);

impl Wire {
    async fn open(address: SocketAddr, phone: &Phone) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "GET /api/v1/ws/den HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\nAuthorization: Bearer {}\r\n\r\n",
            phone.access_token
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
        }
        let answer = String::from_utf8(answer).unwrap().to_lowercase();
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        assert!(answer.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "the key is answered: {answer}");
        assert!(!answer.contains("permessage-deflate"), "compression is not spoken");
        Self(stream)
    }

    /// The next frame: its opcode and its payload; `None` where the connection has ended.
    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let stream = &mut self.0;
        let first = timeout(PATIENCE, stream.read_u8()).await.expect("an end").ok()?;
        let length = match stream.read_u8().await.ok()? {
            126 => usize::from(stream.read_u16().await.ok()?),
            127 => panic!("a long frame"),
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.ok()?;
        Some((first & 0x0f, payload))
    }

    /// The code that the server closes with.
    async fn close_code(&mut self) -> u16 {
        while let Some((opcode, payload)) = self.frame().await {
            if opcode == 8 {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
        panic!("the connection ended without a word");
    }
}

/// A frame under an empty mask, so that the payload is as it stands.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

#[tokio::test]
async fn bytes_that_are_no_frames_end_the_socket_with_the_right_code() {
    let server = SHARED.get();
    let heartbeat = br#"{"type":"heartbeat"}"#;
    let huge = |length: u64| [&[0x81, 0xff], length.to_be_bytes().as_slice(), &[0, 0, 0, 0]].concat();
    let cases = [
        ("not masked", [&[0x81, 20], heartbeat.as_slice()].concat(), 1002),
        ("RSV1, as compression has it", masked(0xc1, heartbeat), 1002),
        ("RSV2", masked(0xa1, heartbeat), 1002),
        ("RSV3", masked(0x91, heartbeat), 1002),
        ("an opcode that nobody gave a meaning", masked(0x83, heartbeat), 1002),
        ("a reserved control opcode", masked(0x8b, b""), 1002),
        ("2^63 bytes", huge(1 << 63), 1009),
        ("2^64-1 bytes", huge(u64::MAX), 1009),
        ("2^63-1 bytes", huge((1 << 63) - 1), 1009),
        ("64 KiB and one byte", huge(65_537), 1009),
        ("64 KiB and one byte behind a message", [masked(0x81, heartbeat), huge(65_537)].concat(), 1009),
        ("not UTF-8", masked(0x81, b"{\"type\":\"\xff\"}"), 1007),
        ("not UTF-8 in parts", [masked(0x01, b"\xc3"), masked(0x80, b"\x28")].concat(), 1007),
        ("a part of nothing", masked(0x80, heartbeat), 1002),
        ("a message within a message", [masked(0x01, b"{"), masked(0x81, heartbeat)].concat(), 1002),
        ("a ping in parts", masked(0x09, b"x"), 1002),
        ("a ping of 126 bytes", [&[0x89, 0xfe, 0, 126, 0, 0, 0, 0], [b'x'; 126].as_slice()].concat(), 1002),
    ];
    for (what, bytes, code) in cases {
        let phone = server.phone().await;
        let mut wire = Wire::open(server.address(), &phone).await;
        wire.0.write_all(&bytes).await.unwrap();
        assert_eq!(wire.close_code().await, code, "{what}");
        while wire.frame().await.is_some() {}
        // The others do not notice.
        Socket::open(&phone, "den").await.is_alive().await;
    }
}

#[tokio::test]
async fn bytes_that_come_one_by_one_are_put_together() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let mut wire = Wire::open(server.address(), &phone).await;
    let parts = [
        masked(0x01, br#"{"type":"hea"#),
        masked(0x89, b"hi"),
        masked(0x00, b""),
        masked(0x80, br#"rtbeat"}"#),
    ];
    for byte in parts.concat() {
        wire.0.write_all(&[byte]).await.unwrap();
        wire.0.flush().await.unwrap();
    }
    let mut texts = Vec::new();
    while texts.len() < 3 {
        match wire.frame().await.unwrap() {
            (1, text) => texts.push(String::from_utf8(text).unwrap()),
            (10, pong) => assert_eq!(pong, b"hi"),
            (9, _) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(texts[2].contains("heartbeat_ack"), "{texts:?}");
    wire.0.write_all(&masked(0x88, &[0x03, 0xe8])).await.unwrap();
    assert_eq!(wire.close_code().await, 1000);
}

#[tokio::test]
async fn who_does_not_answer_pings_is_gone_after_a_while() {
    let server = Server::start(&[QUICK[0], ("live.dead_after_ms", "800")]);
    let phone = server.phone().await;
    let mut living = Socket::open(&phone, "den").await;
    // It answers pings by itself while it is read.
    let keep = tokio::spawn(async move {
        while living.next().await["type"] != "user_left" {}
        living
    });
    let mut wire = Wire::open(server.address(), &phone).await;
    let mut pings = 0;
    loop {
        match wire.frame().await {
            Some((9, _)) => pings += 1,
            Some((8, payload)) => {
                assert_eq!(payload[..2], 1008_u16.to_be_bytes());
                break;
            }
            Some(_) => {}
            None => panic!("the connection ended without a word"),
        }
    }
    assert!(pings >= 3, "{pings} pings");
    // This one answered all the while.
    keep.await.unwrap().is_alive().await;
}
