//! Access tokens: the pool's, and good only while their session is.

use std::sync::Arc;

use async_trait::async_trait;
use domain::ids::UserId;
use ports::{Denial, Error, ErrorKind, ExternalToken, Result, TokenVerifier, VerifiedToken};

use super::{CognitoIdentity, fault::denied};

const OPERATION: &str = "identity.verify";

#[async_trait]
impl TokenVerifier for CognitoIdentity {
    async fn verify(&self, token: &str) -> Result<VerifiedToken> {
        let invalid = || denied(OPERATION, Denial::InvalidToken);
        let said = self.signatures.verify(token).await?.ok_or_else(invalid)?;
        let user_id = user_of(&said).ok_or_else(invalid)?;
        let (session, standing) = futures::future::try_join(
            self.sessions.session(user_id, said.session_id),
            self.sessions.standing(user_id),
        )
        .await?;
        if session.is_none() || standing.body.barred {
            return Err(invalid());
        }
        Ok(VerifiedToken {
            user_id,
            session_id: said.session_id,
            issuer: said.issuer.clone(),
            roles: said.roles.clone(),
            expires_at: said.expires_at,
            external: None,
        })
    }

    async fn jwks(&self) -> Result<Option<serde_json::Value>> {
        Ok(None)
    }
}

impl CognitoIdentity {
    /// What an access token says that Cognito just gave us.
    pub(super) async fn read(
        &self,
        access_token: &str,
        operation: &'static str,
    ) -> Result<(UserId, Arc<ExternalToken>)> {
        let verified = self.signatures.verify(access_token).await;
        let said = match verified {
            Ok(said) => said,
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(_) => None,
        };
        let read = said.and_then(|said| Some((user_of(&said)?, said)));
        read.ok_or_else(|| {
            let cause =
                "a token of the pool does not verify: see its issuer, client and keys in the configuration";
            Error::new(ErrorKind::Unexpected, operation).with_cause(cause)
        })
    }
}

/// The pool's `sub` is the user's id.
fn user_of(token: &ExternalToken) -> Option<UserId> {
    token.subject.parse().ok()
}
