//! Finding and loading the ONNX Runtime library.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

/// Why there is no ONNX Runtime.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    #[error("no ONNX Runtime library at {}; `make onnxruntime` fetches it", list(.tried))]
    Missing { tried: Vec<PathBuf> },
    #[error("{} is not a usable ONNX Runtime library: {reason}", .path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error("ONNX Runtime was already loaded from {}, so {} cannot be", .loaded.display(), .path.display())]
    AlreadyLoaded { loaded: PathBuf, path: PathBuf },
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

/// The library, loaded. A process has one.
#[derive(Clone, Debug)]
pub struct OnnxRuntime {
    environment: Environment,
    library: PathBuf,
}

static LOADED: Mutex<Option<OnnxRuntime>> = Mutex::new(None);

/// Where a library that nobody named may lie: beside the executable, in the checkout's tools, in the user's cache.
pub fn library_folders(executable: Option<&Path>, cache: Option<&Path>) -> Vec<PathBuf> {
    let beside = executable.and_then(Path::parent).map(Path::to_path_buf);
    let cached = cache.map(|cache| cache.join("onnxruntime"));
    beside.into_iter().chain([PathBuf::from(".tools/onnxruntime")]).chain(cached).collect()
}

impl OnnxRuntime {
    /// Loads `configured`, or else the first library that lies in one of `folders`. A library that was named and is not
    /// there is an error: another one would be a surprise.
    pub fn load(configured: Option<&Path>, folders: &[PathBuf]) -> Result<Self, LibraryError> {
        let path = locate(configured, folders)?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Some(runtime) if runtime.library == path => Ok(runtime.clone()),
            Some(runtime) => Err(LibraryError::AlreadyLoaded { loaded: runtime.library.clone(), path }),
            None => Ok(loaded.insert(Self::open(path)?).clone()),
        }
    }

    /// The file that was loaded.
    pub fn library(&self) -> &Path {
        &self.library
    }

    fn open(path: PathBuf) -> Result<Self, LibraryError> {
        let unusable = |reason: String| LibraryError::Unusable { path: path.clone(), reason };
        // `init_from` comes before every other call of `ort`: those panic where it returns an error.
        let environment = ort::init_from(&path)
            .map_err(|error| unusable(error.to_string()))?
            .with_name("clarity")
            .with_telemetry(false)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        environment.set_log_level(LogLevel::Warning);
        Ok(Self { environment, library: path })
    }

    /// What sessions are opened with.
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }
}

fn locate(configured: Option<&Path>, folders: &[PathBuf]) -> Result<PathBuf, LibraryError> {
    let file = format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}");
    let tried = match configured {
        Some(path) => vec![path.to_path_buf()],
        None => folders.iter().map(|folder| folder.join(&file)).collect(),
    };
    // An absolute path, since the loader of the system looks elsewhere for a relative one.
    let found = tried.iter().filter(|path| path.is_file()).find_map(|path| path.canonicalize().ok());
    found.ok_or(LibraryError::Missing { tried })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_library_that_is_missing_is_not_replaced_by_another() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}")), b"").unwrap();
        let named = folder.path().join("named.so");
        let error = locate(Some(&named), &[folder.path().to_path_buf()]).unwrap_err();
        assert!(matches!(error, LibraryError::Missing { tried } if tried == [named]));
    }

    #[test]
    fn the_error_names_every_place_that_was_tried() {
        let folders = library_folders(Some(Path::new("/opt/clarity/clarity")), Some(Path::new("/nowhere")));
        let error = locate(None, &folders[..1]).unwrap_err().to_string();
        assert!(error.contains("/opt/clarity/") && error.contains("make onnxruntime"), "{error}");
        assert_eq!(
            folders[1..],
            [PathBuf::from(".tools/onnxruntime"), PathBuf::from("/nowhere/onnxruntime")]
        );
    }

    #[test]
    fn the_first_folder_that_has_it_wins() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}");
        std::fs::write(second.path().join(&file), b"").unwrap();
        let folders = [first.path().to_path_buf(), second.path().to_path_buf()];
        assert_eq!(locate(None, &folders).unwrap(), second.path().canonicalize().unwrap().join(&file));
        std::fs::write(first.path().join(&file), b"").unwrap();
        assert_eq!(locate(None, &folders).unwrap(), first.path().canonicalize().unwrap().join(&file));
    }

    #[test]
    fn a_file_that_is_no_library_is_an_error_and_not_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        std::fs::write(&path, b"not a library").unwrap();
        let error = OnnxRuntime::open(path).unwrap_err();
        assert!(matches!(error, LibraryError::Unusable { .. }), "{error}");
    }
}
