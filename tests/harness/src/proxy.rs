//! A proxy that stands before an HTTP server and breaks what it is told to break.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

/// What happens to one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is passed on after a while.
    Delay(Duration),
    /// The connection breaks, and the server sees nothing.
    Reset,
    /// The server does it, and its answer is lost.
    DropAnswer,
    /// The server gets it twice; the first answer is passed on.
    Duplicate,
}

#[derive(Debug, Default)]
struct State {
    faults: Mutex<VecDeque<Fault>>,
    requests: AtomicUsize,
}

/// A proxy that runs until this is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Stands before the server on `port` of the loopback address.
    pub async fn start(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, state) = (listener.local_addr()?, Arc::<State>::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                // A connection that breaks is what this is for.
                tokio::spawn(async move { drop(serve(client, port, &state).await) });
            }
        });
        Ok(Self { address, state, task })
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What happens to the next requests, one after another; those behind are passed on.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.faults.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, port: u16, state: &State) -> io::Result<()> {
    while let Some(request) = message(&mut client, true).await? {
        state.requests.fetch_add(1, Ordering::SeqCst);
        let fault = state.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if let Some(Fault::Delay(duration)) = fault {
            sleep(duration).await;
        }
        if fault == Some(Fault::Reset) {
            return Ok(());
        }
        let answer = ask(port, &request).await?;
        if fault == Some(Fault::Duplicate) {
            ask(port, &request).await?;
        }
        if fault == Some(Fault::DropAnswer) {
            return Ok(());
        }
        client.write_all(&answer).await?;
    }
    Ok(())
}

async fn ask(port: u16, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    server.write_all(request).await?;
    // The answer to a HEAD says how long a body would be, and has none.
    let has_body = !request.starts_with(b"HEAD ");
    message(&mut server, has_body).await?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

/// A whole request or answer, which says its length; `None` where the other side has closed.
async fn message(stream: &mut TcpStream, has_body: bool) -> io::Result<Option<Vec<u8>>> {
    const HEAD_END: &[u8] = b"\r\n\r\n";
    let mut bytes = Vec::new();
    loop {
        let head = bytes.windows(HEAD_END.len()).position(|window| window == HEAD_END);
        if let Some(end) = head.map(|at| at + HEAD_END.len())
            && bytes.len() >= end + if has_body { length(&bytes[..end]) } else { 0 }
        {
            return Ok(Some(bytes));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

fn length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    value.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}
