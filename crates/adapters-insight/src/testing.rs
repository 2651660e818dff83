//! A server on loopback that answers as it was told, and remembers what it was asked; and facts to write about.

use std::{
    error::Error as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ports::{Error, Fact, InsightFacts};
use serde_json::{Value, json};

use crate::{fault::Fault, writer::Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) enum Reply {
    /// Status, further header lines, body.
    Answer(u16, &'static str, String),
    /// Status 200, further header lines, a body that is no text.
    #[cfg(feature = "bedrock")]
    Bytes(&'static str, Vec<u8>),
    /// Takes the request and says nothing.
    Silence,
    /// Status 200 and a body without an end.
    Endless,
}

impl Reply {
    /// Server-sent events with this data.
    pub(crate) fn events(data: &[String]) -> Self {
        let body: String = data.iter().map(|data| ["data: ", data, "\r\n\r\n"].concat()).collect();
        Self::Answer(200, "content-type: text/event-stream\r\n", body)
    }
}

#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) struct Server {
    pub(crate) endpoint: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Gives the replies in order, then the last again and again.
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut held = Vec::new();
            for turn in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = receive(&mut stream).await;
                log.lock().unwrap().push(request);
                answer(&mut stream, &replies[turn.min(replies.len() - 1)]).await;
                held.push(stream);
            }
        });
        Self { endpoint, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn receive(stream: &mut TcpStream) -> Asked {
    let mut bytes = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request ended early");
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            return Asked { at: Instant::now(), body: body.to_owned(), head };
        }
    }
}

async fn answer(stream: &mut TcpStream, reply: &Reply) {
    match reply {
        Reply::Answer(status, headers, body) => send(stream, *status, headers, body.as_bytes()).await,
        #[cfg(feature = "bedrock")]
        Reply::Bytes(headers, body) => send(stream, 200, headers, body).await,
        Reply::Silence => {}
        Reply::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await.unwrap();
            // Ends when the client has had enough and closes.
            let blank = vec![b' '; 65_536];
            while stream.write_all(&blank).await.is_ok() {}
        }
    }
}

async fn send(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
}

pub(crate) fn limits() -> Limits {
    Limits { connect_timeout: Duration::from_secs(5), timeout: Duration::from_secs(30), retries_max: 2 }
}

pub(crate) fn facts() -> InsightFacts {
    InsightFacts {
        facts: vec![Fact {
            name: "sleep.total_sleep_time.mean".into(),
            label: "mean total sleep time".into(),
            value: 7.249,
            unit: "h".into(),
            decimals: 1,
            method: "union of asleep stages".into(),
            coverage: "13 of 14 nights".into(),
        }],
        not_assessed: vec!["PAT: no model is loaded".into()],
        language: "en-GB".into(),
        include_recommendations: true,
    }
}

/// An answer of the schema that is asked for.
pub(crate) fn text(narrative: &str) -> Value {
    json!({ "narrative": narrative, "key_insights": ["You slept 7.2 h."], "recommendations": ["Keep a rhythm."] })
}

pub(crate) fn cause(error: &Error) -> &Fault {
    error.source().unwrap().downcast_ref().unwrap()
}
