//! Rules beyond the port's contract.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use adapters_local::identity::{CodePurpose, CodeSink, LocalIdentity, Settings};
use conformance::ManualClock;
use domain::ids::SessionId;
use futures::future::join_all;
use ports::{
    ChallengeKind, Denial, Email, ErrorKind, IdSource, IdentityProvider, NewUser, ProfileUpdate, Role,
    Sessions, SignInContext, TokenVerifier, denial,
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Home, PASSWORD, confirming, denied, email, in_memory, latest_code, secret, settings, sign_in,
    sign_in_from, sign_up, verifies,
};

const ADDRESS: &str = "anna@example.org";

fn memory(settings: Settings) -> (Arc<LocalIdentity>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (in_memory(settings, &clock), clock)
}

async fn guess(identity: &LocalIdentity, address: &str) -> Denial {
    denied(identity.sign_in(&email(address), &secret("wrong password"), &SignInContext::default()).await)
}

fn other_than(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}

#[tokio::test]
async fn passwords_have_8_characters_at_least_and_1024_bytes_at_most() {
    let (identity, _) = memory(settings());
    for (length, fits) in [(7, false), (8, true), (1024, true), (1025, false)] {
        let user = NewUser {
            user_id: domain::ids::UserId(adapters_local::SystemIds.next()),
            email: email(&format!("a{length}@example.org")),
            password: "p".repeat(length).into(),
            display_name: None,
        };
        let result = identity.sign_up(user).await;
        assert_eq!(
            result.as_ref().err().map(ports::Error::kind),
            (!fits).then_some(ErrorKind::InvalidInput),
            "{length}"
        );
    }
}

#[tokio::test]
async fn nobody_signs_up_by_themselves_where_that_is_off() {
    let (identity, _) = memory(Settings { self_sign_up: false, ..settings() });
    let user = NewUser {
        user_id: domain::ids::UserId(adapters_local::SystemIds.next()),
        email: email(ADDRESS),
        password: secret(PASSWORD),
        display_name: None,
    };
    let error = identity.sign_up(user).await.unwrap_err();
    assert_eq!((error.kind(), denial(&error)), (ErrorKind::PermissionDenied, None));
}

#[tokio::test]
async fn two_sign_ups_with_one_address_at_once_make_one_account() {
    let home = Home::new().await;
    let other = home.elsewhere().await;
    let sign_up = |identity: &Arc<LocalIdentity>| {
        let identity = Arc::clone(identity);
        let user = NewUser {
            user_id: domain::ids::UserId(adapters_local::SystemIds.next()),
            email: email("berta@example.org"),
            password: secret(PASSWORD),
            display_name: None,
        };
        async move { identity.sign_up(user).await }
    };
    let results = join_all((0..8).map(|n| sign_up(if n % 2 == 0 { &home.identity } else { &other }))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn a_refused_change_holds_up_no_other_process() {
    let home = Home::new().await;
    let other = home.elsewhere().await;
    for _ in 0..3 {
        assert_eq!(denied(home.identity.refresh(&secret("none"), None).await), Denial::InvalidToken);
        sign_in(&other, ADDRESS).await;
    }
}

#[tokio::test]
async fn an_address_of_nobody_is_locked_like_any_other() {
    let (identity, clock) = memory(settings());
    sign_up(&identity, ADDRESS).await;
    for address in [ADDRESS, "nobody@example.org"] {
        for _ in 0..5 {
            assert_eq!(guess(&identity, address).await, Denial::WrongCredentials);
        }
        let locked = identity
            .sign_in(&email(address), &secret(PASSWORD), &SignInContext::default())
            .await
            .unwrap_err();
        assert_eq!(locked.kind(), ErrorKind::RateLimited);
        let Some(Denial::Locked { retry_after_seconds }) = denial(&locked) else { panic!("{locked}") };
        assert!((900..=901).contains(&retry_after_seconds), "{retry_after_seconds}");
    }
    clock.advance_by(Duration::from_mins(15));
    sign_in(&identity, ADDRESS).await;
}

#[tokio::test]
async fn a_success_starts_the_count_of_failures_anew() {
    let (identity, _) = memory(settings());
    sign_up(&identity, ADDRESS).await;
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(guess(&identity, ADDRESS).await, Denial::WrongCredentials);
        }
        sign_in(&identity, ADDRESS).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_guesses_at_once_only_the_first_few_are_answered() {
    let home = Home::new().await;
    let guesses = join_all((0..40).map(|_| guess(&home.identity, ADDRESS))).await;
    assert_eq!(guesses.iter().filter(|denial| **denial == Denial::WrongCredentials).count(), 5);
    assert!(matches!(
        denied(home.identity.sign_in(&email(ADDRESS), &secret(PASSWORD), &SignInContext::default()).await),
        Denial::Locked { .. }
    ));
}

#[tokio::test]
async fn a_code_allows_five_attempts() {
    let (identity, _) = memory(confirming());
    sign_up(&identity, ADDRESS).await;
    let code = latest_code(&identity, &email(ADDRESS)).await.unwrap();
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()));
    for _ in 0..5 {
        assert_eq!(denied(identity.confirm(&email(ADDRESS), other_than(&code)).await), Denial::WrongCode);
    }
    assert_eq!(denied(identity.confirm(&email(ADDRESS), &code).await), Denial::WrongCode);
    identity.resend(&email(ADDRESS)).await.unwrap();
    let next = latest_code(&identity, &email(ADDRESS)).await.unwrap();
    identity.confirm(&email(ADDRESS), &next).await.unwrap();
}

