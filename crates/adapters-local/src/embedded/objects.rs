//! Objects as files. A file holds its own description, so that both appear, change and go together.

mod file;
mod names;

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use ports::{
    ByteRange, ByteStream, Clock, Cursor, Error, ErrorKind, IdSource, Object, ObjectKey, ObjectMeta,
    ObjectStore, Outcome, Page, PresignedMethod, PutOptions, Result, objects,
};
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    error::{io_error, task_error},
    folder,
    presign::{self, PresignKey},
};
use file::{Incoming, Stored};

/// Bodies up to this size are written and read in one step on another thread.
const SMALL_BYTES_MAX: usize = 256 * 1024;
/// The pieces in which larger bodies are read.
const PIECE_BYTES: usize = 512 * 1024;
/// How many pieces of a body wait to be written.
const PIECES_WAITING_MAX: usize = 4;
const LIST_MAX: usize = 1000;
/// How many folders are remembered to be on the disk.
const KNOWN_FOLDERS_MAX: usize = 10_000;

/// The objects of a data folder.
#[derive(Clone)]
pub struct FolderObjectStore {
    root: Arc<Root>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    presign_key: PresignKey,
    base_url: Arc<str>,
}

/// The folders, as the threads that block see them.
struct Root {
    kept: PathBuf,
    incoming: PathBuf,
    /// Folders below `kept` that are known to survive a crash.
    known: Mutex<HashSet<PathBuf>>,
}

impl FolderObjectStore {
    /// Opens `objects` in `data`, which it makes where it is missing. Presigned URLs begin with `base_url`.
    pub async fn open(
        data: &Path,
        base_url: &str,
        presign_key: PresignKey,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self> {
        const OPERATION: &str = "objects.open";
        let data = data.to_owned();
        let root = spawn_blocking(move || {
            let _lock = folder::open(&data)?;
            Root::open(&data).map_err(|error| io_error(OPERATION, error))
        })
        .await
        .map_err(|error| task_error(OPERATION, error))??;
        Ok(Self { root: Arc::new(root), clock, ids, presign_key, base_url: base_url.into() })
    }

    /// Does `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Root) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let root = Arc::clone(&self.root);
        spawn_blocking(move || work(&root)).await.map_err(|error| task_error(operation, error))?
    }
}

