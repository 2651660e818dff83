//! `clarity report` of a simulated person, whose night was missed once.

use std::path::Path;

use serde_json::Value;

use crate::support::{command, stdout_json};

fn report(data: &Path, email: &str, page: &Path, more: &[&str]) -> std::process::Output {
    let mut report = command(&["report", "--user", email]);
    report.arg("-o").arg(page).arg("--data").arg(data).args(more).output().unwrap()
}

#[test]
fn the_page_shows_what_was_lived_and_what_was_missed() {
    let data = tempfile::tempdir().unwrap();
    let demo = command(&["demo", "--exit", "--json", "--days", "10", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    let lived = stdout_json(&demo);
    let email = lived["account"]["email"].as_str().unwrap();
    let path = data.path().join("report.html");

    let output = report(data.path(), email, &path, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let written = stdout_json(&output);
    let page = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written["bytes"].as_u64(), u64::try_from(page.len()).ok());
    assert_eq!(
        (&written["days"], &written["nights_not_recorded"], &written["last_day"]),
        (&30.into(), &21.into(), &lived["circadian"]["circadian"]["date"])
    );
    // Ten days and the evening before; the days before that are rows that say that there is nothing.
    assert_eq!(lived["daily"].as_array().unwrap().len(), 11);
    assert_eq!(written["days_without_readings"].as_u64(), Some(19));
    assert!(page.len() < 1_500_000, "{}", page.len());
    let count = |text: &str| page.matches(text).count();
    assert_eq!(count("<svg class=\"picture\""), 4);
    assert_eq!(count(">not recorded</td>"), 21);
    assert_eq!(count("\nnot recorded</text>"), 21);
    // On the evening before nobody walked, so there its steps are not assessed.
    let steps =
        lived["daily"].as_array().unwrap().iter().filter_map(|day| day["step_count"]["value"].as_f64());
    let asleep =
        lived["sleep"].as_array().unwrap().iter().map(|night| night["total_sleep_time"]["value"].as_f64());
    let values: Vec<f64> = steps.chain(asleep.map(|asleep| asleep.expect("minutes of sleep"))).collect();
    assert_eq!(values.len(), 10 + 9);
    for value in values {
        assert!(page.contains(&format!("<data value=\"{value}\">")), "{value}");
    }
    let user = lived["account"]["user_id"].as_str().unwrap();
    assert!(!page.contains(email) && !page.contains(user));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    }

    let ten = stdout_json(&report(data.path(), email, &path, &["--json", "--days", "10"]));
    assert_eq!((&ten["days"], &ten["nights_not_recorded"]), (&10.into(), &1.into()));
    assert_eq!(ten["days_without_readings"], Value::from(0));
}

#[test]
fn what_cannot_be_reported_says_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let page = data.path().join("report.html");
    for (email, page, says) in [
        ("nobody", page.as_path(), "name@example.org"),
        ("nobody@example.org", page.as_path(), "no account has this address"),
    ] {
        let output = report(data.path(), email, page, &[]);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(says), "{said}");
        assert!(!page.exists());
    }
    let output = report(data.path(), "nobody@example.org", &page, &["--days", "0"]);
    assert_eq!(output.status.code(), Some(2));
}
