//! Secrets in AWS Secrets Manager.
//!
//! Secrets Manager drops versions without a label when it likes. So each version gets a label of its own, besides the one of
//! the latest, and stays: data sealed with an old key can be opened. A secret has 20 labels, so 18 versions; the put of one
//! more is refused until somebody removes the label of one that nothing needs.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_secretsmanager::{Client, operation::put_secret_value::PutSecretValueError, primitives::Blob};
use ports::{Clock, Error, ErrorKind, IdSource, Result, Secret, SecretName, SecretStore};
use secrecy::{ExposeSecret as _, SecretSlice};
use uuid::Uuid;

use crate::{
    error::{Attempts, code, of_read, of_write},
    latest::Latest,
};

/// Secrets Manager's limit, and the port's.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The label of the latest version.
const LATEST: &str = "AWSCURRENT";

/// How a [`SecretsManagerStore`] is used.
#[derive(Clone, Debug)]
pub struct SecretsManagerSettings {
    /// What the names of all secrets begin with.
    pub prefix: String,
    /// The KMS key that seals them; `None` for the account's own.
    pub kms_key_id: Option<String>,
    /// How long the latest version is believed to be the latest; zero asks each time. A rotation is noticed within it.
    pub cached_for: Duration,
}

/// Secrets, of which the latest versions are kept in memory for a while.
pub struct SecretsManagerStore {
    client: Client,
    settings: SecretsManagerSettings,
    latest: Latest,
    ids: Arc<dyn IdSource>,
}

impl SecretsManagerStore {
    /// The secrets whose names begin with the settings' prefix.
    pub fn new(
        client: Client,
        settings: SecretsManagerSettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        let latest = Latest::new(settings.cached_for, clock);
        Self { client, settings, latest, ids }
    }

    fn id(&self, name: &SecretName) -> String {
        format!("{}{}", self.settings.prefix, name.as_str())
    }

    /// Asks for a version, or the latest.
    async fn fetch(&self, name: &SecretName, version: Option<&str>) -> Result<Option<Secret>> {
        const OPERATION: &str = "secrets.get";
        let request = self.client.get_secret_value().secret_id(self.id(name));
        let request = match version {
            Some(version) => request.version_id(version),
            None => request.version_stage(LATEST),
        };
        let found = match request.send().await {
            Ok(found) => found,
            Err(error) if code(&error) == Some("ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(of_read(OPERATION, &error)),
        };
        // Somebody who puts a secret by hand puts a text.
        let value = found.secret_binary.map(Blob::into_inner);
        let value = value.or_else(|| found.secret_string.map(String::into_bytes));
        let corrupt = || Error::new(ErrorKind::Corrupt, OPERATION).with_cause("a secret without a value");
        let (value, version) = value.zip(found.version_id).ok_or_else(corrupt)?;
        Ok(Some(Secret { version, value: value.into() }))
    }

    /// Stores a version, and makes the secret where there is none.
    async fn store(
        &self,
        operation: &'static str,
        name: &SecretName,
        version: &str,
        value: &SecretSlice<u8>,
    ) -> Result<Stored> {
        let stored = self.store_in_existing(operation, name, version, value).await?;
        if stored != Stored::Nowhere {
            return Ok(stored);
        }
        self.create(operation, name).await?;
        match self.store_in_existing(operation, name, version, value).await? {
            Stored::Nowhere => Err(Error::new(ErrorKind::NotFound, operation)),
            stored => Ok(stored),
        }
    }

    async fn store_in_existing(
        &self,
        operation: &'static str,
        name: &SecretName,
        version: &str,
        value: &SecretSlice<u8>,
    ) -> Result<Stored> {
        let attempts = Attempts::default();
        let request = self
            .client
            .put_secret_value()
            .secret_id(self.id(name))
            // A repetition of the same token and value is the same version.
            .client_request_token(version)
            .secret_binary(Blob::new(value.expose_secret()))
            .version_stages(LATEST)
            .version_stages(version);
        match request.customize().interceptor(attempts.clone()).send().await {
            Ok(_) => Ok(Stored::Done),
            Err(error) => match error.as_service_error() {
                Some(PutSecretValueError::ResourceNotFoundException(_)) => Ok(Stored::Nowhere),
                Some(PutSecretValueError::ResourceExistsException(_)) => Ok(Stored::Taken),
                _ => Err(of_write(operation, &attempts, &error)),
            },
        }
    }

    /// Makes a secret without a version. Of two that race one is told that it exists, which is as good.
    async fn create(&self, operation: &'static str, name: &SecretName) -> Result<()> {
        let request = self.client.create_secret().name(self.id(name));
        let request = request.set_kms_key_id(self.settings.kms_key_id.clone());
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some("ResourceExistsException") => Ok(()),
            Err(error) => Err(of_read(operation, &error)),
        }
    }
}

/// What became of a put.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    Done,
    /// There is no such secret.
    Nowhere,
    /// The version has another value.
    Taken,
}

/// The name of the first version of a secret that nobody puts: the same in every process, so that one of them makes it.
fn first_version(id: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).to_string()
}

fn check_size(operation: &'static str, value: &SecretSlice<u8>) -> Result<()> {
    if (1..=VALUE_BYTES_MAX).contains(&value.expose_secret().len()) {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::InvalidInput, operation).with_cause("a secret has 1 byte to 64 KiB"))
    }
}

#[async_trait]
impl SecretStore for SecretsManagerStore {
    async fn get(&self, name: &SecretName, version: Option<&str>) -> Result<Option<Secret>> {
        match version {
            // Secrets Manager calls others a wrong parameter.
            Some(version) if !(32..=64).contains(&version.len()) => Ok(None),
            Some(version) => self.fetch(name, Some(version)).await,
            None => {
                if let Some(secret) = self.latest.get(name) {
                    return Ok(Some(secret));
                }
                let found = self.fetch(name, None).await?;
                if let Some(secret) = &found {
                    self.latest.remember(name, secret);
                }
                Ok(found)
            }
        }
    }

    async fn put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<String> {
        const OPERATION: &str = "secrets.put";
        check_size(OPERATION, &value)?;
        let version = self.ids.next().to_string();
        let stored = self.store(OPERATION, name, &version, &value).await;
        // Also where it failed: it may have been stored.
        self.latest.forget(name);
        match stored? {
            Stored::Taken => Err(Error::new(ErrorKind::Conflict, OPERATION)),
            Stored::Done | Stored::Nowhere => Ok(version),
        }
    }

    async fn get_or_put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<Secret> {
        const OPERATION: &str = "secrets.get_or_put";
        check_size(OPERATION, &value)?;
        if let Some(secret) = self.get(name, None).await? {
            return Ok(secret);
        }
        let version = first_version(&self.id(name));
        match self.store(OPERATION, name, &version, &value).await? {
            Stored::Taken => {
                let theirs = self.fetch(name, Some(&version)).await?;
                theirs.ok_or_else(|| Error::new(ErrorKind::Unavailable, OPERATION))
            }
            Stored::Done | Stored::Nowhere => Ok(Secret { version, value }),
        }
    }
}
