//! Passwords, as argon2id hashes in PHC strings.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use ports::{Email, Error, ErrorKind, PasswordFault, Result};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{PasswordCost, breached::Breached, random};

const OPERATION: &str = "identity.password";
const CHARACTERS_MIN: usize = 8;
const BYTES_MAX: usize = 1024;
/// How many are hashed at a time: each takes the memory that the cost names.
const RUNNING_MAX: usize = 2;
/// How many wait for that before further ones are turned away.
const WAITING_MAX: usize = 64;

pub(super) struct Passwords {
    params: Params,
    running: Arc<Semaphore>,
    waiting: Semaphore,
    /// A hash of nothing: checking against it takes as long as checking against a user's.
    nobody: String,
    breached: Breached,
    /// How many were hashed.
    #[cfg(test)]
    pub(super) hashed: std::sync::atomic::AtomicUsize,
}

impl Passwords {
    pub(super) fn new(cost: PasswordCost, breached: Breached) -> Result<Self> {
        let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, None)
            .map_err(|error| Error::new(ErrorKind::InvalidInput, OPERATION).with_cause(error.to_string()))?;
        let salt = STANDARD_NO_PAD.encode(random::<16>()?);
        let output = STANDARD_NO_PAD.encode(random::<32>()?);
        let PasswordCost { memory_kib, iterations, parallelism } = cost;
        let nobody = format!("$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}${salt}${output}");
        let running = Arc::new(Semaphore::new(RUNNING_MAX));
        Ok(Self {
            params,
            running,
            waiting: Semaphore::new(WAITING_MAX),
            nobody,
            breached,
            #[cfg(test)]
            hashed: std::sync::atomic::AtomicUsize::default(),
        })
    }

    /// Whether it may be the password of the user at `email`.
    pub(super) fn check(
        &self,
        password: &SecretString,
        email: &Email,
        operation: &'static str,
    ) -> Result<()> {
        let text = password.expose_secret();
        let fault = if text.chars().count() < CHARACTERS_MIN {
            PasswordFault::TooShort { characters_min: CHARACTERS_MIN }
        } else if text.len() > BYTES_MAX {
            PasswordFault::TooLong { bytes_max: BYTES_MAX }
        } else if text.trim().to_lowercase() == email.expose() {
            PasswordFault::IsEmail
        } else if self.breached.contains(text) {
            PasswordFault::Breached
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::InvalidInput, operation).with_cause(fault))
    }

    pub(super) async fn hash(&self, password: &SecretString) -> Result<String> {
        let params = self.params.clone();
        self.run(password, move |password| {
            let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(password);
            hash.map(|hash| hash.to_string()).map_err(|error| error.to_string())
        })
        .await?
        .map_err(|error| Error::new(ErrorKind::Unexpected, OPERATION).with_cause(error))
    }

    /// Whether `password` is the one of `hash`; `None` for a user who does not exist.
    pub(super) async fn matches(&self, password: &SecretString, hash: Option<&str>) -> Result<bool> {
        let stored = hash.unwrap_or(&self.nobody).to_owned();
        let matches = self.run(password, move |password| {
            let parsed = PasswordHash::new(&stored).map_err(|error| error.to_string())?;
            Ok(Argon2::default().verify_password(password, &parsed).is_ok())
        });
        let matches = matches
            .await?
            .map_err(|error: String| Error::new(ErrorKind::Corrupt, OPERATION).with_cause(error))?;
        Ok(matches && hash.is_some())
    }

    async fn run<T: Send + 'static>(
        &self,
        password: &SecretString,
        work: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> Result<T> {
        #[cfg(test)]
        self.hashed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let full =
            |_| Error::new(ErrorKind::RateLimited, OPERATION).with_cause("too many passwords at a time");
        let _place = self.waiting.try_acquire().map_err(full)?;
        let permit = Arc::clone(&self.running).acquire_owned().await;
        let permit: OwnedSemaphorePermit =
            permit.map_err(|error| Error::new(ErrorKind::Unavailable, OPERATION).with_cause(error))?;
        let password = password.clone();
        let task = tokio::task::spawn_blocking(move || {
            // Held by the work itself, which goes on where the caller does not wait for its end.
            let _permit = permit;
            work(password.expose_secret().as_bytes())
        });
        task.await.map_err(|error| Error::new(ErrorKind::Unexpected, OPERATION).with_cause(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn checking_against_nobody_costs_as_much_as_against_somebody() {
        for cost in [PasswordCost::LOWEST, PasswordCost { iterations: 3, ..PasswordCost::LOWEST }] {
            let passwords = Passwords::new(cost, Breached::default()).unwrap();
            let somebody = passwords.hash(&"correct horse battery".into()).await.unwrap();
            let cost = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(cost(&passwords.nobody), cost(&somebody));
            assert_eq!(passwords.nobody.len(), somebody.len());
            assert!(PasswordHash::new(&passwords.nobody).is_ok());
        }
    }
}