#[async_trait]
impl ObjectStore for FolderObjectStore {
    async fn put(&self, key: &ObjectKey, mut body: ByteStream, options: PutOptions) -> Result<ObjectMeta> {
        const OPERATION: &str = "objects.put";
        file::check_content_type(&options.content_type)?;
        let put = Put { key: key.clone(), version: self.ids.next(), options };
        let mut pieces = Vec::new();
        let mut bytes = 0;
        while let Some(piece) = body.try_next().await? {
            bytes += piece.len();
            pieces.push(piece);
            if bytes > SMALL_BYTES_MAX {
                return self.put_large(OPERATION, put, pieces, body).await;
            }
        }
        self.blocking(OPERATION, move |root| put.write(root, pieces.into_iter())).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<Object>> {
        const OPERATION: &str = "objects.get";
        let key = key.clone();
        let opened = self
            .blocking(OPERATION, move |root| {
                let Some(mut stored) = root.find(OPERATION, &key)? else { return Ok(None) };
                let small = match stored.seek(range)? {
                    length if length <= SMALL_BYTES_MAX as u64 => Some(stored.read_piece(SMALL_BYTES_MAX)?),
                    _ => None,
                };
                Ok(Some((stored, small)))
            })
            .await?;
        let Some((stored, small)) = opened else { return Ok(None) };
        let meta = stored.meta().clone();
        let body = match small {
            Some(piece) => objects::once(piece.unwrap_or_default()),
            None => pieces(stored),
        };
        Ok(Some(Object { meta, body }))
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>> {
        const OPERATION: &str = "objects.head";
        let key = key.clone();
        let found = self.blocking(OPERATION, move |root| root.find(OPERATION, &key)).await?;
        Ok(found.map(|stored| stored.meta().clone()))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        const OPERATION: &str = "objects.delete";
        let key = key.clone();
        self.blocking(OPERATION, move |root| {
            let path = root.path(&key);
            match fs::remove_file(&path) {
                Ok(()) => folder::sync_folder(path.parent().unwrap_or(&root.kept))
                    .map_err(|error| io_error(OPERATION, error).with_outcome(Outcome::Unknown)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(io_error(OPERATION, error)),
            }
        })
        .await
    }

    async fn list(&self, prefix: &str, cursor: Option<&Cursor>, limit: usize) -> Result<Page<ObjectMeta>> {
        const OPERATION: &str = "objects.list";
        let invalid = || Error::new(ErrorKind::InvalidInput, OPERATION);
        if !(1..=LIST_MAX).contains(&limit) {
            return Err(invalid());
        }
        let after = match cursor {
            Some(cursor) => {
                let key = cursor.0.strip_prefix("after:").ok_or_else(invalid)?;
                Some(ObjectKey::new(key).ok().ok_or_else(invalid)?)
            }
            None => None,
        };
        let prefix = prefix.to_owned();
        self.blocking(OPERATION, move |root| root.list(OPERATION, &prefix, after.as_ref(), limit)).await
    }

    async fn presign(&self, key: &ObjectKey, method: PresignedMethod, valid_for: Duration) -> Result<String> {
        presign::url(&self.presign_key, &self.base_url, (key, method), valid_for, self.clock.now())
    }
}

impl FolderObjectStore {
    /// Hands a body to the thread that writes it as it comes in. The object appears only if the body's end is reached: a
    /// caller that leaves, or a body that fails, closes the channel before the end was said.
    async fn put_large(
        &self,
        operation: &'static str,
        put: Put,
        first: Vec<Bytes>,
        mut rest: ByteStream,
    ) -> Result<ObjectMeta> {
        let (sender, mut arriving) = mpsc::channel::<Option<Bytes>>(PIECES_WAITING_MAX);
        let root = Arc::clone(&self.root);
        let writing = spawn_blocking(move || {
            let mut is_whole = false;
            let received = std::iter::from_fn(|| {
                let piece = arriving.blocking_recv()?;
                is_whole = piece.is_none();
                piece
            });
            let incoming = put.receive(&root, first.into_iter().chain(received))?;
            if is_whole {
                put.keep(&root, incoming)
            } else {
                Err(Error::new(ErrorKind::Unavailable, operation))
            }
        });
        let mut failure = None;
        loop {
            let piece = match rest.try_next().await {
                Ok(piece) => piece,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            };
            let is_last = piece.is_none();
            // The receiver is gone only where writing failed, which says why itself.
            if sender.send(piece).await.is_err() || is_last {
                break;
            }
        }
        drop(sender);
        let written = writing.await.map_err(|error| task_error(operation, error))?;
        failure.map_or(written, Err)
    }
}

/// The rest of an object, piece by piece: no thread waits while the reader is slow.
fn pieces(stored: Stored) -> ByteStream {
    let next = |stored: Option<Stored>| async move {
        let Some(mut stored) = stored else { return Ok(None) };
        let read = spawn_blocking(move || stored.read_piece(PIECE_BYTES).map(|piece| (piece, stored)));
        let (piece, stored) = read.await.map_err(|error| task_error("objects.get", error))??;
        Ok(piece.map(|piece| (piece, Some(stored))))
    };
    stream::try_unfold(Some(stored), next).boxed()
}

/// An object that is being put.
struct Put {
    key: ObjectKey,
    version: uuid::Uuid,
    options: PutOptions,
}

impl Put {
    const OPERATION: &str = "objects.put";

    fn write(&self, root: &Root, pieces: impl Iterator<Item = Bytes>) -> Result<ObjectMeta> {
        let incoming = self.receive(root, pieces)?;
        self.keep(root, incoming)
    }

    /// Writes the bytes under a temporary name.
    fn receive(&self, root: &Root, pieces: impl Iterator<Item = Bytes>) -> Result<Incoming> {
        let failed = |error| io_error(Self::OPERATION, error);
        if self.options.if_absent && root.path(&self.key).exists() {
            return Err(Error::new(ErrorKind::Conflict, Self::OPERATION));
        }
        let path = root.incoming.join(self.version.to_string());
        let mut incoming = Incoming::create(path, &self.options.content_type).map_err(failed)?;
        for piece in pieces {
            incoming.write(&piece).map_err(failed)?;
        }
        Ok(incoming)
    }

    /// Gives the bytes their name, once they are whole and on the disk.
    fn keep(&self, root: &Root, mut incoming: Incoming) -> Result<ObjectMeta> {
        let failed = |error| io_error(Self::OPERATION, error);
        let meta = incoming.finish(&self.key, self.version).map_err(failed)?;
        if self.options.sha256.is_some_and(|stated| stated != meta.sha256) {
            return Err(Error::new(ErrorKind::InvalidInput, Self::OPERATION));
        }
        let target = root.path(&self.key);
        let parent = target.parent().unwrap_or(&root.kept);
        root.ensure(parent).map_err(failed)?;
        let named = if self.options.if_absent {
            fs::hard_link(incoming.path(), &target)
        } else {
            fs::rename(incoming.path(), &target)
        };
        named.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::new(ErrorKind::Conflict, Self::OPERATION),
            _ => failed(error),
        })?;
        folder::sync_folder(parent).map_err(|error| failed(error).with_outcome(Outcome::Unknown))?;
        Ok(meta)
    }
}

impl Root {
    fn open(data: &Path) -> io::Result<Self> {
        let objects = data.join("objects");
        let root =
            Self { kept: objects.join("kept"), incoming: objects.join("incoming"), known: Mutex::default() };
        fs::create_dir_all(&root.kept)?;
        fs::create_dir_all(&root.incoming)?;
        folder::sync_folder(&objects)?;
        folder::sync_folder(data)?;
        for entry in fs::read_dir(&root.incoming)? {
            let path = entry?.path();
            // Whoever is writing holds the lock; a writer that died does not.
            if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                fs::remove_file(&path).ok();
            }
        }
        Ok(root)
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        names::path(&self.kept, key)
    }

