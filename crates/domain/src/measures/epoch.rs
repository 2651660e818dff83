//! The length of an epoch of activity counts.

use serde::{Deserialize, Serialize};

const DAY_S: u32 = 86_400;

/// How long one epoch lasts: a whole number of seconds of which a whole number makes an hour, so that hours and days are
/// whole epochs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Epoch(u32);

/// A number of seconds that does not divide an hour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an epoch is a whole number of seconds that divides an hour")]
pub struct InvalidEpoch;

impl Epoch {
    /// 60 seconds.
    pub const MINUTE: Self = Self(60);
    /// 30 seconds.
    pub const HALF_MINUTE: Self = Self(30);

    /// An epoch of so many seconds.
    pub const fn seconds(seconds: u32) -> Result<Self, InvalidEpoch> {
        if seconds == 0 || 3600_u32.rem_euclid(seconds) != 0 { Err(InvalidEpoch) } else { Ok(Self(seconds)) }
    }

    /// Its length in seconds.
    pub const fn as_seconds(self) -> u32 {
        self.0
    }

    /// Its length in minutes.
    pub fn as_minutes(self) -> f64 {
        f64::from(self.0) / 60.0
    }

    /// How many epochs a day of 24 hours has.
    pub const fn per_day(self) -> usize {
        (DAY_S / self.0) as usize
    }

    /// How many whole epochs so many minutes have.
    pub const fn in_minutes(self, minutes: u32) -> usize {
        (minutes as usize * 60) / self.0 as usize
    }
}

impl TryFrom<u32> for Epoch {
    type Error = InvalidEpoch;
    fn try_from(seconds: u32) -> Result<Self, Self::Error> {
        Self::seconds(seconds)
    }
}

impl From<Epoch> for u32 {
    fn from(epoch: Epoch) -> Self {
        epoch.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_divides_an_hour() {
        for seconds in [0, 7, 7200] {
            assert_eq!(Epoch::seconds(seconds), Err(InvalidEpoch));
        }
        let epoch = Epoch::seconds(15).unwrap();
        assert_eq!((epoch.per_day(), epoch.in_minutes(30), epoch.as_seconds()), (5760, 120, 15));
        assert_eq!((Epoch::HALF_MINUTE.as_minutes(), Epoch::MINUTE.per_day()), (0.5, 1440));
        assert_eq!(serde_json::from_str::<Epoch>("30").unwrap(), Epoch::HALF_MINUTE);
        assert!(serde_json::from_str::<Epoch>("7").is_err());
    }
}
