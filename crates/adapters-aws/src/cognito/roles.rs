//! Roles, as groups of the pool.

use std::collections::BTreeSet;

use ports::{Error, ErrorKind, Result, Role};

use super::CognitoGroups;

/// Who runs the service has no data of their own, whatever other group they are in.
pub(super) fn of_groups<'a>(
    groups: &CognitoGroups,
    of_user: impl Iterator<Item = &'a str>,
) -> BTreeSet<Role> {
    let mut roles = BTreeSet::from([Role::User]);
    for group in of_user {
        if group == groups.operator {
            return [Role::Operator].into();
        }
        if group == groups.clinician {
            roles.insert(Role::Clinician);
        }
    }
    roles
}

/// The groups of an account with `roles`; any other set of roles is `InvalidInput`.
pub(super) fn to_groups(
    groups: &CognitoGroups,
    roles: &BTreeSet<Role>,
    operation: &'static str,
) -> Result<BTreeSet<String>> {
    let is = |set: &[Role]| roles.iter().copied().eq(set.iter().copied());
    if is(&[Role::User]) {
        Ok(BTreeSet::new())
    } else if is(&[Role::User, Role::Clinician]) {
        Ok([groups.clinician.clone()].into())
    } else if is(&[Role::Operator]) {
        Ok([groups.operator.clone()].into())
    } else {
        let cause = "roles are user, user and clinician, or operator";
        Err(Error::new(ErrorKind::InvalidInput, operation).with_cause(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_that_go_together_read_back_from_their_groups() {
        let groups = CognitoGroups { clinician: "clinicians".to_owned(), operator: "operators".to_owned() };
        for roles in [vec![Role::User], vec![Role::User, Role::Clinician], vec![Role::Operator]] {
            let roles = BTreeSet::from_iter(roles);
            let of_user = to_groups(&groups, &roles, "test").unwrap();
            assert_eq!(of_groups(&groups, of_user.iter().map(String::as_str)), roles);
        }
        let both = ["clinicians", "operators", "others"].into_iter();
        assert_eq!(of_groups(&groups, both), [Role::Operator].into());
        assert!(to_groups(&groups, &[Role::Clinician].into(), "test").is_err());
        assert!(to_groups(&groups, &Role::ALL.into(), "test").is_err());
    }
}
