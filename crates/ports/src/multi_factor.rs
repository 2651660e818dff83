//! The second factor of a sign-in: a time-based one-time password (RFC 6238).

use async_trait::async_trait;
use domain::ids::UserId;
use secrecy::SecretString;

use crate::Result;

/// What an authenticator app needs.
#[derive(Clone, Debug)]
pub struct TotpSecret {
    /// The secret in base32, to be typed in.
    pub secret: SecretString,
    /// The same as an `otpauth` URI, to be scanned.
    pub otpauth_uri: SecretString,
}

/// Keeps the second factors of users. Codes have 6 digits and change every 30 seconds, by HMAC-SHA-1, as apps expect.
///
/// # Contract
/// - `set_up` makes a secret that is not asked for yet; another `set_up` replaces it. It is `NotFound` for an unknown user,
///   and a `Conflict` where multi-factor sign-in is on.
/// - Who sets up, verifies or disables is signed in somewhere; for anyone else a provider may refuse it as `PermissionDenied`.
/// - `verify` with a code of that secret turns multi-factor sign-in on and answers ten recovery codes, or none where the
///   provider has no such thing; a wrong code is `WrongCode` and changes nothing. Without a secret it is `NotFound`, and a
///   `Conflict` where it is on.
/// - While it is on, `sign_in` with the right password answers a `SoftwareTokenMfa` challenge and no tokens. `respond` to its
///   session with a code, or with a recovery code, answers tokens.
/// - A code works once, and a recovery code works once. A wrong one is `WrongCode`, and counts among the account's failures,
///   which the right password alone does not set back.
/// - The session of a challenge works once, ends after five minutes and after five wrong answers, and is `InvalidToken` then,
///   as is one that never was.
/// - `disable` with a code or a recovery code turns it off, and a sign-in needs the password alone; it is `NotFound` where it
///   is not on. A wrong one is `WrongCode`.
/// - `remove` turns it off without a code, for whoever lost them all and proved to an operator who they are, and ends the
///   sign-ins that wait for one. It succeeds where it is not on, and is `NotFound` for an unknown user.
#[async_trait]
pub trait MultiFactor: Send + Sync + 'static {
    /// Makes a secret for a user.
    async fn set_up(&self, user_id: UserId) -> Result<TotpSecret>;

    /// Turns multi-factor sign-in on; answers the recovery codes.
    async fn verify(&self, user_id: UserId, code: &SecretString) -> Result<Vec<SecretString>>;

    /// Turns it off.
    async fn disable(&self, user_id: UserId, code: &SecretString) -> Result<()>;

    /// Turns it off in its owner's place.
    async fn remove(&self, user_id: UserId) -> Result<()>;

    /// Whether it is on.
    async fn is_on(&self, user_id: UserId) -> Result<bool>;
}
