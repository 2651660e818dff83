//! A person's local days, also while they travel.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{ToSpan, civil::Date, tz::TimeZone};

use crate::{
    sample::Sample,
    time::{Interval, LocalClock, day_interval, local_date},
};

/// One local day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalDay {
    /// Its date.
    pub date: Date,
    /// Its instants.
    pub interval: Interval,
    /// The clock that the person lived by when it ended.
    pub clock: Arc<LocalClock>,
}

/// The clock that a person lived by at the end of each day, from the readings they made.
///
/// A day begins at midnight where the day before ended and ends at midnight where the person then is. So days follow each
/// other without gap or overlap: a day has 23 to 25 hours at home, more after a flight west and fewer after one east.
pub struct Calendar {
    clocks: BTreeMap<Date, Arc<LocalClock>>,
}

impl Calendar {
    /// Of each day, the clock of its last reading; a reading that names its zone counts before one that does not.
    pub fn new<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Self {
        let mut last: BTreeMap<Date, (bool, i64, i32, Arc<LocalClock>)> = BTreeMap::new();
        for sample in samples {
            let (clock, start_ms) = (&sample.clock, sample.interval.start_ms());
            let rank = (clock.zone.is_some(), start_ms, clock.offset_seconds);
            let held = last.get(&local_date(start_ms, &clock.rules())).map(|held| (held.0, held.1, held.2));
            if held.is_none_or(|held| held < rank) {
                last.insert(
                    local_date(start_ms, &clock.rules()),
                    (rank.0, rank.1, rank.2, Arc::clone(clock)),
                );
            }
        }
        Self { clocks: last.into_iter().map(|(date, held)| (date, held.3)).collect() }
    }

    /// The clock at the end of `date`: its own, or that of the day before where only readings of that day reach into it.
    ///
    /// Nobody knows the clock of a day further from any reading, and to guess it would make days depend on which readings
    /// happen to be at hand.
    pub fn clock(&self, date: Date) -> Option<&Arc<LocalClock>> {
        let yesterday = || date.yesterday().ok().and_then(|yesterday| self.clocks.get(&yesterday));
        self.clocks.get(&date).or_else(yesterday)
    }

    /// The local day `date`; `None` where neither it nor the day before has a reading.
    pub fn day(&self, date: Date) -> Option<LocalDay> {
        let clock = self.clock(date)?;
        let yesterday = date.yesterday().ok().and_then(|yesterday| self.clocks.get(&yesterday));
        let start_ms = day_interval(date, &yesterday.unwrap_or(clock).rules()).start_ms();
        let end_ms = day_interval(date, &clock.rules()).end_ms();
        // A flight over the date line can skip a date: that day has no instants.
        let interval = Interval::new(start_ms, end_ms.max(start_ms)).ok()?;
        Some(LocalDay { date, interval, clock: Arc::clone(clock) })
    }

    /// Successive days up to `last`, as many as asked. A day without a clock has no instants.
    pub fn days_to(&self, last: Date, count: u32) -> Vec<LocalDay> {
        let dates = (0..i64::from(count)).rev().filter_map(|back| last.checked_sub(back.days()).ok());
        let unknown = Arc::new(LocalClock { offset_seconds: 0, zone: None });
        dates
            .filter_map(|date| {
                let nothing = day_interval(date, &TimeZone::UTC).start_ms();
                let empty = Interval::new(nothing, nothing).ok()?;
                let without = LocalDay { date, interval: empty, clock: Arc::clone(&unknown) };
                Some(self.day(date).unwrap_or(without))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::{
        ids::SampleId,
        metric::Metric,
        sample::{Source, Value},
        time::ZoneName,
    };

    fn at(instant: &str, zone: &str) -> Sample {
        let ms = instant.parse::<Timestamp>().unwrap().as_millisecond();
        Sample {
            id: SampleId(Uuid::from_u128(1)),
            metric: Metric::HEART_RATE,
            interval: Interval::new(ms, ms).unwrap(),
            value: Value::Quantity(60.0),
            clock: Arc::new(LocalClock { offset_seconds: 0, zone: ZoneName::new(zone).ok() }),
            source: Arc::new(Source::default()),
            metadata: None,
        }
    }

    #[test]
    fn days_do_not_depend_on_readings_far_away() {
        let near = [at("2026-11-06T10:00:00Z", "Europe/Berlin")];
        let far = [at("2026-11-01T10:00:00Z", "America/New_York"), near[0].clone()];
        let day = Date::constant(2026, 11, 6);
        assert_eq!(Calendar::new(&near).day(day), Calendar::new(&far).day(day));
        assert_eq!(Calendar::new(&far).day(Date::constant(2026, 11, 4)), None);
        let lengths =
            Calendar::new(&far).days_to(day, 3).into_iter().map(|day| day.interval.duration_ms() / 3_600_000);
        assert_eq!(lengths.collect::<Vec<_>>(), [0, 0, 24]);
    }

    fn hours(calendar: &Calendar, day: i8) -> i64 {
        calendar.day(Date::constant(2026, 6, day)).unwrap().interval.duration_ms() / 3_600_000
    }

    #[test]
    fn a_flight_west_makes_one_long_day_and_leaves_no_gap() {
        let calendar = Calendar::new(&[
            at("2026-06-01T10:00:00Z", "Europe/Berlin"),
            at("2026-06-02T06:00:00Z", "Europe/Berlin"),
            at("2026-06-02T20:00:00Z", "America/New_York"),
            at("2026-06-03T20:00:00Z", "America/New_York"),
        ]);
        assert_eq!([1, 2, 3].map(|day| hours(&calendar, day)), [24, 30, 24]);
        for day in 1..3 {
            let (this, next) = (Date::constant(2026, 6, day), Date::constant(2026, 6, day + 1));
            assert_eq!(
                calendar.day(this).unwrap().interval.end_ms(),
                calendar.day(next).unwrap().interval.start_ms()
            );
        }
    }

    #[test]
    fn a_flight_east_makes_one_short_day() {
        let calendar = Calendar::new(&[
            at("2026-06-01T10:00:00Z", "America/New_York"),
            at("2026-06-02T20:00:00Z", "Europe/Berlin"),
        ]);
        assert_eq!([1, 2, 3].map(|day| hours(&calendar, day)), [24, 18, 24]);
    }

    #[test]
    fn without_readings_there_is_no_day() {
        assert_eq!(Calendar::new(&[]).day(Date::constant(2026, 6, 1)), None);
    }
}
