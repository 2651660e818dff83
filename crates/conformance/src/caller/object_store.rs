use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use ports::{
    ByteRange, ByteStream, Cursor, ErrorKind, Object, ObjectKey, ObjectMeta, ObjectStore, Outcome, Page,
    PresignedMethod, PutOptions, Result, objects,
};
use sha2::{Digest as _, Sha256};

use super::{CALLS_MAX, Persistent, repeat};

/// A body above this is put once: who sends it would have to send it again.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// A body that can be sent again, or one that cannot.
enum Kept {
    Whole(Bytes),
    Stream(ByteStream),
}

/// Keeps a body that is small and does not fail.
async fn keep(mut body: ByteStream) -> Kept {
    let mut pieces: Vec<Result<Bytes>> = Vec::new();
    let mut size = 0;
    while let Some(piece) = body.next().await {
        size += piece.as_ref().map_or(usize::MAX / 2, Bytes::len);
        pieces.push(piece);
        if size > KEPT_BYTES_MAX {
            return Kept::Stream(Box::pin(stream::iter(pieces).chain(body)));
        }
    }
    let whole: Vec<u8> = pieces.into_iter().flatten().flatten().collect();
    Kept::Whole(whole.into())
}

impl Persistent<dyn ObjectStore> {
    async fn put_whole(&self, key: &ObjectKey, bytes: Bytes, options: PutOptions) -> Result<ObjectMeta> {
        let mut is_in_doubt = false;
        let mut calls = 0;
        loop {
            calls += 1;
            let error = match self.0.put(key, objects::once(bytes.clone()), options.clone()).await {
                Ok(meta) => return Ok(meta),
                Err(error) => error,
            };
            is_in_doubt |= error.outcome() == Outcome::Unknown;
            if error.kind() == ErrorKind::Conflict && is_in_doubt {
                let found = self.head(key).await?;
                let ours = found.filter(|found| found.sha256.0 == *Sha256::digest(&bytes));
                return ours.ok_or_else(|| error.with_outcome(Outcome::NotApplied));
            }
            if !error.is_retryable() || calls == CALLS_MAX {
                return Err(error);
            }
        }
    }
}

#[async_trait]
impl ObjectStore for Persistent<dyn ObjectStore> {
    async fn put(&self, key: &ObjectKey, body: ByteStream, options: PutOptions) -> Result<ObjectMeta> {
        match keep(body).await {
            Kept::Whole(bytes) => self.put_whole(key, bytes, options).await,
            Kept::Stream(body) => self.0.put(key, body, options).await,
        }
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<Object>> {
        repeat(|| self.0.get(key, range)).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>> {
        repeat(|| self.0.head(key)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        repeat(|| self.0.delete(key)).await
    }

    async fn list(&self, prefix: &str, cursor: Option<&Cursor>, limit: usize) -> Result<Page<ObjectMeta>> {
        repeat(|| self.0.list(prefix, cursor, limit)).await
    }

    async fn presign(&self, key: &ObjectKey, method: PresignedMethod, valid_for: Duration) -> Result<String> {
        self.0.presign(key, method, valid_for).await
    }
}
