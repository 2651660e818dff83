//! Cases of [`ports::SharedState`].

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use ports::{CACHED_BYTES_MAX, ErrorKind, SHARED_FOR_MAX, SharedKey, SharedState, Taken};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::{
    SharedStateFixture,
    support::{assert_refused, in_time, noise, unique},
};

/// One test per case on the state of `$fixture`, a future of a [`SharedStateFixture`](crate::SharedStateFixture).
#[macro_export]
macro_rules! shared_state {
    ($($fixture:tt)+) => {
        $crate::tests_of! { shared_state [
            // Limits.
            a_fresh_window_allows_up_to_the_limit,
            what_is_refused_is_not_counted,
            the_window_slides,
            after_two_windows_the_whole_limit_is_there_again,
            one_more_is_allowed_after_resets_in,
            of_takers_that_race_no_more_than_the_limit_are_allowed,
            limits_of_other_keys_are_not_touched,
            // Marks.
            a_key_is_marked_until_its_time_has_passed,
            marking_again_never_shortens_the_time,
            // Locks.
            a_lock_is_one_owners_until_it_is_unlocked,
            a_lock_ends_when_its_time_has_passed,
            its_owner_can_renew_a_lock,
            unlocking_what_another_holds_changes_nothing,
            of_owners_that_race_exactly_one_gets_the_lock,
            // Caches.
            what_was_cached_reads_back_byte_for_byte,
            a_cached_value_ends_when_its_time_has_passed,
            what_is_cached_next_replaces_the_value_and_its_time,
            forgetting_removes_and_succeeds_twice,
            // All of them.
            what_one_key_names_is_apart,
            limits_and_times_that_are_none_are_invalid,
        ] $($fixture)+ }
    };
}

/// One test per case that opens the state a second time, as another instance would.
#[macro_export]
macro_rules! deployed_shared_state {
    ($($fixture:tt)+) => {
        $crate::tests_of! { shared_state [
            what_one_instance_does_holds_for_the_other,
        ] $($fixture)+ }
    };
}

/// Long beside what a call takes, and short where a test really waits.
const WHILE: Duration = Duration::from_secs(1);
const AGE: Duration = Duration::from_hours(1);

fn fresh_key() -> SharedKey {
    SharedKey::of("conformance", unique())
}

async fn take(state: &dyn SharedState, key: SharedKey, limit: u32, window: Duration) -> Taken {
    state.take(key, limit, window).await.unwrap()
}

/// Takes until it is refused; answers how many were allowed.
async fn take_all(state: &dyn SharedState, key: SharedKey, limit: u32, window: Duration) -> u32 {
    let mut count = 0;
    while take(state, key, limit, window).await.allowed {
        count += 1;
        assert!(count <= limit, "more than the limit is allowed");
    }
    count
}

pub async fn a_fresh_window_allows_up_to_the_limit(fixture: SharedStateFixture) {
    let key = fresh_key();
    for remaining in [2, 1] {
        let taken = take(&*fixture.state, key, 3, AGE).await;
        assert_eq!(taken, Taken { allowed: true, remaining, resets_in: Duration::ZERO });
    }
    for allowed in [true, false, false] {
        let taken = take(&*fixture.state, key, 3, AGE).await;
        assert_eq!((taken.allowed, taken.remaining), (allowed, 0));
        assert!(taken.resets_in > Duration::ZERO && taken.resets_in <= 2 * AGE, "{taken:?}");
    }
}

pub async fn what_is_refused_is_not_counted(fixture: SharedStateFixture) {
    let key = fresh_key();
    assert_eq!(take_all(&*fixture.state, key, 2, AGE).await, 2);
    for _ in 0..20 {
        assert!(!take(&*fixture.state, key, 2, AGE).await.allowed);
    }
    // Were they counted, none of a larger limit would be left.
    assert_eq!(take_all(&*fixture.state, key, 10, AGE).await, 8);
}

pub async fn the_window_slides(fixture: SharedStateFixture) {
    let key = fresh_key();
    assert_eq!(take_all(&*fixture.state, key, 100, WHILE).await, 100);
    fixture.time.advance(WHILE + WHILE / 2).await;
    // About half of what was taken still counts: where time is real, some of it passes meanwhile.
    let taken = take(&*fixture.state, key, 100, WHILE).await;
    assert!(taken.allowed && (48..=95).contains(&taken.remaining), "{taken:?}");
}

pub async fn after_two_windows_the_whole_limit_is_there_again(fixture: SharedStateFixture) {
    let key = fresh_key();
    assert_eq!(take_all(&*fixture.state, key, 3, WHILE).await, 3);
    fixture.time.advance(2 * WHILE).await;
    let taken = take(&*fixture.state, key, 3, WHILE).await;
    assert_eq!((taken.allowed, taken.remaining), (true, 2));
}

