//! The local identity provider: the conformance suite, and what is its own.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "all of this is tests")]

mod folder;
mod hostile;
mod passwords;
mod remains;
mod rules;
mod second_factor;

use std::{path::Path, sync::Arc};

use adapters_local::{
    SystemIds,
    embedded::Database,
    identity::{LocalIdentity, PasswordCost, Settings},
};
use conformance::{IdentityFixture, Mailbox, ManualClock};
use domain::ids::UserId;
use futures::future::BoxFuture;
use ports::{
    Denial, Email, IdSource, IdentityProvider, NewUser, SignIn, SignInContext, TokenVerifier, Tokens, denial,
};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

const PASSWORD: &str = "correct horse battery";

mod memory {
    mod identity {
        conformance::identity!(std::future::ready(super::super::memory_fixture()));
    }
}

mod embedded {
    mod identity {
        conformance::identity!(super::super::embedded_fixture());
    }
}

fn settings() -> Settings {
    Settings { password_cost: PasswordCost::LOWEST, ..Settings::new("https://clarity.test", "clarity") }
}

fn confirming() -> Settings {
    Settings { email_confirmation_required: true, ..settings() }
}

fn in_memory(settings: Settings, clock: &Arc<ManualClock>) -> Arc<LocalIdentity> {
    let clock = Arc::clone(clock);
    LocalIdentity::memory(settings, clock, Arc::new(SystemIds)).unwrap()
}

/// Opens the provider of a folder anew, as another process would.
async fn open(folder: &Path, settings: Settings, clock: &Arc<ManualClock>) -> Arc<LocalIdentity> {
    let (database, clock) = (Database::open(folder).await.unwrap(), Arc::clone(clock));
    LocalIdentity::embedded(database, folder, settings, clock, Arc::new(SystemIds)).await.unwrap()
}

fn memory_fixture() -> IdentityFixture {
    let clock = Arc::new(ManualClock::default());
    fixture(in_memory(confirming(), &clock), clock, Box::new(()))
}

async fn embedded_fixture() -> IdentityFixture {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::default()));
    let identity = open(folder.path(), confirming(), &clock).await;
    fixture(identity, clock, Box::new(folder))
}

fn fixture(
    identity: Arc<LocalIdentity>,
    time: Arc<ManualClock>,
    guard: conformance::Guard,
) -> IdentityFixture {
    let rotating = Arc::clone(&identity);
    IdentityFixture {
        verifier: Arc::clone(&identity) as _,
        sessions: Arc::clone(&identity) as _,
        multi_factor: Arc::clone(&identity) as _,
        mailbox: Arc::new(DevMailbox(Arc::clone(&identity))),
        rotate_keys: Box::new(move || {
            let identity = Arc::clone(&rotating);
            Box::pin(async move { identity.rotate_keys().await })
        }),
        identity,
        time,
        guard,
    }
}

struct DevMailbox(Arc<LocalIdentity>);

impl Mailbox for DevMailbox {
    fn latest_code(&self, email: &Email) -> BoxFuture<'_, Option<String>> {
        let email = email.clone();
        Box::pin(async move { latest_code(&self.0, &email).await })
    }
}

async fn latest_code(identity: &LocalIdentity, email: &Email) -> Option<String> {
    let codes = identity.dev_codes().await.unwrap();
    let code = codes.into_iter().rfind(|code| code.email == *email);
    code.map(|code| code.code.expose_secret().to_owned())
}

/// A provider on a folder of its own, and someone who signed up and in.
struct Home {
    folder: TempDir,
    clock: Arc<ManualClock>,
    identity: Arc<LocalIdentity>,
    tokens: Tokens,
}

impl Home {
    async fn new() -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::default()));
        let identity = open(folder.path(), settings(), &clock).await;
        sign_up(&identity, "anna@example.org").await;
        let tokens = sign_in(&identity, "anna@example.org").await;
        Self { folder, clock, identity, tokens }
    }

    /// The provider in another process.
    async fn elsewhere(&self) -> Arc<LocalIdentity> {
        open(self.folder.path(), settings(), &self.clock).await
    }

    fn token(&self) -> &str {
        self.tokens.access_token.expose_secret()
    }
}

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

fn secret(text: &str) -> SecretString {
    text.into()
}

async fn sign_up(identity: &LocalIdentity, address: &str) -> UserId {
    let user_id = UserId(SystemIds.next());
    let user = NewUser { user_id, email: email(address), password: secret(PASSWORD), display_name: None };
    identity.sign_up(user).await.unwrap().user_id
}

async fn sign_in(identity: &LocalIdentity, address: &str) -> Tokens {
    sign_in_from(identity, address, &SignInContext::default()).await
}

async fn sign_in_from(identity: &LocalIdentity, address: &str, from: &SignInContext) -> Tokens {
    match identity.sign_in(&email(address), &secret(PASSWORD), from).await.unwrap() {
        SignIn::Tokens(tokens) => tokens,
        SignIn::Challenge { .. } => panic!("nobody asked for a challenge"),
    }
}

async fn verifies(identity: &LocalIdentity, token: &str) -> bool {
    match identity.verify(token).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(denial(&error), Some(Denial::InvalidToken), "{error}");
            false
        }
    }
}

fn denied<T>(result: ports::Result<T>) -> Denial {
    denial(&result.err().expect("refused")).expect("with a reason")
}
