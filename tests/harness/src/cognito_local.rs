//! cognito-local, which stands in for Amazon Cognito.

use std::{
    fs, io,
    path::Path,
    process::Command,
    sync::{Arc, LazyLock},
};

use crate::{Daemon, tools};

/// How the server is started; see the comment at its beginning.
const LAUNCHER: &str = include_str!("cognito_local.js");

/// One server for the tests of a process that leave its clock alone. A static is never dropped: the server ends by itself
/// when the process has.
static SERVER: LazyLock<io::Result<Arc<Daemon>>> = LazyLock::new(|| Ok(Arc::new(start()?)));

/// A server of user pools.
#[derive(Clone, Debug)]
pub struct CognitoLocal(Arc<Daemon>);

impl CognitoLocal {
    /// The shared server.
    pub fn shared() -> io::Result<Self> {
        let server = SERVER.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        Ok(Self(Arc::clone(server)))
    }

    /// A server of its own, whose clock may be moved.
    pub fn own() -> io::Result<Self> {
        Ok(Self(Arc::new(start()?)))
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// Where a `POST` moves its clock by so many milliseconds.
    pub fn clock_url(&self, by_ms: u128) -> String {
        format!("{}/_clock?by_ms={by_ms}", self.url())
    }

    /// The mails so far, as lines of JSON: `{"to": ..., "code": ...}`.
    pub fn mail(&self) -> String {
        fs::read_to_string(self.0.folder().join("mail")).unwrap_or_default()
    }
}

fn start() -> io::Result<Daemon> {
    Daemon::start("cognito-local", |port, folder| {
        let launcher = folder.join("cognito_local.js");
        // Where these fail the server does not come up, and its log says why.
        let _written = fs::write(&launcher, LAUNCHER);
        let _made = fs::create_dir_all(folder.join(".cognito/db"));
        let mut command = Command::new("node");
        command.arg(&launcher).arg(library()).arg(folder).current_dir(folder);
        command.env("PORT", port.to_string()).env("HOST", "127.0.0.1");
        command
    })
}

fn library() -> impl AsRef<std::ffi::OsStr> {
    let modules: &Path = &tools().join("emulators/node/node_modules");
    modules.join("cognito-local/lib")
}
