//! Secrets in one file that only its owner can read.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use ports::{Error, ErrorKind, Outcome, Result, Secret, SecretName, SecretStore};
use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{
    error::{io_error, task_error},
    folder,
};

const SIZE_BYTES_MAX: usize = 64 * 1024;

/// The secrets of a data folder.
#[derive(Clone, Debug)]
pub struct FileSecretStore {
    folder: PathBuf,
}

/// Values in base64 by version, and versions by name. Does not print.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Secrets(BTreeMap<String, BTreeMap<u64, String>>);

impl FileSecretStore {
    /// Opens `secrets.json` in `folder`; it need not be there yet. One that others may read is refused.
    pub async fn open(folder: &Path) -> Result<Self> {
        const OPERATION: &str = "secrets.open";
        let store = Self { folder: folder.to_owned() };
        let checked = store.clone();
        spawn_blocking(move || {
            let _lock = folder::open(&checked.folder)?;
            checked.read(OPERATION).map(drop)
        })
        .await
        .map_err(|error| task_error(OPERATION, error))??;
        Ok(store)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("secrets.json")
    }

    fn read(&self, operation: &'static str) -> Result<Secrets> {
        let path = self.path();
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Secrets::default()),
            Err(error) => return Err(io_error(operation, error)),
        };
        let mode = file.metadata().map_err(|error| io_error(operation, error))?.permissions().mode();
        if mode & 0o077 != 0 {
            let cause = format!(
                "{} is readable by others (mode {:03o}): replace the secrets in it and `chmod 600` it",
                path.display(),
                mode & 0o777
            );
            return Err(Error::new(ErrorKind::PermissionDenied, operation).with_cause(cause));
        }
        let mut text = String::new();
        io::Read::read_to_string(&mut file, &mut text).map_err(|error| io_error(operation, error))?;
        // The parser's own message could quote a value.
        serde_json::from_str(&text).map_err(|error| {
            let cause = format!("secrets.json is damaged in line {}", error.line());
            Error::new(ErrorKind::Corrupt, operation).with_cause(cause)
        })
    }

    /// Replaces the file; it is whole at every moment.
    fn write(&self, operation: &'static str, secrets: &Secrets) -> Result<()> {
        let failed = |error| io_error(operation, error);
        let text = serde_json::to_vec(secrets)
            .map_err(|error| Error::new(ErrorKind::Unexpected, operation).with_cause(error))?;
        let new = self.folder.join("secrets.json.new");
        // One that a crash left behind; its mode would be kept.
        fs::remove_file(&new)
            .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .map_err(failed)?;
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(&new).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&new, self.path()).map_err(failed)?;
        folder::sync_folder(&self.folder).map_err(|error| failed(error).with_outcome(Outcome::Unknown))
    }

    fn put_blocking(
        &self,
        operation: &'static str,
        name: &SecretName,
        value: &SecretSlice<u8>,
    ) -> Result<String> {
        let _lock = self.lock(operation)?;
        self.put_locked(operation, name, value)
    }

    fn get_or_put_blocking(
        &self,
        operation: &'static str,
        name: &SecretName,
        value: SecretSlice<u8>,
    ) -> Result<Secret> {
        let _lock = self.lock(operation)?;
        if let Some(secret) = self.get_blocking(operation, name, None)? {
            return Ok(secret);
        }
        let version = self.put_locked(operation, name, &value)?;
        Ok(Secret { version, value })
    }

    /// Of all processes, one holds it.
    fn lock(&self, operation: &'static str) -> Result<impl Sized> {
        folder::lock(&self.folder.join("secrets.lock")).map_err(|error| io_error(operation, error))
    }

    fn put_locked(
        &self,
        operation: &'static str,
        name: &SecretName,
        value: &SecretSlice<u8>,
    ) -> Result<String> {
        let mut secrets = self.read(operation)?;
        let versions = secrets.0.entry(name.as_str().to_owned()).or_default();
        let version = versions.last_key_value().map_or(1, |(latest, _)| latest + 1);
        versions.insert(version, BASE64_STANDARD.encode(value.expose_secret()));
        self.write(operation, &secrets)?;
        Ok(version.to_string())
    }

    fn get_blocking(
        &self,
        operation: &'static str,
        name: &SecretName,
        version: Option<&str>,
    ) -> Result<Option<Secret>> {
        let secrets = self.read(operation)?;
        let Some(versions) = secrets.0.get(name.as_str()) else { return Ok(None) };
        let found = match version {
            None => versions.last_key_value(),
            Some(version) => version.parse().ok().and_then(|version: u64| versions.get_key_value(&version)),
        };
        let Some((version, value)) = found else { return Ok(None) };
        // The decoder's own message could quote the value.
        let corrupt =
            || Error::new(ErrorKind::Corrupt, operation).with_cause("a value in secrets.json is not base64");
        let value = BASE64_STANDARD.decode(value).ok().ok_or_else(corrupt)?;
        Ok(Some(Secret { version: version.to_string(), value: value.into() }))
    }
}

#[async_trait]
impl SecretStore for FileSecretStore {
    async fn get(&self, name: &SecretName, version: Option<&str>) -> Result<Option<Secret>> {
        const OPERATION: &str = "secrets.get";
        let (store, name, version) = (self.clone(), name.clone(), version.map(str::to_owned));
        spawn_blocking(move || store.get_blocking(OPERATION, &name, version.as_deref()))
            .await
            .map_err(|error| task_error(OPERATION, error))?
    }

    async fn put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<String> {
        const OPERATION: &str = "secrets.put";
        check_size(OPERATION, &value)?;
        let (store, name) = (self.clone(), name.clone());
        spawn_blocking(move || store.put_blocking(OPERATION, &name, &value))
            .await
            .map_err(|error| task_error(OPERATION, error))?
    }

    async fn get_or_put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<Secret> {
        const OPERATION: &str = "secrets.get_or_put";
        check_size(OPERATION, &value)?;
        let (store, name) = (self.clone(), name.clone());
        spawn_blocking(move || store.get_or_put_blocking(OPERATION, &name, value))
            .await
            .map_err(|error| task_error(OPERATION, error))?
    }
}

fn check_size(operation: &'static str, value: &SecretSlice<u8>) -> Result<()> {
    if (1..=SIZE_BYTES_MAX).contains(&value.expose_secret().len()) {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::InvalidInput, operation))
    }
}
