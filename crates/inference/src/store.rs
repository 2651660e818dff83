//! Reading a model's folder: every byte is read once, verified, and used from memory.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use ports::Normalisation;
use sha2::{Digest, Sha256};

use crate::manifest::{File, Manifest};

/// The folders in `models_dir` that have a manifest, by name, in order.
pub(crate) fn folders(models_dir: &Path) -> std::io::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(models_dir)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && path.join("manifest.json").is_file()
        {
            found.insert(name.to_owned(), path);
        }
    }
    Ok(found)
}

pub(crate) fn manifest(folder: &Path, name: &str) -> Result<Manifest, String> {
    let path = folder.join("manifest.json");
    let read = std::fs::read(&path).map_err(|error| error.to_string());
    read.and_then(|text| Manifest::parse(&text, name))
        .map_err(|reason| format!("{}: {reason}", path.display()))
}

/// The bytes of a model's files, which matched their sizes and hashes.
pub(crate) struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    pub(crate) fn read(folder: &Path, files: &[File]) -> Result<Self, String> {
        let read = files.iter().map(|file| {
            let path = folder.join(&file.path);
            let bytes = verified(&path, file).map_err(|reason| format!("{}: {reason}", path.display()))?;
            Ok((file.path.clone(), bytes))
        });
        read.collect::<Result<_, String>>().map(Self)
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

fn verified(path: &Path, declared: &File) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    // One byte more than declared tells a longer file, however long it is.
    let limit = declared.size.saturating_add(1);
    std::fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()) != Ok(declared.size) {
        return Err(format!("its size is not the declared {} bytes", declared.size));
    }
    let found = hex::encode(Sha256::digest(&bytes));
    if found != declared.sha256 {
        return Err(format!("its sha-256 is {found}, declared is {:?}", declared.sha256));
    }
    Ok(bytes)
}

/// The normalisation of the model's one input.
pub(crate) fn normalisation(manifest: &Manifest, files: &Files) -> Result<Option<Normalisation>, String> {
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
    Ok(Some(Normalisation { unit, mean, standard_deviation, method }))
}
