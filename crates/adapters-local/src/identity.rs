//! The local identity provider: accounts in memory or in the data folder's database, keys and revocations in its folder.

mod accounts;
mod breached;
mod codes;
#[cfg(test)]
mod enumeration;
mod files;
mod keys;
mod lockout;
mod multi_factor;
mod passwords;
mod revocations;
mod rows;
mod sealing;
mod sessions;
mod store;
mod tokens;
mod totp;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use ports::{Clock, Error, ErrorKind, IdSource, Result, TokenVerifier, VerifiedToken};

use self::{
    breached::Breached,
    keys::Keys,
    passwords::Passwords,
    revocations::Revocations,
    rows::Accounts,
    sealing::Sealer,
    store::{MemoryStore, SqliteStore, Store},
    tokens::AccessTokens,
};
use crate::embedded::{Database, io_error};

pub use self::codes::{CODE_LIFETIME, CodePurpose, CodeSink, DevCode};

/// What a password's hash costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PasswordCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
}

impl PasswordCost {
    /// What OWASP recommends for argon2id.
    pub const RECOMMENDED: Self = Self { memory_kib: 19_456, iterations: 2, parallelism: 1 };
    /// As little as argon2 allows. For tests: it protects nothing.
    pub const LOWEST: Self = Self { memory_kib: 8, iterations: 1, parallelism: 1 };
}

/// How accounts are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who issues the tokens.
    pub issuer: String,
    /// Whom they are for.
    pub audience: String,
    /// How long an access token lives, in whole seconds.
    pub access_token_lifetime: Duration,
    /// How long a refresh token lives.
    pub refresh_token_lifetime: Duration,
    /// How long a session lives without being refreshed, unless its sign-in asked to be remembered.
    pub session_idle: Duration,
    /// Whether an address must be confirmed before its first sign-in.
    pub email_confirmation_required: bool,
    /// Whether people may sign up by themselves.
    pub self_sign_up: bool,
    /// How many failures in a row lock an account.
    pub lockout_failures: u32,
    /// How many failures within an hour lock a network address.
    pub lockout_address_failures: u32,
    /// For how long.
    pub lockout_duration: Duration,
    /// What a password's hash costs.
    pub password_cost: PasswordCost,
    /// The list of passwords that nobody may choose, where there is one.
    pub breached_passwords: Option<PathBuf>,
    /// Who delivers codes.
    pub code_sink: Option<Arc<dyn CodeSink>>,
    /// Whether codes are kept for [`LocalIdentity::dev_codes`], for want of somebody who delivers them.
    pub keep_codes: bool,
}

impl Settings {
    /// The usual settings.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            access_token_lifetime: Duration::from_hours(1),
            refresh_token_lifetime: Duration::from_hours(30 * 24),
            email_confirmation_required: false,
            self_sign_up: true,
            session_idle: Duration::from_hours(14 * 24),
            lockout_failures: 5,
            lockout_address_failures: 20,
            lockout_duration: Duration::from_mins(15),
            password_cost: PasswordCost::RECOMMENDED,
            breached_passwords: None,
            code_sink: None,
            keep_codes: true,
        }
    }

    fn check(&self) -> Result<()> {
        let fault = if self.issuer.is_empty() || self.audience.is_empty() {
            "issuer and audience must not be empty"
        } else if self.access_token_lifetime.as_secs() == 0 || self.refresh_token_lifetime.as_secs() == 0 {
            "tokens must live for a second at least"
        } else if self.session_idle < self.access_token_lifetime {
            "a session must not end before its access token"
        } else if self.lockout_failures == 0 || self.lockout_address_failures == 0 {
            "the first failure cannot have happened before it"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::InvalidInput, "identity.settings").with_cause(fault))
    }
}

/// Keeps accounts, and verifies the tokens it issued. Several processes may share a data folder.
pub struct LocalIdentity {
    store: Box<dyn Store>,
    passwords: Passwords,
    tokens: AccessTokens,
    sealer: Sealer,
    settings: Settings,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

/// What differs between memory and a folder.
struct Parts {
    store: Box<dyn Store>,
    tokens: AccessTokens,
    passwords: Passwords,
    sealer: Sealer,
}

impl fmt::Debug for LocalIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalIdentity").finish_non_exhaustive()
    }
}

