//! What cognito-local is believed for beside the conformance suite: codes, real one-time passwords, challenges, revocation.

use std::time::Duration;

use aws_sdk_cognitoidentityprovider::types::{AttributeType, AuthFlowType, MessageActionType};
use conformance::{Authenticator, Mailbox as _, TimeControl as _};
use domain::record::{Kind, Partition, SortRange};
use harness::CognitoLocal;
use ports::{
    ChallengeKind, Denial, Email, ErrorKind, Identity, NewUser, Query, Result, SignIn, SignInContext, Tokens,
    denial,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::fixture::{LocalMailbox, Pool};

const PASSWORD: &str = "correct horse battery";

struct Home {
    server: CognitoLocal,
    pool: Pool,
    identity: Identity,
}

impl Home {
    async fn new(is_own: bool) -> Self {
        let server = if is_own { CognitoLocal::own() } else { CognitoLocal::shared() }.unwrap();
        let pool = Pool::local(&server, is_own).await;
        let identity = pool.open().await;
        Self { server, pool, identity }
    }

    async fn person(&self, name: &str) -> Email {
        let email = Email::parse(&format!("{name}@example.org")).unwrap();
        let new = NewUser {
            user_id: domain::ids::UserId(uuid::Uuid::nil()),
            email: email.clone(),
            password: PASSWORD.into(),
            display_name: None,
        };
        self.identity.accounts.sign_up(new).await.unwrap();
        let code = LocalMailbox(self.server.clone()).latest_code(&email).await.unwrap();
        self.identity.accounts.confirm(&email, &code).await.unwrap();
        email
    }

    async fn try_sign_in(&self, email: &Email, password: &str) -> Result<SignIn> {
        self.identity.accounts.sign_in(email, &password.into(), &SignInContext::default()).await
    }

    async fn sign_in(&self, email: &Email) -> Tokens {
        tokens(self.try_sign_in(email, PASSWORD).await.unwrap())
    }

    async fn challenge(&self, email: &Email, expected: ChallengeKind) -> SecretString {
        match self.try_sign_in(email, PASSWORD).await.unwrap() {
            SignIn::Challenge { kind, session } if kind == expected => session,
            other => panic!("{other:?}"),
        }
    }

    async fn respond(&self, session: &SecretString, kind: ChallengeKind, answer: &str) -> Result<SignIn> {
        self.identity.accounts.respond(session, kind, &answer.into(), &SignInContext::default()).await
    }
}

fn tokens(sign_in: SignIn) -> Tokens {
    match sign_in {
        SignIn::Tokens(tokens) => tokens,
        SignIn::Challenge { kind, .. } => panic!("{kind:?}"),
    }
}

#[track_caller]
fn assert_denied<T>(result: Result<T>, expected: Denial) {
    let Err(error) = result else { panic!("{expected:?} was expected") };
    assert_eq!((error.kind(), denial(&error)), (ErrorKind::PermissionDenied, Some(expected)));
}

#[tokio::test]
async fn a_challenge_is_answered_by_a_code_and_ends_by_time_and_with_all_sessions() {
    let home = Home::new(true).await;
    let anna = home.person("anna").await;
    let user_id = home.sign_in(&anna).await.user_id;
    let made = home.identity.multi_factor.set_up(user_id).await.unwrap();
    assert!(
        made.otpauth_uri.expose_secret().starts_with("otpauth://totp/Clarity:anna%40example.org?secret=")
    );
    let app = Authenticator::new(&made.secret);
    let code = || app.code(home.pool.clock.now());
    assert!(home.identity.multi_factor.verify(user_id, &code()).await.unwrap().is_empty());

    let kind = ChallengeKind::SoftwareTokenMfa;
    let session = home.challenge(&anna, kind).await;
    assert_denied(home.respond(&session, kind, "12345x").await, Denial::WrongCode);
    let wrong = app.wrong_code(home.pool.clock.now());
    assert_denied(home.respond(&session, kind, wrong.expose_secret()).await, Denial::WrongCode);
    let other = home.respond(&session, ChallengeKind::SmsMfa, "123456").await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::InvalidInput);
    let given = tokens(home.respond(&session, kind, code().expose_secret()).await.unwrap());
    home.identity.accounts.refresh(&given.refresh_token, None).await.unwrap();

    let session = home.challenge(&anna, kind).await;
    home.identity.sessions.end_all(user_id, None).await.unwrap();
    assert_denied(home.respond(&session, kind, code().expose_secret()).await, Denial::InvalidToken);
    let session = home.challenge(&anna, kind).await;
    home.pool.clock.advance(Duration::from_mins(5)).await;
    assert_denied(home.respond(&session, kind, code().expose_secret()).await, Denial::InvalidToken);
    for nothing in ["", "session", given.refresh_token.expose_secret()] {
        assert_denied(home.respond(&nothing.into(), kind, "123456").await, Denial::InvalidToken);
    }
}

