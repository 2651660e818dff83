//! HTTP/1.1 by hand, answers as they come.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::PATIENCE;

/// One answer.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    /// Names in lower case, in their order.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Raw {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The type of a problem document.
    pub(crate) fn problem(&self) -> Option<String> {
        (self.header("content-type")? == "application/problem+json").then_some(())?;
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        Some(body["type"].as_str()?.strip_prefix("/problems/")?.to_owned())
    }
}

pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    /// Sends what can be sent; whether it arrived is told by the answer.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _closed =
            timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the server reads or closes");
    }

    /// The next answer; `None` where the connection ends before one.
    pub(crate) async fn answer(&mut self) -> Option<Raw> {
        loop {
            if let Some((raw, length)) = parse(&self.read) {
                self.read.drain(..length);
                return Some(raw);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// All answers until the server closes, which it must.
    pub(crate) async fn all(&mut self) -> Vec<Raw> {
        let mut answers = Vec::new();
        while let Some(answer) = self.answer().await {
            answers.push(answer);
        }
        answers
    }

    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
        matches!(read.expect("the server answers or closes"), Ok(1..))
    }

    /// Whether nothing comes for a while and the connection stays.
    pub(crate) async fn is_quiet_for(&mut self, time: Duration) -> bool {
        timeout(time, self.stream.read_buf(&mut self.read)).await.is_err()
    }
}

/// A GET that is sent as it stands.
pub(crate) async fn get(address: SocketAddr, path: &str, token: &str) -> Raw {
    let mut wire = Wire::open(address).await;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: clarity\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    wire.send(request.as_bytes()).await;
    wire.answer().await.unwrap_or_else(|| panic!("no answer to {path}"))
}

fn parse(bytes: &[u8]) -> Option<(Raw, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.lines();
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, length)| length.parse().unwrap());
    let body = bytes.get(end..end + length)?.to_vec();
    Some((Raw { status, headers, body }, end + length))
}
