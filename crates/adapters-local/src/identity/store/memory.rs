use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use ports::Result;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Kind, Row, Store, Transaction};

type Rows = BTreeMap<(Kind, Vec<u8>), Row>;

#[derive(Default)]
pub(in crate::identity) struct MemoryStore(Arc<Mutex<Rows>>);

#[async_trait]
impl Store for MemoryStore {
    async fn read(&self, operation: &'static str) -> Result<Box<dyn Transaction>> {
        self.begin(operation).await
    }

    async fn begin(&self, _operation: &'static str) -> Result<Box<dyn Transaction>> {
        let rows = Arc::clone(&self.0).lock_owned().await;
        Ok(Box::new(MemoryTransaction { rows, changes: BTreeMap::new() }))
    }
}

struct MemoryTransaction {
    rows: OwnedMutexGuard<Rows>,
    /// `None` for what is deleted.
    changes: BTreeMap<(Kind, Vec<u8>), Option<Row>>,
}

impl MemoryTransaction {
    fn keys_where(&self, matches: impl Fn(Kind, &Row) -> bool) -> Vec<(Kind, Vec<u8>)> {
        let unchanged = self.rows.iter().filter(|(key, _)| !self.changes.contains_key(*key));
        let changed = self.changes.iter().filter_map(|(key, row)| Some((key, row.as_ref()?)));
        unchanged
            .chain(changed)
            .filter(|((kind, _), row)| matches(*kind, row))
            .map(|(key, _)| key.clone())
            .collect()
    }
}

#[async_trait]
impl Transaction for MemoryTransaction {
    async fn get(&mut self, kind: Kind, key: &[u8]) -> Result<Option<Row>> {
        let key = (kind, key.to_vec());
        Ok(self.changes.get(&key).cloned().unwrap_or_else(|| self.rows.get(&key).cloned()))
    }

    async fn owned(&mut self, kind: Kind, owner: &[u8]) -> Result<Vec<(Vec<u8>, Row)>> {
        let keys = self.keys_where(|of, row| of == kind && row.owner.as_deref() == Some(owner));
        let mut found = Vec::with_capacity(keys.len());
        for (kind, key) in keys {
            if let Some(row) = self.get(kind, &key).await? {
                found.push((key, row));
            }
        }
        Ok(found)
    }

    async fn put(&mut self, kind: Kind, key: &[u8], row: Row) -> Result<()> {
        self.changes.insert((kind, key.to_vec()), Some(row));
        Ok(())
    }

    async fn delete(&mut self, kind: Kind, key: &[u8]) -> Result<()> {
        self.changes.insert((kind, key.to_vec()), None);
        Ok(())
    }

    async fn sweep(&mut self, now_ms: i64) -> Result<()> {
        for key in self.keys_where(|_, row| row.expires_at_ms.is_some_and(|at| at <= now_ms)) {
            self.changes.insert(key, None);
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        for (key, change) in std::mem::take(&mut self.changes) {
            match change {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
        Ok(())
    }
}
