//! Second factors in a folder: among processes, at rest, and against guessing.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use adapters_local::identity::{LocalIdentity, Settings};
use conformance::Authenticator;
use futures::future::join_all;
use ports::{
    ChallengeKind, Clock, Denial, ErrorKind, IdentityProvider, MultiFactor, Result, SignIn, SignInContext,
};
use secrecy::{ExposeSecret, SecretString};

use super::{Home, PASSWORD, denied, email, in_memory, secret, settings, sign_in, sign_up};

const ADDRESS: &str = "anna@example.org";

impl Home {
    /// Sets up a second factor; answers the app and the recovery codes.
    async fn set_up(&self) -> (Authenticator, Vec<SecretString>) {
        let made = self.identity.set_up(self.tokens.user_id).await.unwrap();
        let app = Authenticator::new(&made.secret);
        let recovery = self.identity.verify(self.tokens.user_id, &self.code(&app)).await.unwrap();
        self.clock.advance_by(Authenticator::STEP);
        (app, recovery)
    }

    fn code(&self, app: &Authenticator) -> SecretString {
        app.code(Clock::now(&*self.clock))
    }
}

async fn challenge(identity: &LocalIdentity, from: &SignInContext) -> SecretString {
    match identity.sign_in(&email(ADDRESS), &secret(PASSWORD), from).await.unwrap() {
        SignIn::Challenge { session, .. } => session,
        SignIn::Tokens(_) => panic!("tokens without the second factor"),
    }
}

