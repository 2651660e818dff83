use std::time::Duration;

use domain::ids::UserId;
use ports::{ChallengeKind, Denial, ErrorKind, Result, SignIn, SignInContext, denial};
use secrecy::{ExposeSecret as _, SecretString};

use super::{PASSWORD, Person, assert_denied, secret};
use crate::{
    Authenticator, IdentityFixture,
    support::{assert_refused, unique},
};

/// The authenticator app of a person, by the adapter's time.
struct App(Authenticator);

impl App {
    fn new(secret: &SecretString) -> Self {
        Self(Authenticator::new(secret))
    }

    /// What it shows now. It has shown something else before: codes work once.
    async fn next_code(&self, fixture: &IdentityFixture) -> SecretString {
        fixture.time.advance(Authenticator::STEP).await;
        self.code(fixture)
    }

    fn code(&self, fixture: &IdentityFixture) -> SecretString {
        self.0.code(fixture.time.now())
    }

    fn wrong_code(&self, fixture: &IdentityFixture) -> SecretString {
        self.0.wrong_code(fixture.time.now())
    }
}

impl IdentityFixture {
    /// Someone who may set up a second factor.
    async fn signed_in_person(&self) -> Person {
        let person = self.person().await;
        self.sign_in(&person).await;
        person
    }

    /// Someone who set up a second factor, with their app and recovery codes.
    async fn careful_person(&self) -> (Person, App, Vec<SecretString>) {
        let person = self.signed_in_person().await;
        let app = App::new(&self.multi_factor.set_up(person.user_id).await.unwrap().secret);
        let code = app.next_code(self).await;
        let recovery = self.multi_factor.verify(person.user_id, &code).await.unwrap();
        (person, app, recovery)
    }

    /// Gives the right password, and gets no further.
    async fn challenge(&self, person: &Person) -> SecretString {
        match self.try_sign_in(person, PASSWORD).await.unwrap() {
            SignIn::Challenge { kind: ChallengeKind::SoftwareTokenMfa, session } => session,
            SignIn::Challenge { kind, .. } => panic!("{kind:?} in place of the second factor"),
            SignIn::Tokens(_) => panic!("tokens without the second factor"),
        }
    }

    async fn respond(&self, session: &SecretString, answer: &SecretString) -> Result<SignIn> {
        let from = SignInContext::default();
        self.identity.respond(session, ChallengeKind::SoftwareTokenMfa, answer, &from).await
    }

    /// Asserts that the answer lets the person in.
    async fn assert_lets_in(&self, person: &Person, session: &SecretString, answer: &SecretString) {
        match self.respond(session, answer).await.unwrap() {
            SignIn::Tokens(tokens) => {
                assert_eq!(self.verify(&tokens).await.unwrap().user_id, person.user_id);
                self.refresh(&tokens).await.unwrap();
            }
            SignIn::Challenge { kind, .. } => panic!("{kind:?} is asked once more"),
        }
    }
}

pub async fn a_sign_in_with_a_second_factor_is_challenged_and_a_code_answers(fixture: IdentityFixture) {
    let (bystander, (person, app, recovery)) = (fixture.person().await, fixture.careful_person().await);
    assert!(fixture.multi_factor.is_on(person.user_id).await.unwrap());
    assert!(matches!(recovery.len(), 0 | 10), "{} recovery codes", recovery.len());
    assert_denied(fixture.try_sign_in(&person, "wrong password").await, Denial::WrongCredentials);
    let session = fixture.challenge(&person).await;
    assert_denied(fixture.respond(&session, &app.wrong_code(&fixture)).await, Denial::WrongCode);
    fixture.assert_lets_in(&person, &session, &app.next_code(&fixture).await).await;
    fixture.sign_in(&bystander).await;
    assert!(!fixture.multi_factor.is_on(bystander.user_id).await.unwrap());
}

