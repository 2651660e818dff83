//! Rate limits, and what answers say about them (draft-ietf-httpapi-ratelimit-headers). Instances that share a store count together;
//! while it is away, and without one, each counts for itself.

use std::{
    cell::RefCell,
    fmt::Display,
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use domain::ids::UserId;
use governor::{
    Quota, RateLimiter, clock::Clock, clock::DefaultClock, middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};

use ports::{SharedKey, SharedState};

use crate::{
    config::Limits,
    problem::{Problem, ProblemKind},
};

type Keyed<K> = RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// A limit of its own name.
struct Limit<K: Hash + Eq + Clone> {
    name: &'static str,
    quota: u32,
    window: Duration,
    limiter: Keyed<K>,
}

/// Counts requests by who makes them; a limit of 0 is off.
pub struct Limiter {
    registrations: Option<Limit<IpAddr>>,
    logins: Option<Limit<IpAddr>>,
    codes: Option<Limit<IpAddr>>,
    uploads: Option<Limit<UserId>>,
    pat: Option<Limit<UserId>>,
    insights: Option<Limit<UserId>>,
    clock: DefaultClock,
    checks: AtomicU32,
    shared: Option<Arc<dyn SharedState>>,
}

/// After so many checks those who called long ago are forgotten.
const CHECKS_BETWEEN: u32 = 10_000;
const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

impl Limiter {
    pub fn new(limits: &Limits, shared: Option<Arc<dyn SharedState>>) -> Self {
        Self {
            registrations: Limit::new("registrations", limits.registrations_per_hour, HOUR),
            logins: Limit::new("logins", limits.logins_per_minute, MINUTE),
            codes: Limit::new("codes", limits.codes_per_hour, HOUR),
            uploads: Limit::new("uploads", limits.uploads_per_hour, HOUR),
            pat: Limit::new("pat", limits.pat_per_hour, HOUR),
            insights: Limit::new("insights", limits.insights_per_hour, HOUR),
            clock: DefaultClock::default(),
            checks: AtomicU32::new(0),
            shared,
        }
    }

    pub async fn registration(&self, address: IpAddr) -> Result<(), Problem> {
        self.check(self.registrations.as_ref(), &network(address)).await
    }

    pub async fn login(&self, address: IpAddr) -> Result<(), Problem> {
        self.check(self.logins.as_ref(), &network(address)).await
    }

    /// Asking for a code by mail, and answering with one.
    pub async fn code(&self, address: IpAddr) -> Result<(), Problem> {
        self.check(self.codes.as_ref(), &network(address)).await
    }

    pub async fn upload(&self, user: UserId) -> Result<(), Problem> {
        self.check(self.uploads.as_ref(), &user).await
    }

    pub async fn pat(&self, user: UserId) -> Result<(), Problem> {
        self.check(self.pat.as_ref(), &user).await
    }

    /// Insights of requests and of what is said in rooms: a writer may be paid by the word.
    pub async fn insight(&self, user: UserId) -> Result<(), Problem> {
        self.check(self.insights.as_ref(), &user).await
    }

    /// Forgets callers whose quota is whole again, so that memory does not grow with everybody who ever called.
    fn forget_idle(&self) {
        let by_address = self.registrations.iter().chain(&self.logins).chain(&self.codes);
        by_address.for_each(|limit| limit.limiter.retain_recent());
        self.uploads
            .iter()
            .chain(&self.pat)
            .chain(&self.insights)
            .for_each(|limit| limit.limiter.retain_recent());
    }

    async fn check<K: Hash + Eq + Clone + Display>(
        &self,
        limit: Option<&Limit<K>>,
        key: &K,
    ) -> Result<(), Problem> {
        let Some(limit) = limit else { return Ok(()) };
        if let Some(shared) = &self.shared {
            let name = SharedKey::of(limit.name, key.to_string());
            match shared.take(name, limit.quota, limit.window).await {
                Ok(taken) => {
                    note(limit.state(taken.remaining, taken.resets_in));
                    let refused = || Problem::new(ProblemKind::RateLimited).retry_after(taken.resets_in);
                    return if taken.allowed { Ok(()) } else { Err(refused()) };
                }
                // Whoever asks is not to blame, and is not let in without a count either.
                Err(_away) => {
                    metrics::counter!("shared_state_failures_total", "use" => "rate_limit").increment(1);
                }
            }
        }
        self.check_here(limit, key)
    }

    fn check_here<K: Hash + Eq + Clone>(&self, limit: &Limit<K>, key: &K) -> Result<(), Problem> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_BETWEEN == CHECKS_BETWEEN - 1 {
            self.forget_idle();
        }
        match limit.limiter.check_key(key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                note(limit.state(remaining, limit.whole_again(remaining)));
                Ok(())
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.clock.now());
                note(limit.state(0, wait));
                Err(Problem::new(ProblemKind::RateLimited).retry_after(wait))
            }
        }
    }
}

