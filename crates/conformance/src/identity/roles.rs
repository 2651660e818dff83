use std::collections::BTreeSet;

use domain::ids::UserId;
use ports::{ErrorKind, ProfileUpdate, Role};

use super::fresh_email;
use crate::{
    IdentityFixture,
    support::{assert_refused, unique},
};

pub async fn find_returns_the_profile_at_an_address(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let profile = fixture.identity.profile(person.user_id).await.unwrap();
    assert_eq!(fixture.identity.find(&person.email).await.unwrap(), profile);
    assert_eq!(fixture.identity.find(&fresh_email()).await.unwrap(), None);
}

pub async fn every_change_makes_another_version(fixture: IdentityFixture) {
    let (person, signed_up) = fixture.sign_up().await;
    let (identity, user_id) = (&fixture.identity, person.user_id);
    let version = async || identity.profile(user_id).await.unwrap().unwrap().version;
    let mut seen = BTreeSet::from([signed_up.version]);
    identity.confirm(&person.email, &fixture.code(&person).await).await.unwrap();
    assert!(seen.insert(version().await), "confirming is a change");
    let update = ProfileUpdate { display_name: Some(None), ..ProfileUpdate::default() };
    let answer = identity.update(user_id, update).await.unwrap();
    assert_eq!(answer.version, version().await);
    assert!(seen.insert(answer.version), "an update is a change");
    identity.set_roles(user_id, [Role::Operator].into()).await.unwrap();
    assert!(seen.insert(version().await), "other roles are a change");
    identity.set_disabled(user_id, true).await.unwrap();
    assert!(seen.insert(version().await), "being disabled is a change");
}

pub async fn an_update_of_another_version_is_a_conflict(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let (identity, user_id) = (&fixture.identity, person.user_id);
    let before = identity.profile(user_id).await.unwrap().unwrap();
    let renamed = |expected_version| ProfileUpdate {
        display_name: Some(Some("Berta".to_owned())),
        email: Some(fresh_email()),
        expected_version,
    };
    for wrong in [before.version + 1, u64::MAX, 0] {
        assert_refused(identity.update(user_id, renamed(Some(wrong))).await, ErrorKind::Conflict);
    }
    assert_eq!(identity.profile(user_id).await.unwrap().as_ref(), Some(&before));
    let after = identity.update(user_id, renamed(Some(before.version))).await.unwrap();
    assert_eq!(after.display_name.as_deref(), Some("Berta"));
    assert_refused(identity.update(user_id, renamed(Some(before.version))).await, ErrorKind::Conflict);
    identity.update(user_id, renamed(None)).await.unwrap();
}

pub async fn new_roles_end_the_sessions_and_are_in_later_tokens(fixture: IdentityFixture) {
    let (person, bystander) = (fixture.person().await, fixture.person().await);
    let others = fixture.sign_in(&bystander).await;
    for roles in [vec![Role::User, Role::Clinician], vec![Role::Operator], vec![Role::User]] {
        let before = fixture.sign_in(&person).await;
        let roles = BTreeSet::from_iter(roles);
        fixture.identity.set_roles(person.user_id, roles.clone()).await.unwrap();
        fixture.assert_ended(&before).await;
        assert_eq!(fixture.identity.profile(person.user_id).await.unwrap().unwrap().roles, roles);
        let after = fixture.sign_in(&person).await;
        assert_eq!(fixture.verify(&after).await.unwrap().roles, roles);
        let refreshed = fixture.refresh(&after).await.unwrap();
        assert_eq!(fixture.verify(&refreshed).await.unwrap().roles, roles);
    }
    assert_eq!(fixture.verify(&others).await.unwrap().roles, [Role::User].into());
}

pub async fn roles_that_do_not_go_together_are_invalid(fixture: IdentityFixture) {
    let person = fixture.person().await;
    let tokens = fixture.sign_in(&person).await;
    let (user, clinician, operator) = (Role::User, Role::Clinician, Role::Operator);
    for roles in [
        vec![],
        vec![clinician],
        vec![user, operator],
        vec![clinician, operator],
        vec![user, clinician, operator],
    ] {
        let refused = fixture.identity.set_roles(person.user_id, BTreeSet::from_iter(roles)).await;
        assert_refused(refused, ErrorKind::InvalidInput);
    }
    fixture.verify(&tokens).await.unwrap();
    let nobody = UserId(unique());
    assert_refused(fixture.identity.set_roles(nobody, [user].into()).await, ErrorKind::NotFound);
}
