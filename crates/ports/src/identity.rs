//! Who people are: sign-up, sign-in, sessions, and the tokens that prove it.

use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc};

use async_trait::async_trait;
use domain::ids::{SessionId, UserId};
use jiff::Timestamp;
use secrecy::SecretString;

use crate::{ExternalAccount, Result};

/// An e-mail address: trimmed, lower-case, with one `@` between non-empty parts. Does not print.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

impl Email {
    /// Checks and folds `text`; `None` for what is no address.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        let (local, domain) = text.split_once('@')?;
        let labels_fit = domain.split('.').all(|label| !label.is_empty());
        let fits = !local.is_empty() && text.len() <= 254 && domain.contains('.') && labels_fit;
        let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control()) && !domain.contains('@');
        (fits && plain).then_some(Self(text))
    }

    /// The address itself, for the store and the answer to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

/// What someone may do beyond their own data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Owns data.
    User,
    /// Sees the data of users who consented.
    Clinician,
    /// Runs the service; never sees health values.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::User, Self::Clinician, Self::Operator];

    /// The role called `name` in tokens and answers.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// The name in tokens and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Clinician => "clinician",
            Self::Operator => "operator",
        }
    }
}

/// A person as the provider knows them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Clarity's id.
    pub user_id: UserId,
    /// The address.
    pub email: Email,
    /// Whether a code sent to the address came back.
    pub email_verified: bool,
    /// What they like to be called.
    pub display_name: Option<String>,
    /// What they may do.
    pub roles: BTreeSet<Role>,
    /// When they signed up.
    pub created_at: Timestamp,
    /// Whether they are barred.
    pub disabled: bool,
    /// Another one after every change.
    pub version: u64,
}

/// Where a sign-in comes from.
#[derive(Clone, Debug, Default)]
pub struct SignInContext {
    /// The network address, by which failures are counted too.
    pub address: Option<IpAddr>,
    /// What the session's list calls it: at most 200 characters.
    pub device: Option<String>,
    /// Whether the session lasts for as long as its refresh tokens do, however rarely it is used.
    pub remember_me: bool,
}

/// A pair of tokens for one session.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// A signed JWT.
    pub access_token: SecretString,
    /// Opaque, good for one use.
    pub refresh_token: SecretString,
    /// Until the access token's end.
    pub expires_in_seconds: u64,
    /// Whose.
    pub user_id: UserId,
    /// The session they belong to.
    pub session_id: SessionId,
}

/// What is asked of someone before they get tokens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChallengeKind {
    /// A time-based one-time password (RFC 6238).
    SoftwareTokenMfa,
    /// A code by text message.
    SmsMfa,
    /// A new password in place of a temporary one.
    NewPasswordRequired,
}

/// How a sign-in ended, where it did not fail.
#[derive(Clone, Debug)]
pub enum SignIn {
    /// Signed in.
    Tokens(Tokens),
    /// One more answer is needed.
    Challenge {
        /// Which.
        kind: ChallengeKind,
        /// Names this sign-in in the answer.
        session: SecretString,
    },
}

/// Why a person is not let in. Carried as the cause of a `PermissionDenied` or `RateLimited` error; see [`denial`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Denial {
    /// Unknown address or wrong password: never told apart.
    #[error("wrong e-mail or password")]
    WrongCredentials,
    /// The password is right, the address is not confirmed.
    #[error("the e-mail address is not confirmed")]
    EmailNotVerified,
    /// Too many failures.
    #[error("locked after too many failures")]
    Locked {
        /// Until the lock ends.
        retry_after_seconds: u64,
    },
    /// An operator barred the account.
    #[error("the account is disabled")]
    Disabled,
    /// A code is wrong or too old.
    #[error("the code is wrong or has expired")]
    WrongCode,
    /// A token is malformed, expired, revoked, of the wrong type, or not ours.
    #[error("the token is not valid")]
    InvalidToken,
}

/// The denial that `error` carries, if it carries one.
pub fn denial(error: &crate::Error) -> Option<Denial> {
    std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<Denial>()).copied()
}

/// Why a password is not taken. Carried as the cause of an `InvalidInput` error; see [`password_fault`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum PasswordFault {
    /// Too few characters.
    #[error("a password has at least {characters_min} characters")]
    TooShort {
        /// How many it must have.
        characters_min: usize,
    },
    /// Too many bytes.
    #[error("a password has at most {bytes_max} bytes")]
    TooLong {
        /// How many it may have.
        bytes_max: usize,
    },
    /// In a list of passwords that were made public.
    #[error("this password is in a published list of stolen ones: choose another")]
    Breached,
    /// The address itself.
    #[error("a password must not be the e-mail address")]
    IsEmail,
    /// Against other rules of the provider's.
    #[error(
        "a password must mix upper and lower case, digits and symbols, and must not have been used before"
    )]
    Refused,
}

/// The fault of a password that `error` carries, if it carries one.
pub fn password_fault(error: &crate::Error) -> Option<PasswordFault> {
    std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<PasswordFault>()).copied()
}

/// What someone signs up with.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The id that the caller proposes. A provider that gives ids itself gives another: the [`Profile`] that `sign_up` answers
    /// has the one that counts.
    pub user_id: UserId,
    /// The address.
    pub email: Email,
    /// The password, at least 8 characters.
    pub password: SecretString,
    /// What they like to be called.
    pub display_name: Option<String>,
}

