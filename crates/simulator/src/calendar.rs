//! Where the person is, and when their days and nights begin.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, Weekday},
    tz::{Offset, TimeZone},
};

use crate::{SettingsError, SimulatorSettings, dice::Dice};

/// Minutes since the Unix epoch.
pub(crate) type Minute = i64;

const HOUR: Minute = 60;
const FLIGHT: Minute = 8 * HOUR;
/// Places to fly to; the first that is far enough to the west is taken.
const DESTINATIONS: [&str; 5] =
    ["America/New_York", "America/Los_Angeles", "Europe/London", "Asia/Dubai", "Pacific/Honolulu"];

pub(crate) struct Place {
    pub(crate) name: String,
    zone: TimeZone,
}

impl Place {
    fn named(name: &str) -> Result<Self, SettingsError> {
        match TimeZone::get(name) {
            Ok(zone) => Ok(Self { name: name.to_owned(), zone }),
            Err(_) => Err(SettingsError::UnknownZone),
        }
    }

    pub(crate) fn offset(&self, at: Minute) -> Offset {
        self.zone.to_offset(timestamp(at * 60))
    }

    /// The minute that is `offset` minutes from midnight on the local clock of `date`.
    fn minute(&self, date: Date, offset: Minute) -> Result<Minute, SettingsError> {
        let local = date.at(0, 0, 0, 0).checked_add(SignedDuration::from_mins(offset));
        let zoned = local.and_then(|local| self.zone.to_ambiguous_zoned(local).compatible());
        match zoned {
            Ok(zoned) => Ok(zoned.timestamp().as_second().div_euclid(60)),
            Err(_) => Err(SettingsError::StartOutOfRange),
        }
    }
}

pub(crate) struct Flight {
    pub(crate) day: usize,
    pub(crate) departs: Minute,
    pub(crate) lands: Minute,
    to: Place,
}

/// A day of the person's own clock. The day of the flight is longer by the hours that the clock is put back.
pub(crate) struct Day {
    pub(crate) date: Date,
    pub(crate) start: Minute,
    pub(crate) end: Minute,
    /// The night that ends on this day.
    pub(crate) night: Night,
    /// Whether the watch was not worn in that night.
    pub(crate) is_missed: bool,
}

#[derive(Clone, Copy)]
pub(crate) struct Night {
    pub(crate) bed: Minute,
    pub(crate) wake: Minute,
}

pub(crate) struct Calendar {
    home: Place,
    pub(crate) flight: Option<Flight>,
    pub(crate) days: Vec<Day>,
}

impl Calendar {
    pub(crate) fn new(settings: &SimulatorSettings, dice: &mut Dice) -> Result<Self, SettingsError> {
        let home = Place::named(&settings.zone)?;
        let count = usize::from(settings.days);
        let flight = flight(&home, settings.start, count)?;
        let place_on = |day: usize| match &flight {
            Some(flight) if day > flight.day => &flight.to,
            _ => &home,
        };
        let missed = (count >= 3).then_some(count / 3);
        let mut days = Vec::with_capacity(count);
        let mut date = settings.start;
        for index in 0..count {
            let Ok(tomorrow) = date.tomorrow() else { return Err(SettingsError::StartOutOfRange) };
            let (bed, wake) =
                habits(date, flight.as_ref().and_then(|flight| index.checked_sub(flight.day)), dice);
            let place = place_on(index);
            days.push(Day {
                date,
                start: place.minute(date, 0)?,
                end: place_on(index + 1).minute(tomorrow, 0)?,
                night: Night { bed: place.minute(date, bed)?, wake: place.minute(date, wake)? },
                is_missed: missed == Some(index),
            });
            date = tomorrow;
        }
        Ok(Self { home, flight, days })
    }

    pub(crate) fn place(&self, at: Minute) -> &Place {
        match &self.flight {
            Some(flight) if at >= flight.lands => &flight.to,
            _ => &self.home,
        }
    }

    /// Minutes since midnight on the person's clock.
    pub(crate) fn minute_of_day(&self, at: Minute) -> Minute {
        (at + Minute::from(self.place(at).offset(at).seconds()) / 60).rem_euclid(24 * HOUR)
    }

    pub(crate) fn is_flying(&self, at: Minute) -> bool {
        self.flight.as_ref().is_some_and(|flight| (flight.departs..flight.lands).contains(&at))
    }
}

/// A flight two thirds through; none where there is no time for one or no place far enough to the west.
fn flight(home: &Place, start: Date, count: usize) -> Result<Option<Flight>, SettingsError> {
    let day = count * 2 / 3;
    if count < 6 {
        return Ok(None);
    }
    let mut date = start;
    for _ in 0..day {
        let Ok(tomorrow) = date.tomorrow() else { return Err(SettingsError::StartOutOfRange) };
        date = tomorrow;
    }
    let departs = home.minute(date, 11 * HOUR)?;
    for name in DESTINATIONS {
        let to = Place::named(name)?;
        let west = home.offset(departs).seconds() - to.offset(departs).seconds();
        if (4 * 3_600..=9 * 3_600).contains(&west) {
            return Ok(Some(Flight { day, departs, lands: departs + FLIGHT, to }));
        }
    }
    Ok(None)
}

/// When the person goes to bed and wakes, in minutes from midnight of the day of waking. `since_flight` counts days.
fn habits(date: Date, since_flight: Option<usize>, dice: &mut Dice) -> (Minute, Minute) {
    let (bed, wake, spread) = match since_flight {
        // Someone who flew west is tired early and awake early.
        Some(1) => (-3 * HOUR, 4 * HOUR + 50, 15),
        Some(2) => (-2 * HOUR - 10, 5 * HOUR + 30, 15),
        Some(3) => (-HOUR - 30, 6 * HOUR + 10, 15),
        _ if is_weekend(date) => (35, 8 * HOUR + 50, 25),
        _ => (-HOUR - 10, 6 * HOUR + 40, 15),
    };
    (bed + dice.around_zero(spread), wake + dice.around_zero(spread))
}

pub(crate) fn is_weekend(date: Date) -> bool {
    matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// The instant of a second since the Unix epoch. The calendar keeps every instant within jiff's range.
pub(crate) fn timestamp(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}
