//! Adapters that keep everything in PostgreSQL, for any number of instances on any number of machines.

mod cloud;
mod database;
mod error;
mod events;
mod health_data;
mod jobs;
mod listener;
mod migrations;
mod scrubber;
mod settings;

pub use cloud::PostgresCloud;
pub use database::{Database, DatabaseHealth};
pub use events::{EVENT_BACKLOG_MAX, PostgresEventBus};
pub use health_data::PostgresHealthData;
pub use jobs::PostgresJobQueue;
pub use migrations::{MigrationState, MigrationStatus};
pub use scrubber::{PostgresScrubber, Thoroughness};
pub use settings::{InvalidSettings, PlainText, Settings};