impl LocalIdentity {
    /// Accounts that end with this value.
    pub fn memory(settings: Settings, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Result<Arc<Self>> {
        let lifetime = settings.access_token_lifetime;
        let keys = Keys::memory(lifetime, clock.now())?;
        let tokens = AccessTokens::new(keys, Revocations::memory(lifetime), &settings);
        let store = Box::new(MemoryStore::default());
        let (passwords, sealer) = (passwords(&settings)?, Sealer::memory()?);
        Self::assemble(Parts { store, tokens, passwords, sealer }, settings, clock, ids)
    }

    /// Accounts in `database`; keys and revocations in the folder `identity` of `folder`.
    pub async fn embedded(
        database: Database,
        folder: &Path,
        settings: Settings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Arc<Self>> {
        let lifetime = settings.access_token_lifetime;
        let (folder, now) = (folder.join("identity"), clock.now());
        let (keys, revocations, sealer) = blocking(move || open(&folder, lifetime, now)).await?;
        let tokens = AccessTokens::new(keys, revocations, &settings);
        let store = Box::new(SqliteStore::new(database));
        let listed = settings.clone();
        let passwords = blocking(move || passwords(&listed)).await?;
        Self::assemble(Parts { store, tokens, passwords, sealer }, settings, clock, ids)
    }

    fn assemble(
        parts: Parts,
        settings: Settings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Arc<Self>> {
        settings.check()?;
        let Parts { store, tokens, passwords, sealer } = parts;
        Ok(Arc::new(Self { store, passwords, tokens, sealer, settings, clock, ids }))
    }

    /// Signs with a new key from now on, in every process of the data folder. What was signed before verifies until it
    /// expires.
    pub async fn rotate_keys(&self) -> Result<()> {
        let (keys, now) = (Arc::clone(&self.tokens.keys), self.clock.now());
        blocking(move || keys.rotate(now)).await
    }

    /// The codes that were kept, newest last.
    pub async fn dev_codes(&self) -> Result<Vec<DevCode>> {
        let mut mail = self.read("identity.dev_codes").await?.mail().await?;
        mail.sort_by_key(|mail| mail.expires_at);
        let codes = mail.into_iter().map(|mail| DevCode {
            email: mail.email,
            purpose: mail.purpose,
            code: mail.code.into(),
            expires_at: mail.expires_at,
        });
        Ok(codes.collect())
    }

    async fn read(&self, operation: &'static str) -> Result<Accounts> {
        Ok(Accounts::new(self.store.read(operation).await?, self.clock.now(), operation))
    }

    async fn begin(&self, operation: &'static str) -> Result<Accounts> {
        Ok(Accounts::new(self.store.begin(operation).await?, self.clock.now(), operation))
    }
}

#[async_trait]
impl TokenVerifier for LocalIdentity {
    async fn verify(&self, token: &str) -> Result<VerifiedToken> {
        self.tokens.verify(token, self.clock.now())
    }

    async fn jwks(&self) -> Result<Option<serde_json::Value>> {
        self.tokens.jwks(self.clock.now()).map(Some)
    }
}

fn open(folder: &Path, lifetime: Duration, now: jiff::Timestamp) -> Result<(Keys, Revocations, Sealer)> {
    let prepared = files::make_folder(folder).and_then(|()| files::lock(&folder.join("open.lock")));
    // One process at a time: the second must find what the first one made.
    let _lock = prepared.map_err(|error| io_error("identity.open", error))?;
    let (revocations, lost) = Revocations::open(folder, lifetime, now)?;
    let keys = Keys::open(folder, lifetime, now, lost)?;
    if lost {
        revocations.renew()?;
    }
    Ok((keys, revocations, Sealer::open(folder)?))
}

fn passwords(settings: &Settings) -> Result<Passwords> {
    let breached = settings.breached_passwords.as_deref().map(Breached::load).transpose()?;
    Passwords::new(settings.password_cost, breached.unwrap_or_default())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::new(ErrorKind::Unexpected, "identity.files").with_cause(error))?
}

/// Bytes that nobody can guess: from the machine's generator and not from the replayable one.
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "identity.random").with_cause(error.to_string())
    })?;
    Ok(bytes)
}
