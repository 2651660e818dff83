//! Locks after failures, for providers of accounts that do not keep this service's rule: by account, and by the network address
//! that only this service sees. They are in the state that instances share, so a guess at one counts at all.
//!
//! **While that state cannot be reached nobody signs in** (`Unavailable`): otherwise whoever can take it away could guess on. Who is
//! signed in stays so: sessions and their ends are in stores that last, and none of that is asked here.
//!
//! Accounts and addresses are named by hashes under a secret: who reads the state learns neither.

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use domain::ids::{SessionId, UserId};
use jiff::Timestamp;
use ports::{
    ChallengeKind, Clock, Denial, Email, Error, ErrorKind, IdSource, Identity, IdentityProvider, MultiFactor,
    NewUser, Profile, ProfileUpdate, Result, Role, SharedKey, SharedState, SignIn, SignInContext, Tokens,
    TotpSecret, denial,
};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::{Digest as _, Sha256};

/// Failures of an account that are further apart than this are not in a row.
const ACCOUNT_WINDOW: Duration = Duration::from_hours(24);
/// In which failures of a network address count together; no success of theirs begins the count anew, for whole offices share one.
const NETWORK_WINDOW: Duration = Duration::from_hours(1);
/// How long a guess is waited for before the next one of the same account is let through: longer than a provider takes.
const TURN: Duration = Duration::from_secs(30);
/// How often, and after how long each time, the turn of an account is asked for.
const TURN_ATTEMPTS: u32 = 100;
const TURN_ASKED_EVERY: Duration = Duration::from_millis(50);
/// Longer than any provider lets a challenge wait.
const CHALLENGE_LIFETIME: Duration = Duration::from_mins(15);

/// When what is locked, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct LockoutSettings {
    /// Failures in a row that lock an account.
    pub failures: u32,
    /// Failures within an hour that lock a network address.
    pub address_failures: u32,
    /// How long a lock lasts.
    pub duration: Duration,
}

/// `identity` with the locks. `key` is the secret under which names are hashed.
pub fn locking(
    identity: Identity,
    shared: Arc<dyn SharedState>,
    settings: LockoutSettings,
    key: &SecretSlice<u8>,
    (clock, ids): (Arc<dyn Clock>, Arc<dyn IdSource>),
) -> Identity {
    let hasher = Sha256::new().chain_update(key.expose_secret());
    let locks = Arc::new(Locks { shared, settings, hasher, clock, ids });
    let accounts = identity.accounts;
    Identity {
        multi_factor: Arc::new(LockingFactors {
            inner: identity.multi_factor,
            accounts: Arc::clone(&accounts),
            locks: Arc::clone(&locks),
        }),
        accounts: Arc::new(LockingAccounts { inner: accounts, locks }),
        ..identity
    }
}

struct Locks {
    shared: Arc<dyn SharedState>,
    settings: LockoutSettings,
    /// With the secret in it.
    hasher: Sha256,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

/// What failures are counted of.
#[derive(Clone, Copy)]
struct Subject([u8; 32]);

impl Subject {
    fn key(&self, purpose: &str) -> SharedKey {
        SharedKey::of(purpose, self.0)
    }
}

impl Locks {
    fn subject(&self, kind: &[u8], name: &[u8]) -> Subject {
        Subject(self.hasher.clone().chain_update(kind).chain_update(name).finalize().into())
    }

    /// Accounts count by their address, whether or not anybody has it.
    fn account(&self, email: &Email) -> Subject {
        self.subject(b"account:", email.expose().as_bytes())
    }

    /// An IPv6 address stands for the /64 that one customer is given.
    fn network(&self, from: Option<IpAddr>) -> Option<Subject> {
        from.map(|address| match address.to_canonical() {
            IpAddr::V4(address) => self.subject(b"network:", &address.octets()),
            IpAddr::V6(address) => self.subject(b"network:", &address.octets()[..8]),
        })
    }

    /// Until when `subject` is locked.
    async fn locked_until(&self, subject: &Subject) -> Result<Option<Timestamp>> {
        let Some(text) = self.shared.cached(subject.key("lockout.until")).await? else { return Ok(None) };
        let ms = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        let until = ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let until = until.ok_or_else(|| Error::new(ErrorKind::Corrupt, "lockout.read"))?;
        Ok(Some(until).filter(|until| *until > self.clock.now()))
    }

    /// Does what may fail as the only one who tries `account`, on whichever instance: whoever looks whether it is locked while
    /// others guess would let all of them pass. Waits for its turn; whoever waits for too long is told to come again.
    async fn alone<T>(
        &self,
        account: Subject,
        operation: &'static str,
        attempt: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let (turn, owner) = (account.key("lockout.turn"), self.ids.next());
        let mut attempts = 0;
        while !self.shared.lock(turn, owner, TURN).await? {
            attempts += 1;
            if attempts == TURN_ATTEMPTS {
                let locked = Denial::Locked { retry_after_seconds: 1 };
                return Err(Error::new(ErrorKind::RateLimited, operation).with_cause(locked));
            }
            tokio::time::sleep(TURN_ASKED_EVERY).await;
        }
        let outcome = attempt.await;
        if let Err(error) = self.shared.unlock(turn, owner).await {
            tracing::warn!(%error, "the turn of an account could not be given back; it ends by itself");
        }
        outcome
    }