#[tokio::test]
async fn a_code_lives_for_a_quarter_of_an_hour() {
    let (identity, clock) = memory(confirming());
    sign_up(&identity, ADDRESS).await;
    let code = latest_code(&identity, &email(ADDRESS)).await.unwrap();
    clock.advance_by(Duration::from_mins(15));
    assert_eq!(denied(identity.confirm(&email(ADDRESS), &code).await), Denial::WrongCode);
    assert_eq!(latest_code(&identity, &email(ADDRESS)).await, None);
}

#[tokio::test]
async fn a_code_serves_no_other_purpose_and_no_other_address() {
    let (identity, _) = memory(confirming());
    sign_up(&identity, ADDRESS).await;
    sign_up(&identity, "berta@example.org").await;
    let code = latest_code(&identity, &email(ADDRESS)).await.unwrap();
    let reset = identity.reset(&email(ADDRESS), &code, &secret("another password")).await;
    assert_eq!(denied(reset), Denial::WrongCode);
    let bertas = latest_code(&identity, &email("berta@example.org")).await.unwrap();
    if bertas != code {
        assert_eq!(denied(identity.confirm(&email("berta@example.org"), &code).await), Denial::WrongCode);
    }
    identity.confirm(&email(ADDRESS), &code).await.unwrap();
}

#[tokio::test]
async fn an_address_gets_five_codes_an_hour() {
    let (identity, clock) = memory(settings());
    sign_up(&identity, ADDRESS).await;
    for _ in 0..5 {
        identity.forgot(&email(ADDRESS)).await.unwrap();
    }
    let last = latest_code(&identity, &email(ADDRESS)).await.unwrap();
    identity.forgot(&email(ADDRESS)).await.unwrap();
    assert_eq!(latest_code(&identity, &email(ADDRESS)).await, Some(last));
    clock.advance_by(Duration::from_hours(1));
    identity.forgot(&email(ADDRESS)).await.unwrap();
    assert!(latest_code(&identity, &email(ADDRESS)).await.is_some());
}

