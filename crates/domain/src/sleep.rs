//! Nights and naps from HealthKit's sleep analysis.
//!
//! **Merge.** Each source's samples form sessions, split where it is silent for longer than
//! [`SleepRules::session_gap_minutes`]. Where the sessions of two sources overlap, the source of higher priority tells the
//! whole time of its own session, and the other what lies outside. What a source says of *sleep* (stages, awake) and of
//! being *in bed* is merged apart, because both hold at once: a phone may know when the light went out and a watch what
//! followed. A source that says nothing of the one keeps no other from saying it.
//!
//! **Nights.** The merged timeline is split at the same gap. A session belongs to the local date of its last moment of
//! sleep, by the clock of the reading that tells it, so travellers wake on the date they saw. Of the sessions of one date
//! the one with the most sleep is the night; the others in which somebody slept are naps.
//!
//! **Missing-data rule.** What no source tells is not assessed, never 0; a date without readings has no night.

mod merge;
mod night;

use std::{collections::BTreeMap, sync::Arc};

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use self::merge::Part;
use crate::{
    measures::{Measure, merge::SourcePriority, opaque_debug},
    metric::Metric,
    sample::{Sample, Value},
    time::{LocalClock, MINUTE_MS, local_date},
};

/// A value of `HKCategoryValueSleepAnalysis`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SleepStage {
    /// 0: in bed, asleep or not.
    InBed,
    /// 1: asleep, the stage is not known.
    AsleepUnspecified,
    /// 2: awake during a period of sleep.
    Awake,
    /// 3: light or intermediate sleep.
    AsleepCore,
    /// 4: deep sleep.
    AsleepDeep,
    /// 5: REM sleep.
    #[serde(rename = "asleep_rem")]
    AsleepREM,
}

impl SleepStage {
    /// The stage that HealthKit's code stands for.
    pub fn from_category(code: i32) -> Option<Self> {
        Some(match code {
            0 => Self::InBed,
            1 => Self::AsleepUnspecified,
            2 => Self::Awake,
            3 => Self::AsleepCore,
            4 => Self::AsleepDeep,
            5 => Self::AsleepREM,
            _ => return None,
        })
    }

    /// Whether it is sleep.
    pub fn is_asleep(self) -> bool {
        self == Self::AsleepUnspecified || self.is_staged()
    }

    /// Whether it is sleep of a known stage.
    pub fn is_staged(self) -> bool {
        matches!(self, Self::AsleepCore | Self::AsleepDeep | Self::AsleepREM)
    }
}

/// How nights are told apart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SleepRules {
    /// A longer silence than this separates two sessions, in minutes.
    pub session_gap_minutes: u32,
    /// Which source wins where several overlap.
    pub priority: SourcePriority,
}

impl Default for SleepRules {
    fn default() -> Self {
        Self { session_gap_minutes: 60, priority: SourcePriority::default() }
    }
}

impl SleepRules {
    fn gap_ms(&self) -> i64 {
        i64::from(self.session_gap_minutes) * MINUTE_MS
    }
}

/// One night: the main sleep of a local date.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Night {
    /// The local date of waking.
    pub date: Date,
    /// When the session begins, in bed or asleep; whole seconds.
    pub start: Timestamp,
    /// When it ends; whole seconds.
    pub end: Timestamp,
    /// The zone of waking: an IANA name, or an offset such as `+02:00`.
    pub zone: String,
    /// TST: time asleep, all stages. Unit `min`.
    pub total_sleep_time: Measure,
    /// Time in bed. Unit `min`.
    pub time_in_bed: Measure,
    /// Total sleep time / time in bed. Unit `%`.
    pub sleep_efficiency: Measure,
    /// SOL: from going to bed to falling asleep. Unit `min`.
    pub sleep_onset_latency: Measure,
    /// WASO: time awake between falling asleep and the last moment of sleep. Unit `min`.
    pub wake_after_sleep_onset: Measure,
    /// How often somebody woke in that time and fell asleep again. Unit `1`.
    pub awakenings: Measure,
    /// Time in core sleep. Unit `min`.
    pub core: Measure,
    /// Time in deep sleep. Unit `min`.
    pub deep: Measure,
    /// Time in REM sleep. Unit `min`.
    pub rem: Measure,
    /// Time asleep of which no stage is known. Unit `min`.
    pub unspecified: Measure,
    /// The middle between falling asleep and the last moment of sleep, as the local minute of day. Unit `min`.
    pub midpoint: Measure,
    /// The other sleep of the date, in the order of time.
    pub naps: Vec<Nap>,
    /// What the sources told, merged, in the order of time; intervals in bed overlap with the others.
    pub intervals: Vec<StageInterval>,
}

