//! Sessions: how they begin, go on and end.

use async_trait::async_trait;
use aws_sdk_cognitoidentityprovider::types::AuthenticationResultType;
use domain::ids::{SessionId, UserId};
use jiff::{SignedDuration, Timestamp};
use ports::{Denial, Error, ErrorKind, Result, SessionInfo, Sessions, SignInContext, Tokens, denial};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    CognitoIdentity,
    authenticate::{Renewed, lifetime},
    fault::{About, denied, is, writing},
    refresh_token::{RefreshToken, hash},
    store::{Session, Stored, Trade},
};
use crate::error::Attempts;

/// A longer name of a device is cut.
const DEVICE_CHARACTERS_MAX: usize = 200;
/// How often a session is begun anew because its user's standing changed meanwhile.
const ATTEMPTS: usize = 8;

#[async_trait]
impl Sessions for CognitoIdentity {
    async fn sessions(&self, user_id: UserId) -> Result<Vec<SessionInfo>> {
        let info = |(id, stored): (SessionId, Stored<Session>)| {
            let Session { created_at, last_used_at, expires_at, device, .. } = stored.body;
            SessionInfo { id, created_at, last_used_at, expires_at, device }
        };
        let mut listed: Vec<_> = self.sessions.list(user_id).await?.into_iter().map(info).collect();
        listed
            .sort_by_key(|session| std::cmp::Reverse((session.last_used_at, session.created_at, session.id)));
        Ok(listed)
    }

    async fn end_all(&self, user_id: UserId, except: Option<SessionId>) -> Result<()> {
        let ended = self.sessions.end_all(user_id, except, self.clock.now()).await?;
        if except.is_none() {
            self.sign_out_everywhere(user_id).await;
            return Ok(());
        }
        for (id, session) in &ended {
            self.forget((user_id, *id), session).await;
        }
        Ok(())
    }
}

