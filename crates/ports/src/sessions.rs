//! The sessions of a user: where they are signed in.

use async_trait::async_trait;
use domain::ids::{SessionId, UserId};
use jiff::Timestamp;

use crate::Result;

/// One sign-in that has not ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionInfo {
    /// Which.
    pub id: SessionId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last got tokens.
    pub last_used_at: Timestamp,
    /// When it ends unless it gets tokens before.
    pub expires_at: Timestamp,
    /// What the device called itself.
    pub device: Option<String>,
}

/// Lists and ends sessions. A single one is ended by [`IdentityProvider::sign_out`](crate::IdentityProvider::sign_out).
///
/// # Contract
/// - `sessions` lists those of the user that have not ended, the one used last first, with what `sign_in` was told of the
///   device; it is empty for an unknown user.
/// - `end_all` ends all sessions of the user but `except`: their access tokens no longer verify and their refresh tokens no
///   longer refresh. Sign-ins that wait for the answer to a challenge end with them. Ending twice succeeds.
/// - A session that is not used for a while ends by itself, later where `sign_in` was told to remember it.
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// The sessions of a user.
    async fn sessions(&self, user_id: UserId) -> Result<Vec<SessionInfo>>;

    /// Ends the sessions of a user.
    async fn end_all(&self, user_id: UserId, except: Option<SessionId>) -> Result<()>;
}
