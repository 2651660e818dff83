//! Use cases and the pipeline's steps. Sees `domain`, `ports` and `retina` only.
//!
//! The way of one upload: [`App::receive`] keeps it and answers; the relay ([`App::run_relay`]) moves its intent from the
//! outbox to the queue; the worker ([`App::run_worker`]) computes what it changes and commits that with the job's end.

pub mod accounts;
pub mod analysis;
pub mod audit;
pub mod batch;
pub mod consents;
mod days;
mod deletion;
pub mod erasure;
mod error;
pub mod events;
pub mod export;
pub mod external;
mod fence;
pub mod hours;
pub mod idempotency;
pub mod import;
pub mod ingest;
pub mod insights;
pub mod json;
pub mod lockout;
pub mod offline;
mod platform;
mod preferences;
mod process;
pub mod readings;
pub mod records;
mod relay;
pub mod report;
pub mod requests;
pub mod results;
pub mod retina;
mod screening;
mod segments;
mod settings;
mod sweep;
mod turns;
mod upload;
mod worker;

use std::sync::{Arc, atomic::AtomicBool};

use domain::ids::UserId;
use quick_cache::sync::Cache;

pub use self::{
    error::{AppError, Result},
    platform::Platform,
    settings::Settings,
};
use self::{fence::Fenced, idempotency::InHand, records::Timeline, relay::Relay, turns::Turns};

/// The use cases over one platform.
pub struct App {
    /// The ports.
    pub platform: Platform,
    settings: Arc<Settings>,
    relay: Relay,
    turns: Turns,
    in_hand: InHand,
    /// Timelines as this process last committed them. Only uploads use them: a stale one makes their commit conflict.
    timelines: Cache<UserId, Arc<Timeline>>,
    /// Whether deleted bytes may be left in files: of an erasure that did not get so far, perhaps before this process.
    scrub_due: AtomicBool,
}

/// How many users' timelines are kept in memory.
const TIMELINES: usize = 4096;

impl App {
    /// The use cases over `platform`.
    pub fn new(mut platform: Platform, settings: Settings) -> Self {
        platform.health_data = Arc::new(Fenced(platform.health_data));
        Self {
            platform,
            settings: Arc::new(settings),
            relay: Relay::new(),
            turns: Turns::new(),
            in_hand: InHand::default(),
            timelines: Cache::new(TIMELINES),
            scrub_due: AtomicBool::new(true),
        }
    }
}