    /// Refuses what is locked, by account or by network address, with one and the same answer.
    async fn check(
        &self,
        subjects: impl IntoIterator<Item = Subject>,
        operation: &'static str,
    ) -> Result<()> {
        let mut locked_until = None;
        for subject in subjects {
            locked_until = locked_until.max(self.locked_until(&subject).await?);
        }
        let Some(until) = locked_until else { return Ok(()) };
        let left_ms = until.as_millisecond() - self.clock.now().as_millisecond();
        let retry_after_seconds = u64::try_from(left_ms).unwrap_or(0).div_ceil(1000).max(1);
        let locked = Denial::Locked { retry_after_seconds };
        Err(Error::new(ErrorKind::RateLimited, operation).with_cause(locked))
    }

    /// Counts a failure of the account and of the network address, where there is one.
    async fn count(&self, account: Subject, network: Option<Subject>) -> Result<()> {
        let LockoutSettings { failures, address_failures, .. } = self.settings;
        self.count_one(&account, failures, ACCOUNT_WINDOW).await?;
        if let Some(network) = network {
            self.count_one(&network, address_failures, NETWORK_WINDOW).await?;
        }
        Ok(())
    }

    async fn count_one(&self, subject: &Subject, failures_max: u32, window: Duration) -> Result<()> {
        // What is counted cannot be taken back, so that instances may count at once; a count that ends is given up by its name.
        let epoch = self.shared.cached(subject.key("lockout.epoch")).await?.unwrap_or_default();
        let count = SharedKey::of("lockout.failures", [&subject.0, &epoch[..]].concat());
        let taken = self.shared.take(count, failures_max, window).await?;
        if taken.allowed && taken.remaining > 0 {
            return Ok(());
        }
        let duration = self.settings.duration;
        let until_ms = self
            .clock
            .now()
            .as_millisecond()
            .saturating_add_unsigned(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        let until = Bytes::from(until_ms.to_string());
        self.shared.cache(subject.key("lockout.until"), until, duration).await?;
        metrics::counter!("lockouts_total").increment(1);
        // A lock that is over starts the count anew.
        self.begin_anew(subject, window).await
    }

    /// Names the next count. The name outlives every count that it could be confused with.
    async fn begin_anew(&self, subject: &Subject, window: Duration) -> Result<()> {
        let epoch = Bytes::copy_from_slice(self.ids.next().as_bytes());
        self.shared.cache(subject.key("lockout.epoch"), epoch, 2 * window + self.settings.duration).await
    }

    /// Sets back the failures of an account whose owner proved to be its owner. What was proved stays so where that cannot be
    /// kept: the failures count on then.
    async fn forgive(&self, account: &Subject) {
        if let Err(error) = self.begin_anew(account, ACCOUNT_WINDOW).await {
            tracing::warn!(error = %error, "an account's failures could not be set back");
        }
    }

    /// What a sign-in led to: tokens set back the account's failures, a challenge does not, or whoever has the password could
    /// try all codes, a few in each challenge.
    async fn signed_in(&self, account: Subject, outcome: &SignIn) -> Result<()> {
        match outcome {
            SignIn::Tokens(_) => {
                self.forgive(&account).await;
                Ok(())
            }
            SignIn::Challenge { session, .. } => {
                let whose = Bytes::copy_from_slice(&account.0);
                self.shared.cache(challenge(session), whose, CHALLENGE_LIFETIME).await
            }
        }
    }

    /// Whose challenge it is, if it was begun here.
    async fn challenged(&self, session: &SecretString) -> Result<Option<Subject>> {
        let whose = self.shared.cached(challenge(session)).await?;
        Ok(whose.and_then(|whose| whose[..].try_into().ok()).map(Subject))
    }
}

fn challenge(session: &SecretString) -> SharedKey {
    SharedKey::of("lockout.challenge", session.expose_secret())
}

fn is_failure<T>(outcome: &Result<T>) -> bool {
    let denied = outcome.as_ref().err().and_then(denial);
    matches!(denied, Some(Denial::WrongCredentials | Denial::WrongCode))
}

struct LockingAccounts {
    inner: Arc<dyn IdentityProvider>,
    locks: Arc<Locks>,
}

#[async_trait]
impl IdentityProvider for LockingAccounts {
    async fn sign_in(&self, email: &Email, password: &SecretString, from: &SignInContext) -> Result<SignIn> {
        const OPERATION: &str = "identity.sign_in";
        let (account, network) = (self.locks.account(email), self.locks.network(from.address));
        let attempt = async {
            self.locks.check([account].into_iter().chain(network), OPERATION).await?;
            let outcome = self.inner.sign_in(email, password, from).await;
            if is_failure(&outcome) {
                self.locks.count(account, network).await?;
            }
            let outcome = outcome?;
            self.locks.signed_in(account, &outcome).await?;
            Ok(outcome)
        };
        self.locks.alone(account, OPERATION, attempt).await
    }

