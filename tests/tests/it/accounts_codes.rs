//! Codes by mail: confirming an address, and a new password for a forgotten one.

use std::time::{Duration, Instant};

use e2e::{Clarity, Phone};
use futures::future::join_all;
use serde_json::json;

use crate::{
    accounts::{
        PASSWORD, anybody, latest_code, login, me, other_code, post, refresh, retry_after, shape, sign_up,
        stranger,
    },
    support::{Server, Shared, pointers, problem, stdout_json},
};

static SHARED: Shared = Shared::new();

const NEW_PASSWORD: &str = "another long password";

fn confirming() -> Server {
    Server::start(&[("identity.email_confirmation_required", "true")])
}

fn data(server: &Server) -> &std::path::Path {
    server.data.path()
}

#[tokio::test]
async fn an_address_is_confirmed_with_the_code_that_was_mailed() {
    let server = confirming();
    let (phone, email) = (anybody(&server), stranger());
    let answer = sign_up(&phone, &email).await.expect(202).unwrap();
    assert_eq!(answer["requires_email_verification"], true);
    assert!(answer.get("access_token").is_none());
    assert_eq!(problem(&login(&phone, &email, PASSWORD).await, 403), "email-not-verified");
    let code = latest_code(data(&server), &email);
    let confirm =
        async |code: &str| post(&phone, "auth/confirm-email", json!({ "email": email, "code": code })).await;
    let wrong = confirm(&other_code(&[&code])).await;
    assert_eq!((problem(&wrong, 422).as_str(), pointers(&wrong)), ("validation", vec!["/code"]));
    assert_eq!(confirm(&code).await.expect(200).unwrap(), json!({ "status": "confirmed" }));
    let tokens = login(&phone, &email.to_uppercase(), PASSWORD).await.expect(200).unwrap();
    let profile = me(&phone, tokens["access_token"].as_str().unwrap()).await.expect(200).unwrap();
    assert_eq!(profile["email_verified"], true);
    assert_eq!(pointers(&confirm(&code).await), ["/code"]);
}

#[tokio::test]
async fn what_was_confirmed_or_reset_holds_after_a_kill() {
    let mut server = confirming();
    let (phone, confirmed, reset) = (anybody(&server), stranger(), stranger());
    for email in [&confirmed, &reset] {
        sign_up(&phone, email).await.expect(202).unwrap();
    }
    post(&phone, "auth/forgot-password", json!({ "email": reset })).await.expect(200).unwrap();
    let codes = [&confirmed, &reset].map(|email| latest_code(data(&server), email));
    let body = json!({ "email": confirmed, "code": codes[0] });
    post(&phone, "auth/confirm-email", body).await.expect(200).unwrap();
    let body = json!({ "email": reset, "code": codes[1], "new_password": NEW_PASSWORD });
    post(&phone, "auth/reset-password", body).await.expect(200).unwrap();
    server.started.kill().unwrap();
    let started = Clarity::serve(data(&server)).unwrap().set("identity.email_confirmation_required", "true");
    server.started = started.start().unwrap();
    let phone = phone.at(server.address());
    login(&phone, &confirmed, PASSWORD).await.expect(200).unwrap();
    // Who got the code at the address confirmed it with that.
    login(&phone, &reset, NEW_PASSWORD).await.expect(200).unwrap();
    assert_eq!(problem(&login(&phone, &reset, PASSWORD).await, 401), "wrong-credentials");
}

#[tokio::test]
async fn a_newer_code_replaces_the_one_before() {
    let server = confirming();
    let (phone, email) = (anybody(&server), stranger());
    sign_up(&phone, &email).await.expect(202).unwrap();
    let first = latest_code(data(&server), &email);
    let resend = async || {
        let answer = post(&phone, "auth/resend-confirmation", json!({ "email": email })).await;
        assert_eq!(answer.expect(200).unwrap(), json!({ "status": "accepted" }));
        latest_code(data(&server), &email)
    };
    let mut second = resend().await;
    // One time in a million they are alike.
    while second == first {
        second = resend().await;
    }
    let confirm =
        async |code: &str| post(&phone, "auth/confirm-email", json!({ "email": email, "code": code })).await;
    assert_eq!(pointers(&confirm(&first).await), ["/code"]);
    confirm(&second).await.expect(200).unwrap();
}

