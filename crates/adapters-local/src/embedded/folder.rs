//! The data folder, and files in it that are written whole or not at all.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use ports::{Error, ErrorKind, Result};

/// The file whose lock is held while the data folder is opened.
const LOCK: &str = "clarity.lock";

/// Makes the data folder where it is missing, for its owner only, and checks that it can be written.
///
/// Answers a file that keeps other processes from doing the same until it is dropped.
pub(super) fn open(folder: &Path) -> Result<File> {
    const OPERATION: &str = "data.open";
    let explain = |what: &str, error: io::Error| {
        let cause = format!("the data folder {} {what}: {error}", folder.display());
        Error::new(ErrorKind::Unavailable, OPERATION).with_cause(cause)
    };
    if !folder.exists() {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        created.map_err(|error| explain("cannot be created", error))?;
        if let Some(parent) = folder.canonicalize().ok().as_deref().and_then(Path::parent) {
            sync_folder(parent).map_err(|error| explain("cannot be kept", error))?;
        }
    }
    let metadata = fs::metadata(folder).map_err(|error| explain("cannot be read", error))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(folder, Permissions::from_mode(0o700))
            .map_err(|error| explain("is open to others and cannot be closed to them", error))?;
    }
    lock(&folder.join(LOCK)).map_err(|error| explain("cannot be written", error))
}

/// Holds a lock among the processes of this machine until dropped.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    file.lock()?;
    Ok(file)
}

/// Makes the names in `folder` survive a crash.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
