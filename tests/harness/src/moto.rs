//! moto, which stands in for AWS.

use std::{
    fs, io,
    process::Command,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{Daemon, tools};

/// How the server is started; see the comment at its beginning.
const LAUNCHER: &str = include_str!("moto_server.py");

/// One server for all tests of a process. A static is never dropped: the server ends by itself when the process has.
static SERVER: LazyLock<io::Result<Daemon>> = LazyLock::new(|| {
    Daemon::start("moto", |port, folder| {
        let launcher = folder.join("moto_server.py");
        let mut command = Command::new(tools().join("emulators/venv/bin/python"));
        command.arg(&launcher).arg(port.to_string()).env("MOTO_ALLOW_NONEXISTENT_REGION", "true");
        // Where this fails the server does not come up, and its log says why.
        let _written = fs::write(launcher, LAUNCHER);
        command
    })
});

/// A region of the shared server. Regions share nothing but the names of buckets.
#[derive(Clone, Debug)]
pub struct Moto {
    port: u16,
    url: String,
    region: String,
}

impl Moto {
    /// A fresh region.
    pub fn start() -> io::Result<Self> {
        static REGIONS: AtomicU32 = AtomicU32::new(0);
        let server = SERVER.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        let region = format!("test-{}", REGIONS.fetch_add(1, Ordering::Relaxed));
        Ok(Self { port: server.port(), url: server.url(), region })
    }

    /// Where every service is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its port on the loopback address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Where a `POST` moves the region's clock by so many milliseconds.
    pub fn clock_url(&self, by_ms: u128) -> String {
        format!("{}/_clock/{}?by_ms={by_ms}", self.url, self.region)
    }
}
