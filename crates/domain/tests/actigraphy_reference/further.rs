//! Regularity, cosinor, fractal scaling, transitions, and the measures over widths and periods.

use domain::measures::{
    cosinor::cosinor,
    epoch::Epoch,
    fractal::dfa,
    regularity::{sleep_midpoint, sleep_regularity},
    rhythm::{
        DayEnds, Layout, OverWidths, average_daily_total, contrast, contrast_by_period,
        interdaily_stability_over_widths, intradaily_variability_over_widths, turns,
    },
    scoring::{OakleyEpoch, OakleyThreshold, RoennebergRules, SleepWake, oakley, roenneberg, scripps},
    transitions::transitions,
};
use serde_json::Value;

use crate::series::{SERIES, Series, assert_close, cases, generate, reference, second_of_day};

fn layout(series: &Series) -> Layout {
    Layout {
        epoch: Epoch::seconds(u32::try_from(series.epoch_s).unwrap()).unwrap(),
        first_of_day: series.start_s / series.epoch_s,
    }
}

fn observed(x: &[f64]) -> Vec<Option<f64>> {
    x.iter().copied().map(Some).collect()
}

fn raw() -> Vec<(&'static Series, Vec<f64>, Value)> {
    let reference = reference();
    SERIES.iter().map(|series| (series, generate(series), reference["series"][series.name].clone())).collect()
}

#[test]
fn stability_and_variability_over_all_widths_agree() {
    // pyActigraphy takes sample variances where Witting takes those of the population, at each width.
    let mean = |found: &OverWidths, days: f64, convert: fn(f64, f64) -> f64| {
        let at_width = |(minutes, value): &(u32, f64)| {
            let per_day = 1440.0 / f64::from(*minutes);
            value * convert(per_day, (days * per_day).ceil())
        };
        found.by_width.iter().map(at_width).sum::<f64>() / found.by_width.len() as f64
    };
    for (series, kind, x, expected) in cases() {
        let days = (series.epochs * series.epoch_s / 86_400) as f64;
        let epoch = layout(series).epoch;
        let is = interdaily_stability_over_widths(&observed(&x), epoch).unwrap();
        let iv = intradaily_variability_over_widths(&observed(&x), epoch).unwrap();
        let what = format!("{} {kind}", series.name);
        assert_close(
            mean(&is, days, |p, n| p / (p - 1.0) * (n - 1.0) / n),
            &expected["ISm"],
            &format!("{what} ISm"),
        );
        assert_close(mean(&iv, days, |_, n| (n - 1.0) / n), &expected["IVm"], &format!("{what} IVm"));
        for found in [is, iv] {
            let sum: f64 = found.by_width.iter().map(|(_, value)| value).sum();
            assert!((found.mean - sum / 22.0).abs() < 1e-12);
        }
    }
}

#[test]
fn the_average_daily_total_agrees() {
    for (series, kind, x, expected) in cases() {
        // pyActigraphy takes every day, whatever is left of it.
        let found = average_daily_total(&observed(&x), layout(series), 0.0).unwrap();
        assert_close(found, &expected["ADAT"], &format!("{} {kind}", series.name));
    }
}

#[test]
fn the_times_at_which_the_mean_day_turns_agree() {
    for (series, kind, x, expected) in cases() {
        let found = turns(&observed(&x), layout(series), DayEnds::Cut).unwrap();
        let what = format!("{} {kind}", series.name);
        assert_eq!(found.onset_minute as usize * 60, second_of_day(&expected["AonT_5min"]), "{what} AonT");
        assert_eq!(found.offset_minute as usize * 60, second_of_day(&expected["AoffT_5min"]), "{what} AoffT");
    }
}

