//! Other servers of the same protocol, each in a Python environment of its own, with the same model and library.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

use super::onnx::NAME;
use crate::load::{Connection, Request};

/// How long a server in Python may take to start.
const READY_MAX: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    MlServer,
    KServe,
}

impl Peer {
    pub(crate) const ALL: [Self; 2] = [Self::MlServer, Self::KServe];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MlServer => "MLServer",
            Self::KServe => "KServe",
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::MlServer => "mlserver",
            Self::KServe => "kserve",
        }
    }
}

/// One of them, running. Killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Starts it on the model at `model`; `None`, and a loud word, where it is not installed.
    pub(crate) async fn start(peer: Peer, folder: &Path, model: &Path) -> anyhow::Result<Option<Self>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace has a folder")?;
        let bin = root.join(".tools").join(peer.folder()).join("bin");
        if !bin.with_file_name("installed").is_file() {
            let name = peer.name();
            writeln!(
                std::io::stderr(),
                "SKIPPED: {name} is not installed, so nothing is compared with it; `make peers` installs it"
            )?;
            return Ok(None);
        }
        let ports = [free()?, free()?, free()?];
        let scripts = root.join("scripts/peers");
        let mut command = match peer {
            Peer::MlServer => mlserver(&bin, &folder.join("mlserver"), &scripts, (model, ports))?,
            Peer::KServe => {
                let mut command = Command::new(bin.join("python"));
                command
                    .arg(scripts.join("kserve_server.py"))
                    .arg(model)
                    .args(ports.map(|port| port.to_string()));
                command
            }
        };
        let log = fs::File::create(folder.join(format!("{}.log", peer.folder())))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let address = SocketAddr::from(([127, 0, 0, 1], ports[0]));
        let mut running = Self {
            child: command.spawn().with_context(|| format!("{} cannot be started", peer.name()))?,
            address,
        };
        running.until_ready().await.with_context(|| {
            let log = fs::read_to_string(folder.join(format!("{}.log", peer.folder()))).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            format!(
                "{} did not start: {}",
                peer.name(),
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            )
        })?;
        Ok(Some(running))
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        let request = Request::get(&format!("/v2/models/{NAME}/ready"));
        while start.elapsed() < READY_MAX {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}");
            }
            if let Ok(mut connection) = Connection::open(self.address).await
                && let Ok((200, _)) = connection.exchange(request.bytes()).await
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        ensure!(start.elapsed() < READY_MAX, "it was not ready within {READY_MAX:?}");
        Ok(())
    }
}

fn mlserver(
    bin: &Path,
    folder: &Path,
    scripts: &Path,
    (model, [http, grpc, metrics]): (&Path, [u16; 3]),
) -> anyhow::Result<Command> {
    fs::create_dir_all(folder)?;
    let settings = json!({
        "host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics,
        // In the server's own process: handing each request to another one costs it more.
        "parallel_workers": 0, "debug": false,
    });
    fs::write(folder.join("settings.json"), settings.to_string())?;
    let settings =
        json!({ "name": NAME, "implementation": "onnx_model.OnnxModel", "parameters": { "uri": model } });
    fs::write(folder.join("model-settings.json"), settings.to_string())?;
    fs::copy(scripts.join("onnx_model.py"), folder.join("onnx_model.py"))?;
    let mut command = Command::new(bin.join("mlserver"));
    command.arg("start").arg(folder).env("PYTHONPATH", folder);
    Ok(command)
}

/// A port that nobody listens on.
fn free() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
