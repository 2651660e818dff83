//! The measures of one night; definitions as in polysomnography and actigraphy reports (AASM 2007).

use std::cmp::Reverse;

use jiff::{Timestamp, civil::Date};

use super::{Nap, Night, Session, SleepStage, StageInterval, merge::Part};
use crate::{
    measures::{Basis, Coverage, Measure, daily::zone_label, in_minutes, source_labels, whole_minutes},
    time::{Interval, timestamp},
};

const NO_SLEEP: &str = "no source told sleep";
const NO_STAGES: &str = "no source told stages";
const NO_WAKE: &str = "no source told sleep from wake";

/// The night of `date`, whose sessions these are; `None` where there is none.
pub(super) fn night(date: Date, mut sessions: Vec<Session<'_>>) -> Option<Night> {
    let length = |session: &Session<'_>| session.end_ms - session.start_ms;
    sessions.sort_by_key(|session| (Reverse((session.asleep_ms, length(session))), session.start_ms));
    let mut sessions = sessions.into_iter();
    let main = sessions.next()?;
    // Time in bed in which nobody slept is no nap.
    let mut naps: Vec<Nap> =
        sessions.filter(|session| session.asleep_ms > 0).map(|session| nap(&session)).collect();
    naps.sort_by_key(|nap| nap.start);
    let told = Told::new(&main);
    let zone = main.clock.rules();
    Some(Night {
        date,
        start: whole_second(main.start_ms),
        end: whole_second(main.end_ms),
        zone: zone_label(&zone, main.wake_ms),
        total_sleep_time: told.total_sleep_time(),
        time_in_bed: told.time_in_bed(),
        sleep_efficiency: told.efficiency(),
        sleep_onset_latency: told.latency(),
        wake_after_sleep_onset: told.wake_after_onset(),
        awakenings: told.awakenings(),
        core: told.stage(SleepStage::AsleepCore, "time in asleepCore"),
        deep: told.stage(SleepStage::AsleepDeep, "time in asleepDeep"),
        rem: told.stage(SleepStage::AsleepREM, "time in asleepREM"),
        unspecified: told.unspecified(),
        midpoint: told.midpoint(&zone),
        naps,
        intervals: intervals(&main.parts),
    })
}

fn nap(session: &Session<'_>) -> Nap {
    Nap {
        start: whole_second(session.start_ms),
        end: whole_second(session.end_ms),
        total_sleep_time: Told::new(session).total_sleep_time(),
    }
}

/// The shipped phone apps refuse fractional seconds.
fn whole_second(instant_ms: i64) -> Timestamp {
    timestamp(instant_ms.div_euclid(1000) * 1000)
}

/// The merged parts as intervals; adjacent ones of one stage become one.
fn intervals(parts: &[Part<'_>]) -> Vec<StageInterval> {
    let mut runs = joined(parts, |stage| stage == SleepStage::InBed);
    runs.extend(joined(parts, |stage| stage != SleepStage::InBed));
    runs.sort_by_key(|(interval, stage)| (*interval, *stage));
    let interval = |(interval, stage): (Interval, SleepStage)| StageInterval {
        start: whole_second(interval.start_ms()),
        end: whole_second(interval.end_ms()),
        stage,
    };
    runs.into_iter().map(interval).collect()
}

fn joined(parts: &[Part<'_>], is_of_layer: fn(SleepStage) -> bool) -> Vec<(Interval, SleepStage)> {
    let mut runs: Vec<(Interval, SleepStage)> = Vec::new();
    for part in parts.iter().filter(|part| is_of_layer(part.stage)) {
        if let Some((run, stage)) = runs.last_mut()
            && *stage == part.stage
            && run.end_ms() == part.interval.start_ms()
        {
            *run = Interval::new(run.start_ms(), part.interval.end_ms()).unwrap_or(*run);
        } else {
            runs.push((part.interval, part.stage));
        }
    }
    runs
}

fn duration_ms<'a>(parts: impl Iterator<Item = &'a Part<'a>>) -> i64 {
    parts.map(|part| part.interval.duration_ms()).sum()
}

/// What the sources told of one session.
struct Told<'a> {
    session: &'a Session<'a>,
    /// From falling asleep to the last moment of sleep; `None` where nobody slept.
    period: Option<Interval>,
}

impl<'a> Told<'a> {
    fn new(session: &'a Session<'a>) -> Self {
        let onset_ms =
            session.parts.iter().find(|part| part.stage.is_asleep()).map(|part| part.interval.start_ms());
        let period = onset_ms.and_then(|onset_ms| Interval::new(onset_ms, session.wake_ms).ok());
        Self { session, period }
    }

    fn parts(&self, is_one: impl Fn(SleepStage) -> bool) -> impl Iterator<Item = &'a Part<'a>> {
        self.session.parts.iter().filter(move |part| is_one(part.stage))
    }

    fn has(&self, is_one: impl Fn(SleepStage) -> bool) -> bool {
        self.parts(is_one).next().is_some()
    }

    /// What a measure of the whole session rests on. Covered is what some source told of sleep or wake.
    fn of_session(&self, unit: &'static str, method: &'static str) -> Basis {
        let covered = duration_ms(self.parts(|stage| stage != SleepStage::InBed));
        let expected = self.session.end_ms - self.session.start_ms;
        let sources = self.session.parts.iter().map(|part| &*part.sample.source);
        Basis {
            unit,
            method,
            coverage: Coverage::minutes(whole_minutes(covered), whole_minutes(expected)),
            sources: source_labels(sources),
        }
    }