pub async fn one_more_is_allowed_after_resets_in(fixture: SharedStateFixture) {
    let key = fresh_key();
    for _ in 0..3 {
        take_all(&*fixture.state, key, 3, WHILE).await;
        let refused = take(&*fixture.state, key, 3, WHILE).await;
        // Some time may pass between the two.
        if refused.allowed {
            continue;
        }
        assert!(refused.resets_in <= 2 * WHILE, "{refused:?}");
        fixture.time.advance(refused.resets_in).await;
        assert!(take(&*fixture.state, key, 3, WHILE).await.allowed, "after {:?}", refused.resets_in);
    }
}

pub async fn of_takers_that_race_no_more_than_the_limit_are_allowed(fixture: SharedStateFixture) {
    let (key, start) = (fresh_key(), Arc::new(Barrier::new(20)));
    let takers = (0..20).map(|_| {
        let (state, start) = (Arc::clone(&fixture.state), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            take(&*state, key, 7, AGE).await.allowed
        })
    });
    let allowed =
        in_time(join_all(takers)).await.into_iter().filter(|taken| *taken.as_ref().unwrap()).count();
    assert_eq!(allowed, 7);
}

pub async fn limits_of_other_keys_are_not_touched(fixture: SharedStateFixture) {
    let (one, two) = (fresh_key(), fresh_key());
    assert_eq!(take_all(&*fixture.state, one, 2, AGE).await, 2);
    assert_eq!(take_all(&*fixture.state, two, 2, AGE).await, 2);
}

pub async fn a_key_is_marked_until_its_time_has_passed(fixture: SharedStateFixture) {
    let (key, other) = (fresh_key(), fresh_key());
    assert!(!fixture.state.is_marked(key).await.unwrap());
    fixture.state.mark(key, WHILE).await.unwrap();
    assert!(fixture.state.is_marked(key).await.unwrap());
    assert!(!fixture.state.is_marked(other).await.unwrap());
    fixture.time.advance(WHILE).await;
    assert!(!fixture.state.is_marked(key).await.unwrap());
}

pub async fn marking_again_never_shortens_the_time(fixture: SharedStateFixture) {
    let key = fresh_key();
    fixture.state.mark(key, AGE).await.unwrap();
    fixture.state.mark(key, WHILE).await.unwrap();
    fixture.time.advance(WHILE).await;
    assert!(fixture.state.is_marked(key).await.unwrap());
    let key = fresh_key();
    fixture.state.mark(key, WHILE).await.unwrap();
    fixture.state.mark(key, AGE).await.unwrap();
    fixture.time.advance(WHILE).await;
    assert!(fixture.state.is_marked(key).await.unwrap());
}

pub async fn a_lock_is_one_owners_until_it_is_unlocked(fixture: SharedStateFixture) {
    let (key, [one, two]) = (fresh_key(), [unique(), unique()]);
    assert!(fixture.state.lock(key, one, AGE).await.unwrap());
    assert!(!fixture.state.lock(key, two, AGE).await.unwrap());
    fixture.state.unlock(key, one).await.unwrap();
    assert!(fixture.state.lock(key, two, AGE).await.unwrap());
    assert!(!fixture.state.lock(key, one, AGE).await.unwrap());
}

pub async fn a_lock_ends_when_its_time_has_passed(fixture: SharedStateFixture) {
    let (key, [one, two]) = (fresh_key(), [unique(), unique()]);
    assert!(fixture.state.lock(key, one, WHILE).await.unwrap());
    fixture.time.advance(WHILE).await;
    assert!(fixture.state.lock(key, two, AGE).await.unwrap());
    // Who comes late does not take it from its new owner.
    fixture.state.unlock(key, one).await.unwrap();
    assert!(!fixture.state.lock(key, one, AGE).await.unwrap());
}

pub async fn its_owner_can_renew_a_lock(fixture: SharedStateFixture) {
    let (key, [one, two]) = (fresh_key(), [unique(), unique()]);
    assert!(fixture.state.lock(key, one, WHILE).await.unwrap());
    assert!(fixture.state.lock(key, one, AGE).await.unwrap());
    fixture.time.advance(WHILE).await;
    assert!(!fixture.state.lock(key, two, AGE).await.unwrap());
}

pub async fn unlocking_what_another_holds_changes_nothing(fixture: SharedStateFixture) {
    let (key, [one, two]) = (fresh_key(), [unique(), unique()]);
    fixture.state.unlock(key, one).await.unwrap();
    assert!(fixture.state.lock(key, one, AGE).await.unwrap());
    fixture.state.unlock(key, two).await.unwrap();
    assert!(!fixture.state.lock(key, two, AGE).await.unwrap());
}

pub async fn of_owners_that_race_exactly_one_gets_the_lock(fixture: SharedStateFixture) {
    for _ in 0..10 {
        let (key, start) = (fresh_key(), Arc::new(Barrier::new(8)));
        let owners = (0..8).map(|_| {
            let (state, start, owner) = (Arc::clone(&fixture.state), Arc::clone(&start), unique());
            tokio::spawn(async move {
                start.wait().await;
                state.lock(key, owner, AGE).await.unwrap()
            })
        });
        let won = in_time(join_all(owners)).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
        assert_eq!(won, 1);
    }
}

