//! A server as a child process.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_mins(1);
/// How much of its log an error shows.
const LOG_LINES: usize = 30;

/// Where `make emulators` puts what it installs.
pub fn tools() -> PathBuf {
    let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    workspace.canonicalize().unwrap_or(workspace).join(".tools")
}

/// A port of the loopback address that nobody listens on now.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Daemon {
    name: &'static str,
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Daemon {
    /// Starts what `command` makes of a free port and an empty folder, and waits until it takes connections. The error of a
    /// server that does not come up ends with the last lines of its log.
    pub fn start(name: &'static str, command: impl Fn(u16, &std::path::Path) -> Command) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("clarity-{name}-")).tempdir()?;
        let port = free_port()?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = command(port, folder.path());
        let (out, err) = (log.try_clone()?, log);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let child = command.spawn().map_err(|error| {
            let program = command.get_program().display();
            io::Error::new(error.kind(), format!("{name}: {program}: {error}; `make emulators` installs it"))
        })?;
        let mut daemon = Self { name, child, folder, port };
        daemon.wait()?;
        Ok(daemon)
    }

    /// Until it takes connections.
    fn wait(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        loop {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("{} ended with {status}:\n{}", self.name, self.log())));
            }
            if begun.elapsed() > PATIENCE {
                let log = self.log();
                return Err(io::Error::other(format!("{} took no connection:\n{log}", self.name)));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The last lines that it printed.
    pub fn log(&self) -> String {
        let text = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its folder, which goes with it.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