pub async fn a_code_works_once(fixture: IdentityFixture) {
    let (person, app, _) = fixture.careful_person().await;
    let (one, two) = (fixture.challenge(&person).await, fixture.challenge(&person).await);
    // Neither does the one that turned it on.
    assert_denied(fixture.respond(&one, &app.code(&fixture)).await, Denial::WrongCode);
    let code = app.next_code(&fixture).await;
    fixture.assert_lets_in(&person, &one, &code).await;
    assert_denied(fixture.respond(&two, &code).await, Denial::WrongCode);
    fixture.assert_lets_in(&person, &two, &app.next_code(&fixture).await).await;
}

pub async fn a_recovery_code_answers_and_works_once(fixture: IdentityFixture) {
    let (person, _, recovery) = fixture.careful_person().await;
    let (boris, _, _) = fixture.careful_person().await;
    fixture.assert_lets_in(&person, &fixture.challenge(&person).await, &recovery[3]).await;
    let session = fixture.challenge(&person).await;
    assert_denied(fixture.respond(&session, &recovery[3]).await, Denial::WrongCode);
    // As somebody copies it by hand.
    let copied = recovery[4].expose_secret().to_uppercase().replace('-', " ");
    fixture.assert_lets_in(&person, &session, &secret(&format!(" {copied} "))).await;
    let session = fixture.challenge(&boris).await;
    assert_denied(fixture.respond(&session, &recovery[5]).await, Denial::WrongCode);
}

pub async fn a_set_up_that_was_not_verified_asks_nobody(fixture: IdentityFixture) {
    let person = fixture.signed_in_person().await;
    let made = fixture.multi_factor.set_up(person.user_id).await.unwrap();
    let uri = made.otpauth_uri.expose_secret();
    assert!(uri.starts_with("otpauth://totp/") && uri.contains(made.secret.expose_secret()));
    let code = App::new(&made.secret).wrong_code(&fixture);
    assert_denied(fixture.multi_factor.verify(person.user_id, &code).await, Denial::WrongCode);
    assert!(!fixture.multi_factor.is_on(person.user_id).await.unwrap());
    fixture.sign_in(&person).await;
}

pub async fn a_second_set_up_replaces_the_first(fixture: IdentityFixture) {
    let person = fixture.signed_in_person().await;
    let first = App::new(&fixture.multi_factor.set_up(person.user_id).await.unwrap().secret);
    let second = App::new(&fixture.multi_factor.set_up(person.user_id).await.unwrap().secret);
    assert_ne!(first.0, second.0);
    let old = first.code(&fixture);
    if second.0.codes(fixture.time.now()).iter().all(|code| code != old.expose_secret()) {
        assert_denied(fixture.multi_factor.verify(person.user_id, &old).await, Denial::WrongCode);
    }
    fixture.multi_factor.verify(person.user_id, &second.next_code(&fixture).await).await.unwrap();
}

pub async fn verifying_needs_a_set_up_and_a_right_code(fixture: IdentityFixture) {
    let person = fixture.signed_in_person().await;
    let early = fixture.multi_factor.verify(person.user_id, &secret("123456")).await;
    assert_refused(early, ErrorKind::NotFound);
    let app = App::new(&fixture.multi_factor.set_up(person.user_id).await.unwrap().secret);
    for wrong in ["", "12345", "abcdef", app.wrong_code(&fixture).expose_secret()] {
        let refused = fixture.multi_factor.verify(person.user_id, &secret(wrong)).await;
        assert_denied(refused, Denial::WrongCode);
    }
    fixture.multi_factor.verify(person.user_id, &app.code(&fixture)).await.unwrap();
}

pub async fn setting_up_twice_is_a_conflict(fixture: IdentityFixture) {
    let (person, app, _) = fixture.careful_person().await;
    assert_refused(fixture.multi_factor.set_up(person.user_id).await.map(drop), ErrorKind::Conflict);
    let code = app.next_code(&fixture).await;
    assert_refused(fixture.multi_factor.verify(person.user_id, &code).await.map(drop), ErrorKind::Conflict);
    fixture.assert_lets_in(&person, &fixture.challenge(&person).await, &code).await;
}

