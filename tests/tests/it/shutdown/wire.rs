//! HTTP/1.1 by hand: a client that sees what happens to its connections, and does nothing about it by itself.

use std::{io, net::SocketAddr};

use e2e::Phone;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// An answer to its last byte.
    Whole(Answered),
    /// A part of an answer.
    Torn,
    /// No byte of an answer.
    Nothing,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// Whether it says `Connection: close`.
    pub(crate) closes: bool,
}

pub(crate) struct Connection(TcpStream);

impl Connection {
    /// `None` where nobody listens.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Option<Self>> {
        match TcpStream::connect(address).await {
            Ok(stream) => Ok(Some(Self(stream))),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
            // The listener went away between the two halves of the greeting.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn post(&mut self, phone: &Phone, path: &str, body: &str) -> Outcome {
        let head = head(phone, path, body.len());
        // Whether it could be sent is told by whether it is answered.
        let _broken = self.send(format!("{head}{body}").as_bytes()).await;
        self.answer().await
    }

    pub(crate) async fn send_head(&mut self, phone: &Phone, path: &str, length: usize) -> io::Result<()> {
        self.send(head(phone, path, length).as_bytes()).await
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// Reads one answer.
    pub(crate) async fn answer(&mut self) -> Outcome {
        let mut bytes = Vec::new();
        loop {
            if let Some((answered, length)) = parse(&bytes)
                && bytes.len() >= length
            {
                return Outcome::Whole(answered);
            }
            match self.0.read_buf(&mut bytes).await {
                Ok(1..) => {}
                Ok(0) | Err(_) if bytes.is_empty() => return Outcome::Nothing,
                Ok(0) | Err(_) => return Outcome::Torn,
            }
        }
    }
}

fn head(phone: &Phone, path: &str, length: usize) -> String {
    format!(
        "POST /api/v1/{path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n",
        phone.address, phone.access_token
    )
}

/// The head of an answer and the length of the whole, once the head is there.
fn parse(bytes: &[u8]) -> Option<(Answered, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).ok()?.to_ascii_lowercase();
    let field =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::trim));
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length: usize = field("content-length")?.parse().ok()?;
    Some((Answered { status, closes: field("connection") == Some("close") }, end + length))
}
