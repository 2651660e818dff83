//! The export: everything that is held of a user, and nothing of anybody else.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use e2e::Phone;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    people::clinician_of,
    support::{Server, files, healthkit, heart_rate, problem, upload},
};

/// The files of an archive, unpacked by another program, which also checks their checksums.
fn unpack(archive: &[u8], folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let (packed, unpacked) = (folder.join("export.zip"), folder.join("unpacked"));
    fs::write(&packed, archive).unwrap();
    let done =
        Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&packed).arg(&unpacked).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let name = |path: &Path| path.strip_prefix(&unpacked).unwrap().to_str().unwrap().to_owned();
    files(&unpacked).into_iter().map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}

fn lines(file: &[u8]) -> Vec<Value> {
    file.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

async fn export(phone: &Phone) -> BTreeMap<String, Vec<u8>> {
    let answer = phone.request(Method::GET, "users/me/export").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/zip");
    assert!(answer.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    unpack(&answer.bytes().await.unwrap(), tempfile::tempdir().unwrap().path())
}

#[tokio::test]
async fn an_export_holds_everything_and_says_what_it_holds() {
    let server = Server::start(&[]);
    let (anna, berta, clinician) = (server.phone().await, server.phone().await, clinician_of(&server).await);
    // One body in its record, one as an object.
    let bodies = [
        healthkit(&anna, &[heart_rate(0), heart_rate(1)]),
        healthkit(&anna, &(10..900).map(heart_rate).collect::<Vec<_>>()),
    ];
    let mut uploads = Vec::new();
    for body in &bodies {
        uploads.push(upload(&anna, body).await["upload_id"].as_str().unwrap().to_owned());
    }
    let gone =
        upload(&anna, &healthkit(&anna, &[heart_rate(950)])).await["upload_id"].as_str().unwrap().to_owned();
    anna.delete(&format!("health-data/{gone}")).await.unwrap().expect(200).unwrap();
    upload(&berta, &healthkit(&berta, &[heart_rate(0)])).await;
    anna.post("insights", &json!({})).await.unwrap().expect(200).unwrap();
    let consent = anna
        .post("users/me/consents", &json!({ "clinician_id": clinician.user_id }))
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    let files = export(&anna).await;

    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!((&manifest["user_id"], &manifest["missing"]), (&json!(anna.user_id), &json!([])));
    let listed = manifest["files"].as_array().unwrap();
    assert_eq!(listed.len() + 1, files.len());
    for entry in listed {
        let file = &files[entry["name"].as_str().unwrap()];
        assert_eq!(entry["size_bytes"], file.len(), "{entry}");
        assert_eq!(entry["sha256"], hex::encode(Sha256::digest(file)), "{entry}");
        if !entry["name"].as_str().unwrap().starts_with("raw/") {
            assert_eq!(entry["entries"], lines(file).len(), "{entry}");
        }
    }
    let mut samples = lines(&files["samples.ndjson"]);
    samples.reverse();
    assert_eq!(samples, anna.all_readings().await.unwrap());
    assert_eq!(samples.len(), 892);
    for (id, body) in uploads.iter().zip(&bodies) {
        let raw: Value = serde_json::from_slice(&files[&format!("raw/{id}.json")]).unwrap();
        assert_eq!(raw, *body);
    }
    assert!(!files.contains_key(&format!("raw/{gone}.json")));
    let profile: Value = serde_json::from_slice(&files["profile.json"]).unwrap();
    assert_eq!(
        (&profile["user_id"], &profile["email"], &profile["roles"]),
        (&json!(anna.user_id), &json!(anna.email), &json!(["user"]))
    );
    let count = |name: &str| lines(&files[name]).len();
    assert_eq!(
        (
            count("uploads.ndjson"),
            count("insights.ndjson"),
            count("sessions.ndjson"),
            count("tombstones.ndjson")
        ),
        (3, 1, 1, 1)
    );
    let daily = anna.get("metrics/daily").await.unwrap().expect(200).unwrap();
    assert_eq!(json!(lines(&files["daily.ndjson"])), daily["data"]);
    assert_eq!(lines(&files["consents.ndjson"])[0]["id"], consent["consent_id"]);
    assert!(count("events.ndjson") >= 3);
    let audit = lines(&files["audit.ndjson"]);
    assert!(audit.iter().any(|entry| entry["action"] == "export"), "the export itself is in the trail");
    for (name, file) in &files {
        let text = String::from_utf8_lossy(file);
        assert!(!text.contains(&berta.user_id) && !text.contains(&berta.email), "{name}");
        assert!(!text.contains(&anna.password) && !text.contains(&anna.refresh_token), "{name}");
    }
}

#[tokio::test]
async fn an_export_of_somebody_new_is_whole() {
    let server = Server::start(&[]);
    let anna = server.phone().await;
    let files = export(&anna).await;
    assert_eq!(lines(&files["samples.ndjson"]), Vec::<Value>::new());
    assert_eq!(lines(&files["audit.ndjson"]).len(), 1);
    let nobody = reqwest::Client::new().get(server.url("/api/v1/users/me/export"));
    assert_eq!(problem(&e2e::read(nobody).await.unwrap(), 401), "unauthorized");
}

/// How much memory of a process is in use, in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[tokio::test]
async fn an_export_that_nobody_reads_waits_and_keeps_its_memory() {
    let server = Server::start(&[("worker.in_server", "false")]);
    let anna = server.phone().await;
    let minute = |n: u32| {
        let at = format!(
            "2025-{:02}-{:02}T{:02}:{:02}:00Z",
            1 + n / 40_320,
            1 + n / 1440 % 28,
            n / 60 % 24,
            n % 60
        );
        crate::support::quantity(
            "HeartRate",
            60.0 + f64::from(n * 7919 % 9973) / 131.0,
            "count/min",
            &at,
            &at,
        )
    };
    for part in 0..10_u32 {
        let body = healthkit(&anna, &(part * 4032..(part + 1) * 4032).map(minute).collect::<Vec<_>>());
        anna.post("healthkit", &body).await.unwrap().expect(202).unwrap();
    }
    let before = resident_kib(server.started.pid());
    let mut slow = Vec::new();
    for _ in 0..8 {
        // The head only: the body stays where it is.
        slow.push(anna.request(Method::GET, "users/me/export").send().await.unwrap());
    }
    let whole = anna.request(Method::GET, "users/me/export").send().await.unwrap().bytes().await.unwrap();
    assert!(whole.len() > 500_000, "{} bytes", whole.len());
    let after = resident_kib(server.started.pid());
    // Nine archives with 40,320 readings each: none of them is in memory as a whole.
    assert!(after < before + 96 * 1024, "{before} KiB became {after} KiB");
    // Who reads late reads the same.
    let late = unpack(&slow.pop().unwrap().bytes().await.unwrap(), tempfile::tempdir().unwrap().path());
    assert_eq!(lines(&late["samples.ndjson"]).len(), 40_320);
}