#[tokio::test]
async fn a_new_password_ends_every_session_and_the_old_password() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let other = login(&phone, &phone.email, &phone.password).await.expect(200).unwrap();
    let forgot = post(&phone, "auth/forgot-password", json!({ "email": phone.email })).await;
    assert_eq!(forgot.expect(200).unwrap(), json!({ "status": "accepted" }));
    let code = latest_code(data(&server), &phone.email);
    let reset = async |code: &str, password: &str| {
        let body = json!({ "email": phone.email, "code": code, "new_password": password });
        post(&phone, "auth/reset-password", body).await
    };
    assert_eq!(pointers(&reset(&other_code(&[&code]), NEW_PASSWORD).await), ["/code"]);
    assert_eq!(pointers(&reset(&code, "seven77").await), ["/new_password"]);
    assert_eq!(pointers(&reset(&code, &phone.email).await), ["/new_password"]);
    assert_eq!(reset(&code, NEW_PASSWORD).await.expect(200).unwrap(), json!({ "status": "password_reset" }));
    for token in [&phone.access_token, other["access_token"].as_str().unwrap()] {
        assert_eq!(problem(&me(&phone, token).await, 401), "unauthorized");
    }
    for token in [&phone.refresh_token, other["refresh_token"].as_str().unwrap()] {
        assert_eq!(problem(&refresh(&phone, token).await, 401), "unauthorized");
    }
    assert_eq!(problem(&login(&phone, &phone.email, &phone.password).await, 401), "wrong-credentials");
    login(&phone, &phone.email, NEW_PASSWORD).await.expect(200).unwrap();
    assert_eq!(pointers(&reset(&code, "a third long password").await), ["/code"]);
}

#[tokio::test]
async fn a_code_works_once_also_for_many_at_a_time() {
    let server = SHARED.get();
    let phone = server.phone().await;
    post(&phone, "auth/forgot-password", json!({ "email": phone.email })).await.expect(200).unwrap();
    let code = latest_code(data(&server), &phone.email);
    let answers = join_all((0..6).map(|at| {
        let body =
            json!({ "email": phone.email, "code": code, "new_password": format!("{NEW_PASSWORD} {at}") });
        post(&phone, "auth/reset-password", body)
    }))
    .await;
    let won: Vec<usize> = (0..6).filter(|at| answers[*at].status == 200).collect();
    assert_eq!(won.len(), 1);
    for (at, answer) in answers.iter().enumerate() {
        let password = format!("{NEW_PASSWORD} {at}");
        if at == won[0] {
            login(&phone, &phone.email, &password).await.expect(200).unwrap();
        } else {
            assert_eq!(pointers(answer), ["/code"]);
        }
    }
}

#[tokio::test]
async fn a_code_ends_after_wrong_attempts() {
    let server = SHARED.get();
    let phone = server.phone().await;
    post(&phone, "auth/forgot-password", json!({ "email": phone.email })).await.expect(200).unwrap();
    let code = latest_code(data(&server), &phone.email);
    let reset = async |code: &str| {
        let body = json!({ "email": phone.email, "code": code, "new_password": NEW_PASSWORD });
        post(&phone, "auth/reset-password", body).await
    };
    for _ in 0..5 {
        assert_eq!(pointers(&reset(&other_code(&[&code])).await), ["/code"]);
    }
    assert_eq!(pointers(&reset(&code).await), ["/code"]);
    login(&phone, &phone.email, &phone.password).await.expect(200).unwrap();
}

/// Requests whose answers must not tell whether `email` has an account.
async fn probes(phone: &Phone, email: &str, wrong_code: &str) -> Vec<e2e::Answer> {
    let (confirm, reset) = (
        json!({ "email": email, "code": wrong_code }),
        json!({ "email": email, "code": wrong_code, "new_password": NEW_PASSWORD }),
    );
    vec![
        post(phone, "auth/resend-confirmation", json!({ "email": email })).await,
        post(phone, "auth/forgot-password", json!({ "email": email })).await,
        post(phone, "auth/confirm-email", confirm).await,
        post(phone, "auth/reset-password", reset.clone()).await,
        post(phone, "auth/reset-password", json!({ "email": email, "code": "x", "new_password": "short" }))
            .await,
        post(phone, "auth/login", json!({ "email": email, "password": "wrong password" })).await,
    ]
}

