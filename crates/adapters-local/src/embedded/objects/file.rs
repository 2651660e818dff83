//! The file of one object: a description, then the bytes.
//!
//! ```text
//! 8 magic | 8 size | 32 SHA-256 | 16 version | 1 length of the content type | 255 content type | 8 check of the 312 before
//! ```

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use ports::{ByteRange, Error, ErrorKind, ObjectKey, ObjectMeta, Result, Sha256Digest};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::embedded::io_error;

const MAGIC: &[u8; 8] = b"clarity1";
const CONTENT_TYPE_BYTES_MAX: usize = 255;
const CHECKED_BYTES: usize = 8 + 8 + 32 + 16 + 1 + CONTENT_TYPE_BYTES_MAX;
const HEADER_BYTES: usize = CHECKED_BYTES + 8;

/// Refuses what the header has no room for.
pub(super) fn check_content_type(content_type: &str) -> Result<()> {
    if content_type.len() <= CONTENT_TYPE_BYTES_MAX {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::InvalidInput, "objects.put"))
    }
}

/// A file that is being written under a temporary name. Dropped, the name goes.
pub(super) struct Incoming {
    file: File,
    path: PathBuf,
    content_type: String,
    size_bytes: u64,
    hash: Sha256,
}

impl Incoming {
    pub(super) fn create(path: PathBuf, content_type: &str) -> io::Result<Self> {
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(&path)?;
        // Tells a process that starts now from one that comes after a crash.
        file.try_lock()?;
        file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
        Ok(Self { file, path, content_type: content_type.to_owned(), size_bytes: 0, hash: Sha256::new() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.hash.update(piece);
        self.size_bytes += piece.len() as u64;
        self.file.write_all(piece)
    }

    /// Writes the description and waits until all is on the disk.
    pub(super) fn finish(&mut self, key: &ObjectKey, version: Uuid) -> io::Result<ObjectMeta> {
        let digest: [u8; 32] = self.hash.finalize_reset().into();
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&self.size_bytes.to_le_bytes());
        header.extend_from_slice(&digest);
        header.extend_from_slice(version.as_bytes());
        header.push(u8::try_from(self.content_type.len()).unwrap_or(u8::MAX));
        header.extend_from_slice(self.content_type.as_bytes());
        header.resize(CHECKED_BYTES, 0);
        header.extend_from_slice(&Sha256::digest(&header)[..8]);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        self.file.sync_all()?;
        Ok(ObjectMeta {
            key: key.clone(),
            size_bytes: self.size_bytes,
            sha256: Sha256Digest(digest),
            content_type: self.content_type.clone(),
            version: version.to_string(),
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Where it was renamed there is nothing to remove.
        fs::remove_file(&self.path).ok();
    }
}

/// An object's file that is being read.
pub(super) struct Stored {
    operation: &'static str,
    file: File,
    meta: ObjectMeta,
    left_bytes: u64,
    /// Present where the whole object is read: only then can the digest be compared.
    hash: Option<Sha256>,
}

impl Stored {
    /// Reads the description.
    pub(super) fn open(operation: &'static str, mut file: File, key: &ObjectKey) -> Result<Self> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header).map_err(|error| io_error(operation, error))?;
        let length = file.metadata().map_err(|error| io_error(operation, error))?.len();
        let meta = decode(&header, key).filter(|meta| length == meta.size_bytes + HEADER_BYTES as u64);
        match meta {
            Some(meta) => Ok(Self { operation, file, meta, left_bytes: 0, hash: None }),
            None => Err(corrupt(operation, key)),
        }
    }

    pub(super) fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    /// Goes to the beginning of the range; answers its length.
    pub(super) fn seek(&mut self, range: Option<ByteRange>) -> Result<u64> {
        let size = self.meta.size_bytes;
        let ByteRange { start, end } = range.unwrap_or(ByteRange { start: 0, end: None });
        let end = end.unwrap_or(size).min(size);
        if start > size || (start > end) {
            return Err(Error::new(ErrorKind::InvalidInput, self.operation));
        }
        let position = SeekFrom::Start(HEADER_BYTES as u64 + start);
        self.file.seek(position).map_err(|error| io_error(self.operation, error))?;
        self.left_bytes = end - start;
        self.hash = (self.left_bytes == size).then(Sha256::new);
        Ok(self.left_bytes)
    }

    /// The next bytes; `None` at the end. What does not have the digest it was put with is `Corrupt`.
    pub(super) fn read_piece(&mut self, bytes_max: usize) -> Result<Option<Bytes>> {
        let bytes = usize::try_from(self.left_bytes).unwrap_or(usize::MAX).min(bytes_max);
        let mut piece = vec![0; bytes];
        self.file.read_exact(&mut piece).map_err(|error| io_error(self.operation, error))?;
        self.left_bytes -= bytes as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(&piece);
        }
        if self.left_bytes == 0
            && let Some(hash) = self.hash.take()
            && <[u8; 32]>::from(hash.finalize()) != self.meta.sha256.0
        {
            return Err(corrupt(self.operation, &self.meta.key));
        }
        Ok((bytes > 0).then(|| piece.into()))
    }
}

fn corrupt(operation: &'static str, key: &ObjectKey) -> Error {
    let cause = format!("the object {key} is not what was put: its file is damaged");
    Error::new(ErrorKind::Corrupt, operation).with_cause(cause)
}

fn decode(header: &[u8; HEADER_BYTES], key: &ObjectKey) -> Option<ObjectMeta> {
    let (checked, check) = header.split_at_checked(CHECKED_BYTES)?;
    if &Sha256::digest(checked)[..8] != check {
        return None;
    }
    let (magic, rest) = checked.split_first_chunk::<8>()?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let (digest, rest) = rest.split_first_chunk::<32>()?;
    let (version, rest) = rest.split_first_chunk::<16>()?;
    let (content_type_bytes, rest) = rest.split_first()?;
    let content_type = rest.get(..usize::from(*content_type_bytes))?;
    (magic == MAGIC).then_some(ObjectMeta {
        key: key.clone(),
        size_bytes: u64::from_le_bytes(*size),
        sha256: Sha256Digest(*digest),
        content_type: String::from_utf8(content_type.to_vec()).ok()?,
        version: Uuid::from_bytes(*version).to_string(),
    })
}
