//! How regular sleep is, and when it is.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::{opaque_debug, rhythm::Layout, scoring::SleepWake};

const DAY_MINUTES: f64 = 1440.0;
const NOON_MINUTES: f64 = 720.0;

/// The sleep regularity index.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SleepRegularity {
    /// SRI, from -100 to 100: 100 where every day is as the one before, 0 where chance decides. Without unit.
    pub index: f64,
    /// How many pairs of epochs 24 hours apart were scored.
    pub observed: u32,
    /// How many pairs there were.
    pub expected: u32,
}

opaque_debug!(SleepRegularity);

/// SRI (Phillips, Clerx, O'Brien, et al.: Irregular sleep/wake patterns are associated with poorer academic performance and
/// delayed circadian and sleep/wake timing. Sci Rep 2017;7:3216): `-100 + 200 / (M (N-1)) Σ δ(s_{i,j}, s_{i+1,j})` over the
/// `M` epochs `j` of a day and the `N` days `i`.
///
/// **Missing data.** Pairs in which an epoch was not scored take no part, and the sum is divided by the number of those that
/// do. `None` where there are none. All days have `epochs_per_day` epochs: lay local days side by side first.
pub fn sleep_regularity(scores: &[Option<SleepWake>], epochs_per_day: usize) -> Option<SleepRegularity> {
    let later = scores.get(epochs_per_day..).filter(|_| epochs_per_day > 0)?;
    let (mut same, mut observed) = (0_u32, 0_u32);
    for (a, b) in scores.iter().zip(later).filter_map(|(a, b)| (*a).zip(*b)) {
        observed += 1;
        same += u32::from(a == b);
    }
    (observed > 0).then(|| SleepRegularity {
        index: -100.0 + 200.0 * f64::from(same) / f64::from(observed),
        observed,
        expected: super::count(later.len()),
    })
}

/// When sleep is, as the local minute of day from 0 up to 1440: the direction of the sum of all epochs of sleep on the clock,
/// `1440 / 2π · atan2(Σ sin, Σ cos)`; an epoch counts at its start. As
/// Lunsford-Avery et al.: Validation of the Sleep Regularity Index in older adults. Sci Rep 2018;8:14158.
///
/// **Missing data.** Epochs that are not scored take no part. `None` without sleep, and where the sleep of all hours cancels
/// out.
pub fn sleep_midpoint(scores: &[Option<SleepWake>], layout: Layout) -> Option<f64> {
    let per_day = layout.epoch.per_day();
    let mut asleep = vec![0_u32; per_day];
    for (index, score) in scores.iter().enumerate() {
        asleep[(layout.first_of_day + index) % per_day] += u32::from(*score == Some(SleepWake::Sleep));
    }
    let sum = |of: fn(f64) -> f64| {
        let part = |(slot, count): (usize, &u32)| f64::from(*count) * of(TAU * slot as f64 / per_day as f64);
        asleep.iter().enumerate().map(part).sum::<f64>()
    };
    let (sin, cos) = (sum(f64::sin), sum(f64::cos));
    let asleep: u32 = asleep.iter().sum();
    // Rounding leaves a direction also where there is none.
    (sin.hypot(cos) > 1e-9 * f64::from(asleep))
        .then(|| (DAY_MINUTES / TAU * sin.atan2(cos)).rem_euclid(DAY_MINUTES))
}

/// One night as the questionnaire asks for it.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TimedNight {
    /// Falling asleep, as the local minute of day.
    pub onset_minute: f64,
    /// From falling asleep to waking, in minutes.
    pub duration_minutes: f64,
    /// Whether it led into a day free of work.
    pub is_free: bool,
}

opaque_debug!(TimedNight);

/// What chronotype and social jet lag ask of the data. The numbers of nights are Clarity's own.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JetLagRules {
    /// How many nights before work days are needed.
    pub work_nights_min: u32,
    /// How many nights before free days are needed.
    pub free_nights_min: u32,
    /// On how many days of a week the person works.
    pub work_days_per_week: u8,
}

