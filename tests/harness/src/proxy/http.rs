//! Requests and answers of HTTP/1.1, and what AWS's services say when it is too much for them.

use std::{future::pending, io, net::Ipv4Addr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use super::{Fault, Road, State, lock};

const HEAD_END: &[u8] = b"\r\n\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What the SDK names a call by, on each of its attempts.
const INVOCATION: &str = "amz-sdk-invocation-id:";

pub(super) async fn serve(mut client: TcpStream, state: &State) -> io::Result<()> {
    while let Some(request) = message(&mut client, true).await? {
        count_attempt(&request, state);
        if *state.road.borrow() == Road::Silent {
            pending::<()>().await;
        }
        let fault = state.next_fault(&request);
        match fault {
            Some(Fault::Reset) => return Ok(()),
            Some(Fault::Delay(duration)) => sleep(duration).await,
            Some(Fault::Throttle) => {
                client.write_all(&throttled(&request)).await?;
                continue;
            }
            Some(Fault::Unprocessed) => {
                client.write_all(&unprocessed(&request)).await?;
                continue;
            }
            Some(Fault::DropAnswer | Fault::Duplicate) | None => {}
        }
        let answer = ask(state.port, &request).await?;
        match fault {
            Some(Fault::DropAnswer) => return Ok(()),
            Some(Fault::Duplicate) => drop(ask(state.port, &request).await?),
            _ => {}
        }
        client.write_all(&answer).await?;
    }
    Ok(())
}

/// Breaks the connection, once it is known which call came on it.
pub(super) async fn refuse(mut client: TcpStream, state: &State) {
    if let Ok(Some(request)) = message(&mut client, true).await {
        count_attempt(&request, state);
    }
}

fn count_attempt(request: &[u8], state: &State) {
    let head = head_of(request);
    let invocation = head.lines().find_map(|line| line.strip_prefix(INVOCATION));
    if let Some(invocation) = invocation {
        *lock(&state.attempts).entry(invocation.trim().as_bytes().to_vec()).or_default() += 1;
    }
}

async fn ask(port: u16, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    server.write_all(request).await?;
    // The answer to a HEAD says how long a body would be, and has none.
    let has_body = !request.starts_with(b"HEAD ");
    message(&mut server, has_body).await?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

/// A whole request or answer; `None` where the other side has closed.
async fn message(stream: &mut TcpStream, has_body: bool) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut body: Option<Body> = None;
    loop {
        if body.is_none()
            && let Some(end) = find(&bytes, HEAD_END).map(|at| at + HEAD_END.len())
        {
            body = Some(if has_body { Body::of(&bytes, end) } else { Body::Until(end) });
        }
        let is_whole = match body {
            None => false,
            Some(Body::Until(end)) => bytes.len() >= end,
            Some(Body::Chunked) => bytes.ends_with(LAST_CHUNK),
        };
        if is_whole {
            return Ok(Some(bytes));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

#[derive(Clone, Copy)]
enum Body {
    /// All of the message has so many bytes.
    Until(usize),
    Chunked,
}

impl Body {
    fn of(bytes: &[u8], head_bytes: usize) -> Self {
        let head = head_of(bytes);
        let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if value("transfer-encoding:") == Some("chunked") {
            return Self::Chunked;
        }
        let length = value("content-length:").and_then(|text| text.parse().ok());
        Self::Until(head_bytes + length.unwrap_or(0))
    }
}

/// The first line and the headers, in small letters.
fn head_of(message: &[u8]) -> String {
    let end = find(message, HEAD_END).unwrap_or(message.len());
    String::from_utf8_lossy(&message[..end]).to_ascii_lowercase()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// How the service that `request` is for refuses what is too much. <https://docs.aws.amazon.com/general/latest/gr/api-retries.html>
fn throttled(request: &[u8]) -> Vec<u8> {
    let head = head_of(request);
    let target = head.lines().find_map(|line| line.strip_prefix("x-amz-target:")).map(str::trim);
    let error = |code: &str| format!(r#"{{"__type":"{code}","message":"slower, please"}}"#);
    match target {
        Some(target) if target.starts_with("dynamodb") => {
            let code = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
            answer(400, "application/x-amz-json-1.0", &error(code))
        }
        Some(target) if target.starts_with("amazonsqs") => {
            answer(400, "application/x-amz-json-1.0", &error("com.amazonaws.sqs#RequestThrottled"))
        }
        Some(_) => answer(400, "application/x-amz-json-1.1", &error("ThrottlingException")),
        None if head.contains("application/x-www-form-urlencoded") => answer(
            400,
            "text/xml",
            "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code></Error></ErrorResponse>",
        ),
        None => answer(503, "application/xml", "<Error><Code>SlowDown</Code></Error>"),
    }
}

/// How a call of several parts is answered of which nothing was done.
fn unprocessed(request: &[u8]) -> Vec<u8> {
    let head = head_of(request);
    if head.contains("x-amz-target: dynamodb_20120810.transactwriteitems") {
        let cancelled = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","CancellationReasons":[{"Code":"ThrottlingError"}]}"#;
        return answer(400, "application/x-amz-json-1.0", cancelled);
    }
    let first_line = head.lines().next().unwrap_or_default();
    if first_line.starts_with("post ") && first_line.contains("?delete") {
        let left = "<DeleteResult><Error><Key>?</Key><Code>InternalError</Code></Error></DeleteResult>";
        return answer(200, "application/xml", left);
    }
    throttled(request)
}

fn answer(status: u16, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} No\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}
