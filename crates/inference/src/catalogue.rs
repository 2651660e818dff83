//! Every version of every model that the folder and the store hold, without loading one.

use ports::{ModelIdentity, Result};
use serde::Serialize;

use crate::package::Read;
use crate::store::ModelStore;
use crate::{Settings, files};

/// Where a version lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// In the models' folder.
    Folder,
    /// In the object store.
    Store,
}

/// A version of a model.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The model's name.
    pub name: String,
    /// Its version; absent where its manifest cannot be read.
    pub version: Option<String>,
    /// Where it lies.
    pub source: Source,
    /// Whether requests that name no version are for it.
    pub is_active: bool,
    /// Which model it is; absent where its manifest cannot be read.
    pub identity: Option<ModelIdentity>,
    /// How many bytes its files have.
    pub size_bytes: Option<u64>,
    /// Whether it has a signature; whether that is right is known where a key is configured.
    pub is_signed: bool,
    /// Why it cannot be used, as far as its manifest and signature say.
    pub problem: Option<String>,
}

impl Entry {
    fn new((name, version): (&str, Option<&str>), source: Source, read: Result<Read, String>) -> Self {
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        match read {
            Ok(Read { declared, bundle, .. }) => Self {
                name,
                version: Some(declared.manifest.version.clone()),
                source,
                is_active: false,
                identity: Some(declared.manifest.identity()),
                size_bytes: Some(declared.manifest.files.iter().map(|file| file.size).sum()),
                is_signed: bundle.is_some(),
                problem: None,
            },
            Err(problem) => Self {
                name,
                version,
                source,
                is_active: false,
                identity: None,
                size_bytes: None,
                is_signed: false,
                problem: Some(problem),
            },
        }
    }
}

/// Every version, by name; the folder's before the store's.
pub async fn catalogue(settings: &Settings, store: &ModelStore) -> Result<Vec<Entry>> {
    let key = settings.signing_key.as_ref();
    let mut entries = Vec::new();
    for (name, folder) in files::folders(&settings.models_dir).unwrap_or_default() {
        let mut entry = Entry::new((&name, None), Source::Folder, Read::folder(&folder, Some(&name), key));
        entry.is_active = store.active(&name).await?.is_none();
        entries.push(entry);
    }
    for (name, versions) in store.versions().await? {
        let active = store.active(&name).await?;
        for version in versions {
            let read = Read::store(store, (&name, &version), key).await;
            let read = read.map_err(|error| match std::error::Error::source(&error) {
                Some(cause) => cause.to_string(),
                None => error.to_string(),
            });
            let mut entry = Entry::new((&name, Some(&version)), Source::Store, read);
            entry.is_active = active.as_ref().is_some_and(|active| active.version == version);
            entries.push(entry);
        }
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}
