//! A fresh account for each test: on moto, or fresh names in a real one, where `scripts/aws-account.py` names it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use adapters_aws::{
    AccessKey, AwsCloud, AwsSettings, Endpoints, SecretService, Timeouts, UserPoolNames, resources,
};
use conformance::TimeControl;
use futures::future::BoxFuture;
use harness::Moto;
use jiff::{SignedDuration, Timestamp};
use ports::{Clock, IdSource};
use uuid::Uuid;

pub(crate) const DELIVERIES_MAX: u32 = 3;

/// The machine's clock, which moto's are ahead of.
#[expect(clippy::disallowed_methods, reason = "moto, on the other side, knows of no port")]
fn machine_now() -> Timestamp {
    Timestamp::now()
}

/// Ids that nobody else has.
pub(crate) struct Ids;

impl IdSource for Ids {
    #[expect(clippy::disallowed_methods, reason = "this is what the IdSource port stands for")]
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// The clock of one of moto's regions, to the millisecond; `None` where time is real.
pub(crate) struct RegionClock {
    moto: Option<Moto>,
    ahead_ms: AtomicI64,
}

impl Clock for RegionClock {
    fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_millis(self.ahead_ms.load(Ordering::SeqCst));
        Timestamp::from_millisecond((machine_now() + ahead).as_millisecond()).unwrap()
    }
}

impl TimeControl for RegionClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }

    fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Some(moto) = &self.moto else { return tokio::time::sleep(by).await };
            let answer = reqwest::Client::new().post(moto.clock_url(by.as_millis())).send().await.unwrap();
            let ahead = answer.error_for_status().unwrap().text().await.unwrap();
            self.ahead_ms.store(ahead.parse().unwrap(), Ordering::SeqCst);
        })
    }
}

/// Settings for names that no other test has.
pub(crate) fn settings(moto: &Moto) -> AwsSettings {
    settings_at(moto.url(), moto.region())
}

pub(crate) fn settings_at(url: &str, region: &str) -> AwsSettings {
    let unique = Ids.next().simple().to_string();
    AwsSettings {
        region: region.to_owned(),
        access_key: Some(AccessKey { id: "test".to_owned(), secret: "test".into() }),
        endpoints: Endpoints { default: Some(url.to_owned()), ..Endpoints::default() },
        // moto answers one at a time, and the machine may be busy.
        timeouts: Timeouts {
            attempt: Duration::from_mins(1),
            operation: Duration::from_mins(1),
            ..Timeouts::default()
        },
        attempts_max: 3,
        table: format!("records-{unique}"),
        bucket: format!("objects-{unique}"),
        is_path_style: true,
        kms_key_id: None,
        spool: None,
        queue: format!("jobs-{unique}.fifo"),
        dead_letter_queue: format!("jobs-dead-{unique}.fifo"),
        deliveries_max: DELIVERIES_MAX,
        topic_arn: format!("arn:aws:sns:{region}:123456789012:events-{unique}.fifo"),
        user_pool: UserPoolNames {
            name: format!("people-{unique}"),
            is_srp: true,
            groups: ["clinicians", "operators"].map(str::to_owned).to_vec(),
        },
        secret_service: SecretService::SecretsManager,
        secret_prefix: format!("{unique}/"),
        secrets_cached_for: Duration::ZERO,
    }
}

/// A real account, as `scripts/aws-account.py` names it.
struct Real {
    region: String,
    number: String,
    prefix: String,
}

impl Real {
    #[expect(clippy::disallowed_methods, reason = "the script has no other way to say it")]
    fn named() -> Option<Self> {
        let word = |name: &str| std::env::var(format!("CLARITY_AWS_ACCOUNT_{name}")).ok();
        Some(Self { region: word("REGION")?, number: word("NUMBER")?, prefix: word("PREFIX")? })
    }

    fn settings(&self) -> AwsSettings {
        let (unique, Self { region, number, prefix }) = (Ids.next().simple().to_string(), self);
        AwsSettings {
            access_key: None,
            endpoints: Endpoints::default(),
            timeouts: Timeouts::default(),
            table: format!("{prefix}{unique}"),
            bucket: format!("{prefix}{unique}"),
            is_path_style: false,
            queue: format!("{prefix}{unique}.fifo"),
            dead_letter_queue: format!("{prefix}dead-{unique}.fifo"),
            topic_arn: format!("arn:aws:sns:{region}:{number}:{prefix}{unique}.fifo"),
            secret_prefix: format!("{prefix}{unique}/"),
            ..settings_at("", region)
        }
    }
}

/// An account with its resources, and its time.
pub(crate) struct Account {
    pub(crate) port: u16,
    pub(crate) settings: AwsSettings,
    pub(crate) clock: Arc<RegionClock>,
}

impl Account {
    pub(crate) async fn fresh() -> Self {
        let (moto, settings) = if let Some(real) = Real::named() {
            (None, real.settings())
        } else {
            let moto = Moto::start().unwrap();
            let settings = settings(&moto);
            (Some(moto), settings)
        };
        // Nobody stands before a real account.
        let port = moto.as_ref().map_or(0, Moto::port);
        let clock = Arc::new(RegionClock { moto, ahead_ms: AtomicI64::new(0) });
        let account = Self { port, settings, clock };
        resources::init(&account.open().await).await.unwrap();
        account
    }

    /// Opens it as another process would.
    pub(crate) async fn open(&self) -> AwsCloud {
        open(self.settings.clone(), Arc::clone(&self.clock)).await
    }
}

pub(crate) async fn open(settings: AwsSettings, clock: Arc<RegionClock>) -> AwsCloud {
    AwsCloud::connect(settings, clock, Arc::new(Ids)).await.unwrap()
}
