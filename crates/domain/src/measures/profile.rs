//! The measures of regularity and rhythm of a person's local days, each with method, coverage and sources: what
//! [`circadian`](super::circadian) does not have.
//!
//! Activity is steps per minute by the person's own clock, sleep is HealthKit's. Methods that were published for
//! accelerometer counts say "of steps per minute".

use jiff::civil::Weekday;
use serde::{Deserialize, Serialize};

use super::{
    Basis, Coverage, Measure,
    activity::MinuteSeries,
    cosinor::cosinor,
    count,
    epoch::Epoch,
    fractal::{dfa, longest_observed},
    opaque_debug,
    regularity::{JetLagRules, TimedNight, sleep_midpoint, sleep_regularity, social_jet_lag},
    rhythm::{
        DayEnds, Layout, Turns, average_daily_total, interdaily_stability_over_widths,
        intradaily_variability_over_widths, mean_day, turns,
    },
    scoring::SleepWake,
    transitions::transitions,
};
use crate::{
    calendar::LocalDay,
    sleep::{Night, SleepStage},
    time::{Interval, MINUTE_MS, day_interval, timestamp},
};

const MINUTES_PER_DAY: usize = 1440;

/// The scales of fluctuation analysis in minutes, as pyActigraphy's examples and Hu et al. 2004 span them.
const DFA_SCALES: [usize; 7] = [10, 20, 40, 80, 160, 320, 640];

const TOO_FEW_DAYS: &str = "too few days were observed for at least half of their minutes";

/// What the measures ask of the data. The numbers are Clarity's own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileRules {
    /// How many local days must have been observed for at least half of their minutes.
    pub days_min: u32,
    /// Above how many steps a minute is active, for transition probabilities.
    pub active_above: f64,
    /// The days of the week that are free of work, Monday being 1.
    pub free_weekdays: Vec<i8>,
    /// What social jet lag asks of the nights.
    pub jet_lag: JetLagRules,
}

impl Default for ProfileRules {
    fn default() -> Self {
        Self { days_min: 7, active_above: 0.0, free_weekdays: vec![6, 7], jet_lag: JetLagRules::default() }
    }
}

/// Regularity and rhythm.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// SRI, -100 to 100. Unit `1`.
    pub sleep_regularity_index: Measure,
    /// The circular mean of the minutes of sleep, as the local minute of day. Unit `min`.
    pub sleep_midpoint: Measure,
    /// MSF - MSW. Unit `min`.
    pub social_jet_lag: Measure,
    /// `MSFsc`, as the local minute of day. Unit `min`.
    pub mid_sleep_free_corrected: Measure,
    /// The cosinor's mean level. Unit `{steps}/min`.
    pub mesor: Measure,
    /// The cosinor's amplitude. Unit `{steps}/min`.
    pub amplitude: Measure,
    /// When the cosinor peaks, as the local minute of day. Unit `min`.
    pub peak: Measure,
    /// The share of the variance that the cosinor explains. Unit `1`.
    pub r_squared: Measure,
    /// α of fluctuation analysis, of the longest stretch without a gap. Unit `1`.
    pub fractal_scaling: Measure,
    /// `kRA`, per minute. Unit `1`.
    pub rest_to_activity: Measure,
    /// `kAR`, per minute. Unit `1`.
    pub activity_to_rest: Measure,
    /// `ISm`. Unit `1`.
    pub interdaily_stability_over_widths: Measure,
    /// `IVm`. Unit `1`.
    pub intradaily_variability_over_widths: Measure,
    /// ADAT, of days of which at least half was observed. Unit `{steps}`.
    pub average_daily_total: Measure,
    /// `AonT`, as the local minute of day. Unit `min`.
    pub activity_onset: Measure,
    /// `AoffT`, as the local minute of day. Unit `min`.
    pub activity_offset: Measure,
}

opaque_debug!(Profile);

