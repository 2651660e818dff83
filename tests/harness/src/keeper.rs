//! The end of a server that nobody drops.

use std::{
    io,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::Daemon;

/// Reads until this process is gone, however it went, then ends the server and removes its folders. It does not wait for ever:
/// in a container nobody may bury a process whose parent is gone.
const SCRIPT: &str = r#"
pid=$1; signal=$2; shift 2
read -r _
kill -s "$signal" "$pid" 2>/dev/null
tries=300
while kill -s 0 "$pid" 2>/dev/null && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
rm -rf "$@"
"#;

/// Ends a server when this process ends. Tests share servers by way of a `static`, which nobody drops, and a test run may be
/// killed.
#[derive(Debug)]
pub struct Keeper(Child);

impl Keeper {
    /// Watches over `daemon`, which ends by `signal`, and over what it keeps in `folders` besides its own.
    pub fn of(daemon: &Daemon, signal: &str, folders: &[&Path]) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "keeper", &daemon.pid().to_string(), signal]);
        command.arg(daemon.folder()).args(folders);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Self)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Whoever drops it ends the server by other means.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}