#[tokio::test]
async fn no_answer_tells_who_has_an_account() {
    let server = confirming();
    let (phone, confirmed, unconfirmed) = (anybody(&server), stranger(), stranger());
    for email in [&confirmed, &unconfirmed] {
        sign_up(&phone, email).await.expect(202).unwrap();
    }
    let code = latest_code(data(&server), &confirmed);
    let body = json!({ "email": confirmed, "code": code });
    post(&phone, "auth/confirm-email", body).await.expect(200).unwrap();
    let unknown: Vec<_> = probes(&phone, &stranger(), "nothing").await.iter().map(shape).collect();
    let statuses: Vec<u16> = unknown.iter().map(|(status, ..)| *status).collect();
    assert_eq!(statuses, [200, 200, 422, 422, 422, 401]);
    for known in [&confirmed, &unconfirmed] {
        let known: Vec<_> = probes(&phone, known, "nothing").await.iter().map(shape).collect();
        assert_eq!(known, unknown);
    }
    // And again, when codes are being waited for.
    let again: Vec<_> = probes(&phone, &confirmed, "nothing").await.iter().map(shape).collect();
    assert_eq!(again, unknown);
}

/// The same work is done for everybody. A password is hashed for an unknown address, too, and a code is made and stored: what
/// were left out would show as a multiple, and no noise does, because the two kinds take turns.
#[tokio::test]
async fn no_answer_comes_sooner_for_an_unknown_address() {
    let server = Server::start(&[
        ("identity.lockout_failures", "1000"),
        ("identity.lockout_address_failures", "1000"),
    ]);
    let phone = anybody(&server);
    for (path, with) in [
        ("auth/login", json!({ "password": "wrong password" })),
        ("auth/forgot-password", json!({})),
        ("auth/reset-password", json!({ "code": "000000x", "new_password": NEW_PASSWORD })),
    ] {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for _ in 0..15 {
            let registered = stranger();
            sign_up(&phone, &registered).await.expect(200).unwrap();
            for (email, times) in [(registered, &mut known), (stranger(), &mut unknown)] {
                let mut body = with.clone();
                body["email"] = json!(email);
                let begun = Instant::now();
                post(&phone, path, body).await;
                times.push(begun.elapsed());
            }
        }
        // The least of each: what is left when nothing else was running.
        let least = |times: Vec<Duration>| times.into_iter().min().unwrap();
        let (known, unknown) = (least(known), least(unknown));
        let ratio = known.as_secs_f64() / unknown.as_secs_f64();
        assert!((0.5..2.0).contains(&ratio), "{path}: {known:?} for somebody, {unknown:?} for nobody");
    }
}

#[tokio::test]
async fn asking_for_codes_has_its_limit_by_network_address() {
    let server = Server::start(&[("limits.codes_per_hour", "4")]);
    let phone = server.phone().await;
    for (path, body) in [
        ("auth/forgot-password", json!({ "email": phone.email })),
        ("auth/resend-confirmation", json!({ "email": stranger() })),
        ("auth/confirm-email", json!({ "email": stranger(), "code": "000000" })),
        (
            "auth/reset-password",
            json!({ "email": stranger(), "code": "000000", "new_password": NEW_PASSWORD }),
        ),
    ] {
        assert_ne!(post(&phone, path, body).await.status, 429, "{path}");
    }
    for path in
        ["auth/forgot-password", "auth/resend-confirmation", "auth/confirm-email", "auth/reset-password"]
    {
        for email in [phone.email.clone(), stranger()] {
            let body = json!({ "email": email, "code": "000000", "new_password": NEW_PASSWORD });
            let answer = post(&phone, path, body).await;
            assert_eq!(problem(&answer, 429), "rate-limited", "{path}");
            assert!((1..=3600).contains(&retry_after(&answer.headers)), "{path}");
        }
    }
    // Signing in has a limit of its own.
    login(&phone, &phone.email, &phone.password).await.expect(200).unwrap();
}

#[tokio::test]
async fn what_is_no_address_is_a_fault_of_the_field() {
    let server = SHARED.get();
    let phone = anybody(&server);
    for path in
        ["auth/confirm-email", "auth/resend-confirmation", "auth/forgot-password", "auth/reset-password"]
    {
        let body = json!({ "email": "nowhere", "code": "000000", "new_password": NEW_PASSWORD });
        assert_eq!(pointers(&post(&phone, path, body).await), ["/email"], "{path}");
        assert_eq!(problem(&post(&phone, path, json!({})).await, 422), "validation", "{path}");
    }
}

#[tokio::test]
async fn the_state_of_accounts_is_asked_without_a_token() {
    let server = SHARED.get();
    let answer = anybody(&server).anonymous(reqwest::Method::GET, "auth/health");
    let answer = e2e::read(answer).await.unwrap().expect(200).unwrap();
    let version = stdout_json(&crate::support::run(&["openapi"]))["info"]["version"].clone();
    assert_eq!(answer, json!({ "status": "healthy", "service": "auth", "version": version }));
}
