//! That nobody learns who has an account from how long an answer takes: for an address with an account and for one without,
//! the same rows are read and written, in the same order, and as many passwords are hashed.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use conformance::{Authenticator, ManualClock};
use domain::ids::UserId;
use ports::{Clock, Email, IdSource, IdentityProvider, MultiFactor, NewUser, Result, SignInContext};
use secrecy::SecretString;

use super::{
    Breached, CodePurpose, CodeSink, LocalIdentity, Parts, PasswordCost, Settings,
    keys::Keys,
    passwords::Passwords,
    revocations::Revocations,
    sealing::Sealer,
    store::{Kind, MemoryStore, Row, Store, Transaction},
    tokens::AccessTokens,
};
use crate::SystemIds;

const PASSWORD: &str = "correct horse battery";

type Log = Arc<Mutex<Vec<String>>>;

/// A store that writes down what is asked of it.
struct Recording {
    store: MemoryStore,
    log: Log,
}

struct RecordingTransaction {
    transaction: Box<dyn Transaction>,
    log: Log,
}

impl RecordingTransaction {
    fn note(&self, what: &str, kind: Kind) {
        self.log.lock().unwrap().push(format!("{what} {kind:?}"));
    }
}

#[async_trait]
impl Store for Recording {
    async fn read(&self, operation: &'static str) -> Result<Box<dyn Transaction>> {
        self.log.lock().unwrap().push("read".to_owned());
        let transaction = self.store.read(operation).await?;
        Ok(Box::new(RecordingTransaction { transaction, log: Arc::clone(&self.log) }))
    }

    async fn begin(&self, operation: &'static str) -> Result<Box<dyn Transaction>> {
        self.log.lock().unwrap().push("begin".to_owned());
        let transaction = self.store.begin(operation).await?;
        Ok(Box::new(RecordingTransaction { transaction, log: Arc::clone(&self.log) }))
    }
}

#[async_trait]
impl Transaction for RecordingTransaction {
    async fn get(&mut self, kind: Kind, key: &[u8]) -> Result<Option<Row>> {
        self.note("get", kind);
        self.transaction.get(kind, key).await
    }

    async fn owned(&mut self, kind: Kind, owner: &[u8]) -> Result<Vec<(Vec<u8>, Row)>> {
        self.note("owned", kind);
        self.transaction.owned(kind, owner).await
    }

    async fn put(&mut self, kind: Kind, key: &[u8], row: Row) -> Result<()> {
        self.note("put", kind);
        self.transaction.put(kind, key, row).await
    }

    async fn delete(&mut self, kind: Kind, key: &[u8]) -> Result<()> {
        self.note("delete", kind);
        self.transaction.delete(kind, key).await
    }

    async fn sweep(&mut self, now_ms: i64) -> Result<()> {
        self.log.lock().unwrap().push("sweep".to_owned());
        self.transaction.sweep(now_ms).await
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.log.lock().unwrap().push("commit".to_owned());
        self.transaction.commit().await
    }
}

#[derive(Debug)]
struct Post;

impl CodeSink for Post {
    fn deliver(&self, _: &Email, _: CodePurpose, _: &SecretString) {}
}

/// A provider, and addresses with an account of every sort and with none.
struct House {
    identity: Arc<LocalIdentity>,
    log: Log,
    clock: Arc<ManualClock>,
    addresses: Vec<Email>,
}

impl House {
    async fn new() -> Self {
        let (clock, log) = (Arc::new(ManualClock::default()), Log::default());
        let settings = Settings {
            password_cost: PasswordCost::LOWEST,
            email_confirmation_required: true,
            code_sink: Some(Arc::new(Post)),
            keep_codes: false,
            ..Settings::new("test", "test")
        };
        let lifetime = settings.access_token_lifetime;
        let keys = Keys::memory(lifetime, Clock::now(&*clock)).unwrap();
        let parts = Parts {
            store: Box::new(Recording { store: MemoryStore::default(), log: Arc::clone(&log) }),
            tokens: AccessTokens::new(keys, Revocations::memory(lifetime), &settings),
            passwords: Passwords::new(settings.password_cost, Breached::default()).unwrap(),
            sealer: Sealer::memory().unwrap(),
        };
        let identity =
            LocalIdentity::assemble(parts, settings, Arc::clone(&clock) as _, Arc::new(SystemIds)).unwrap();
        let mut house = Self { identity, log, clock, addresses: Vec::new() };
        house.settle().await;
        house
    }

