//! What a model is made of: every byte is read once, verified, and used from memory.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ports::Normalisation;
use sha2::{Digest, Sha256};

use crate::manifest::{File, Manifest};
use crate::signature::{self, SigningKey};

/// The file in a model's folder that says what it is.
pub(crate) const MANIFEST: &str = "manifest.json";
/// Nobody needs a larger one.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// The folders in `models_dir` that have a manifest, by name, in order.
pub(crate) fn folders(models_dir: &Path) -> std::io::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(models_dir)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && path.join(MANIFEST).is_file()
        {
            found.insert(name.to_owned(), path);
        }
    }
    Ok(found)
}

/// A manifest that was checked, by its signature too where a key is configured, and the hash of its bytes.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) manifest: Manifest,
    pub(crate) sha256: String,
}

impl Declared {
    /// `bytes` is the manifest, of the model `name` where that is known, and `bundle` its signature, if it has one.
    pub(crate) fn read(
        name: Option<&str>,
        bytes: &[u8],
        bundle: Option<&[u8]>,
        key: Option<&SigningKey>,
    ) -> Result<Self, String> {
        let sha256 = hex::encode(Sha256::digest(bytes));
        let signed = match (key, bundle) {
            (None, _) => None,
            (Some(_), None) => {
                let file = signature::FILE;
                return Err(format!("{file}: it is missing, and inference.signing_key asks for one"));
            }
            (Some(key), Some(bundle)) => {
                let signed = signature::verify(bundle, key);
                Some(signed.map_err(|reason| format!("{}: {reason}", signature::FILE))?)
            }
        };
        // The signature comes first: nothing that is not signed is parsed.
        if let Some(signed) = &signed
            && signed.get(MANIFEST) != Some(&sha256)
        {
            return Err(format!("{}: it is not for this {MANIFEST}", signature::FILE));
        }
        let manifest = Manifest::parse(bytes, name).map_err(|reason| format!("{MANIFEST}: {reason}"))?;
        if let Some(signed) = signed {
            // The signer lists every file of the folder, such as a card for people, which is not read here.
            if let Some(file) =
                manifest.files.iter().find(|file| signed.get(&file.path) != Some(&file.sha256))
            {
                return Err(format!(
                    "{}: it does not list {} with the hash that {MANIFEST} has",
                    signature::FILE,
                    file.path
                ));
            }
        }
        Ok(Self { manifest, sha256 })
    }
}

/// The manifest and the bundle in a folder.
pub(crate) fn of_folder(folder: &Path) -> Result<(Vec<u8>, Option<Vec<u8>>), String> {
    let read = |file: &str| {
        let (path, mut bytes) = (folder.join(file), Vec::new());
        let read = std::fs::File::open(&path)
            .and_then(|file| file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes));
        match read {
            Ok(length) if length as u64 > MANIFEST_BYTES_MAX => {
                Err(format!("{}: it is too long", path.display()))
            }
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    };
    let manifest = read(MANIFEST)?.ok_or_else(|| format!("{} has no {MANIFEST}", folder.display()))?;
    Ok((manifest, read(signature::FILE)?))
}

/// The bytes of a model's files, which matched their sizes and hashes.
pub(crate) struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    /// Of a folder.
    pub(crate) fn read(folder: &Path, files: &[File]) -> Result<Self, String> {
        Self::verified(files, |file| {
            let path = folder.join(&file.path);
            let mut bytes = Vec::new();
            // One byte more than declared tells a longer file, however long it is.
            let limit = file.size.saturating_add(1);
            std::fs::File::open(&path)
                .and_then(|file| file.take(limit).read_to_end(&mut bytes))
                .map_err(|error| format!("{}: {error}", path.display()))?;
            Ok((path.display().to_string(), bytes))
        })
    }

    /// What `read` gives for each file, with what to call it in an error, if it is what is declared.
    pub(crate) fn verified(
        files: &[File],
        mut read: impl FnMut(&File) -> Result<(String, Vec<u8>), String>,
    ) -> Result<Self, String> {
        let read = files.iter().map(|file| {
            let (place, bytes) = read(file)?;
            if u64::try_from(bytes.len()) != Ok(file.size) {
                return Err(format!("{place}: its size is not the declared {} bytes", file.size));
            }
            let found = hex::encode(Sha256::digest(&bytes));
            if found != file.sha256 {
                return Err(format!("{place}: its sha-256 is {found}, declared is {:?}", file.sha256));
            }
            Ok((file.path.clone(), bytes))
        });
        read.collect::<Result<_, String>>().map(Self)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    pub(crate) fn bytes(&self, path: &str) -> Result<&[u8], String> {
        self.0.get(path).map(Vec::as_slice).ok_or_else(|| format!("{path}: not in files"))
    }

    /// The `count` little-endian 32-bit floats of a file, all of them finite.
    pub(crate) fn floats(&self, path: &str, count: usize) -> Result<Vec<f32>, String> {
        let (chunks, rest) = self.bytes(path)?.as_chunks();
        if chunks.len() != count || !rest.is_empty() {
            return Err(format!("{path}: it does not hold {count} floats"));
        }
        let floats: Vec<_> = chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
        if floats.iter().all(|value| value.is_finite()) {
            Ok(floats)
        } else {
            Err(format!("{path}: a value is not finite"))
        }
    }
}

/// The normalisation of the model's one input.
pub(crate) fn normalisation(
    manifest: &Manifest,
    files: &Files,
) -> Result<Option<Arc<Normalisation>>, String> {
    let Some(declared) = &manifest.normalisation else { return Ok(None) };
    let [input] = &manifest.inputs[..] else {
        return Err("a normalisation needs a model with one input".to_owned());
    };
    let count = input.len(1).ok_or("the input has too many values")?;
    let mean = files.floats(&declared.mean, count)?;
    let standard_deviation = files.floats(&declared.standard_deviation, count)?;
    if standard_deviation.iter().any(|value| *value <= 0.0) {
        return Err(format!("{}: a standard deviation is not above 0", declared.standard_deviation));
    }
    let (unit, method) = (declared.unit.clone(), declared.method.clone());
    Ok(Some(Arc::new(Normalisation { unit, mean, standard_deviation, method })))
}
