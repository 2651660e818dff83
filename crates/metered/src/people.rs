//! Ports that know people.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::ids::{SessionId, UserId};
use ports::{
    ChallengeKind, Email, IdentityProvider, MultiFactor, NewUser, Profile, ProfileUpdate, Result, Role,
    SessionInfo, Sessions, SignIn, SignInContext, TokenVerifier, Tokens, TotpSecret, VerifiedToken,
};
use secrecy::SecretString;

use crate::Metered;

#[async_trait]
impl IdentityProvider for Metered<dyn IdentityProvider> {
    async fn sign_up(&self, user: NewUser) -> Result<Profile> {
        self.run("identity.sign_up", self.inner.sign_up(user)).await
    }

    async fn confirm(&self, email: &Email, code: &str) -> Result<()> {
        self.run("identity.confirm", self.inner.confirm(email, code)).await
    }

    async fn resend(&self, email: &Email) -> Result<()> {
        self.run("identity.resend", self.inner.resend(email)).await
    }

    async fn sign_in(&self, email: &Email, password: &SecretString, from: &SignInContext) -> Result<SignIn> {
        self.run("identity.sign_in", self.inner.sign_in(email, password, from)).await
    }

    async fn respond(
        &self,
        session: &SecretString,
        kind: ChallengeKind,
        answer: &SecretString,
        from: &SignInContext,
    ) -> Result<SignIn> {
        self.run("identity.respond", self.inner.respond(session, kind, answer, from)).await
    }

    async fn refresh(&self, refresh_token: &SecretString, attempt: Option<&str>) -> Result<Tokens> {
        self.run("identity.refresh", self.inner.refresh(refresh_token, attempt)).await
    }

    async fn sign_out(&self, user_id: UserId, session_id: SessionId) -> Result<()> {
        self.run("identity.sign_out", self.inner.sign_out(user_id, session_id)).await
    }

    async fn forgot(&self, email: &Email) -> Result<()> {
        self.run("identity.forgot", self.inner.forgot(email)).await
    }

    async fn reset(&self, email: &Email, code: &str, new_password: &SecretString) -> Result<()> {
        self.run("identity.reset", self.inner.reset(email, code, new_password)).await
    }

    async fn profile(&self, user_id: UserId) -> Result<Option<Profile>> {
        self.run("identity.profile", self.inner.profile(user_id)).await
    }

    async fn find(&self, email: &Email) -> Result<Option<Profile>> {
        self.run("identity.find", self.inner.find(email)).await
    }

    async fn update(&self, user_id: UserId, update: ProfileUpdate) -> Result<Profile> {
        self.run("identity.update", self.inner.update(user_id, update)).await
    }

    async fn set_disabled(&self, user_id: UserId, disabled: bool) -> Result<()> {
        self.run("identity.set_disabled", self.inner.set_disabled(user_id, disabled)).await
    }

    async fn set_roles(&self, user_id: UserId, roles: BTreeSet<Role>) -> Result<()> {
        self.run("identity.set_roles", self.inner.set_roles(user_id, roles)).await
    }

    async fn delete(&self, user_id: UserId) -> Result<()> {
        self.run("identity.delete", self.inner.delete(user_id)).await
    }
}

#[async_trait]
impl TokenVerifier for Metered<dyn TokenVerifier> {
    async fn verify(&self, token: &str) -> Result<VerifiedToken> {
        self.run("tokens.verify", self.inner.verify(token)).await
    }

    async fn jwks(&self) -> Result<Option<serde_json::Value>> {
        self.run("tokens.jwks", self.inner.jwks()).await
    }
}

#[async_trait]
impl Sessions for Metered<dyn Sessions> {
    async fn sessions(&self, user_id: UserId) -> Result<Vec<SessionInfo>> {
        self.run("sessions.list", self.inner.sessions(user_id)).await
    }

    async fn end_all(&self, user_id: UserId, except: Option<SessionId>) -> Result<()> {
        self.run("sessions.end_all", self.inner.end_all(user_id, except)).await
    }
}

#[async_trait]
impl MultiFactor for Metered<dyn MultiFactor> {
    async fn set_up(&self, user_id: UserId) -> Result<TotpSecret> {
        self.run("multi_factor.set_up", self.inner.set_up(user_id)).await
    }

    async fn verify(&self, user_id: UserId, code: &SecretString) -> Result<Vec<SecretString>> {
        self.run("multi_factor.verify", self.inner.verify(user_id, code)).await
    }

    async fn disable(&self, user_id: UserId, code: &SecretString) -> Result<()> {
        self.run("multi_factor.disable", self.inner.disable(user_id, code)).await
    }

    async fn remove(&self, user_id: UserId) -> Result<()> {
        self.run("multi_factor.remove", self.inner.remove(user_id)).await
    }

    async fn is_on(&self, user_id: UserId) -> Result<bool> {
        self.run("multi_factor.is_on", self.inner.is_on(user_id)).await
    }
}
