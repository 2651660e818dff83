//! Sleep and wake, run by run.
//!
//! Where a formula has no value at the ends of the series, pyActigraphy says wake; Clarity says nothing.

use domain::measures::{
    epoch::Epoch,
    scoring::{
        CountScale, CrespoDefinition, OakleyEpoch, OakleyThreshold, RestActivity, RoennebergRules,
        SadehDefinition, SleepWake, cole_kripke, crespo, oakley, roenneberg, sadeh, scripps, webster,
    },
};
use serde_json::Value;

use crate::series::{SERIES, Series, binned, generate, reference};

type Scores = Vec<Option<SleepWake>>;

fn observed(x: &[f64]) -> Vec<Option<f64>> {
    x.iter().copied().map(Some).collect()
}

fn epoch(series: &Series) -> Epoch {
    Epoch::seconds(u32::try_from(series.epoch_s).unwrap()).unwrap()
}

/// Both series as the reference scores them.
fn scored() -> Vec<(&'static Series, Vec<Option<f64>>, Value)> {
    let reference = reference();
    let case = |series: &'static Series| {
        (series, observed(&generate(series)), reference["series"][series.name]["scoring"].clone())
    };
    SERIES.iter().map(case).collect()
}

/// pyActigraphy's convention for what is not scored.
fn or_wake(scores: &[Option<SleepWake>]) -> Scores {
    scores.iter().map(|score| Some(score.unwrap_or(SleepWake::Wake))).collect()
}

fn run_lengths(scores: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let scores: Vec<u64> = scores.into_iter().collect();
    scores.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64)).collect()
}

#[track_caller]
fn assert_runs(scores: impl IntoIterator<Item = u64>, expected: &Value, what: &str) {
    let expected: Vec<(u64, u64)> = serde_json::from_value(expected["run_lengths"].clone()).unwrap();
    assert!(!expected.is_empty());
    let found = run_lengths(scores);
    if let Some(index) = found.iter().zip(&expected).position(|(a, b)| a != b) {
        let at: u64 = expected[..index].iter().map(|run| run.1).sum();
        panic!("{what}: run {index} at epoch {at} is {:?}, not {:?}", found[index], expected[index]);
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

fn asleep(scores: &[Option<SleepWake>]) -> impl Iterator<Item = u64> {
    or_wake(scores).into_iter().map(|score| u64::from(score == Some(SleepWake::Sleep)))
}

#[test]
fn cole_kripke_agrees_before_and_after_websters_rules() {
    for (series, counts, expected) in scored() {
        let counts: Vec<f64> = counts.into_iter().flatten().collect();
        let minutes = observed(&binned(&counts, 60 / series.epoch_s));
        let scores = cole_kripke(&minutes, CountScale::MEAN_OF_2_S_EPOCHS);
        assert_eq!(scores[..4], [None; 4]);
        assert_eq!(scores[scores.len() - 2..], [None; 2]);
        // pyActigraphy's window is nine minutes wide, two of them without weight.
        let mut raw = or_wake(&scores);
        let length = raw.len();
        raw[length - 4..].fill(Some(SleepWake::Wake));
        assert_runs(asleep(&raw), &expected["CK_mean_raw"], &format!("{} raw", series.name));
        if !expected["CK_mean_webster"].is_null() {
            let what = format!("{} Webster", series.name);
            assert_runs(asleep(&webster(&raw)), &expected["CK_mean_webster"], &what);
        }
    }
}

#[test]
fn sadeh_agrees_with_pyactigraphys_variant() {
    for (series, counts, expected) in scored() {
        let scores = sadeh(&counts, SadehDefinition::PyActigraphy);
        assert_eq!(scores[..5], [None; 5]);
        assert_runs(asleep(&scores), &expected["Sadeh_pyact"], series.name);
        // The published formula differs in few epochs, and differs.
        let published = sadeh(&counts, SadehDefinition::Published);
        let differ = scores.iter().zip(&published).filter(|(a, b)| a != b).count();
        assert!((1..counts.len() / 50).contains(&differ), "{}: {differ}", series.name);
    }
}

#[test]
fn scripps_agrees() {
    for (series, counts, expected) in scored() {
        let mut scores = scripps(&counts);
        // pyActigraphy's window is as long after an epoch as before it, without weights.
        let length = scores.len();
        scores[length - 10..].fill(None);
        assert_runs(asleep(&scores), &expected["Scripps"], series.name);
    }
}

#[test]
fn oakley_agrees_with_a_fixed_and_the_automatic_threshold() {
    for (series, counts, expected) in scored() {
        let epoch = if series.epoch_s == 60 { OakleyEpoch::Seconds60 } else { OakleyEpoch::Seconds30 };
        for (threshold, name) in
            [(OakleyThreshold::Medium, "Oakley_40"), (OakleyThreshold::Automatic, "Oakley_auto")]
        {
            let what = format!("{} {name}", series.name);
            assert_runs(asleep(&oakley(&counts, epoch, threshold)), &expected[name], &what);
        }
    }
}

#[test]
fn roenneberg_agrees() {
    for (series, counts, expected) in scored() {
        let scores = roenneberg(&counts, epoch(series), RoennebergRules::default());
        assert!(scores.iter().all(Option::is_some));
        assert_runs(asleep(&scores), &expected["Roenneberg"], series.name);
    }
}

#[test]
fn crespo_agrees_with_pyactigraphys_variant() {
    let active = |told: Vec<Option<RestActivity>>| {
        told.into_iter().map(|told| u64::from(told == Some(RestActivity::Active)))
    };
    for (series, counts, expected) in scored() {
        let variant = crespo(&counts, epoch(series), CrespoDefinition::PyActigraphy);
        assert_runs(active(variant.clone()), &expected["Crespo"], series.name);
        // The published algorithm finds the same nights, give or take.
        let published = crespo(&counts, epoch(series), CrespoDefinition::Published);
        let differ = variant.iter().zip(&published).filter(|(a, b)| a != b).count();
        assert!(differ < counts.len() / 10, "{}: {differ}", series.name);
    }
}
