//! Rate limits of one process.

use std::{hash::Hash, net::IpAddr, num::NonZeroU32};

use domain::ids::UserId;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock, clock::DefaultClock};

use crate::{
    config::Limits,
    problem::{Problem, ProblemKind},
};

type Keyed<K> = Option<DefaultKeyedRateLimiter<K>>;

/// Counts requests by who makes them; a limit of 0 is off.
pub struct Limiter {
    registrations: Keyed<IpAddr>,
    logins: Keyed<IpAddr>,
    codes: Keyed<IpAddr>,
    uploads: Keyed<UserId>,
    pat: Keyed<UserId>,
    clock: DefaultClock,
}

impl Limiter {
    pub fn new(limits: &Limits) -> Self {
        Self {
            registrations: keyed(limits.registrations_per_hour, Quota::per_hour),
            logins: keyed(limits.logins_per_minute, Quota::per_minute),
            codes: keyed(limits.codes_per_hour, Quota::per_hour),
            uploads: keyed(limits.uploads_per_hour, Quota::per_hour),
            pat: keyed(limits.pat_per_hour, Quota::per_hour),
            clock: DefaultClock::default(),
        }
    }

    pub fn registration(&self, address: IpAddr) -> Result<(), Problem> {
        self.check(self.registrations.as_ref(), &address)
    }

    pub fn login(&self, address: IpAddr) -> Result<(), Problem> {
        self.check(self.logins.as_ref(), &address)
    }

    /// Asking for a code by mail, and answering with one.
    pub fn code(&self, address: IpAddr) -> Result<(), Problem> {
        self.check(self.codes.as_ref(), &address)
    }

    pub fn upload(&self, user: UserId) -> Result<(), Problem> {
        self.check(self.uploads.as_ref(), &user)
    }

    pub fn pat(&self, user: UserId) -> Result<(), Problem> {
        self.check(self.pat.as_ref(), &user)
    }

    /// Forgets callers whose quota is whole again, so that memory does not grow with everybody who ever called.
    pub fn forget_idle(&self) {
        self.registrations.iter().chain(&self.logins).chain(&self.codes).for_each(RateLimiter::retain_recent);
        self.uploads.iter().chain(&self.pat).for_each(RateLimiter::retain_recent);
    }

    fn check<K: Hash + Eq + Clone>(
        &self,
        limiter: Option<&DefaultKeyedRateLimiter<K>>,
        key: &K,
    ) -> Result<(), Problem> {
        let Some(limiter) = limiter else { return Ok(()) };
        limiter.check_key(key).map_err(|not_until| {
            Problem::new(ProblemKind::RateLimited).retry_after(not_until.wait_time_from(self.clock.now()))
        })
    }
}

fn keyed<K: Hash + Eq + Clone>(count: u32, quota: fn(NonZeroU32) -> Quota) -> Keyed<K> {
    NonZeroU32::new(count).map(|count| RateLimiter::keyed(quota(count)))
}
