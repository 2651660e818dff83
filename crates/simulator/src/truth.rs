use jiff::{Timestamp, civil::Date};

use crate::{
    calendar::{Calendar, Day, Minute, timestamp},
    devices::{self, Device, Kind, Measured, Reading, kind},
    person::{Life, Stage},
};

/// What happened on one local day.
#[derive(Clone, PartialEq, Debug)]
pub struct DayTruth {
    /// The local date.
    pub date: Date,
    /// The zone of the day's end; on the day of the flight it began in another.
    pub zone: String,
    /// Whether the person flew on this day, which then has more than 24 hours.
    pub is_travel_day: bool,
    /// Whether the watch was not worn in the night that ends on this day.
    pub is_night_missed: bool,
    /// Steps taken, whether or not a device was there to count them.
    pub steps: u32,
    /// What the recordings say if each instant is counted by the watch where it recorded and else by the phone, a
    /// sample's value being spread evenly over its interval. This is what a server should compute, to within one step.
    pub steps_merged: f64,
    /// The sum of all step samples that end on this day: what naive adding gives, much more than was walked.
    pub steps_added: f64,
    /// Active energy that the watch recorded, in kcal.
    pub active_energy_kcal: f64,
    /// When the person went to bed for the night that ends on this day. Known even of the missed night.
    pub bed_at: Timestamp,
    /// When that night's sleep began.
    pub asleep_at: Timestamp,
    /// When it ended.
    pub woke_at: Timestamp,
    /// Minutes in core, deep and REM sleep; `None` of the missed night, of which nothing was recorded.
    pub asleep_minutes: Option<u32>,
    /// Minutes awake between falling asleep and waking; `None` of the missed night.
    pub awake_minutes: Option<u32>,
    /// The resting heart rate that the watch recorded, in beats per minute.
    pub resting_heart_rate: Option<f64>,
}

pub(crate) fn of(calendar: &Calendar, life: &Life, readings: &[Reading]) -> Vec<DayTruth> {
    let merged = merged(life, readings, kind::STEPS);
    let first = life.minutes().start;
    calendar
        .days
        .iter()
        .enumerate()
        .map(|(index, day)| {
            let of_day = || readings.iter().filter(move |reading| is_of(day, reading));
            let added = |wanted: Kind| of_day().filter_map(|reading| quantity(reading, wanted)).sum();
            let slept =
                |is_counted: fn(Stage) -> bool| (!day.is_missed).then(|| slept(life, day, is_counted));
            let stages = devices::stages(life, day.night.bed, day.night.wake);
            let at = |minute: Minute| usize::try_from(minute - first).unwrap_or(0).min(merged.len());
            DayTruth {
                date: day.date,
                zone: calendar.place(day.end - 1).name.clone(),
                is_travel_day: calendar.flight.as_ref().is_some_and(|flight| flight.day == index),
                is_night_missed: day.is_missed,
                steps: (day.start..day.end).map(|at| u32::from(life.at(at).steps)).sum(),
                steps_merged: merged[at(day.start)..at(day.end)].iter().sum(),
                steps_added: added(kind::STEPS),
                active_energy_kcal: added(kind::ACTIVE_ENERGY),
                bed_at: timestamp(day.night.bed * 60),
                asleep_at: timestamp(stages.first().map_or(day.night.bed, |(start, ..)| *start) * 60),
                woke_at: timestamp(day.night.wake * 60),
                asleep_minutes: slept(|stage| stage != Stage::Awake),
                awake_minutes: slept(|stage| stage == Stage::Awake),
                resting_heart_rate: of_day().find_map(|reading| quantity(reading, kind::RESTING_HEART_RATE)),
            }
        })
        .collect()
}

/// Whether a reading ends within a day.
fn is_of(day: &Day, reading: &Reading) -> bool {
    // A window that ends at midnight belongs to the day before.
    let last = (reading.end - 1).max(reading.start);
    (day.start * 60..day.end * 60).contains(&last)
}

pub(crate) fn quantity(reading: &Reading, wanted: Kind) -> Option<f64> {
    match reading.measured {
        Measured::Quantity { kind, value } if kind == wanted => Some(value),
        _ => None,
    }
}

fn slept(life: &Life, day: &Day, is_counted: fn(Stage) -> bool) -> u32 {
    let minutes = day.night.bed..day.night.wake;
    minutes.filter(|at| life.at(*at).stage.is_some_and(is_counted)).map(|_| 1).sum()
}

/// A cumulative quantity by the minute of the simulation: the watch's where it recorded, else the phone's.
pub(crate) fn merged(life: &Life, readings: &[Reading], wanted: Kind) -> Vec<f64> {
    let first = life.minutes().start;
    let mut merged: Vec<Option<f64>> = life.minutes().map(|_| None).collect();
    for device in [Device::Watch, Device::Phone] {
        let of_device = readings.iter().filter(|reading| reading.device == device);
        for (reading, value) in of_device.filter_map(|reading| Some((reading, quantity(reading, wanted)?))) {
            let minutes = reading.start / 60..reading.end / 60;
            let share = value / (minutes.end - minutes.start) as f64;
            for at in minutes {
                if let Some(minute) = usize::try_from(at - first).ok().and_then(|index| merged.get_mut(index))
                {
                    minute.get_or_insert(share);
                }
            }
        }
    }
    merged.into_iter().map(Option::unwrap_or_default).collect()
}