/// What a person changes about themselves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProfileUpdate {
    /// `Some(None)` takes the name away.
    pub display_name: Option<Option<String>>,
    /// A new address; it is unconfirmed at first.
    pub email: Option<Email>,
    /// The version that is changed; any, where there is none.
    pub expected_version: Option<u64>,
}

/// Keeps accounts.
///
/// # Contract
/// - Who signed up can sign in with the same address in any case, and gets tokens of their own user id.
/// - A second sign-up with the same address is a `Conflict`. A password under 8 characters, or the address itself, is
///   `InvalidInput` with a [`PasswordFault`], in `sign_up` and in `reset`.
/// - A wrong password and an unknown address are the same denial, `WrongCredentials`.
/// - Where confirmation is required, sign-in before it is `EmailNotVerified`; the code from the mail confirms, a wrong one is
///   `WrongCode`, and `resend` for an unknown address succeeds silently.
/// - `refresh` answers new tokens of the same user and session, and the old refresh token is spent: using it again ends
///   the session and all its tokens. There is one exception, for a reply that got lost: who names the same `attempt` as with
///   the trade that spent the token gets the same refresh token again, for as long as that one was not used.
/// - `sign_out` ends the session: its access tokens no longer verify and its refresh token no longer refreshes.
/// - `forgot` succeeds for any address; `reset` with the mailed code sets the password and ends all sessions, and the code
///   works once.
/// - `profile` returns what sign-up and `update` stored, and `find` the same by address; `None` for an unknown one. Changing
///   the address to one that is taken is a `Conflict`.
/// - A profile's version is another one after every change; an `update` that expects another version is a `Conflict` and
///   changes nothing.
/// - `set_roles` ends all sessions, and later tokens carry the new roles. Roles are user, user and clinician, or operator;
///   any others are `InvalidInput`.
/// - A disabled user cannot sign in or refresh, and their access tokens no longer verify; enabling undoes it.
/// - A deleted user is gone: no profile, no sign-in, no valid token; the address can sign up again; deleting twice succeeds.
/// - Five failures in a row lock the account for a while: even the right password is then `Locked`. Many failures from one
///   network address lock that address, for known and unknown accounts alike, and a success does not begin its count anew.
#[async_trait]
pub trait IdentityProvider: Send + Sync + 'static {
    /// Creates an account. Where confirmation is required, mails a code.
    async fn sign_up(&self, user: NewUser) -> Result<Profile>;

    /// Confirms the address.
    async fn confirm(&self, email: &Email, code: &str) -> Result<()>;

    /// Mails a new code.
    async fn resend(&self, email: &Email) -> Result<()>;

    /// Proves who someone is.
    async fn sign_in(&self, email: &Email, password: &SecretString, from: &SignInContext) -> Result<SignIn>;

    /// Answers a challenge.
    async fn respond(
        &self,
        session: &SecretString,
        kind: ChallengeKind,
        answer: &SecretString,
        from: &SignInContext,
    ) -> Result<SignIn>;

    /// Trades a refresh token for new tokens. An `attempt` is whatever the client names this trade by when it sends it again.
    async fn refresh(&self, refresh_token: &SecretString, attempt: Option<&str>) -> Result<Tokens>;

    /// Ends a session.
    async fn sign_out(&self, user_id: UserId, session_id: SessionId) -> Result<()>;

    /// Mails a code for a new password.
    async fn forgot(&self, email: &Email) -> Result<()>;

    /// Sets a new password.
    async fn reset(&self, email: &Email, code: &str, new_password: &SecretString) -> Result<()>;

    /// Reads a profile.
    async fn profile(&self, user_id: UserId) -> Result<Option<Profile>>;

    /// Reads the profile of the user with an address.
    async fn find(&self, email: &Email) -> Result<Option<Profile>>;

    /// Changes a profile.
    async fn update(&self, user_id: UserId, update: ProfileUpdate) -> Result<Profile>;

    /// Bars a user, or lets them in again.
    async fn set_disabled(&self, user_id: UserId, disabled: bool) -> Result<()>;

    /// Gives a user other roles.
    async fn set_roles(&self, user_id: UserId, roles: BTreeSet<Role>) -> Result<()>;

    /// Removes a user.
    async fn delete(&self, user_id: UserId) -> Result<()>;
}

/// What a verified access token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedToken {
    /// Clarity's user.
    pub user_id: UserId,
    /// The session, for signing out.
    pub session_id: SessionId,
    /// Who issued it.
    pub issuer: String,
    /// What the bearer may do.
    pub roles: BTreeSet<Role>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What an external issuer says of the bearer; `None` where the token is the identity provider's own.
    pub external: Option<Arc<ExternalAccount>>,
}

/// Turns a bearer token into a person.
///
/// # Contract
/// - A token from this provider's `sign_in` or `refresh` verifies and names its user and session.
/// - A token that is expired, not yet valid, of another issuer, audience or type (a refresh token), changed in any bit,
///   signed with another key or algorithm (also `none`), or of a revoked session is `PermissionDenied` with `InvalidToken`.
/// - A token signed before a key rotation verifies until it expires.
#[async_trait]
pub trait TokenVerifier: Send + Sync + 'static {
    /// Verifies an access token.
    async fn verify(&self, token: &str) -> Result<VerifiedToken>;

    /// The public keys, as a JWKS document; `None` where the issuer serves them itself.
    async fn jwks(&self) -> Result<Option<serde_json::Value>>;
}
