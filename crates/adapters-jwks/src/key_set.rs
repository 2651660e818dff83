//! The keys of an issuer at one moment.

use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    json,
    key::{Algorithm, PublicKey},
    token::is_key_id,
};

/// More keys than any issuer rotates through.
const KEYS_MAX: usize = 256;
const KEPT_MIN: SignedDuration = SignedDuration::from_mins(5);
const KEPT_MAX: SignedDuration = SignedDuration::from_hours(24);

pub(crate) struct KeySet {
    keys: HashMap<String, Vec<Arc<PublicKey>>>,
    /// From here on a newer set is asked for while this one still serves.
    pub(crate) refresh_at: Timestamp,
    /// From here on this one serves only while there is no newer one to be had.
    pub(crate) fresh_until: Timestamp,
    /// From here on it does not serve.
    pub(crate) usable_until: Timestamp,
}

impl KeySet {
    /// The usable keys of a JWKS document; `None` where it is none or has none. `max_age` is the issuer's wish.
    pub(crate) fn parse(document: &[u8], max_age: SignedDuration, now: Timestamp) -> Option<Self> {
        let document = json::object(document)?;
        let listed = document.get("keys")?.as_array()?;
        let mut keys: HashMap<String, Vec<Arc<PublicKey>>> = HashMap::new();
        for jwk in listed.iter().take(KEYS_MAX).filter_map(Value::as_object) {
            let Some(id) = jwk.get("kid").and_then(Value::as_str).filter(|id| is_key_id(id)) else {
                continue;
            };
            let Some(key) = PublicKey::from_jwk(jwk) else { continue };
            let of_id = keys.entry(id.to_owned()).or_default();
            // Two keys for one name and algorithm: the first counts, so that one token is always judged by one key.
            if of_id.iter().all(|known| known.algorithm() != key.algorithm()) {
                of_id.push(Arc::new(key));
            }
        }
        if keys.is_empty() {
            return None;
        }
        let kept = max_age.clamp(KEPT_MIN, KEPT_MAX);
        Some(Self {
            keys,
            refresh_at: after(now, kept * 4 / 5),
            fresh_until: after(now, kept),
            usable_until: after(now, KEPT_MAX),
        })
    }

    pub(crate) fn find(&self, id: &str, algorithm: Algorithm) -> Option<&Arc<PublicKey>> {
        self.keys.get(id)?.iter().find(|key| key.algorithm() == algorithm)
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }
}

fn after(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.saturating_add(by).unwrap_or(Timestamp::MAX)
}
