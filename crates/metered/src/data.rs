//! Ports that keep bytes.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{ids::UserId, record::RecordKey};
use ports::{
    ByteRange, ByteStream, CommitLimits, Cursor, HealthDataRepository, Object, ObjectKey, ObjectMeta,
    ObjectStore, Page, PresignedMethod, PutOptions, Query, Record, Result, Secret, SecretName, SecretStore,
    SharedKey, SharedState, Taken, Write,
};
use secrecy::SecretSlice;
use uuid::Uuid;

use crate::Metered;

#[async_trait]
impl HealthDataRepository for Metered<dyn HealthDataRepository> {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        self.run("records.get", self.inner.get(key)).await
    }

    async fn query(&self, query: &Query) -> Result<Page<Record>> {
        self.run("records.query", self.inner.query(query)).await
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<()> {
        self.run("records.commit", self.inner.commit(batch)).await
    }

    async fn partitions(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page<UserId>> {
        self.run("records.partitions", self.inner.partitions(cursor, limit)).await
    }

    fn limits(&self) -> CommitLimits {
        self.inner.limits()
    }
}

#[async_trait]
impl ObjectStore for Metered<dyn ObjectStore> {
    async fn put(&self, key: &ObjectKey, body: ByteStream, options: PutOptions) -> Result<ObjectMeta> {
        self.run("objects.put", self.inner.put(key, body, options)).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<Object>> {
        self.run("objects.get", self.inner.get(key, range)).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>> {
        self.run("objects.head", self.inner.head(key)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        self.run("objects.delete", self.inner.delete(key)).await
    }

    async fn list(&self, prefix: &str, cursor: Option<&Cursor>, limit: usize) -> Result<Page<ObjectMeta>> {
        self.run("objects.list", self.inner.list(prefix, cursor, limit)).await
    }

    async fn presign(&self, key: &ObjectKey, method: PresignedMethod, valid_for: Duration) -> Result<String> {
        self.run("objects.presign", self.inner.presign(key, method, valid_for)).await
    }
}

#[async_trait]
impl SecretStore for Metered<dyn SecretStore> {
    async fn get(&self, name: &SecretName, version: Option<&str>) -> Result<Option<Secret>> {
        self.run("secrets.get", self.inner.get(name, version)).await
    }

    async fn put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<String> {
        self.run("secrets.put", self.inner.put(name, value)).await
    }

    async fn get_or_put(&self, name: &SecretName, value: SecretSlice<u8>) -> Result<Secret> {
        self.run("secrets.get_or_put", self.inner.get_or_put(name, value)).await
    }
}

#[async_trait]
impl SharedState for Metered<dyn SharedState> {
    async fn take(&self, key: SharedKey, limit: u32, window: Duration) -> Result<Taken> {
        self.run("shared.take", self.inner.take(key, limit, window)).await
    }

    async fn mark(&self, key: SharedKey, ttl: Duration) -> Result<()> {
        self.run("shared.mark", self.inner.mark(key, ttl)).await
    }

    async fn is_marked(&self, key: SharedKey) -> Result<bool> {
        self.run("shared.is_marked", self.inner.is_marked(key)).await
    }

    async fn lock(&self, key: SharedKey, owner: Uuid, ttl: Duration) -> Result<bool> {
        self.run("shared.lock", self.inner.lock(key, owner, ttl)).await
    }

    async fn unlock(&self, key: SharedKey, owner: Uuid) -> Result<()> {
        self.run("shared.unlock", self.inner.unlock(key, owner)).await
    }

    async fn cached(&self, key: SharedKey) -> Result<Option<Bytes>> {
        self.run("shared.cached", self.inner.cached(key)).await
    }

    async fn cache(&self, key: SharedKey, bytes: Bytes, ttl: Duration) -> Result<()> {
        self.run("shared.cache", self.inner.cache(key, bytes, ttl)).await
    }

    async fn forget(&self, key: SharedKey) -> Result<()> {
        self.run("shared.forget", self.inner.forget(key)).await
    }
}
