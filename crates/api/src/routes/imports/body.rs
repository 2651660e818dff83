//! Bodies of any length, as they come in.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::web;
use bytes::Bytes;
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// How many pieces of a body wait to be read.
const PIECES_WAITING_MAX: usize = 16;

/// A request's body as something that a thread reads.
pub(super) fn bridge(
    mut payload: web::Payload,
    bytes_max: u64,
    idle: Duration,
) -> impl Read + Send + 'static {
    let (sender, pieces) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(PIECES_WAITING_MAX);
    let (handle, is_whole) = (Handle::current(), Arc::new(AtomicBool::new(false)));
    let says_so = Arc::clone(&is_whole);
    actix_web::rt::spawn(async move {
        let mut left = bytes_max;
        loop {
            let piece = match tokio::time::timeout(idle, payload.next()).await {
                Ok(None) => return says_so.store(true, Ordering::Release),
                Ok(Some(Ok(piece))) => match left.checked_sub(piece.len() as u64) {
                    Some(rest) => {
                        left = rest;
                        Ok(piece)
                    }
                    None => Err(io::Error::new(io::ErrorKind::FileTooLarge, "the stream is too long")),
                },
                Ok(Some(Err(_broken))) => Err(io::ErrorKind::ConnectionReset.into()),
                Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
            };
            let is_last = piece.is_err();
            if sender.send(piece).await.is_err() || is_last {
                return;
            }
        }
    });
    let read = SyncIoBridge::new_with_handle(StreamReader::new(ReceiverStream::new(pieces)), handle);
    Whole { read, is_whole }
}

/// A body whose end is one only if the request ended, and not the worker that it came to.
struct Whole<R> {
    read: R,
    is_whole: Arc<AtomicBool>,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.read.read(into)?;
        if length == 0 && !into.is_empty() && !self.is_whole.load(Ordering::Acquire) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(length)
    }
}