#[test]
fn relative_amplitude_by_day_agrees() {
    for (series, kind, x, expected) in cases() {
        let (x, layout) = (observed(&x), layout(series));
        let expected = expected["RAp_24H"].as_array().unwrap();
        let per_day = layout.epoch.per_day();
        // pyActigraphy's periods have the first epoch of the next one as well, and it leaves the last one out.
        for (day, expected) in expected.iter().enumerate() {
            let found = contrast(&x[day * per_day..=(day + 1) * per_day], layout).unwrap();
            assert_close(found.relative_amplitude, expected, &format!("{} {kind} day {day}", series.name));
        }
        // Without that epoch the days differ little, if at all.
        let found = contrast_by_period(&x, layout, 1);
        assert_eq!(found.len(), expected.len() + 1);
        for (found, expected) in found.into_iter().zip(expected) {
            let difference = found.unwrap().relative_amplitude - expected.as_f64().unwrap();
            assert!(difference.abs() < 0.01, "{} {kind}: {difference}", series.name);
        }
    }
}

#[test]
fn sleep_regularity_and_midpoint_agree() {
    for (series, x, expected) in raw() {
        let (counts, layout) = (observed(&x), layout(series));
        let oakley_epoch = if series.epoch_s == 60 { OakleyEpoch::Seconds60 } else { OakleyEpoch::Seconds30 };
        let mut of_scripps = scripps(&counts);
        let length = of_scripps.len();
        // pyActigraphy's window is as long after an epoch as before it.
        of_scripps[length - 10..].fill(None);
        for (name, scores) in [
            ("Roenneberg", roenneberg(&counts, layout.epoch, RoennebergRules::default())),
            ("Oakley", oakley(&counts, oakley_epoch, OakleyThreshold::Medium)),
            ("Scripps", of_scripps),
        ] {
            // It also says wake where nothing is scored.
            let scores: Vec<Option<SleepWake>> =
                scores.into_iter().map(|score| Some(score.unwrap_or(SleepWake::Wake))).collect();
            let what = format!("{} {name}", series.name);
            let found = sleep_regularity(&scores, layout.epoch.per_day()).unwrap();
            assert_close(found.index, &expected["sleep"][format!("SRI_{name}")], &what);
            let midpoint = sleep_midpoint(&scores, layout).unwrap();
            let clock = expected["sleep"][format!("SleepMidPoint_{name}")].as_str().unwrap();
            let clock = clock.split_once(" days ").unwrap().1;
            let seconds = clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap());
            // pandas keeps nine decimals of a minute.
            assert!((midpoint - seconds / 60.0).abs() < 0.51e-9, "{what}: {midpoint} is not {seconds} s");
        }
    }
}

#[test]
fn the_cosinor_agrees_with_least_squares() {
    for (series, x, expected) in raw() {
        let per_day = layout(series).epoch.per_day() as f64;
        let found = cosinor(&observed(&x), per_day).unwrap();
        let expected = &expected["cosinor_ols_numpy"];
        for (name, value) in [
            ("mesor", found.mesor),
            ("beta_cos", found.beta),
            ("gamma_sin", found.gamma),
            ("amplitude", found.amplitude),
            ("acrophase_rad(-atan2(gamma,beta))", found.acrophase_rad),
            ("peak_hours_after_first_sample", found.peak_epochs * series.epoch_s as f64 / 3600.0),
        ] {
            assert_close(value, &expected[name], &format!("{} {name}", series.name));
        }
    }
}

#[test]
fn detrended_fluctuations_agree() {
    for (series, x, expected) in raw() {
        let expected = &expected["dfa"];
        let minutes: Vec<usize> = serde_json::from_value(expected["scales_min"].clone()).unwrap();
        let scales: Vec<usize> = minutes.iter().map(|minutes| minutes * 60 / series.epoch_s).collect();
        let found = dfa(&x, &scales).unwrap();
        for ((scale, f), expected) in found.by_scale.iter().zip(expected["F"].as_array().unwrap()) {
            assert_close(*f, expected, &format!("{} F({scale})", series.name));
        }
        assert_close(found.alpha, &expected["alpha"], series.name);
        assert_close(found.standard_error, &expected["stderr"], series.name);
    }
}

#[test]
fn sustained_transition_probabilities_agree() {
    for (series, x, expected) in raw() {
        let found = transitions(&observed(&x), 4.0);
        assert_close(found.rest_to_activity.unwrap(), &expected["sleep"]["kRA"], series.name);
        assert_close(found.activity_to_rest.unwrap(), &expected["sleep"]["kAR"], series.name);
    }
}
