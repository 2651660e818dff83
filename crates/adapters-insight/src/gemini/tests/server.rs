//! A server on loopback that answers as it was told, and remembers what it was asked.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(super) enum Reply {
    /// Status, further header lines, body.
    Answer(u16, &'static str, String),
    /// Takes the request and says nothing.
    Silence,
    /// Status 200 and a body without an end.
    Endless,
}

#[derive(Clone)]
pub(super) struct Asked {
    pub(super) at: Instant,
    pub(super) head: String,
    pub(super) body: String,
}

pub(super) struct Server {
    pub(super) endpoint: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Gives the replies in order, then the last again and again.
    pub(super) async fn start(replies: Vec<Reply>) -> Self {
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

    pub(super) fn asked(&self) -> Vec<Asked> {
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
        Reply::Answer(status, headers, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
            );
            stream.write_all((head + body).as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        Reply::Silence => {}
        Reply::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await.unwrap();
            // Ends when the client has had enough and closes.
            let blank = vec![b' '; 65_536];
            while stream.write_all(&blank).await.is_ok() {}
        }
    }
}