    /// What a measure of the period of sleep rests on.
    fn of_period(&self, unit: &'static str, method: &'static str) -> Basis {
        let in_period =
            |part: &&Part<'_>| self.period.and_then(|period| part.interval.intersection(period)).is_some();
        let told: Vec<&Part<'_>> = self.parts(|stage| stage != SleepStage::InBed).filter(in_period).collect();
        let expected = self.period.map_or(0, Interval::duration_ms);
        Basis {
            unit,
            method,
            coverage: Coverage::minutes(
                whole_minutes(duration_ms(told.iter().copied())),
                whole_minutes(expected),
            ),
            sources: source_labels(told.iter().map(|part| &*part.sample.source)),
        }
    }

    fn total_sleep_time(&self) -> Measure {
        let value = self.period.map(|_| in_minutes(self.session.asleep_ms));
        self.of_session("min", "TST (AASM 2007), time asleep").or_not_assessed(value, NO_SLEEP)
    }

    /// When somebody went to bed: `None`, with the reason, where no source told it or all told it too late.
    fn to_bed_ms(&self) -> Result<i64, &'static str> {
        let first = self.parts(|stage| stage == SleepStage::InBed).map(|part| part.interval.start_ms()).min();
        match (first, self.period) {
            (None, _) => Err("no source told the time in bed"),
            (Some(in_bed_ms), Some(period)) if in_bed_ms > period.start_ms() => {
                Err("the time in bed begins after sleep")
            }
            (Some(in_bed_ms), _) => Ok(in_bed_ms),
        }
    }

    /// The union of both layers: who sleeps, or wakes between, is in bed.
    fn in_bed_ms(&self) -> Result<i64, &'static str> {
        self.to_bed_ms()?;
        let mut union_ms = 0;
        let mut end_ms = i64::MIN;
        for part in &self.session.parts {
            let interval = part.interval;
            union_ms += (interval.end_ms() - interval.start_ms().max(end_ms)).max(0);
            end_ms = end_ms.max(interval.end_ms());
        }
        Ok(union_ms)
    }

    fn time_in_bed(&self) -> Measure {
        let basis = self.of_session("min", "TIB (AASM 2007), union of in bed, asleep and awake intervals");
        match self.in_bed_ms() {
            Ok(in_bed_ms) => basis.assessed(in_minutes(in_bed_ms)),
            Err(reason) => basis.not_assessed(reason),
        }
    }

    fn efficiency(&self) -> Measure {
        let basis = self.of_session("%", "SE (AASM 2007), TST / TIB");
        match (self.period, self.in_bed_ms()) {
            (None, _) => basis.not_assessed(NO_SLEEP),
            (_, Err(reason)) => basis.not_assessed(reason),
            (Some(_), Ok(in_bed_ms)) => {
                basis.assessed(100.0 * self.session.asleep_ms as f64 / in_bed_ms as f64)
            }
        }
    }

    fn latency(&self) -> Measure {
        let basis = self.of_session("min", "SOL (AASM 2007), from the first in bed to the first asleep");
        match (self.period, self.to_bed_ms()) {
            (None, _) => basis.not_assessed(NO_SLEEP),
            (_, Err(reason)) => basis.not_assessed(reason),
            (Some(period), Ok(to_bed_ms)) => basis.assessed(in_minutes(period.start_ms() - to_bed_ms)),
        }
    }

    /// The awake intervals in the period of sleep. `None` where no source tells sleep from wake: one that only ever
    /// says "asleep" may have slept through its wearer's waking.
    fn awake(&self) -> Option<Vec<Interval>> {
        let period = self.period?;
        let tells_wake = self.has(|stage| stage == SleepStage::Awake || stage.is_staged());
        tells_wake.then(|| {
            let layer = joined(&self.session.parts, |stage| stage != SleepStage::InBed);
            let awake = layer.into_iter().filter(|(_, stage)| *stage == SleepStage::Awake);
            awake.filter_map(|(interval, _)| interval.intersection(period)).collect()
        })
    }

    fn wake_after_onset(&self) -> Measure {
        let minutes = |awake: Vec<Interval>| in_minutes(awake.into_iter().map(Interval::duration_ms).sum());
        self.of_period("min", "WASO (AASM 2007), awake intervals within the sleep period")
            .or_not_assessed(self.awake().map(minutes), NO_WAKE)
    }

    fn awakenings(&self) -> Measure {
        self.of_period("1", "number of awake intervals within the sleep period")
            .or_not_assessed(self.awake().map(|awake| awake.len() as f64), NO_WAKE)
    }

    fn stage(&self, stage: SleepStage, method: &'static str) -> Measure {
        let has_stages = self.has(SleepStage::is_staged);
        let minutes = has_stages.then(|| in_minutes(duration_ms(self.parts(|one| one == stage))));
        self.of_period("min", method).or_not_assessed(minutes, NO_STAGES)
    }

    fn unspecified(&self) -> Measure {
        let minutes = in_minutes(duration_ms(self.parts(|stage| stage == SleepStage::AsleepUnspecified)));
        self.of_period("min", "time in asleepUnspecified")
            .or_not_assessed(self.period.map(|_| minutes), NO_SLEEP)
    }

    fn midpoint(&self, zone: &jiff::tz::TimeZone) -> Measure {
        let minute_of_day = |period: Interval| {
            let middle_ms = i64::midpoint(period.start_ms(), period.end_ms());
            let local = zone.to_datetime(timestamp(middle_ms));
            let seconds = f64::from(local.second()) + f64::from(local.subsec_nanosecond()) / 1e9;
            f64::from(local.hour()) * 60.0 + f64::from(local.minute()) + seconds / 60.0
        };
        self.of_period("min", "middle of the sleep period (Roenneberg 2003), local minute of day")
            .or_not_assessed(self.period.map(minute_of_day), NO_SLEEP)
    }
}