/// Whom a limit by address counts: IPv6 gives everyone a network of 2^64 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

impl<K: Hash + Eq + Clone> Limit<K> {
    fn new(name: &'static str, count: u32, window: Duration) -> Option<Self> {
        let count = NonZeroU32::new(count)?;
        let quota = Quota::with_period(window / count.get())?.allow_burst(count);
        let limiter = RateLimiter::keyed(quota).with_middleware();
        Some(Self { name, quota: count.get(), window, limiter })
    }

    /// How long it takes until nothing is used, if nothing more comes.
    fn whole_again(&self, remaining: u32) -> Duration {
        self.window * self.quota.saturating_sub(remaining) / self.quota
    }

    fn state(&self, remaining: u32, reset: Duration) -> RateState {
        RateState {
            policy: format!("\"{}\";q={};w={}", self.name, self.quota, self.window.as_secs()),
            state: format!("\"{}\";r={remaining};t={}", self.name, seconds_up(reset)),
        }
    }
}

/// Whole seconds that are not too few.
pub(crate) fn seconds_up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// What an answer says of the limit that its request was counted by.
#[derive(Clone)]
pub(crate) struct RateState {
    pub policy: String,
    pub state: String,
}

tokio::task_local! {
    /// Of the request that this task serves. A handler asks the limiter; the answer is dressed far from there.
    static RATE: RefCell<Option<RateState>>;
}

fn note(state: RateState) {
    // Outside of a request, nobody reads it.
    let _outside = RATE.try_with(|rate| *rate.borrow_mut() = Some(state));
}

/// Runs what serves one request, and answers the state of the limit that it was counted by.
pub(crate) async fn noting<T>(serve: impl Future<Output = T>) -> (T, Option<RateState>) {
    RATE.scope(RefCell::new(None), async {
        let outcome = serve.await;
        (outcome, RATE.with(|rate| rate.borrow_mut().take()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    #[tokio::test]
    async fn the_state_tells_what_is_left_and_when_all_is_back() {
        let overrides = vec![("limits.logins_per_minute".to_owned(), "3".to_owned())];
        let limits = Config::load(&Sources { overrides, ..Sources::default() }).unwrap().config.limits;
        let limiter = Limiter::new(&limits, None);
        let somebody: IpAddr = "2001:db8::1".parse().unwrap();
        let mut states = Vec::new();
        for _ in 0..4 {
            let (outcome, state) = noting(limiter.login(somebody)).await;
            let state = state.unwrap();
            assert_eq!(state.policy, "\"logins\";q=3;w=60");
            states.push((outcome.is_ok(), state.state));
        }
        let expected = [
            (true, "\"logins\";r=2;t=20"),
            (true, "\"logins\";r=1;t=40"),
            (true, "\"logins\";r=0;t=60"),
            (false, "\"logins\";r=0;t=20"),
        ];
        assert_eq!(states, expected.map(|(passes, state)| (passes, state.to_owned())));
        // A neighbour in the same network is the same somebody; another network is not.
        assert!(limiter.login("2001:db8::ffff:2".parse().unwrap()).await.is_err());
        assert!(limiter.login("2001:db8:0:1::1".parse().unwrap()).await.is_ok());
        assert!(noting(async {}).await.1.is_none());
    }
}
