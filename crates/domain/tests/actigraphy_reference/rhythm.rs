//! The rhythm of rest and activity.

use domain::measures::circadian::{
    interdaily_stability, intradaily_variability, least_active, most_active, relative_amplitude,
};

use crate::series::{assert_close, binned, cases, profile, second_of_day};

#[test]
fn interdaily_stability_and_intradaily_variability_agree() {
    for (series, kind, x, expected) in cases() {
        for (label, minutes) in [("1H", 60), ("30min", 30), ("5min", 5), ("1min", 1)] {
            let bins = binned(&x, minutes * 60 / series.epoch_s);
            let bins_per_day = 1440 / minutes;
            let (n, p) = (bins.len() as f64, bins_per_day as f64);
            // pyActigraphy takes sample variances where Witting takes those of the population.
            let is = interdaily_stability(&bins, bins_per_day).unwrap() * (p / (p - 1.0)) * ((n - 1.0) / n);
            let iv = intradaily_variability(&bins).unwrap() * ((n - 1.0) / n);
            assert_close(is, &expected[format!("IS_{label}")], &format!("{} {kind} IS_{label}", series.name));
            assert_close(iv, &expected[format!("IV_{label}")], &format!("{} {kind} IV_{label}", series.name));
        }
    }
}

#[test]
fn l5_m10_and_relative_amplitude_agree() {
    for (series, kind, x, expected) in cases() {
        let what = format!("{} {kind}", series.name);
        let day = profile(&x, series);
        let epochs = |hours: usize| hours * 3600 / series.epoch_s;
        let (l5, m10) = (least_active(&day, epochs(5)).unwrap(), most_active(&day, epochs(10)).unwrap());
        assert_close(l5.mean, &expected["L5"], &format!("{what} L5"));
        assert_close(m10.mean, &expected["M10"], &format!("{what} M10"));
        assert_close(relative_amplitude(l5.mean, m10.mean).unwrap(), &expected["RA"], &format!("{what} RA"));
        assert_eq!(l5.onset * series.epoch_s, second_of_day(&expected["L5_onset"]), "{what} L5 onset");
        assert_eq!(m10.onset * series.epoch_s, second_of_day(&expected["M10_onset"]), "{what} M10 onset");
    }
}
