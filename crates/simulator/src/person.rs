//! What the person does, minute by minute: the truth that the devices then measure in part.

use jiff::civil::Weekday;

use crate::{
    calendar::{Calendar, Day, Minute, is_weekend},
    dice::Dice,
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Awake,
    Core,
    Deep,
    Rem,
}

/// One minute.
#[derive(Clone, Copy, Default)]
pub(crate) struct Moment {
    pub(crate) steps: u16,
    /// Set between falling asleep and waking up.
    pub(crate) stage: Option<Stage>,
    pub(crate) is_watch_worn: bool,
    pub(crate) is_phone_carried: bool,
    pub(crate) is_running: bool,
}

/// A run, which the watch records as a workout.
pub(crate) struct Run {
    pub(crate) start: Minute,
    pub(crate) end: Minute,
}

pub(crate) struct Life {
    origin: Minute,
    moments: Vec<Moment>,
    pub(crate) runs: Vec<Run>,
}

const HOUR: Minute = 60;
const RUN_AT: Minute = 18 * HOUR;
const RUN_MINUTES: Minute = 32;
/// The watch lies on its charger, and the phone is at hand.
const CHARGING: std::ops::Range<Minute> = 20 * HOUR..20 * HOUR + 50;
/// How likely a walk begins in a minute of each hour, in thousandths.
const WALKS: [u32; 24] = [2, 0, 0, 0, 0, 5, 10, 30, 45, 9, 8, 8, 35, 20, 8, 8, 10, 40, 30, 20, 25, 8, 4, 2];
const WALKS_ON_WEEKENDS: [u32; 24] =
    [4, 0, 0, 0, 0, 0, 0, 0, 10, 15, 30, 45, 30, 15, 20, 25, 20, 15, 12, 12, 25, 10, 6, 4];

impl Life {
    pub(crate) fn new(calendar: &Calendar, dice: &mut Dice) -> Self {
        let origin = calendar.days.first().map_or(0, |day| day.night.bed.min(day.start) - 15);
        let end = calendar.days.last().map_or(origin, |day| day.end);
        let mut life = Self { origin, moments: Vec::new(), runs: Vec::new() };
        life.moments.resize_with(usize::try_from(end - origin).unwrap_or(0), Moment::default);
        for day in &calendar.days {
            life.sleep(day, dice);
        }
        for (index, day) in calendar.days.iter().enumerate() {
            let next_bed = calendar.days.get(index + 1).map_or(day.end, |next| next.night.bed);
            life.run(calendar, day, next_bed);
            life.walk(calendar, day, next_bed, dice);
            life.carry(day, next_bed, dice);
        }
        life.wear(calendar);
        life
    }

    pub(crate) fn minutes(&self) -> std::ops::Range<Minute> {
        self.origin..self.origin + Minute::try_from(self.moments.len()).unwrap_or(0)
    }

    /// The moment at a minute; outside of the simulation nothing happens.
    pub(crate) fn at(&self, at: Minute) -> Moment {
        let index = usize::try_from(at - self.origin).ok();
        index.and_then(|index| self.moments.get(index)).copied().unwrap_or_default()
    }

    fn change(&mut self, minutes: std::ops::Range<Minute>, mut change: impl FnMut(&mut Moment)) {
        for at in minutes {
            let index = usize::try_from(at - self.origin).ok();
            if let Some(moment) = index.and_then(|index| self.moments.get_mut(index)) {
                change(moment);
            }
        }
    }

    /// Cycles of about 90 minutes; deep sleep belongs to the first ones, REM to the last ones.
    fn sleep(&mut self, day: &Day, dice: &mut Dice) {
        let mut at = day.night.bed + 8 + Minute::from(dice.below(13));
        for cycle in 0_i64.. {
            let parts = [
                (Stage::Core, 18),
                (Stage::Deep, (38 - 11 * cycle).max(0)),
                (Stage::Core, 24),
                (Stage::Rem, (8 + 7 * cycle).min(32)),
                (Stage::Awake, 3),
            ];
            for (stage, length) in parts {
                if length == 0 {
                    continue;
                }
                let end = (at + (length + dice.around_zero(3)).max(1)).min(day.night.wake);
                self.change(at..end, |moment| moment.stage = Some(stage));
                at = end;
            }
            if at >= day.night.wake {
                break;
            }
        }
    }

    fn run(&mut self, calendar: &Calendar, day: &Day, next_bed: Minute) {
        let is_due = matches!(day.date.weekday(), Weekday::Tuesday | Weekday::Thursday | Weekday::Sunday);
        let begins = (day.night.wake..next_bed.min(day.end)).find(|at| calendar.minute_of_day(*at) == RUN_AT);
        if let (true, Some(start)) = (is_due, begins) {
            let end = start + RUN_MINUTES;
            self.change(start..end, |moment| moment.is_running = true);
            self.runs.push(Run { start, end });
        }
    }

    fn walk(&mut self, calendar: &Calendar, day: &Day, next_bed: Minute, dice: &mut Dice) {
        let walks = if is_weekend(day.date) { &WALKS_ON_WEEKENDS } else { &WALKS };
        let mut left = 0;
        let mut cadence = 0;
        for at in (day.night.wake + 5)..(next_bed - 5).min(day.end) {
            let hour = usize::try_from(calendar.minute_of_day(at) / HOUR).unwrap_or(0);
            let likely = if calendar.is_flying(at) { 3 } else { walks.get(hour).copied().unwrap_or(0) };
            if left == 0 && dice.chance(likely) {
                left = 2 + dice.below(9);
                cadence = 72 + dice.below(44);
            }
            let wobble = dice.below(9);
            let steps = if self.at(at).is_running {
                158 + wobble
            } else if left > 0 {
                cadence + wobble
            } else {
                0
            };
            left = left.saturating_sub(1);
            self.change(at..at + 1, |moment| moment.steps = u16::try_from(steps).unwrap_or(u16::MAX));
        }
    }

    /// The phone is with the person in most hours, and never on a run.
    fn carry(&mut self, day: &Day, next_bed: Minute, dice: &mut Dice) {
        let mut at = day.night.wake;
        while at < next_bed.min(day.end) {
            let end = (at + HOUR).min(next_bed.min(day.end));
            if dice.chance(720) {
                self.change(at..end, |moment| moment.is_phone_carried = !moment.is_running);
            }
            at = end;
        }
    }

    /// The watch is worn all the time, except on its charger and in the missed night.
    fn wear(&mut self, calendar: &Calendar) {
        let minutes = self.minutes();
        self.change(minutes.clone(), |moment| moment.is_watch_worn = true);
        for at in minutes {
            if CHARGING.contains(&calendar.minute_of_day(at)) && !calendar.is_flying(at) {
                self.change(at..at + 1, |moment| {
                    moment.is_watch_worn = false;
                    moment.is_phone_carried = !moment.is_running;
                });
            }
        }
        for day in calendar.days.iter().filter(|day| day.is_missed) {
            self.change(day.night.bed - HOUR..day.night.wake + 30, |moment| moment.is_watch_worn = false);
        }
    }
}
