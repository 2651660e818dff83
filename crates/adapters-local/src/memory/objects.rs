use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::SignedDuration;
use ports::{
    ByteRange, ByteStream, Clock, Cursor, Error, ErrorKind, Object, ObjectKey, ObjectMeta, ObjectStore, Page,
    PresignedMethod, PutOptions, Result, Sha256Digest,
};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::{Digest as _, Sha256};

use super::lock;

/// The size of the pieces that a body is read in.
const PIECE_BYTES: usize = 256 * 1024;

const LIST_LIMIT_MAX: usize = 1000;
const VALID_FOR: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(7 * 24);

struct Stored {
    meta: ObjectMeta,
    bytes: Bytes,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<ObjectKey, Stored>,
    puts: u64,
}

/// Objects in a map.
pub struct MemoryObjectStore {
    clock: Arc<dyn Clock>,
    base_url: String,
    signing_key: SecretSlice<u8>,
    state: Mutex<State>,
}

impl MemoryObjectStore {
    /// An empty store whose presigned URLs begin with `base_url` and are signed with `signing_key`.
    pub fn new(clock: Arc<dyn Clock>, (base_url, signing_key): (String, SecretSlice<u8>)) -> Self {
        Self { clock, base_url, signing_key, state: Mutex::default() }
    }
}

fn pieces(bytes: Bytes) -> ByteStream {
    Box::pin(
        stream::unfold(bytes, |mut rest| async move {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            (!piece.is_empty()).then_some((piece, rest))
        })
        .map(Ok),
    )
}

/// The part of `whole` that `range` names.
fn part(whole: &Bytes, range: ByteRange) -> Option<Bytes> {
    let start = usize::try_from(range.start).ok().filter(|start| *start <= whole.len())?;
    let end =
        range.end.and_then(|end| usize::try_from(end).ok()).map_or(whole.len(), |end| end.min(whole.len()));
    (start <= end).then(|| whole.slice(start..end))
}

#[async_trait]
impl ObjectStore for MemoryObjectStore {
    async fn put(&self, key: &ObjectKey, mut body: ByteStream, options: PutOptions) -> Result<ObjectMeta> {
        let mut whole = Vec::new();
        while let Some(piece) = body.try_next().await? {
            whole.extend_from_slice(&piece);
        }
        let sha256 = Sha256Digest(Sha256::digest(&whole).into());
        if options.sha256.is_some_and(|stated| stated != sha256) {
            return Err(Error::new(ErrorKind::InvalidInput, "objects.put"));
        }
        let mut state = lock(&self.state);
        if options.if_absent && state.objects.contains_key(key) {
            return Err(Error::new(ErrorKind::Conflict, "objects.put"));
        }
        state.puts += 1;
        let meta = ObjectMeta {
            key: key.clone(),
            size_bytes: whole.len() as u64,
            sha256,
            content_type: options.content_type,
            version: state.puts.to_string(),
        };
        state.objects.insert(key.clone(), Stored { meta: meta.clone(), bytes: whole.into() });
        Ok(meta)
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<Object>> {
        let state = lock(&self.state);
        let Some(Stored { meta, bytes }) = state.objects.get(key) else { return Ok(None) };
        let bytes = match range {
            None => bytes.clone(),
            Some(range) => {
                part(bytes, range).ok_or_else(|| Error::new(ErrorKind::InvalidInput, "objects.get"))?
            }
        };
        Ok(Some(Object { meta: meta.clone(), body: pieces(bytes) }))
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>> {
        Ok(lock(&self.state).objects.get(key).map(|stored| stored.meta.clone()))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        lock(&self.state).objects.remove(key);
        Ok(())
    }

    async fn list(&self, prefix: &str, cursor: Option<&Cursor>, limit: usize) -> Result<Page<ObjectMeta>> {
        if !(1..=LIST_LIMIT_MAX).contains(&limit) {
            return Err(Error::new(ErrorKind::InvalidInput, "objects.list"));
        }
        let last_shown = cursor.map(|Cursor(text)| ObjectKey::new(text.as_str())).transpose()?;
        let mut items: Vec<ObjectMeta> = lock(&self.state)
            .objects
            .iter()
            .filter(|(key, _)| key.as_str().starts_with(prefix))
            .filter(|(key, _)| last_shown.as_ref().is_none_or(|last| *key > last))
            .map(|(_, stored)| stored.meta.clone())
            .take(limit + 1)
            .collect();
        let is_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| is_more).map(|meta| Cursor(meta.key.to_string()));
        Ok(Page { items, next })
    }

    async fn presign(&self, key: &ObjectKey, method: PresignedMethod, valid_for: Duration) -> Result<String> {
        let refuse = |error| Error::new(ErrorKind::InvalidInput, "objects.presign").with_cause(error);
        if !VALID_FOR.contains(&valid_for) {
            return Err(Error::new(ErrorKind::InvalidInput, "objects.presign"));
        }
        let expires_at = self.clock.now() + SignedDuration::try_from(valid_for).map_err(refuse)?;
        let method = match method {
            PresignedMethod::Get => "get".to_owned(),
            PresignedMethod::Put { size_bytes_max } => format!("put&size_bytes_max={size_bytes_max}"),
        };
        let signed = format!("{key}?method={method}&expires_at={}", expires_at.as_second());
        let mac = Hmac::<Sha256>::new_from_slice(self.signing_key.expose_secret());
        let mut mac =
            mac.map_err(|error| Error::new(ErrorKind::Unexpected, "objects.presign").with_cause(error))?;
        mac.update(signed.as_bytes());
        Ok(format!("{}/{signed}&signature={}", self.base_url, hex::encode(mac.finalize().into_bytes())))
    }
}
