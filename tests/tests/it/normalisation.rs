//! `clarity models fit-normalisation`: the mean and the standard deviation of each minute of the week, over a cohort.

use std::{fmt::Write as _, fs, path::Path, process::Output};

use jiff::{ToSpan, Unit, civil::date};
use serde_json::Value;

use crate::support::{Server, command, healthkit, quantity, upload};

const WEEK: usize = 10_080;

/// What somebody does in a minute of the week from Monday on: all different.
fn value(person: usize, minute: usize) -> f64 {
    ((minute / 30 + 1) * (person + 1)) as f64
}

/// The mean and the standard deviation of people in a minute, by their definitions.
fn expected(people: &[usize], minute: usize) -> (f64, f64) {
    let values: Vec<f64> = people.iter().map(|person| value(*person, minute)).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, variance.sqrt())
}

fn fit(data: &Path, output: &Path, more: &[&str]) -> Output {
    let mut fit = command(&["models", "--json", "--data", data.to_str().unwrap(), "fit-normalisation"]);
    fit.args(more).arg("-o").arg(output).output().unwrap()
}

fn vector(folder: &Path, name: &str) -> Vec<f32> {
    let bytes = fs::read(folder.join(name)).unwrap();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

/// Asserts that a folder holds the normalisation of what was observed in each minute.
fn assert_fitted(output: &Output, folder: &Path, unit: &str, observed: impl Fn(usize) -> Vec<usize>) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mean, deviation) = (vector(folder, "mean.f32"), vector(folder, "standard_deviation.f32"));
    assert_eq!((mean.len(), deviation.len()), (WEEK, WEEK));
    for minute in 0..WEEK {
        let (of_mean, of_deviation) = expected(&observed(minute), minute);
        assert!((f64::from(mean[minute]) - of_mean).abs() <= 1e-4, "{minute}: {} {of_mean}", mean[minute]);
        assert!((f64::from(deviation[minute]) - of_deviation).abs() <= 1e-4, "{minute}");
    }
    let described: Value =
        serde_json::from_slice(&fs::read(folder.join("normalisation.json")).unwrap()).unwrap();
    assert_eq!(described["unit"], unit);
    assert!(described["method"].as_str().unwrap().contains("population standard deviation"), "{described}");
}

#[tokio::test]
async fn a_cohort_is_whoever_has_a_week_here() {
    let server = Server::start(&[]);
    let monday = date(2024, 12, 30).at(0, 0, 0, 0);
    for person in 0..10 {
        let phone = server.phone().await;
        // Each begins on another day of the week than the one before.
        let first = monday + i64::try_from(person).unwrap().days();
        let half_hours = (0..336).map(|n: i64| {
            let start = first + (30 * n).minutes();
            let since_monday = start.since((Unit::Minute, monday)).unwrap().get_minutes();
            let minute = usize::try_from(since_monday).unwrap() % WEEK;
            let at = |at: jiff::civil::DateTime| format!("{at}+01:00");
            let steps = 30.0 * value(person, minute);
            quantity("StepCount", steps, "count", &at(start), &at(start + 30.minutes()))
        });
        upload(&phone, &healthkit(&phone, &half_hours.collect::<Vec<_>>())).await;
    }
    // Half a day is no week.
    let somebody = server.phone().await;
    let steps = quantity("StepCount", 9.0, "count", "2025-01-01T08:00:00+01:00", "2025-01-01T20:00:00+01:00");
    upload(&somebody, &healthkit(&somebody, &[steps])).await;
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("fitted");
    let few = fit(server.data.path(), &output, &["--users", ".."]);
    assert!(!few.status.success() && !output.exists());
    let said = String::from_utf8_lossy(&few.stderr).into_owned();
    assert!(said.contains("cohort of 10 people") && said.contains("fewer than 30 people"), "{said}");
    let fewer = fit(server.data.path(), &output, &["--users", "..", "--people-min", "9"]);
    assert!(String::from_utf8_lossy(&fewer.stderr).contains("at least 10 for uploads") && !output.exists());
    let done = fit(server.data.path(), &output, &["--users", "..", "--people-min", "10"]);
    assert_fitted(&done, &output, "steps/min", |_| (0..10).collect());
}

