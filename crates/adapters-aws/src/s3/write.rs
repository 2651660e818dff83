//! Putting: a small body in one call, a large one in parts.

use std::{
    fs::File,
    sync::{Arc, Mutex},
};

use aws_sdk_s3::{
    config::Builder,
    primitives::ByteStream as Body,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ports::{ByteStream, Error, ErrorKind, ObjectKey, ObjectMeta, Outcome, PutOptions, Result};
use sha2::{Digest as _, Sha256};

use super::{
    S3ObjectStore, SHA256, VERSION, invalid,
    spool::{self, MEMORY_BYTES_MAX, Spool, Spooled},
};
use crate::error::{Attempts, code, of_read, of_write};

const OPERATION: &str = "objects.put";

/// S3's limit.
const PARTS_MAX: u64 = 10_000;

/// Each holds one part in memory.
const PARTS_AT_ONCE: usize = 3;

/// What a slow line, too, carries within the time of an ordinary call.
const QUICK_BYTES_MAX: usize = 256 * 1024;

/// How often a put is tried that met another of the same name: S3 answers neither yes nor no then.
const CLASHES_MAX: u32 = 4;

/// What one put sends, in however many calls.
struct Put<'a> {
    key: &'a ObjectKey,
    meta: ObjectMeta,
    if_absent: bool,
}

/// Why a put was not done.
enum Refusal {
    /// Something has the name.
    Occupied(Error),
    /// Another put of the name was under way.
    Clash(Error),
    Failed(Error),
}

impl Put<'_> {
    fn condition(&self) -> Option<String> {
        self.if_absent.then(|| "*".to_owned())
    }
}

impl S3ObjectStore {
    pub(super) async fn put_object(
        &self,
        key: &ObjectKey,
        body: ByteStream,
        options: PutOptions,
    ) -> Result<ObjectMeta> {
        let spool = Spool::fill(body, self.settings.spool.as_deref()).await?;
        if options.sha256.is_some_and(|stated| stated != spool.sha256) {
            return Err(invalid(OPERATION, "the bytes have another digest than the stated one"));
        }
        let meta = ObjectMeta {
            key: key.clone(),
            size_bytes: spool.size_bytes,
            sha256: spool.sha256,
            content_type: options.content_type,
            version: self.ids.next().to_string(),
        };
        let put = Put { key, meta, if_absent: options.if_absent };
        let mut clashes = 0;
        loop {
            let sent = match &spool.body {
                Spooled::Memory(bytes) => self.put_whole(&put, bytes).await,
                Spooled::Disk(file) => self.put_in_parts(&put, file).await,
            };
            match sent {
                Ok(()) => return Ok(put.meta),
                Err(Refusal::Occupied(error)) => return self.unless_ours(put, error).await,
                Err(Refusal::Clash(_)) if clashes < CLASHES_MAX => clashes += 1,
                // S3 knows nothing of an upload in parts that it completed before.
                Err(Refusal::Failed(error)) if error.outcome() == Outcome::Unknown => {
                    return self.unless_ours(put, error).await;
                }
                Err(Refusal::Clash(error) | Refusal::Failed(error)) => return Err(error),
            }
        }
    }

    /// What has the name may be this very put: the SDK repeats a call whose answer was lost.
    async fn unless_ours(&self, put: Put<'_>, error: Error) -> Result<ObjectMeta> {
        match self.head_object(put.key).await {
            Ok(Some(found)) if found.version == put.meta.version => Ok(put.meta),
            _ => Err(error),
        }
    }

