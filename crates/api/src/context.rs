//! What every handler sees.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use app::App;
use domain::ids::UserId;
use hmac::{Hmac, KeyInit, Mac};
use metrics_exporter_prometheus::PrometheusHandle;
use ports::SharedState;
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    limits::Limiter,
    platform::{Pool, PresignedObjects},
    seats::Live,
};

/// Shared by all workers of the server.
pub struct Context {
    pub app: Arc<App>,
    pub config: Arc<Config>,
    pub limiter: Limiter,
    /// What instances share, where they share something.
    pub shared: Option<Arc<dyn SharedState>>,
    /// Where the records are in a database server.
    pub pool: Option<Arc<dyn Pool>>,
    pub live: Live,
    pub metrics: PrometheusHandle,
    /// Serves presigned object URLs, where the object store is one that needs this process for it.
    pub presigned: Option<Arc<dyn PresignedObjects>>,
    /// Signs cursors.
    pub cursor_key: SecretSlice<u8>,
    /// Turns user ids into what the logs may hold.
    pub user_hash_key: SecretSlice<u8>,
    pub lifecycle: Lifecycle,
}

/// Whether the server still takes work.
#[derive(Default)]
pub struct Lifecycle {
    draining: AtomicBool,
    /// Ends the streams that would otherwise outlive the server.
    pub streams: CancellationToken,
}

impl Lifecycle {
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

impl Context {
    /// A user in logs: the same user has the same word, and nobody finds the user by it.
    pub fn user_hash(&self, user: UserId) -> String {
        hex::encode(&mac(&self.user_hash_key, &[user.0.as_bytes()])[..8])
    }

    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.config.server.body_timeout_ms)
    }
}

/// HMAC-SHA256 of several parts, each with its length, so that no two lists of parts look alike.
pub(crate) fn mac(key: &SecretSlice<u8>, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = new_mac(key);
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn new_mac(key: &SecretSlice<u8>) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    Hmac::<Sha256>::new_from_slice(key.expose_secret()).expect("HMAC takes keys of every length")
}
