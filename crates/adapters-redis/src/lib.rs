//! What the instances of one deployment share for a short while, kept in Redis.

mod connection;
mod error;
mod settings;
mod shared_state;

pub use settings::{InvalidSettings, PlainText, Settings};
pub use shared_state::RedisSharedState;
