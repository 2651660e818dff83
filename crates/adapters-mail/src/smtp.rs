//! Mail by SMTP.

mod attempt;

use std::{fmt, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use lettre::message::Mailbox;
use ports::{Error, ErrorKind, Mail, Mailer, Result};
use secrecy::SecretString;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::attempt::{Failure, Server};
use crate::message::{SEND, message};

/// How the connection to the server is kept from others' eyes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encryption {
    /// It begins in plain text, and nothing is sent before the server has changed to TLS. Usually port 587.
    Starttls,
    /// TLS from the first byte. Usually port 465.
    Tls,
    /// None. To this machine only.
    Plain,
}

/// Who this service is to the mail server.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub username: String,
    pub password: SecretString,
}

/// How mail is sent.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    pub credentials: Option<Credentials>,
    /// Who alone vouches for the server's name, as a PEM file; without it, those whom this machine trusts.
    pub authority: Option<PathBuf>,
    /// The sender, as `clarity@example.org` or `Clarity <clarity@example.org>`.
    pub sender: String,
    pub connect_timeout: Duration,
    /// For one delivery with everything but the connection.
    pub timeout: Duration,
    /// How many mails may wait.
    pub waiting_max: usize,
    /// How long a mail is tried again that the server does not take for now.
    pub retry_for: Duration,
    /// The wait before the second attempt; it doubles with each.
    pub retry_base: Duration,
}

/// More connections at a time are what servers take for an attack.
const CONNECTIONS_MAX: usize = 4;
const RETRY_WAIT_MAX: Duration = Duration::from_mins(1);

/// Hands mail to a server, in the background and with patience. What waits is in memory: a mail that was not delivered when
/// the process ends is lost, and its reader asks for another.
pub struct SmtpMailer {
    shared: Arc<Shared>,
    sender: Mailbox,
    waiting: Arc<Semaphore>,
    deliveries: TaskTracker,
    runtime: Handle,
}

struct Shared {
    server: Server,
    connections: Semaphore,
    retry_for: Duration,
    retry_base: Duration,
    stopping: CancellationToken,
}

impl fmt::Debug for SmtpMailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpMailer").finish_non_exhaustive()
    }
}

fn settings_error(cause: impl Into<ports::Cause>) -> Error {
    Error::new(ErrorKind::InvalidInput, "mail.settings").with_cause(cause)
}

/// Whether a connection to `host` stays on this machine.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl SmtpMailer {
    /// Mails are delivered on the runtime that this is called on.
    pub fn new(settings: SmtpSettings) -> Result<Self> {
        if settings.encryption == Encryption::Plain && !is_loopback(&settings.host) {
            return Err(settings_error("plain text goes to this machine only"));
        }
        let sender = settings.sender.parse().map_err(|_hidden| settings_error("the sender is no address"))?;
        let waiting = Arc::new(Semaphore::new(settings.waiting_max));
        let (retry_for, retry_base) = (settings.retry_for, settings.retry_base);
        let shared = Shared {
            server: Server::new(settings)?,
            connections: Semaphore::new(CONNECTIONS_MAX),
            retry_for,
            retry_base,
            stopping: CancellationToken::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            sender,
            waiting,
            deliveries: TaskTracker::new(),
            runtime: Handle::current(),
        })
    }

    /// Connects, encrypts and signs in as a delivery does, and sends nothing.
    pub async fn check(&self) -> Result<()> {
        self.shared.server.check().await.map_err(|failure| {
            let kind = if failure.is_temporary { ErrorKind::Unavailable } else { ErrorKind::InvalidInput };
            Error::new(kind, "mail.check").with_cause(failure)
        })
    }

    /// Tries what waits once more, and waits for that until `timeout`.
    pub async fn stop(&self, timeout: Duration) {
        self.shared.stopping.cancel();
        self.deliveries.close();
        if tokio::time::timeout(timeout, self.deliveries.wait()).await.is_err() {
            tracing::warn!(lost = self.deliveries.len(), "mails were not delivered before the end");
        }
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: Mail) -> Result<()> {
        let message = message(&self.sender, &mail)?;
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return Err(Error::new(ErrorKind::Unavailable, SEND).with_cause("too many mails wait"));
        };
        let delivery = Delivery {
            envelope: message.envelope().clone(),
            bytes: message.formatted(),
            shared: Arc::clone(&self.shared),
            _place: place,
        };
        self.deliveries.spawn_on(delivery.run(), &self.runtime);
        Ok(())
    }
}

struct Delivery {
    envelope: lettre::address::Envelope,
    bytes: Vec<u8>,
    shared: Arc<Shared>,
    _place: OwnedSemaphorePermit,
}

impl Delivery {
    async fn run(self) {
        let give_up_at = Instant::now() + self.shared.retry_for;
        let mut wait = self.shared.retry_base;
        for attempt in 1.. {
            let is_last = self.shared.stopping.is_cancelled();
            let Err(failure) = self.attempt().await else {
                tracing::debug!(attempt, "a mail was handed over");
                return;
            };
            // Neither the address nor what the server said, which names it.
            let (status, stage) = (failure.status, failure.stage);
            if !failure.is_temporary || is_last || Instant::now() + wait > give_up_at {
                tracing::error!(attempt, status, stage, "a mail was not delivered");
                return;
            }
            tracing::warn!(attempt, status, stage, "a mail was not taken for now; trying again");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shared.stopping.cancelled() => {}
            }
            wait = (wait * 2).min(RETRY_WAIT_MAX);
        }
    }

    async fn attempt(&self) -> std::result::Result<(), Failure> {
        // Never closed.
        let _connection = self.shared.connections.acquire().await;
        self.shared.server.deliver(&self.envelope, &self.bytes).await
    }
}
