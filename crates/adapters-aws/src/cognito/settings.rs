//! What is configured of a user pool.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

/// How a password is proved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignInFlow {
    /// Cognito is sent the password (`USER_PASSWORD_AUTH`).
    Password,
    /// Cognito is sent a proof of it (`USER_SRP_AUTH`).
    Srp,
}

/// The groups that stand for roles. Who is in none of them is a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CognitoGroups {
    /// Who sees the data of users who consented.
    pub clinician: String,
    /// Who runs the service.
    pub operator: String,
}

/// Which pool is used, and how. Its app client must have token revocation on, or tokens do not name their sign-in.
#[derive(Clone, Debug)]
pub struct CognitoSettings {
    /// The pool, such as `eu-central-1_AbCdEfGhI`. People sign in to it by e-mail (`UsernameAttributes`).
    pub user_pool_id: String,
    /// The app client.
    pub client_id: String,
    /// Its secret, where it has one.
    pub client_secret: Option<SecretString>,
    /// How a password is proved; the app client must allow it.
    pub sign_in_flow: SignInFlow,
    /// Whether the app client rotates refresh tokens. It then takes no `REFRESH_TOKEN_AUTH`.
    pub is_rotating: bool,
    /// The groups that stand for roles.
    pub groups: CognitoGroups,
    /// How long the app client's refresh tokens live, and so a session that is remembered.
    pub session_lifetime: Duration,
    /// How long any other session lives without being refreshed.
    pub session_idle: Duration,
    /// Seals what must be read again, such as Cognito's refresh tokens: 32 bytes, the same in every process.
    pub sealing_key: SecretSlice<u8>,
}

impl CognitoSettings {
    /// What cannot work, as a text for whoever configures.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.user_pool_id.is_empty() || self.client_id.is_empty() {
            return Err("a user pool and an app client must be named");
        }
        if self.groups.clinician == self.groups.operator {
            return Err("clinicians and operators need different groups");
        }
        if self.session_idle > self.session_lifetime || self.session_idle.is_zero() {
            return Err("a session must be kept for a while, and no longer than refresh tokens live");
        }
        if self.sealing_key.expose_secret().len() != 32 {
            return Err("the sealing key must have 32 bytes");
        }
        Ok(())
    }
}