/// Computes regularity and rhythm of successive local `days`.
///
/// `series` is what [`local_series`](super::activity::local_series) makes of these days, `nights` what
/// [`nights`](crate::sleep::nights) makes of their sleep.
pub fn profile(days: &[LocalDay], series: &MinuteSeries, nights: &[Night], rules: &ProfileRules) -> Profile {
    let of = Of { series, nights, rules, has_days: observed_days(series) >= rules.days_min };
    let scores = scored_minutes(days, series, nights);
    let x = &series.values;
    let curve = cosinor(x, MINUTES_PER_DAY as f64);
    let curve_reason = "the days were not observed all round the clock, or activity did not vary";
    let cosine = |unit, method, value: Option<f64>| of.activity(unit, method, value, curve_reason);
    let ends = transitions(x, rules.active_above);
    let turn = day_turns(x);
    let widths = "at some width a time of day was never observed, or activity did not vary";
    let no_bouts = "too few bouts of different lengths were observed";
    let no_turn = "an hour of the mean day was never observed, or without a single step";
    let regularity = sleep_regularity(&scores, MINUTES_PER_DAY);
    let (longest, jet_lag) = (longest_observed(x), of.jet_lag());
    Profile {
        sleep_regularity_index: of.sleep(
            "SRI (Phillips 2017), of minutes",
            "1",
            regularity.map(|found| found.index),
            Coverage::minutes(
                regularity.map_or(0, |found| found.observed),
                count(scores.len().saturating_sub(MINUTES_PER_DAY)),
            ),
        ),
        sleep_midpoint: of.sleep(
            "circular mean of the minutes of sleep (Lunsford-Avery 2018), local minute of day",
            "min",
            sleep_midpoint(&scores, Layout::MINUTES),
            Coverage::minutes(count(scores.iter().flatten().count()), count(scores.len())),
        ),
        social_jet_lag: of.nights(
            "SJL (Wittmann 2006), MSF - MSW of HealthKit nights",
            jet_lag.map(|found| found.social_jet_lag_minutes),
        ),
        mid_sleep_free_corrected: of.nights(
            "MSFsc (Roenneberg 2019), of HealthKit nights; alarm clocks are not known",
            jet_lag.map(|found| found.mid_sleep_free_corrected_minute),
        ),
        mesor: cosine("{steps}/min", "mesor of the 24 h cosinor (Nelson 1979), of steps per minute", curve.map(|curve| curve.mesor)),
        amplitude: cosine("{steps}/min", "amplitude of the 24 h cosinor (Nelson 1979), of steps per minute", curve.map(|curve| curve.amplitude)),
        peak: cosine("min", "peak of the 24 h cosinor (Nelson 1979), of steps per minute, local minute of day", curve.map(|curve| curve.peak_epochs)),
        r_squared: cosine("1", "R squared of the 24 h cosinor (Nelson 1979), of steps per minute", curve.map(|curve| curve.r_squared)),
        fractal_scaling: Basis {
            coverage: Coverage::minutes(count(longest.len()), series.minutes()),
            ..of.basis("1", "DFA alpha (Peng 1994), 10 to 640 min, of the longest stretch of steps per minute without a gap")
        }
        .or_not_assessed(dfa(&longest, &DFA_SCALES).map(|found| found.alpha), "no stretch without a gap is long enough"),
        rest_to_activity: of.activity("1", "kRA (Lim 2011), of steps per minute", ends.rest_to_activity, no_bouts),
        activity_to_rest: of.activity("1", "kAR (Lim 2011), of steps per minute", ends.activity_to_rest, no_bouts),
        interdaily_stability_over_widths: of.activity(
            "1",
            "ISm (Goncalves 2014), of steps per minute",
            interdaily_stability_over_widths(x, Epoch::MINUTE).map(|found| found.mean),
            widths,
        ),
        intradaily_variability_over_widths: of.activity(
            "1",
            "IVm (Goncalves 2014), of steps per minute",
            intradaily_variability_over_widths(x, Epoch::MINUTE).map(|found| found.mean),
            widths,
        ),
        average_daily_total: of.activity(
            "{steps}",
            "ADAT (Hammad 2021), days observed for at least half, scaled to whole days",
            average_daily_total(x, Layout::MINUTES, 0.5),
            TOO_FEW_DAYS,
        ),
        activity_onset: of.activity("min", "AonT (Hammad 2021), local minute of day", turn.map(|turn| f64::from(turn.onset_minute)), no_turn),
        activity_offset: of.activity("min", "AoffT (Hammad 2021), local minute of day", turn.map(|turn| f64::from(turn.offset_minute)), no_turn),
    }
}

/// Sleep and wake of each minute of a series of local days.
///
/// A minute is sleep where HealthKit's sleep of a night covers its start, wake where "awake" does or where activity was
/// observed outside of all nights and naps.
///
/// **Missing data.** Any other minute is not scored: neither are those of a nap, of which only the length of sleep is known.
pub fn scored_minutes(days: &[LocalDay], series: &MinuteSeries, nights: &[Night]) -> Vec<Option<SleepWake>> {
    let mut scores: Vec<Option<SleepWake>> =
        series.values.iter().map(|steps| steps.map(|_| SleepWake::Wake)).collect();
    for (index, day) in days.iter().enumerate() {
        let mut paint = |start: jiff::Timestamp, end: jiff::Timestamp, score| {
            for minute in local_minutes(day, start, end) {
                if let Some(slot) = scores.get_mut(index * MINUTES_PER_DAY + minute) {
                    *slot = score;
                }
            }
        };
        for night in nights {
            for nap in &night.naps {
                paint(nap.start, nap.end, None);
            }
            paint(night.start, night.end, None);
            for told in night.intervals.iter().filter(|told| told.stage != SleepStage::InBed) {
                paint(told.start, told.end, Some(SleepWake::asleep_if(told.stage.is_asleep())));
            }
        }
    }
    scores
}

