//! Accounts in an Amazon Cognito user pool.
//!
//! A pool knows who people are and whether a password or a code is right. It keeps no list of sessions that a server could
//! read, and its access tokens hold until they expire, whatever is revoked. So each sign-in is a record in the record store
//! here; a token holds only while its record is there, and what the request path asks is that store and never Cognito.
//!
//! Cognito's own refresh token stays in that record, sealed. Who signs in gets one of ours, which works once: a second use
//! ends the session, whether or not the pool rotates its tokens.

mod accounts;
mod attributes;
mod authenticate;
mod challenge;
mod fault;
mod multi_factor;
mod refresh_token;
mod roles;
mod sealing;
mod sessions;
mod settings;
mod srp;
mod store;
mod tokens;

use std::{fmt, sync::Arc};

use aws_lc_rs::hmac;
use aws_sdk_cognitoidentityprovider::Client;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ports::{Clock, Error, ErrorKind, ExternalVerifier, HealthDataRepository, Result};
use secrecy::ExposeSecret as _;

pub use self::settings::{CognitoGroups, CognitoSettings, SignInFlow};
use self::{sealing::Sealer, store::SessionStore};

/// Accounts, their sessions and their second factors, and the verifier of their access tokens.
pub struct CognitoIdentity {
    client: Client,
    settings: CognitoSettings,
    /// Verifies the pool's access tokens by its published keys.
    signatures: Arc<dyn ExternalVerifier>,
    sessions: SessionStore,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for CognitoIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CognitoIdentity").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl CognitoIdentity {
    pub(crate) fn new(
        client: Client,
        settings: CognitoSettings,
        signatures: Arc<dyn ExternalVerifier>,
        store: Arc<dyn HealthDataRepository>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        settings
            .check()
            .map_err(|cause| Error::new(ErrorKind::InvalidInput, "aws.settings").with_cause(cause))?;
        let sealer = Sealer::new(&settings.sealing_key)?;
        Ok(Self { client, settings, signatures, sessions: SessionStore::new(store), sealer, clock })
    }

    /// What proves that a call for `username` comes from the app client; `None` where the client has no secret.
    fn secret_hash(&self, username: &str) -> Option<String> {
        let secret = self.settings.client_secret.as_ref()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(username.as_bytes());
        context.update(self.settings.client_id.as_bytes());
        Some(STANDARD.encode(context.sign()))
    }
}

/// Bytes that nobody can guess.
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "identity.random").with_cause(error.to_string())
    })?;
    Ok(bytes)
}
