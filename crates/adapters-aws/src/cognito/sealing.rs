//! Seals what leaves this process and must come back unread and unchanged: AES-256-GCM, with a nonce of its own each time.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ports::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret as _, SecretSlice, zeroize::Zeroizing};

const OPERATION: &str = "identity.sealing";

pub(super) struct Sealer(RandomizedNonceKey);

impl Sealer {
    pub(super) fn new(key: &SecretSlice<u8>) -> Result<Self> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key.expose_secret());
        let key = key
            .map_err(|error| Error::new(ErrorKind::InvalidInput, OPERATION).with_cause(error.to_string()))?;
        Ok(Self(key))
    }

    /// Seals `secret` for a purpose and owner: for no other it opens.
    pub(super) fn seal(&self, secret: &[u8], context: &[u8]) -> Result<String> {
        let mut text = secret.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(context), &mut text)
            .map_err(|error| Error::new(ErrorKind::Unexpected, OPERATION).with_cause(error.to_string()))?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut text);
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// `None` where it was changed, sealed with another key, or sealed for something else.
    pub(super) fn open(&self, sealed: &str, context: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = self.0.open_in_place(Nonce::from(nonce), Aad::from(context), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_unchanged_and_for_its_owner_only() {
        let sealer = Sealer::new(&SecretSlice::from(vec![7; 32])).unwrap();
        let text = sealer.seal(b"secret", b"anna").unwrap();
        assert_eq!(**sealer.open(&text, b"anna").unwrap(), *b"secret");
        assert!(sealer.open(&text, b"boris").is_none());
        assert!(sealer.open(&text[1..], b"anna").is_none());
        assert!(sealer.open("", b"anna").is_none());
        let other = Sealer::new(&SecretSlice::from(vec![8; 32])).unwrap();
        assert!(other.open(&text, b"anna").is_none());
        assert_ne!(sealer.seal(b"secret", b"anna").unwrap(), text);
        assert!(Sealer::new(&SecretSlice::from(vec![7; 31])).is_err());
    }
}
