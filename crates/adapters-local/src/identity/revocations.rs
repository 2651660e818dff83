//! Which sessions ended and which users are barred, for as long as access tokens of theirs could still verify.
//!
//! A verifier must notice a sign-out at once, in this process and in every other one of the data folder, and must not ask
//! the database for each request. So each revocation is appended to one file, and synced, inside the transaction that makes
//! the change in the database and before its commit: a change that was acknowledged is in the file whatever is killed when,
//! and a change that was not committed has at worst ended a session too early. `check` compares the file's length with
//! what it has read, which is one `stat`, and reads on where there is more.
//!
//! The file is append-only. Opening it leaves out what has expired and puts a new file in its place; a reader notices the
//! other inode (its own cannot be given to another file while it holds it open) and reads it from the start. Each record
//! carries a checksum: a torn one at the end was never acknowledged and the next append overwrites it; anything else that
//! does not fit means that revocations were lost, and then every key is replaced so that no token outlives its revocation.
//!
//! Sessions and users are named by hashes of their ids: who was erased is revoked for a while longer, and named nowhere.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use domain::ids::{SessionId, UserId};
use jiff::Timestamp;
use ports::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{files, rows};
use crate::embedded::io_error;

const OPERATION: &str = "identity.revocations";
const RECORD: usize = 40;
/// A token may be signed this long after the instant it names, and clocks are moved.
const SLACK: Duration = Duration::from_mins(2);

/// What is revoked, or given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    Session(SessionId),
    /// Of several marks of one user the one with the highest version counts, in whatever order they arrive.
    User {
        user_id: UserId,
        version: u64,
        barred: bool,
    },
}

/// What is known of a session and its user.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    pub(super) session_ended: bool,
    pub(super) user_barred: bool,
    /// How often the file was another one.
    pub(super) generation: u64,
}

/// Stands for a session or a user.
type Name = [u8; 16];

fn name(kind: &[u8], id: Uuid) -> Name {
    let digest = Sha256::new().chain_update(kind).chain_update(id.as_bytes()).finalize();
    let mut name = Name::default();
    name.copy_from_slice(&digest[..16]);
    name
}

fn session_name(id: SessionId) -> Name {
    name(b"session", id.0)
}

fn user_name(id: UserId) -> Name {
    name(b"user", id.0)
}

#[derive(Clone, Copy)]
enum Named {
    Session,
    User { version: u64, barred: bool },
}

#[derive(Clone, Copy)]
struct Record {
    name: Name,
    named: Named,
    until: i64,
}

impl Record {
    fn new(mark: Mark, until: i64) -> Self {
        match mark {
            Mark::Session(id) => Self { name: session_name(id), named: Named::Session, until },
            Mark::User { user_id, version, barred } => {
                Self { name: user_name(user_id), named: Named::User { version, barred }, until }
            }
        }
    }

    fn encode(&self) -> [u8; RECORD] {
        let (kind, version) = match self.named {
            Named::Session => (3, 0),
            Named::User { version, barred: false } => (4, version),
            Named::User { version, barred: true } => (5, version),
        };
        let mut bytes = [0; RECORD];
        bytes[..16].copy_from_slice(&self.name);
        bytes[16..24].copy_from_slice(&self.until.to_le_bytes());
        bytes[24..32].copy_from_slice(&version.to_le_bytes());
        bytes[32] = kind;
        let sum = Sha256::digest(&bytes[..36]);
        bytes[36..].copy_from_slice(&sum[..4]);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let sum = Sha256::digest(bytes.get(..36)?);
        if bytes.get(36..)? != &sum[..4] {
            return None;
        }
        let version = u64::from_le_bytes(bytes[24..32].try_into().ok()?);
        let named = match bytes[32] {
            3 => Named::Session,
            kind @ (4 | 5) => Named::User { version, barred: kind == 5 },
            _ => return None,
        };
        let until = i64::from_le_bytes(bytes[16..24].try_into().ok()?);
        Some(Self { name: bytes[..16].try_into().ok()?, named, until })
    }
}

#[derive(Default)]
struct State {
    sessions: HashMap<Name, i64>,
    users: HashMap<Name, UserMark>,
    file: Option<File>,
    inode: u64,
    /// How far the file was read.
    length: u64,
    /// How often the file was another one: the keys may be others then as well.
    generation: u64,
}

struct UserMark {
    version: u64,
    barred: bool,
    until: i64,
}

impl State {
    fn insert(&mut self, record: Record) {
        let Record { name, named, until } = record;
        match named {
            Named::Session => {
                self.sessions.insert(name, until);
            }
            Named::User { version, barred } => {
                if self.users.get(&name).is_none_or(|known| known.version <= version) {
                    self.users.insert(name, UserMark { version, barred, until });
                }
            }
        }
    }

    fn records(&self) -> impl Iterator<Item = Record> {
        let sessions = self.sessions.iter().map(|(name, until)| Record {
            name: *name,
            named: Named::Session,
            until: *until,
        });
        let users = self.users.iter().map(|(name, user)| Record {
            name: *name,
            named: Named::User { version: user.version, barred: user.barred },
            until: user.until,
        });
        sessions.chain(users)
    }

    fn forget(&mut self, now: i64) {
        self.sessions.retain(|_, until| *until > now);
        self.users.retain(|_, user| user.until > now);
    }

