//! Adapters that keep everything in PostgreSQL, for any number of instances on any number of machines.

mod database;
mod error;
mod health_data;
mod listener;
mod migrations;
mod settings;

pub use database::{Database, DatabaseHealth};
pub use health_data::PostgresHealthData;
pub use migrations::{MigrationState, MigrationStatus};
pub use settings::{InvalidSettings, PlainText, Settings};
