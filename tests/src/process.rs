//! The `clarity` binary as a child process, on a port of its own, stopped by its pid.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Where the binary lies: in the folder that this program was built into. `make` builds it first.
pub fn binary() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let beside =
        this.ancestors().skip(1).take(2).map(|folder| folder.join("clarity")).find(|path| path.is_file());
    beside
        .context("the clarity binary is not built: run `cargo build --workspace --all-features --bins` first")
}

/// How to start the binary.
pub struct Clarity {
    command: Command,
}

impl Clarity {
    /// `clarity serve` on a free port, as the development profile has it.
    pub fn serve(data: &Path) -> anyhow::Result<Self> {
        Self::serve_at(data, "127.0.0.1:0")
    }

    /// `clarity serve` at this address.
    pub fn serve_at(data: &Path, listen: &str) -> anyhow::Result<Self> {
        let mut clarity = Self::command("serve", data)?;
        clarity.command.args(["--listen", listen]);
        Ok(clarity)
    }

    /// `clarity serve --role inference` on a free port.
    pub fn models(data: &Path) -> anyhow::Result<Self> {
        Ok(Self::serve(data)?.args(&["--role", "inference"]))
    }

    /// `clarity worker`.
    pub fn worker(data: &Path) -> anyhow::Result<Self> {
        Self::command("worker", data)
    }

    /// `clarity import FILE --user E-MAIL`.
    pub fn import(data: &Path, file: &Path, email: &str) -> anyhow::Result<Self> {
        let mut clarity = Self::command("import", data)?;
        clarity.command.arg(file).args(["--user", email]);
        Ok(clarity)
    }

    fn command(name: &str, data: &Path) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace has a folder")?;
        let mut command = Command::new(binary()?);
        // Only what a test sets reaches the process: a developer's own CLARITY__ variables would change the outcome.
        command.env_clear().env("CLARITY_PROFILE", "development").current_dir(root);
        command.args([name, "--json", "--data"]).arg(data);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        Ok(Self { command })
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a configuration key.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.command.arg("--set").arg(format!("{key}={value}"));
        self
    }

    /// Starts it and kills it after a while, wherever it is by then.
    pub fn start_and_kill(mut self, after: Duration) -> anyhow::Result<()> {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = self.command.spawn()?;
        std::thread::sleep(after);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Starts a command that ends by itself, and says little before it does.
    pub fn spawn(mut self) -> anyhow::Result<Child> {
        Ok(self.command.spawn()?)
    }

    /// Starts it, and waits for the line that says that it listens or works.
    pub fn start(mut self) -> anyhow::Result<Started> {
        let mut child = self.command.spawn()?;
        let stderr = child.stderr.take().context("stderr is piped")?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let reader = collect(stderr, Arc::clone(&log));
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        if line.trim().is_empty() {
            let status = child.wait()?;
            let log =
                String::from_utf8_lossy(&log.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
            anyhow::bail!("clarity ended with {status} before it was ready: {log}");
        }
        let started: Value = serde_json::from_str(&line)?;
        let address = |key: &str| started[key].as_str().map(str::parse).transpose();
        let (address, models) = (address("listening")?, address("models")?);
        let output = collect(stdout, Arc::clone(&log));
        Ok(Started { child, address, models, log, readers: vec![reader, output] })
    }
}

fn collect(mut from: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk[..count]);
        }
    })
}

/// A running process. Killed when it is dropped.
pub struct Started {
    child: Child,
    address: Option<SocketAddr>,
    models: Option<SocketAddr>,
    log: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Started {
    /// Where it listens.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        self.address.context("this process does not listen")
    }

    /// Where it serves models as well.
    pub fn models_address(&self) -> anyhow::Result<SocketAddr> {
        self.models.context("this process serves no models of its own accord")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written to standard error, and to standard output after its first line.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends SIGTERM without waiting.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.signal("TERM")
    }

    /// Sends a signal, such as STOP or CONT.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status()?;
        ensure!(status.success(), "kill -{name} failed");
        Ok(())
    }

    /// Waits for the end, and answers the whole log with it.
    pub fn wait(mut self) -> anyhow::Result<(ExitStatus, String)> {
        let status = self.child.wait()?;
        for reader in self.readers.drain(..) {
            ensure!(reader.join().is_ok(), "a log reader panicked");
        }
        let log = self.log();
        Ok((status, log))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // The process may have ended already; then there is nothing to kill.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
