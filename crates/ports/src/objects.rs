//! Opaque bytes under a name.

use std::{fmt, pin::Pin, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, TryStreamExt, stream};

use crate::{Cursor, Error, ErrorKind, Page, Result};

/// An object's name: 1 to 512 characters of `a-z A-Z 0-9 . _ - /`, without empty, `.` or `..` segments.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Checks `text`.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
        let fits = (1..=512).contains(&text.len())
            && text.bytes().all(allowed)
            && text.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if fits { Ok(Self(text)) } else { Err(Error::new(ErrorKind::InvalidInput, "objects.key")) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SHA-256 digest, our own: never an `ETag`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Digest(pub [u8; 32]);

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256Digest({self})")
    }
}

/// A body as it streams by.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A stream of one piece.
pub fn once(bytes: impl Into<Bytes>) -> ByteStream {
    let bytes = bytes.into();
    Box::pin(stream::once(async move { Ok(bytes) }))
}

/// Reads a stream to its end, refusing more than `size_bytes_max`.
pub async fn collect(mut body: ByteStream, size_bytes_max: usize) -> Result<Bytes> {
    let mut whole = Vec::new();
    while let Some(piece) = body.try_next().await? {
        if whole.len() + piece.len() > size_bytes_max {
            return Err(Error::new(ErrorKind::InvalidInput, "objects.collect"));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// What is known of an object without its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectMeta {
    /// Its name.
    pub key: ObjectKey,
    /// How long it is.
    pub size_bytes: u64,
    /// The digest of its bytes.
    pub sha256: Sha256Digest,
    /// What it was said to be when it was put.
    pub content_type: String,
    /// Changes with each put; opaque.
    pub version: String,
}

/// An object that is being read.
pub struct Object {
    /// What is known of the whole object, also where a range was asked.
    pub meta: ObjectMeta,
    /// The bytes of the range.
    pub body: ByteStream,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("meta", &self.meta).finish_non_exhaustive()
    }
}

/// Bytes `[start, end)` of an object; an absent end is the object's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The byte after the last.
    pub end: Option<u64>,
}

/// How an object is put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutOptions {
    /// Only where nothing has the name; else it is a `Conflict`.
    pub if_absent: bool,
    /// Media type.
    pub content_type: String,
    /// The digest that the bytes must have; others are `InvalidInput` and nothing is stored.
    pub sha256: Option<Sha256Digest>,
}

impl Default for PutOptions {
    fn default() -> Self {
        Self { if_absent: false, content_type: "application/octet-stream".to_owned(), sha256: None }
    }
}

/// What a presigned URL lets its holder do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PresignedMethod {
    /// Read the object.
    Get,
    /// Put the object, of at most so many bytes.
    Put {
        /// The most bytes.
        size_bytes_max: u64,
    },
}

/// Stores opaque bytes under a name.
///
/// # Contract
/// - A `put` that returned `Ok` is visible to every later `get`, survives a crash, and readers never see half of it.
/// - A `get` returns the bytes, size, content type and SHA-256 of what was put; 0 bytes are an object too.
/// - What was never put is `None` in `get` and `head`.
/// - A second `put` replaces the bytes and changes the version; with `if_absent` it is a `Conflict` and changes nothing.
/// - Of several `put`s with `if_absent` that race on one name exactly one succeeds.
/// - A `put` whose stream fails, or whose bytes do not have the stated digest, stores nothing.
/// - A range `[start, end)` returns exactly those bytes, an open end the rest; an end beyond the object is cut to it;
///   a start beyond it is `InvalidInput`.
/// - Bodies stream: 100 MB are put and read with bounded memory.
/// - Deleting twice succeeds; what was deleted is `None`.
/// - `list` shows the names that begin with the prefix, in byte order, by pages that are stable under inserts and deletes.
/// - A presigned URL names the object and carries a signature; it is issued for 1 second to 7 days.
#[async_trait]
pub trait ObjectStore: Send + Sync + 'static {
    /// Stores `body` under `key`.
    async fn put(&self, key: &ObjectKey, body: ByteStream, options: PutOptions) -> Result<ObjectMeta>;

    /// Reads `key`, or a range of it; `None` if nothing is stored there.
    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<Object>>;

    /// Reads what is known of `key`.
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>>;

    /// Removes `key`.
    async fn delete(&self, key: &ObjectKey) -> Result<()>;

    /// Lists objects whose names begin with `prefix`, at most `limit` (1 to 1000) a page.
    async fn list(&self, prefix: &str, cursor: Option<&Cursor>, limit: usize) -> Result<Page<ObjectMeta>>;

    /// A URL that lets its holder do `method` with `key` for `valid_for`, without other credentials.
    async fn presign(&self, key: &ObjectKey, method: PresignedMethod, valid_for: Duration) -> Result<String>;
}
