//! The traits through which Clarity sees the world: one file per port.
//!
//! Every trait is object-safe and narrow, and documents its promises in a `# Contract` list. Each line of it is a case in
//! the `conformance` crate, which every adapter runs.
#![warn(missing_docs)]

mod clock;
mod cloud;
mod error;
mod events;
mod external;
mod health_data;
mod identity;
mod insight;
mod jobs;
mod mailer;
mod model_repository;
mod multi_factor;
pub mod objects;
pub mod paging;
mod predictor;
mod scrubber;
mod secrets;
mod sessions;
mod shared_state;

pub use clock::{Clock, IdSource, SystemClock, SystemIds};
pub use cloud::{CloudProvider, Identity};
pub use error::{Cause, Error, ErrorKind, Outcome, Result};
pub use events::{Event, EventBus, EventStream};
pub use external::{ExternalAccount, ExternalToken, ExternalVerifier};
pub use health_data::{
    Change, CommitLimits, Direction, HealthDataRepository, Page, Precondition, QUERY_LIMIT_MAX, Query,
    Record, Version, Write,
};
pub use identity::{
    ChallengeKind, Denial, Email, IdentityProvider, NewUser, PasswordFault, Profile, ProfileUpdate, Role,
    SignIn, SignInContext, TokenVerifier, Tokens, VerifiedToken, denial, password_fault,
};
pub use insight::{Fact, InsightFacts, InsightWriter, Listener, Narrative, Usage};
pub use jobs::{DeadLetter, JobQueue, Lease, MessageId, NewMessage, QueueStats, Receipt};
pub use mailer::{Mail, Mailer};
pub use model_repository::{BatchStatistics, FailureReason, ModelRepository, ModelStatistics, Tally};
pub use multi_factor::{MultiFactor, TotpSecret};
pub use objects::{
    ByteRange, ByteStream, Object, ObjectKey, ObjectMeta, ObjectStore, PresignedMethod, PutOptions,
    Sha256Digest,
};
pub use predictor::{
    ModelIdentity, ModelState, ModelStatus, Normalisation, Prediction, PredictionRequest, Predictor,
    Priority, Tensor, TensorSignature, Weights,
};
pub use scrubber::Scrubber;
pub use secrets::{Secret, SecretName, SecretStore};
pub use sessions::{SessionInfo, Sessions};
pub use shared_state::{CACHED_BYTES_MAX, SHARED_FOR_MAX, SharedKey, SharedState, Taken};

/// Where a page ends, as the store that issued it knows it. Opaque; the API signs it before a client sees it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cursor(pub String);
