//! Sessions: the tokens they are given, their list, and their end.

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::ids::{SessionId, UserId};
use jiff::Timestamp;
use ports::{ErrorKind, Result, SessionInfo, Sessions, SignInContext, Tokens};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    LocalIdentity, random,
    revocations::Mark,
    rows::{Accounts, Challenge, Keep, RefreshToken, Session, User, after},
};

/// A longer name of a device is cut.
const DEVICE_CHARACTERS_MAX: usize = 200;

impl Session {
    /// A session that begins now.
    pub(super) fn new(user_id: UserId, from: &SignInContext, now: Timestamp) -> Self {
        let device = from.device.as_ref().map(|name| name.chars().take(DEVICE_CHARACTERS_MAX).collect());
        Self { user_id, created_at: now, last_used_at: now, device, remember_me: from.remember_me }
    }
}

pub(super) fn token_key(token: &SecretString) -> [u8; 32] {
    Sha256::digest(token.expose_secret()).into()
}

/// Stands for what a client calls a trade.
pub(super) fn attempt_key(attempt: &str) -> [u8; 32] {
    Sha256::digest(attempt).into()
}

/// A token that says nothing and that nobody can guess.
pub(super) fn opaque_token() -> Result<SecretString> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?).into())
}

#[async_trait]
impl Sessions for LocalIdentity {
    async fn sessions(&self, user_id: UserId) -> Result<Vec<SessionInfo>> {
        let mut accounts = self.read("sessions.list").await?;
        let now = accounts.now();
        let mut listed = Vec::new();
        for (id, session, expires_at) in accounts.sessions(user_id).await? {
            // Where a crash came between a mark and its commit, the mark counts.
            let has_ended = self.tokens.revocations.standing(user_id, id, now)?.session_ended;
            if expires_at > now && !has_ended {
                let Session { created_at, last_used_at, device, .. } = session;
                listed.push(SessionInfo { id, created_at, last_used_at, expires_at, device });
            }
        }
        listed
            .sort_by_key(|session| std::cmp::Reverse((session.last_used_at, session.created_at, session.id)));
        Ok(listed)
    }

    async fn end_all(&self, user_id: UserId, except: Option<SessionId>) -> Result<()> {
        let mut accounts = self.begin("sessions.end_all").await?;
        let ended = self.end_sessions(&mut accounts, user_id, except).await?;
        self.tokens.revocations.append(ended, accounts.now()).await?;
        accounts.commit().await
    }
}

impl LocalIdentity {
    /// New tokens of a session, with this one to refresh it, and the session itself, new or used once more.
    pub(super) async fn tokens_of(
        &self,
        accounts: &mut Accounts,
        mut user: User,
        (session_id, session): (SessionId, &Session),
        refresh_token: SecretString,
    ) -> Result<Tokens> {
        let now = accounts.now();
        if self.tokens.revocations.standing(user.id, session_id, now)?.user_barred {
            // A crash came between barring them, or letting them in again, and its other half: the database counts.
            self.mark(&mut user, now).await?;
            accounts.put_user(&mut user).await?;
        }
        let longest = self.settings.refresh_token_lifetime;
        let idle = if session.remember_me { longest } else { longest.min(self.settings.session_idle) };
        let until = Some(after(now, idle));
        let keep = Keep { owner: Some(user.id.0.as_bytes()), until };
        accounts.put(session_id.0.as_bytes(), session, keep).await?;

        let token = RefreshToken { session_id, spent: false, trade: None };
        let keep = Keep { owner: Some(session_id.0.as_bytes()), until };
        accounts.put(&token_key(&refresh_token), &token, keep).await?;

        let whose = (user.id, session_id);
        Ok(Tokens {
            access_token: self.tokens.issue(whose, &user.roles, self.ids.next(), now)?,
            refresh_token,
            expires_in_seconds: self.settings.access_token_lifetime.as_secs(),
            user_id: user.id,
            session_id,
        })
    }

    /// The refresh token that `spent` was traded for, if this is that trade once more and the token was not used since.
    pub(super) async fn traded_for(
        &self,
        accounts: &mut Accounts,
        spent: &RefreshToken,
        attempt: Option<&str>,
    ) -> Result<Option<SecretString>> {
        let (Some(trade), Some(attempt)) = (&spent.trade, attempt) else { return Ok(None) };
        let is_same: bool = trade.attempt.ct_eq(&attempt_key(attempt)).into();
        if !is_same {
            return Ok(None);
        }
        let opened = self.sealer.open_sealed(&trade.next, spent.session_id.0.as_bytes())?;
        let next = String::from_utf8(opened.to_vec()).map(SecretString::from);
        let next =
            next.map_err(|_hidden| accounts.error(ErrorKind::Corrupt).with_cause("a sealed refresh token"))?;
        let kept: Option<RefreshToken> = accounts.get(&token_key(&next)).await?;
        Ok(kept.is_some_and(|kept| !kept.spent).then_some(next))
    }

    /// Ends the sessions of a user, and the sign-ins that are not yet any; answers the marks that revoke the access tokens.
    pub(super) async fn end_sessions(
        &self,
        accounts: &mut Accounts,
        user_id: UserId,
        except: Option<SessionId>,
    ) -> Result<Vec<Mark>> {
        let sessions = accounts.sessions(user_id).await?;
        let ended: Vec<_> =
            sessions.into_iter().map(|(id, ..)| id).filter(|id| Some(*id) != except).collect();
        for session in &ended {
            accounts.end_session(*session).await?;
        }
        accounts.delete_owned::<Challenge>(user_id).await?;
        Ok(ended.into_iter().map(Mark::Session).collect())
    }
}
