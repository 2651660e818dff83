//! The adapters that need nothing installed: `memory` for tests, `embedded` (SQLite and a folder) for people.

mod cloud;
pub mod embedded;
pub mod identity;
pub mod memory;

pub use cloud::{LocalCloud, LocalSettings};
pub use ports::{SystemClock, SystemIds};
