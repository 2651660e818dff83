//! Secrets as parameters of AWS Systems Manager.
//!
//! A parameter is a `SecureString`, sealed by KMS. Its value is a text of at most 8 KiB, so what is put is written as `base64:`
//! and the bytes; a value without that word was put by hand and is its own text. The version of a secret is the number that
//! Systems Manager gives it. It keeps 100 of them and would drop the oldest for the next one, unless that has a label: so each
//! gets one, and the put of one more is refused until somebody removes the label of one that nothing needs.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_ssm::{
    Client,
    types::{ParameterTier, ParameterType},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ports::{Clock, Error, ErrorKind, Outcome, Result, Secret, SecretName, SecretStore};
use secrecy::{ExposeSecret as _, SecretSlice};

use crate::{
    error::{Attempts, code, of_read, of_write},
    latest::Latest,
};

/// What a value begins with that [`SecretStore::put`] stored.
const ENCODED: &str = "base64:";

/// What fits into the 8 KiB of an advanced parameter beside [`ENCODED`].
const VALUE_BYTES_MAX: usize = (8 * 1024 - ENCODED.len()) / 4 * 3;

/// How an [`SsmSecretStore`] is used.
#[derive(Clone, Debug)]
pub struct SsmSettings {
    /// What the names of all parameters begin with, after the `/` that each begins with.
    pub prefix: String,
    /// The KMS key that seals them; `None` for the account's own.
    pub kms_key_id: Option<String>,
    /// How long the latest version is believed to be the latest; zero asks each time. A rotation is noticed within it.
    pub cached_for: Duration,
}

/// Secrets in the parameter store, of which the latest versions are kept in memory for a while.
pub struct SsmSecretStore {
    client: Client,
    settings: SsmSettings,
    latest: Latest,
    /// Versions that are known to have their label.
    labelled: Mutex<HashSet<(SecretName, i64)>>,
}

impl SsmSecretStore {
    /// The parameters whose names begin with the settings' prefix.
    pub fn new(client: Client, settings: SsmSettings, clock: Arc<dyn Clock>) -> Self {
        let latest = Latest::new(settings.cached_for, clock);
        Self { client, settings, latest, labelled: Mutex::default() }
    }

    fn id(&self, name: &SecretName) -> String {
        format!("/{}{}", self.settings.prefix, name.as_str())
    }

    /// Asks for a version, or the latest.
    async fn fetch(&self, name: &SecretName, version: Option<i64>) -> Result<Option<Secret>> {
        const OPERATION: &str = "secrets.get";
        let id = match version {
            Some(version) => format!("{}:{version}", self.id(name)),
            None => self.id(name),
        };
        let found = match self.client.get_parameter().name(id).with_decryption(true).send().await {
            Ok(found) => found.parameter,
            Err(error) if matches!(code(&error), Some("ParameterNotFound" | "ParameterVersionNotFound")) => {
                return Ok(None);
            }
            Err(error) => return Err(of_read(OPERATION, &error)),
        };
        let corrupt = |cause: &'static str| Error::new(ErrorKind::Corrupt, OPERATION).with_cause(cause);
        let found = found.ok_or_else(|| corrupt("an answer without a parameter"))?;
        let text = found.value.ok_or_else(|| corrupt("a parameter without a value"))?;
        let value = match text.strip_prefix(ENCODED) {
            Some(encoded) => {
                STANDARD.decode(encoded).map_err(|_hidden| corrupt("a value that is no base64"))?
            }
            None => text.into_bytes(),
        };
        Ok(Some(Secret { version: found.version.to_string(), value: value.into() }))
    }

