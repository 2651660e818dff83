//! The same promises, while 5 of 100 packets that go to the server meet a fault. The caller is one as the contract wants, see
//! [`conformance::Persistent`].

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    thread,
    time::Duration,
};

use adapters_redis::RedisSharedState;
use conformance::{Persistent, SharedStateFixture};
use harness::{Fault, FaultProxy, Weather};
use ports::{ErrorKind, SharedKey, SharedState};

use super::{RealTime, open_at, shared};

/// Another number, other faults.
const SEED: u64 = 20_261_121;
const FAULTS: &[Fault] = &[Fault::Delay(Duration::from_millis(5)), Fault::Reset, Fault::DropAnswer];

async fn way() -> (FaultProxy, RedisSharedState) {
    let port = shared().url().rsplit(':').next().unwrap().parse().unwrap();
    let proxy = FaultProxy::start_stream(port).await.unwrap();
    let state = open_at(&format!("redis://127.0.0.1:{}", proxy.port()));
    (proxy, state)
}

/// What is taken again after a lost answer counts twice. That refuses too soon and never lets too many pass, but the cases
/// count exactly, so these answers arrive.
fn takes(request: &[u8]) -> bool {
    const NAME: &[u8] = b"clarity:limit:";
    request.windows(NAME.len()).any(|window| window == NAME)
}

async fn fixture() -> SharedStateFixture {
    let (proxy, state) = way().await;
    let mut name = DefaultHasher::new();
    thread::current().name().hash(&mut name);
    let seed = SEED ^ name.finish();
    proxy.set_weather(Weather { seed, percent: 5, faults: FAULTS, must_be_answered: takes });
    let state: Arc<dyn SharedState> = Arc::new(state);
    let state = Arc::new(Persistent(state));
    SharedStateFixture { state, time: Arc::new(RealTime), reopen: None, guard: Box::new(proxy) }
}

mod shared_state {
    conformance::shared_state!(super::fixture());
}

/// A call is tried once: who waits for a limit or a cache would rather go on without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_tried_once() {
    let (proxy, state) = way().await;
    let key = SharedKey::of("at-faults", "once");
    assert!(!state.is_marked(key).await.unwrap());
    let before = proxy.requests();
    proxy.plan([Fault::Reset; 5]);
    assert_eq!(state.is_marked(key).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(proxy.requests() - before, 1);
}
