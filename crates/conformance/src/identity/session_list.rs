use std::time::Duration;

use domain::ids::UserId;
use ports::{Denial, SessionInfo, SignIn, SignInContext, Tokens};

use super::{Person, assert_denied};
use crate::{IdentityFixture, support::unique, time::after};

/// Longer than any session is kept.
const AGES: Duration = Duration::from_hours(10 * 365 * 24);

async fn on(fixture: &IdentityFixture, person: &Person, device: &str, remember_me: bool) -> Tokens {
    let from = SignInContext { device: Some(device.to_owned()), remember_me, address: None };
    match fixture.sign_in_from(person, &from).await.unwrap() {
        SignIn::Tokens(tokens) => tokens,
        SignIn::Challenge { kind, .. } => panic!("{kind:?} is asked of a new user"),
    }
}

async fn list(fixture: &IdentityFixture, person: &Person) -> Vec<SessionInfo> {
    fixture.sessions.sessions(person.user_id).await.unwrap()
}

pub async fn the_list_of_sessions_says_where_someone_is_signed_in(fixture: IdentityFixture) {
    let (person, bystander) = (fixture.person().await, fixture.person().await);
    let begun = fixture.time.now();
    let phone = on(&fixture, &person, "Änna's phone", false).await;
    fixture.time.advance(Duration::from_secs(2)).await;
    let plain = fixture.sign_in(&person).await;
    on(&fixture, &bystander, "another phone", false).await;
    let ids = |listed: &[SessionInfo]| listed.iter().map(|session| session.id).collect::<Vec<_>>();
    assert_eq!(ids(&list(&fixture, &person).await), [plain.session_id, phone.session_id]);

    fixture.time.advance(Duration::from_secs(2)).await;
    let refreshed_at = fixture.time.now();
    fixture.refresh(&phone).await.unwrap();
    let listed = list(&fixture, &person).await;
    assert_eq!(ids(&listed), [phone.session_id, plain.session_id]);
    assert_eq!(listed[0].device.as_deref(), Some("Änna's phone"));
    assert_eq!(listed[1].device, None);
    let near =
        |one: jiff::Timestamp, other: jiff::Timestamp| (one.as_second() - other.as_second()).abs() <= 1;
    assert!(near(listed[0].created_at, begun), "created at {}", listed[0].created_at);
    assert!(near(listed[0].last_used_at, refreshed_at), "last used at {}", listed[0].last_used_at);
    assert_eq!(listed[1].created_at, listed[1].last_used_at);
    assert!(listed.iter().all(|session| session.expires_at > session.last_used_at));
    assert!(listed[0].expires_at > listed[1].expires_at, "being used puts off the end");
}

pub async fn the_list_holds_no_session_that_ended(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let [kept, signed_out, stolen] =
        [fixture.sign_in(&person).await, fixture.sign_in(&person).await, fixture.sign_in(&person).await];
    fixture.identity.sign_out(person.user_id, signed_out.session_id).await.unwrap();
    fixture.refresh(&stolen).await.unwrap();
    assert_denied(fixture.refresh(&stolen).await, Denial::InvalidToken);
    let listed = list(&fixture, &person).await;
    assert_eq!(listed.iter().map(|session| session.id).collect::<Vec<_>>(), [kept.session_id]);
    fixture.time.advance(AGES).await;
    assert_eq!(list(&fixture, &person).await, []);
}

pub async fn the_list_of_an_unknown_user_is_empty(fixture: IdentityFixture) {
    let unknown = UserId(unique());
    assert_eq!(fixture.sessions.sessions(unknown).await.unwrap(), []);
    fixture.sessions.end_all(unknown, None).await.unwrap();
}

pub async fn ending_all_sessions_spares_the_excepted_one_and_other_users(fixture: IdentityFixture) {
    let (person, bystander) = (fixture.person().await, fixture.person().await);
    let others = fixture.sign_in(&bystander).await;
    let (kept, one, two) =
        (fixture.sign_in(&person).await, fixture.sign_in(&person).await, fixture.sign_in(&person).await);
    for _ in 0..2 {
        fixture.sessions.end_all(person.user_id, Some(kept.session_id)).await.unwrap();
        fixture.assert_ended(&one).await;
        fixture.assert_ended(&two).await;
        fixture.verify(&kept).await.unwrap();
    }
    let kept = fixture.refresh(&kept).await.unwrap();
    // Another user's session excepts nothing.
    fixture.sessions.end_all(person.user_id, Some(others.session_id)).await.unwrap();
    fixture.assert_ended(&kept).await;
    assert_eq!(list(&fixture, &person).await, []);
    fixture.verify(&others).await.unwrap();
    fixture.refresh(&others).await.unwrap();
}

pub async fn a_session_that_is_not_used_ends_and_a_remembered_one_later(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let plain = on(&fixture, &person, "plain", false).await;
    let remembered = on(&fixture, &person, "remembered", true).await;
    let listed = list(&fixture, &person).await;
    let end =
        |tokens: &Tokens| listed.iter().find(|session| session.id == tokens.session_id).unwrap().expires_at;
    assert!(end(&remembered) > end(&plain));
    let idle = Duration::try_from(end(&plain).duration_since(fixture.time.now())).unwrap();
    fixture.time.advance(idle + Duration::from_secs(1)).await;
    assert!(fixture.time.now() >= after(end(&plain), Duration::ZERO));
    assert_denied(fixture.refresh(&plain).await, Denial::InvalidToken);
    fixture.refresh(&remembered).await.unwrap();
    let listed = list(&fixture, &person).await;
    assert_eq!(listed.iter().map(|session| session.id).collect::<Vec<_>>(), [remembered.session_id]);
}
