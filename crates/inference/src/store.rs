//! Models in the object store: files by their content, manifests by name and version, and which version is active.
//!
//! | key | what |
//! |---|---|
//! | `models/blobs/sha256/<hex>` | a file, named by its content; several versions share one |
//! | `models/manifests/<name>/<version>.json` | the manifest, byte for byte; never replaced |
//! | `models/manifests/<name>/<version>.sig` | its signature, if it has one |
//! | `models/active/<name>/<number>.json` | an activation with its predecessor; the first in byte order is the newest |
//!
//! Numbers count down from 2^64 - 1, so that a list of one entry finds the newest, and each is put only where nothing is: of two
//! activations that race, one is refused and knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use ports::objects::{collect, once};
use ports::{Error, ErrorKind, ObjectKey, ObjectStore, PutOptions, Result, Sha256Digest};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files::{Declared, Files, MANIFEST_BYTES_MAX};
use crate::manifest::is_plain;

const ACTIVE: &str = "models/active/";
const MANIFESTS: &str = "models/manifests/";
const BLOBS: &str = "models/blobs/sha256/";

/// That a version was made the active one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Activation {
    /// The version.
    pub version: String,
    /// SHA-256 of its manifest, in hex.
    pub manifest_sha256: String,
    /// When.
    pub activated_at: Timestamp,
    /// The version that was active before, which a rollback goes back to.
    pub predecessor: Option<String>,
}

/// A signature, and whether it was verified here.
pub(crate) struct Bundle<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) is_verified: bool,
}

/// The newest activation of a model, and the key that it has.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    pub(crate) key: ObjectKey,
    number: u64,
}

/// The models in an object store.
#[derive(Clone)]
pub struct ModelStore(Arc<dyn ObjectStore>);

impl std::fmt::Debug for ModelStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ModelStore")
    }
}

fn error(kind: ErrorKind, reason: impl Into<ports::Cause>) -> Error {
    Error::new(kind, "models.store").with_cause(reason)
}

fn manifest_key(name: &str, version: &str, ending: &str) -> Result<ObjectKey> {
    if !is_plain(name) || !is_plain(version) {
        return Err(error(
            ErrorKind::InvalidInput,
            format!("{name:?} {version:?} names no version of a model"),
        ));
    }
    ObjectKey::new(format!("{MANIFESTS}{name}/{version}.{ending}"))
}

fn blob_key(sha256: &str) -> Result<ObjectKey> {
    ObjectKey::new(format!("{BLOBS}{sha256}"))
}

