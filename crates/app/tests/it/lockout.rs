//! Locks that instances share, over a provider that would let everybody guess on.

use std::{sync::Arc, time::Duration};

use adapters_local::{
    SystemIds,
    identity::{LocalIdentity, Settings},
    memory::MemorySharedState,
};
use app::lockout::{LockoutSettings, locking};
use async_trait::async_trait;
use bytes::Bytes;
use conformance::{Authenticator, ManualClock, TimeControl as _};
use ports::{
    Clock, Denial, Email, Error, ErrorKind, Identity, NewUser, Result, SharedKey, SharedState, SignIn,
    SignInContext, Taken, denial,
};
use secrecy::SecretSlice;
use uuid::Uuid;

const PASSWORD: &str = "correct horse battery";

/// A state that nothing reaches.
struct Away;

#[async_trait]
impl SharedState for Away {
    async fn take(&self, _: SharedKey, _: u32, _: Duration) -> Result<Taken> {
        away()
    }

    async fn mark(&self, _: SharedKey, _: Duration) -> Result<()> {
        away()
    }

    async fn is_marked(&self, _: SharedKey) -> Result<bool> {
        away()
    }

    async fn lock(&self, _: SharedKey, _: Uuid, _: Duration) -> Result<bool> {
        away()
    }

    async fn unlock(&self, _: SharedKey, _: Uuid) -> Result<()> {
        away()
    }

    async fn cached(&self, _: SharedKey) -> Result<Option<Bytes>> {
        away()
    }

    async fn cache(&self, _: SharedKey, _: Bytes, _: Duration) -> Result<()> {
        away()
    }

    async fn forget(&self, _: SharedKey) -> Result<()> {
        away()
    }
}

fn away<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unavailable, "shared"))
}

/// Accounts that never lock by themselves, and the clock that they live by.
struct House {
    local: Arc<LocalIdentity>,
    own: Identity,
    clock: Arc<ManualClock>,
}

impl House {
    fn new() -> Self {
        let clock = Arc::<ManualClock>::default();
        let settings = Settings {
            email_confirmation_required: false,
            keep_codes: true,
            lockout_failures: 1000,
            lockout_address_failures: 1_000_000,
            ..Settings::new("test", "test")
        };
        let local = LocalIdentity::memory(settings, Arc::clone(&clock) as _, Arc::new(SystemIds)).unwrap();
        let own = Identity {
            accounts: Arc::clone(&local) as _,
            tokens: Arc::clone(&local) as _,
            sessions: Arc::clone(&local) as _,
            multi_factor: Arc::clone(&local) as _,
        };
        Self { local, own, clock }
    }

    /// An instance that shares `state` with others.
    fn instance(&self, state: Arc<dyn SharedState>) -> Identity {
        let settings =
            LockoutSettings { failures: 5, address_failures: 20, duration: Duration::from_mins(15) };
        let time: (Arc<dyn Clock>, _) = (Arc::clone(&self.clock) as _, Arc::new(SystemIds) as _);
        locking(self.own.clone(), state, settings, &SecretSlice::from(vec![1; 32]), time)
    }

    async fn person(&self, name: &str) -> Email {
        let email = Email::parse(&format!("{name}@example.org")).unwrap();
        let user_id = domain::ids::UserId(ports::IdSource::next(&SystemIds));
        let user = NewUser { user_id, email: email.clone(), password: PASSWORD.into(), display_name: None };
        self.own.accounts.sign_up(user).await.unwrap();
        email
    }
}

async fn sign_in(identity: &Identity, email: &Email, password: &str) -> Result<SignIn> {
    identity.accounts.sign_in(email, &password.into(), &SignInContext::default()).await
}

fn is_locked(outcome: &Result<SignIn>) -> bool {
    outcome.as_ref().err().is_some_and(|error| matches!(denial(error), Some(Denial::Locked { .. })))
}

