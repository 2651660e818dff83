//! A body as it waits for its digest, which must go ahead of it: metadata cannot be added to what is stored.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use ports::{ByteStream, Error, ErrorKind, Result, Sha256Digest};
use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncWriteExt as _, task::spawn_blocking};

/// What is kept in memory and sent in one call; larger bodies wait in a file and go in parts.
pub(super) const MEMORY_BYTES_MAX: usize = 8 << 20;

/// A whole body.
pub(super) enum Spooled {
    Memory(Bytes),
    /// A file without a name, which goes with its last handle.
    Disk(Arc<Mutex<File>>),
}

/// A body with what had to be known of it.
pub(super) struct Spool {
    pub(super) body: Spooled,
    pub(super) size_bytes: u64,
    pub(super) sha256: Sha256Digest,
}

impl Spool {
    /// Takes `body` to its end.
    pub(super) async fn fill(mut body: ByteStream, folder: Option<&Path>) -> Result<Self> {
        let (mut memory, mut disk, mut size_bytes) = (BytesMut::new(), None, 0);
        let mut hash = Sha256::new();
        while let Some(piece) = body.try_next().await? {
            hash.update(&piece);
            size_bytes += piece.len() as u64;
            memory.extend_from_slice(&piece);
            if memory.len() > MEMORY_BYTES_MAX {
                let file = match &mut disk {
                    Some(file) => file,
                    none => none.insert(open(folder).map_err(failed)?),
                };
                file.write_all(&memory).await.map_err(failed)?;
                memory.clear();
            }
        }
        let sha256 = Sha256Digest(hash.finalize().into());
        let body = match disk {
            None => Spooled::Memory(memory.freeze()),
            Some(mut file) => {
                file.write_all(&memory).await.map_err(failed)?;
                file.flush().await.map_err(failed)?;
                Spooled::Disk(Arc::new(Mutex::new(file.into_std().await)))
            }
        };
        Ok(Self { body, size_bytes, sha256 })
    }
}

fn open(folder: Option<&Path>) -> io::Result<tokio::fs::File> {
    let file = folder.map_or_else(tempfile::tempfile, tempfile::tempfile_in)?;
    Ok(tokio::fs::File::from_std(file))
}

/// The bytes of `file` from `start` on, at most `size_bytes`.
pub(super) async fn part(file: &Arc<Mutex<File>>, start: u64, size_bytes: u64) -> Result<Bytes> {
    let file = Arc::clone(file);
    let read = move || {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        (&mut *file).take(size_bytes).read_to_end(&mut bytes)?;
        Ok(Bytes::from(bytes))
    };
    spawn_blocking(read).await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)
}

/// The disk of this machine is full or broken; S3 has seen nothing.
fn failed(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "objects.spool").with_cause(error)
}
