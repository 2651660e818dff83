//! Reading: the bytes of an object are checked against its digest as they stream by.

use std::collections::HashMap;

use aws_sdk_s3::{
    operation::{get_object::GetObjectOutput, head_object::HeadObjectOutput},
    primitives::ByteStream as Body,
};
use futures::{TryStreamExt as _, stream};
use ports::{
    ByteRange, ByteStream, Error, ErrorKind, Object, ObjectKey, ObjectMeta, Result, Sha256Digest, objects,
};
use sha2::{Digest as _, Sha256};

use super::{S3ObjectStore, SHA256, VERSION, invalid};
use crate::error::{of_read, status};

const OPERATION: &str = "objects.get";

/// Above the size of any object, and below what an implementation may fail to count.
const BEYOND: u64 = 1 << 50;

/// What an answer tells of the whole object.
struct Found {
    size_bytes: u64,
    content_type: String,
    metadata: HashMap<String, String>,
    e_tag: String,
}

impl S3ObjectStore {
    pub(super) async fn get_object(
        &self,
        key: &ObjectKey,
        range: Option<ByteRange>,
    ) -> Result<Option<Object>> {
        let header = match range {
            None => None,
            Some(ByteRange { start, end: None }) => Some(format!("bytes={}-", start.min(BEYOND))),
            // HTTP has no empty ranges.
            Some(range @ ByteRange { start, end: Some(end) }) if end <= start => {
                return self.nothing(key, range).await;
            }
            Some(ByteRange { start, end: Some(end) }) => {
                Some(format!("bytes={}-{}", start.min(BEYOND), (end - 1).min(BEYOND)))
            }
        };
        let request = self.client.get_object().bucket(&self.settings.bucket).key(key.as_str());
        let answer = match request.set_range(header).send().await {
            Ok(answer) => answer,
            Err(error) => match (status(&error), range) {
                (Some(404), _) => return Ok(None),
                (Some(416), Some(range)) => return self.nothing(key, range).await,
                _ => return Err(of_read(OPERATION, &error)),
            },
        };
        let meta = self.meta(key, found_by_get(&answer)).await?;
        let body = match range {
            Some(_) => pieces(answer.body, None),
            None => pieces(answer.body, Some(meta.sha256)),
        };
        Ok(Some(Object { meta, body }))
    }

    pub(super) async fn head_object(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>> {
        let request = self.client.head_object().bucket(&self.settings.bucket).key(key.as_str());
        match request.send().await {
            Ok(answer) => Ok(Some(self.meta(key, found_by_head(answer)).await?)),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(of_read("objects.head", &error)),
        }
    }

    /// A range without bytes: fine up to the object's end, and wrong behind it.
    async fn nothing(&self, key: &ObjectKey, range: ByteRange) -> Result<Option<Object>> {
        let Some(meta) = self.head_object(key).await? else { return Ok(None) };
        if range.start > meta.size_bytes {
            return Err(invalid(OPERATION, "the range begins behind the object"));
        }
        Ok(Some(Object { meta, body: objects::once("") }))
    }

    /// What came by a presigned URL has no metadata of ours, so its digest is computed, each time it is asked for.
    async fn meta(&self, key: &ObjectKey, mut found: Found) -> Result<ObjectMeta> {
        let stated = found.metadata.get(SHA256).and_then(|text| hex::decode(text).ok()?.try_into().ok());
        let sha256 = match stated {
            Some(digest) => Sha256Digest(digest),
            None => self.measure(key, &found.e_tag).await?,
        };
        Ok(ObjectMeta {
            key: key.clone(),
            size_bytes: found.size_bytes,
            sha256,
            content_type: found.content_type,
            version: found.metadata.remove(VERSION).unwrap_or(found.e_tag),
        })
    }

    /// The digest of the object that has `e_tag`.
    async fn measure(&self, key: &ObjectKey, e_tag: &str) -> Result<Sha256Digest> {
        let request =
            self.client.get_object().bucket(&self.settings.bucket).key(key.as_str()).if_match(e_tag);
        let answer = request.send().await.map_err(|error| of_read(OPERATION, &error))?;
        let mut hash = Sha256::new();
        let mut body = pieces(answer.body, None);
        while let Some(piece) = body.try_next().await? {
            hash.update(&piece);
        }
        Ok(Sha256Digest(hash.finalize().into()))
    }
}

fn found_by_get(answer: &GetObjectOutput) -> Found {
    // `bytes 3-6/10` where a range was asked.
    let whole = answer.content_range().and_then(|range| range.rsplit('/').next()?.parse().ok());
    let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
    Found {
        size_bytes: whole.or(length).unwrap_or_default(),
        content_type: answer.content_type().unwrap_or_default().to_owned(),
        metadata: answer.metadata().cloned().unwrap_or_default(),
        e_tag: answer.e_tag().unwrap_or_default().to_owned(),
    }
}

fn found_by_head(answer: HeadObjectOutput) -> Found {
    Found {
        size_bytes: answer.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or_default(),
        content_type: answer.content_type.unwrap_or_default(),
        metadata: answer.metadata.unwrap_or_default(),
        e_tag: answer.e_tag.unwrap_or_default(),
    }
}

/// The pieces of `body`; an error where they end without having had the digest that was `expected`.
fn pieces(body: Body, expected: Option<Sha256Digest>) -> ByteStream {
    let begin = (body, expected.map(|digest| (digest, Sha256::new())));
    Box::pin(stream::try_unfold(begin, async |(mut body, mut check)| match body.next().await {
        Some(Ok(piece)) => {
            if let Some((_, hash)) = &mut check {
                hash.update(&piece);
            }
            Ok::<_, Error>(Some((piece, (body, check))))
        }
        Some(Err(error)) => Err(Error::new(ErrorKind::Unavailable, OPERATION).with_cause(error)),
        None if check.is_none_or(|(expected, hash)| hash.finalize()[..] == expected.0) => Ok(None),
        None => {
            let cause = "the bytes do not have the digest that they were stored with";
            Err(Error::new(ErrorKind::Corrupt, OPERATION).with_cause(cause))
        }
    }))
}
