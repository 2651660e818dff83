//! The latest versions of secrets, kept in memory for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use ports::{Clock, Secret, SecretName};

pub(crate) struct Latest {
    secrets: Mutex<HashMap<SecretName, Cached>>,
    cached_for: Duration,
    clock: Arc<dyn Clock>,
}

struct Cached {
    secret: Secret,
    until: Timestamp,
}

impl Latest {
    /// Believes for `cached_for` that a version is the latest; zero asks each time.
    pub(crate) fn new(cached_for: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { secrets: Mutex::default(), cached_for, clock }
    }

    pub(crate) fn get(&self, name: &SecretName) -> Option<Secret> {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        secrets.get(name).filter(|cached| now < cached.until).map(|cached| cached.secret.clone())
    }

    pub(crate) fn remember(&self, name: &SecretName, secret: &Secret) {
        // A tenth more or less, so that processes that started together do not ask together for ever.
        let cached_for = self.cached_for.mul_f64(rand::random_range(0.9..=1.1));
        let until = self.clock.now().saturating_add(SignedDuration::try_from(cached_for).unwrap_or_default());
        let cached = Cached { secret: secret.clone(), until: until.unwrap_or(Timestamp::MAX) };
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), cached);
    }

    pub(crate) fn forget(&self, name: &SecretName) {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}
