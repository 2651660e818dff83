//! What several ports' cases need.

use std::{future::Future, time::Duration};

use ports::{ErrorKind, Outcome, Result};
use uuid::Uuid;

/// Longer than anything here takes, so that what hangs fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An id that no other test has, also not one that shares the backend or ran before.
#[expect(
    clippy::disallowed_methods,
    reason = "a backend may be shared by runs that know nothing of each other"
)]
pub(crate) fn unique() -> Uuid {
    Uuid::new_v4()
}

/// Asserts that `result` is an error of `kind` that changed nothing.
#[track_caller]
pub(crate) fn assert_refused<T>(result: Result<T>, kind: ErrorKind) {
    let Err(error) = result else { panic!("{kind:?} was expected, and it succeeded") };
    assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotApplied), "{error}");
}

/// Awaits what must not hang.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("this hangs")
}

/// A body of `size_bytes` that does not repeat within a megabyte and does not compress to nothing.
pub(crate) fn noise(seed: u64, size_bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes: Vec<u8> = Vec::with_capacity(size_bytes + 8);
    while bytes.len() < size_bytes {
        bytes.extend_from_slice(&next().to_le_bytes());
    }
    bytes.truncate(size_bytes);
    bytes
}

/// Asserts that each public async function of `sources` is in a list of `lists`; what is not listed runs nowhere.
#[cfg(test)]
#[track_caller]
pub(crate) fn assert_all_listed(lists: &str, sources: &[&str]) {
    let mut count = 0;
    for source in sources {
        for rest in source.split("\npub async fn ").skip(1) {
            let case = rest.split('(').next().unwrap();
            assert!(lists.contains(&format!("\n            {case},\n")), "{case} is in no list");
            count += 1;
        }
    }
    assert!(count > 0, "no case was found");
}
