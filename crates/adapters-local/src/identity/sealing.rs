//! Keeps secrets that must be read again, such as those of second factors: sealed with AES-256-GCM under a key that is not in
//! the database. Whoever gets hold of the database alone, or of a backup of it, gets none of them.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ports::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret, zeroize::Zeroizing};
use serde::{Deserialize, Serialize};

use super::{files, keys::Secret, random};
use crate::embedded::io_error;

const OPERATION: &str = "identity.sealing";

/// A sealed secret, and which key opens it. All are base64url but the key's id.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Sealed {
    key_id: String,
    nonce: String,
    text: String,
}

/// As the file has them; the last one seals.
#[derive(Serialize, Deserialize)]
struct KeyFile {
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    id: String,
    key: Secret,
}

struct SealingKey {
    id: String,
    key: RandomizedNonceKey,
}

/// The keys of a data folder, or of this value where there is no folder.
pub(super) struct Sealer {
    path: Option<PathBuf>,
    keys: RwLock<Vec<SealingKey>>,
}

impl Sealer {
    /// A key that ends with this value.
    pub(super) fn memory() -> Result<Self> {
        Ok(Self { path: None, keys: RwLock::new(vec![prepare(&generate()?)?]) })
    }

    /// Reads the keys of `folder`, or makes the first.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("sealing-keys.json");
        let _lock = files::lock(&path.with_extension("lock")).map_err(|error| io_error(OPERATION, error))?;
        let keys = if let Some(keys) = read(&path)? {
            keys
        } else {
            let first = generate()?;
            let keys = vec![prepare(&first)?];
            let text = serde_json::to_vec_pretty(&KeyFile { keys: vec![first] }).map(Zeroizing::new);
            let text =
                text.map_err(|error| Error::new(ErrorKind::Unexpected, OPERATION).with_cause(error))?;
            files::replace(&path, &text).map_err(|error| io_error(OPERATION, error))?;
            keys
        };
        Ok(Self { path: Some(path), keys: RwLock::new(keys) })
    }

    /// Seals `secret` for `owner`: for nobody else it opens.
    pub(super) fn seal(&self, secret: &[u8], owner: &[u8]) -> Result<Sealed> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let unsealed =
            |cause: &str| Error::new(ErrorKind::Unexpected, OPERATION).with_cause(cause.to_owned());
        let SealingKey { id, key } = keys.last().ok_or_else(|| unsealed("no key to seal with"))?;
        let mut text = secret.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(owner), &mut text);
        let nonce = nonce.map_err(|error| unsealed(&error.to_string()))?;
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Ok(Sealed { key_id: id.clone(), nonce: encode(nonce.as_ref()), text: encode(&text) })
    }

    pub(super) fn open_sealed(&self, sealed: &Sealed, owner: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        if let Some(opened) = self.try_open(sealed, owner)? {
            return Ok(opened);
        }
        // Another process may have made the key since.
        if let Some(path) = &self.path
            && let Some(keys) = read(path)?
        {
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
        let opened = self.try_open(sealed, owner)?;
        opened.ok_or_else(|| corrupt(&format!("the sealing key {} is gone", sealed.key_id)))
    }

    /// `None` where the key is unknown.
    fn try_open(&self, sealed: &Sealed, owner: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let Some(SealingKey { key, .. }) = keys.iter().find(|key| key.id == sealed.key_id) else {
            return Ok(None);
        };
        let decode = |text: &str| {
            URL_SAFE_NO_PAD.decode(text).map_err(|_hidden| corrupt("a sealed secret is not base64url"))
        };
        let nonce = <[u8; NONCE_LEN]>::try_from(decode(&sealed.nonce)?);
        let nonce = nonce.map_err(|_hidden| corrupt("the nonce of a sealed secret has another length"))?;
        let mut text = Zeroizing::new(decode(&sealed.text)?);
        let opened = key.open_in_place(Nonce::from(&nonce), Aad::from(owner), &mut text);
        let length = opened.map_err(|_hidden| corrupt("a sealed secret was changed"))?.len();
        text.truncate(length);
        Ok(Some(text))
    }
}

fn corrupt(cause: &str) -> Error {
    Error::new(ErrorKind::Corrupt, OPERATION).with_cause(cause.to_owned())
}

fn generate() -> Result<StoredKey> {
    let key = Zeroizing::new(random::<32>()?);
    Ok(StoredKey { id: hex::encode(random::<8>()?), key: Secret(URL_SAFE_NO_PAD.encode(*key).into()) })
}

fn prepare(stored: &StoredKey) -> Result<SealingKey> {
    let bytes = URL_SAFE_NO_PAD.decode(stored.key.0.expose_secret()).map(Zeroizing::new);
    let bytes = bytes.map_err(|_hidden| corrupt("a sealing key is not base64url"))?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes);
    Ok(SealingKey {
        id: stored.id.clone(),
        key: key.map_err(|_hidden| corrupt("a sealing key is not 32 bytes"))?,
    })
}

fn read(path: &Path) -> Result<Option<Vec<SealingKey>>> {
    let mut text = Zeroizing::new(Vec::new());
    match fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(OPERATION, error)),
    }
    let file: KeyFile = serde_json::from_slice(&text).map_err(|error| {
        corrupt(&format!("the file of sealing keys cannot be read at line {}", error.line()))
    })?;
    file.keys.iter().map(prepare).collect::<Result<_>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_owner_only_and_only_unchanged() {
        let sealer = Sealer::memory().unwrap();
        let secret = sealer.seal(b"secret", b"anna").unwrap();
        assert_eq!(**sealer.open_sealed(&secret, b"anna").unwrap(), *b"secret");
        assert!(!URL_SAFE_NO_PAD.decode(&secret.text).unwrap().windows(6).any(|part| part == b"secret"));
        let kind = |sealed: &Sealed, owner: &[u8]| sealer.open_sealed(sealed, owner).unwrap_err().kind();
        assert_eq!(kind(&secret, b"boris"), ErrorKind::Corrupt);
        let other = sealer.seal(b"secret", b"anna").unwrap();
        assert_ne!(secret.nonce, other.nonce);
        assert_eq!(kind(&Sealed { nonce: other.nonce, ..secret.clone() }, b"anna"), ErrorKind::Corrupt);
        assert_eq!(kind(&Sealed { key_id: "other".to_owned(), ..secret }, b"anna"), ErrorKind::Corrupt);
    }

    #[test]
    fn processes_of_one_folder_open_what_the_other_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (Sealer::open(folder.path()).unwrap(), Sealer::open(folder.path()).unwrap());
        let sealed = one.seal(b"secret", b"anna").unwrap();
        assert_eq!(**two.open_sealed(&sealed, b"anna").unwrap(), *b"secret");
        // Keys that were made anew are read by whoever needs them.
        fs::remove_file(folder.path().join("sealing-keys.json")).unwrap();
        let three = Sealer::open(folder.path()).unwrap();
        assert_eq!(three.open_sealed(&sealed, b"anna").unwrap_err().kind(), ErrorKind::Corrupt);
        let sealed = three.seal(b"newer", b"anna").unwrap();
        assert_eq!(**one.open_sealed(&sealed, b"anna").unwrap(), *b"newer");
    }
}
