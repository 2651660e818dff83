//! Whatever is wrong with a model's folder, the model is unavailable, the reason names it, and the other models work.

use std::path::Path;

use inference::Engine;
use ports::{ErrorKind, ModelState, PredictionRequest, Predictor};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{root, settings, status, week};

/// A copy of `pat-s`, named `name`.
fn copy(models: &Path, name: &str) {
    for folder in ["", "golden", "normalisation"] {
        let (from, to) = (root().join("models/pat-s").join(folder), models.join(name).join(folder));
        std::fs::create_dir_all(&to).unwrap();
        for entry in
            std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file())
        {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    edit(&models.join(name), |manifest| manifest["name"] = json!(name));
}

fn edit(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("manifest.json");
    let mut manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(path, manifest.to_string()).unwrap();
}

/// Changes a file, and the manifest with it, as somebody would who makes a model and gets it wrong.
fn rewrite(folder: &Path, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(folder.join(path)).unwrap();
    change(&mut bytes);
    std::fs::write(folder.join(path), &bytes).unwrap();
    edit(folder, |manifest| {
        let files = manifest["files"].as_array_mut().unwrap();
        let file = files.iter_mut().find(|file| file["path"] == path).unwrap();
        file["size"] = json!(bytes.len());
        file["sha256"] = json!(hex::encode(Sha256::digest(&bytes)));
    });
}

/// The reason why the tampered model is unavailable.
async fn reason(tamper: impl FnOnce(&Path)) -> String {
    let models = TempDir::new().unwrap();
    copy(models.path(), "tampered");
    tamper(&models.path().join("tampered"));
    let engine = Engine::load(settings(models.path()));
    let error = engine.predict(PredictionRequest::new("tampered", vec![week(1, 1)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    match status(&engine, "tampered").await.state {
        ModelState::Unavailable { reason } => reason,
        ready @ ModelState::Ready { .. } => panic!("{ready:?}"),
    }
}

#[tokio::test]
async fn one_flipped_bit_makes_that_model_unavailable_and_no_other() {
    let models = TempDir::new().unwrap();
    copy(models.path(), "sound");
    copy(models.path(), "tampered");
    let path = models.path().join("tampered/model.onnx");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let engine = Engine::load(settings(models.path()));
    let ModelState::Unavailable { reason } = status(&engine, "tampered").await.state else {
        panic!("it was tampered with")
    };
    assert!(reason.contains("tampered/model.onnx") && reason.contains("sha-256"), "{reason}");
    assert_eq!(
        engine.predict(PredictionRequest::new("tampered", vec![week(1, 1)])).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert!(engine.predict(PredictionRequest::new("sound", vec![week(1, 1)])).await.is_ok());
}

#[tokio::test]
async fn files_that_are_not_the_declared_ones_are_refused() {
    let wrong_hash =
        |folder: &Path, hash: &str| edit(folder, |manifest| manifest["files"][0]["sha256"] = json!(hash));
    let reasons = [
        (reason(|folder| wrong_hash(folder, &"0".repeat(64))).await, "model.onnx: its sha-256"),
        (reason(|folder| wrong_hash(folder, "")).await, "model.onnx: its sha-256"),
        (
            reason(|folder| edit(folder, |manifest| manifest["files"][0]["size"] = json!(7))).await,
            "model.onnx: its size",
        ),
        (
            reason(|folder| std::fs::remove_file(folder.join("model.onnx")).unwrap()).await,
            "model.onnx: No such file",
        ),
        (
            reason(|folder| std::fs::write(folder.join("golden/embedding-1.f32"), b"").unwrap()).await,
            "golden/embedding-1.f32: its size",
        ),
        (
            reason(|folder| std::fs::remove_file(folder.join("normalisation/mean.f32")).unwrap()).await,
            "normalisation/mean.f32: No such file",
        ),
    ];
    for (reason, expected) in reasons {
        assert!(reason.contains(expected), "{reason} should say {expected}");
    }
}

#[tokio::test]
async fn manifests_that_promise_too_little_are_refused() {
    let edited = async |change: fn(&mut Value)| reason(|folder| edit(folder, change)).await;
    let reasons = [
        (
            reason(|folder| std::fs::write(folder.join("manifest.json"), "{").unwrap()).await,
            "manifest.json: EOF",
        ),
        (edited(|manifest| manifest["manifest_version"] = json!(3)).await, "manifest_version is 3"),
        (edited(|manifest| manifest["name"] = json!("other")).await, "names the model `other`"),
        (edited(|manifest| manifest["sha-256"] = json!("")).await, "unknown field `sha-256`"),
        (edited(|manifest| manifest["weights"] = json!("unknown")).await, "unknown variant"),
        (edited(|manifest| manifest["licence"] = json!("")).await, "must not be blank"),
        (
            edited(|manifest| manifest["golden"] = json!([])).await,
            "no golden vector checks the output embedding",
        ),
        (
            edited(|manifest| manifest["golden"][0]["expected"][0]["tolerance"] = json!(0)).await,
            "is not above 0",
        ),
        (
            edited(|manifest| manifest["files"] = json!([])).await,
            "model.onnx is used but has no entry in files",
        ),
        (
            edited(|manifest| manifest["files"][0]["path"] = json!("../model.onnx")).await,
            "outside the folder",
        ),
        (
            edited(|manifest| manifest["golden"][0]["rows"] = json!(1_u64 << 40)).await,
            "a golden case has at most 4096 rows",
        ),
        (
            edited(|manifest| {
                manifest["manifest_version"] = json!(2);
                manifest["batching"] = json!({ "rows_max": 5_000 });
            })
            .await,
            "rows_max must be 1 to 4096",
        ),
        (
            edited(|manifest| {
                manifest["manifest_version"] = json!(2);
                manifest["batching"] = json!({ "batch_rows_max": 0 });
            })
            .await,
            "batch_rows_max 1 to 256",
        ),
        (edited(|manifest| manifest["inputs"][0]["shape"] = json!([1, 10_080])).await, "does not begin with"),
    ];
    for (reason, expected) in reasons {
        assert!(reason.contains(expected), "{reason} should say {expected}");
    }
}

#[tokio::test]
async fn a_model_that_is_not_what_its_manifest_says_is_refused() {
    let edited = async |change: fn(&mut Value)| reason(|folder| edit(folder, change)).await;
    let sd = "normalisation/standard_deviation.f32";
    let reasons = [
        (
            edited(|manifest| manifest["outputs"][0]["shape"] = json!(["batch", 48])).await,
            "embedding-1.f32: it does not hold 48",
        ),
        (
            edited(|manifest| {
                manifest["inputs"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({ "name": "z", "type": "f32", "shape": ["batch"] }));
                manifest["normalisation"] = json!(null);
                for case in manifest["golden"].as_array_mut().unwrap() {
                    case["inputs"].as_array_mut().unwrap().push(json!({ "name": "z", "lcg64_seed": 1 }));
                }
            })
            .await,
            "model.onnx: the manifest declares 2 inputs, the model has 1",
        ),
        (
            edited(|manifest| {
                manifest["inputs"][0]["shape"] = json!(["batch", 5040]);
                manifest["normalisation"] = json!(null);
            })
            .await,
            "model.onnx: inputs: the manifest declares x [-1, 5040]",
        ),
        (
            // An output that is off by one part in 128.
            reason(|folder| rewrite(folder, "golden/embedding-1.f32", |bytes| bytes[2] ^= 1)).await,
            "model.onnx: golden: embedding is off by",
        ),
        (reason(|folder| rewrite(folder, "model.onnx", |bytes| bytes.truncate(1000))).await, "model.onnx: "),
        (
            reason(|folder| rewrite(folder, sd, |bytes| bytes[..4].fill(0))).await,
            "a standard deviation is not above 0",
        ),
        (reason(|folder| rewrite(folder, sd, |bytes| bytes[..4].fill(0xff))).await, "a value is not finite"),
        (
            reason(|folder| rewrite(folder, sd, |bytes| bytes.truncate(400))).await,
            "it does not hold 10080 floats",
        ),
    ];
    for (reason, expected) in reasons {
        assert!(reason.contains(expected), "{reason} should say {expected}");
    }
}

#[tokio::test]
async fn other_weights_under_the_same_graph_fail_the_golden_vectors() {
    // The graph stays well-formed and the hash is the file's own: only one of the 274,720 weights is another.
    let reason = reason(|folder| {
        rewrite(folder, "model.onnx", |bytes| {
            let kernel = b"dense/kernelJ";
            let name = bytes.windows(kernel.len()).position(|window| window == kernel).unwrap();
            // After the name and its field's tag comes the length, a varint of two bytes for 6912, and then the floats.
            bytes[name + kernel.len() + 2..][..4].copy_from_slice(&1.5_f32.to_le_bytes());
        });
    })
    .await;
    assert!(reason.contains("golden: "), "{reason}");
}
