//! The one message type that every producer and every consumer of the job queue speaks.

use serde::{Deserialize, Serialize};

use crate::ids::{ImportId, RequestId, UploadId, UserId};

/// The newest version that this build knows. It writes the first one that has the work's kind, so that an earlier build leaves
/// the others to a later one.
pub const ENVELOPE_VERSION: u32 = 3;

/// A job as it travels through the queue. It names the work and carries none of the data: the worker reads the records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Version of this format; a reader refuses versions it does not know.
    pub version: u32,
    /// Whose data.
    pub user_id: UserId,
    /// What is to be done.
    pub work: Work,
    /// W3C `traceparent` of the request that caused the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// The kinds of work.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Work {
    /// Compute what an upload's samples change, and mark its job completed.
    ProcessUpload {
        /// The upload.
        upload_id: UploadId,
    },
    /// Compute anew what a deletion changed.
    ProcessDeletion {
        /// The upload whose samples were deleted, and whose deletion record lists the days.
        upload_id: UploadId,
    },
    /// Compute the results of days that an import touched, or that a preference changes.
    ComputeDays {
        /// The record that lists them.
        part: uuid::Uuid,
    },
    /// Remove objects that no record names any more.
    ForgetObjects {
        /// Their keys.
        objects: Vec<String>,
    },
    /// Import a file that was put into the object store.
    ImportFile {
        /// The import.
        import_id: ImportId,
    },
    /// Make an analysis or insight that was asked for.
    AnswerRequest {
        /// What was asked for.
        request_id: RequestId,
    },
}

/// Why bytes are not an [`Envelope`].
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Not the JSON of any version of it.
    #[error("the message is not an envelope")]
    Malformed(#[source] serde_json::Error),
    /// Written by a newer build.
    #[error("envelope version {0} is not known to this build")]
    UnknownVersion(u32),
}

impl Envelope {
    /// An envelope of the version that its work needs.
    pub fn new(user_id: UserId, work: Work) -> Self {
        let version = match work {
            Work::ProcessUpload { .. } | Work::ProcessDeletion { .. } | Work::AnswerRequest { .. } => 1,
            Work::ComputeDays { .. } | Work::ForgetObjects { .. } => 2,
            Work::ImportFile { .. } => 3,
        };
        Self { version, user_id, work, traceparent: None }
    }

    /// What is done one after the other: the work of one user. A file takes minutes, which the others do not wait for.
    pub fn ordering_key(&self) -> String {
        match self.work {
            Work::ImportFile { .. } => format!("{}/import", self.user_id),
            _ => self.user_id.to_string(),
        }
    }

    /// All ordering keys under which work of a user is in the queue.
    pub fn ordering_keys(user: UserId) -> [String; 2] {
        let import_id = ImportId(uuid::Uuid::nil());
        let works = [Work::ForgetObjects { objects: Vec::new() }, Work::ImportFile { import_id }];
        works.map(|work| Self::new(user, work).ordering_key())
    }

    /// The bytes that go into the queue.
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        serde_json::to_vec(self).map_err(EnvelopeError::Malformed)
    }

    /// Reads bytes from the queue.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        // The version is read first, by itself: a newer format need not look like this one.
        let Version { version } = serde_json::from_slice(bytes).map_err(EnvelopeError::Malformed)?;
        if !(1..=ENVELOPE_VERSION).contains(&version) {
            return Err(EnvelopeError::UnknownVersion(version));
        }
        serde_json::from_slice(bytes).map_err(EnvelopeError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn envelope() -> Envelope {
        Envelope::new(
            UserId(Uuid::from_u128(1)),
            Work::ProcessUpload { upload_id: UploadId(Uuid::from_u128(2)) },
        )
    }

    #[test]
    fn what_was_written_is_read_back() {
        assert_eq!(Envelope::decode(&envelope().encode().unwrap()).unwrap(), envelope());
    }

    #[test]
    fn the_stored_form_is_fixed() {
        assert_eq!(
            String::from_utf8(envelope().encode().unwrap()).unwrap(),
            "{\"version\":1,\"user_id\":\"00000000-0000-0000-0000-000000000001\",\
             \"work\":{\"kind\":\"process_upload\",\"upload_id\":\"00000000-0000-0000-0000-000000000002\"}}"
        );
    }

    #[test]
    fn a_users_ordering_keys_are_those_of_all_work() {
        let (user, id) = (UserId(Uuid::from_u128(1)), Uuid::from_u128(2));
        let works = [
            Work::ProcessUpload { upload_id: UploadId(id) },
            Work::ProcessDeletion { upload_id: UploadId(id) },
            Work::ComputeDays { part: id },
            Work::ForgetObjects { objects: Vec::new() },
            Work::ImportFile { import_id: ImportId(id) },
            Work::AnswerRequest { request_id: RequestId(id) },
        ];
        for work in works {
            let key = Envelope::new(user, work).ordering_key();
            assert!(Envelope::ordering_keys(user).contains(&key), "{key}");
        }
    }

    #[test]
    fn a_newer_version_is_refused_by_its_number() {
        let error = Envelope::decode(br#"{"version":4,"anything":true}"#).unwrap_err();
        assert!(matches!(error, EnvelopeError::UnknownVersion(4)));
        assert!(matches!(Envelope::decode(b"{}").unwrap_err(), EnvelopeError::Malformed(_)));
    }
}
