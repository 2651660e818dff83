//! A fresh account on moto for each test.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use adapters_aws::{AccessKey, AwsCloud, AwsSettings, Endpoints, Timeouts, resources};
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

/// The clock of one of moto's regions, to the millisecond.
pub(crate) struct RegionClock {
    moto: Moto,
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
            let answer =
                reqwest::Client::new().post(self.moto.clock_url(by.as_millis())).send().await.unwrap();
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
        secret_prefix: format!("{unique}/"),
        secrets_cached_for: Duration::ZERO,
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
        let moto = Moto::start().unwrap();
        let (settings, port) = (settings(&moto), moto.port());
        let account =
            Self { port, settings, clock: Arc::new(RegionClock { moto, ahead_ms: AtomicI64::new(0) }) };
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
