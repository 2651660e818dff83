//! Sets of calendar days, small when the days follow each other.

use jiff::{ToSpan, civil::Date};
use serde::{Deserialize, Serialize};

/// Days as sorted inclusive ranges that neither overlap nor touch.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DayRanges(Vec<(Date, Date)>);

impl DayRanges {
    /// Adds a day.
    pub fn insert(&mut self, day: Date) {
        if self.contains(day) {
            return;
        }
        let at = self.0.partition_point(|(first, _)| *first < day);
        let joins_left = at > 0 && self.0[at - 1].1.tomorrow().is_ok_and(|next| next == day);
        let joins_right = at < self.0.len() && day.tomorrow().is_ok_and(|next| next == self.0[at].0);
        match (joins_left, joins_right) {
            (true, true) => {
                self.0[at - 1].1 = self.0[at].1;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].1 = day,
            (false, true) => self.0[at].0 = day,
            (false, false) => self.0.insert(at, (day, day)),
        }
    }

    /// Whether the day is in the set.
    pub fn contains(&self, day: Date) -> bool {
        let at = self.0.partition_point(|(first, _)| *first <= day);
        at > 0 && day <= self.0[at - 1].1
    }

    /// Whether any day of `[first, last]` is in the set.
    pub fn touches(&self, first: Date, last: Date) -> bool {
        self.0.iter().any(|(from, to)| *from <= last && first <= *to)
    }

    /// The last day at or before `day`.
    pub fn at_or_before(&self, day: Date) -> Option<Date> {
        self.0.iter().rev().find(|(first, _)| *first <= day).map(|(_, last)| (*last).min(day))
    }

    /// The first day at or after `day`.
    pub fn at_or_after(&self, day: Date) -> Option<Date> {
        self.0.iter().find(|(_, last)| *last >= day).map(|(first, _)| (*first).max(day))
    }

    /// The days one by one, in order.
    pub fn iter(&self) -> impl Iterator<Item = Date> {
        self.0.iter().flat_map(|(first, last)| first.series(1.day()).take_while(move |day| day <= last))
    }

    /// In how many ranges they lie.
    pub fn ranges(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last day.
    pub fn last(&self) -> Option<Date> {
        self.0.last().map(|(_, last)| *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i8) -> Date {
        Date::constant(2026, 3, day)
    }

    #[test]
    fn days_in_any_order_become_ranges() {
        let mut days = DayRanges::default();
        for at in [5, 1, 3, 2, 9, 5] {
            days.insert(day(at));
        }
        assert_eq!(days.0, [(day(1), day(3)), (day(5), day(5)), (day(9), day(9))]);
        days.insert(day(4));
        assert_eq!(days.0, [(day(1), day(5)), (day(9), day(9))]);
        assert_eq!(days.iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 9].map(day));
    }

    #[test]
    fn neighbours_are_found_both_ways() {
        let mut days = DayRanges::default();
        for at in [1, 2, 3, 9] {
            days.insert(day(at));
        }
        assert_eq!((days.at_or_before(day(8)), days.at_or_before(day(2))), (Some(day(3)), Some(day(2))));
        assert_eq!((days.at_or_after(day(4)), days.at_or_after(day(10))), (Some(day(9)), None));
        assert!(days.touches(day(3), day(4)) && !days.touches(day(4), day(8)));
    }
}
