//! Receipts on their way to who sends.

use std::{
    fs::File,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use app::import::{Import, LineReceipt, State};
use bytes::Bytes;
use futures::{Stream, stream};
use tokio::sync::Notify;

use super::Progress;

/// How much of the receipts is sent at once.
const ANSWER_BYTES: usize = 64 * 1024;

/// How much of the receipts may wait for a client that does not read them.
const UNREAD_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Receipts on their way: in a file, so that neither memory nor a client that sends first and reads later is in the way.
pub(super) struct Spool {
    file: File,
    written: AtomicU64,
    /// How much of it was sent.
    sent: AtomicU64,
    is_done: AtomicBool,
    more: Notify,
}

/// Says that nothing more comes.
pub(super) struct Done(pub(super) Arc<Spool>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.is_done.store(true, Ordering::Release);
        self.0.more.notify_one();
    }
}

impl Spool {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            written: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            is_done: AtomicBool::new(false),
            more: Notify::new(),
        })
    }

    pub(super) fn report(&self, import: &Import, receipts: Vec<LineReceipt>) -> io::Result<()> {
        if receipts.is_empty() && import.state == State::Running {
            return self.line(&serde_json::json!({ "progress": Progress::from(import) }));
        }
        let mut lines = Vec::new();
        for receipt in receipts {
            serde_json::to_writer(&mut lines, &receipt)?;
            lines.push(b'\n');
        }
        self.write(&lines)
    }

    pub(super) fn line(&self, line: &serde_json::Value) -> io::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        self.write(&line)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let unread = self.written.load(Ordering::Acquire) - self.sent.load(Ordering::Acquire);
        if unread > UNREAD_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads the receipts"));
        }
        (&self.file).write_all(bytes)?;
        self.written.fetch_add(bytes.len() as u64, Ordering::Release);
        self.more.notify_one();
        Ok(())
    }

    /// What was written, as it comes.
    pub(super) fn read(spool: Arc<Self>) -> impl Stream<Item = io::Result<Bytes>> {
        stream::try_unfold((spool, 0_u64), |(spool, from)| async move {
            loop {
                // Asked before the length, so that what is written in between is not missed.
                let is_done = spool.is_done.load(Ordering::Acquire);
                let written = spool.written.load(Ordering::Acquire);
                if written > from {
                    let length =
                        usize::try_from(written - from).map_or(ANSWER_BYTES, |left| left.min(ANSWER_BYTES));
                    let file = Arc::clone(&spool);
                    let read = tokio::task::spawn_blocking(move || {
                        use std::os::unix::fs::FileExt;
                        let mut bytes = vec![0; length];
                        file.file.read_exact_at(&mut bytes, from).map(|()| Bytes::from(bytes))
                    });
                    let bytes = read.await.map_err(io::Error::other)??;
                    spool.sent.store(from + length as u64, Ordering::Release);
                    return Ok(Some((bytes, (spool, from + length as u64))));
                }
                if is_done {
                    return Ok(None);
                }
                spool.more.notified().await;
            }
        })
    }
}