impl CognitoIdentity {
    /// Makes a session of tokens that Cognito gave for a sign-in which began at `begun_at`.
    pub(super) async fn begin(
        &self,
        result: AuthenticationResultType,
        from: &SignInContext,
        begun_at: Timestamp,
        operation: &'static str,
    ) -> Result<Tokens> {
        let expires_in_seconds = lifetime(&result);
        let (Some(access_token), Some(refresh_token)) = (result.access_token, result.refresh_token) else {
            return Err(Error::new(ErrorKind::Unexpected, operation).with_cause("a sign-in without tokens"));
        };
        let (user_id, said) = self.read(&access_token, operation).await?;
        let (now, whose) = (self.clock.now(), (user_id, said.session_id));
        let token = RefreshToken::first(user_id, said.session_id)?;
        let device = from.device.as_ref().map(|name| name.chars().take(DEVICE_CHARACTERS_MAX).collect());
        let mut session = Session {
            created_at: now,
            last_used_at: now,
            expires_at: now,
            device,
            remember_me: from.remember_me,
            family: token.family_hash(),
            current: token.serial_hash(),
            trade: None,
            sealed: self.seal(whose, &refresh_token)?,
        };
        session.expires_at = self.end_of(&session, now);
        for _ in 0..ATTEMPTS {
            let standing = self.sessions.standing(user_id).await?;
            if standing.body.barred {
                return Err(denied(operation, Denial::Disabled));
            }
            if standing.body.ended_at.is_some_and(|ended_at| ended_at > begun_at) {
                // Whoever ended all sessions meant this one, too; it was on its way.
                return Err(denied(operation, Denial::InvalidToken));
            }
            match self.sessions.begin(whose, &session, &standing).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                outcome => {
                    outcome?;
                    return Ok(tokens(whose, access_token.into(), &token, expires_in_seconds));
                }
            }
        }
        Err(Error::new(ErrorKind::Unavailable, operation).with_cause("the user's standing kept changing"))
    }

    /// Trades a refresh token of ours.
    pub(super) async fn go_on(
        &self,
        given: &SecretString,
        attempt: Option<&str>,
        operation: &'static str,
    ) -> Result<Tokens> {
        let token = RefreshToken::parse(given).ok_or_else(|| denied(operation, Denial::InvalidToken))?;
        let mut outcome = self.trade(&token, attempt, operation).await;
        let is_conflict = |outcome: &Result<Tokens>| {
            outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Conflict)
        };
        if is_conflict(&outcome) && attempt.is_some() {
            // Of two copies of one attempt the other was first: its answer is this one's.
            outcome = self.trade(&token, attempt, operation).await;
        }
        if is_conflict(&outcome) { Err(denied(operation, Denial::InvalidToken)) } else { outcome }
    }

    async fn trade(
        &self,
        token: &RefreshToken,
        attempt: Option<&str>,
        operation: &'static str,
    ) -> Result<Tokens> {
        let invalid = || denied(operation, Denial::InvalidToken);
        let whose = (token.user_id, token.session_id);
        let (stored, standing) = futures::future::try_join(
            self.sessions.session(token.user_id, token.session_id),
            self.sessions.standing(token.user_id),
        )
        .await?;
        let stored = stored.filter(|stored| stored.body.family == token.family_hash()).ok_or_else(invalid)?;
        let repeated = match attempt {
            Some(attempt) => self.traded_for(whose, &stored.body, token, attempt)?,
            None => None,
        };
        if stored.body.current != token.serial_hash() && repeated.is_none() {
            // Somebody has a copy, and nobody can tell who is the thief.
            self.end(whose, &stored.body).await?;
            return Err(invalid());
        }
        if standing.body.barred {
            return Err(denied(operation, Denial::Disabled));
        }
        let renewed = match self.renewed(whose, &stored.body, operation).await {
            Err(error) if denial(&error) == Some(Denial::InvalidToken) => {
                self.end(whose, &stored.body).await?;
                return Err(error);
            }
            outcome => outcome?,
        };
        let next = match repeated {
            Some(next) => next,
            None => token.next()?,
        };
        let mut session = stored.body.clone();
        session.last_used_at = self.clock.now();
        session.expires_at = self.end_of(&session, session.last_used_at);
        session.current = next.serial_hash();
        let trade = attempt.map(|attempt| {
            let next = self.seal(whose, next.text().expose_secret())?;
            Result::Ok(Trade { spent: token.serial_hash(), attempt: hash(attempt.as_bytes()), next })
        });
        session.trade = trade.transpose()?;
        if let Some(refresh_token) = &renewed.refresh_token {
            session.sealed = self.seal(whose, refresh_token.expose_secret())?;
        }
        match self.sessions.change(whose, &session, &stored).await {
            // The token was used twice at the same time, or the session ended.
            Err(error) if error.kind() == ErrorKind::Conflict && attempt.is_none() => {
                self.end(whose, &session).await?;
                Err(invalid())
            }
            outcome => {
                outcome?;
                Ok(tokens(whose, renewed.access_token.into(), &next, renewed.expires_in_seconds))
            }
        }
    }

    /// The refresh token that `spent` was traded for, if this is that trade once more and the token was not used since.
    fn traded_for(
        &self,
        whose: (UserId, SessionId),
        session: &Session,
        spent: &RefreshToken,
        attempt: &str,
    ) -> Result<Option<RefreshToken>> {
        let is_same =
            |trade: &&Trade| trade.spent == spent.serial_hash() && trade.attempt == hash(attempt.as_bytes());
        let Some(trade) = session.trade.as_ref().filter(is_same) else { return Ok(None) };
        let next = RefreshToken::parse(&self.open(whose, &trade.next)?);
        Ok(next.filter(|next| next.serial_hash() == session.current))
    }

    /// New tokens of Cognito's for a session. They must name it.
    async fn renewed(
        &self,
        whose: (UserId, SessionId),
        session: &Session,
        operation: &'static str,
    ) -> Result<Renewed> {
        let opened = self.open(whose, &session.sealed)?;
        let renewed = self.renew(opened.expose_secret(), &whose.0.to_string(), operation).await?;
        let (user_id, said) = self.read(&renewed.access_token, operation).await?;
        if (user_id, said.session_id) != whose {
            let cause =
                "refreshed tokens do not name their sign-in: the app client must have token revocation on";
            return Err(Error::new(ErrorKind::Unexpected, operation).with_cause(cause));
        }
        Ok(renewed)
    }

    /// An access token of the user for what Cognito lets only themselves do; nobody else ever sees it. Only who is signed in
    /// somewhere has one.
    pub(super) async fn access_token(
        &self,
        user_id: UserId,
        operation: &'static str,
    ) -> Result<SecretString> {
        let mut sessions = self.sessions.list(user_id).await?;
        sessions.sort_by_key(|(_, stored)| std::cmp::Reverse(stored.body.last_used_at));
        let signed_out = || {
            let cause = "Cognito lets only who is signed in do this";
            Error::new(ErrorKind::PermissionDenied, operation).with_cause(cause)
        };
        let (id, stored) = sessions.into_iter().next().ok_or_else(signed_out)?;
        let renewed = self.renewed((user_id, id), &stored.body, operation).await?;
        if let Some(refresh_token) = &renewed.refresh_token {
            let mut session = stored.body.clone();
            session.sealed = self.seal((user_id, id), refresh_token.expose_secret())?;
            self.sessions.change((user_id, id), &session, &stored).await?;
        }
        Ok(renewed.access_token.into())
    }

    /// Ends a session. From here on none of its tokens is good: all else is a courtesy to Cognito.
    pub(super) async fn end(&self, whose: (UserId, SessionId), session: &Session) -> Result<()> {
        self.sessions.end(whose.0, whose.1).await?;
        self.forget(whose, session).await;
        Ok(())
    }

    /// Makes Cognito forget the refresh token of a session that has ended. Its last copy went with the session, so where this
    /// fails nothing is lost, and nobody who signs out has to wait for Cognito to come back.
    async fn forget(&self, whose: (UserId, SessionId), session: &Session) {
        let outcome = match self.open(whose, &session.sealed) {
            Ok(refresh_token) => self.revoke(refresh_token.expose_secret()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "Cognito was not told of the end of a session");
        }
    }

    /// The same for all of a user's.
    pub(super) async fn sign_out_everywhere(&self, user_id: UserId) {
        const OPERATION: &str = "sessions.end_all";
        let attempts = Attempts::default();
        let call = self.client.admin_user_global_sign_out().user_pool_id(&self.settings.user_pool_id);
        let call = call.username(user_id.to_string()).customize().interceptor(attempts.clone());
        match call.send().await {
            Err(error) if !is(&error, "UserNotFoundException") => {
                let error = writing(OPERATION, About::Account, &attempts, &error);
                tracing::warn!(%error, "Cognito was not told of the end of a user's sessions");
            }
            _ => {}
        }
    }

    /// When a session that is used at `now` ends by itself. Cognito's refresh token lives no longer for being used.
    fn end_of(&self, session: &Session, now: Timestamp) -> Timestamp {
        let after = |instant: Timestamp, by: std::time::Duration| {
            let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
            instant.saturating_add(by).unwrap_or(Timestamp::MAX)
        };
        let last = after(session.created_at, self.settings.session_lifetime);
        if session.remember_me { last } else { last.min(after(now, self.settings.session_idle)) }
    }

    fn seal(&self, whose: (UserId, SessionId), refresh_token: &str) -> Result<String> {
        self.sealer.seal(refresh_token.as_bytes(), &context(whose))
    }

    fn open(&self, whose: (UserId, SessionId), sealed: &str) -> Result<SecretString> {
        let opened = self.sealer.open(sealed, &context(whose));
        let text = opened.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        text.map(SecretString::from).ok_or_else(|| {
            let cause = "a session was sealed with another key, or changed";
            Error::new(ErrorKind::Corrupt, "identity.session").with_cause(cause)
        })
    }
}

fn context((user, session): (UserId, SessionId)) -> Vec<u8> {
    [b"session".as_slice(), user.0.as_bytes(), session.0.as_bytes()].concat()
}

fn tokens(
    (user_id, session_id): (UserId, SessionId),
    access_token: SecretString,
    refresh_token: &RefreshToken,
    expires_in_seconds: u64,
) -> Tokens {
    Tokens { access_token, refresh_token: refresh_token.text(), expires_in_seconds, user_id, session_id }
}
