use std::sync::Arc;

use futures::future::join_all;
use ports::{Denial, Email, ErrorKind, PasswordFault, password_fault};

use super::{PASSWORD, Person, assert_denied, fresh_email, new_user, secret};
use crate::{
    IdentityFixture,
    support::{assert_refused, in_time},
};

pub async fn who_signed_up_can_sign_in_and_gets_tokens_of_their_own(fixture: IdentityFixture) {
    let (anna, boris) = (fixture.person().await, fixture.person().await);
    for person in [&anna, &boris] {
        let tokens = fixture.sign_in(person).await;
        assert_eq!(tokens.user_id, person.user_id);
        assert!(tokens.expires_in_seconds > 0);
        assert_eq!(fixture.verify(&tokens).await.unwrap().user_id, person.user_id);
    }
    let (one, two) = (fixture.sign_in(&anna).await, fixture.sign_in(&anna).await);
    assert_ne!(one.session_id, two.session_id);
}

pub async fn an_address_signs_in_in_any_case(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let shouted = Email::parse(&format!(" {} ", person.email.expose().to_uppercase())).unwrap();
    let shouting = Person { email: shouted, ..person };
    assert_eq!(fixture.sign_in(&shouting).await.user_id, shouting.user_id);
}

pub async fn a_second_sign_up_with_an_address_is_a_conflict(fixture: IdentityFixture) {
    let (unconfirmed, _) = fixture.sign_up().await;
    let confirmed = fixture.person().await;
    for person in [&unconfirmed, &confirmed] {
        let second = new_user(&person.email, "another password");
        let second_id = second.user_id;
        assert_refused(fixture.identity.sign_up(second).await, ErrorKind::Conflict);
        assert_eq!(fixture.identity.profile(second_id).await.unwrap(), None);
    }
    assert_denied(fixture.try_sign_in(&confirmed, "another password").await, Denial::WrongCredentials);
    assert_eq!(fixture.sign_in(&confirmed).await.user_id, confirmed.user_id);
}

pub async fn of_sign_ups_that_race_for_an_address_one_succeeds(fixture: IdentityFixture) {
    let email = fresh_email();
    let rivals: Vec<_> = (0..4).map(|_| new_user(&email, PASSWORD)).collect();
    let sign_ups = rivals.iter().map(|user| {
        let (identity, user) = (Arc::clone(&fixture.identity), user.clone());
        tokio::spawn(async move { identity.sign_up(user).await })
    });
    let mut winners = Vec::new();
    for (rival, result) in rivals.iter().zip(in_time(join_all(sign_ups)).await) {
        match result.unwrap() {
            Ok(answer) => {
                let user_id = answer.user_id;
                assert_eq!(fixture.identity.profile(user_id).await.unwrap(), Some(answer));
                winners.push(user_id);
            }
            refused => {
                assert_refused(refused, ErrorKind::Conflict);
                assert_eq!(fixture.identity.profile(rival.user_id).await.unwrap(), None);
            }
        }
    }
    assert_eq!(winners.len(), 1, "the users {winners:?} share an address");
}

pub async fn a_password_under_8_characters_is_invalid(fixture: IdentityFixture) {
    let email = fresh_email();
    // Seven characters, more than seven bytes.
    for short in ["", "seven77", "äöüäöüß"] {
        let refused = fixture.identity.sign_up(new_user(&email, short)).await.unwrap_err();
        assert_eq!(password_fault(&refused), Some(PasswordFault::TooShort { characters_min: 8 }));
        assert_refused::<()>(Err(refused), ErrorKind::InvalidInput);
    }
    assert_eq!(fixture.mailbox.latest_code(&email).await, None);
    fixture.identity.sign_up(new_user(&email, "eight888")).await.unwrap();
}

pub async fn the_address_itself_is_no_password(fixture: IdentityFixture) {
    let email = fresh_email();
    let refused =
        fixture.identity.sign_up(new_user(&email, &email.expose().to_uppercase())).await.unwrap_err();
    assert_eq!(
        (refused.kind(), password_fault(&refused)),
        (ErrorKind::InvalidInput, Some(PasswordFault::IsEmail))
    );
    let person = fixture.person().await;
    fixture.identity.forgot(&person.email).await.unwrap();
    let code = fixture.code(&person).await;
    let itself = secret(person.email.expose());
    let refused = fixture.identity.reset(&person.email, &code, &itself).await.unwrap_err();
    assert_eq!(password_fault(&refused), Some(PasswordFault::IsEmail));
    // The code was not spent on it.
    fixture.identity.reset(&person.email, &code, &secret("an entirely new one")).await.unwrap();
}

pub async fn a_wrong_password_and_an_unknown_address_are_the_same_denial(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let stranger = Person { email: fresh_email(), user_id: person.user_id };
    for wrong in ["wrong password", "", "Correct horse battery", "correct horse battery "] {
        assert_denied(fixture.try_sign_in(&person, wrong).await, Denial::WrongCredentials);
    }
    assert_denied(fixture.try_sign_in(&stranger, PASSWORD).await, Denial::WrongCredentials);
}
