//! The bytes of an archive, and those of one of its entries.

use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use zip::{
    ZipArchive,
    read::{ZipFile, ZipReadOptions},
};

use super::of_zip;
use crate::error::Reason;

/// How much may be read until more is granted.
#[derive(Clone, Default)]
pub(super) struct Meter(Arc<AtomicU64>);

impl Meter {
    pub(super) fn grant(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A file of which only so much is read.
pub struct Metered<R> {
    read: R,
    meter: Meter,
}

impl<R> Metered<R> {
    pub(super) fn new(read: R, meter: Meter) -> Self {
        Self { read, meter }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.meter.left();
        if left == 0 {
            return Err(Reason::Archive("its directory is far longer than any phone's").into_io());
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let read = self.read.read(&mut into[..most])?;
        // What was granted without end stays so.
        if left != u64::MAX {
            self.meter.grant(left - read as u64);
        }
        Ok(read)
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.read.seek(to)
    }
}

/// The bytes of an entry: exactly as many as it says to have, with the checksum that it says to have.
pub struct Unpacked<'a, R: Read> {
    file: ZipFile<'a, R>,
    left: u64,
}

impl<'a, R: Read + Seek> Unpacked<'a, R> {
    pub(super) fn open(zip: &'a mut ZipArchive<R>, index: usize, bytes: u64) -> Result<Self, Reason> {
        let options = ZipReadOptions::new().enforce_header_consistency(true);
        let file = zip.by_index_with_options(index, options).map_err(of_zip)?;
        Ok(Self { file, left: bytes })
    }
}

impl<R: Read> Read for Unpacked<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into).map_err(of_data)?;
        match self.left.checked_sub(read as u64) {
            None => Err(Reason::Archive("one of its entries is longer than it says").into_io()),
            Some(left) if read == 0 && left > 0 && !into.is_empty() => {
                Err(Reason::Archive("one of its entries is shorter than it says").into_io())
            }
            Some(left) => {
                self.left = left;
                Ok(read)
            }
        }
    }
}

/// Compressed data that ends too early is damage to the archive, not the end of the document.
fn of_data(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Reason::Archive("one of its entries is cut off").into_io(),
        _ => Reason::from_io(error).into_io(),
    }
}