    async fn put_whole(&self, put: &Put<'_>, bytes: &Bytes) -> Result<(), Refusal> {
        let attempts = Attempts::default();
        let request = self
            .client
            .put_object()
            .bucket(&self.settings.bucket)
            .key(put.key.as_str())
            .body(Body::from(bytes.clone()))
            .content_type(&put.meta.content_type)
            .checksum_sha256(BASE64_STANDARD.encode(put.meta.sha256.0))
            .metadata(SHA256, put.meta.sha256.to_string())
            .metadata(VERSION, &put.meta.version)
            .set_if_none_match(put.condition())
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.settings.kms_key_id.clone());
        let mut request = request.customize().interceptor(attempts.clone());
        if bytes.len() > QUICK_BYTES_MAX {
            request = request.config_override(self.in_time_for_much());
        }
        let answer = request.send().await;
        answer.map_err(|error| refusal(code(&error), of_write(OPERATION, &attempts, &error)))?;
        Ok(())
    }

    fn in_time_for_much(&self) -> Builder {
        Builder::new().timeout_config(self.settings.transfer.clone())
    }

    /// Sends a large body. Nothing of it is visible before its last call; what fails before that is taken back.
    async fn put_in_parts(&self, put: &Put<'_>, file: &Arc<Mutex<File>>) -> Result<(), Refusal> {
        let upload = self.begin(put).await.map_err(Refusal::Failed)?;
        let part_bytes = (MEMORY_BYTES_MAX as u64).max(put.meta.size_bytes.div_ceil(PARTS_MAX));
        let starts = (0..put.meta.size_bytes).step_by(usize::try_from(part_bytes).unwrap_or(usize::MAX));
        let upload_id = &upload;
        let parts = stream::iter((1..).zip(starts)).map(|(number, start)| async move {
            let bytes = spool::part(file, start, part_bytes).await?;
            self.send_part(put, upload_id, number, bytes).await
        });
        let parts: Result<Vec<CompletedPart>> = parts.buffered(PARTS_AT_ONCE).try_collect().await;
        let done = match parts {
            Ok(parts) => self.complete(put, &upload, parts).await,
            Err(error) => Err(Refusal::Failed(error)),
        };
        if done.is_err() {
            self.take_back(put, &upload).await;
        }
        done
    }

    /// Answers the id of the upload.
    async fn begin(&self, put: &Put<'_>) -> Result<String> {
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&self.settings.bucket)
            .key(put.key.as_str())
            .content_type(&put.meta.content_type)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .metadata(SHA256, put.meta.sha256.to_string())
            .metadata(VERSION, &put.meta.version)
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.settings.kms_key_id.clone());
        // An upload that was begun and is never completed stores nothing, so no outcome is in doubt.
        let answer = request.send().await.map_err(|error| of_read(OPERATION, &error))?;
        let none = || Error::new(ErrorKind::Unexpected, OPERATION).with_cause("S3 named no upload");
        answer.upload_id.ok_or_else(none)
    }

    async fn send_part(
        &self,
        put: &Put<'_>,
        upload: &str,
        number: i32,
        bytes: Bytes,
    ) -> Result<CompletedPart> {
        let sha256 = BASE64_STANDARD.encode(Sha256::digest(&bytes));
        let request = self
            .client
            .upload_part()
            .bucket(&self.settings.bucket)
            .key(put.key.as_str())
            .upload_id(upload)
            .part_number(number)
            .checksum_sha256(&sha256)
            .body(Body::from(bytes));
        let request = request.customize().config_override(self.in_time_for_much());
        let answer = request.send().await.map_err(|error| of_read(OPERATION, &error))?;
        let part = CompletedPart::builder().part_number(number).checksum_sha256(sha256);
        Ok(part.set_e_tag(answer.e_tag).build())
    }

    async fn complete(&self, put: &Put<'_>, upload: &str, parts: Vec<CompletedPart>) -> Result<(), Refusal> {
        let attempts = Attempts::default();
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.settings.bucket)
            .key(put.key.as_str())
            .upload_id(upload)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .set_if_none_match(put.condition());
        let answer = request.customize().interceptor(attempts.clone()).send().await;
        answer.map_err(|error| refusal(code(&error), of_write(OPERATION, &attempts, &error)))?;
        Ok(())
    }

    /// Removes the parts of an upload. Where this fails, too, the bucket's lifecycle rule removes them after a day.
    async fn take_back(&self, put: &Put<'_>, upload: &str) {
        let request = self.client.abort_multipart_upload().bucket(&self.settings.bucket);
        if let Err(error) = request.key(put.key.as_str()).upload_id(upload).send().await {
            tracing::warn!(error = %of_read(OPERATION, &error), "the parts of a failed upload are left");
        }
    }

    fn encryption(&self) -> Option<ServerSideEncryption> {
        self.settings.kms_key_id.as_ref().map(|_| ServerSideEncryption::AwsKms)
    }
}

fn refusal(code: Option<&str>, error: Error) -> Refusal {
    match (error.kind(), code) {
        (ErrorKind::Conflict, _) => Refusal::Occupied(error),
        (_, Some("ConditionalRequestConflict")) => Refusal::Clash(error),
        _ => Refusal::Failed(error),
    }
}