async fn answer(identity: &LocalIdentity, session: &SecretString, code: &SecretString) -> Result<SignIn> {
    identity.respond(session, ChallengeKind::SoftwareTokenMfa, code, &SignInContext::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_answers_with_one_code_at_once_one_counts_in_all_processes() {
    let home = Home::new().await;
    let (app, recovery) = home.set_up().await;
    let other = home.elsewhere().await;
    for code in [home.code(&app), recovery[0].clone()] {
        let mut sessions = Vec::new();
        for _ in 0..4 {
            sessions.push(challenge(&other, &SignInContext::default()).await);
        }
        let answers = sessions.iter().enumerate().map(|(n, session)| {
            let identity = [&home.identity, &other][n % 2];
            answer(identity, session, &code)
        });
        let answers = join_all(answers).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        // A right answer sets the failures back, and those after it do not lock yet.
        assert!(answers.into_iter().filter(Result::is_err).all(|answer| denied(answer) == Denial::WrongCode));
        home.clock.advance_by(Duration::from_hours(25));
    }
}

#[tokio::test]
async fn a_device_is_remembered_through_the_challenge() {
    use ports::Sessions;
    let home = Home::new().await;
    let (app, _) = home.set_up().await;
    let from = SignInContext { device: Some("phone".to_owned()), remember_me: true, address: None };
    let session = challenge(&home.identity, &from).await;
    home.clock.advance_by(Authenticator::STEP);
    let SignIn::Tokens(tokens) = answer(&home.identity, &session, &home.code(&app)).await.unwrap() else {
        panic!("asked once more")
    };
    let listed = home.identity.sessions(tokens.user_id).await.unwrap();
    let listed = listed.iter().find(|session| session.id == tokens.session_id).unwrap();
    assert_eq!((listed.device.as_deref(), listed.created_at), (Some("phone"), Clock::now(&*home.clock)));
    home.clock.advance_by(Duration::from_hours(29 * 24));
    home.identity.refresh(&tokens.refresh_token, None).await.unwrap();
}

#[tokio::test]
async fn wrong_answers_count_for_the_network_address_too() {
    let clock = Arc::new(conformance::ManualClock::default());
    let identity = in_memory(Settings { lockout_address_failures: 3, ..settings() }, &clock);
    let user_id = sign_up(&identity, ADDRESS).await;
    sign_up(&identity, "boris@example.org").await;
    let app = Authenticator::new(&identity.set_up(user_id).await.unwrap().secret);
    identity.verify(user_id, &app.code(Clock::now(&*clock))).await.unwrap();
    let from = SignInContext { address: Some([192, 0, 2, 7].into()), ..SignInContext::default() };
    let session = challenge(&identity, &from).await;
    let kind = ChallengeKind::SoftwareTokenMfa;
    for _ in 0..3 {
        let wrong = app.wrong_code(Clock::now(&*clock));
        assert_eq!(denied(identity.respond(&session, kind, &wrong, &from).await), Denial::WrongCode);
    }
    // Even the right one, and every other account from there.
    clock.advance_by(Authenticator::STEP);
    let right = app.code(Clock::now(&*clock));
    assert!(matches!(denied(identity.respond(&session, kind, &right, &from).await), Denial::Locked { .. }));
    let other = identity.sign_in(&email("boris@example.org"), &secret(PASSWORD), &from).await;
    assert!(matches!(denied(other), Denial::Locked { .. }));
    // From elsewhere the account is not locked.
    assert!(matches!(answer(&identity, &session, &right).await.unwrap(), SignIn::Tokens(_)));
    sign_in(&identity, "boris@example.org").await;
}

#[tokio::test]
async fn wrong_codes_in_place_of_the_end_of_the_second_factor_lock_the_account() {
    let home = Home::new().await;
    let (app, recovery) = home.set_up().await;
    let user_id = home.tokens.user_id;
    for _ in 0..5 {
        let wrong = app.wrong_code(Clock::now(&*home.clock));
        assert_eq!(denied(home.identity.disable(user_id, &wrong).await), Denial::WrongCode);
    }
    let locked = home.identity.disable(user_id, &recovery[0]).await;
    assert!(matches!(denied(locked), Denial::Locked { .. }));
    assert!(home.identity.is_on(user_id).await.unwrap());
}

#[tokio::test]
async fn a_set_up_is_forgotten_after_a_quarter_of_an_hour() {
    let home = Home::new().await;
    let app = Authenticator::new(&home.identity.set_up(home.tokens.user_id).await.unwrap().secret);
    home.clock.advance_by(Duration::from_mins(15));
    let late = home.identity.verify(home.tokens.user_id, &home.code(&app)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_secret_and_the_recovery_codes_are_not_in_the_database_as_they_are() {
    let home = Home::new().await;
    let made = home.identity.set_up(home.tokens.user_id).await.unwrap();
    let app = Authenticator::new(&made.secret);
    let recovery = home.identity.verify(home.tokens.user_id, &home.code(&app)).await.unwrap();
    let session = challenge(&home.identity, &SignInContext::default()).await;
    let mut bytes = Vec::new();
    for entry in fs::read_dir(home.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            bytes.extend(fs::read(path).unwrap());
        }
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("second_factor"), "the files that were searched are the right ones");
    assert!(!holds(made.secret.expose_secret()) && !holds(session.expose_secret()));
    for code in &recovery {
        assert!(!holds(code.expose_secret()) && !holds(&code.expose_secret().replace('-', "")));
    }
    // Nor do they show where things are printed.
    let printed = format!("{made:?} {recovery:?} {:?}", home.identity);
    assert!(!printed.contains(made.secret.expose_secret()) && !printed.contains(recovery[0].expose_secret()));
    let access = fs::metadata(home.file("sealing-keys.json")).unwrap().permissions().mode() & 0o777;
    assert_eq!(access, 0o600);
}

#[tokio::test]
async fn a_second_factor_whose_key_is_lost_lets_nobody_in() {
    let home = Home::new().await;
    let (app, recovery) = home.set_up().await;
    fs::remove_file(home.file("sealing-keys.json")).unwrap();
    let restarted = home.elsewhere().await;
    let session = challenge(&restarted, &SignInContext::default()).await;
    for code in [home.code(&app), recovery[0].clone()] {
        let error = answer(&restarted, &session, &code).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}