#[test]
fn a_file_has_a_week_a_line_or_a_minute_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let (file, output) = (folder.path().join("cohort.csv"), folder.path().join("fitted"));
    // Of the first person an hour is missing.
    let is_observed = |person: usize, minute: usize| person != 0 || !(600..660).contains(&minute);
    let mut weeks =
        format!("person{}\n", (0..WEEK).fold(String::new(), |all, minute| all + &format!(",m{minute}")));
    let mut minutes = "value,person,timestamp\n".to_owned();
    for person in 0..3 {
        write!(weeks, "{person}").unwrap();
        for minute in 0..WEEK {
            let cell =
                if is_observed(person, minute) { value(person, minute).to_string() } else { String::new() };
            write!(weeks, ",{cell}").unwrap();
            // The recording begins on Wednesday at noon; 2026-01-05 is a Monday.
            let at = date(2026, 1, 7).at(12, 0, 0, 0) + i64::try_from(minute).unwrap().minutes();
            let of_week = (minute + 2 * 1440 + 720) % WEEK;
            let cell =
                if is_observed(person, of_week) { value(person, of_week).to_string() } else { String::new() };
            writeln!(minutes, "{cell},{person},{at}").unwrap();
        }
        weeks.push('\n');
    }
    let observed = |minute| (0..3).filter(|person| is_observed(*person, minute)).collect::<Vec<_>>();
    for text in [&weeks, &minutes] {
        fs::write(&file, text).unwrap();
        let few = [file.to_str().unwrap(), "--unit", "counts/min", "--people-min", "2"];
        assert_fitted(&fit(folder.path(), &output, &few), &output, "counts/min", observed);
    }
    // Nobody counts more for having more weeks. What is told of January 31 days later is three days later in the week.
    let again = minutes.lines().filter(|line| line.split(',').nth(1) == Some("2"));
    let again = again.map(|line| line.replace("2026-01-", "2026-02-"));
    fs::write(&file, minutes.clone() + &again.collect::<Vec<_>>().join("\n")).unwrap();
    let done =
        fit(folder.path(), &output, &[file.to_str().unwrap(), "--unit", "counts/min", "--people-min", "2"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let means = vector(&output, "mean.f32");
    for minute in [0, 5000, WEEK - 1] {
        let before = (minute + WEEK - 3 * 1440) % WEEK;
        let of_last = f64::midpoint(value(2, minute), value(2, before));
        let mean = (value(0, minute) + value(1, minute) + of_last) / 3.0;
        assert!((f64::from(means[minute]) - mean).abs() <= 1e-3, "{minute}");
    }
}

#[test]
fn a_file_that_does_not_do_is_refused_with_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let (file, output) = (folder.path().join("cohort.csv"), folder.path().join("fitted"));
    let wrong = [
        ("person,minute\nanna,5\n", "the first line must be a header"),
        ("person,timestamp,value\nanna,2026-01-05T00:00,-1\n", "line 2: a value is not a count"),
        ("person,timestamp,value\nanna,Monday,1\n", "line 2: the timestamp is not a time"),
        ("person,timestamp,value\nanna,2026-01-05T00:00\n", "line: 2"),
        (
            "person,timestamp,value\nanna,2026-01-05T00:00,1\nanna,2026-01-05T00:00:30,1\n",
            "line 3: this person has this minute twice",
        ),
        (
            "person,timestamp,value\nanna,2026-01-05T00:00,1\nberta,2026-01-05T00:00,1\nanna,2026-01-06T00:00,1\n",
            "line 4: this person came before another one",
        ),
        ("person,timestamp,value\nanna,2026-01-05T00:00,12,5\n", "line: 2"),
        ("person,timestamp,value\nanna,2026-01-05T00:00,1\n", "cohort of 1 people"),
    ];
    // Somebody's minutes where the header should be.
    let headless = vec!["1"; WEEK].join(",") + "\n";
    for (text, says) in wrong.into_iter().chain([(headless.as_str(), "the first line must be a header")]) {
        fs::write(&file, text).unwrap();
        let refused = fit(folder.path(), &output, &[file.to_str().unwrap(), "--unit", "counts/min"]);
        let said: Value = serde_json::from_slice(&refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1));
        assert!(said["error"].as_str().unwrap().contains(says), "{said}");
        // No message repeats what is somebody's.
        assert!(!said.to_string().contains("anna"), "{said}");
        assert!(!output.exists());
    }
    // Which cohort is to be taken must be clear, and a file's unit is known to nobody else.
    for arguments in
        [&[][..], &["x.csv"], &["x.csv", "--unit", "a", "--users", ".."], &["--users", "..", "--unit", "a"]]
    {
        assert_eq!(fit(folder.path(), &output, arguments).status.code(), Some(2), "{arguments:?}");
    }
}
