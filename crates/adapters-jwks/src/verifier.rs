//! From a token to what its issuer says.
//!
//! What a token says never changes, so it is remembered under the hash of the whole token once its signature was found right.
//! Whether it holds is asked again each time: by the clock, and by whether the issuer still publishes the key. Only valid
//! tokens are remembered, so that hostile ones cannot push them out.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::{SignedDuration, Timestamp};
use ports::{Clock, Denial, Error, ErrorKind, ExternalToken, ExternalVerifier, Result};
use quick_cache::sync::Cache;
use serde::Deserialize;

use crate::{
    cache::KeyCache,
    claims::{self, Times},
    key::Algorithm,
    settings::IssuerSettings,
    source::Source,
    token,
};

const OPERATION: &str = "identity.verify";
const REMEMBERED_MAX: usize = 8 * 1024;

/// A token whose signature and claims are right; only time and key are left to ask about.
struct Signed {
    key_id: String,
    algorithm: Algorithm,
    fingerprint: [u8; 32],
    times: Times,
    token: Arc<ExternalToken>,
}

/// Verifies the tokens of one issuer.
pub struct JwksVerifier {
    settings: IssuerSettings,
    keys: KeyCache,
    remembered: Cache<[u8; 32], Arc<Signed>>,
    clock: Arc<dyn Clock>,
}

impl JwksVerifier {
    /// Checks the settings; nothing is fetched yet.
    pub fn new(settings: IssuerSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        let url = settings.checked()?;
        let source = Source::new(url, &settings.fetch)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "identity.issuer").with_cause(error))?;
        let interval = SignedDuration::try_from(settings.fetch.interval).unwrap_or(SignedDuration::MAX);
        Ok(Self {
            keys: KeyCache::new(&settings.name, source, interval, Arc::clone(&clock)),
            remembered: Cache::new(REMEMBERED_MAX),
            settings,
            clock,
        })
    }

    /// The exact `iss` of the tokens.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// What `token` says, if it is a valid access token of this issuer.
    pub async fn verify(&self, token: &str) -> Result<Arc<ExternalToken>> {
        let now = self.clock.now();
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(signed) = self.remembered.get(&hash) {
            let key = self.keys.find(&signed.key_id, signed.algorithm, now).await?;
            let is_published = key.is_some_and(|key| key.fingerprint() == signed.fingerprint);
            let holds = is_published && signed.times.hold(now, &self.settings);
            return if holds { Ok(Arc::clone(&signed.token)) } else { Err(invalid()) };
        }
        let signed = self.check(token, now).await?.ok_or_else(invalid)?;
        let answer = Arc::clone(&signed.token);
        self.remembered.insert(hash, Arc::new(signed));
        Ok(answer)
    }

    /// Everything that can be found wrong without a key is looked at first: who cannot write a token does not make us ask for one.
    async fn check(&self, token: &str, now: Timestamp) -> Result<Option<Signed>> {
        let Some(parts) = token::parse(token) else { return Ok(None) };
        let algorithm = parts.header.algorithm;
        if !self.settings.algorithms.contains(&algorithm) {
            return Ok(None);
        }
        let claimed = claims::read(&parts.claims, &self.settings);
        let Some((token, times)) = claimed.filter(|(_, times)| times.hold(now, &self.settings)) else {
            return Ok(None);
        };
        let key = self.keys.find(&parts.header.key_id, algorithm, now).await?;
        let Some(key) = key.filter(|key| key.verify(parts.message, &parts.signature)) else {
            return Ok(None);
        };
        Ok(Some(Signed {
            key_id: parts.header.key_id,
            algorithm,
            fingerprint: key.fingerprint(),
            times,
            token: Arc::new(token),
        }))
    }
}

fn invalid() -> Error {
    Error::new(ErrorKind::PermissionDenied, OPERATION).with_cause(Denial::InvalidToken)
}

/// The table of external issuers.
pub struct Issuers(HashMap<String, JwksVerifier>);

impl Issuers {
    /// One verifier an issuer; the same issuer twice is `InvalidInput`.
    pub fn new(verifiers: Vec<JwksVerifier>) -> Result<Self> {
        let mut table = HashMap::new();
        for verifier in verifiers {
            if let Some(twice) = table.insert(verifier.issuer().to_owned(), verifier) {
                let problem = format!("the issuer {} is configured twice", twice.issuer());
                return Err(Error::new(ErrorKind::InvalidInput, "identity.issuers").with_cause(problem));
            }
        }
        Ok(Self(table))
    }
}

/// The one claim that is read of a token before it is verified.
#[derive(Deserialize)]
struct Unverified<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
}

#[async_trait]
impl ExternalVerifier for Issuers {
    async fn verify(&self, token: &str) -> Result<Option<Arc<ExternalToken>>> {
        let claims = token::split(token).and_then(|[_, claims, _]| token::decode(claims));
        let unverified =
            claims.as_deref().and_then(|claims| serde_json::from_slice::<Unverified<'_>>(claims).ok());
        let verifier = unverified.and_then(|unverified| self.0.get(unverified.iss.as_ref()));
        match verifier {
            Some(verifier) => verifier.verify(token).await.map(Some),
            None => Ok(None),
        }
    }
}
