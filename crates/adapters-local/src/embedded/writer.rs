//! The group commit: whoever waits shares one transaction, and so one write to the disk.

use std::sync::Arc;

use ports::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};

use super::{
    database::{Signals, WriteTransaction, Writer},
    error::GroupError,
    events::{self, PublishEvent},
    jobs::{self, JobRequest},
    records::{self, CommitRequest},
};

/// The most requests of one group.
const GROUP_MAX: usize = 256;
/// No further request joins a group that holds so many bytes.
const GROUP_BYTES_MAX: usize = 16_000_000;

/// What the writer is asked to do.
pub(super) enum Request {
    Commit(CommitRequest),
    Job(JobRequest),
    Event(PublishEvent),
}

impl Request {
    fn size_bytes(&self) -> usize {
        match self {
            Self::Commit(commit) => commit.size_bytes,
            Self::Job(job) => job.size_bytes(),
            Self::Event(event) => event.event.body.len(),
        }
    }
}

/// The way back to a caller. The caller may have left: then the request was done, or not, all the same.
pub(super) struct Reply<T> {
    sender: oneshot::Sender<Result<T>>,
    operation: &'static str,
    result: Option<Result<T>>,
}

impl<T> Reply<T> {
    pub(super) fn new(operation: &'static str) -> (Self, oneshot::Receiver<Result<T>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender, operation, result: None }, receiver)
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.sender.is_closed()
    }

    /// What is to be answered if the group is committed.
    pub(super) fn set(&mut self, result: Result<T>) {
        self.result = Some(result);
    }

    /// An error of this request alone.
    pub(super) fn refuse(&mut self, kind: ErrorKind) {
        self.result = Some(Err(Error::new(kind, self.operation)));
    }

    pub(super) fn send(self, fate: &Result<(), GroupError>) {
        let answer = match (fate, self.result) {
            (Err(error), _) => Err(error.told(self.operation)),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::new(ErrorKind::Unexpected, self.operation)),
        };
        self.sender.send(answer).ok();
    }
}

/// One group: requests by what they are about. They are independent of each other across the three.
#[derive(Default)]
struct Group {
    commits: Vec<CommitRequest>,
    jobs: Vec<JobRequest>,
    events: Vec<PublishEvent>,
    bytes: usize,
}

impl Group {
    fn add(&mut self, request: Request) {
        self.bytes += request.size_bytes();
        match request {
            Request::Commit(commit) => self.commits.push(commit),
            Request::Job(job) => self.jobs.push(job),
            Request::Event(event) => self.events.push(event),
        }
    }
}

/// Serves requests until nobody can make any more.
pub(super) async fn run(writer: Writer, mut requests: mpsc::Receiver<Request>, signals: Arc<Signals>) {
    let mut waiting = Vec::with_capacity(GROUP_MAX);
    while requests.recv_many(&mut waiting, GROUP_MAX).await > 0 {
        let mut group = Group::default();
        for request in waiting.drain(..) {
            if group.bytes > 0 && group.bytes + request.size_bytes() > GROUP_BYTES_MAX {
                serve(&writer, std::mem::take(&mut group), &signals).await;
            }
            group.add(request);
        }
        serve(&writer, group, &signals).await;
    }
}

async fn serve(writer: &Writer, mut group: Group, signals: &Signals) {
    let fate = match apply(writer, &mut group).await {
        Ok(mut transaction) => transaction.finish().await.map_err(|error| GroupError::unknown(&error)),
        Err(error) => Err(GroupError::not_applied(&error)),
    };
    if fate.is_ok() && group.jobs.iter().any(JobRequest::can_make_ready) {
        signals.jobs.notify_waiters();
    }
    if fate.is_ok() && !group.events.is_empty() {
        signals.events.notify_waiters();
    }
    group.commits.into_iter().for_each(|commit| commit.reply.send(&fate));
    group.jobs.into_iter().for_each(|job| job.answer(&fate));
    group.events.into_iter().for_each(|event| event.reply.send(&fate));
}

async fn apply(writer: &Writer, group: &mut Group) -> sqlx::Result<WriteTransaction> {
    let mut transaction = writer.begin().await?;
    records::apply(&mut transaction, &mut group.commits).await?;
    jobs::apply(&mut transaction, &mut group.jobs).await?;
    events::apply(&mut transaction, &mut group.events).await?;
    Ok(transaction)
}
