//! Deleting means erasing: on a versioned bucket a plain delete would only hide an object.

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use aws_smithy_types::error::operation::BuildError;
use ports::{Error, ErrorKind, ObjectKey, Result};

use super::S3ObjectStore;
use crate::error::{Attempts, of_read, of_write};

const OPERATION: &str = "objects.delete";

impl S3ObjectStore {
    /// Removes every version of `key` and every mark of an earlier delete, until none is listed.
    pub(super) async fn delete_versions(&self, key: &ObjectKey) -> Result<()> {
        loop {
            let versions = self.versions(key).await?;
            if versions.is_empty() {
                return Ok(());
            }
            self.remove(versions).await?;
        }
    }

    /// Some versions of `key`: of all names that begin with it, its own is the first.
    async fn versions(&self, key: &ObjectKey) -> Result<Vec<ObjectIdentifier>> {
        let request = self.client.list_object_versions().bucket(&self.settings.bucket).prefix(key.as_str());
        let answer = request.send().await.map_err(|error| of_read(OPERATION, &error))?;
        let stored = answer.versions().iter().map(|version| (version.key(), version.version_id()));
        let marks = answer.delete_markers().iter().map(|mark| (mark.key(), mark.version_id()));
        let ours = stored.chain(marks).filter(|(name, _)| *name == Some(key.as_str()));
        let versions = ours.map(|(_, version)| {
            ObjectIdentifier::builder().key(key.as_str()).set_version_id(version.map(str::to_owned)).build()
        });
        versions.collect::<Result<_, BuildError>>().map_err(broken)
    }

    async fn remove(&self, versions: Vec<ObjectIdentifier>) -> Result<()> {
        let attempts = Attempts::default();
        let wanted = Delete::builder().set_objects(Some(versions)).quiet(true).build().map_err(broken)?;
        let request = self.client.delete_objects().bucket(&self.settings.bucket).delete(wanted);
        let answer = request.customize().interceptor(attempts.clone()).send().await;
        let answer = answer.map_err(|error| of_write(OPERATION, &attempts, &error))?;
        match answer.errors().first() {
            None => Ok(()),
            Some(left) => {
                let cause = format!("a version stays: {}", left.code().unwrap_or("no reason given"));
                Err(Error::new(ErrorKind::Unavailable, OPERATION).with_cause(cause))
            }
        }
    }
}

fn broken(error: BuildError) -> Error {
    Error::new(ErrorKind::Unexpected, OPERATION).with_cause(error)
}
