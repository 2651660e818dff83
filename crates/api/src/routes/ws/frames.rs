//! Looks at the head of each frame before the library does: that one waits for all the bytes that a frame announces, and keeps
//! them, before it finds that there are too many.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{dev, error::PayloadError, web::Bytes};
use futures::{Stream, StreamExt};

/// Two bytes, a length of up to eight, and the mask.
const HEAD_BYTES_MAX: usize = 14;

/// A connection's bytes, until a frame announces too many.
pub(super) struct Frames<S> {
    bytes: S,
    scan: Scan,
    outcome: Outcome,
    is_too_large: Rc<Cell<bool>>,
}

#[derive(PartialEq, Eq)]
enum Outcome {
    Fine,
    /// What came before is handed on first, and looked at before the end.
    EndsSoon,
    Ends,
}

/// Guards the bytes of a connection; the flag tells, once they ended, whether that was why.
pub(super) fn guarded(payload: dev::Payload, frame_bytes_max: usize) -> (dev::Payload, Rc<Cell<bool>>) {
    let is_too_large = Rc::new(Cell::new(false));
    let frames = Frames {
        bytes: payload,
        scan: Scan { max: frame_bytes_max as u64, head: Vec::with_capacity(HEAD_BYTES_MAX), rest: 0 },
        outcome: Outcome::Fine,
        is_too_large: Rc::clone(&is_too_large),
    };
    (dev::Payload::Stream { payload: Box::pin(frames) }, is_too_large)
}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Stream for Frames<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.outcome {
            Outcome::Fine => {}
            Outcome::EndsSoon => {
                self.outcome = Outcome::Ends;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Outcome::Ends => {
                self.is_too_large.set(true);
                return Poll::Ready(Some(Err(PayloadError::Overflow)));
            }
        }
        let Poll::Ready(next) = self.bytes.poll_next_unpin(context) else { return Poll::Pending };
        let Some(Ok(bytes)) = next else { return Poll::Ready(next) };
        match self.scan.fits(&bytes) {
            Ok(()) => Poll::Ready(Some(Ok(bytes))),
            Err(good) => {
                self.outcome = Outcome::EndsSoon;
                Poll::Ready(Some(Ok(bytes.slice(..good))))
            }
        }
    }
}

/// Where in which frame the bytes are.
struct Scan {
    max: u64,
    /// What there is of a head.
    head: Vec<u8>,
    /// How much of the payload is still to come.
    rest: u64,
}

impl Scan {
    /// Goes through bytes; an error says how many of them come before a frame that is too large.
    fn fits(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.rest > 0 {
                let left = bytes.len() - at;
                let taken = usize::try_from(self.rest).map_or(left, |rest| rest.min(left));
                self.rest -= taken as u64;
                at += taken;
                continue;
            }
            self.head.push(bytes[at]);
            at += 1;
            if let Some(length) = announced(&self.head) {
                if length > self.max {
                    return Err(at.saturating_sub(self.head.len()));
                }
                self.rest = length;
                self.head.clear();
            }
        }
        Ok(())
    }
}

/// The length that a head announces, once it is whole.
fn announced(head: &[u8]) -> Option<u64> {
    let second = *head.get(1)?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (length_bytes, length) = match second & 0x7f {
        126 => (2, head.get(2..4)?.iter().fold(0, |length, byte| length << 8 | u64::from(*byte))),
        127 => (8, head.get(2..10)?.iter().fold(0, |length, byte| length << 8 | u64::from(*byte))),
        short => (0, u64::from(short)),
    };
    (head.len() == 2 + length_bytes + mask).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan() -> Scan {
        Scan { max: 1000, head: Vec::new(), rest: 0 }
    }

    fn frame(length: u64) -> Vec<u8> {
        let (short, more) = match length {
            0..126 => (u8::try_from(length).unwrap(), Vec::new()),
            126..65_536 => (126, u16::try_from(length).unwrap().to_be_bytes().to_vec()),
            _ => (127, length.to_be_bytes().to_vec()),
        };
        [&[0x81, 0x80 | short], more.as_slice(), &[1, 2, 3, 4]].concat()
    }

    fn whole(length: u64) -> Vec<u8> {
        // Payloads that look like heads of huge frames.
        [frame(length), vec![0xff; usize::try_from(length).unwrap()]].concat()
    }

    #[test]
    fn frames_up_to_the_limit_pass_however_they_are_cut() {
        let bytes = [whole(0), whole(5), whole(125), whole(126), whole(1000), whole(0), whole(999)].concat();
        for size in [1, 2, 3, 7, 100, bytes.len()] {
            let mut scan = scan();
            for part in bytes.chunks(size) {
                assert_eq!(scan.fits(part), Ok(()));
            }
            assert!(scan.head.is_empty() && scan.rest == 0);
        }
    }

    #[test]
    fn a_frame_above_the_limit_is_found_by_its_head() {
        for length in [1001, 65_535, 65_536, 1 << 62, (1 << 63) - 1, u64::MAX] {
            let good = whole(300);
            let bytes = [good.clone(), frame(length)].concat();
            assert_eq!(scan().fits(&bytes), Err(good.len()), "{length}");
            let mut by_byte = scan();
            let found = bytes.chunks(1).position(|byte| by_byte.fits(byte).is_err());
            assert_eq!(found, Some(bytes.len() - 1), "{length}");
        }
    }
}
