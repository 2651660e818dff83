//! Requests whose end is not where everybody thinks it is. Behind each stands a second one, an upload: whoever executes it was
//! made to see a request that nobody sent.

use e2e::Phone;
use tokio::io::AsyncWriteExt;

use super::wire::{Raw, Wire};
use crate::support::{Shared, healthkit, heart_rate};

static SHARED: Shared = Shared::new();

/// A whole, valid upload.
fn upload(phone: &Phone) -> String {
    let body = healthkit(phone, &[heart_rate(0)]).to_string();
    format!(
        "POST /api/v1/healthkit HTTP/1.1\r\nHost: clarity\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        phone.access_token,
        body.len()
    )
}

/// Sends `head`, and what is to be smuggled behind it; answers what came back until the server closed.
async fn probe(phone: &Phone, head: &str) -> Vec<Raw> {
    let mut wire = Wire::open(phone.address).await;
    wire.send(head.as_bytes()).await;
    wire.send(upload(phone).as_bytes()).await;
    // Nothing more will come: a server that waits for it, waits no longer.
    let _closed = wire.stream.shutdown().await;
    wire.all().await
}

#[tokio::test]
async fn the_upload_behind_is_one_that_counts() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let answers = probe(&phone, "GET /health HTTP/1.1\r\nHost: clarity\r\n\r\n").await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 202]);
    assert_eq!(phone.all_readings().await.unwrap().len(), 1);
}

/// Heads, some with the beginning of a body, of which no two readers would say the same.
fn ambiguous(phone: &Phone) -> Vec<String> {
    let start = format!(
        "POST /api/v1/healthkit HTTP/1.1\r\nHost: clarity\r\nAuthorization: Bearer {}\r\n",
        phone.access_token
    );
    let with = |lines: &str| format!("{start}{lines}\r\n\r\n");
    let rest = upload(phone).len();
    vec![
        with("Content-Length: 5\r\nTransfer-Encoding: chunked") + "0\r\n\r\n",
        with("Transfer-Encoding: chunked\r\nContent-Length: 5") + "0\r\n\r\n",
        with(&format!("Content-Length: 0\r\nContent-Length: {rest}")),
        with(&format!("Content-Length: {rest}\r\nContent-Length: 0")),
        with("Content-Length: 0\r\nContent-Length: 0"),
        with("Content-Length: 0, 0"),
        with("Content-Length: +0"),
        with("Content-Length: -0"),
        with("Content-Length: 0x0"),
        with("Content-Length: 0 0"),
        with("Content-Length: 18446744073709551616"),
        with("Content-Length:"),
        with("Content-Length : 0"),
        with("Content-Length\t: 0"),
        with("Content-Length: 0\r\nTransfer-Encoding : chunked"),
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity") + "0\r\n\r\n",
        with("Transfer-Encoding: chunked, identity") + "0\r\n\r\n",
        with("Transfer-Encoding: identity, chunked") + "0\r\n\r\n",
        with("Transfer-Encoding: xchunked") + "0\r\n\r\n",
        with("Transfer-Encoding: \"chunked\"") + "0\r\n\r\n",
        with("Transfer-Encoding: gzip, chunked") + "0\r\n\r\n",
        with("Transfer-Encoding:\r\n chunked") + "0\r\n\r\n",
        with("Transfer-Encoding:\x0bchunked") + "0\r\n\r\n",
        with("X-Folded: a\r\n b\r\nContent-Length: 0"),
        with("X-Nul: a\0b\r\nContent-Length: 0"),
        with("X-Return: a\rb\r\nContent-Length: 0"),
        with("X Space: a\r\nContent-Length: 0"),
        with(": nameless\r\nContent-Length: 0"),
        with("no colon\r\nContent-Length: 0"),
        with("Host: other\r\nContent-Length: 0"),
        with("Transfer-Encoding: chunked") + "0x5\r\n",
        with("Transfer-Encoding: chunked") + "+5\r\n",
        with("Transfer-Encoding: chunked") + "-1\r\n",
        with("Transfer-Encoding: chunked") + "fffffffffffffffff\r\n",
        with("Transfer-Encoding: chunked") + "\r\n",
        with("Transfer-Encoding: chunked") + "2\r\n{}0\r\n\r\n",
        with("Transfer-Encoding: chunked") + "2\n{}\n0\n\n",
        "POST /api/v1/healthkit HTTP/1.1\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "POST /api/v1/healthkit HTTP/1.0\r\nHost: clarity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_owned(),
        "POST /api/v1/healthkit HTTP/1.0\r\nHost: clarity\r\n\r\n".to_owned(),
        "GET /health HTTP/2.0\r\nHost: clarity\r\n\r\n".to_owned(),
        "GET /health HTTP/1.2\r\nHost: clarity\r\n\r\n".to_owned(),
        "GET  /health HTTP/1.1\r\nHost: clarity\r\n\r\n".to_owned(),
        "GET /health\r\n\r\n".to_owned(),
        "GET /he alth HTTP/1.1\r\nHost: clarity\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_owned(),
        "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03".to_owned(),
        "\0".repeat(64),
    ]
}