pub async fn five_wrong_answers_end_a_challenge_and_lock_the_account(fixture: IdentityFixture) {
    let (person, app, _) = fixture.careful_person().await;
    let session = fixture.challenge(&person).await;
    for _ in 0..5 {
        assert_denied(fixture.respond(&session, &app.wrong_code(&fixture)).await, Denial::WrongCode);
    }
    let ended = fixture.respond(&session, &app.next_code(&fixture).await).await;
    assert_denied(ended, Denial::InvalidToken);
    let locked = fixture.try_sign_in(&person, PASSWORD).await.unwrap_err();
    assert!(matches!(denial(&locked), Some(Denial::Locked { .. })), "{locked}");
}

pub async fn the_right_password_does_not_set_back_the_wrong_codes(fixture: IdentityFixture) {
    let (person, app, _) = fixture.careful_person().await;
    // Whoever has the password could try all codes otherwise, a few in each challenge.
    for _ in 0..5 {
        let session = fixture.challenge(&person).await;
        assert_denied(fixture.respond(&session, &app.wrong_code(&fixture)).await, Denial::WrongCode);
    }
    let locked = fixture.try_sign_in(&person, PASSWORD).await.unwrap_err();
    let Some(Denial::Locked { retry_after_seconds }) = denial(&locked) else { panic!("{locked}") };
    fixture.time.advance(Duration::from_secs(retry_after_seconds)).await;
    fixture.assert_lets_in(&person, &fixture.challenge(&person).await, &app.code(&fixture)).await;
}

pub async fn a_challenge_ends_after_five_minutes(fixture: IdentityFixture) {
    let (person, app, _) = fixture.careful_person().await;
    let (early, late) = (fixture.challenge(&person).await, fixture.challenge(&person).await);
    fixture.time.advance(Duration::from_secs(5 * 60 - 35)).await;
    fixture.assert_lets_in(&person, &early, &app.next_code(&fixture).await).await;
    let code = app.next_code(&fixture).await;
    assert_denied(fixture.respond(&late, &code).await, Denial::InvalidToken);
    fixture.assert_lets_in(&person, &fixture.challenge(&person).await, &code).await;
}

pub async fn a_challenge_works_once(fixture: IdentityFixture) {
    let (person, app, recovery) = fixture.careful_person().await;
    let session = fixture.challenge(&person).await;
    fixture.assert_lets_in(&person, &session, &recovery[0]).await;
    for answer in [&recovery[1], &app.next_code(&fixture).await] {
        assert_denied(fixture.respond(&session, answer).await, Denial::InvalidToken);
    }
}

pub async fn what_is_no_challenge_is_not_answered(fixture: IdentityFixture) {
    let (person, app, _) = fixture.careful_person().await;
    let code = app.next_code(&fixture).await;
    let tokens = match fixture.respond(&fixture.challenge(&person).await, &code).await.unwrap() {
        SignIn::Tokens(tokens) => tokens,
        SignIn::Challenge { kind, .. } => panic!("{kind:?} is asked once more"),
    };
    let code = app.next_code(&fixture).await;
    for session in ["", "session", tokens.refresh_token.expose_secret(), tokens.access_token.expose_secret()]
    {
        assert_denied(fixture.respond(&secret(session), &code).await, Denial::InvalidToken);
    }
    let session = fixture.challenge(&person).await;
    // Its token is no other token.
    assert_denied(fixture.identity.refresh(&session, None).await, Denial::InvalidToken);
    assert_denied(fixture.verifier.verify(session.expose_secret()).await, Denial::InvalidToken);
    for kind in [ChallengeKind::SmsMfa, ChallengeKind::NewPasswordRequired] {
        let other = fixture.identity.respond(&session, kind, &code, &SignInContext::default()).await;
        assert_refused(other, ErrorKind::InvalidInput);
    }
    fixture.assert_lets_in(&person, &session, &code).await;
}

