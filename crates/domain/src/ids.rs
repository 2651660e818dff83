//! Identifiers: one type each, so that none can stand in another's place.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta] $name:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

uuid_id! {
    /// Clarity's own id of a person. Only where the provider of all accounts gives ids itself is it that provider's subject.
    UserId,
    /// The client's id of one reading: HealthKit's UUID, or one derived from the reading's content.
    SampleId,
    /// One acknowledged upload, and the job that processes it. The API also calls it `processing_id`.
    UploadId,
    /// One file that is imported. The same file of the same user has the same id.
    ImportId,
    /// One stored actigraphy analysis.
    AnalysisId,
    /// One stored insight.
    InsightId,
    /// An analysis or insight that was asked for; what comes of it has the same id.
    RequestId,
    /// One consent of a user that a clinician sees their data.
    ConsentId,
    /// One sign-in: the family of refresh tokens that descend from it.
    SessionId,
    /// One entry of the audit trail.
    AuditId,
    /// One event a phone can see.
    EventId,
}