#[tokio::test]
async fn an_ambiguous_request_ends_its_connection_and_nothing_behind_it_is_done() {
    let server = SHARED.get();
    let phone = server.phone().await;
    for (index, head) in ambiguous(&phone).iter().enumerate() {
        let answers = probe(&phone, head).await;
        let shown = head.replace(&phone.access_token, "...");
        assert!(answers.len() <= 1, "{index} {shown:?}: {answers:?}");
        for answer in &answers {
            assert!((400..500).contains(&answer.status), "{index} {shown:?}: {answer:?}");
            assert!(answer.problem().is_some(), "{index} {shown:?}: {answer:?}");
        }
    }
    assert!(phone.all_readings().await.unwrap().is_empty(), "a request was done that nobody sent");
    // The server is as well as before.
    phone.get("health").await.unwrap().expect(200).unwrap();
}

#[tokio::test]
async fn what_a_request_holds_is_never_the_next_request() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let inner = upload(&phone);
    let length = inner.len();
    let token = &phone.access_token;
    let chunk = format!("{length:x}\r\n{inner}\r\n0\r\n\r\n");
    for (head, body) in [
        (format!("GET /health HTTP/1.1\r\nHost: clarity\r\nContent-Length: {length}\r\n\r\n"), &inner),
        (format!("DELETE /health HTTP/1.1\r\nHost: clarity\r\nContent-Length: {length}\r\n\r\n"), &inner),
        (format!("POST /nowhere HTTP/1.1\r\nHost: clarity\r\nContent-Length: {length}\r\n\r\n"), &inner),
        (
            format!("POST /api/v1/healthkit HTTP/1.1\r\nHost: clarity\r\nContent-Length: {length}\r\n\r\n"),
            &inner,
        ),
        (
            format!(
                "POST /api/v1/health-data HTTP/1.1\r\nHost: clarity\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
            ),
            &inner,
        ),
        ("GET /health HTTP/1.1\r\nHost: clarity\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), &chunk),
        (
            "POST /api/v1/healthkit HTTP/1.1\r\nHost: clarity\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned(),
            &chunk,
        ),
        (
            format!(
                "GET /health HTTP/1.1\r\nHost: clarity\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: {length}\r\n\r\n"
            ),
            &inner,
        ),
    ] {
        let mut wire = Wire::open(phone.address).await;
        wire.send(format!("{head}{body}").as_bytes()).await;
        let _closed = wire.stream.shutdown().await;
        let answers = wire.all().await;
        assert!(answers.len() <= 1, "{head:?}: {answers:?}");
    }
    assert!(phone.all_readings().await.unwrap().is_empty());
}

#[tokio::test]
async fn heads_have_a_size() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let get = |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\nHost: clarity\r\n{lines}\r\n");
    let long = |bytes: usize| "x".repeat(bytes);
    for (head, statuses) in [
        (get("/health", &format!("X-Long: {}\r\n", long(16 << 10))), &[200_u16][..]),
        (get("/health", &format!("X-Long: {}\r\n", long(33 << 10))), &[431]),
        (get("/health", &format!("X-Long: {}\r\n", long(64 << 10))), &[431]),
        (get("/health", &format!("X-Long: {}\r\n", long(300 << 10))), &[431]),
        (get("/health", &format!("{}: x\r\n", long(70 << 10))), &[400, 431]),
        (get("/health", &"X: y\r\n".repeat(1000)), &[431]),
        (get(&format!("/health?{}", long(4 << 10)), ""), &[200]),
        (get(&format!("/health?{}", long(9 << 10)), ""), &[414]),
        (get(&format!("/{}", long(64 << 10)), ""), &[400, 414]),
        (get("/api/v1/auth/me", &format!("Authorization: Bearer {}\r\n", long(64 << 10))), &[431]),
    ] {
        let answers = probe(&phone, &head).await;
        let shown = format!("{head:.60}");
        if statuses == [200] {
            assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 202], "{shown}");
            continue;
        }
        // The server may close while the client still sends: then even the answer can be lost.
        let (answers, behind) = answers.split_at(answers.len().min(1));
        assert!(behind.iter().all(|answer| answer.status == 400), "{shown}: {behind:?}");
        for answer in answers {
            assert!(statuses.contains(&answer.status), "{shown}: {answer:?}");
            assert!(answer.closes() && answer.problem().is_some(), "{shown}: {answer:?}");
        }
    }
    let mut wire = Wire::open(phone.address).await;
    wire.send(get("/health", &format!("X-Long: {}\r\n", long(40 << 10))).as_bytes()).await;
    assert_eq!(
        wire.answer().await.map(|answer| (answer.status, answer.problem())),
        Some((431, Some("headers-too-large".to_owned())))
    );
    assert_eq!(phone.all_readings().await.unwrap().len(), 2, "behind the two heads that fit");
}

