//! Which measures the page shows, and what they are called on it.

use domain::{
    measures::{Measure, circadian::Circadian, daily::Daily, profile::Profile},
    sleep::Night,
};

/// How a value is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// As a number.
    Number,
    /// A local minute of day, as a clock shows it.
    Clock,
}

/// A measure and its name.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) name: &'static str,
    pub(crate) shown: Shown,
    pub(crate) measure: &'a Measure,
}

fn number<'a>(name: &'static str, measure: &'a Measure) -> Named<'a> {
    Named { name, shown: Shown::Number, measure }
}

fn clock<'a>(name: &'static str, measure: &'a Measure) -> Named<'a> {
    Named { name, shown: Shown::Clock, measure }
}

pub(crate) fn activity(daily: &Daily) -> Vec<Named<'_>> {
    vec![
        number("Steps", &daily.step_count),
        number("Distance", &daily.distance),
        number("Flights climbed", &daily.flights_climbed),
        number("Exercise", &daily.exercise_time),
        number("Active energy", &daily.active_energy),
        number("Basal energy", &daily.basal_energy),
    ]
}

pub(crate) fn heart(daily: &Daily) -> Vec<Named<'_>> {
    vec![
        number("Lowest heart rate", &daily.heart_rate_min),
        number("Mean heart rate", &daily.heart_rate_mean),
        number("Highest heart rate", &daily.heart_rate_max),
        number("Resting heart rate", &daily.resting_heart_rate),
        number("Heart rate variability", &daily.hrv_sdnn),
        number("Respiratory rate", &daily.respiratory_rate),
        number("Oxygen saturation", &daily.oxygen_saturation),
    ]
}

pub(crate) fn night(night: &Night) -> Vec<Named<'_>> {
    vec![
        number("Asleep", &night.total_sleep_time),
        number("In bed", &night.time_in_bed),
        number("Efficiency", &night.sleep_efficiency),
        number("Until asleep", &night.sleep_onset_latency),
        number("Awake between", &night.wake_after_sleep_onset),
        number("Awakenings", &night.awakenings),
        number("Core", &night.core),
        number("Deep", &night.deep),
        number("REM", &night.rem),
        number("No stage known", &night.unspecified),
        clock("Middle", &night.midpoint),
    ]
}

pub(crate) fn circadian(circadian: &Circadian) -> Vec<Named<'_>> {
    vec![
        number("Interdaily stability", &circadian.interdaily_stability),
        number("Intradaily variability", &circadian.intradaily_variability),
        number("L5: least active 5 h", &circadian.l5),
        clock("L5 begins", &circadian.l5_onset),
        number("M10: most active 10 h", &circadian.m10),
        clock("M10 begins", &circadian.m10_onset),
        number("Relative amplitude", &circadian.relative_amplitude),
        number("Days that count", &circadian.days),
    ]
}

pub(crate) fn profile(profile: &Profile) -> Vec<Named<'_>> {
    vec![
        number("Sleep regularity index", &profile.sleep_regularity_index),
        clock("Middle of sleep", &profile.sleep_midpoint),
        number("Social jet lag", &profile.social_jet_lag),
        clock("Mid-sleep on free days, corrected", &profile.mid_sleep_free_corrected),
        number("Mesor", &profile.mesor),
        number("Amplitude", &profile.amplitude),
        clock("Peak", &profile.peak),
        number("R squared", &profile.r_squared),
        number("Fractal scaling", &profile.fractal_scaling),
        number("Rest to activity", &profile.rest_to_activity),
        number("Activity to rest", &profile.activity_to_rest),
        number("Interdaily stability over widths", &profile.interdaily_stability_over_widths),
        number("Intradaily variability over widths", &profile.intradaily_variability_over_widths),
        number("Average daily total", &profile.average_daily_total),
        clock("Onset of activity", &profile.activity_onset),
        clock("Offset of activity", &profile.activity_offset),
    ]
}