    fn find(&self, operation: &'static str, key: &ObjectKey) -> Result<Option<Stored>> {
        match File::open(self.path(key)) {
            Ok(file) => Stored::open(operation, file, key).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error(operation, error)),
        }
    }

    /// Makes `folder`, and makes sure that its name and those above it survive a crash. Another process may have made them
    /// and not got so far, so a folder that exists is not enough.
    fn ensure(&self, folder: &Path) -> io::Result<()> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(folder) {
            return Ok(());
        }
        fs::create_dir_all(folder)?;
        for above in folder.ancestors().skip(1).take_while(|above| above.starts_with(&self.kept)) {
            folder::sync_folder(above)?;
        }
        let mut known = known();
        if known.len() >= KNOWN_FOLDERS_MAX {
            known.clear();
        }
        known.insert(folder.to_owned());
        Ok(())
    }

    fn list(
        &self,
        operation: &'static str,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Page<ObjectMeta>> {
        let mut items: Vec<ObjectMeta> = Vec::new();
        let mut is_more = false;
        let mut visit = |key: ObjectKey| -> Result<bool> {
            if items.len() == limit {
                is_more = true;
                return Ok(false);
            }
            // It may have been deleted since its folder was read.
            if let Some(stored) = self.find(operation, &key)? {
                items.push(stored.meta().clone());
            }
            Ok(true)
        };
        names::walk(&self.kept, prefix, after.map(ObjectKey::as_str), &mut visit)
            .map_err(|error| error.into_error(operation))?;
        let next = items.last().filter(|_| is_more).map(|last| Cursor(format!("after:{}", last.key)));
        Ok(Page { items, next })
    }
}
