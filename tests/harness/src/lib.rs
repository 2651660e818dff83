//! Servers that stand in for the clouds in tests: each is started on a free port of the loopback address, with a folder of its
//! own, and is stopped by its pid. `make emulators` installs them under `.tools`.

mod cognito_local;
mod daemon;
mod keeper;
mod moto;
mod postgres;
mod proxy;
mod redis;

pub use cognito_local::CognitoLocal;
pub use daemon::{Daemon, free_port, tools};
pub use keeper::Keeper;
pub use moto::Moto;
pub use postgres::{Durability, Postgres};
pub use proxy::{Fault, FaultProxy, Weather};
pub use redis::Redis;
