use std::time::Duration;

use ports::{Denial, denial};

use super::{PASSWORD, Person, assert_denied};
use crate::IdentityFixture;

async fn fail(fixture: &IdentityFixture, person: &Person, times: usize) {
    for _ in 0..times {
        assert_denied(fixture.try_sign_in(person, "wrong password").await, Denial::WrongCredentials);
    }
}

/// Asserts that even the right password is not let in; answers for how many seconds.
async fn assert_locked(fixture: &IdentityFixture, person: &Person) -> u64 {
    let error = fixture.try_sign_in(person, PASSWORD).await.expect_err("the account is locked");
    match denial(&error) {
        Some(Denial::Locked { retry_after_seconds }) => retry_after_seconds,
        other => panic!("{other:?} in place of a lock"),
    }
}

pub async fn five_failures_in_a_row_lock_the_account(fixture: IdentityFixture) {
    let person = fixture.person().await;
    fail(&fixture, &person, 5).await;
    assert!(assert_locked(&fixture, &person).await > 0);
    assert_locked(&fixture, &person).await;
}

pub async fn a_lock_ends_when_it_says(fixture: IdentityFixture) {
    let person = fixture.person().await;
    fail(&fixture, &person, 5).await;
    let seconds = assert_locked(&fixture, &person).await;
    fixture.time.advance(Duration::from_secs(seconds.saturating_sub(2))).await;
    assert!(assert_locked(&fixture, &person).await <= 3);
    fixture.time.advance(Duration::from_secs(3)).await;
    fixture.sign_in(&person).await;
}

pub async fn a_success_begins_the_count_anew(fixture: IdentityFixture) {
    let person = fixture.person().await;
    for _ in 0..2 {
        fail(&fixture, &person, 4).await;
        fixture.sign_in(&person).await;
    }
}

pub async fn a_lock_shuts_out_one_account_only(fixture: IdentityFixture) {
    let (locked, bystander) = (fixture.person().await, fixture.person().await);
    fail(&fixture, &locked, 5).await;
    assert_locked(&fixture, &locked).await;
    fixture.sign_in(&bystander).await;
}
