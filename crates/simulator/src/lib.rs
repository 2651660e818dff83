//! A deterministic simulator of one person's HealthKit data.
//!
//! It lives a person minute by minute (nights with stages, walks, runs, weekends, one missed night, one flight to the
//! west), lets an Apple Watch and an iPhone record that life in part and over each other, and writes the recordings
//! down as phones send them. What the person truly did is there too, so that a test can compare.
//!
//! The same settings give the same bytes. Nothing is read: no clock, no file, no randomness but the seed's.

mod calendar;
mod devices;
mod dice;
mod export_xml;
mod formats;
mod person;
#[cfg(test)]
mod tests;
mod truth;

use jiff::civil::Date;

use crate::{
    calendar::Calendar,
    devices::{Reading, Strap},
    dice::Dice,
    person::Life,
};
pub use truth::DayTruth;

/// What to simulate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SimulatorSettings {
    /// How many local days, from 1 to 1,000.
    ///
    /// From 3 on, one night is missed (no sleep samples and no heart rate); from 6 on there is a flight two thirds
    /// through, if a place lies four to nine hours to the west.
    pub days: u16,
    /// The person, so to speak.
    pub seed: u64,
    /// The first local day. The night that ends on it is part of the simulation, so the recordings begin on the evening
    /// before.
    pub start: Date,
    /// The IANA zone of the person's home, such as `Europe/Berlin`.
    pub zone: String,
}

/// Settings that cannot be simulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not from 1 to 1,000.
    #[error("simulate 1 to 1,000 days")]
    Days,
    /// Not in the time zone database.
    #[error("not an IANA time zone name")]
    UnknownZone,
    /// Not in the years 1971 to 9990.
    #[error("simulate days of the years 1971 to 9990")]
    StartOutOfRange,
}

/// A person's simulated life and its recordings.
pub struct Simulation {
    calendar: Calendar,
    life: Life,
    readings: Vec<Reading>,
    truth: Vec<DayTruth>,
    seed: u64,
    strap_seconds: Option<u16>,
}

impl Simulation {
    /// Simulates.
    ///
    /// # Errors
    /// When the settings cannot be simulated.
    pub fn new(settings: &SimulatorSettings) -> Result<Self, SettingsError> {
        if !(1..=1_000).contains(&settings.days) {
            return Err(SettingsError::Days);
        }
        if !(1971..=9990).contains(&settings.start.year()) {
            return Err(SettingsError::StartOutOfRange);
        }
        let calendar = Calendar::new(settings, &mut Dice::new(settings.seed, 1))?;
        let life = Life::new(&calendar, &mut Dice::new(settings.seed, 2));
        let readings = devices::record(&calendar, &life, settings.seed);
        let truth = truth::of(&calendar, &life, &readings);
        Ok(Self { calendar, life, readings, truth, seed: settings.seed, strap_seconds: None })
    }

    /// Lets the person wear a chest strap whenever they wear the watch, whose app writes a heart rate each so many seconds: at
    /// one second, some 83,000 readings a day. HealthKit uploads and `export.xml` hold them.
    #[must_use]
    pub fn with_chest_strap(mut self, every_seconds: u16) -> Self {
        self.strap_seconds = Some(every_seconds);
        self
    }

    fn strap(&self) -> impl Iterator<Item = Reading> + '_ {
        let strap = |every| Strap::new(&self.calendar, &self.life, self.seed, every);
        self.strap_seconds.map(strap).into_iter().flatten()
    }

    /// What the person truly did, a local day each.
    pub fn truth(&self) -> &[DayTruth] {
        &self.truth
    }
}
