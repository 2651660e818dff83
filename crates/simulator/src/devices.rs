//! What watch and phone record of the person.

use uuid::Uuid;

use crate::{
    calendar::{Calendar, Minute},
    dice::Dice,
    person::{Life, Run, Stage},
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    Watch,
    Phone,
    /// A chest strap, whose app writes what it measures without naming a device.
    Strap,
}

/// HealthKit's type identifier and the unit that phones send with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) identifier: &'static str,
    pub(crate) unit: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Measured {
    Quantity { kind: Kind, value: f64 },
    Sleep(i32),
    Workout,
}

/// One HealthKit sample; its times are seconds since the Unix epoch.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) id: Uuid,
    pub(crate) device: Device,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) measured: Measured,
}

pub(crate) mod kind {
    use super::Kind;

    pub(crate) const STEPS: Kind = Kind { identifier: "HKQuantityTypeIdentifierStepCount", unit: "count" };
    pub(crate) const DISTANCE: Kind =
        Kind { identifier: "HKQuantityTypeIdentifierDistanceWalkingRunning", unit: "km" };
    pub(crate) const FLIGHTS: Kind =
        Kind { identifier: "HKQuantityTypeIdentifierFlightsClimbed", unit: "count" };
    pub(crate) const EXERCISE: Kind =
        Kind { identifier: "HKQuantityTypeIdentifierAppleExerciseTime", unit: "min" };
    pub(crate) const ACTIVE_ENERGY: Kind =
        Kind { identifier: "HKQuantityTypeIdentifierActiveEnergyBurned", unit: "kcal" };
    pub(crate) const BASAL_ENERGY: Kind =
        Kind { identifier: "HKQuantityTypeIdentifierBasalEnergyBurned", unit: "kcal" };
    pub(crate) const HEART_RATE: Kind =
        Kind { identifier: "HKQuantityTypeIdentifierHeartRate", unit: "count/min" };
    pub(crate) const RESTING_HEART_RATE: Kind =
        Kind { identifier: "HKQuantityTypeIdentifierRestingHeartRate", unit: "count/min" };
    pub(crate) const HRV: Kind =
        Kind { identifier: "HKQuantityTypeIdentifierHeartRateVariabilitySDNN", unit: "ms" };
    pub(crate) const RESPIRATORY_RATE: Kind =
        Kind { identifier: "HKQuantityTypeIdentifierRespiratoryRate", unit: "count/min" };
    pub(crate) const OXYGEN: Kind =
        Kind { identifier: "HKQuantityTypeIdentifierOxygenSaturation", unit: "%" };
}

/// `HKCategoryValueSleepAnalysis`.
pub(crate) const IN_BED: i32 = 0;
fn sleep_value(stage: Stage) -> i32 {
    match stage {
        Stage::Awake => 2,
        Stage::Core => 3,
        Stage::Deep => 4,
        Stage::Rem => 5,
    }
}

/// Everything that both devices record, in the order of its end, as a phone hands it over.
pub(crate) fn record(calendar: &Calendar, life: &Life, seed: u64) -> Vec<Reading> {
    let mut recorder = Recorder { calendar, life, dice: Dice::new(seed, 3), readings: Vec::new() };
    recorder.watch_windows();
    recorder.phone_steps();
    recorder.exercise();
    recorder.heart_rate();
    recorder.daily();
    recorder.nights();
    for Run { start, end } in &life.runs {
        recorder.push(Device::Watch, *start, *end, Measured::Workout);
    }
    let mut readings = recorder.readings;
    readings.sort_by_key(|reading| (reading.end, reading.start));
    let mut ids = Dice::new(seed, 4);
    for reading in &mut readings {
        reading.id = ids.uuid();
    }
    readings
}

struct Recorder<'s> {
    calendar: &'s Calendar,
    life: &'s Life,
    dice: Dice,
    readings: Vec<Reading>,
}