#[tokio::test]
async fn of_two_resets_with_one_code_at_once_one_counts() {
    let home = Home::new().await;
    home.identity.forgot(&email(ADDRESS)).await.unwrap();
    let code = latest_code(&home.identity, &email(ADDRESS)).await.unwrap();
    let address = email(ADDRESS);
    let passwords: Vec<SecretString> = (0..4).map(|n| secret(&format!("new password {n}"))).collect();
    let resets =
        join_all(passwords.iter().map(|password| home.identity.reset(&address, &code, password))).await;
    let winners: Vec<_> = resets.iter().zip(&passwords).filter(|(reset, _)| reset.is_ok()).collect();
    assert_eq!(winners.len(), 1);
    home.identity.sign_in(&address, winners[0].1, &SignInContext::default()).await.unwrap();
    assert!(!verifies(&home.identity, home.token()).await);
}

#[tokio::test]
async fn of_refreshes_with_one_token_at_once_one_wins_and_the_session_ends() {
    let home = Home::new().await;
    let other = home.elsewhere().await;
    let refresh = |n: usize| {
        let identity = [&home.identity, &other][n % 2];
        identity.refresh(&home.tokens.refresh_token, None)
    };
    let results = join_all((0..8).map(refresh)).await;
    let winners: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    assert_eq!(winners.len(), 1);
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(denial(error), Some(Denial::InvalidToken));
    }
    assert!(!verifies(&home.identity, winners[0].access_token.expose_secret()).await);
    assert_eq!(denied(home.identity.refresh(&winners[0].refresh_token, None).await), Denial::InvalidToken);
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_a_remembered_one_when_its_refresh_token_does() {
    for (remember_me, days) in [(false, 14), (true, 30)] {
        let (identity, clock) = memory(settings());
        let user_id = sign_up(&identity, ADDRESS).await;
        let from = SignInContext { remember_me, ..SignInContext::default() };
        let mut tokens = sign_in_from(&identity, ADDRESS, &from).await;
        let day = Duration::from_hours(24);
        // Being used keeps it going, beyond any one idle time.
        for _ in 0..3 {
            clock.advance_by(day * (days - 1));
            tokens = identity.refresh(&tokens.refresh_token, None).await.unwrap();
        }
        clock.advance_by(day * days);
        assert_eq!(denied(identity.refresh(&tokens.refresh_token, None).await), Denial::InvalidToken);
        assert_eq!(identity.sessions(user_id).await.unwrap(), []);
    }
}

#[tokio::test]
async fn whoever_steals_a_refresh_token_loses_it_with_its_owner_in_every_process() {
    // The thief is first, or the owner is: nobody can tell which of the two it was.
    for thief_is_first in [true, false] {
        let home = Home::new().await;
        let other = home.elsewhere().await;
        let (first, second) =
            if thief_is_first { (&other, &home.identity) } else { (&home.identity, &other) };
        let stolen = home.tokens.refresh_token.clone();
        let renewed = first.refresh(&stolen, None).await.unwrap();
        let renewed = first.refresh(&renewed.refresh_token, None).await.unwrap();
        assert!(verifies(second, renewed.access_token.expose_secret()).await);
        assert_eq!(denied(second.refresh(&stolen, None).await), Denial::InvalidToken);
        for identity in [&home.identity, &other, &home.elsewhere().await] {
            assert!(!verifies(identity, home.token()).await);
            assert!(!verifies(identity, renewed.access_token.expose_secret()).await);
            assert_eq!(denied(identity.refresh(&renewed.refresh_token, None).await), Denial::InvalidToken);
            assert_eq!(identity.sessions(home.tokens.user_id).await.unwrap(), []);
        }
        // The owner signs in anew.
        sign_in(&home.identity, ADDRESS).await;
    }
}

#[tokio::test]
async fn ending_all_sessions_counts_at_once_in_another_process() {
    let home = Home::new().await;
    let other = home.elsewhere().await;
    let kept = sign_in(&home.identity, ADDRESS).await;
    home.identity.end_all(home.tokens.user_id, Some(kept.session_id)).await.unwrap();
    assert!(!verifies(&other, home.token()).await);
    assert!(verifies(&other, kept.access_token.expose_secret()).await);
    let listed = other.sessions(home.tokens.user_id).await.unwrap();
    assert_eq!(listed.iter().map(|session| session.id).collect::<Vec<_>>(), [kept.session_id]);
}

