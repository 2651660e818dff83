//! `clarity batch`: the model over many people, in parts, and again.

use std::{collections::BTreeSet, path::Path, process::Output};

use e2e::{Clarity, Phone};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{command, healthkit, heart_rate, stdout_json, upload};

/// A data folder with somebody who has ten days, and three who have one heart rate each.
struct Crowd {
    data: TempDir,
    people: BTreeSet<String>,
}

impl Crowd {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let demo =
            command(&["demo", "--exit", "--json", "--days", "10", "--listen", "127.0.0.1:0", "--data"])
                .arg(data.path())
                .output()
                .unwrap();
        let mut people =
            BTreeSet::from([stdout_json(&demo)["account"]["user_id"].as_str().unwrap().to_owned()]);
        let server = Clarity::serve(data.path()).unwrap().start().unwrap();
        for _ in 0..3 {
            let phone = Phone::sign_up(server.address().unwrap()).await.unwrap();
            upload(&phone, &healthkit(&phone, &[heart_rate(1)])).await;
            people.insert(phone.user_id);
        }
        server.terminate().unwrap();
        server.wait().unwrap();
        Self { data, people }
    }

    fn batch(&self, more: &[&str], env: &[(&str, &str)]) -> Output {
        let mut batch = command(&["batch", "--json", "--data"]);
        batch.arg(self.data.path()).args(more).envs(env.iter().copied()).output().unwrap()
    }
}

fn done(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    stdout_json(output)
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    serde_json::from_slice::<Value>(&output.stderr).unwrap()["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn everybody_is_assessed_once_in_whatever_parts() {
    let crowd = Crowd::new().await;
    let whole = done(&crowd.batch(&[], &[]));
    let expected = json!({
        "job": "pat", "shard": 0, "shards": 1, "users": 4, "assessed": 1, "not_assessed": 3, "failed": [],
    });
    assert_eq!(whole, expected);
    // As AWS Batch tells the children of an array job.
    let parts: Vec<Value> = (0..3)
        .map(|index| {
            let index = index.to_string();
            let env = [("AWS_BATCH_JOB_ARRAY_INDEX", index.as_str()), ("AWS_BATCH_JOB_ARRAY_SIZE", "3")];
            done(&crowd.batch(&[], &env))
        })
        .collect();
    let sum = |field: &str| parts.iter().filter_map(|part| part[field].as_u64()).sum::<u64>();
    assert_eq!((sum("users"), sum("assessed"), sum("not_assessed")), (4, 1, 3));
}

#[tokio::test]
async fn those_that_are_named_are_assessed_and_nobody_else() {
    let crowd = Crowd::new().await;
    let people: Vec<&String> = crowd.people.iter().collect();
    let between = format!("{}..{}", people[1], people[3]);
    assert_eq!(done(&crowd.batch(&["--users", &between], &[]))["users"], 2);
    assert_eq!(done(&crowd.batch(&["--users", &format!("{}..", people[3])], &[]))["users"], 1);
    let list = crowd.data.path().join("list");
    std::fs::write(&list, format!("# two\n{}\n\n{}\n", people[0], people[2])).unwrap();
    assert_eq!(done(&crowd.batch(&["--file", list.to_str().unwrap()], &[]))["users"], 2);
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_changes_nothing() {
    let crowd = Crowd::new().await;
    let list = crowd.data.path().join("list");
    std::fs::write(&list, format!("{}\nanna\n", crowd.people.first().unwrap())).unwrap();
    let named = complaint(&crowd.batch(&["--file", list.to_str().unwrap()], &[]));
    assert!(named.starts_with("line 2: no user id"), "{named}");
    let half = complaint(&crowd.batch(&["--shard", "1"], &[]));
    assert!(half.contains("--shards"), "{half}");
    let name = complaint(&crowd.batch(&["--job", "../x"], &[]));
    assert!(name.contains("--job"), "{name}");
    // Without the model, an assessed person would become one that is not assessed.
    let none = format!("inference.models_dir={}", crowd.data.path().join("none").display());
    let model = complaint(&crowd.batch(&["--set", &none], &[]));
    assert!(model.contains("pat.predict"), "{model}");
    assert_eq!(done(&crowd.batch(&[], &[]))["assessed"], 1);
    assert!(!objects_of_jobs(crowd.data.path()), "a finished job leaves nothing behind");
}

fn objects_of_jobs(data: &Path) -> bool {
    crate::support::files(data).iter().any(|file| file.to_string_lossy().contains("offline"))
}
