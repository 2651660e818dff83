use std::sync::Arc;

use futures::future::join_all;
use ports::{Denial, Tokens};
use secrecy::ExposeSecret as _;

use super::{assert_denied, secret};
use crate::{IdentityFixture, support::in_time};

pub async fn refresh_answers_new_tokens_of_the_same_user_and_session(fixture: IdentityFixture) {
    let first = fixture.sign_in(&fixture.person().await).await;
    let second = fixture.refresh(&first).await.unwrap();
    assert_eq!((second.user_id, second.session_id), (first.user_id, first.session_id));
    assert_ne!(second.refresh_token.expose_secret(), first.refresh_token.expose_secret());
    fixture.verify(&second).await.unwrap();
    // The chain goes on.
    let third = fixture.refresh(&second).await.unwrap();
    assert_eq!((third.user_id, third.session_id), (first.user_id, first.session_id));
}

pub async fn a_spent_refresh_token_ends_its_session_when_used_again(fixture: IdentityFixture) {
    let first = fixture.sign_in(&fixture.person().await).await;
    let second = fixture.refresh(&first).await.unwrap();
    let third = fixture.refresh(&second).await.unwrap();
    assert_denied(fixture.refresh(&first).await, Denial::InvalidToken);
    for tokens in [&first, &second, &third] {
        fixture.assert_ended(tokens).await;
    }
}

pub async fn a_spent_refresh_token_leaves_other_sessions_alone(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let (spent, other) = (fixture.sign_in(&person).await, fixture.sign_in(&person).await);
    fixture.refresh(&spent).await.unwrap();
    assert_denied(fixture.refresh(&spent).await, Denial::InvalidToken);
    fixture.verify(&other).await.unwrap();
    fixture.refresh(&other).await.unwrap();
}

pub async fn of_refreshes_that_race_at_most_one_succeeds_and_the_session_ends(fixture: IdentityFixture) {
    let person = fixture.person().await;
    for _ in 0..5 {
        let tokens = fixture.sign_in(&person).await;
        let refreshes = (0..4).map(|_| {
            let (identity, token) = (Arc::clone(&fixture.identity), tokens.refresh_token.clone());
            tokio::spawn(async move { identity.refresh(&token, None).await })
        });
        let mut winners = Vec::new();
        for result in in_time(join_all(refreshes)).await {
            match result.unwrap() {
                Ok(renewed) => winners.push(renewed),
                refused => assert_denied(refused, Denial::InvalidToken),
            }
        }
        assert!(winners.len() <= 1, "one refresh token was traded {} times", winners.len());
        // The others used a spent token, whoever was first.
        for renewed in &winners {
            fixture.assert_ended(renewed).await;
        }
    }
}

pub async fn a_trade_whose_reply_got_lost_is_answered_again(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let trade = async |spent: &Tokens, attempt: &str| {
        fixture.identity.refresh(&spent.refresh_token, Some(attempt)).await
    };
    let first = fixture.sign_in(&person).await;
    let lost = trade(&first, "one").await.unwrap();
    let again = trade(&first, "one").await.unwrap();
    assert_eq!(again.refresh_token.expose_secret(), lost.refresh_token.expose_secret());
    assert_eq!((again.user_id, again.session_id), (first.user_id, first.session_id));
    fixture.verify(&again).await.unwrap();
    // Who goes on has had the reply: from then on whoever asks again has a copy of the token.
    let later = trade(&again, "two").await.unwrap();
    fixture.verify(&later).await.unwrap();
    assert_denied(trade(&first, "one").await, Denial::InvalidToken);
    for tokens in [&first, &lost, &again, &later] {
        fixture.assert_ended(tokens).await;
    }
}

pub async fn a_trade_is_not_answered_again_to_who_cannot_name_it(fixture: IdentityFixture) {
    let person = fixture.person().await;
    for attempt in [None, Some("two"), Some(""), Some("One")] {
        let first = fixture.sign_in(&person).await;
        let renewed = fixture.identity.refresh(&first.refresh_token, Some("one")).await.unwrap();
        let refused = fixture.identity.refresh(&first.refresh_token, attempt).await;
        assert_denied(refused, Denial::InvalidToken);
        fixture.assert_ended(&renewed).await;
    }
    // Nor is one that was not named, by whatever name.
    let first = fixture.sign_in(&person).await;
    let renewed = fixture.refresh(&first).await.unwrap();
    assert_denied(fixture.identity.refresh(&first.refresh_token, Some("one")).await, Denial::InvalidToken);
    fixture.assert_ended(&renewed).await;
}

pub async fn copies_of_one_trade_at_once_get_the_same_refresh_token(fixture: IdentityFixture) {
    let tokens = fixture.sign_in(&fixture.person().await).await;
    let trades = (0..2).map(|_| {
        let (identity, token) = (Arc::clone(&fixture.identity), tokens.refresh_token.clone());
        tokio::spawn(async move { identity.refresh(&token, Some("one")).await })
    });
    let answers = in_time(join_all(trades)).await;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().unwrap()).collect();
    assert_eq!(answers[0].refresh_token.expose_secret(), answers[1].refresh_token.expose_secret());
    fixture.refresh(&answers[1]).await.unwrap();
}

pub async fn what_is_no_refresh_token_does_not_refresh(fixture: IdentityFixture) {
    let tokens = fixture.sign_in(&fixture.person().await).await;
    let refresh_token = tokens.refresh_token.expose_secret();
    let cut = &refresh_token[..refresh_token.len() - 1];
    for text in ["", "no token", cut, tokens.access_token.expose_secret()] {
        assert_denied(fixture.identity.refresh(&secret(text), None).await, Denial::InvalidToken);
    }
    fixture.refresh(&tokens).await.unwrap();
}

pub async fn sign_out_ends_the_session_and_no_other(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let (ended, other) = (fixture.sign_in(&person).await, fixture.sign_in(&person).await);
    let renewed = fixture.refresh(&ended).await.unwrap();
    fixture.identity.sign_out(person.user_id, ended.session_id).await.unwrap();
    fixture.assert_ended(&renewed).await;
    fixture.assert_ended(&ended).await;
    fixture.verify(&other).await.unwrap();
    fixture.refresh(&other).await.unwrap();
}

pub async fn signing_out_twice_succeeds(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let tokens = fixture.sign_in(&person).await;
    for _ in 0..2 {
        fixture.identity.sign_out(person.user_id, tokens.session_id).await.unwrap();
    }
    fixture.assert_ended(&tokens).await;
}

pub async fn nobody_signs_out_another_users_session(fixture: IdentityFixture) {
    let (anna, boris) = (fixture.person().await, fixture.person().await);
    let tokens = fixture.sign_in(&anna).await;
    // Whether this is refused or does nothing is the provider's choice.
    drop(fixture.identity.sign_out(boris.user_id, tokens.session_id).await);
    fixture.verify(&tokens).await.unwrap();
    fixture.refresh(&tokens).await.unwrap();
}
