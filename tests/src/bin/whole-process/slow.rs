//! How long `/health` takes beside a thousand connections that send a byte now and then.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::ensure;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet, time::Instant};

use crate::{
    load::{Connection, Request},
    people,
    report::{Goal, Row},
    server,
};

const CONNECTIONS: usize = 1000;
const PROBES: usize = 2000;
/// Between two bytes of a connection. All of them together send 5000 packets a second.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn measure(folder: &Path) -> anyhow::Result<Vec<Row>> {
    // Longer than this runs: the slow ones are there all the time.
    let server = server::without_model(&folder.join("slow"), folder)?
        .set("server.head_timeout_ms", "120000")
        .set("server.body_timeout_ms", "120000")
        .start()?;
    let address = server.address()?;
    let phone = people::sign_up(address, 1).await?.remove(0);
    let alone = probe(address).await?;
    let body = format!(
        "POST /api/v1/healthkit HTTP/1.1\r\nHost: clarity\r\nAuthorization: Bearer {}\r\nContent-Length: 100000\r\n\r\n",
        phone.access_token
    );
    let mut slow = JoinSet::new();
    for index in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await?;
        let begin = if index % 2 == 0 { "GET /health HTTP/1.1\r\nHost: clarity\r\nX-Slow: " } else { &body };
        stream.write_all(begin.as_bytes()).await?;
        slow.spawn(drip(stream));
    }
    let beside = probe(address).await?;
    ensure!(slow.try_join_next().is_none(), "a slow connection was ended: the figure says nothing");
    Ok(vec![
        Row::new(format!("/health beside {CONNECTIONS} slow connections: p99"), beside.p99, "ms")
            .goal(Goal::AtMost(50.0))
            .floor("the same without them", alone.p99)
            .note(format!("median {:.2} ms, longest {:.1} ms", beside.median, beside.longest)),
    ])
}

/// Half a head or half a body, a byte at a time; ends only when the server ends it.
async fn drip(mut stream: TcpStream) {
    while stream.write_all(b" ").await.is_ok() {
        tokio::time::sleep(PAUSE).await;
    }
}

/// In milliseconds.
struct Times {
    median: f64,
    p99: f64,
    longest: f64,
}

async fn probe(address: SocketAddr) -> anyhow::Result<Times> {
    let request = Request::get("/health");
    let mut kept = Connection::open(address).await?;
    let mut times = Vec::with_capacity(PROBES);
    for probe in 0..PROBES {
        let start = Instant::now();
        // On a connection that is kept, and on one of its own.
        let (status, _) = if probe % 2 == 0 {
            kept.exchange(request.bytes()).await.map(|(status, body)| (status, body.len()))?
        } else {
            let mut fresh = Connection::open(address).await?;
            fresh.exchange(request.bytes()).await.map(|(status, body)| (status, body.len()))?
        };
        ensure!(status == 200, "/health answered {status}");
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let at = |share: usize| times[(PROBES - 1) * share / 100].as_secs_f64() * 1e3;
    Ok(Times { median: at(50), p99: at(99), longest: at(100) })
}
