//! A person as the pool keeps them.

use aws_lc_rs::digest::{Context, SHA256};
use aws_sdk_cognitoidentityprovider::{operation::admin_get_user::AdminGetUserOutput, types::AttributeType};
use domain::ids::UserId;
use jiff::Timestamp;
use ports::{Email, Error, ErrorKind, Profile, Result, Role};

use super::{
    CognitoIdentity,
    fault::{About, is, reading},
    roles,
};

pub(super) const EMAIL: &str = "email";
pub(super) const EMAIL_VERIFIED: &str = "email_verified";
pub(super) const NAME: &str = "name";
const SUBJECT: &str = "sub";
/// In JSON, larger numbers are not the same to every reader.
const VERSION_BITS: u32 = 53;

/// An account and what is not part of the profile.
pub(super) struct Account {
    pub(super) profile: Profile,
    pub(super) has_software_token: bool,
}

impl CognitoIdentity {
    /// The account of a `sub` or an address.
    pub(super) async fn account(&self, name: &str, operation: &'static str) -> Result<Option<Account>> {
        let call = self.client.admin_get_user().user_pool_id(&self.settings.user_pool_id).username(name);
        let user = match call.send().await {
            Ok(user) => user,
            Err(error) if is(&error, "UserNotFoundException") => return Ok(None),
            Err(error) => return Err(reading(operation, About::Account, &error)),
        };
        let Some(groups) = self.groups(user.username(), operation).await? else { return Ok(None) };
        let corrupt =
            || Error::new(ErrorKind::Corrupt, operation).with_cause("an account of the pool cannot be read");
        let roles = roles::of_groups(&self.settings.groups, groups.iter().map(String::as_str));
        let has_software_token =
            user.user_mfa_setting_list().iter().any(|setting| setting == "SOFTWARE_TOKEN_MFA");
        let profile = profile(&user, roles).ok_or_else(corrupt)?;
        Ok(Some(Account { profile, has_software_token }))
    }

    /// The groups of a user; `None` where there is no such user any more.
    pub(super) async fn groups(
        &self,
        username: &str,
        operation: &'static str,
    ) -> Result<Option<Vec<String>>> {
        let call = self.client.admin_list_groups_for_user().user_pool_id(&self.settings.user_pool_id);
        let mut pages = call.username(username).into_paginator().items().send();
        let mut names = Vec::new();
        while let Some(group) = pages.next().await {
            match group {
                Ok(group) => names.extend(group.group_name),
                Err(error) if is(&error, "UserNotFoundException") => return Ok(None),
                Err(error) => return Err(reading(operation, About::Account, &error)),
            }
        }
        Ok(Some(names))
    }
}

pub(super) fn attribute(name: &str, value: impl Into<String>) -> Option<AttributeType> {
    AttributeType::builder().name(name).value(value).build().ok()
}

fn profile(user: &AdminGetUserOutput, roles: std::collections::BTreeSet<Role>) -> Option<Profile> {
    let value = |name: &str| {
        let attribute = user.user_attributes().iter().find(|attribute| attribute.name() == name);
        attribute.and_then(AttributeType::value)
    };
    let mut profile = Profile {
        user_id: UserId(value(SUBJECT)?.parse().ok()?),
        email: Email::parse(value(EMAIL)?)?,
        email_verified: value(EMAIL_VERIFIED) == Some("true"),
        display_name: value(NAME).filter(|name| !name.is_empty()).map(str::to_owned),
        roles,
        created_at: instant(user.user_create_date()?)?,
        disabled: !user.enabled(),
        version: 0,
    };
    profile.version = version(&profile, user.user_last_modified_date().and_then(instant));
    Some(profile)
}

fn instant(date: &aws_smithy_types::DateTime) -> Option<Timestamp> {
    Timestamp::from_nanosecond(date.as_nanos()).ok()
}

/// The pool counts no versions. All of a profile, and when the pool last changed it, is as good as one.
fn version(profile: &Profile, modified_at: Option<Timestamp>) -> u64 {
    let mut hash = Context::new(&SHA256);
    let roles = profile.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" ");
    let name = profile.display_name.as_deref();
    let flags = format!("{} {} {}", profile.email_verified, profile.disabled, name.is_some());
    let modified_at = modified_at.map(|at| at.to_string()).unwrap_or_default();
    for part in [profile.email.expose(), name.unwrap_or_default(), &flags, &roles, &modified_at] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finish().as_ref()[..8]);
    u64::from_be_bytes(first) >> (u64::BITS - VERSION_BITS)
}
