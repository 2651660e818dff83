//! Everything of one data folder, as a provider.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use ports::{
    Clock, CloudProvider, Error, ErrorKind, EventBus, HealthDataRepository, IdSource, Identity, JobQueue,
    ObjectKey, ObjectStore, Result, Scrubber, SecretName, SecretStore,
};
use secrecy::ExposeSecret;

use crate::{
    embedded::{
        self, Database, DatabaseScrubber, FileSecretStore, FolderObjectStore, Granted, PresignKey,
        PresignQuery, SqliteEventBus, SqliteHealthData, SqliteJobQueue,
    },
    identity::{self, LocalIdentity},
};

/// How a data folder is used.
#[derive(Clone, Debug)]
pub struct LocalSettings {
    /// The data folder; it is made where it is missing.
    pub data: PathBuf,
    /// Where the API is reached: presigned URLs begin with it.
    pub base_url: String,
    /// How often the job queue delivers a message before it gives it up; at least 1.
    pub deliveries_max: u32,
    pub identity: identity::Settings,
}

/// The ports of a data folder. Several processes may open the same.
pub struct LocalCloud {
    database: Database,
    records: Arc<SqliteHealthData>,
    objects: Arc<FolderObjectStore>,
    jobs: Arc<SqliteJobQueue>,
    events: Arc<SqliteEventBus>,
    secrets: Arc<FileSecretStore>,
    identity: Arc<LocalIdentity>,
    presign_key: PresignKey,
    clock: Arc<dyn Clock>,
}

impl LocalCloud {
    pub async fn open(
        settings: LocalSettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self> {
        let LocalSettings { data, base_url, deliveries_max, identity } = settings;
        if deliveries_max == 0 {
            let cause = "a message must be delivered once at least";
            return Err(Error::new(ErrorKind::InvalidInput, "local.settings").with_cause(cause));
        }
        let time = || Arc::clone(&clock);
        let database = Database::open(&data).await?;
        let secrets = FileSecretStore::open(&data).await?;
        let presign_key = presign_key(&secrets).await?;
        let objects =
            FolderObjectStore::open(&data, &base_url, presign_key.clone(), time(), Arc::clone(&ids)).await?;
        let identity = LocalIdentity::embedded(database.clone(), &data, identity, time(), ids).await?;
        Ok(Self {
            records: Arc::new(SqliteHealthData::new(database.clone(), time())),
            objects: Arc::new(objects),
            jobs: Arc::new(SqliteJobQueue::new(database.clone(), time(), deliveries_max)),
            events: Arc::new(SqliteEventBus::new(database.clone(), time())),
            secrets: Arc::new(secrets),
            identity,
            presign_key,
            clock,
            database,
        })
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The accounts with what the port does not have, such as the codes for developers.
    pub fn local_identity(&self) -> &Arc<LocalIdentity> {
        &self.identity
    }

    /// Checks a request for an object that brings a presigned URL in place of a token.
    pub fn verify_presigned(&self, method: &str, key: &ObjectKey, query: &PresignQuery) -> Result<Granted> {
        embedded::verify_presigned(&self.presign_key, method, key, query, self.clock.now())
    }
}

#[async_trait]
impl CloudProvider for LocalCloud {
    fn name(&self) -> &'static str {
        "local"
    }

    fn health_data(&self) -> Result<Arc<dyn HealthDataRepository>> {
        Ok(Arc::clone(&self.records) as _)
    }

    fn objects(&self) -> Result<Arc<dyn ObjectStore>> {
        Ok(Arc::clone(&self.objects) as _)
    }

    fn jobs(&self) -> Result<Arc<dyn JobQueue>> {
        Ok(Arc::clone(&self.jobs) as _)
    }

    fn events(&self) -> Result<Arc<dyn EventBus>> {
        Ok(Arc::clone(&self.events) as _)
    }

    fn identity(&self) -> Result<Identity> {
        Ok(Identity {
            accounts: Arc::clone(&self.identity) as _,
            tokens: Arc::clone(&self.identity) as _,
            sessions: Arc::clone(&self.identity) as _,
            multi_factor: Arc::clone(&self.identity) as _,
        })
    }

    fn scrubber(&self) -> Result<Arc<dyn Scrubber>> {
        Ok(Arc::new(DatabaseScrubber::new(self.database.clone(), Arc::clone(&self.records))))
    }

    fn secrets(&self) -> Result<Arc<dyn SecretStore>> {
        Ok(Arc::clone(&self.secrets) as _)
    }

    async fn sweep(&self, limit: u32) -> Result<u64> {
        self.records.sweep_expired(limit).await
    }
}

/// The key of this data folder, made when it was first opened. Of two processes that make one at once both use the first.
async fn presign_key(secrets: &FileSecretStore) -> Result<PresignKey> {
    const OPERATION: &str = "presign.key";
    const FIRST: &str = "1";
    let name = SecretName::new("presign-key")?;
    let mut secret = secrets.get(&name, Some(FIRST)).await?;
    if secret.is_none() {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|error| Error::new(ErrorKind::Unavailable, OPERATION).with_cause(error.to_string()))?;
        secrets.put(&name, bytes.to_vec().into()).await?;
        secret = secrets.get(&name, Some(FIRST)).await?;
    }
    let bytes = secret.and_then(|secret| <[u8; 32]>::try_from(secret.value.expose_secret()).ok());
    let is_corrupt =
        || Error::new(ErrorKind::Corrupt, OPERATION).with_cause("the secret presign-key is not 32 bytes");
    Ok(PresignKey::new(bytes.ok_or_else(is_corrupt)?))
}
