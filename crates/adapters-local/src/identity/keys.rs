//! The keys that sign access tokens.
//!
//! They are kept in one file that all processes of a data folder share. It is replaced whole under a lock, and read again
//! only when it really changed: an unknown key id in a token costs one `stat`, however many of them are sent.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{DecodingKey, EncodingKey};
use ports::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    files::{self, Stamp},
    rows,
};
use crate::embedded::io_error;

const OPERATION: &str = "identity.keys";
/// A token may be signed this long after the instant it names.
const SLACK: Duration = Duration::from_mins(2);

/// As the file has them.
#[derive(Default, Serialize, Deserialize)]
struct KeyFile {
    keys: Vec<StoredKey>,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredKey {
    /// PKCS#8, in base64url.
    private_key: Secret,
    created_at: Timestamp,
    /// When another key took over. It verifies until the last token it signed has expired.
    retired_at: Option<Timestamp>,
}

/// Written to its file, and shown nowhere else.
#[derive(Clone, Deserialize)]
pub(super) struct Secret(pub(super) SecretString);

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

/// A key, ready for use. Its id is its RFC 7638 thumbprint.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) signing: EncodingKey,
    pub(super) verifying: DecodingKey,
    public: String,
    stored: StoredKey,
}

#[derive(Default)]
struct Ring {
    keys: Vec<Arc<Key>>,
    stamp: Stamp,
}

/// The keys of a data folder, or of this value where there is no folder.
pub(super) struct Keys {
    path: Option<PathBuf>,
    ring: RwLock<Ring>,
    /// How long a key verifies once it is retired.
    lifetime: Duration,
}

impl Keys {
    /// Keys that end with this value.
    pub(super) fn memory(lifetime: Duration, now: Timestamp) -> Result<Self> {
        let keys = Self { path: None, ring: RwLock::default(), lifetime };
        keys.rotate(now)?;
        Ok(keys)
    }

    /// Reads the keys of `folder`, or makes the first. With `forget`, whatever was signed before is void.
    pub(super) fn open(folder: &Path, lifetime: Duration, now: Timestamp, forget: bool) -> Result<Self> {
        let keys = Self { path: Some(folder.join("keys.json")), ring: RwLock::default(), lifetime };
        let _lock = keys.lock()?;
        let is_new = !keys.reload()?;
        if is_new || forget {
            keys.store(KeyFile { keys: vec![generate(now)?] })?;
        }
        Ok(keys)
    }

    /// Signs with a new key from now on, in every process.
    pub(super) fn rotate(&self, now: Timestamp) -> Result<()> {
        let _lock = self.lock()?;
        self.reload()?;
        let known = self.ring.read().unwrap_or_else(PoisonError::into_inner).keys.clone();
        let kept = known.iter().filter(|key| self.may_verify(key, now)).map(|key| {
            let retired_at = key.stored.retired_at.or(Some(now));
            StoredKey { retired_at, ..key.stored.clone() }
        });
        let mut keys: Vec<_> = kept.collect();
        keys.push(generate(now)?);
        self.store(KeyFile { keys })
    }

