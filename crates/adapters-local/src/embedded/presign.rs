//! URLs that let their holder read or put one object: signed by us, checked by the API's own route.

use std::{fmt, time::Duration};

use domain::time::timestamp;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use ports::{Error, ErrorKind, ObjectKey, PresignedMethod, Result};
use serde::Deserialize;
use sha2::Sha256;

const VALID_SECONDS: std::ops::RangeInclusive<u64> = 1..=7 * 24 * 60 * 60;

/// The key that signs. Does not print.
#[derive(Clone)]
pub struct PresignKey([u8; 32]);

impl PresignKey {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn mac(
        &self,
        method: &str,
        key: &ObjectKey,
        expires: i64,
        size_max: Option<u64>,
    ) -> Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "objects.presign").with_cause(error))?;
        // Lines, as neither a key nor a number holds a line break.
        let size_max = size_max.map(|size| size.to_string()).unwrap_or_default();
        mac.update(format!("clarity-presign-1\n{method}\n{key}\n{expires}\n{size_max}\n").as_bytes());
        Ok(mac)
    }
}

impl fmt::Debug for PresignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresignKey(..)")
    }
}

/// The query of a presigned URL, as it comes in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresignQuery {
    pub method: String,
    /// Seconds since the Unix epoch.
    pub expires: i64,
    pub size_max: Option<u64>,
    /// Hex.
    pub signature: String,
}

/// What a presigned URL allows, now that it was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Granted {
    pub key: ObjectKey,
    pub method: PresignedMethod,
}

/// `{base}/objects/{key}?method=..&expires=..[&size_max=..]&signature=..`
pub(super) fn url(
    signing: &PresignKey,
    base_url: &str,
    (key, method): (&ObjectKey, PresignedMethod),
    valid_for: Duration,
    now: Timestamp,
) -> Result<String> {
    if !VALID_SECONDS.contains(&valid_for.as_secs()) || valid_for > Duration::from_secs(*VALID_SECONDS.end())
    {
        return Err(Error::new(ErrorKind::InvalidInput, "objects.presign"));
    }
    let expires = now.as_second() + i64::try_from(valid_for.as_secs()).unwrap_or(0);
    let (name, size_max) = match method {
        PresignedMethod::Get => ("GET", None),
        PresignedMethod::Put { size_bytes_max } => ("PUT", Some(size_bytes_max)),
    };
    let signature = hex::encode(signing.mac(name, key, expires, size_max)?.finalize().into_bytes());
    let size = size_max.map(|size| format!("&size_max={size}")).unwrap_or_default();
    let base = base_url.trim_end_matches('/');
    Ok(format!("{base}/objects/{key}?method={name}&expires={expires}{size}&signature={signature}"))
}

/// Checks a request's method, key and query against the signature. Whatever is wrong is `PermissionDenied`.
pub fn verify_presigned(
    signing: &PresignKey,
    method: &str,
    key: &ObjectKey,
    query: &PresignQuery,
    now: Timestamp,
) -> Result<Granted> {
    let denied = || Error::new(ErrorKind::PermissionDenied, "objects.presigned");
    let granted = match (method, query.size_max) {
        ("GET", None) => PresignedMethod::Get,
        ("PUT", Some(size_bytes_max)) => PresignedMethod::Put { size_bytes_max },
        _ => return Err(denied()),
    };
    let signature = hex::decode(&query.signature).ok().ok_or_else(denied)?;
    // Compares in constant time.
    signing
        .mac(method, key, query.expires, query.size_max)?
        .verify_slice(&signature)
        .ok()
        .ok_or_else(denied)?;
    if query.method != method || timestamp(query.expires.saturating_mul(1000)) <= now {
        return Err(denied());
    }
    Ok(Granted { key: key.clone(), method: granted })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn key() -> ObjectKey {
        ObjectKey::new("raw/a.json").unwrap()
    }

    fn query(url: &str) -> PresignQuery {
        let pairs: std::collections::HashMap<&str, &str> =
            url.split_once('?').unwrap().1.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
        PresignQuery {
            method: pairs["method"].to_owned(),
            expires: pairs["expires"].parse().unwrap(),
            size_max: pairs.get("size_max").map(|size| size.parse().unwrap()),
            signature: pairs["signature"].to_owned(),
        }
    }

    fn presigned(method: PresignedMethod) -> (PresignKey, PresignQuery) {
        let signing = PresignKey::new([7; 32]);
        let url =
            url(&signing, "http://localhost/", (&key(), method), MINUTE, Timestamp::UNIX_EPOCH).unwrap();
        assert!(url.starts_with("http://localhost/objects/raw/a.json?"), "{url}");
        (signing, query(&url))
    }

    #[test]
    fn what_was_signed_is_granted_until_it_expires() {
        let (signing, query) = presigned(PresignedMethod::Put { size_bytes_max: 9 });
        let verify = |now| verify_presigned(&signing, "PUT", &key(), &query, timestamp(now));
        assert_eq!(verify(59_999).unwrap().method, PresignedMethod::Put { size_bytes_max: 9 });
        assert_eq!(verify(60_000).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn nothing_else_is_granted() {
        let (signing, good) = presigned(PresignedMethod::Put { size_bytes_max: 9 });
        let denied = |method: &str, key: &str, query: &PresignQuery| {
            let key = ObjectKey::new(key).unwrap();
            verify_presigned(&signing, method, &key, query, Timestamp::UNIX_EPOCH).unwrap_err().kind()
                == ErrorKind::PermissionDenied
        };
        assert!(denied("PUT", "raw/b.json", &good));
        assert!(denied("GET", "raw/a.json", &good));
        assert!(denied("GET", "raw/a.json", &PresignQuery { size_max: None, ..good.clone() }));
        assert!(denied("PUT", "raw/a.json", &PresignQuery { size_max: Some(10), ..good.clone() }));
        assert!(denied("PUT", "raw/a.json", &PresignQuery { expires: 61, ..good.clone() }));
        assert!(denied("PUT", "raw/a.json", &PresignQuery { signature: String::new(), ..good.clone() }));
        let other = PresignKey::new([8; 32]);
        assert!(verify_presigned(&other, "PUT", &key(), &good, Timestamp::UNIX_EPOCH).is_err());
    }

    #[test]
    fn urls_live_for_a_second_to_a_week() {
        let signing = PresignKey::new([7; 32]);
        let week = Duration::from_hours(7 * 24);
        let made = |valid_for| {
            url(&signing, "http://x", (&key(), PresignedMethod::Get), valid_for, Timestamp::UNIX_EPOCH)
                .is_ok()
        };
        assert!(made(Duration::from_secs(1)) && made(week));
        assert!(!made(Duration::from_millis(999)) && !made(week + Duration::from_nanos(1)));
    }
}
