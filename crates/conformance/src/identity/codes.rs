use ports::Denial;

use super::{PASSWORD, assert_denied, fresh_email, secret};
use crate::IdentityFixture;

const NEW_PASSWORD: &str = "an entirely new one";

/// A code as long as `code` that differs from it.
fn other_than(code: &str) -> String {
    let turn = |c: char| match c {
        '0'..='8' => char::from_u32(u32::from(c) + 1).unwrap(),
        _ => '0',
    };
    code.chars().map(turn).collect()
}

pub async fn sign_in_before_confirmation_is_denied_as_not_verified(fixture: IdentityFixture) {
    let (person, profile) = fixture.sign_up().await;
    assert!(!profile.email_verified);
    assert_denied(fixture.try_sign_in(&person, PASSWORD).await, Denial::EmailNotVerified);
}

pub async fn an_unconfirmed_address_with_a_wrong_password_is_wrong_credentials(fixture: IdentityFixture) {
    let (person, _) = fixture.sign_up().await;
    assert_denied(fixture.try_sign_in(&person, "wrong password").await, Denial::WrongCredentials);
}

pub async fn the_mailed_code_confirms(fixture: IdentityFixture) {
    let (person, _) = fixture.sign_up().await;
    fixture.identity.confirm(&person.email, &fixture.code(&person).await).await.unwrap();
    assert!(fixture.identity.profile(person.user_id).await.unwrap().unwrap().email_verified);
    fixture.sign_in(&person).await;
}

pub async fn a_wrong_code_does_not_confirm(fixture: IdentityFixture) {
    let (person, _) = fixture.sign_up().await;
    let code = fixture.code(&person).await;
    for wrong in ["", "x", &other_than(&code)] {
        assert_denied(fixture.identity.confirm(&person.email, wrong).await, Denial::WrongCode);
    }
    assert_denied(fixture.identity.confirm(&fresh_email(), &code).await, Denial::WrongCode);
    assert_denied(fixture.try_sign_in(&person, PASSWORD).await, Denial::EmailNotVerified);
}

pub async fn the_code_of_another_address_does_not_confirm(fixture: IdentityFixture) {
    let (anna, _) = fixture.sign_up().await;
    let (mut boris, _) = fixture.sign_up().await;
    // Codes are short: two people may happen to have the same one.
    while fixture.code(&anna).await == fixture.code(&boris).await {
        boris = fixture.sign_up().await.0;
    }
    let code = fixture.code(&anna).await;
    assert_denied(fixture.identity.confirm(&boris.email, &code).await, Denial::WrongCode);
    fixture.identity.confirm(&anna.email, &code).await.unwrap();
    assert_denied(fixture.try_sign_in(&boris, PASSWORD).await, Denial::EmailNotVerified);
}

pub async fn a_resent_code_confirms(fixture: IdentityFixture) {
    let (person, _) = fixture.sign_up().await;
    fixture.identity.resend(&person.email).await.unwrap();
    fixture.identity.confirm(&person.email, &fixture.code(&person).await).await.unwrap();
    fixture.sign_in(&person).await;
}

pub async fn resend_for_an_unknown_address_succeeds_and_mails_nothing(fixture: IdentityFixture) {
    let unknown = fresh_email();
    fixture.identity.resend(&unknown).await.unwrap();
    assert_eq!(fixture.mailbox.latest_code(&unknown).await, None);
}

pub async fn forgot_succeeds_for_any_address(fixture: IdentityFixture) {
    let (person, unknown) = (fixture.person().await, fresh_email());
    fixture.identity.forgot(&person.email).await.unwrap();
    fixture.identity.forgot(&unknown).await.unwrap();
    assert_eq!(fixture.mailbox.latest_code(&unknown).await, None);
    // Asking changes nothing yet.
    fixture.sign_in(&person).await;
}

pub async fn reset_sets_the_password_and_ends_all_sessions(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let before = [fixture.sign_in(&person).await, fixture.sign_in(&person).await];
    fixture.identity.forgot(&person.email).await.unwrap();
    let code = fixture.code(&person).await;
    fixture.identity.reset(&person.email, &code, &secret(NEW_PASSWORD)).await.unwrap();

    for tokens in &before {
        fixture.assert_ended(tokens).await;
    }
    assert_denied(fixture.try_sign_in(&person, PASSWORD).await, Denial::WrongCredentials);
    let after = fixture.sign_in_with(&person, NEW_PASSWORD).await;
    fixture.verify(&after).await.unwrap();
}

pub async fn a_reset_code_works_once(fixture: IdentityFixture) {
    let person = fixture.person().await;
    fixture.identity.forgot(&person.email).await.unwrap();
    let code = fixture.code(&person).await;
    fixture.identity.reset(&person.email, &code, &secret(NEW_PASSWORD)).await.unwrap();
    let again = fixture.identity.reset(&person.email, &code, &secret("someone else's choice")).await;
    assert_denied(again, Denial::WrongCode);
    fixture.sign_in_with(&person, NEW_PASSWORD).await;
}

pub async fn a_wrong_reset_code_changes_nothing(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let tokens = fixture.sign_in(&person).await;
    fixture.identity.forgot(&person.email).await.unwrap();
    let wrong = other_than(&fixture.code(&person).await);
    for (email, code) in [(&person.email, wrong.as_str()), (&person.email, ""), (&fresh_email(), &wrong)] {
        let refused = fixture.identity.reset(email, code, &secret(NEW_PASSWORD)).await;
        assert_denied(refused, Denial::WrongCode);
    }
    fixture.verify(&tokens).await.unwrap();
    fixture.sign_in(&person).await;
}