impl ModelStore {
    /// Of `objects`.
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self(objects)
    }

    /// Every version that is stored, by model.
    pub async fn versions(&self) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for key in self.keys(MANIFESTS).await? {
            let parts = key.as_str().strip_prefix(MANIFESTS).and_then(|rest| rest.split_once('/'));
            if let Some((name, file)) = parts
                && let Some(version) = file.strip_suffix(".json")
            {
                versions.entry(name.to_owned()).or_default().insert(version.to_owned());
            }
        }
        Ok(versions)
    }

    /// The newest activation of each model.
    pub(crate) async fn newest(&self) -> Result<BTreeMap<String, Newest>> {
        let mut newest = BTreeMap::new();
        for key in self.keys(ACTIVE).await? {
            if let Some((name, found)) = of_key(key) {
                newest.entry(name).or_insert(found);
            }
        }
        Ok(newest)
    }

    async fn newest_of(&self, name: &str) -> Result<Option<Newest>> {
        let page = self.0.list(&format!("{ACTIVE}{name}/"), None, 1).await?;
        Ok(page.items.into_iter().next().and_then(|meta| of_key(meta.key)).map(|(_, newest)| newest))
    }

    /// The activation of `name` that holds now.
    pub async fn active(&self, name: &str) -> Result<Option<Activation>> {
        match self.newest_of(name).await? {
            Some(newest) => self.activation(&newest).await.map(Some),
            None => Ok(None),
        }
    }

    pub(crate) async fn activation(&self, newest: &Newest) -> Result<Activation> {
        let bytes = self.read(&newest.key).await?;
        let bytes = bytes.ok_or_else(|| error(ErrorKind::Corrupt, format!("{} is gone", newest.key)))?;
        let read = serde_json::from_slice(&bytes);
        read.map_err(|cause| error(ErrorKind::Corrupt, format!("{}: {cause}", newest.key)))
    }

    /// The manifest of a version, and its signature; `None` if there is no such version.
    pub(crate) async fn manifest(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<(Vec<u8>, Option<Vec<u8>>)>> {
        let Some(manifest) = self.read(&manifest_key(name, version, "json")?).await? else { return Ok(None) };
        Ok(Some((manifest, self.read(&manifest_key(name, version, "sig")?).await?)))
    }

    /// A file by its hash, as it is stored: not verified yet.
    pub(crate) async fn blob(&self, sha256: &str, size: u64) -> Result<Vec<u8>> {
        let key = blob_key(sha256)?;
        let object = self.0.get(&key, None).await?;
        let object = object.ok_or_else(|| error(ErrorKind::Corrupt, format!("{key} is missing")))?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let bytes = collect(object.body, size).await;
        bytes.map(Vec::from).map_err(|cause| match cause.kind() {
            ErrorKind::InvalidInput => {
                error(ErrorKind::Corrupt, format!("{key} is longer than {size} bytes"))
            }
            _ => cause,
        })
    }

    /// Stores what was verified. A version is never replaced: the same one again is fine, another is a `Conflict`. A signature
    /// takes the place of another one only where it was verified.
    pub(crate) async fn add(
        &self,
        declared: &Declared,
        files: &Files,
        (manifest, bundle): (&[u8], Option<Bundle<'_>>),
    ) -> Result<()> {
        let (name, version) = (&declared.manifest.name, &declared.manifest.version);
        let key = manifest_key(name, version, "json")?;
        let taken = |what: &str| {
            let words =
                format!("{name} {version} is stored with another {what}; give the new one another version");
            error(ErrorKind::Conflict, words)
        };
        let stored = self.read(&key).await?;
        if stored.as_ref().is_some_and(|stored| stored != manifest) {
            return Err(taken("manifest"));
        }
        for (_, bytes) in files.iter() {
            self.keep(bytes).await?;
        }
        if let Some(Bundle { bytes, is_verified }) = bundle {
            let key = manifest_key(name, version, "sig")?;
            if !self.put_new(&key, bytes.to_vec(), None).await?
                && self.read(&key).await?.is_none_or(|known| known != bytes)
            {
                // Of a version that is not stored yet, it may be another's who is adding it now.
                if stored.is_none() || !is_verified {
                    return Err(taken("signature"));
                }
                self.0.put(&key, once(bytes.to_vec()), PutOptions::default()).await?;
            }
        }
        // The last one: a version that is listed is complete.
        if !self.put_new(&key, manifest.to_vec(), None).await?
            && self.read(&key).await?.is_none_or(|stored| stored != manifest)
        {
            return Err(taken("manifest"));
        }
        // Files that another version had, too, may have been removed with that in the meantime.
        for (_, bytes) in files.iter() {
            if self.0.head(&blob_key(&hex::encode(Sha256::digest(bytes)))?).await?.is_none() {
                self.keep(bytes).await?;
            }
        }
        Ok(())
    }

    /// Stores a file, unless it is there as it is.
    async fn keep(&self, bytes: &[u8]) -> Result<()> {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let sha256 = hex::encode(digest);
        match self.blob(&sha256, bytes.len() as u64).await {
            Ok(stored) if stored == bytes => return Ok(()),
            Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
            // It is missing, or is not what its name says.
            Ok(_) | Err(_) => {}
        }
        let options = PutOptions { sha256: Some(Sha256Digest(digest)), ..PutOptions::default() };
        self.0.put(&blob_key(&sha256)?, once(bytes.to_vec()), options).await.map(drop)
    }

    /// Makes a stored version the active one, and says which was before. Of the one that is active already, it says that.
    pub async fn activate(&self, name: &str, version: &str, now: Timestamp) -> Result<Activation> {
        let newest = self.newest_of(name).await?;
        let before = match &newest {
            Some(newest) => Some(self.activation(newest).await?),
            None => None,
        };
        let predecessor = before.as_ref().map(|before| before.version.clone());
        self.append((name, version), (newest, before), (predecessor, now)).await
    }

    /// Puts the activation after the newest one.
    async fn append(
        &self,
        (name, version): (&str, &str),
        (newest, before): (Option<Newest>, Option<Activation>),
        (predecessor, now): (Option<String>, Timestamp),
    ) -> Result<Activation> {
        let stored = self.manifest(name, version).await?;
        let (manifest, _) =
            stored.ok_or_else(|| error(ErrorKind::NotFound, format!("{name} {version} is not stored")))?;
        let manifest_sha256 = hex::encode(Sha256::digest(&manifest));
        if let Some(before) = before
            && before.version == version
            && before.manifest_sha256 == manifest_sha256
        {
            return Ok(before);
        }
        let predecessor = predecessor.filter(|before| before != version);
        let activation =
            Activation { version: version.to_owned(), manifest_sha256, activated_at: now, predecessor };
        let number = newest.map_or(u64::MAX, |newest| newest.number.saturating_sub(1));
        let key = ObjectKey::new(format!("{ACTIVE}{name}/{number:020}.json"))?;
        let bytes = serde_json::to_vec(&activation).map_err(|cause| error(ErrorKind::Unexpected, cause))?;
        if !self.put_new(&key, bytes, None).await? {
            let words = format!("another version of {name} was activated at the same time");
            return Err(error(ErrorKind::Conflict, words));
        }
        if self.manifest(name, version).await?.is_none() {
            self.0.delete(&key).await?;
            let words = format!("{name} {version} was removed at the same time");
            return Err(error(ErrorKind::Conflict, words));
        }
        Ok(activation)
    }

    /// Makes the version active again that was before, with what was before that: one more rollback goes further back.
    pub async fn rollback(&self, name: &str, now: Timestamp) -> Result<Activation> {
        let newest = self.newest_of(name).await?;
        let newest = newest
            .ok_or_else(|| error(ErrorKind::NotFound, format!("no version of {name} was activated")))?;
        let active = self.activation(&newest).await?;
        let before = active.predecessor.clone().ok_or_else(|| {
            error(
                ErrorKind::NotFound,
                format!(
                    "no other stored version of {name} was active before {}; to go back to the folder's, add and activate that",
                    active.version
                ),
            )
        })?;
        let mut predecessor = None;
        for (_, earlier) in self.keys(&format!("{ACTIVE}{name}/")).await?.into_iter().filter_map(of_key) {
            let earlier = self.activation(&earlier).await?;
            if earlier.version == before {
                predecessor = earlier.predecessor;
                break;
            }
        }
        self.append((name, &before), (Some(newest), Some(active)), (predecessor, now)).await
    }

    /// Removes a version that is not active, and the files that no other version has. Says how many files. What comes to need them
    /// in the meantime gets them back.
    pub async fn remove(&self, name: &str, version: &str) -> Result<usize> {
        let in_use = || {
            let words = format!("{name} {version} is active; activate another version first");
            error(ErrorKind::Conflict, words)
        };
        if self.is_active(name, version).await? {
            return Err(in_use());
        }
        let stored = self.manifest(name, version).await?;
        let (manifest, bundle) =
            stored.ok_or_else(|| error(ErrorKind::NotFound, format!("{name} {version} is not stored")))?;
        // Before anything is deleted: a manifest that cannot be read ends it here.
        let unused = self.unused(blobs(&manifest)?, Some((name, version))).await?;
        let (manifest_key, bundle_key) =
            (manifest_key(name, version, "json")?, manifest_key(name, version, "sig")?);
        self.0.delete(&manifest_key).await?;
        self.0.delete(&bundle_key).await?;
        if self.is_active(name, version).await? {
            if let Some(bundle) = bundle {
                self.put_new(&bundle_key, bundle, None).await?;
            }
            self.put_new(&manifest_key, manifest, None).await?;
            return Err(in_use());
        }
        let mut removed = BTreeMap::new();
        for sha256 in unused {
            let key = blob_key(&sha256)?;
            if let Some(object) = self.0.get(&key, None).await? {
                removed.insert(sha256, collect(object.body, usize::MAX).await?);
                self.0.delete(&key).await?;
            }
        }
        // A version that was listed before now may count on them; one that is listed later looks for them itself.
        let unused = self.unused(removed.keys().cloned().collect(), None).await?;
        for (sha256, bytes) in &removed {
            if !unused.contains(sha256) {
                self.0.put(&blob_key(sha256)?, once(bytes.clone()), PutOptions::default()).await?;
            }
        }
        Ok(unused.len())
    }

    async fn is_active(&self, name: &str, version: &str) -> Result<bool> {
        Ok(self.active(name).await?.is_some_and(|active| active.version == version))
    }

    /// Those of `blobs` that no stored version has, `except` one.
    async fn unused(
        &self,
        mut unused: BTreeSet<String>,
        except: Option<(&str, &str)>,
    ) -> Result<BTreeSet<String>> {
        for (name, versions) in self.versions().await? {
            for version in versions.iter().filter(|version| except != Some((&name, version))) {
                if let Some((manifest, _)) = self.manifest(&name, version).await? {
                    let used = blobs(&manifest)?;
                    unused.retain(|blob| !used.contains(blob));
                }
            }
        }
        Ok(unused)
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<ObjectKey>> {
        let (mut keys, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.0.list(prefix, cursor.as_ref(), 1000).await?;
            keys.extend(page.items.into_iter().map(|meta| meta.key));
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(keys),
            }
        }
    }

    async fn read(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
        let Some(object) = self.0.get(key, None).await? else { return Ok(None) };
        let size_max = usize::try_from(MANIFEST_BYTES_MAX).unwrap_or(usize::MAX);
        collect(object.body, size_max).await.map(|bytes| Some(bytes.into()))
    }

    /// Whether it was put: `false` where the name is taken.
    async fn put_new(&self, key: &ObjectKey, bytes: Vec<u8>, sha256: Option<Sha256Digest>) -> Result<bool> {
        let options = PutOptions { if_absent: true, sha256, ..PutOptions::default() };
        match self.0.put(key, once(bytes), options).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn of_key(key: ObjectKey) -> Option<(String, Newest)> {
    let (name, file) = key.as_str().strip_prefix(ACTIVE)?.split_once('/')?;
    let number = file.strip_suffix(".json")?.parse().ok()?;
    Some((name.to_owned(), Newest { key, number }))
}

/// The hashes of the files that a manifest lists.
fn blobs(manifest: &[u8]) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Listed {
        files: Vec<File>,
    }
    #[derive(Deserialize)]
    struct File {
        sha256: String,
    }
    let listed = serde_json::from_slice::<Listed>(manifest);
    let listed = listed.map_err(|cause| error(ErrorKind::Corrupt, format!("a stored manifest: {cause}")))?;
    Ok(listed.files.into_iter().map(|file| file.sha256).collect())
}