    /// Reads what was appended to the file since, up to the first record that is not whole. `false` where a whole one
    /// follows it.
    fn read_on(&mut self) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(true) };
        let end = file.metadata()?.len();
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(self.length)).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, self.length)?;
        let mut records = bytes.chunks_exact(RECORD).map(Record::decode);
        for record in records.by_ref() {
            let Some(record) = record else { break };
            self.insert(record);
            self.length += RECORD as u64;
        }
        Ok(records.all(|record| record.is_none()))
    }

    /// Reads the file at `path`, from the start where it is another one.
    fn catch_up(&mut self, path: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.ino() != self.inode || metadata.len() < self.length {
            *self = Self {
                inode: metadata.ino(),
                file: Some(file),
                generation: self.generation + 1,
                ..Self::default()
            };
        }
        if self.read_on()? {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a record is damaged"))
        }
    }
}

/// The revocations of a data folder, or of this value where there is no folder. Clones share them.
#[derive(Clone)]
pub(super) struct Revocations {
    path: Option<Arc<PathBuf>>,
    state: Arc<RwLock<State>>,
    /// How long an access token lives.
    lifetime: Duration,
}

impl Revocations {
    pub(super) fn memory(lifetime: Duration) -> Self {
        Self { path: None, state: Arc::default(), lifetime }
    }

    /// Opens the file of `folder`, and compacts it. Also tells whether revocations may have been lost.
    pub(super) fn open(folder: &Path, lifetime: Duration, now: Timestamp) -> Result<(Self, bool)> {
        let path = folder.join("revocations");
        let read = || -> io::Result<(State, bool)> {
            let _lock = files::lock(&path.with_extension("lock"))?;
            let mut state = State::default();
            let lost = match state.catch_up(&path) {
                Ok(()) => false,
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) =>
                {
                    true
                }
                Err(error) => return Err(error),
            };
            state.forget(now.as_second());
            let content: Vec<u8> = state.records().flat_map(|record| record.encode()).collect();
            let length = state.file.as_ref().map(File::metadata).transpose()?.map(|metadata| metadata.len());
            if length != Some(content.len() as u64) && !lost {
                files::replace(&path, &content)?;
                state.catch_up(&path)?;
            }
            Ok((state, lost))
        };
        let (state, lost) = read().map_err(|error| io_error(OPERATION, error))?;
        let revocations = Self { path: Some(Arc::new(path)), state: Arc::new(RwLock::new(state)), lifetime };
        Ok((revocations, lost))
    }

    /// Starts a new file where the old one was lost. Call it when the keys are new, and not before: a crash in between must
    /// find the loss again.
    pub(super) fn renew(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let renew = || {
            let _lock = files::lock(&path.with_extension("lock"))?;
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let content: Vec<u8> = state.records().flat_map(|record| record.encode()).collect();
            files::replace(path, &content)?;
            state.catch_up(path)
        };
        renew().map_err(|error| io_error(OPERATION, error))
    }

    /// Records `marks`; when this returns they survive a crash, and this process heeds them.
    pub(super) async fn append(&self, marks: Vec<Mark>, now: Timestamp) -> Result<()> {
        let until = rows::after(now, self.lifetime + SLACK).as_second();
        let records: Vec<_> = marks.into_iter().map(|mark| Record::new(mark, until)).collect();
        let Some(path) = self.path.clone() else {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.forget(now.as_second());
            for record in records {
                state.insert(record);
            }
            return Ok(());
        };
        let state = Arc::clone(&self.state);
        let written = tokio::task::spawn_blocking(move || write(&path, &state, &records)).await;
        let written =
            written.map_err(|error| Error::new(ErrorKind::Unavailable, OPERATION).with_cause(error))?;
        written.map_err(|error| io_error(OPERATION, error))
    }

    /// The highest version of the marks of a user.
    pub(super) fn version(&self, user_id: UserId) -> Result<Option<u64>> {
        self.with_state(|state| state.users.get(&user_name(user_id)).map(|user| user.version))
    }

    /// How a session and its user stand.
    pub(super) fn standing(
        &self,
        user_id: UserId,
        session_id: SessionId,
        now: Timestamp,
    ) -> Result<Standing> {
        let now = now.as_second();
        self.with_state(|state| Standing {
            // Hashing costs more than the look-up, and mostly there is nothing to look up.
            session_ended: !state.sessions.is_empty()
                && state.sessions.get(&session_name(session_id)).is_some_and(|until| *until > now),
            user_barred: !state.users.is_empty()
                && state.users.get(&user_name(user_id)).is_some_and(|user| user.barred && user.until > now),
            generation: state.generation,
        })
    }

    fn with_state<T>(&self, answer: impl FnOnce(&State) -> T) -> Result<T> {
        let Some(path) = &self.path else {
            return Ok(answer(&self.state.read().unwrap_or_else(PoisonError::into_inner)));
        };
        let metadata = fs::metadata(&**path).map_err(|error| io_error(OPERATION, error))?;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.inode == metadata.ino() && state.length == metadata.len() {
            return Ok(answer(&state));
        }
        drop(state);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.catch_up(path).map_err(|error| io_error(OPERATION, error))?;
        Ok(answer(&state))
    }
}

fn write(path: &Path, state: &RwLock<State>, records: &[Record]) -> io::Result<()> {
    // The state is locked only to be read into: a verifier must not wait for a disk.
    let catch_up = || {
        let mut state = state.write().unwrap_or_else(PoisonError::into_inner);
        state.catch_up(path).map(|()| state.length)
    };
    let _lock = files::lock(&path.with_extension("lock"))?;
    let whole = catch_up()?;
    let mut file = File::options().append(true).open(path)?;
    if file.metadata()?.len() > whole {
        file.set_len(whole)?;
    }
    file.write_all(&records.iter().flat_map(Record::encode).collect::<Vec<_>>())?;
    file.sync_data()?;
    catch_up().map(drop)
}