    /// The key to sign with.
    pub(super) fn signing(&self) -> Result<Arc<Key>> {
        self.refresh()?;
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let key = ring.keys.iter().rfind(|key| key.stored.retired_at.is_none());
        key.cloned()
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, OPERATION).with_cause("no key to sign with"))
    }

    /// The key called `id`, where it may verify.
    pub(super) fn verifying(&self, id: &str, now: Timestamp) -> Result<Option<Arc<Key>>> {
        if let Some(key) = self.known(id, now) {
            return Ok(Some(key));
        }
        self.refresh()?;
        Ok(self.known(id, now))
    }

    /// The public halves, as RFC 8037 has them.
    pub(super) fn jwks(&self, now: Timestamp) -> Result<Value> {
        self.refresh()?;
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let keys = ring.keys.iter().filter(|key| self.may_verify(key, now));
        let keys: Vec<Value> = keys
            .map(|key| {
                json!({
                    "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.id, "x": key.public
                })
            })
            .collect();
        Ok(json!({ "keys": keys }))
    }

    /// Reads the file again if it changed.
    pub(super) fn refresh(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let metadata = fs::metadata(path).map_err(|error| io_error(OPERATION, error))?;
        let known = self.ring.read().unwrap_or_else(PoisonError::into_inner).stamp;
        if Stamp::of(&metadata) != known && !self.reload()? {
            return Err(Error::new(ErrorKind::Unavailable, OPERATION).with_cause("the file of keys is gone"));
        }
        Ok(())
    }

    fn known(&self, id: &str, now: Timestamp) -> Option<Arc<Key>> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        ring.keys.iter().find(|key| key.id == id && self.may_verify(key, now)).cloned()
    }

    fn may_verify(&self, key: &Key, now: Timestamp) -> bool {
        key.stored.retired_at.is_none_or(|at| rows::after(at, self.lifetime + SLACK) > now)
    }

    fn lock(&self) -> Result<Option<File>> {
        let lock = self.path.as_ref().map(|path| files::lock(&path.with_extension("lock")));
        lock.transpose().map_err(|error| io_error(OPERATION, error))
    }

    fn store(&self, file: KeyFile) -> Result<()> {
        if let Some(path) = &self.path {
            let text = serde_json::to_vec_pretty(&file).map(Zeroizing::new);
            let text =
                text.map_err(|error| Error::new(ErrorKind::Unexpected, OPERATION).with_cause(error))?;
            files::replace(path, &text).map_err(|error| io_error(OPERATION, error))?;
            return self.reload().map(drop);
        }
        self.keep(file, Stamp::default())
    }

    /// Whether there was a file to read.
    fn reload(&self) -> Result<bool> {
        let Some(path) = &self.path else { return Ok(true) };
        let Some((file, stamp)) = read(path)? else { return Ok(false) };
        self.keep(file, stamp).map(|()| true)
    }

    fn keep(&self, file: KeyFile, stamp: Stamp) -> Result<()> {
        let keys = file.keys.into_iter().map(prepare).collect::<Result<_>>()?;
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Ring { keys, stamp };
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<(KeyFile, Stamp)>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(OPERATION, error)),
    };
    let mut text = Zeroizing::new(Vec::new());
    let stamp =
        file.metadata().and_then(|metadata| file.read_to_end(&mut text).map(|_| Stamp::of(&metadata)));
    let stamp = stamp.map_err(|error| io_error(OPERATION, error))?;
    let file = serde_json::from_slice(&text).map_err(|error| {
        let cause = format!("the file of keys cannot be read at line {}", error.line());
        Error::new(ErrorKind::Corrupt, OPERATION).with_cause(cause)
    })?;
    Ok(Some((file, stamp)))
}

fn generate(now: Timestamp) -> Result<StoredKey> {
    let made = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8());
    let document =
        made.map_err(|error| Error::new(ErrorKind::Unexpected, OPERATION).with_cause(error.to_string()))?;
    let private_key = Secret(URL_SAFE_NO_PAD.encode(&document).into());
    Ok(StoredKey { private_key, created_at: now, retired_at: None })
}

fn prepare(stored: StoredKey) -> Result<Arc<Key>> {
    let corrupt = |what: &str, error: &dyn std::error::Error| {
        Error::new(ErrorKind::Corrupt, OPERATION).with_cause(format!("{what}: {error}"))
    };
    let document = URL_SAFE_NO_PAD.decode(stored.private_key.0.expose_secret()).map(Zeroizing::new);
    let document = document.map_err(|error| corrupt("a key is not base64url", &error))?;
    let pair = Ed25519KeyPair::from_pkcs8(&document)
        .map_err(|error| corrupt("a key is not an Ed25519 key in PKCS#8", &error))?;
    let public = URL_SAFE_NO_PAD.encode(pair.public_key());
    let thumbprint = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#));
    Ok(Arc::new(Key {
        id: URL_SAFE_NO_PAD.encode(thumbprint),
        signing: EncodingKey::from_ed_der(&document),
        verifying: DecodingKey::from_ed_der(pair.public_key().as_ref()),
        public,
        stored,
    }))
}