#[tokio::test]
async fn a_second_factor_is_turned_off_with_a_code_by_who_is_signed_in() {
    let home = Home::new(true).await;
    let anna = home.person("anna").await;
    let user_id = home.sign_in(&anna).await.user_id;
    let made = home.identity.multi_factor.set_up(user_id).await.unwrap();
    let app = Authenticator::new(&made.secret);
    let code = || app.code(home.pool.clock.now());
    home.identity.multi_factor.verify(user_id, &code()).await.unwrap();
    let wrong = app.wrong_code(home.pool.clock.now());
    assert_denied(home.identity.multi_factor.disable(user_id, &wrong).await, Denial::WrongCode);
    assert!(home.identity.multi_factor.is_on(user_id).await.unwrap());
    home.identity.multi_factor.disable(user_id, &code()).await.unwrap();
    assert!(!home.identity.multi_factor.is_on(user_id).await.unwrap());
    home.sign_in(&anna).await;
    home.identity.sessions.end_all(user_id, None).await.unwrap();
    let refused = home.identity.multi_factor.set_up(user_id).await.unwrap_err();
    assert_eq!((refused.kind(), denial(&refused)), (ErrorKind::PermissionDenied, None));
}

#[tokio::test]
async fn a_temporary_password_is_replaced_at_the_first_sign_in() {
    let home = Home::new(false).await;
    let email = Email::parse("invited@example.org").unwrap();
    let attribute = AttributeType::builder().name("email").value(email.expose()).build().unwrap();
    let made = home.pool.client.admin_create_user().user_pool_id(&home.pool.settings.user_pool_id);
    let made = made.username(email.expose()).user_attributes(attribute).temporary_password(PASSWORD);
    made.message_action(MessageActionType::Suppress).send().await.unwrap();

    let kind = ChallengeKind::NewPasswordRequired;
    let session = home.challenge(&email, kind).await;
    let short = home.respond(&session, kind, "short").await.unwrap_err();
    assert!(ports::password_fault(&short).is_some());
    tokens(home.respond(&session, kind, "an entirely new one").await.unwrap());
    tokens(home.try_sign_in(&email, "an entirely new one").await.unwrap());
}

#[tokio::test]
async fn a_session_that_ended_is_revoked_at_cognito() {
    let home = Home::new(false).await;
    let anna = home.person("revoked").await;
    let given = home.sign_in(&anna).await;
    // Nothing of what Cognito gave is in the store as it is.
    let query = Query::new(Partition::User(given.user_id), Kind::Session, SortRange::all());
    let stored = home.pool.store.query(&query).await.unwrap().items;
    let text = String::from_utf8(stored[0].body.to_vec()).unwrap();
    assert!(!text.contains("eyJ") && !text.contains(given.refresh_token.expose_secret()));

    let flow = |token: &str| {
        let call = home.pool.client.initiate_auth().client_id(&home.pool.settings.client_id);
        call.auth_flow(AuthFlowType::RefreshTokenAuth).auth_parameters("REFRESH_TOKEN", token).send()
    };
    let direct = home.pool.client.initiate_auth().client_id(&home.pool.settings.client_id);
    let direct = direct.auth_flow(AuthFlowType::UserPasswordAuth).auth_parameters("USERNAME", anna.expose());
    let direct = direct.auth_parameters("PASSWORD", PASSWORD).send().await.unwrap();
    let direct = direct.authentication_result.unwrap();
    let refresh_token = direct.refresh_token.unwrap();
    flow(&refresh_token).await.unwrap();
    // A token that Cognito gave to someone else than this service is none of its sessions.
    assert_denied(home.identity.tokens.verify(&direct.access_token.unwrap()).await, Denial::InvalidToken);
    home.identity.sessions.end_all(given.user_id, None).await.unwrap();
    assert!(flow(&refresh_token).await.is_err(), "Cognito was told of the end");
}

#[tokio::test]
async fn a_pool_that_rotates_its_refresh_tokens_is_followed() {
    let mut home = Home::new(false).await;
    home.pool.settings.is_rotating = true;
    home.identity = home.pool.open().await;
    let anna = home.person("rotated").await;
    let first = home.sign_in(&anna).await;
    let second = home.identity.accounts.refresh(&first.refresh_token, None).await.unwrap();
    assert_eq!((second.user_id, second.session_id), (first.user_id, first.session_id));
    // What is done in the user's name spends Cognito's token, and not theirs.
    home.identity.multi_factor.set_up(first.user_id).await.unwrap();
    let third = home.identity.accounts.refresh(&second.refresh_token, None).await.unwrap();
    home.identity.tokens.verify(third.access_token.expose_secret()).await.unwrap();
    assert_denied(home.identity.accounts.refresh(&second.refresh_token, None).await, Denial::InvalidToken);
    assert_denied(
        home.identity.tokens.verify(third.access_token.expose_secret()).await,
        Denial::InvalidToken,
    );
}
