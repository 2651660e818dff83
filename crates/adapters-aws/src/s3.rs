//! Objects in one S3 bucket.
//!
//! What the port promises and S3 does not keep stands in each object's metadata: the SHA-256 of its bytes and a version of our
//! own, which changes with each put also where the bucket is not versioned.

mod delete;
mod read;
mod spool;
mod write;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{Client, config::timeout::TimeoutConfig, presigning::PresigningConfig};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ports::{
    ByteRange, ByteStream, Cursor, Error, ErrorKind, IdSource, Object, ObjectKey, ObjectMeta, ObjectStore,
    Page, PresignedMethod, PutOptions, Result,
};

use crate::error::of_read;

/// The names of our metadata.
const SHA256: &str = "sha256";
const VERSION: &str = "version";

/// How many objects of a page are asked about at once: a list alone tells no digest.
const HEADS_AT_ONCE: usize = 16;

/// S3's own limit of a signature, and the port's.
const VALID_SECONDS: std::ops::RangeInclusive<u64> = 1..=7 * 24 * 60 * 60;

/// How an [`S3ObjectStore`] uses its bucket.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The bucket.
    pub bucket: String,
    /// The KMS key that seals what is put; `None` for the bucket's default.
    pub kms_key_id: Option<String>,
    /// Where a large body waits until its digest is known; `None` for the system's temporary folder.
    pub spool: Option<PathBuf>,
    /// How long a call may take that sends much.
    pub transfer: TimeoutConfig,
}

/// Objects in a bucket.
pub struct S3ObjectStore {
    client: Client,
    settings: S3Settings,
    ids: Arc<dyn IdSource>,
}

impl S3ObjectStore {
    /// The objects of the settings' bucket.
    pub fn new(client: Client, settings: S3Settings, ids: Arc<dyn IdSource>) -> Self {
        Self { client, settings, ids }
    }
}

fn invalid(operation: &'static str, cause: impl Into<ports::Cause>) -> Error {
    Error::new(ErrorKind::InvalidInput, operation).with_cause(cause)
}

#[async_trait]
impl ObjectStore for S3ObjectStore {
    async fn put(&self, key: &ObjectKey, body: ByteStream, options: PutOptions) -> Result<ObjectMeta> {
        self.put_object(key, body, options).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<Object>> {
        self.get_object(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>> {
        self.head_object(key).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        self.delete_versions(key).await
    }

    async fn list(&self, prefix: &str, cursor: Option<&Cursor>, limit: usize) -> Result<Page<ObjectMeta>> {
        const OPERATION: &str = "objects.list";
        if !(1..=1000).contains(&limit) {
            return Err(invalid(OPERATION, "a page has 1 to 1000 objects"));
        }
        let behind = cursor.map(last_shown).transpose()?;
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.settings.bucket)
            .prefix(prefix)
            .set_start_after(behind.map(|key| key.as_str().to_owned()))
            .max_keys(i32::try_from(limit).unwrap_or(i32::MAX));
        let answer = request.send().await.map_err(|error| of_read(OPERATION, &error))?;
        // Somebody else's objects may have names that none of ours can have.
        let names = answer.contents().iter().filter_map(|object| ObjectKey::new(object.key()?).ok());
        let names: Vec<ObjectKey> = names.collect();
        let is_more = answer.is_truncated().unwrap_or_default();
        let next = if is_more { names.last().map(cursor_behind) } else { None };
        // What is deleted meanwhile is left out.
        let heads = stream::iter(names).map(|key| async move { self.head_object(&key).await });
        let heads = heads.buffered(HEADS_AT_ONCE).try_filter_map(async |meta| Ok(meta));
        Ok(Page { items: heads.try_collect().await?, next })
    }

    /// The signature of a put covers `size_bytes_max`, but S3 has no such limit for a URL: whoever takes the object up must
    /// look at its size before reading it.
    async fn presign(&self, key: &ObjectKey, method: PresignedMethod, valid_for: Duration) -> Result<String> {
        const OPERATION: &str = "objects.presign";
        if !VALID_SECONDS.contains(&valid_for.as_secs()) {
            return Err(invalid(OPERATION, "a URL is valid for 1 second to 7 days"));
        }
        let valid = Duration::from_secs(valid_for.as_secs());
        let valid = PresigningConfig::expires_in(valid).map_err(|error| invalid(OPERATION, error))?;
        let signed = match method {
            PresignedMethod::Get => {
                let request = self.client.get_object().bucket(&self.settings.bucket).key(key.as_str());
                request.presigned(valid).await.map_err(|error| of_read(OPERATION, &error))?
            }
            PresignedMethod::Put { size_bytes_max } => {
                let request = self.client.put_object().bucket(&self.settings.bucket).key(key.as_str());
                // S3 ignores parameters that begin with `x-`, but they are signed, and stand in its access log.
                let limit = move |request: &mut aws_smithy_runtime_api::client::orchestrator::HttpRequest| {
                    let uri = request.uri().to_owned();
                    let mark = if uri.contains('?') { '&' } else { '?' };
                    // The parameter is plain ASCII, so the address stays one.
                    let _set = request.set_uri(format!("{uri}{mark}x-size-bytes-max={size_bytes_max}"));
                };
                let request = request.customize().mutate_request(limit);
                request.presigned(valid).await.map_err(|error| of_read(OPERATION, &error))?
            }
        };
        Ok(signed.uri().to_owned())
    }
}

/// Encoded, so that no name looks like a cursor.
fn cursor_behind(key: &ObjectKey) -> Cursor {
    Cursor(BASE64_URL_SAFE_NO_PAD.encode(format!("after:{key}")))
}

fn last_shown(cursor: &Cursor) -> Result<ObjectKey> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(&cursor.0).unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap_or_default();
    let key = text.strip_prefix("after:").and_then(|name| ObjectKey::new(name).ok());
    key.ok_or_else(|| invalid("objects.list", "not a cursor"))
}
