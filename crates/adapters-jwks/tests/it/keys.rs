//! Keys over time: fetched once, renewed, rotated, and served through an outage.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use adapters_jwks::{Algorithm, IssuerSettings, Issuers, JwksVerifier};
use conformance::ManualClock;
use futures::future::join_all;
use ports::{ErrorKind, ExternalVerifier};
use serde_json::{Value, json};

use crate::fixture::{Endpoint, Home, ISSUER, Reply, SIGNERS, Signer, claims, merged, settings};

const HOUR: Duration = Duration::from_hours(1);
/// Of the fixture.
const INTERVAL: Duration = Duration::from_secs(30);

fn unknown(signer: &Signer, id: &str, claims: &Value) -> String {
    signer.sign(&merged(signer.header(), json!({ "kid": id })).to_string(), &claims.to_string())
}

async fn kind(home: &Home, token: &str) -> Option<ErrorKind> {
    home.verify(token).await.err().map(|error| error.kind())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_verifications_at_once_fetch_the_keys_once() {
    let home = Arc::new(Home::new().await);
    home.endpoint.close().await;
    let started = Arc::new(AtomicUsize::new(0));
    let tasks = (0..100).map(|index: usize| {
        let (home, started) = (Arc::clone(&home), Arc::clone(&started));
        let token = SIGNERS[index % 3].token(&merged(home.claims(), json!({ "sub": format!("s{index}") })));
        tokio::spawn(async move {
            started.fetch_add(1, Ordering::SeqCst);
            home.believes(&token).await
        })
    });
    let tasks: Vec<_> = tasks.collect();
    home.endpoint.until_asked(1).await;
    while started.load(Ordering::SeqCst) < 100 {
        tokio::task::yield_now().await;
    }
    home.endpoint.open();
    for believed in join_all(tasks).await {
        assert!(believed.unwrap());
    }
    assert_eq!(home.endpoint.asked(), 1);
}

#[tokio::test]
async fn keys_are_renewed_before_they_end_while_the_old_ones_serve() {
    let home = Home::new().await;
    let verify = async |sub: &str| {
        home.believes(&SIGNERS[1].token(&merged(home.claims(), json!({ "sub": sub })))).await
    };
    assert!(verify("a").await);
    home.clock.advance_by(Duration::from_mins(47));
    assert!(verify("b").await);
    assert_eq!(home.endpoint.asked(), 1);

    home.clock.advance_by(Duration::from_mins(2));
    home.endpoint.close().await;
    // The server does not answer, and nobody waits for it.
    assert!(verify("c").await);
    home.endpoint.until_asked(2).await;
    for sub in ["d", "e", "f"] {
        assert!(verify(sub).await);
    }
    home.endpoint.open();
    assert_eq!(home.endpoint.asked(), 2);
}

#[tokio::test]
async fn keys_are_kept_for_five_minutes_at_least_and_a_day_at_most() {
    for (wish, until_minutes) in [
        ("no-store", 5),
        ("max-age=0", 5),
        ("max-age=1", 5),
        ("max-age=99999999999", 24 * 60),
        ("public", 15),
    ] {
        let home = Home::new().await;
        let keys = json!({ "keys": [SIGNERS[2].jwk()] }).to_string().into_bytes();
        home.endpoint.reply(Reply::Raw(200, format!("cache-control: {wish}\r\n"), keys));
        let verify = async || home.believes(&SIGNERS[2].token(&home.claims())).await;
        assert!(verify().await);
        home.clock.advance_by(Duration::from_secs(until_minutes * 4 / 5 * 60 - 1));
        assert!(verify().await);
        assert_eq!(home.endpoint.asked(), 1, "{wish}: too early");
        home.clock.advance_by(Duration::from_secs((until_minutes - until_minutes * 4 / 5) * 60 + 1));
        assert!(verify().await);
        // The first one after the end waits for new keys.
        assert_eq!(home.endpoint.asked(), 2, "{wish}: too late");
    }
}

#[tokio::test]
async fn a_rotation_is_picked_up_within_the_interval_and_the_old_key_ends() {
    let home = Home::new().await;
    let (old, new) = (&SIGNERS[2], Signer::generate(Algorithm::EdDsa, "okp-2"));
    let old_token = old.token(&home.claims());
    assert!(home.believes(&old_token).await);
    home.endpoint.publish(&[old, &new]);
    // Keys were fetched this very moment: an unknown one is not asked for again yet.
    assert!(!home.believes(&new.token(&home.claims())).await);
    assert_eq!(home.endpoint.asked(), 1);
    home.clock.advance_by(INTERVAL);
    assert!(home.believes(&new.token(&home.claims())).await);
    assert!(home.believes(&old_token).await);
    assert_eq!(home.endpoint.asked(), 2);

    // The old key is taken out: tokens that were believed, and remembered, end with it.
    home.endpoint.publish(&[&new]);
    home.clock.advance_by(Duration::from_mins(59));
    home.believes(&new.token(&home.claims())).await;
    home.endpoint.until_asked(3).await;
    while home.believes(&old_token).await {
        tokio::task::yield_now().await;
    }
    assert!(home.believes(&new.token(&home.claims())).await);
}

#[tokio::test]
async fn another_key_under_the_same_id_ends_what_the_first_signed() {
    let home = Home::new().await;
    let (first, second) = (&SIGNERS[1], Signer::generate(Algorithm::Es256, "ec-1"));
    let token = first
        .token(&merged(home.claims(), json!({ "exp": ports::Clock::now(&*home.clock).as_second() + 7_200 })));
    assert!(home.believes(&token).await && home.believes(&token).await);
    home.endpoint.publish(&[&second]);
    home.clock.advance_by(HOUR);
    assert!(!home.believes(&token).await);
    assert!(home.believes(&second.token(&home.claims())).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_unknown_key_ids_cost_one_fetch_an_interval() {
    let home = Arc::new(Home::new().await);
    assert!(home.believes(&SIGNERS[2].token(&home.claims())).await);
    for storm in 1..=3 {
        home.clock.advance_by(INTERVAL);
        let claims = home.claims();
        let tasks = (0..8).map(|task| {
            let (home, claims) = (Arc::clone(&home), claims.clone());
            tokio::spawn(async move {
                for index in 0..1_250 {
                    let token = unknown(&SIGNERS[2], &format!("k{storm}-{task}-{index}"), &claims);
                    assert!(!home.believes(&token).await);
                }
            })
        });
        for task in join_all(tasks).await {
            task.unwrap();
        }
        assert_eq!(home.endpoint.asked(), 1 + storm);
    }
    // Who is honest gets through meanwhile.
    assert!(home.believes(&SIGNERS[0].token(&home.claims())).await);
}

#[tokio::test]
async fn one_unknown_key_id_again_and_again_costs_no_more() {
    let home = Home::new().await;
    let token = unknown(&SIGNERS[2], "nobody", &home.claims());
    for _ in 0..10_000 {
        assert!(!home.believes(&token).await);
    }
    assert_eq!(home.endpoint.asked(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_undo_the_fetch() {
    let home = Arc::new(Home::new().await);
    home.endpoint.close().await;
    for _ in 0..50 {
        let (asking, token) = (Arc::clone(&home), SIGNERS[2].token(&home.claims()));
        let caller = tokio::spawn(async move { asking.believes(&token).await });
        home.endpoint.until_asked(1).await;
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
    }
    home.endpoint.open();
    assert!(home.believes(&SIGNERS[2].token(&home.claims())).await);
    assert_eq!(home.endpoint.asked(), 1);
}

#[tokio::test]
async fn the_last_good_keys_serve_through_an_outage_of_a_day() {
    let mut home = Home::new().await;
    let old = &SIGNERS[0];
    assert!(home.believes(&old.token(&home.claims())).await);
    home.endpoint.stop().await;
    let new = Signer::generate(Algorithm::EdDsa, "okp-2");
    for _ in 0..23 {
        home.clock.advance_by(HOUR);
        let (old, new) = (old.token(&home.claims()), new.token(&home.claims()));
        assert!(home.believes(&old).await);
        // Refused like any other, not an error of ours.
        assert!(!home.believes(&new).await);
        assert!(home.believes(&old).await);
    }
    home.clock.advance_by(Duration::from_secs(3_599));
    assert!(home.believes(&old.token(&home.claims())).await);
    home.clock.advance_by(Duration::from_secs(1));
    assert_eq!(kind(&home, &old.token(&home.claims())).await, Some(ErrorKind::Unavailable));
}

#[tokio::test]
async fn an_issuer_that_is_away_from_the_start_is_asked_again_after_five_seconds() {
    let home = Home::new().await;
    let keys = json!({ "keys": [SIGNERS[2].jwk()] }).to_string().into_bytes();
    home.endpoint.reply(Reply::Raw(500, String::new(), keys));
    let token = SIGNERS[2].token(&home.claims());
    for _ in 0..100 {
        assert_eq!(kind(&home, &token).await, Some(ErrorKind::Unavailable));
    }
    assert_eq!(home.endpoint.asked(), 1);
    // What no key could make right is refused all the same.
    assert_eq!(
        kind(&home, &SIGNERS[2].token(&merged(home.claims(), json!({ "exp": 1 })))).await,
        Some(ErrorKind::PermissionDenied)
    );
    home.endpoint.publish(&[&SIGNERS[2]]);
    home.clock.advance_by(Duration::from_secs(5));
    assert!(home.believes(&token).await);
    assert_eq!(home.endpoint.asked(), 2);
}

#[tokio::test]
async fn what_is_no_key_set_changes_nothing() {
    let elsewhere = Endpoint::start(Reply::Keys(SIGNERS.iter().map(Signer::jwk).collect())).await;
    let stranger = Signer::generate(Algorithm::EdDsa, "okp-1");
    let keys = json!([stranger.jwk()]);
    let raw = |text: &str| Reply::Raw(200, String::new(), text.as_bytes().to_vec());
    let huge = format!("{{\"keys\":{keys},\"x\":\"{}\"}}", "x".repeat(1 << 20));
    let redirect = |status| Reply::Raw(status, format!("location: {}\r\n", elsewhere.url), Vec::new());
    let home = Home::new().await;
    assert!(home.believes(&SIGNERS[2].token(&home.claims())).await);
    let replies = [
        ("nothing", raw("")),
        ("null", raw("null")),
        ("a list", raw(&keys.to_string())),
        ("no keys", raw("{}")),
        ("empty keys", raw("{\"keys\":[]}")),
        ("keys an object", raw(&format!("{{\"keys\":{{\"a\":{keys}}}}}"))),
        ("keys twice", raw(&format!("{{\"keys\":{keys},\"keys\":{keys}}}"))),
        ("a page", raw("<!doctype html><title>Sign in</title>")),
        ("a tail", raw(&format!("{{\"keys\":{keys}}} x"))),
        ("cut off", raw(&format!("{{\"keys\":{keys}"))),
        ("deep", raw(&format!("{{\"keys\":{}", "[".repeat(100_000)))),
        ("not UTF-8", Reply::Raw(200, String::new(), vec![0xff; 100])),
        ("huge", raw(&huge)),
        ("endless", Reply::Endless),
        ("301", redirect(301)),
        ("302", redirect(302)),
        ("307", redirect(307)),
        ("308", redirect(308)),
        ("204", Reply::Raw(204, String::new(), Vec::new())),
        ("404", Reply::Raw(404, String::new(), format!("{{\"keys\":{keys}}}").into_bytes())),
        ("500", Reply::Raw(500, String::new(), format!("{{\"keys\":{keys}}}").into_bytes())),
    ];
    for (round, (what, reply)) in replies.into_iter().enumerate() {
        home.endpoint.reply(reply);
        home.clock.advance_by(Duration::from_mins(40));
        // An unknown id has keys asked for.
        assert!(!home.believes(&unknown(&SIGNERS[2], "nobody", &home.claims())).await, "{what}");
        assert_eq!(home.endpoint.asked(), round + 2, "{what}");
        assert!(home.believes(&SIGNERS[2].token(&home.claims())).await, "{what}: the last good key");
        assert!(!home.believes(&stranger.token(&home.claims())).await, "{what}: believed");
    }
    assert_eq!(elsewhere.asked(), 0, "a redirect was followed");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let endpoint = Endpoint::start(Reply::Silence).await;
    let clock = Arc::new(ManualClock::default());
    let mut settings = settings(&endpoint.url);
    settings.fetch.timeout = Duration::from_millis(200);
    let verifier = JwksVerifier::new(settings, Arc::clone(&clock) as _).unwrap();
    let issuers = Issuers::new(vec![verifier]).unwrap();
    let error = issuers.verify(&SIGNERS[2].token(&claims(&clock))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(endpoint.asked(), 1);
}

#[tokio::test]
async fn settings_that_would_take_anyones_tokens_or_keys_are_refused() {
    let refused = |change: fn(&mut IssuerSettings)| {
        let mut settings = settings("https://issuer.example/keys");
        change(&mut settings);
        JwksVerifier::new(settings, Arc::new(ManualClock::default())).err().map(|error| error.kind())
    };
    assert_eq!(refused(|_| {}), None);
    assert_eq!(refused(|settings| settings.jwks_url = None), None);
    assert_eq!(refused(|settings| settings.jwks_url = Some("http://127.0.0.1:1/keys".to_owned())), None);
    assert_eq!(refused(|settings| settings.jwks_url = Some("http://[::1]:1/keys".to_owned())), None);
    let invalid = Some(ErrorKind::InvalidInput);
    for url in [
        "http://issuer.example/keys",
        "http://127.0.0.1.example/",
        "ftp://localhost/",
        "file:///keys",
        "",
        "keys",
    ] {
        let mut settings = settings("");
        settings.jwks_url = Some(url.to_owned());
        let refused = JwksVerifier::new(settings, Arc::new(ManualClock::default()));
        assert_eq!(refused.err().map(|error| error.kind()), invalid, "{url}");
    }
    assert_eq!(refused(|settings| settings.leeway = Duration::from_secs(61)), invalid);
    assert_eq!(refused(|settings| settings.algorithms.clear()), invalid);
    assert_eq!(
        refused(|settings| {
            settings.audience = None;
            settings.client_ids.clear();
        }),
        invalid
    );
    let verifier = || {
        let settings = settings("https://issuer.example/keys");
        JwksVerifier::new(settings, Arc::new(ManualClock::default())).unwrap()
    };
    assert_eq!(verifier().issuer(), ISSUER);
    assert!(Issuers::new(vec![verifier()]).is_ok());
    assert_eq!(Issuers::new(vec![verifier(), verifier()]).err().map(|error| error.kind()), invalid);
}
