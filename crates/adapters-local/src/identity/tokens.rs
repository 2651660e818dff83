//! Access tokens: issued as EdDSA-signed JWTs, and verified for every request.
//!
//! What a token says never changes, so its parsed claims are remembered under the hash of the whole token once its
//! signature was found right. Everything that can change (the time, the session, the keys that count) is checked again each
//! time. Only valid tokens are remembered, so that hostile ones cannot push them out.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::ids::{SessionId, UserId};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Header, Validation};
use ports::{Denial, Error, ErrorKind, Result, Role, VerifiedToken};
use quick_cache::sync::Cache;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{keys::Keys, revocations::Revocations};

const OPERATION: &str = "identity.verify";
const LENGTH_MAX: usize = 8 * 1024;
const REMEMBERED_MAX: usize = 8 * 1024;
/// How far ahead of this clock the one that issued a token may be. Nothing is granted after a token's end.
const SKEW_SECONDS: i64 = 60;
const TYPE: &str = "at+jwt";
const USE: &str = "access";

/// The only members that a header of ours has, which refuses `jwk`, `jku`, `x5u`, `crit` and the like.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictHeader {
    alg: String,
    typ: String,
    kid: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    jti: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
    token_use: String,
    roles: Vec<String>,
}

/// A token whose signature is right.
struct Signed {
    key_id: String,
    audience: String,
    token_use: String,
    issued_at: i64,
    not_before: i64,
    expires_at: i64,
    token: VerifiedToken,
}

pub(super) struct AccessTokens {
    pub(super) keys: Arc<Keys>,
    pub(super) revocations: Revocations,
    issuer: String,
    audience: String,
    lifetime: Duration,
    validation: Validation,
    remembered: Cache<[u8; 32], Arc<Signed>>,
    /// The revocations' generation that the keys were last read at.
    generation: AtomicU64,
}

impl AccessTokens {
    pub(super) fn new(keys: Keys, revocations: Revocations, settings: &super::Settings) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        // All claims are checked here: by our clock, and also where the signature's check was remembered.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        Self {
            keys: Arc::new(keys),
            revocations,
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            lifetime: settings.access_token_lifetime,
            validation,
            remembered: Cache::new(REMEMBERED_MAX),
            generation: AtomicU64::new(0),
        }
    }

    fn lifetime_seconds(&self) -> i64 {
        i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX)
    }

    pub(super) fn issue(
        &self,
        (user_id, session_id): (UserId, SessionId),
        roles: &BTreeSet<Role>,
        token_id: Uuid,
        now: Timestamp,
    ) -> Result<SecretString> {
        let key = self.keys.signing()?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.id.clone());
        let now = now.as_second();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user_id,
            sid: session_id,
            jti: token_id,
            iat: now,
            nbf: now,
            exp: now.saturating_add(self.lifetime_seconds()),
            token_use: USE.to_owned(),
            roles: roles.iter().map(|role| role.as_str().to_owned()).collect(),
        };
        let token = jsonwebtoken::encode(&header, &claims, &key.signing);
        token
            .map(SecretString::from)
            .map_err(|error| Error::new(ErrorKind::Unexpected, OPERATION).with_cause(error))
    }

    pub(super) fn verify(&self, token: &str, now: Timestamp) -> Result<VerifiedToken> {
        let invalid = || Error::new(ErrorKind::PermissionDenied, OPERATION).with_cause(Denial::InvalidToken);
        if token.len() > LENGTH_MAX {
            return Err(invalid());
        }
        let hash: [u8; 32] = Sha256::digest(token).into();
        let known = self.remembered.get(&hash);
        let is_known = known.is_some();
        let signed = match known {
            Some(signed) => signed,
            None => Arc::new(self.parse(token, now)?.ok_or_else(invalid)?),
        };
        if !self.counts(&signed, now)? {
            return Err(invalid());
        }
        if !is_known {
            self.remembered.insert(hash, Arc::clone(&signed));
        }
        Ok(signed.token.clone())
    }

    pub(super) fn jwks(&self, now: Timestamp) -> Result<Value> {
        self.keys.jwks(now)
    }

    /// What `token` says, where a key of ours signed it. Keys that cannot be read are an error, all else is `None`.
    fn parse(&self, token: &str, now: Timestamp) -> Result<Option<Signed>> {
        let Some(header) = strict_header(token) else { return Ok(None) };
        let Some(key) = self.keys.verifying(&header.kid, now)? else { return Ok(None) };
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.verifying, &self.validation);
        Ok(decoded.ok().and_then(|decoded| self.signed(header.kid, decoded.claims)))
    }

    fn signed(&self, key_id: String, claims: Claims) -> Option<Signed> {
        // A setting that was shortened since also shortens what was issued before: revocations are kept only that long.
        let expires_at = claims.exp.min(claims.iat.checked_add(self.lifetime_seconds())?);
        let token = VerifiedToken {
            user_id: claims.sub,
            session_id: claims.sid,
            issuer: claims.iss,
            roles: claims.roles.iter().map(|name| Role::parse(name)).collect::<Option<_>>()?,
            expires_at: Timestamp::from_second(expires_at).ok()?,
            external: None,
        };
        Some(Signed {
            key_id,
            audience: claims.aud,
            token_use: claims.token_use,
            issued_at: claims.iat,
            not_before: claims.nbf,
            expires_at,
            token,
        })
    }

    /// Whether a signed token is one of ours and holds now.
    fn counts(&self, signed: &Signed, now: Timestamp) -> Result<bool> {
        let seconds = now.as_second();
        let is_ours =
            signed.token.issuer == self.issuer && signed.audience == self.audience && signed.token_use == USE;
        let is_timely = signed.expires_at > seconds
            && signed.not_before <= seconds.saturating_add(SKEW_SECONDS)
            && signed.issued_at <= seconds.saturating_add(SKEW_SECONDS);
        if !is_ours || !is_timely {
            return Ok(false);
        }
        let standing = self.revocations.standing(signed.token.user_id, signed.token.session_id, now)?;
        if self.generation.load(Ordering::Acquire) != standing.generation {
            self.keys.refresh()?;
            self.generation.store(standing.generation, Ordering::Release);
        }
        let is_live = !standing.session_ended && !standing.user_barred;
        Ok(is_live && self.keys.verifying(&signed.key_id, now)?.is_some())
    }
}

/// The header of a token of three parts, where it is one that we could have written.
fn strict_header(token: &str) -> Option<StrictHeader> {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let header: StrictHeader = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    (header.alg == "EdDSA" && header.typ == TYPE).then_some(header)
}