    async fn settle(&mut self) {
        let address = |name: &str| Email::parse(&format!("{name}@example.org")).unwrap();
        for name in ["unconfirmed", "disabled", "careful"] {
            let user_id = UserId(SystemIds.next());
            let user =
                NewUser { user_id, email: address(name), password: PASSWORD.into(), display_name: None };
            self.identity.sign_up(user).await.unwrap();
            self.identity.set_disabled(user_id, name == "disabled").await.unwrap();
            if name == "careful" {
                let app = Authenticator::new(&self.identity.set_up(user_id).await.unwrap().secret);
                let code = app.code(Clock::now(&*self.clock));
                self.identity.verify(user_id, &code).await.unwrap();
            }
        }
        self.addresses = ["unconfirmed", "disabled", "careful", "nobody"].map(address).to_vec();
        // The codes of the sign-ups and their windows end.
        self.clock.advance_by(Duration::from_hours(2));
    }

    /// Asserts that `ask` takes the same work for each address; answers that work.
    async fn assert_same<F: Future<Output = ()>>(&self, ask: impl Fn(Email) -> F) -> Vec<String> {
        let mut works = Vec::new();
        for address in &self.addresses {
            self.log.lock().unwrap().clear();
            let hashed = self.identity.passwords.hashed.load(Ordering::Relaxed);
            ask(address.clone()).await;
            let mut work = std::mem::take(&mut *self.log.lock().unwrap());
            let hashed = self.identity.passwords.hashed.load(Ordering::Relaxed) - hashed;
            work.push(format!("{hashed} hashed"));
            works.push((address.expose(), work));
        }
        let (first, rest) = works.split_first().unwrap();
        for (address, work) in rest {
            assert_eq!(work, &first.1, "{address} and {} differ", first.0);
        }
        first.1.clone()
    }
}

#[tokio::test]
async fn a_wrong_password_takes_the_same_work_at_every_address() {
    let house = House::new().await;
    let from = SignInContext { address: Some([192, 0, 2, 7].into()), ..SignInContext::default() };
    for failure in 1..=6 {
        let work = house
            .assert_same(async |email| {
                house.identity.sign_in(&email, &"wrong password".into(), &from).await.unwrap_err();
            })
            .await;
        // The sixth finds the account locked, before anything is hashed.
        let expected = if failure == 6 { "0 hashed" } else { "1 hashed" };
        assert_eq!(work.last().unwrap(), expected, "at failure {failure}");
        house.clock.advance_by(Duration::from_mins(1));
    }
}

#[tokio::test]
async fn asking_for_a_code_takes_the_same_work_at_every_address() {
    let house = House::new().await;
    // The sixth in an hour is not sent, to nobody.
    for _ in 0..6 {
        let work = house.assert_same(async |email| house.identity.forgot(&email).await.unwrap()).await;
        assert!(work.contains(&"commit".to_owned()));
        house.assert_same(async |email| house.identity.resend(&email).await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_wrong_code_takes_the_same_work_at_every_address() {
    let house = House::new().await;
    let identity = &house.identity;
    let wrong = async |email: Email| {
        identity.confirm(&email, "no code").await.unwrap_err();
        identity.reset(&email, "no code", &"another password".into()).await.unwrap_err();
    };
    // Before any was sent, and with more wrong ones than a code allows after that.
    let before = house.assert_same(wrong).await;
    assert_eq!(before.last().unwrap(), "0 hashed");
    house.assert_same(async |email| identity.forgot(&email).await.unwrap()).await;
    for _ in 0..6 {
        assert_eq!(house.assert_same(wrong).await, before);
    }
}