    async fn respond(
        &self,
        session: &SecretString,
        kind: ChallengeKind,
        answer: &SecretString,
        from: &SignInContext,
    ) -> Result<SignIn> {
        const OPERATION: &str = "identity.respond";
        let network = self.locks.network(from.address);
        let ended = || Error::new(ErrorKind::PermissionDenied, OPERATION).with_cause(Denial::InvalidToken);
        self.locks.check(network, OPERATION).await?;
        // One that is not known any more, as the state may be lost, is nobody's: its codes would be guessed without a count.
        let account = self.locks.challenged(session).await?.ok_or_else(ended)?;
        let attempt = async {
            if self.locks.locked_until(&account).await?.is_some() {
                // The lock ended the challenges that were open.
                return Err(ended());
            }
            let outcome = self.inner.respond(session, kind, answer, from).await;
            if is_failure(&outcome) {
                self.locks.count(account, network).await?;
            }
            let outcome = outcome?;
            self.locks.signed_in(account, &outcome).await?;
            Ok(outcome)
        };
        self.locks.alone(account, OPERATION, attempt).await
    }

    async fn reset(&self, email: &Email, code: &str, new_password: &SecretString) -> Result<()> {
        self.inner.reset(email, code, new_password).await?;
        let account = self.locks.account(email);
        self.locks.forgive(&account).await;
        // Whoever reads the mail may sign in. Where this fails, the lock ends by itself.
        if let Err(error) = self.locks.shared.forget(account.key("lockout.until")).await {
            tracing::warn!(error = %error, "a lock could not be lifted");
        }
        Ok(())
    }

    async fn sign_up(&self, user: NewUser) -> Result<Profile> {
        self.inner.sign_up(user).await
    }

    async fn confirm(&self, email: &Email, code: &str) -> Result<()> {
        self.inner.confirm(email, code).await
    }

    async fn resend(&self, email: &Email) -> Result<()> {
        self.inner.resend(email).await
    }

    async fn refresh(&self, refresh_token: &SecretString, attempt: Option<&str>) -> Result<Tokens> {
        self.inner.refresh(refresh_token, attempt).await
    }

    async fn sign_out(&self, user_id: UserId, session_id: SessionId) -> Result<()> {
        self.inner.sign_out(user_id, session_id).await
    }

    async fn forgot(&self, email: &Email) -> Result<()> {
        self.inner.forgot(email).await
    }

    async fn profile(&self, user_id: UserId) -> Result<Option<Profile>> {
        self.inner.profile(user_id).await
    }

    async fn find(&self, email: &Email) -> Result<Option<Profile>> {
        self.inner.find(email).await
    }

    async fn update(&self, user_id: UserId, update: ProfileUpdate) -> Result<Profile> {
        self.inner.update(user_id, update).await
    }

    async fn set_disabled(&self, user_id: UserId, disabled: bool) -> Result<()> {
        self.inner.set_disabled(user_id, disabled).await
    }

    async fn set_roles(&self, user_id: UserId, roles: std::collections::BTreeSet<Role>) -> Result<()> {
        self.inner.set_roles(user_id, roles).await
    }

    async fn delete(&self, user_id: UserId) -> Result<()> {
        self.inner.delete(user_id).await
    }
}

struct LockingFactors {
    inner: Arc<dyn MultiFactor>,
    accounts: Arc<dyn IdentityProvider>,
    locks: Arc<Locks>,
}

#[async_trait]
impl MultiFactor for LockingFactors {
    async fn disable(&self, user_id: UserId, code: &SecretString) -> Result<()> {
        const OPERATION: &str = "multi_factor.disable";
        let Some(profile) = self.accounts.profile(user_id).await? else {
            return self.inner.disable(user_id, code).await;
        };
        let account = self.locks.account(&profile.email);
        let attempt = async {
            self.locks.check([account], OPERATION).await?;
            let outcome = self.inner.disable(user_id, code).await;
            if is_failure(&outcome) {
                self.locks.count(account, None).await?;
            }
            outcome?;
            self.locks.forgive(&account).await;
            Ok(())
        };
        self.locks.alone(account, OPERATION, attempt).await
    }

    async fn set_up(&self, user_id: UserId) -> Result<TotpSecret> {
        self.inner.set_up(user_id).await
    }

    async fn verify(&self, user_id: UserId, code: &SecretString) -> Result<Vec<SecretString>> {
        self.inner.verify(user_id, code).await
    }

    async fn remove(&self, user_id: UserId) -> Result<()> {
        self.inner.remove(user_id).await
    }

    async fn is_on(&self, user_id: UserId) -> Result<bool> {
        self.inner.is_on(user_id).await
    }
}
