//! What happens in the store while somebody else changes it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use inference::{ModelStore, Package};
use ports::objects::{ByteStream, once};
use ports::{
    ByteRange, Cursor, ErrorKind, Object, ObjectKey, ObjectMeta, ObjectStore, Page, PresignedMethod,
    PutOptions, Result,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stored::{self, doubling, edit, key, now, stored};

/// Runs something once, before what is next done with a key that begins so.
struct Between {
    inner: Arc<dyn ObjectStore>,
    at: Mutex<Option<(&'static str, &'static str, BoxFuture<'static, ()>)>>,
}

impl Between {
    fn store(
        inner: &Arc<dyn ObjectStore>,
        (operation, prefix): (&'static str, &'static str),
        then: impl Future<Output = ()> + Send + 'static,
    ) -> ModelStore {
        let at = Mutex::new(Some((operation, prefix, Box::pin(then) as BoxFuture<'static, ()>)));
        ModelStore::new(Arc::new(Self { inner: Arc::clone(inner), at }))
    }

    async fn now(&self, operation: &str, key: &str) {
        let is_now =
            |at: &mut (&str, &str, BoxFuture<'static, ()>)| at.0 == operation && key.starts_with(at.1);
        let due = self.at.lock().unwrap().take_if(is_now);
        if let Some((.., then)) = due {
            then.await;
        }
    }
}

#[async_trait]
impl ObjectStore for Between {
    async fn put(&self, key: &ObjectKey, body: ByteStream, options: PutOptions) -> Result<ObjectMeta> {
        self.now("put", key.as_str()).await;
        self.inner.put(key, body, options).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<Object>> {
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>> {
        self.inner.head(key).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        self.now("delete", key.as_str()).await;
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &str, cursor: Option<&Cursor>, limit: usize) -> Result<Page<ObjectMeta>> {
        self.inner.list(prefix, cursor, limit).await
    }

    async fn presign(&self, key: &ObjectKey, method: PresignedMethod, valid_for: Duration) -> Result<String> {
        self.inner.presign(key, method, valid_for).await
    }
}

fn package(version: &str, change: impl FnOnce(&mut Value)) -> Package {
    let models = TempDir::new().unwrap();
    let folder = doubling(models.path(), |folder| {
        edit(folder, |manifest| {
            manifest["version"] = json!(version);
            change(manifest);
        });
    });
    Package::of_folder(&folder, None).unwrap()
}

#[tokio::test]
async fn an_addition_that_another_one_overtakes_is_a_conflict() {
    let objects = stored::objects();
    let store = ModelStore::new(Arc::clone(&objects));
    let first = package("1", |manifest| manifest["licence"] = json!("first"));
    let overtaking = store.clone();
    let slow = Between::store(&objects, ("put", "models/manifests/doubling/1.json"), async move {
        first.add_to(&overtaking).await.unwrap();
    });
    let second = package("1", |manifest| manifest["licence"] = json!("second"));
    assert_eq!(second.add_to(&slow).await.unwrap_err().kind(), ErrorKind::Conflict);
    let kept = Package::of_store(&store, "doubling", "1", None).await.unwrap();
    assert_eq!(kept.identity().licence, "first");
}

#[tokio::test]
async fn adding_again_mends_files_and_replaces_a_signature_only_by_a_verified_one() {
    let (objects, store) = stored(&["1.0.0"]).await;
    for meta in objects.list("models/blobs/", None, 9).await.unwrap().items {
        objects.put(&meta.key, once("rotten"), PutOptions::default()).await.unwrap();
    }
    assert!(Package::of_store(&store, "doubling", "1.0.0", None).await.is_err());
    package("1.0.0", |_| {}).add_to(&store).await.unwrap();
    Package::of_store(&store, "doubling", "1.0.0", None).await.unwrap();

    let models = TempDir::new().unwrap();
    let folder = doubling(models.path(), |_| {});
    let store = ModelStore::new(stored::objects());
    Package::of_folder(&folder, None).unwrap().add_to(&store).await.unwrap();
    std::fs::write(folder.join("model.sig"), "{}").unwrap();
    let error = Package::of_folder(&folder, None).unwrap().add_to(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    Package::of_store(&store, "doubling", "1.0.0", Some(&key())).await.unwrap();
    // And the other way round: the first one was not verified.
    let store = ModelStore::new(stored::objects());
    Package::of_folder(&folder, None).unwrap().add_to(&store).await.unwrap();
    assert!(Package::of_store(&store, "doubling", "1.0.0", Some(&key())).await.is_err());
    doubling(models.path(), |_| {});
    Package::of_folder(&folder, Some(&key())).unwrap().add_to(&store).await.unwrap();
    Package::of_store(&store, "doubling", "1.0.0", Some(&key())).await.unwrap();
}

#[tokio::test]
async fn what_is_removed_while_others_come_to_need_it_is_still_theirs() {
    let (objects, store) = stored(&["1", "2"]).await;
    store.activate("doubling", "2", now()).await.unwrap();
    // It is activated while its manifest is deleted.
    let other = store.clone();
    let slow = Between::store(&objects, ("delete", "models/manifests/doubling/1.json"), async move {
        other.activate("doubling", "1", now()).await.unwrap();
    });
    assert_eq!(slow.remove("doubling", "1").await.unwrap_err().kind(), ErrorKind::Conflict);
    Package::of_store(&store, "doubling", "1", None).await.unwrap();

    // A version with the same files is added while they are deleted.
    let (objects, store) = stored(&["1"]).await;
    let (other, added) = (store.clone(), package("2", |_| {}));
    let slow = Between::store(&objects, ("delete", "models/blobs/"), async move {
        added.add_to(&other).await.unwrap();
    });
    assert_eq!(slow.remove("doubling", "1").await.unwrap(), 0);
    Package::of_store(&store, "doubling", "2", None).await.unwrap();

    // They are deleted while it is added.
    let (objects, store) = stored(&["1"]).await;
    let other = store.clone();
    let slow = Between::store(&objects, ("put", "models/manifests/doubling/2.json"), async move {
        other.remove("doubling", "1").await.unwrap();
    });
    package("2", |_| {}).add_to(&slow).await.unwrap();
    Package::of_store(&store, "doubling", "2", None).await.unwrap();

    // It is removed while it is activated.
    let (objects, store) = stored(&["1"]).await;
    let other = store.clone();
    let slow = Between::store(&objects, ("put", "models/active/"), async move {
        other.remove("doubling", "1").await.unwrap();
    });
    assert_eq!(slow.activate("doubling", "1", now()).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(store.active("doubling").await.unwrap(), None);
}
