//! The shared state. `make emulators` installs the server; the tests of this binary share one.
#![expect(clippy::unwrap_used, reason = "all of this is tests")]

mod at_faults;
mod own;

use std::{
    future::ready,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use adapters_redis::{PlainText, RedisSharedState, Settings};
use conformance::{SharedStateFixture, TimeControl};
use futures::{FutureExt as _, future::BoxFuture};
use harness::Redis;
use jiff::Timestamp;
use ports::SharedState;
use secrecy::SecretString;

fn open(server: &Redis) -> RedisSharedState {
    open_at(&server.url())
}

fn open_at(url: &str) -> RedisSharedState {
    let url = SecretString::from(url);
    let mut settings = Settings::parse(&url, PlainText::LoopbackOnly).unwrap();
    // A busy machine is no server that is away.
    settings.timeout = Duration::from_secs(10);
    RedisSharedState::new(&settings).unwrap()
}

fn shared() -> &'static Redis {
    static SERVER: OnceLock<Redis> = OnceLock::new();
    SERVER.get_or_init(|| Redis::start().unwrap())
}

/// The server's clock is the machine's.
struct RealTime;

impl TimeControl for RealTime {
    fn now(&self) -> Timestamp {
        SystemTime::now().try_into().unwrap()
    }

    fn advance(&self, by: Duration) -> BoxFuture<'_, ()> {
        tokio::time::sleep(by).boxed()
    }
}

fn state() -> Arc<dyn SharedState> {
    Arc::new(open(shared()))
}

fn fixture() -> SharedStateFixture {
    SharedStateFixture {
        state: state(),
        time: Arc::new(RealTime),
        reopen: Some(Box::new(|| ready(state()).boxed())),
        guard: Box::new(()),
    }
}

mod shared_state {
    use std::future::ready;

    conformance::shared_state!(ready(super::fixture()));
    conformance::deployed_shared_state!(ready(super::fixture()));
}
