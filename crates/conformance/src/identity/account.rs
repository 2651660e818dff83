use domain::ids::UserId;
use ports::{Denial, ErrorKind, ProfileUpdate, Role};

use super::{PASSWORD, Person, assert_denied, fresh_email, new_user};
use crate::{
    IdentityFixture,
    support::{assert_refused, unique},
};

pub async fn profile_returns_what_sign_up_stored(fixture: IdentityFixture) {
    let earliest = fixture.time.now();
    let (person, signed_up) = fixture.sign_up().await;
    let latest = fixture.time.now();
    let profile = fixture.identity.profile(person.user_id).await.unwrap().unwrap();
    assert_eq!(profile, signed_up);
    assert_eq!((profile.user_id, &profile.email), (person.user_id, &person.email));
    assert_eq!(profile.display_name.as_deref(), Some("Anna"));
    assert_eq!(profile.roles, [Role::User].into());
    assert!(!profile.email_verified && !profile.disabled);
    let created_at = profile.created_at.as_second();
    assert!((earliest.as_second()..=latest.as_second()).contains(&created_at), "created at {created_at}");
}

pub async fn update_changes_what_it_names_and_nothing_else(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let before = fixture.identity.profile(person.user_id).await.unwrap().unwrap();
    for display_name in [Some("Änna K.".to_owned()), None] {
        let update = ProfileUpdate { display_name: Some(display_name.clone()), ..ProfileUpdate::default() };
        let answer = fixture.identity.update(person.user_id, update).await.unwrap();
        let expected = ports::Profile { display_name, version: answer.version, ..before.clone() };
        assert_eq!(answer, expected);
        // An update that names nothing changes nothing.
        fixture.identity.update(person.user_id, ProfileUpdate::default()).await.unwrap();
        assert_eq!(fixture.identity.profile(person.user_id).await.unwrap(), Some(expected));
    }
    fixture.sign_in(&person).await;
}

pub async fn a_new_address_is_unconfirmed_and_replaces_the_old_one(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let moved = Person { email: fresh_email(), user_id: person.user_id };
    let update = ProfileUpdate { email: Some(moved.email.clone()), ..ProfileUpdate::default() };
    let answer = fixture.identity.update(person.user_id, update).await.unwrap();
    assert_eq!((&answer.email, answer.email_verified), (&moved.email, false));
    assert_eq!(fixture.identity.profile(person.user_id).await.unwrap(), Some(answer));
    assert_denied(fixture.try_sign_in(&person, PASSWORD).await, Denial::WrongCredentials);
    assert_denied(fixture.try_sign_in(&moved, PASSWORD).await, Denial::EmailNotVerified);

    fixture.identity.resend(&moved.email).await.unwrap();
    fixture.identity.confirm(&moved.email, &fixture.code(&moved).await).await.unwrap();
    assert_eq!(fixture.sign_in(&moved).await.user_id, person.user_id);
    // The old address is free.
    fixture.identity.sign_up(new_user(&person.email, PASSWORD)).await.unwrap();
}

pub async fn changing_the_address_to_a_taken_one_is_a_conflict(fixture: IdentityFixture) {
    let (anna, boris) = (fixture.person().await, fixture.person().await);
    let update = ProfileUpdate {
        email: Some(boris.email.clone()),
        display_name: Some(None),
        ..ProfileUpdate::default()
    };
    let before = fixture.identity.profile(anna.user_id).await.unwrap();
    assert_refused(fixture.identity.update(anna.user_id, update).await, ErrorKind::Conflict);
    assert_eq!(fixture.identity.profile(anna.user_id).await.unwrap(), before);
    assert_eq!(fixture.sign_in(&boris).await.user_id, boris.user_id);
}

pub async fn the_profile_of_an_unknown_user_is_none(fixture: IdentityFixture) {
    fixture.person().await;
    assert_eq!(fixture.identity.profile(UserId(unique())).await.unwrap(), None);
}

pub async fn changing_an_unknown_user_is_not_found(fixture: IdentityFixture) {
    let unknown = UserId(unique());
    let update = ProfileUpdate { display_name: Some(None), ..ProfileUpdate::default() };
    assert_refused(fixture.identity.update(unknown, update).await, ErrorKind::NotFound);
    assert_refused(fixture.identity.set_disabled(unknown, true).await, ErrorKind::NotFound);
}

pub async fn a_disabled_user_is_shut_out(fixture: IdentityFixture) {
    let (person, bystander) = (fixture.person().await, fixture.person().await);
    let (tokens, others) = (fixture.sign_in(&person).await, fixture.sign_in(&bystander).await);
    fixture.identity.set_disabled(person.user_id, true).await.unwrap();
    assert!(fixture.identity.profile(person.user_id).await.unwrap().unwrap().disabled);
    assert_denied(fixture.try_sign_in(&person, PASSWORD).await, Denial::Disabled);
    assert_denied(fixture.verify(&tokens).await, Denial::InvalidToken);
    let refused = fixture.refresh(&tokens).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    fixture.verify(&others).await.unwrap();
}

pub async fn enabling_lets_the_user_in_again(fixture: IdentityFixture) {
    let person = fixture.person().await;
    fixture.identity.set_disabled(person.user_id, true).await.unwrap();
    fixture.identity.set_disabled(person.user_id, false).await.unwrap();
    assert!(!fixture.identity.profile(person.user_id).await.unwrap().unwrap().disabled);
    let tokens = fixture.sign_in(&person).await;
    fixture.verify(&tokens).await.unwrap();
    fixture.refresh(&tokens).await.unwrap();
}

pub async fn a_deleted_user_is_gone(fixture: IdentityFixture) {
    let (person, bystander) = (fixture.person().await, fixture.person().await);
    let (tokens, others) = (fixture.sign_in(&person).await, fixture.sign_in(&bystander).await);
    fixture.identity.delete(person.user_id).await.unwrap();
    assert_eq!(fixture.identity.profile(person.user_id).await.unwrap(), None);
    assert_denied(fixture.try_sign_in(&person, PASSWORD).await, Denial::WrongCredentials);
    fixture.assert_ended(&tokens).await;
    fixture.verify(&others).await.unwrap();
    fixture.sign_in(&bystander).await;
}

pub async fn the_address_of_a_deleted_user_can_sign_up_again(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let old_tokens = fixture.sign_in(&person).await;
    fixture.identity.delete(person.user_id).await.unwrap();
    let again = new_user(&person.email, "a second password");
    let user_id = fixture.identity.sign_up(again).await.unwrap().user_id;
    let newcomer = Person { user_id, email: person.email };
    fixture.identity.confirm(&newcomer.email, &fixture.code(&newcomer).await).await.unwrap();
    assert_denied(fixture.try_sign_in(&newcomer, PASSWORD).await, Denial::WrongCredentials);
    assert_eq!(fixture.sign_in_with(&newcomer, "a second password").await.user_id, newcomer.user_id);
    fixture.assert_ended(&old_tokens).await;
}

pub async fn deleting_twice_succeeds(fixture: IdentityFixture) {
    let person = fixture.person().await;
    for _ in 0..2 {
        fixture.identity.delete(person.user_id).await.unwrap();
    }
    fixture.identity.delete(UserId(unique())).await.unwrap();
    assert_eq!(fixture.identity.profile(person.user_id).await.unwrap(), None);
}