#[tokio::test]
async fn new_roles_count_at_once_in_another_process() {
    let home = Home::new().await;
    let other = home.elsewhere().await;
    assert!(verifies(&other, home.token()).await);
    home.identity.set_roles(home.tokens.user_id, [Role::Operator].into()).await.unwrap();
    assert!(!verifies(&other, home.token()).await);
    assert_eq!(denied(other.refresh(&home.tokens.refresh_token, None).await), Denial::InvalidToken);
    let tokens = sign_in(&other, ADDRESS).await;
    let verified = home.identity.verify(tokens.access_token.expose_secret()).await.unwrap();
    assert_eq!(verified.roles, [Role::Operator].into());
}

#[tokio::test]
async fn failures_from_a_network_address_count_together_for_an_hour() {
    let clock = Arc::new(ManualClock::default());
    let identity = in_memory(Settings { lockout_address_failures: 3, ..settings() }, &clock);
    sign_up(&identity, ADDRESS).await;
    let from =
        |address: &str| SignInContext { address: Some(address.parse().unwrap()), ..SignInContext::default() };
    let mut stranger = 0;
    let mut fail = async |address: &str| {
        stranger += 1;
        let email = email(&format!("nobody{stranger}@example.org"));
        denied(identity.sign_in(&email, &secret("wrong password"), &from(address)).await)
    };
    // IPv4 in the clothes of IPv6 is the same address, and its neighbour is another.
    for address in ["192.0.2.7", "::ffff:192.0.2.7"] {
        assert_eq!(fail(address).await, Denial::WrongCredentials);
        clock.advance_by(Duration::from_mins(30));
    }
    // An hour after the first one all of them are forgotten.
    for address in ["192.0.2.7", "192.0.2.8", "192.0.2.7", "::ffff:192.0.2.7"] {
        assert_eq!(fail(address).await, Denial::WrongCredentials);
    }
    let Denial::Locked { retry_after_seconds } = fail("192.0.2.7").await else { panic!("not locked") };
    assert!((900..=901).contains(&retry_after_seconds), "{retry_after_seconds}");
    sign_in_from(&identity, ADDRESS, &from("192.0.2.8")).await;
    clock.advance_by(Duration::from_mins(15));
    sign_in_from(&identity, ADDRESS, &from("192.0.2.7")).await;
    assert_eq!(fail("192.0.2.7").await, Denial::WrongCredentials);
}

#[tokio::test]
async fn a_device_may_call_itself_anything_of_200_characters() {
    let (identity, _) = memory(settings());
    let user_id = sign_up(&identity, ADDRESS).await;
    let from = SignInContext { device: Some("ü".repeat(300)), ..SignInContext::default() };
    sign_in_from(&identity, ADDRESS, &from).await;
    let listed = identity.sessions(user_id).await.unwrap();
    assert_eq!(listed[0].device, Some("ü".repeat(200)));
}

#[tokio::test]
async fn an_access_token_is_no_refresh_token() {
    let home = Home::new().await;
    assert_eq!(denied(home.identity.refresh(&home.tokens.access_token, None).await), Denial::InvalidToken);
    assert!(verifies(&home.identity, home.token()).await);
}

#[tokio::test]
async fn nobody_ends_the_session_of_another() {
    let home = Home::new().await;
    let berta = sign_up(&home.identity, "berta@example.org").await;
    home.identity.sign_out(berta, home.tokens.session_id).await.unwrap();
    home.identity.sign_out(berta, SessionId(berta.0)).await.unwrap();
    assert!(verifies(&home.identity, home.token()).await);
}

