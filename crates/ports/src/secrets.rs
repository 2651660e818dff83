//! Named secrets.

use async_trait::async_trait;
use secrecy::SecretSlice;

use crate::{Error, ErrorKind, Result};

/// A secret's name: 1 to 128 characters of `a-z A-Z 0-9 . _ - /`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SecretName(String);

impl SecretName {
    /// Checks `text`.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err(Error::new(ErrorKind::InvalidInput, "secrets.name"))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One version of a secret. Does not print.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Names this version; opaque.
    pub version: String,
    /// The value.
    pub value: SecretSlice<u8>,
}

/// Keeps secrets.
///
/// # Contract
/// - What was put is what `get` returns, byte for byte, also when it is not text; a name that was never put is `None`.
/// - A second `put` makes a new version: `get` of the latest returns the new value, `get` of the old version the old one.
/// - A version that is not there is `None`.
/// - Of two puts that race both are kept as versions, and one is the latest.
/// - `get_or_put` answers the latest version and changes nothing; where there is none it stores the value and answers that. Of
///   several that race on one name, in any processes, all answer the same version, and no other is stored.
/// - An empty value and one above 64 KiB are `InvalidInput`.
#[async_trait]
pub trait SecretStore: Send + Sync + 'static {
    /// Reads a version, or the latest.
    async fn get(&self, name: &SecretName, version: Option<&str>) -> Result<Option<Secret>>;

    /// Stores a new version; answers its name.
    async fn put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<String>;

    /// Reads the latest version, and where there is none stores `value` as the first.
    async fn get_or_put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<Secret>;
}