/// The local minutes of `day` whose starts lie between two instants.
fn local_minutes(
    day: &LocalDay,
    start: jiff::Timestamp,
    end: jiff::Timestamp,
) -> impl Iterator<Item = usize> {
    let rules = day.clock.rules();
    let told = Interval::new(start.as_millisecond(), end.as_millisecond()).ok();
    // What the clock at the day's end shows as this date, as `local_series` takes it.
    let window = told
        .and_then(|told| told.intersection(day.interval))
        .and_then(|told| told.intersection(day_interval(day.date, &rules)));
    let (first, last) = window.map_or((0, 0), |window| {
        let up = |ms: i64| ms.div_euclid(MINUTE_MS) + i64::from(ms.rem_euclid(MINUTE_MS) > 0);
        (up(window.start_ms()), up(window.end_ms()))
    });
    (first..last).map(move |minute| {
        let time = rules.to_datetime(timestamp(minute * MINUTE_MS)).time();
        usize::from(time.hour().unsigned_abs()) * 60 + usize::from(time.minute().unsigned_abs())
    })
}

/// How many days were observed for at least half of their minutes.
fn observed_days(series: &MinuteSeries) -> u32 {
    let is_observed = |day: &&[Option<f64>]| 2 * day.iter().flatten().count() >= MINUTES_PER_DAY;
    count(series.values.chunks(MINUTES_PER_DAY).filter(is_observed).count())
}

/// What the measures are of.
struct Of<'a> {
    series: &'a MinuteSeries,
    nights: &'a [Night],
    rules: &'a ProfileRules,
    has_days: bool,
}

impl Of<'_> {
    fn basis(&self, unit: &'static str, method: &'static str) -> Basis {
        Basis {
            unit,
            method,
            coverage: Coverage::minutes(self.series.observed(), self.series.minutes()),
            sources: self.series.sources.clone(),
        }
    }

    /// A measure of activity.
    fn activity(
        &self,
        unit: &'static str,
        method: &'static str,
        value: Option<f64>,
        reason: &str,
    ) -> Measure {
        let basis = self.basis(unit, method);
        if self.has_days { basis.or_not_assessed(value, reason) } else { basis.not_assessed(TOO_FEW_DAYS) }
    }

    /// A measure of minutes of sleep and wake.
    fn sleep(
        &self,
        method: &'static str,
        unit: &'static str,
        value: Option<f64>,
        coverage: Coverage,
    ) -> Measure {
        let basis = Basis { coverage, sources: self.sources(true), ..self.basis(unit, method) };
        if count(self.nights.len()) < self.rules.days_min {
            basis.not_assessed("too few nights are known")
        } else {
            basis.or_not_assessed(value, "no minute was asleep, or none was scored on two successive days")
        }
    }

    /// A measure of whole nights.
    fn nights(&self, method: &'static str, value: Option<f64>) -> Measure {
        let nights = count(self.timed_nights().len());
        let coverage = Coverage {
            observed: nights,
            expected: self.series.minutes() / 1440,
            of: super::CoverageOf::Nights,
        };
        Basis { coverage, sources: self.sources(false), ..self.basis("min", method) }
            .or_not_assessed(value, "too few nights before work days or before free days are known")
    }

    fn jet_lag(&self) -> Option<super::regularity::SocialJetLag> {
        social_jet_lag(&self.timed_nights(), self.rules.jet_lag)
    }

    /// The nights whose middle is known.
    fn timed_nights(&self) -> Vec<TimedNight> {
        let timed = |night: &Night| {
            let asleep = || night.intervals.iter().filter(|told| told.stage.is_asleep());
            let (onset, wake) =
                (asleep().map(|told| told.start).min()?, asleep().map(|told| told.end).max()?);
            let duration_minutes = super::in_minutes(wake.as_millisecond() - onset.as_millisecond());
            Some(TimedNight {
                onset_minute: night.midpoint.value()? - duration_minutes / 2.0,
                duration_minutes,
                is_free: self.is_free(night.date.weekday()),
            })
        };
        self.nights.iter().filter_map(timed).collect()
    }

    fn is_free(&self, weekday: Weekday) -> bool {
        self.rules.free_weekdays.contains(&weekday.to_monday_one_offset())
    }

    fn sources(&self, with_activity: bool) -> Vec<String> {
        let of_nights = self.nights.iter().flat_map(|night| night.total_sleep_time.sources());
        let of_activity = self.series.sources.iter().filter(|_| with_activity);
        let all: std::collections::BTreeSet<&String> = of_nights.chain(of_activity).collect();
        all.into_iter().cloned().collect()
    }
}

/// The turns of a mean day. An hour without a step has no ratio to its neighbours: the first step at night would win.
fn day_turns(x: &[Option<f64>]) -> Option<Turns> {
    let is_still = |hour: &[Option<f64>]| hour.iter().all(|mean| *mean == Some(0.0));
    let has_still_hour = mean_day(x, Layout::MINUTES).windows(60).any(is_still);
    turns(x, Layout::MINUTES, DayEnds::Cut).filter(|_| !has_still_hour)
}

#[cfg(test)]
mod tests;