impl Recorder<'_> {
    fn push(&mut self, device: Device, start: Minute, end: Minute, measured: Measured) {
        self.readings.push(Reading { id: Uuid::nil(), device, start: start * 60, end: end * 60, measured });
    }

    /// A reading at one instant within a minute.
    fn point(&mut self, at: Minute, kind: Kind, value: f64) {
        let second = at * 60 + i64::from(self.dice.below(60));
        let measured = Measured::Quantity { kind, value };
        self.readings.push(Reading {
            id: Uuid::nil(),
            device: Device::Watch,
            start: second,
            end: second,
            measured,
        });
    }

    /// The watch sums up in windows of ten minutes, while it is worn.
    fn watch_windows(&mut self) {
        for (start, end) in runs(self.life, |moment| moment.is_watch_worn) {
            let mut at = start;
            while at < end {
                let window_end = (at + 10 - at.rem_euclid(10)).min(end);
                self.watch_window(at, window_end);
                at = window_end;
            }
        }
    }

    fn watch_window(&mut self, start: Minute, end: Minute) {
        let steps = steps(self.life, start, end);
        if steps > 0.0 {
            self.quantity(Device::Watch, (start, end), kind::STEPS, steps);
            self.quantity(Device::Watch, (start, end), kind::DISTANCE, round(steps * 0.000_74, 1e5));
        }
        let awake = count(start, end, |at| self.life.at(at).stage.is_none());
        let active = round(steps * 0.042 + awake * 0.11, 1e3);
        if active > 0.0 {
            self.quantity(Device::Watch, (start, end), kind::ACTIVE_ENERGY, active);
        }
        let basal = round(count(start, end, |_| true) * 1.17, 1e3);
        self.quantity(Device::Watch, (start, end), kind::BASAL_ENERGY, basal);
    }

    /// The phone counts a little less, in windows of its own that begin and end with a step.
    fn phone_steps(&mut self) {
        for (start, end) in runs(self.life, |moment| moment.is_phone_carried) {
            let mut at = start;
            while at < end {
                let window_end = (at + 7 + Minute::from(self.dice.below(7))).min(end);
                let is_walking = |at: &Minute| self.life.at(*at).steps > 0;
                let (first, last) = ((at..window_end).find(is_walking), (at..window_end).rfind(is_walking));
                if let (Some(first), Some(last)) = (first, last) {
                    self.phone_window(first, last + 1);
                }
                at = window_end;
            }
        }
    }

    fn phone_window(&mut self, start: Minute, end: Minute) {
        let counted: f64 = (start..end).map(|at| f64::from(phone_count(self.life.at(at).steps))).sum();
        self.quantity(Device::Phone, (start, end), kind::STEPS, counted);
        self.quantity(Device::Phone, (start, end), kind::DISTANCE, round(counted * 0.000_71, 1e5));
        if counted > 200.0 && self.dice.chance(400) {
            let floors = f64::from(1 + self.dice.below(3));
            self.quantity(Device::Phone, (start, end), kind::FLIGHTS, floors);
        }
    }

    /// The watch credits minutes of brisk movement.
    fn exercise(&mut self) {
        for (start, end) in runs(self.life, |moment| moment.is_watch_worn && moment.steps >= 100) {
            let minutes = count(start, end, |_| true);
            self.quantity(Device::Watch, (start, end), kind::EXERCISE, minutes);
        }
    }

    /// Every five minutes; the heart follows movement with a lag, and the time of day a little.
    fn heart_rate(&mut self) {
        let mut rate = HEART_RATE_FIRST;
        for at in self.life.minutes() {
            let moment = self.life.at(at);
            rate += (heart_rate_target(self.calendar, self.life, at) - rate) * HEART_RATE_LAG;
            if at.rem_euclid(5) == 0 {
                let noise = self.dice.around_zero(3) as f64;
                if moment.is_watch_worn {
                    self.point(at, kind::HEART_RATE, (rate + noise).round());
                }
            }
        }
    }

    fn daily(&mut self) {
        for (index, day) in self.calendar.days.iter().enumerate() {
            let is_tired = self
                .calendar
                .flight
                .as_ref()
                .is_some_and(|flight| (1..4).contains(&index.wrapping_sub(flight.day)));
            let resting = 57 + self.dice.around_zero(2) + if is_tired { 3 } else { 0 };
            self.point(day.night.wake + 400, kind::RESTING_HEART_RATE, resting as f64);
            let base = if is_tired { 42 } else { 52 };
            for at in [day.night.bed + 150, day.night.bed + 300, day.night.wake + 200, day.night.wake + 500] {
                let variability =
                    (base + self.dice.around_zero(14)) as f64 + f64::from(self.dice.below(10)) / 10.0;
                if self.life.at(at).is_watch_worn {
                    self.point(at, kind::HRV, round(variability, 10.0));
                }
            }
        }
    }

    /// Stages from the watch, time in bed from the phone; nothing at all of the missed night.
    fn nights(&mut self) {
        for day in self.calendar.days.iter().filter(|day| !day.is_missed) {
            let get_up = day.night.wake + 4 + Minute::from(self.dice.below(12));
            self.push(Device::Phone, day.night.bed, get_up, Measured::Sleep(IN_BED));
            for (start, end, stage) in stages(self.life, day.night.bed, day.night.wake) {
                self.push(Device::Watch, start, end, Measured::Sleep(sleep_value(stage)));
            }
            for at in (day.night.bed + 20..day.night.wake).step_by(15) {
                let breaths = 14.0 + self.dice.around_zero(3) as f64 / 2.0;
                self.point(at, kind::RESPIRATORY_RATE, breaths);
            }
            for at in (day.night.bed + 25..day.night.wake).step_by(30) {
                // HealthKit's percent is a fraction.
                let saturation = (97 + self.dice.around_zero(2)) as f64;
                self.point(at, kind::OXYGEN, round(saturation / 100.0, 100.0));
            }
        }
    }

    fn quantity(&mut self, device: Device, (start, end): (Minute, Minute), kind: Kind, value: f64) {
        self.push(device, start, end, Measured::Quantity { kind, value });
    }
}