#[tokio::test]
async fn a_user_id_that_was_deleted_can_sign_up_again_and_its_old_tokens_stay_void() {
    let home = Home::new().await;
    let user_id = home.tokens.user_id;
    home.identity.delete(user_id).await.unwrap();
    let user = NewUser { user_id, email: email(ADDRESS), password: secret(PASSWORD), display_name: None };
    home.identity.sign_up(user).await.unwrap();
    let tokens = sign_in(&home.identity, ADDRESS).await;
    assert!(verifies(&home.identity, tokens.access_token.expose_secret()).await);
    assert!(!verifies(&home.identity, home.token()).await);
}

#[tokio::test]
async fn a_changed_address_is_confirmed_anew_and_the_old_one_is_free() {
    let (identity, _) = memory(confirming());
    let user_id = sign_up(&identity, ADDRESS).await;
    let code = latest_code(&identity, &email(ADDRESS)).await.unwrap();
    identity.confirm(&email(ADDRESS), &code).await.unwrap();
    let new = email("anna@new.example.org");
    let update = ProfileUpdate { email: Some(new.clone()), ..ProfileUpdate::default() };
    assert!(!identity.update(user_id, update).await.unwrap().email_verified);
    let code = latest_code(&identity, &new).await.unwrap();
    identity.confirm(&new, &code).await.unwrap();
    assert_eq!(sign_in(&identity, new.expose()).await.user_id, user_id);
    assert_ne!(sign_up(&identity, ADDRESS).await, user_id);
}

#[tokio::test]
async fn no_answer_to_a_challenge_is_right() {
    let home = Home::new().await;
    let answer = home
        .identity
        .respond(
            &secret("session"),
            ChallengeKind::SoftwareTokenMfa,
            &secret("123456"),
            &SignInContext::default(),
        )
        .await;
    assert_eq!(denied(answer), Denial::InvalidToken);
}

#[derive(Debug, Default)]
struct Post(Mutex<Vec<(Email, CodePurpose, String)>>);

impl CodeSink for Post {
    fn deliver(&self, email: &Email, purpose: CodePurpose, code: &SecretString) {
        self.0.lock().unwrap().push((email.clone(), purpose, code.expose_secret().to_owned()));
    }
}

#[tokio::test]
async fn codes_that_are_delivered_are_not_kept() {
    let post = Arc::new(Post::default());
    let (identity, _) =
        memory(Settings { code_sink: Some(Arc::clone(&post) as _), keep_codes: false, ..confirming() });
    sign_up(&identity, ADDRESS).await;
    identity.forgot(&email("nobody@example.org")).await.unwrap();
    identity.resend(&email("nobody@example.org")).await.unwrap();
    assert!(identity.dev_codes().await.unwrap().is_empty());
    let sent = post.0.lock().unwrap().clone();
    assert_eq!(sent.len(), 1);
    assert_eq!((&sent[0].0, sent[0].1), (&email(ADDRESS), CodePurpose::ConfirmEmail));
    identity.confirm(&email(ADDRESS), &sent[0].2).await.unwrap();
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let clock = Arc::new(ManualClock::default());
    let refused = |settings: Settings| {
        let clock = Arc::clone(&clock);
        LocalIdentity::memory(settings, clock, Arc::new(adapters_local::SystemIds)).unwrap_err().kind()
    };
    assert_eq!(refused(Settings { issuer: String::new(), ..settings() }), ErrorKind::InvalidInput);
    assert_eq!(
        refused(Settings { access_token_lifetime: Duration::ZERO, ..settings() }),
        ErrorKind::InvalidInput
    );
    assert_eq!(refused(Settings { lockout_failures: 0, ..settings() }), ErrorKind::InvalidInput);
    assert_eq!(refused(Settings { lockout_address_failures: 0, ..settings() }), ErrorKind::InvalidInput);
    let idle = Duration::from_mins(59);
    assert_eq!(refused(Settings { session_idle: idle, ..settings() }), ErrorKind::InvalidInput);
    let cost = adapters_local::identity::PasswordCost { memory_kib: 1, iterations: 1, parallelism: 1 };
    assert_eq!(refused(Settings { password_cost: cost, ..settings() }), ErrorKind::InvalidInput);
}
