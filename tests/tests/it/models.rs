//! `clarity models`: from a folder into the object store, and from there into a server that runs.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Server, command, stdout_json, until};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/inference/tests/fixtures")
}

/// The bundled PAT under another version.
fn another_pat(folder: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/pat-s");
    for part in ["", "golden", "normalisation"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
        for entry in std::fs::read_dir(from.join(part)).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                std::fs::copy(entry.path(), folder.join(part).join(entry.file_name())).unwrap();
            }
        }
    }
    let manifest = folder.join("manifest.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    json["version"] = json!("2.0.0-synthetic");
    std::fs::write(manifest, json.to_string()).unwrap();
}

/// What the command says, and whether it did it.
fn models(data: &Path, arguments: &[&str], flags: &[&str]) -> (bool, Value) {
    let arguments = [&["models", "--json", "--data", data.to_str().unwrap()], arguments, flags].concat();
    let output = command(&arguments).output().unwrap();
    if output.status.success() || !output.stdout.is_empty() {
        (output.status.success(), stdout_json(&output))
    } else {
        (false, json!(String::from_utf8_lossy(&output.stderr)))
    }
}

#[test]
fn a_model_is_added_activated_rolled_back_and_removed() {
    let data = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| models(data.path(), arguments, &[]);
    let doubling = fixtures().join("doubling");
    let (ok, added) = run(&["add", doubling.to_str().unwrap()]);
    assert!(ok, "{added}");
    assert_eq!(added["identity"]["name"], "doubling");
    assert_eq!((&added["is_signed"], &added["activation"]), (&json!(true), &json!(null)));
    let listed = |of: &str| {
        let (_, list) = run(&["list"]);
        let entries = list.as_array().unwrap().clone();
        entries.into_iter().filter(|entry| entry["name"] == of).collect::<Vec<_>>()
    };
    assert_eq!(listed("doubling")[0]["is_active"], json!(false));
    assert_eq!(listed("pat-s")[0]["source"], json!("folder"));
    // Nothing was active before.
    let (ok, refused) = run(&["rollback", "doubling"]);
    assert!(!ok && refused.to_string().contains("no version of doubling was activated"), "{refused}");
    let (ok, activation) = run(&["activate", "doubling", "1.0.0"]);
    assert_eq!(
        (ok, &activation["version"], &activation["predecessor"]),
        (true, &json!("1.0.0"), &json!(null))
    );
    assert_eq!(listed("doubling")[0]["is_active"], json!(true));
    let (ok, checks) = run(&["verify", "doubling", "1.0.0"]);
    assert_eq!((ok, &checks[0]["ok"], &checks[0]["execution_provider"]), (true, &json!(true), &json!("cpu")));
    let (ok, refused) = run(&["remove", "doubling", "1.0.0"]);
    assert!(!ok && refused.to_string().contains("activate another version first"), "{refused}");
    let (ok, refused) = run(&["activate", "doubling", "7"]);
    assert!(!ok && refused.to_string().contains("doubling 7 is not stored"), "{refused}");

    let folder = tempfile::tempdir().unwrap();
    another_pat(folder.path());
    let (ok, added) = run(&["add", folder.path().to_str().unwrap(), "--activate"]);
    assert_eq!((ok, &added["activation"]["version"]), (true, &json!("2.0.0-synthetic")));
    let active: Vec<_> = listed("pat-s").into_iter().map(|entry| entry["is_active"] == json!(true)).collect();
    assert_eq!(active, [false, true]);
}

#[test]
fn a_model_that_is_not_what_it_says_is_not_added() {
    let data = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    another_pat(folder.path());
    let model = folder.path().join("model.onnx");
    let mut bytes = std::fs::read(&model).unwrap();
    bytes[700_000] ^= 1;
    std::fs::write(model, bytes).unwrap();
    for command in [
        &["add", folder.path().to_str().unwrap()][..],
        &["verify", "--folder", folder.path().to_str().unwrap()],
    ] {
        let (ok, refused) = models(data.path(), command, &[]);
        assert!(!ok && refused.to_string().contains("model.onnx: its sha-256"), "{refused}");
    }
    let (ok, refused) = models(data.path(), &["add", "/nowhere"], &[]);
    assert!(!ok && refused.to_string().contains("/nowhere has no manifest.json"), "{refused}");
}

#[test]
fn with_a_signing_key_only_signed_models_are_used() {
    let data = tempfile::tempdir().unwrap();
    let key = std::fs::read_to_string(fixtures().join("signing_key.pem")).unwrap();
    let flags = ["--set", &format!("inference.signing_key={key}")];
    let doubling = fixtures().join("doubling");
    let (ok, checks) = models(data.path(), &["verify", "--folder", doubling.to_str().unwrap()], &flags);
    assert!(ok, "{checks}");
    let (ok, checks) = models(data.path(), &["verify", "pat-s"], &flags);
    assert!(!ok && checks[0]["problem"].as_str().unwrap().contains("model.sig: it is missing"), "{checks}");
}

#[tokio::test]
async fn a_running_server_follows_an_activation() {
    let server = Server::start(&[("inference.refresh_ms", "100")]);
    let phone = server.phone().await;
    let version = async || {
        let health = phone.get("pat/health").await.unwrap().expect(200).unwrap();
        health["pat_model"]["identity"]["version"].as_str().unwrap().to_owned()
    };
    until("the model is read", async || phone.get("pat/health").await.unwrap().status == 200).await;
    assert_eq!(version().await, "1.0.0-synthetic");
    let folder = tempfile::tempdir().unwrap();
    another_pat(folder.path());
    let (ok, added) =
        models(server.data.path(), &["add", folder.path().to_str().unwrap(), "--activate"], &[]);
    assert!(ok, "{added}");
    while version().await != "2.0.0-synthetic" {
        tokio::task::yield_now().await;
    }
}