impl Default for JetLagRules {
    fn default() -> Self {
        Self { work_nights_min: 3, free_nights_min: 2, work_days_per_week: 5 }
    }
}

/// Chronotype and social jet lag.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SocialJetLag {
    /// MSW: mid-sleep before work days, as the local minute of day.
    pub mid_sleep_work_minute: f64,
    /// MSF: mid-sleep before free days, as the local minute of day.
    pub mid_sleep_free_minute: f64,
    /// `MSFsc`: MSF less half of the sleep that free days make up for, as the local minute of day. It is a chronotype only
    /// if no alarm clock rings on free days, which no device tells.
    pub mid_sleep_free_corrected_minute: f64,
    /// SJL: MSF - MSW, in minutes; positive where free days are later. Its absolute value is the usual measure.
    pub social_jet_lag_minutes: f64,
    /// How many nights before work days there were.
    pub work_nights: u32,
    /// How many nights before free days there were.
    pub free_nights: u32,
}

opaque_debug!(SocialJetLag);

/// Mid-sleep and social jet lag by the Munich Chronotype Questionnaire: Roenneberg, Wirz-Justice, Merrow: Life between
/// clocks. J Biol Rhythms 2003;18:80-90; Wittmann, Dinich, Merrow, Roenneberg: Social jetlag. Chronobiol Int
/// 2006;23:497-509; correction by Roenneberg, Pilz, Zerbini, Winnebeck: Chronotype and social jetlag: a (self-) critical
/// review. Biology 2019;8:54.
///
/// Mid-sleep is onset + duration / 2, averaged with the day cut at noon. `MSFsc = MSF - (SDf - SDweek) / 2` where sleep on
/// free days is longer than on work days, else MSF, with `SDweek = (SDw · WD + SDf · FD) / 7`.
///
/// **Missing data.** Only nights that are known are given. `None` where there are fewer than `rules` ask for of either kind,
/// or where a week has no work day or no free day.
pub fn social_jet_lag(nights: &[TimedNight], rules: JetLagRules) -> Option<SocialJetLag> {
    let of_kind = |is_free: bool| -> Vec<TimedNight> {
        let is_known =
            |night: &&TimedNight| night.onset_minute.is_finite() && night.duration_minutes.is_finite();
        nights.iter().filter(is_known).filter(|night| night.is_free == is_free).copied().collect()
    };
    let (work, free) = (of_kind(false), of_kind(true));
    let (work_nights, free_nights) = (super::count(work.len()), super::count(free.len()));
    if work_nights < rules.work_nights_min.max(1)
        || free_nights < rules.free_nights_min.max(1)
        || !(1..=6).contains(&rules.work_days_per_week)
    {
        return None;
    }
    let (msw, msf) = (mean(&work, mid_sleep_after_noon), mean(&free, mid_sleep_after_noon));
    let duration = |night: &TimedNight| night.duration_minutes;
    let (sd_work, sd_free) = (mean(&work, duration), mean(&free, duration));
    let work_days = f64::from(rules.work_days_per_week);
    let sd_week = (sd_work * work_days + sd_free * (7.0 - work_days)) / 7.0;
    let correction = if sd_free > sd_work { (sd_free - sd_week) / 2.0 } else { 0.0 };
    let minute_of_day = |after_noon: f64| (after_noon + NOON_MINUTES).rem_euclid(DAY_MINUTES);
    Some(SocialJetLag {
        mid_sleep_work_minute: minute_of_day(msw),
        mid_sleep_free_minute: minute_of_day(msf),
        mid_sleep_free_corrected_minute: minute_of_day(msf - correction),
        social_jet_lag_minutes: msf - msw,
        work_nights,
        free_nights,
    })
}

fn mid_sleep_after_noon(night: &TimedNight) -> f64 {
    (night.onset_minute + night.duration_minutes / 2.0 - NOON_MINUTES).rem_euclid(DAY_MINUTES)
}

fn mean(nights: &[TimedNight], of: fn(&TimedNight) -> f64) -> f64 {
    nights.iter().map(of).sum::<f64>() / nights.len() as f64
}

#[cfg(test)]
mod tests;
