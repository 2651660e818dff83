//! Where accounts are kept: rows by kind and key, read and written in transactions. Small, so that the rules above it are
//! written once for memory and SQLite.

mod memory;
mod sqlite;

use async_trait::async_trait;
use ports::Result;

pub(super) use self::{memory::MemoryStore, sqlite::SqliteStore};

/// What a row is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    User,
    Address,
    Session,
    RefreshToken,
    Code,
    Failures,
    Mail,
    SecondFactor,
    Challenge,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Address => "address",
            Self::Session => "session",
            Self::RefreshToken => "refresh_token",
            Self::Code => "code",
            Self::Failures => "failures",
            Self::Mail => "mail",
            Self::SecondFactor => "second_factor",
            Self::Challenge => "challenge",
        }
    }
}

#[derive(Clone)]
pub(super) struct Row {
    pub(super) owner: Option<Vec<u8>>,
    pub(super) expires_at_ms: Option<i64>,
    pub(super) body: String,
}

#[async_trait]
pub(super) trait Store: Send + Sync + 'static {
    /// A transaction that only reads, and waits for no writer.
    async fn read(&self, operation: &'static str) -> Result<Box<dyn Transaction>>;

    /// A transaction that writes: the only one in all processes until it ends. Dropped, it changes nothing.
    async fn begin(&self, operation: &'static str) -> Result<Box<dyn Transaction>>;
}

#[async_trait]
pub(super) trait Transaction: Send {
    async fn get(&mut self, kind: Kind, key: &[u8]) -> Result<Option<Row>>;

    /// The keys and rows of `kind` that belong to `owner`.
    async fn owned(&mut self, kind: Kind, owner: &[u8]) -> Result<Vec<(Vec<u8>, Row)>>;

    async fn put(&mut self, kind: Kind, key: &[u8], row: Row) -> Result<()>;

    async fn delete(&mut self, kind: Kind, key: &[u8]) -> Result<()>;

    /// Deletes a few of the rows that have expired.
    async fn sweep(&mut self, now_ms: i64) -> Result<()>;

    async fn commit(self: Box<Self>) -> Result<()>;
}
