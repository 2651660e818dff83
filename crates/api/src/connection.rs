//! One connection's clock. The server's own covers the head of a connection's first request only: a later one could come byte
//! by byte for ever, and so could what follows an answer that was given early, or the reading of an answer.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    rt::net::TcpStream,
    web::Bytes,
};
use bytes::Buf;
use ports::IdSource;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::problem::{Problem, ProblemKind};

/// How long a connection may keep the server waiting.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// For the head of a request, from its first byte.
    pub head: Duration,
    /// For a request, after the last answer.
    pub idle: Duration,
    /// For the reader of an answer.
    pub reader: Duration,
}

/// What the connection and its requests tell each other.
#[derive(Default)]
pub(crate) struct Watch {
    /// Requests that are not answered whole.
    in_flight: Cell<usize>,
    /// When the first byte came that belongs to no such request.
    begun: Cell<Option<Instant>>,
    /// When the last answer ended.
    answered: Cell<Option<Instant>>,
    /// Whether a request came on it that nothing may follow.
    spoilt: Cell<bool>,
    /// Who waits for what comes next.
    reader: Cell<Option<Waker>>,
}

/// A request under way; it is over when this is dropped.
pub(crate) struct InFlight {
    watch: Rc<Watch>,
    may_go_on: bool,
}

impl Watch {
    /// A request begins, whose body may or may not go on after its answer.
    pub(crate) fn enter(self: &Rc<Self>, may_go_on: bool) -> InFlight {
        self.in_flight.set(self.in_flight.get() + 1);
        self.begun.set(None);
        InFlight { watch: Rc::clone(self), may_go_on }
    }

    /// From here on, nothing that comes on this connection is done: it may be a part of what was refused.
    pub(crate) fn spoil(&self) {
        self.spoilt.set(true);
    }

    pub(crate) fn is_spoilt(&self) -> bool {
        self.spoilt.get()
    }

    fn is_waiting(&self) -> bool {
        self.in_flight.get() == 0
    }

    /// By when the next request must have come; the first one's head is the server's own to wait for.
    fn deadline(&self, patience: &Patience) -> Option<Instant> {
        let answered = self.answered.get()? + patience.idle + patience.head;
        Some(self.begun.get().map_or(answered, |begun| answered.min(begun + patience.head)))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let watch = &self.watch;
        watch.in_flight.set(watch.in_flight.get().saturating_sub(1));
        watch.begun.set(None);
        watch.answered.set(Some(Instant::now()));
        // The server's own clock for idle connections does not run before the whole body has come: this one has to.
        if let Some(reader) = watch.reader.take().filter(|_| self.may_go_on) {
            reader.wake();
        }
    }
}

/// An answer's body, whose end is the end of its request.
pub(crate) struct Watched {
    body: BoxBody,
    _request: Option<InFlight>,
}

impl Watched {
    pub(crate) fn new(body: BoxBody, request: Option<InFlight>) -> Self {
        Self { body, _request: request }
    }
}

impl MessageBody for Watched {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.body.as_pin_mut().poll_next(context)
    }
}

/// A connection that ends when its client is too slow.
pub(crate) struct Guarded {
    stream: TcpStream,
    watch: Rc<Watch>,
    patience: Patience,
    ids: Arc<dyn IdSource>,
    /// What is to be sent before anything else.
    refusal: Bytes,
    waiting: Timer,
    writing: Timer,
}

impl Guarded {
    pub(crate) fn new(stream: TcpStream, patience: Patience, ids: Arc<dyn IdSource>) -> Self {
        let timer = || Timer(None);
        Self {
            stream,
            watch: Rc::default(),
            patience,
            ids,
            refusal: Bytes::new(),
            waiting: timer(),
            writing: timer(),
        }
    }

    pub(crate) fn watch(&self) -> Rc<Watch> {
        Rc::clone(&self.watch)
    }

    /// What is sent in the place of `bytes`, where these are all of an answer to what could not be read as a request. Such
    /// answers are the server's own and bare.
    fn problem(&self, bytes: &[u8]) -> Option<Bytes> {
        let head = self.watch.is_waiting().then(|| std::str::from_utf8(bytes).ok()).flatten()?;
        let lines = head.strip_suffix("\r\n\r\n")?.strip_prefix("HTTP/1.")?;
        let is_bare = !lines.contains("\r\n\r\n") && lines.contains("\r\ncontent-length: 0\r\n");
        let status = is_bare.then(|| lines.split(' ').nth(1)).flatten()?;
        let kind = match status {
            "400" => ProblemKind::BadRequest,
            "408" => ProblemKind::RequestTimeout,
            "431" => ProblemKind::HeadersTooLarge,
            _ => return None,
        };
        let id = self.ids.next().to_string();
        tracing::info!(request_id = id, method = "OTHER", route = "unmatched", status, "request");
        let labels = [("method", "OTHER"), ("route", "unmatched"), ("status", status)];
        let labels = labels.map(|(name, value)| (name, value.to_owned()));
        metrics::counter!("http_requests_total", &labels).increment(1);
        let body = Problem::new(kind).body(&id);
        let (status_line, _) = head.split_once("\r\n")?;
        let head = format!(
            "{status_line}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\
             cache-control: no-store\r\nx-content-type-options: nosniff\r\nx-request-id: {id}\r\n\r\n",
            body.len()
        );
        Some([head.into_bytes(), body].concat().into())
    }

    /// Sends what comes before anything else.
    fn poll_refusal(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let outcome = Pin::new(&mut self.stream).poll_write(context, &self.refusal);
            let count = ready!(self.written(outcome, context))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.refusal.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// The outcome of a write, or the end of patience with its reader.
    fn written<T>(&mut self, outcome: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.writing.stop();
            return outcome;
        }
        let deadline = self.writing.deadline().unwrap_or_else(|| Instant::now() + self.patience.reader);
        ready!(self.writing.poll(deadline, context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        this.watch.reader.set(Some(context.waker().clone()));
        let outcome = Pin::new(&mut this.stream).poll_read(context, buffer);
        if !this.watch.is_waiting() {
            this.waiting.stop();
            return outcome;
        }
        if buffer.filled().len() > before && this.watch.begun.get().is_none() {
            this.watch.begun.set(Some(Instant::now()));
        }
        let Some(deadline) = this.watch.deadline(&this.patience) else { return outcome };
        // Also where bytes go on coming: each would put the end off.
        match this.waiting.poll(deadline, context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => outcome,
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_refusal(context))?;
        if let Some(refusal) = self.problem(bytes) {
            self.refusal = refusal;
            // What does not go now goes with the flush.
            if let Poll::Ready(Err(error)) = self.poll_refusal(context) {
                return Poll::Ready(Err(error));
            }
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(outcome, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A timer that is made when it is first needed.
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn deadline(&self) -> Option<Instant> {
        self.0.as_ref().map(|sleep| sleep.deadline())
    }

    fn stop(&mut self) {
        self.0 = None;
    }

    fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(context)
    }
}