const HEART_RATE_FIRST: f64 = 60.0;
const HEART_RATE_LAG: f64 = 0.35;

/// What the heart rate tends to in a minute.
fn heart_rate_target(calendar: &Calendar, life: &Life, at: Minute) -> f64 {
    let moment = life.at(at);
    let hour = calendar.minute_of_day(at) as f64 / 60.0;
    // A triangle with its peak at 17:00 instead of a sine, whose last digits differ from machine to machine.
    let of_day = 4.0 - (hour - 17.0).abs().min(24.0 - (hour - 17.0).abs()) * 0.6;
    let target = match moment.stage {
        Some(Stage::Rem | Stage::Awake) => 57.0,
        Some(Stage::Core) => 54.0,
        Some(Stage::Deep) => 51.0,
        None => 66.0 + f64::from(moment.steps) * 0.5,
    };
    target + of_day
}

/// The chest strap's readings in the order of time: a heart rate each so many seconds, whenever the watch is worn too. They
/// are made as they are asked for, as a year of them fills the memory of most machines.
pub(crate) struct Strap<'s> {
    calendar: &'s Calendar,
    life: &'s Life,
    dice: Dice,
    every: i64,
    second: i64,
    end: i64,
    /// The minute that the rate is of.
    minute: Minute,
    rate: f64,
}

impl<'s> Strap<'s> {
    pub(crate) fn new(calendar: &'s Calendar, life: &'s Life, seed: u64, every: u16) -> Self {
        let minutes = life.minutes();
        let (minute, rate) = (minutes.start - 1, HEART_RATE_FIRST);
        let dice = Dice::new(seed, 5);
        let (second, end) = (minutes.start * 60, minutes.end * 60);
        Self { calendar, life, dice, every: i64::from(every.max(1)), second, end, minute, rate }
    }
}

impl Iterator for Strap<'_> {
    type Item = Reading;

    fn next(&mut self) -> Option<Reading> {
        while self.second < self.end {
            let at = self.second;
            self.second += self.every;
            while self.minute < at.div_euclid(60) {
                self.minute += 1;
                let target = heart_rate_target(self.calendar, self.life, self.minute);
                self.rate += (target - self.rate) * HEART_RATE_LAG;
            }
            if self.life.at(self.minute).is_watch_worn {
                let value = (self.rate + self.dice.around_zero(2) as f64).round();
                let measured = Measured::Quantity { kind: kind::HEART_RATE, value };
                let id = self.dice.uuid();
                return Some(Reading { id, device: Device::Strap, start: at, end: at, measured });
            }
        }
        None
    }
}

/// What the phone counts of the steps of a minute.
pub(crate) fn phone_count(steps: u16) -> u16 {
    steps - steps / 20
}

pub(crate) fn steps(life: &Life, start: Minute, end: Minute) -> f64 {
    (start..end).map(|at| f64::from(life.at(at).steps)).sum()
}

/// The intervals of one stage between two minutes.
pub(crate) fn stages(life: &Life, from: Minute, to: Minute) -> Vec<(Minute, Minute, Stage)> {
    let mut found: Vec<(Minute, Minute, Stage)> = Vec::new();
    for at in from..to {
        let Some(stage) = life.at(at).stage else { continue };
        match found.last_mut() {
            Some((_, end, last)) if *last == stage && *end == at => *end = at + 1,
            _ => found.push((at, at + 1, stage)),
        }
    }
    found
}

/// The longest intervals in which every minute is as `is_wanted` says.
fn runs(life: &Life, is_wanted: impl Fn(crate::person::Moment) -> bool) -> Vec<(Minute, Minute)> {
    let mut found: Vec<(Minute, Minute)> = Vec::new();
    for at in life.minutes().filter(|at| is_wanted(life.at(*at))) {
        match found.last_mut() {
            Some((_, end)) if *end == at => *end = at + 1,
            _ => found.push((at, at + 1)),
        }
    }
    found
}

pub(crate) fn count(start: Minute, end: Minute, is_counted: impl Fn(Minute) -> bool) -> f64 {
    (start..end).filter(|at| is_counted(*at)).count() as f64
}

fn round(value: f64, places: f64) -> f64 {
    (value * places).round() / places
}
