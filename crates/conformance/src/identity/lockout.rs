use std::{net::IpAddr, time::Duration};

use ports::{Denial, Email, Result, SignIn, SignInContext, denial};

use super::{PASSWORD, Person, assert_denied, fresh_email, secret};
use crate::IdentityFixture;

async fn fail(fixture: &IdentityFixture, person: &Person, times: usize) {
    for _ in 0..times {
        assert_denied(fixture.try_sign_in(person, "wrong password").await, Denial::WrongCredentials);
    }
}

/// More than any provider lets pass from one network address.
const MANY: usize = 200;

async fn from(fixture: &IdentityFixture, address: &str, email: &Email, password: &str) -> Result<SignIn> {
    let address: IpAddr = address.parse().unwrap();
    let from = SignInContext { address: Some(address), ..SignInContext::default() };
    fixture.identity.sign_in(email, &secret(password), &from).await
}

fn is_locked(result: &Result<SignIn>) -> bool {
    result.as_ref().err().is_some_and(|error| matches!(denial(error), Some(Denial::Locked { .. })))
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

pub async fn many_failures_from_one_network_address_lock_it_for_every_account(fixture: IdentityFixture) {
    let (anna, boris) = (fixture.person().await, fixture.person().await);
    let mut failures = 0;
    // Each at another account, none of which is locked by it; the whole /64 is one customer's.
    while !is_locked(&from(&fixture, &format!("2001:db8:7:7::{failures:x}"), &fresh_email(), PASSWORD).await)
    {
        failures += 1;
        assert!(failures < MANY, "{failures} guesses from one address are let pass");
    }
    for email in [&anna.email, &boris.email, &fresh_email()] {
        assert!(is_locked(&from(&fixture, "2001:db8:7:7:ffff::1", email, PASSWORD).await));
    }
    // Nobody else is locked.
    fixture.sign_in(&anna).await;
    from(&fixture, "2001:db8:7:8::1", &anna.email, PASSWORD).await.unwrap();
    from(&fixture, "192.0.2.7", &boris.email, PASSWORD).await.unwrap();
}

pub async fn a_success_does_not_set_back_the_count_of_a_network_address(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let mut failures = 0;
    loop {
        let guess = from(&fixture, "192.0.2.7", &person.email, "wrong password").await;
        if is_locked(&guess) {
            break;
        }
        assert_denied(guess, Denial::WrongCredentials);
        failures += 1;
        assert!(failures < MANY, "{failures} guesses from one address are let pass");
        // Sets back the account's count, which so is never the one that locks.
        let success = from(&fixture, "192.0.2.7", &person.email, PASSWORD).await;
        assert!(success.is_ok() || is_locked(&success));
    }
    fixture.sign_in(&person).await;
}
