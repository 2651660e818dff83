use std::{any::Any, sync::Arc};

use futures::future::BoxFuture;
use ports::{
    Email, EventBus, HealthDataRepository, IdentityProvider, JobQueue, Mailer, MultiFactor, ObjectStore,
    Result, SecretStore, Sessions, SharedState, TokenVerifier,
};

use crate::TimeControl;

/// Whatever must live as long as the test does, such as a temporary folder.
pub type Guard = Box<dyn Any + Send + Sync>;

/// Opens the same data anew, as another process would. Earlier handles, where they still live, stay usable.
pub type Reopen<T> = Box<dyn Fn() -> BoxFuture<'static, Arc<T>> + Send + Sync>;

/// What the cases of `health_data!` need. The store may hold records of other tests.
pub struct HealthDataFixture {
    pub repository: Arc<dyn HealthDataRepository>,
    pub time: Arc<dyn TimeControl>,
    /// Needed by `durable_health_data!` only.
    pub reopen: Option<Reopen<dyn HealthDataRepository>>,
    pub guard: Guard,
}

/// What the cases of `object_store!` need. The store may hold objects of other tests.
pub struct ObjectStoreFixture {
    pub store: Arc<dyn ObjectStore>,
    /// Needed by `durable_object_store!` only.
    pub reopen: Option<Reopen<dyn ObjectStore>>,
    pub guard: Guard,
}

/// What the cases of `job_queue!` need: a queue of their own, empty.
pub struct JobQueueFixture {
    pub queue: Arc<dyn JobQueue>,
    pub time: Arc<dyn TimeControl>,
    /// How often the queue delivers a message before it gives it up; at least 2.
    pub deliveries_max: u32,
    /// Needed by `durable_job_queue!` only.
    pub reopen: Option<Reopen<dyn JobQueue>>,
    pub guard: Guard,
}

/// What the cases of `event_bus!` need: a bus of their own.
pub struct EventBusFixture {
    pub bus: Arc<dyn EventBus>,
    /// How many events a subscriber can be behind before it misses some.
    pub backlog_max: usize,
    /// Needed by `shared_event_bus!` only.
    pub reopen: Option<Reopen<dyn EventBus>>,
    pub guard: Guard,
}

/// Reads the mail of the test's users.
pub trait Mailbox: Send + Sync + 'static {
    /// The code in the latest mail to `email`; `None` where none was sent.
    fn latest_code(&self, email: &Email) -> BoxFuture<'_, Option<String>>;
}

/// Makes the provider sign with a new key from now on, and keep the old one for verifying.
pub type RotateKeys = Box<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// What the cases of `identity!` need: a provider that requires confirmation of the address, and what belongs to it.
pub struct IdentityFixture {
    pub identity: Arc<dyn IdentityProvider>,
    pub verifier: Arc<dyn TokenVerifier>,
    pub sessions: Arc<dyn Sessions>,
    pub multi_factor: Arc<dyn MultiFactor>,
    pub mailbox: Arc<dyn Mailbox>,
    pub time: Arc<dyn TimeControl>,
    pub rotate_keys: RotateKeys,
    pub guard: Guard,
}

/// A mail as its recipient sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceivedMail {
    pub subject: String,
    /// With `\n` at the end of each line.
    pub text: String,
}

/// Where the mails of a [`MailerFixture`] arrive.
pub trait Inbox: Send + Sync + 'static {
    /// What has arrived for `to` so far, in any order.
    fn mails(&self, to: &Email) -> BoxFuture<'_, Vec<ReceivedMail>>;

    /// From now on the receiving side does not answer (`true`), or answers again. Where there is no other side that could
    /// be away, this does nothing.
    fn hold(&self, held: bool);
}

/// What the cases of `mailer!` need.
pub struct MailerFixture {
    pub mailer: Arc<dyn Mailer>,
    pub inbox: Arc<dyn Inbox>,
    pub guard: Guard,
}

/// What the cases of `secret_store!` need. The store may hold secrets of other tests.
pub struct SecretStoreFixture {
    pub store: Arc<dyn SecretStore>,
    /// Needed by `durable_secret_store!` only.
    pub reopen: Option<Reopen<dyn SecretStore>>,
    pub guard: Guard,
}

/// What the cases of `shared_state!` need. The store may hold what other tests share.
pub struct SharedStateFixture {
    pub state: Arc<dyn SharedState>,
    pub time: Arc<dyn TimeControl>,
    /// Needed by `deployed_shared_state!` only.
    pub reopen: Option<Reopen<dyn SharedState>>,
    pub guard: Guard,
}
