//! What moto is believed for: password policies, global sign-out, and proofs of the app client's secret.

use adapters_aws::SignInFlow;
use aws_sdk_cognitoidentityprovider::types::AuthFlowType;
use ports::{
    Denial, Email, ErrorKind, NewUser, PasswordFault, SignIn, SignInContext, denial, password_fault,
};
use secrecy::ExposeSecret as _;

use super::fixture::Pool;

const PASSWORD: &str = "correct horse battery";

fn new_user(email: &Email, password: &str) -> NewUser {
    NewUser {
        user_id: domain::ids::UserId(uuid::Uuid::nil()),
        email: email.clone(),
        password: password.into(),
        display_name: None,
    }
}

fn email(name: &str) -> Email {
    Email::parse(&format!("{name}@example.org")).unwrap()
}

#[tokio::test]
async fn a_password_against_the_pools_policy_is_a_fault_of_the_password() {
    let pool = Pool::moto(false, true).await;
    let identity = pool.open().await;
    let refused = identity.accounts.sign_up(new_user(&email("anna"), PASSWORD)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert_eq!(password_fault(&refused), Some(PasswordFault::Refused));
    identity.accounts.sign_up(new_user(&email("anna"), "correct h0rse battery!")).await.unwrap();
}

#[tokio::test]
async fn the_end_of_all_sessions_is_a_global_sign_out() {
    let pool = Pool::moto(false, false).await;
    let identity = pool.open().await;
    let anna = email("anna");
    identity.accounts.sign_up(new_user(&anna, PASSWORD)).await.unwrap();
    identity.accounts.confirm(&anna, "123456").await.unwrap();
    let from = SignInContext::default();
    let SignIn::Tokens(tokens) = identity.accounts.sign_in(&anna, &PASSWORD.into(), &from).await.unwrap()
    else {
        panic!("a challenge")
    };
    identity.tokens.verify(tokens.access_token.expose_secret()).await.unwrap();
    let renewed = identity.accounts.refresh(&tokens.refresh_token, None).await.unwrap();
    assert_eq!(renewed.session_id, tokens.session_id);

    let direct = pool.client.initiate_auth().client_id(&pool.settings.client_id);
    let direct = direct
        .auth_flow(AuthFlowType::UserPasswordAuth)
        .auth_parameters("USERNAME", tokens.user_id.to_string());
    let direct = direct.auth_parameters("PASSWORD", PASSWORD).send().await.unwrap();
    let refresh_token = direct.authentication_result.unwrap().refresh_token.unwrap();
    identity.sessions.end_all(tokens.user_id, None).await.unwrap();
    let call = pool.client.initiate_auth().client_id(&pool.settings.client_id);
    let call = call.auth_flow(AuthFlowType::RefreshTokenAuth).auth_parameters("REFRESH_TOKEN", refresh_token);
    assert!(call.send().await.is_err(), "moto was told of the end");
    let refused = identity.accounts.refresh(&renewed.refresh_token, None).await.unwrap_err();
    assert_eq!(denial(&refused), Some(Denial::InvalidToken));
}

#[tokio::test]
async fn an_operator_turns_a_second_factor_off() {
    let pool = Pool::moto(false, false).await;
    let identity = pool.open().await;
    let anna = email("anna");
    identity.accounts.sign_up(new_user(&anna, PASSWORD)).await.unwrap();
    identity.accounts.confirm(&anna, "123456").await.unwrap();
    let signed_in = identity.accounts.sign_in(&anna, &PASSWORD.into(), &SignInContext::default()).await;
    let SignIn::Tokens(tokens) = signed_in.unwrap() else { panic!("a challenge") };
    identity.multi_factor.set_up(tokens.user_id).await.unwrap();
    // moto takes any code.
    identity.multi_factor.verify(tokens.user_id, &"123456".into()).await.unwrap();
    assert!(identity.multi_factor.is_on(tokens.user_id).await.unwrap());
    identity.multi_factor.remove(tokens.user_id).await.unwrap();
    assert!(!identity.multi_factor.is_on(tokens.user_id).await.unwrap());
    let nobody = identity.multi_factor.remove(domain::ids::UserId(uuid::Uuid::nil())).await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_secret_of_the_app_client_is_proved() {
    let mut pool = Pool::moto(true, false).await;
    assert!(pool.settings.client_secret.is_some());
    pool.settings.sign_in_flow = SignInFlow::Srp;
    let anna = email("anna");
    let identity = pool.open().await;
    identity.accounts.sign_up(new_user(&anna, PASSWORD)).await.unwrap();
    identity.accounts.confirm(&anna, "123456").await.unwrap();
    // moto looks at the proof of the secret first, and then asks for one of the password in a way that Cognito does not.
    let from = SignInContext::default();
    let asked = identity.accounts.sign_in(&anna, &PASSWORD.into(), &from).await.unwrap_err();
    assert_eq!((asked.kind(), denial(&asked)), (ErrorKind::Unexpected, None));
    pool.settings.client_secret = Some("another secret".into());
    let refused = pool.open().await.accounts.sign_in(&anna, &PASSWORD.into(), &from).await.unwrap_err();
    assert_eq!(denial(&refused), Some(Denial::WrongCredentials));
}