/// A shorter sleep on the date of a [`Night`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Nap {
    /// When it begins; whole seconds.
    pub start: Timestamp,
    /// When it ends; whole seconds.
    pub end: Timestamp,
    /// Time asleep, all stages. Unit `min`.
    pub total_sleep_time: Measure,
}

/// A time in one stage.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StageInterval {
    /// When it begins; whole seconds.
    pub start: Timestamp,
    /// When it ends; whole seconds.
    pub end: Timestamp,
    /// The stage.
    pub stage: SleepStage,
}

opaque_debug!(Night, Nap, StageInterval);

/// The nights that `samples` tell of, in the order of their dates.
///
/// Readings other than sleep analysis are not looked at. A session at the edge of what is given may be cut: give a day
/// more on each side of the dates asked for.
pub fn nights(samples: &[Sample], rules: &SleepRules) -> Vec<Night> {
    let told: Vec<(&Sample, SleepStage)> = samples.iter().filter_map(told).collect();
    let mut parts = merge::merge(&told, rules);
    parts.sort_by_key(|part| (part.interval, part.stage));
    let mut dates: BTreeMap<Date, Vec<Session<'_>>> = BTreeMap::new();
    for parts in sessions(parts, rules.gap_ms()) {
        let session = Session::new(parts);
        dates.entry(session.date()).or_default().push(session);
    }
    dates.into_iter().filter_map(|(date, sessions)| night::night(date, sessions)).collect()
}

/// What a sample tells of sleep; `None` for other metrics, unknown codes and samples without a length.
fn told(sample: &Sample) -> Option<(&Sample, SleepStage)> {
    let Value::Category(code) = sample.value else { return None };
    let is_sleep = sample.metric == Metric::SLEEP_ANALYSIS && sample.interval.duration_ms() > 0;
    Some((sample, SleepStage::from_category(code).filter(|_| is_sleep)?))
}

/// Splits what is in the order of its starts wherever it is silent for longer than `gap_ms`.
fn sessions<T: merge::Timed>(timeline: Vec<T>, gap_ms: i64) -> Vec<Vec<T>> {
    let mut sessions: Vec<Vec<T>> = Vec::new();
    let mut end_ms = i64::MIN;
    for item in timeline {
        let interval = item.interval();
        match sessions.last_mut() {
            Some(session) if interval.start_ms().saturating_sub(end_ms) <= gap_ms => session.push(item),
            _ => sessions.push(vec![item]),
        }
        end_ms = end_ms.max(interval.end_ms());
    }
    sessions
}

/// Merged parts that belong together; there is at least one.
struct Session<'a> {
    parts: Vec<Part<'a>>,
    clock: Arc<LocalClock>,
    start_ms: i64,
    end_ms: i64,
    /// The last moment of sleep; the session's end where nobody slept.
    wake_ms: i64,
    asleep_ms: i64,
}

impl<'a> Session<'a> {
    fn new(parts: Vec<Part<'a>>) -> Self {
        let last = |parts: &mut dyn Iterator<Item = &Part<'a>>| {
            parts
                .max_by_key(|part| part.interval.end_ms())
                .map(|part| (part.interval.end_ms(), &part.sample.clock))
        };
        let end_ms = parts.iter().map(|part| part.interval.end_ms()).max().unwrap_or(0);
        let woke =
            last(&mut parts.iter().filter(|part| part.stage.is_asleep())).or_else(|| last(&mut parts.iter()));
        let (wake_ms, clock) = woke.map_or_else(
            || (end_ms, Arc::new(LocalClock { offset_seconds: 0, zone: None })),
            |(wake_ms, clock)| (wake_ms, Arc::clone(clock)),
        );
        let asleep_ms =
            parts.iter().filter(|part| part.stage.is_asleep()).map(|part| part.interval.duration_ms()).sum();
        let start_ms = parts.first().map_or(end_ms, |part| part.interval.start_ms());
        Self { parts, clock, start_ms, end_ms, wake_ms, asleep_ms }
    }

    fn date(&self) -> Date {
        local_date(self.wake_ms, &self.clock.rules())
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