    /// Stores a version, over another or only where there is none, and labels it so that it stays.
    async fn store(
        &self,
        operation: &'static str,
        name: &SecretName,
        value: &SecretSlice<u8>,
        is_over: bool,
    ) -> Result<Stored> {
        let attempts = Attempts::default();
        let request = self
            .client
            .put_parameter()
            .name(self.id(name))
            .r#type(ParameterType::SecureString)
            // Standard, which costs nothing, up to 4 KiB.
            .tier(ParameterTier::IntelligentTiering)
            .value(format!("{ENCODED}{}", STANDARD.encode(value.expose_secret())))
            .overwrite(is_over)
            .set_key_id(self.settings.kms_key_id.clone());
        let version = match request.customize().interceptor(attempts.clone()).send().await {
            Ok(stored) => stored.version,
            Err(error) if code(&error) == Some("ParameterAlreadyExists") => return Ok(Stored::Taken),
            Err(error) => return Err(of_write(operation, &attempts, &error)),
        };
        let labelled = self.label(operation, name, version).await;
        labelled.map_err(|error| error.with_outcome(Outcome::Applied))?;
        Ok(Stored::Version(version.to_string()))
    }

    /// Has a version stay; once more changes nothing.
    async fn label(&self, operation: &'static str, name: &SecretName, version: i64) -> Result<()> {
        let label = self.client.label_parameter_version().name(self.id(name)).parameter_version(version);
        let labelled = label.labels(format!("kept-{version}")).send().await;
        labelled.map_err(|error| of_read(operation, &error))?;
        self.labelled.lock().unwrap_or_else(PoisonError::into_inner).insert((name.clone(), version));
        Ok(())
    }

    /// The latest version, which stays: whoever stored it may have died, or been cut off, before it had its label, and nobody
    /// must seal anything with a key that goes.
    async fn fetch_latest(&self, name: &SecretName) -> Result<Option<Secret>> {
        const OPERATION: &str = "secrets.get";
        let Some(secret) = self.fetch(name, None).await? else { return Ok(None) };
        let version =
            secret.version.parse().map_err(|_no_number| Error::new(ErrorKind::Corrupt, OPERATION))?;
        let is_labelled = {
            let labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
            labelled.contains(&(name.clone(), version))
        };
        if !is_labelled {
            self.label(OPERATION, name, version).await?;
        }
        Ok(Some(secret))
    }
}

/// What became of a put.
enum Stored {
    Version(String),
    /// There is one already.
    Taken,
}

fn check_size(operation: &'static str, value: &SecretSlice<u8>) -> Result<()> {
    if (1..=VALUE_BYTES_MAX).contains(&value.expose_secret().len()) {
        Ok(())
    } else {
        let cause = format!("a secret in a parameter has 1 to {VALUE_BYTES_MAX} bytes");
        Err(Error::new(ErrorKind::InvalidInput, operation).with_cause(cause))
    }
}

#[async_trait]
impl SecretStore for SsmSecretStore {
    async fn get(&self, name: &SecretName, version: Option<&str>) -> Result<Option<Secret>> {
        if let Some(version) = version {
            // Any other text would be taken for a label.
            return match version.parse() {
                Ok(version) => self.fetch(name, Some(version)).await,
                Err(_no_number) => Ok(None),
            };
        }
        if let Some(secret) = self.latest.get(name) {
            return Ok(Some(secret));
        }
        let found = self.fetch_latest(name).await?;
        if let Some(secret) = &found {
            self.latest.remember(name, secret);
        }
        Ok(found)
    }

    async fn put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<String> {
        const OPERATION: &str = "secrets.put";
        check_size(OPERATION, &value)?;
        let stored = self.store(OPERATION, name, &value, true).await;
        // Also where it failed: it may have been stored.
        self.latest.forget(name);
        match stored? {
            Stored::Version(version) => Ok(version),
            Stored::Taken => Err(Error::new(ErrorKind::Conflict, OPERATION)),
        }
    }

    async fn get_or_put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<Secret> {
        const OPERATION: &str = "secrets.get_or_put";
        check_size(OPERATION, &value)?;
        if let Some(secret) = self.get(name, None).await? {
            return Ok(secret);
        }
        match self.store(OPERATION, name, &value, false).await? {
            Stored::Version(version) => Ok(Secret { version, value }),
            // Somebody else's, or this call's own, whose answer was lost: either is the one that all answer.
            Stored::Taken => {
                let theirs = self.fetch_latest(name).await?;
                theirs.ok_or_else(|| Error::new(ErrorKind::Unavailable, OPERATION))
            }
        }
    }
}
