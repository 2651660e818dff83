//! Passwords that were made public, which nobody may choose.
//!
//! The list is kept as the first 8 bytes of each password's SHA-1, sorted: 8 MB a million, and a password that is not in it
//! looks as if it were once in 2^64 / its length.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ports::{Error, ErrorKind, Result};

const OPERATION: &str = "identity.breached_passwords";
const SHA1_DIGITS: usize = 40;

#[derive(Default)]
pub(super) struct Breached(Vec<u64>);

impl Breached {
    /// Reads a list: a password a line, or a line `SHA1` or `SHA1:count` in hexadecimal.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let read = || -> io::Result<Self> {
            let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
            let (mut prefixes, mut line) = (Vec::new(), Vec::new());
            while file.read_until(b'\n', &mut line)? > 0 {
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                if !text.is_empty() {
                    prefixes.push(hashed(text).unwrap_or_else(|| prefix(text)));
                }
                line.clear();
            }
            prefixes.sort_unstable();
            prefixes.dedup();
            prefixes.shrink_to_fit();
            Ok(Self(prefixes))
        };
        read().map_err(|error| {
            let cause = format!("the list of breached passwords {} cannot be read: {error}", path.display());
            Error::new(ErrorKind::InvalidInput, OPERATION).with_cause(cause)
        })
    }

    pub(super) fn contains(&self, password: &str) -> bool {
        self.0.binary_search(&prefix(password.as_bytes())).is_ok()
    }
}

fn prefix(password: &[u8]) -> u64 {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, password);
    digest.as_ref().iter().take(8).fold(0, |prefix, byte| prefix << 8 | u64::from(*byte))
}

/// The prefix that a line names, where it is a hash and not a password.
fn hashed(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let (hash, count) = text.split_once(':').unwrap_or((text, "0"));
    let is_hash = hash.len() == SHA1_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_count = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    (is_hash && is_count).then(|| u64::from_str_radix(&hash[..16], 16).ok())?
}
