//! A proxy that stands before a server and breaks what it is told to break.

mod http;
mod stream;
mod weather;

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

pub use self::weather::Weather;

/// What happens to one request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// It is passed on after a while.
    Delay(Duration),
    /// The connection breaks, and the server sees nothing.
    Reset,
    /// The server does it, and its answer is lost.
    DropAnswer,
    /// The server gets it twice; the first answer is passed on. Only before a server that speaks HTTP.
    Duplicate,
    /// The server sees nothing; the service's own words for "too much" are answered. Only in the words of AWS.
    Throttle,
    /// Where a call has several parts, it is answered that none of them was done, for now; else as [`Fault::Throttle`].
    Unprocessed,
}

/// What the way to a server is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Road {
    Open,
    /// Every connection is broken, and new ones are at once.
    Cut,
    /// Connections are taken, and nothing comes back on them.
    Silent,
}

/// What the client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protocol {
    Http,
    /// Anything in which the client asks and then waits for an answer.
    Stream,
}

#[derive(Debug)]
struct State {
    port: u16,
    plan: Mutex<VecDeque<Fault>>,
    weather: Mutex<Option<Weather>>,
    road: watch::Sender<Road>,
    connections: AtomicUsize,
    requests: AtomicUsize,
    faults: AtomicUsize,
    /// How often each call was tried, by what the SDK names it.
    attempts: Mutex<HashMap<Vec<u8>, usize>>,
}

impl State {
    fn new(port: u16) -> Self {
        Self {
            port,
            plan: Mutex::default(),
            weather: Mutex::default(),
            road: watch::Sender::new(Road::Open),
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            faults: AtomicUsize::new(0),
            attempts: Mutex::default(),
        }
    }

    /// Counts a request; answers what happens to it.
    fn next_fault(&self, request: &[u8]) -> Option<Fault> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let planned = lock(&self.plan).pop_front();
        let weather = *lock(&self.weather);
        let fault = planned.or_else(|| weather?.fault_of(number, request));
        if fault.is_some() {
            self.faults.fetch_add(1, Ordering::SeqCst);
        }
        fault
    }

    async fn becomes(&self, road: Road) {
        let mut watcher = self.road.subscribe();
        // The sender lives as long as the state does.
        let _closed = watcher.wait_for(|now| *now == road).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A proxy that runs until this is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Stands before the HTTP server on `port` of the loopback address.
    pub async fn start(port: u16) -> io::Result<Self> {
        Self::start_as(port, Protocol::Http).await
    }

    /// Stands before a server of any protocol in which the client asks and then waits, such as PostgreSQL or Redis. A request
    /// is what the client sends at once.
    pub async fn start_stream(port: u16) -> io::Result<Self> {
        Self::start_as(port, Protocol::Stream).await
    }

    async fn start_as(port: u16, protocol: Protocol) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, state) = (listener.local_addr()?, Arc::new(State::new(port)));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&shared), protocol));
            }
        });
        Ok(Self { address, state, task })
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its port on the loopback address.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What happens to the next requests, one after another; those behind are passed on.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.state.plan).extend(faults);
    }

    /// What happens to requests of which no plan speaks.
    pub fn set_weather(&self, weather: Weather) {
        *lock(&self.state.weather) = Some(weather);
    }

    /// Breaks all connections and, until [`Self::mend`], every new one.
    pub fn cut(&self) {
        self.state.road.send_replace(Road::Cut);
    }

    /// Lets nothing through any more, without a word, until [`Self::mend`].
    pub fn silence(&self) {
        self.state.road.send_replace(Road::Silent);
    }

    /// Lets everything through again. What went into the silence stays there.
    pub fn mend(&self) {
        self.state.road.send_replace(Road::Open);
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// To how many of them something happened.
    pub fn faults(&self) -> usize {
        self.state.faults.load(Ordering::SeqCst)
    }

    /// How often the call that was tried most often was tried. Calls are told apart by the `amz-sdk-invocation-id` that AWS's
    /// SDKs send.
    pub fn attempts_max(&self) -> usize {
        lock(&self.state.attempts).values().copied().max().unwrap_or_default()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(client: TcpStream, state: Arc<State>, protocol: Protocol) {
    state.connections.fetch_add(1, Ordering::SeqCst);
    let is_cut = *state.road.borrow() == Road::Cut;
    if is_cut {
        if protocol == Protocol::Http {
            http::refuse(client, &state).await;
        }
        return;
    }
    let work = async {
        // A connection that breaks is what this is for.
        let _broken = match protocol {
            Protocol::Http => http::serve(client, &state).await,
            Protocol::Stream => stream::serve(client, &state).await,
        };
    };
    tokio::select! {
        () = work => {}
        () = state.becomes(Road::Cut) => {}
    }
}

#[cfg(test)]
mod tests;