pub async fn what_was_cached_reads_back_byte_for_byte(fixture: SharedStateFixture) {
    let every_byte: Vec<u8> = (0..=255).collect();
    for bytes in [Vec::new(), b"text".to_vec(), every_byte, noise(7, CACHED_BYTES_MAX)] {
        let (key, bytes) = (fresh_key(), Bytes::from(bytes));
        assert_eq!(fixture.state.cached(key).await.unwrap(), None);
        fixture.state.cache(key, bytes.clone(), AGE).await.unwrap();
        assert_eq!(fixture.state.cached(key).await.unwrap(), Some(bytes));
    }
}

pub async fn a_cached_value_ends_when_its_time_has_passed(fixture: SharedStateFixture) {
    let key = fresh_key();
    fixture.state.cache(key, "short".into(), WHILE).await.unwrap();
    assert_eq!(fixture.state.cached(key).await.unwrap(), Some("short".into()));
    fixture.time.advance(WHILE).await;
    assert_eq!(fixture.state.cached(key).await.unwrap(), None);
}

pub async fn what_is_cached_next_replaces_the_value_and_its_time(fixture: SharedStateFixture) {
    let (lives, dies) = (fresh_key(), fresh_key());
    fixture.state.cache(lives, "first".into(), WHILE).await.unwrap();
    fixture.state.cache(lives, "second".into(), AGE).await.unwrap();
    fixture.state.cache(dies, "first".into(), AGE).await.unwrap();
    fixture.state.cache(dies, "second".into(), WHILE).await.unwrap();
    fixture.time.advance(WHILE).await;
    assert_eq!(fixture.state.cached(lives).await.unwrap(), Some("second".into()));
    assert_eq!(fixture.state.cached(dies).await.unwrap(), None);
}

pub async fn forgetting_removes_and_succeeds_twice(fixture: SharedStateFixture) {
    let key = fresh_key();
    fixture.state.cache(key, "value".into(), AGE).await.unwrap();
    for _ in 0..2 {
        fixture.state.forget(key).await.unwrap();
        assert_eq!(fixture.state.cached(key).await.unwrap(), None);
    }
}

pub async fn what_one_key_names_is_apart(fixture: SharedStateFixture) {
    let (key, owner) = (fresh_key(), unique());
    assert!(take(&*fixture.state, key, 1, AGE).await.allowed);
    assert!(!fixture.state.is_marked(key).await.unwrap());
    assert_eq!(fixture.state.cached(key).await.unwrap(), None);
    assert!(fixture.state.lock(key, owner, AGE).await.unwrap());
    fixture.state.mark(key, AGE).await.unwrap();
    fixture.state.cache(key, "value".into(), AGE).await.unwrap();
    fixture.state.forget(key).await.unwrap();
    fixture.state.unlock(key, owner).await.unwrap();
    assert!(fixture.state.is_marked(key).await.unwrap());
    assert!(!take(&*fixture.state, key, 1, AGE).await.allowed);
}

pub async fn limits_and_times_that_are_none_are_invalid(fixture: SharedStateFixture) {
    let (state, key, owner) = (&*fixture.state, fresh_key(), Uuid::nil());
    let invalid = ErrorKind::InvalidInput;
    assert_refused(state.take(key, 0, AGE).await, invalid);
    for bad in [Duration::ZERO, Duration::from_micros(999), SHARED_FOR_MAX + Duration::from_millis(1)] {
        assert_refused(state.take(key, 1, bad).await, invalid);
        assert_refused(state.mark(key, bad).await, invalid);
        assert_refused(state.lock(key, owner, bad).await, invalid);
        assert_refused(state.cache(key, "value".into(), bad).await, invalid);
    }
    assert_refused(state.cache(key, vec![0; CACHED_BYTES_MAX + 1].into(), AGE).await, invalid);
    assert_eq!(take(state, key, u32::MAX, SHARED_FOR_MAX).await.remaining, u32::MAX - 1);
    assert!(!state.is_marked(key).await.unwrap());
    assert_eq!(state.cached(key).await.unwrap(), None);
    assert!(state.lock(key, owner, SHARED_FOR_MAX).await.unwrap());
}

pub async fn what_one_instance_does_holds_for_the_other(fixture: SharedStateFixture) {
    let reopen = fixture.reopen.as_ref().expect("a deployed state's fixture can open it again");
    let (one, two, key, owner) = (&fixture.state, reopen().await, fresh_key(), unique());
    assert_eq!(take(&**one, key, 2, AGE).await.remaining, 1);
    assert_eq!(take(&*two, key, 2, AGE).await.remaining, 0);
    assert!(!take(&**one, key, 2, AGE).await.allowed);
    one.mark(key, AGE).await.unwrap();
    assert!(two.is_marked(key).await.unwrap());
    assert!(one.lock(key, owner, AGE).await.unwrap());
    assert!(!two.lock(key, unique(), AGE).await.unwrap());
    two.cache(key, "value".into(), AGE).await.unwrap();
    assert_eq!(one.cached(key).await.unwrap(), Some("value".into()));
    one.forget(key).await.unwrap();
    assert_eq!(two.cached(key).await.unwrap(), None);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_a_list() {
        let source = include_str!("shared_state.rs");
        crate::support::assert_all_listed(source, &[source]);
    }
}