pub async fn ending_all_sessions_ends_challenges(fixture: IdentityFixture) {
    let (person, app, _) = fixture.careful_person().await;
    let session = fixture.challenge(&person).await;
    fixture.sessions.end_all(person.user_id, None).await.unwrap();
    let answer = app.next_code(&fixture).await;
    assert_denied(fixture.respond(&session, &answer).await, Denial::InvalidToken);

    // Whoever was asked for it with a password that is no longer the one must give the new one.
    let session = fixture.challenge(&person).await;
    fixture.identity.forgot(&person.email).await.unwrap();
    let code = fixture.code(&person).await;
    fixture.identity.reset(&person.email, &code, &secret("an entirely new one")).await.unwrap();
    let answer = app.next_code(&fixture).await;
    assert_denied(fixture.respond(&session, &answer).await, Denial::InvalidToken);
    // And a new password does not take the second factor away.
    let again = fixture.try_sign_in(&person, "an entirely new one").await.unwrap();
    assert!(matches!(again, SignIn::Challenge { .. }));
}

pub async fn disabling_takes_a_code_or_a_recovery_code(fixture: IdentityFixture) {
    for with_recovery_code in [false, true] {
        let (person, app, recovery) = fixture.careful_person().await;
        let wrong = app.wrong_code(&fixture);
        assert_denied(fixture.multi_factor.disable(person.user_id, &wrong).await, Denial::WrongCode);
        assert!(fixture.multi_factor.is_on(person.user_id).await.unwrap());
        let code = if with_recovery_code { recovery[9].clone() } else { app.next_code(&fixture).await };
        fixture.multi_factor.disable(person.user_id, &code).await.unwrap();
        assert!(!fixture.multi_factor.is_on(person.user_id).await.unwrap());
        fixture.sign_in(&person).await;
        assert_refused(fixture.multi_factor.disable(person.user_id, &recovery[0]).await, ErrorKind::NotFound);
        // It can be set up anew, with another secret.
        let again = App::new(&fixture.multi_factor.set_up(person.user_id).await.unwrap().secret);
        assert_ne!(again.0, app.0);
    }
}

pub async fn an_operator_removes_a_second_factor_without_a_code(fixture: IdentityFixture) {
    let (person, app, _) = fixture.careful_person().await;
    let (other, _, _) = fixture.careful_person().await;
    let waiting = fixture.challenge(&person).await;
    fixture.multi_factor.remove(person.user_id).await.unwrap();
    assert!(!fixture.multi_factor.is_on(person.user_id).await.unwrap());
    fixture.sign_in(&person).await;
    let answer = app.next_code(&fixture).await;
    assert_denied(fixture.respond(&waiting, &answer).await, Denial::InvalidToken);
    assert!(fixture.multi_factor.is_on(other.user_id).await.unwrap());
    // Where it is not on there is nothing to do.
    fixture.multi_factor.remove(person.user_id).await.unwrap();
}

pub async fn second_factors_of_an_unknown_user_are_not_found(fixture: IdentityFixture) {
    let (unknown, code) = (UserId(unique()), secret("123456"));
    assert_refused(fixture.multi_factor.set_up(unknown).await.map(drop), ErrorKind::NotFound);
    assert_refused(fixture.multi_factor.verify(unknown, &code).await.map(drop), ErrorKind::NotFound);
    assert_refused(fixture.multi_factor.disable(unknown, &code).await, ErrorKind::NotFound);
    assert_refused(fixture.multi_factor.remove(unknown).await, ErrorKind::NotFound);
    assert!(!fixture.multi_factor.is_on(unknown).await.unwrap());
}

pub async fn a_second_factor_goes_with_its_user(fixture: IdentityFixture) {
    let (person, app, _) = fixture.careful_person().await;
    let session = fixture.challenge(&person).await;
    fixture.identity.delete(person.user_id).await.unwrap();
    let answer = app.next_code(&fixture).await;
    assert_denied(fixture.respond(&session, &answer).await, Denial::InvalidToken);
    assert!(!fixture.multi_factor.is_on(person.user_id).await.unwrap());
}
