//! People whom someone else signs in: the access tokens of external issuers.

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use domain::ids::SessionId;
use jiff::Timestamp;

use crate::{Email, Result, Role};

/// What a verified access token of an external issuer says. It names no user of Clarity yet: (issuer, subject) does.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalToken {
    /// The issuer.
    pub issuer: String,
    /// Whom the issuer means: its own text, 1 to 255 characters.
    pub subject: String,
    /// The same for all tokens of one sign-in, as far as the issuer tells.
    pub session_id: SessionId,
    /// What the issuer's groups allow.
    pub roles: BTreeSet<Role>,
    /// The name of the issuer in the configuration.
    pub provider: String,
    /// The address, where the token has it.
    pub email: Option<Email>,
    /// Whether the issuer says that the address is theirs.
    pub email_verified: bool,
    /// When the bearer signed in, or else when the token was issued, as far as it says either.
    pub began_at: Option<Timestamp>,
    /// When it ends, with what clocks may differ by.
    pub expires_at: Timestamp,
}

impl fmt::Debug for ExternalToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExternalToken({}, {:?})", self.provider, self.roles)
    }
}

/// A user of Clarity, as their issuer knows them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExternalAccount {
    /// The name of the issuer in the configuration.
    pub provider: String,
    /// The address, where the token has it.
    pub email: Option<Email>,
    /// Whether the issuer says that the address is theirs.
    pub email_verified: bool,
    /// When the first token of them was seen.
    pub since: Timestamp,
}

/// Verifies the tokens of external issuers.
///
/// # Contract
/// - A token whose `iss` is, character by character, that of an issuer that this verifier knows is verified by that issuer's
///   keys and rules alone. Any other, also what is no token at all, is `None`: it is someone else's to judge.
/// - A token of a known issuer that is expired, not yet valid, for another audience, client or use, changed in any bit, or
///   signed with another key or algorithm is `PermissionDenied` with `InvalidToken`. So is one signed with a key that the
///   issuer does not publish, also while the issuer cannot be asked.
/// - Where the issuer cannot be asked and no keys of it are known, the answer is `Unavailable`.
#[async_trait]
pub trait ExternalVerifier: Send + Sync + 'static {
    /// Verifies `token`; `None` where it is no token of an issuer known here.
    async fn verify(&self, token: &str) -> Result<Option<Arc<ExternalToken>>>;
}
