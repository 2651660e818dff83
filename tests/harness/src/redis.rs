//! A Redis server that keeps nothing.

use std::{io, process::Command};

use crate::{Daemon, Keeper, free_port, tools};

/// Ends a server at once; it has nothing to save.
const KILL: &str = "KILL";

/// A server on a port of its own.
#[derive(Debug)]
pub struct Redis {
    daemon: Option<(Daemon, Keeper)>,
    port: u16,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts one.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one with more arguments.
    pub fn start_with(arguments: &[&str]) -> io::Result<Self> {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { daemon: None, port: free_port()?, arguments };
        server.resume()?;
        Ok(server)
    }

    /// Starts it again after [`Self::stop`], on the same port and empty.
    pub fn resume(&mut self) -> io::Result<()> {
        let daemon = Daemon::start_on(self.port, "redis", |port, folder| {
            let mut command = Command::new(tools().join("redis/redis-server"));
            command.current_dir(folder).args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
            command.args(["--save", "", "--appendonly", "no"]).args(&self.arguments);
            command
        })?;
        let keeper = Keeper::of(&daemon, KILL, &[])?;
        self.daemon = Some((daemon, keeper));
        Ok(())
    }

    /// Ends it.
    pub fn stop(&mut self) -> io::Result<()> {
        match self.daemon.take() {
            Some((daemon, _keeper)) => daemon.stop(KILL),
            None => Ok(()),
        }
    }

    /// `redis://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}
