//! The adapters a person runs: one SQLite file and one folder of objects, shared by any number of processes of one machine.

mod database;
mod error;
mod events;
mod folder;
mod jobs;
mod objects;
mod presign;
mod records;
mod residue;
mod scrubber;
mod secrets;
mod statements;
mod writer;

pub use database::{Database, WriteTransaction};
pub use events::{EVENT_BACKLOG_MAX, SqliteEventBus};
pub use jobs::SqliteJobQueue;
pub use objects::FolderObjectStore;
pub use presign::{Granted, PresignKey, PresignQuery, verify_presigned};
pub use records::SqliteHealthData;
pub use scrubber::DatabaseScrubber;
pub use secrets::FileSecretStore;

pub(crate) use error::{io_error, sql_error};
