//! What a token costs, and how much of it is the signature.
//!
//! Time of the processor: each case runs on one thread, and whatever else the machine does is not counted.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark ends where something fails")]

use std::{hint::black_box, sync::Arc, time::Duration};

use adapters_jwks::{Issuers, JwksVerifier, PublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use criterion::{
    BatchSize, Criterion, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use fixture::{Home, SIGNERS, claims, merged};
use ports::ExternalVerifier;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use tokio::runtime::Builder;

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/fixture.rs"]
mod fixture;

/// Time of the processor on this thread.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
    }

    fn end(&self, start: Duration) -> Duration {
        self.start().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// A verifier that has the keys and remembers no token.
fn fresh(home: &Home) -> Issuers {
    let verifier =
        JwksVerifier::new(fixture::settings(&home.endpoint.url), Arc::clone(&home.clock) as _).unwrap();
    Issuers::new(vec![verifier]).unwrap()
}

fn verify(criterion: &mut Criterion<CpuTime>) {
    // Of one thread: the connection's.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let home = runtime.block_on(Home::new());
    let mut group = criterion.benchmark_group("verify");
    for signer in &*SIGNERS {
        let name = signer.algorithm.as_str();
        let mut number = 0_u64;
        let mut next = || {
            number += 1;
            signer.token(&merged(claims(&home.clock), json!({ "jti": format!("{name}-{number}") })))
        };
        let issuers = fresh(&home);
        let known = next();
        runtime.block_on(issuers.verify(&known)).unwrap().unwrap();
        group.bench_function(format!("{name}, never seen"), |bencher| {
            // Each token is a new one.
            bencher.iter_batched(
                &mut next,
                |token| runtime.block_on(issuers.verify(&token)).unwrap().unwrap(),
                BatchSize::SmallInput,
            );
        });
        runtime.block_on(issuers.verify(&known)).unwrap().unwrap();
        group.bench_function(format!("{name}, seen before"), |bencher| {
            bencher.iter(|| runtime.block_on(issuers.verify(black_box(&known))).unwrap().unwrap());
        });
        let (message, signature) = known.rsplit_once('.').unwrap();
        let signature = BASE64.decode(signature).unwrap();
        let jwk = signer.jwk();
        let key = PublicKey::from_jwk(jwk.as_object().unwrap()).unwrap();
        group.bench_function(format!("{name}, floor: the signature alone"), |bencher| {
            bencher.iter(|| assert!(key.verify(black_box(message.as_bytes()), &signature)));
        });
    }
    // Everything but key and signature: the last check of the claims fails.
    let issuers = fresh(&home);
    let expired = SIGNERS[0].token(&merged(claims(&home.clock), json!({ "iat": 1, "exp": 2 })));
    group.bench_function("parsed and refused by its claims", |bencher| {
        bencher.iter(|| runtime.block_on(issuers.verify(black_box(&expired))).unwrap_err());
    });
    let foreign = SIGNERS[2].token(&merged(claims(&home.clock), json!({ "iss": "clarity" })));
    group.bench_function("left to the identity provider", |bencher| {
        bencher.iter(|| assert!(runtime.block_on(issuers.verify(black_box(&foreign))).unwrap().is_none()));
    });
    group.finish();
}

fn short() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group!(name = benches; config = short(); targets = verify);
criterion_main!(benches);
