//! Instants, half-open intervals, IANA zones and local days.

use std::fmt;

use jiff::{
    Timestamp,
    civil::Date,
    tz::{Offset, TimeZone},
};
use serde::{Deserialize, Serialize};

/// Milliseconds in a minute, as the instants of this crate count.
pub const MINUTE_MS: i64 = 60_000;

/// A half-open interval `[start, end)` of instants in milliseconds since the Unix epoch; `start <= end`.
///
/// A point reading, such as one heart rate, has `start == end`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Interval {
    start_ms: i64,
    end_ms: i64,
}

/// Why two instants do not make an [`Interval`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the end is before the start")]
pub struct EndBeforeStart;

impl Interval {
    /// The interval `[start_ms, end_ms)`.
    pub fn new(start_ms: i64, end_ms: i64) -> Result<Self, EndBeforeStart> {
        if end_ms < start_ms { Err(EndBeforeStart) } else { Ok(Self { start_ms, end_ms }) }
    }

    /// The first instant, in milliseconds since the Unix epoch.
    pub const fn start_ms(self) -> i64 {
        self.start_ms
    }

    /// The instant after the last, in milliseconds since the Unix epoch.
    pub const fn end_ms(self) -> i64 {
        self.end_ms
    }

    /// How long it lasts, in milliseconds.
    pub const fn duration_ms(self) -> i64 {
        self.end_ms - self.start_ms
    }

    /// What both cover; `None` where they share no time.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let (start_ms, end_ms) = (self.start_ms.max(other.start_ms), self.end_ms.min(other.end_ms));
        (start_ms < end_ms).then_some(Self { start_ms, end_ms })
    }
}

/// An IANA time zone by its name, known to the bundled time zone database.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ZoneName(std::sync::Arc<str>);

/// A name that is not in the time zone database.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an IANA time zone name")]
pub struct UnknownZone;

impl ZoneName {
    /// Checks `name` against the bundled database.
    pub fn new(name: &str) -> Result<Self, UnknownZone> {
        match TimeZone::get(name) {
            Ok(zone) => Ok(Self(zone.iana_name().unwrap_or(name).into())),
            Err(_) => Err(UnknownZone),
        }
    }

    /// The name, such as `Europe/Paris`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The zone's rules. The name was checked when it was made; a database that has since lost it reads as UTC.
    pub fn rules(&self) -> TimeZone {
        TimeZone::get(&self.0).unwrap_or(TimeZone::UTC)
    }
}

impl TryFrom<String> for ZoneName {
    type Error = UnknownZone;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<ZoneName> for String {
    fn from(zone: ZoneName) -> Self {
        zone.0.as_ref().to_owned()
    }
}

impl fmt::Debug for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a reading was taken, as far as the phone said: the offset that its timestamp carried, and the zone if it named one.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct LocalClock {
    /// Offset from UTC in seconds, east positive, as the timestamp carried it.
    pub offset_seconds: i32,
    /// The IANA zone, from `HKTimeZone` metadata or the upload's device.
    pub zone: Option<ZoneName>,
}

impl LocalClock {
    /// The rules that turn this reading's instants into local time: the zone where one is known (it also knows what the
    /// offset was on other days), else the offset of the timestamp.
    pub fn rules(&self) -> TimeZone {
        match &self.zone {
            Some(zone) => zone.rules(),
            None => Offset::from_seconds(self.offset_seconds).map_or(TimeZone::UTC, TimeZone::fixed),
        }
    }
}

/// The local calendar date of an instant. Instants outside jiff's range (years -9999 to 9999) clamp to its ends.
pub fn local_date(instant_ms: i64, zone: &TimeZone) -> Date {
    timestamp(instant_ms).to_zoned(zone.clone()).date()
}

/// The UTC calendar date of an instant.
pub fn utc_date(instant_ms: i64) -> Date {
    local_date(instant_ms, &TimeZone::UTC)
}

/// The instants of a local calendar day: 23, 24 or 25 hours, by the zone's rules.
pub fn day_interval(date: Date, zone: &TimeZone) -> Interval {
    let start = |date: Date| {
        zone.to_ambiguous_zoned(date.at(0, 0, 0, 0))
            .compatible()
            .map_or(i64::MAX, |zoned| zoned.timestamp().as_millisecond())
    };
    let start_ms = start(date);
    let end_ms = date.tomorrow().map_or(start_ms, start);
    Interval { start_ms, end_ms: end_ms.max(start_ms) }
}

/// The instant as jiff knows it. Values beyond jiff's range clamp to its ends.
pub fn timestamp(instant_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(instant_ms).unwrap_or(if instant_ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(date: Date, zone: &str) -> i64 {
        day_interval(date, &ZoneName::new(zone).unwrap().rules()).duration_ms() / 3_600_000
    }

    #[test]
    fn days_of_a_zone_with_summer_time_have_23_24_or_25_hours() {
        assert_eq!(hours(Date::constant(2026, 3, 29), "Europe/Berlin"), 23);
        assert_eq!(hours(Date::constant(2026, 6, 1), "Europe/Berlin"), 24);
        assert_eq!(hours(Date::constant(2026, 10, 25), "Europe/Berlin"), 25);
    }

    #[test]
    fn a_day_that_begins_in_the_gap_begins_after_it() {
        // Santiago skips midnight when summer time begins.
        let zone = ZoneName::new("America/Santiago").unwrap().rules();
        let day = day_interval(Date::constant(2026, 9, 6), &zone);
        assert_eq!(day.duration_ms(), 23 * 3_600_000);
        assert_eq!(local_date(day.start_ms(), &zone), Date::constant(2026, 9, 6));
    }

    #[test]
    fn unknown_zones_are_refused() {
        assert_eq!(ZoneName::new("Mars/Olympus"), Err(UnknownZone));
        assert!(serde_json::from_str::<ZoneName>("\"../etc/passwd\"").is_err());
    }

    #[test]
    fn intervals_that_only_touch_share_nothing() {
        let a = Interval::new(0, 10).unwrap();
        assert_eq!(a.intersection(Interval::new(10, 20).unwrap()), None);
        assert_eq!(a.intersection(Interval::new(9, 20).unwrap()), Interval::new(9, 10).ok());
        assert_eq!(Interval::new(1, 0), Err(EndBeforeStart));
    }
}
