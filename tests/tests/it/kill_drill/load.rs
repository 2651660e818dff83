//! People whose phones upload without end, whatever happens to the server.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use e2e::{Phone, Reading, healthkit, read};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use reqwest::{Method, header::CONTENT_TYPE};
use sha2::{Digest, Sha256};
use tokio::{sync::watch, time::sleep};

use super::verify::{Acknowledged, Ledger, key};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 1440 * MINUTE_MS;
/// Midnight of the first day in Berlin: 6 January 2025.
const BEGIN_MS: i64 = 1_736_118_000_000;
/// A person's day passes with so many uploads.
const UPLOADS_A_DAY: i64 = 8;
/// The most days that pass; the end lies well in the past.
const DAYS_MAX: i64 = 250;

/// Chance from a seed.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// One of `0..bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0.next_u32() % bound
    }

    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn millis(&mut self, low: u32, high: u32) -> Duration {
        Duration::from_millis(self.between(low, high).into())
    }

    fn uuid(&mut self) -> uuid::Uuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// One person and what became of their uploads.
pub(crate) struct Person {
    pub(crate) phone: Phone,
    pub(crate) ledger: Ledger,
    /// Requests that were sent and got no whole answer.
    pub(crate) broken: usize,
    /// Bodies that were given up after such a request.
    pub(crate) abandoned: usize,
    /// Answers that say "later".
    pub(crate) refused: usize,
    /// Answers that should not be.
    pub(crate) unexpected: Vec<String>,
    dice: Dice,
    sent: Vec<Reading>,
    uploads: i64,
}

impl Person {
    pub(crate) fn new(phone: Phone, seed: u64) -> Self {
        Self {
            phone,
            ledger: Ledger::default(),
            broken: 0,
            abandoned: 0,
            refused: 0,
            unexpected: Vec::new(),
            dice: Dice::new(seed),
            sent: Vec::new(),
            uploads: 0,
        }
    }

    /// Uploads until `stop`; the server is at the address that `server` says last.
    pub(crate) async fn live(mut self, server: watch::Receiver<SocketAddr>, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let readings = self.readings();
            self.upload(&readings, &server).await;
            self.uploads += 1;
            let pause = self.dice.millis(5, 50);
            sleep(pause).await;
        }
        self
    }

    async fn upload(&mut self, readings: &[Reading], server: &watch::Receiver<SocketAddr>) {
        let body = healthkit(readings).to_string();
        self.ledger.sent.extend(readings.iter().map(|reading| (key(reading), reading.clone())));
        loop {
            let phone = self.phone.at(*server.borrow());
            let request = phone.request(Method::POST, "healthkit").header(CONTENT_TYPE, "application/json");
            match read(request.body(body.clone())).await {
                Ok(answer) if answer.status == 202 => {
                    return self.ledger.acknowledged.push(Acknowledged {
                        upload_id: answer.body["upload_id"].as_str().unwrap_or_default().to_owned(),
                        keys: readings.iter().map(key).collect(),
                        receipts: answer.body["receipts"].clone(),
                        sha256: hex::encode(Sha256::digest(&body)),
                    });
                }
                Ok(answer) if answer.status == 503 => self.refused += 1,
                Ok(answer) => return self.unexpected.push(format!("{}: {}", answer.status, answer.body)),
                // Nobody listens: nothing was sent.
                Err(error) if error.downcast_ref().is_some_and(reqwest::Error::is_connect) => {}
                Err(_) => {
                    self.broken += 1;
                    if self.dice.percent(25) {
                        self.abandoned += 1;
                        return;
                    }
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What the next upload holds: a few new readings, now and then some of earlier ones again, now and then so many that
    /// the body is kept as an object.
    fn readings(&mut self) -> Vec<Reading> {
        let count = if self.dice.percent(8) { self.dice.between(250, 500) } else { self.dice.between(1, 12) };
        let today = (self.uploads / UPLOADS_A_DAY).min(DAYS_MAX);
        let late = if self.dice.percent(10) { i64::from(self.dice.below(4)) } else { 0 };
        let day_ms = BEGIN_MS + (today - late).max(0) * DAY_MS;
        let mut readings: Vec<Reading> = (0..count).map(|_| self.reading(day_ms)).collect();
        if !self.sent.is_empty() && self.dice.percent(35) {
            for _ in 0..self.dice.between(1, 10) {
                let at = self.dice.below(u32::try_from(self.sent.len()).unwrap_or(u32::MAX));
                readings.push(self.sent[at as usize].clone());
            }
        }
        self.sent.extend_from_slice(&readings[..count as usize]);
        readings
    }

    fn reading(&mut self, day_ms: i64) -> Reading {
        let metric = self.dice.below(5) as usize;
        // Whole milliseconds, so that times between seconds are tried, too.
        let within_ms = i64::from(self.dice.below(86_400_000));
        let tenth = |value: u32| f64::from(value) / 10.0;
        let (start_ms, length_ms, value) = match metric {
            0 => (within_ms, 0, tenth(self.dice.between(400, 1_800))),
            1 => (within_ms, MINUTE_MS, f64::from(self.dice.between(1, 150))),
            2 => (within_ms, MINUTE_MS, tenth(self.dice.between(1, 120))),
            3 => (within_ms, 0, tenth(self.dice.between(100, 1_200))),
            // Between midnight and seven: days of sleep in one piece are nobody's.
            _ => (within_ms % (7 * 60 * MINUTE_MS), 10 * MINUTE_MS, f64::from(self.dice.between(3, 5))),
        };
        let start_ms = day_ms + start_ms;
        Reading { id: self.dice.uuid(), metric, start_ms, end_ms: start_ms + length_ms, value }
    }
}