#[tokio::test]
async fn guesses_at_one_instance_count_at_all_and_so_does_the_lock() {
    let house = House::new();
    let state = Arc::new(MemorySharedState::new(Arc::clone(&house.clock) as _));
    let (one, other) = (house.instance(Arc::clone(&state) as _), house.instance(state));
    let (anna, berta) = (house.person("anna").await, house.person("berta").await);
    for instance in [&one, &other, &one, &other, &one] {
        let refused = sign_in(instance, &anna, "wrong").await.unwrap_err();
        assert_eq!(denial(&refused), Some(Denial::WrongCredentials));
    }
    for instance in [&one, &other] {
        assert!(is_locked(&sign_in(instance, &anna, PASSWORD).await));
        sign_in(instance, &berta, PASSWORD).await.unwrap();
    }
    house.clock.advance(Duration::from_mins(15)).await;
    sign_in(&other, &anna, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn while_the_state_is_away_nobody_signs_in_and_who_is_signed_in_stays_so() {
    let house = House::new();
    let anna = house.person("anna").await;
    let Ok(SignIn::Tokens(tokens)) = sign_in(&house.own, &anna, PASSWORD).await else { panic!("no tokens") };
    let cut_off = house.instance(Arc::new(Away));
    for password in [PASSWORD, "wrong"] {
        let refused = sign_in(&cut_off, &anna, password).await.unwrap_err();
        assert_eq!((refused.kind(), denial(&refused)), (ErrorKind::Unavailable, None));
    }
    let access = secrecy::ExposeSecret::expose_secret(&tokens.access_token);
    cut_off.tokens.verify(access).await.unwrap();
    cut_off.accounts.refresh(&tokens.refresh_token, None).await.unwrap();
    // The end of a session counts, too.
    cut_off.accounts.sign_out(tokens.user_id, tokens.session_id).await.unwrap();
    assert!(cut_off.tokens.verify(access).await.is_err());
}

#[tokio::test]
async fn a_mailed_code_lifts_a_lock() {
    let house = House::new();
    let identity = house.instance(Arc::new(MemorySharedState::new(Arc::clone(&house.clock) as _)));
    let anna = house.person("anna").await;
    for _ in 0..5 {
        sign_in(&identity, &anna, "wrong").await.unwrap_err();
    }
    assert!(is_locked(&sign_in(&identity, &anna, PASSWORD).await));
    identity.accounts.reset(&anna, "000000", &"another password".into()).await.unwrap_err();
    assert!(is_locked(&sign_in(&identity, &anna, PASSWORD).await), "a wrong code lifts nothing");
    identity.accounts.forgot(&anna).await.unwrap();
    let codes = house.local.dev_codes().await.unwrap();
    let code = secrecy::ExposeSecret::expose_secret(&codes[0].code).to_owned();
    identity.accounts.reset(&anna, &code, &"another password".into()).await.unwrap();
    sign_in(&identity, &anna, "another password").await.unwrap();
}

#[tokio::test]
async fn guesses_at_once_are_no_more_than_guesses_one_by_one() {
    let house = House::new();
    let state = Arc::new(MemorySharedState::new(Arc::clone(&house.clock) as _));
    let (one, other) = (house.instance(Arc::clone(&state) as _), house.instance(state));
    let anna = house.person("anna").await;
    let guesses = (0..20).map(|n| sign_in(if n % 2 == 0 { &one } else { &other }, &anna, "wrong"));
    let outcomes = futures::future::join_all(guesses).await;
    let tried = outcomes.iter().filter(|outcome| !is_locked(outcome)).count();
    assert!((1..=5).contains(&tried), "{tried} were tried");
}

#[tokio::test]
async fn a_challenge_that_the_state_lost_is_over() {
    let house = House::new();
    let state = || Arc::new(MemorySharedState::new(Arc::clone(&house.clock) as _));
    let anna = house.person("anna").await;
    let Ok(SignIn::Tokens(tokens)) = sign_in(&house.own, &anna, PASSWORD).await else { panic!("no tokens") };
    let secret = house.own.multi_factor.set_up(tokens.user_id).await.unwrap().secret;
    let app = Authenticator::new(&secret);
    let code = app.code(Clock::now(&*house.clock));
    house.own.multi_factor.verify(tokens.user_id, &code).await.unwrap();
    house.clock.advance(Authenticator::STEP).await;
    let begun = sign_in(&house.instance(state()), &anna, PASSWORD).await;
    let Ok(SignIn::Challenge { session, kind }) = begun else { panic!("no second factor") };
    let restarted = house.instance(state());
    let (code, from) = (app.code(Clock::now(&*house.clock)), SignInContext::default());
    let refused = restarted.accounts.respond(&session, kind, &code, &from).await.unwrap_err();
    assert_eq!(denial(&refused), Some(Denial::InvalidToken));
}
