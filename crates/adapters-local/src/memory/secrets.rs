use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;
use ports::{Error, ErrorKind, Result, Secret, SecretName, SecretStore};
use secrecy::{ExposeSecret as _, SecretSlice};

use super::lock;

const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Secrets in a map: all versions of each, the first one named `1`.
#[derive(Default)]
pub struct MemorySecretStore {
    versions: Mutex<BTreeMap<SecretName, Vec<SecretSlice<u8>>>>,
}

impl MemorySecretStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl SecretStore for MemorySecretStore {
    async fn get(&self, name: &SecretName, version: Option<&str>) -> Result<Option<Secret>> {
        let secrets = lock(&self.versions);
        let Some(versions) = secrets.get(name) else { return Ok(None) };
        let number = version.map_or(Some(versions.len()), |text| text.parse().ok());
        let Some(number) = number else { return Ok(None) };
        let value = number.checked_sub(1).and_then(|index: usize| versions.get(index));
        Ok(value.map(|value| Secret { version: number.to_string(), value: value.clone() }))
    }

    async fn put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<String> {
        check_size("secrets.put", &value)?;
        let mut secrets = lock(&self.versions);
        let versions = secrets.entry(name.clone()).or_default();
        versions.push(value);
        Ok(versions.len().to_string())
    }

    async fn get_or_put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<Secret> {
        check_size("secrets.get_or_put", &value)?;
        let mut secrets = lock(&self.versions);
        let versions = secrets.entry(name.clone()).or_default();
        let latest = versions.last().cloned().unwrap_or_else(|| {
            versions.push(value.clone());
            value
        });
        Ok(Secret { version: versions.len().to_string(), value: latest })
    }
}

fn check_size(operation: &'static str, value: &SecretSlice<u8>) -> Result<()> {
    if (1..=VALUE_BYTES_MAX).contains(&value.expose_secret().len()) {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::InvalidInput, operation))
    }
}
