//! Whether a file begins as it did when its import stopped: its length and its head do not tell.

use std::{
    cell::RefCell,
    io::{self, Read},
    rc::Rc,
};

use serde::{Deserialize, Serialize};

/// How much of what was read is not hashed yet: the end of a portion lies in it, since no element is much longer.
const WAITING_BYTES: usize = 2 * 1024 * 1024;

/// How a file begins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Prefix {
    /// So many bytes.
    pub bytes: u64,
    /// Their BLAKE3 hash, in hex: it takes a fifth of the time of SHA-256, which was a fifth of an import. Empty where an older
    /// build noted another: then the file is read from its beginning.
    #[serde(default)]
    pub blake3: String,
}

/// What passes it is hashed up to where it is asked for.
pub(super) struct Hashed<R> {
    read: R,
    seen: Rc<RefCell<Seen>>,
}

/// What passed a [`Hashed`].
#[derive(Default)]
pub(super) struct Seen {
    hash: blake3::Hasher,
    hashed: u64,
    waiting: Vec<u8>,
}

impl<R: Read> Hashed<R> {
    pub(super) fn new(read: R) -> Self {
        Self { read, seen: Rc::default() }
    }

    /// To ask how the file begins while something else reads on.
    pub(super) fn seen(&self) -> Rc<RefCell<Seen>> {
        Rc::clone(&self.seen)
    }

    /// Passes over the bytes up to `offset`; answers whether they are those of `prefix`, which is not longer.
    pub(super) fn pass(&mut self, offset: u64, prefix: Option<&Prefix>) -> io::Result<bool> {
        let Some(prefix) = prefix else { return self.skip(offset).map(|()| true) };
        self.skip(prefix.bytes)?;
        let begins_alike = self.seen.borrow_mut().up_to(prefix.bytes).as_ref() == Some(prefix);
        if begins_alike {
            self.skip(offset.saturating_sub(prefix.bytes))?;
        }
        Ok(begins_alike)
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let mut some = io::BufReader::with_capacity(256 * 1024, self.take(bytes));
        let passed = io::copy(&mut some, &mut io::sink())?;
        if passed < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.read.read(into)?;
        self.seen.borrow_mut().add(&into[..read]);
        Ok(read)
    }
}

impl Seen {
    fn add(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        // What stays is moved, so this waits until much more goes than stays.
        if self.waiting.len() > 3 * WAITING_BYTES {
            self.hash_first(self.waiting.len() - WAITING_BYTES);
        }
    }

    fn hash_first(&mut self, bytes: usize) {
        self.hash.update(&self.waiting[..bytes]);
        self.waiting.drain(..bytes);
        self.hashed += bytes as u64;
    }

    /// The first so many bytes; `None` where not so many were seen, or more were hashed already.
    pub(super) fn up_to(&mut self, bytes: u64) -> Option<Prefix> {
        let more = usize::try_from(bytes.checked_sub(self.hashed)?).ok()?;
        if more > self.waiting.len() {
            return None;
        }
        self.hash_first(more);
        Some(Prefix { bytes, blake3: self.hash.finalize().to_hex().to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> String {
        blake3::hash(bytes).to_hex().to_string()
    }

    #[test]
    fn each_prefix_that_is_asked_for_in_order_has_its_digest() {
        let bytes: Vec<u8> = (0..10 * WAITING_BYTES).map(|at| u8::try_from(at / 7 % 251).unwrap()).collect();
        let mut hashed = Hashed::new(bytes.as_slice());
        let seen = hashed.seen();
        for end in [0, 1, WAITING_BYTES, WAITING_BYTES + 5, 7 * WAITING_BYTES, 10 * WAITING_BYTES] {
            // As the parser does, some more is read than is asked for.
            let until = (end + 1000).min(bytes.len()) as u64;
            let missing = until - { seen.borrow().hashed + seen.borrow().waiting.len() as u64 };
            hashed.skip(missing).unwrap();
            let prefix = seen.borrow_mut().up_to(end as u64).unwrap();
            assert_eq!(prefix, Prefix { bytes: end as u64, blake3: digest(&bytes[..end]) });
        }
        assert_eq!(seen.borrow_mut().up_to(5), None);
        assert_eq!(seen.borrow_mut().up_to(bytes.len() as u64 + 1), None);
    }

    #[test]
    fn a_file_that_begins_in_another_way_is_told_from_the_one_before() {
        let prefix = Prefix { bytes: 5, blake3: digest(b"01234") };
        let mut same = Hashed::new(b"0123456789".as_slice());
        assert!(same.pass(7, Some(&prefix)).unwrap());
        let mut rest = String::new();
        same.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "789");
        assert!(!Hashed::new(b"01x3456789".as_slice()).pass(7, Some(&prefix)).unwrap());
        assert!(Hashed::new(b"01x3456789".as_slice()).pass(7, None).unwrap());
        let short = Hashed::new(b"0123".as_slice()).pass(7, Some(&prefix)).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }
}
