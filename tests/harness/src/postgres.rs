//! A PostgreSQL server with data of its own.

use std::{
    fs, io,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Daemon, Keeper, free_port, tools};

/// Ends a server and its sessions at once, without a last checkpoint: what was committed is in the log.
const IMMEDIATE: &str = "QUIT";
/// How long recovering may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether what is committed survives the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Nothing is synced, which is fast: for tests that never pull the plug.
    None,
    /// As in production.
    Full,
}

/// A server for which every local user is the superuser `clarity`, without a password.
#[derive(Debug)]
pub struct Postgres {
    daemon: Option<(Daemon, Keeper)>,
    durability: Durability,
    programs: PathBuf,
    owner: Option<Owner>,
    port: u16,
    folder: TempDir,
}

/// Whom the server runs as where the tests run as root, which it refuses.
#[derive(Clone, Copy, Debug)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Makes an empty cluster and starts it.
    pub fn start(durability: Durability) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("clarity-postgres-data-").tempdir()?;
        let owner = Owner::needed()?;
        if let Some(owner) = owner {
            chown(folder.path(), Some(owner.uid), Some(owner.gid))?;
        }
        let programs = programs(owner, folder.path())?;
        let mut server = Self { daemon: None, durability, programs, owner, port: free_port()?, folder };
        let mut initdb = server.command("initdb");
        initdb.args(["--username=clarity", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        output(initdb.arg("--pgdata").arg(server.data()))?;
        server.resume()?;
        Ok(server)
    }

    /// Starts it again after [`Self::stop`], on the same port.
    pub fn resume(&mut self) -> io::Result<()> {
        let daemon = Daemon::start_on(self.port, "postgres", |port, _| {
            let mut command = self.command("postgres");
            command.arg("-D").arg(self.data()).args(["-p", &port.to_string(), "-c", "max_connections=200"]);
            command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
            if self.durability == Durability::None {
                command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
            }
            command
        })?;
        let keeper = Keeper::of(&daemon, IMMEDIATE, &[self.folder.path()])?;
        self.daemon = Some((daemon, keeper));
        self.wait()
    }

    /// Until it answers: it takes connections before that, to say that it is starting up.
    fn wait(&self) -> io::Result<()> {
        let begun = Instant::now();
        // The last line of this file is the server's own word on how it does.
        let state = || fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        while state().lines().last().map(str::trim) != Some("ready") {
            if begun.elapsed() > PATIENCE {
                let log = self.daemon.as_ref().map(|(daemon, _)| daemon.log()).unwrap_or_default();
                return Err(io::Error::other(format!("postgres does not get ready:\n{log}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Ends it and all its sessions at once, as a crash would; what was committed is there when it is started again.
    pub fn stop(&mut self) -> io::Result<()> {
        match self.daemon.take() {
            Some((daemon, _keeper)) => daemon.stop(IMMEDIATE),
            None => Ok(()),
        }
    }

    /// The URL of a database of it, which need not be there; `postgres` is.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://clarity@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Its files.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        command(&self.programs.join("bin").join(program), self.owner, self.folder.path())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _stopped = self.stop();
    }
}

impl Owner {
    /// `nobody` if the tests run as root.
    fn needed() -> io::Result<Option<Self>> {
        let id = |arguments: &[&str]| -> io::Result<u32> {
            let output = output(Command::new("id").args(arguments))?;
            let text = String::from_utf8_lossy(&output.stdout);
            // macOS shows its `nobody` as a negative number.
            let number = text.trim().parse::<i64>().map_err(io::Error::other)?;
            u32::try_from(number & 0xFFFF_FFFF).map_err(io::Error::other)
        };
        if id(&["-u"])? != 0 {
            return Ok(None);
        }
        Ok(Some(Self { uid: id(&["-u", "nobody"])?, gid: id(&["-g", "nobody"])? }))
    }
}

/// Where `owner` can run the programs: a copy in `folder` where the workspace lies in a place that is closed to them, such as
/// root's home.
fn programs(owner: Option<Owner>, folder: &Path) -> io::Result<PathBuf> {
    let installed = tools().join("postgres/native").canonicalize().map_err(|error| {
        io::Error::new(error.kind(), format!("postgres: {error}; `make emulators` installs it"))
    })?;
    if command(&installed.join("bin/postgres"), owner, folder).arg("--version").output().is_ok() {
        return Ok(installed);
    }
    let copy = folder.join("programs");
    output(Command::new("cp").arg("-R").args([&installed, &copy]))?;
    Ok(copy)
}

fn command(program: &Path, owner: Option<Owner>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    // Nobody may be allowed to enter the folder of the tests.
    command.current_dir(folder);
    if let Some(Owner { uid, gid }) = owner {
        command.uid(uid).gid(gid);
    }
    command
}

/// Runs a command to its end; the error of one that fails is what it printed.
fn output(command: &mut Command) -> io::Result<Output> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output);
    }
    let program = command.get_program().display();
    Err(io::Error::other(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_stopped_and_started_again_on_its_port() {
        let mut server = Postgres::start(Durability::Full).unwrap();
        let version = fs::read_to_string(server.data().join("PG_VERSION")).unwrap();
        assert_eq!(version.trim(), "17");
        let port = server.port;
        server.stop().unwrap();
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
        server.resume().unwrap();
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    }
}
