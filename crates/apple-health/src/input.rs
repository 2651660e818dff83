//! The bytes below the XML parser: read in large pieces, counted, and never more of one event than the limit.

use std::io::{self, BufRead, Read};

use memchr::memchr_iter;

use crate::{error::Reason, item::Position, limits};

/// How many bytes are read at once.
pub(crate) const PIECE: usize = 256 * 1024;

/// What opens the document again where reading goes on in its middle.
const REOPENED: &[u8] = b"<HealthData>";

pub(crate) struct Input<R> {
    read: R,
    piece: Box<[u8]>,
    at: usize,
    filled: usize,
    is_at_end: bool,
    /// What went wrong behind the piece.
    fault: Option<io::Error>,
    /// The place of `piece[0]`, less what was put before the file's own bytes.
    offset: u64,
    line: u64,
    /// Up to where the lines of `piece` were counted.
    counted: usize,
    /// How much of [`REOPENED`] is before the file's own bytes in `piece`.
    reopened: usize,
    /// Bytes of the event that were consumed before `piece[0]`.
    of_event: usize,
    event_begin: usize,
}

impl<R: Read> Input<R> {
    /// The bytes of a file that begin at `position`, read in pieces of `piece` bytes.
    pub(crate) fn new(read: R, position: Position, piece: usize) -> Self {
        let mut input = Self {
            read,
            piece: vec![0; piece.max(REOPENED.len())].into_boxed_slice(),
            at: 0,
            filled: 0,
            is_at_end: false,
            fault: None,
            offset: position.offset,
            line: position.line,
            counted: 0,
            reopened: 0,
            of_event: 0,
            event_begin: 0,
        };
        if position.offset > 0 {
            input.piece[..REOPENED.len()].copy_from_slice(REOPENED);
            input.filled = REOPENED.len();
            input.reopened = REOPENED.len();
        }
        input
    }

    /// The place that has been consumed.
    pub(crate) fn position(&mut self) -> Position {
        if self.counted < self.at {
            self.line += memchr_iter(b'\n', &self.piece[self.counted..self.at]).count() as u64;
            self.counted = self.at;
        }
        Position { offset: self.offset + self.at.saturating_sub(self.reopened) as u64, line: self.line }
    }

    /// The limit of an event is counted from here.
    pub(crate) fn begin_event(&mut self) {
        self.of_event = 0;
        self.event_begin = self.at;
    }

    /// How many bytes of the event were consumed.
    #[inline]
    pub(crate) fn event_bytes(&self) -> usize {
        self.of_event + self.at - self.event_begin
    }

    /// What has been read and not consumed.
    #[inline]
    pub(crate) fn available(&self) -> &[u8] {
        &self.piece[self.at..self.filled]
    }

    /// Takes the next piece. It is filled to its end, so that how the bytes arrive changes nothing.
    fn next_piece(&mut self) -> io::Result<()> {
        let Position { offset, .. } = self.position();
        self.of_event = self.event_bytes();
        if self.of_event > limits::EVENT_BYTES_MAX {
            return Err(limits::too_long_event().into_io());
        }
        if let Some(fault) = self.fault.take() {
            return Err(Reason::from_io(fault).into_io());
        }
        (self.offset, self.reopened) = (offset, 0);
        (self.at, self.filled, self.counted, self.event_begin) = (0, 0, 0, 0);
        while self.filled < self.piece.len() && !self.is_at_end {
            match self.read.read(&mut self.piece[self.filled..]) {
                Ok(0) => self.is_at_end = true,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What was read before the fault is whole, and is handed on first.
                Err(error) => {
                    self.fault = Some(error);
                    break;
                }
            }
        }
        match self.fault.take_if(|_| self.filled == 0) {
            Some(fault) => Err(Reason::from_io(fault).into_io()),
            None => Ok(()),
        }
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let read = available.len().min(into.len());
        into[..read].copy_from_slice(&available[..read]);
        self.consume(read);
        Ok(read)
    }
}

impl<R: Read> BufRead for Input<R> {
    #[inline]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.filled && !self.is_at_end {
            self.next_piece()?;
        }
        Ok(self.available())
    }

    #[inline]
    fn consume(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.filled);
    }
}