#[tokio::test]
async fn twenty_requests_at_once_are_answered_in_their_order() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let mut wire = Wire::open(phone.address).await;
    let request = |index: usize| {
        let path = ["/health", "/api/v1/auth/me", "/nowhere", "/api/v1/health-data"][index % 4];
        format!(
            "GET {path} HTTP/1.1\r\nHost: clarity\r\nAuthorization: Bearer {}\r\nX-Request-Id: number-{index}\r\n\r\n",
            phone.access_token
        )
    };
    wire.send((0..20).map(request).collect::<String>().as_bytes()).await;
    for index in 0..20 {
        let answer = wire.answer().await.expect("an answer to each");
        assert_eq!(answer.status, [200, 200, 404, 200][index % 4]);
        assert_eq!(answer.header("x-request-id"), Some(&*format!("number-{index}")));
    }
    wire.send(request(0).as_bytes()).await;
    assert_eq!(wire.answer().await.map(|answer| answer.status), Some(200), "and the connection goes on");
}

#[tokio::test]
async fn old_and_unusual_forms_of_one_request_are_answered() {
    let server = SHARED.get();
    let address = server.address();
    for (request, status) in [
        ("GET /health HTTP/1.0\r\n\r\n", 200),
        ("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200),
        ("GET http://elsewhere.example/health HTTP/1.1\r\nHost: clarity\r\n\r\n", 200),
        ("GET http://elsewhere.example/nowhere HTTP/1.1\r\nHost: clarity\r\n\r\n", 404),
        ("OPTIONS * HTTP/1.1\r\nHost: clarity\r\n\r\n", 204),
        ("GET /health HTTP/1.1\r\nhOsT: clarity\r\n\r\n", 200),
        ("\r\nGET /health HTTP/1.1\r\nHost: clarity\r\n\r\n", 200),
        ("GET /health HTTP/1.1\nHost: clarity\n\n", 200),
        ("GET /health HTTP/1.1\r\nHost: clarity\r\nExpect: 100-continue\r\n\r\n", 200),
    ] {
        let mut wire = Wire::open(address).await;
        wire.send(request.as_bytes()).await;
        let mut answer = wire.answer().await.unwrap_or_else(|| panic!("no answer to {request:?}"));
        if answer.status == 100 {
            answer = wire.answer().await.unwrap();
        }
        assert_eq!(answer.status, status, "{request:?}");
    }
}

#[tokio::test]
async fn a_client_that_says_no_more_still_gets_its_answer() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let mut wire = Wire::open(phone.address).await;
    wire.send(upload(&phone).as_bytes()).await;
    wire.stream.shutdown().await.unwrap();
    let answers = wire.all().await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [202]);
    // And one that goes in the middle of something leaves nothing behind.
    let whole = upload(&phone);
    for part in [10, 100, whole.len() - 200, whole.len() - 1] {
        let mut wire = Wire::open(phone.address).await;
        wire.send(&whole.as_bytes()[..part]).await;
        wire.stream.shutdown().await.unwrap();
        for answer in wire.all().await {
            assert!((400..500).contains(&answer.status), "{part}: {answer:?}");
        }
        // Without a farewell.
        let mut wire = Wire::open(phone.address).await;
        wire.send(&whole.as_bytes()[..part]).await;
        drop(wire);
    }
    assert_eq!(phone.all_readings().await.unwrap().len(), 1);
}
