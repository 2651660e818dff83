//! Photographs of the retina through HTTP: graded as they were drawn, kept without what a camera adds, and gone with their owner.
//! The pictures are drawn (`models/make_retina_tests.py`), and the model that comes along knows drawn ones only.

use std::{collections::BTreeSet, fs};

use e2e::{Answer, Phone, read};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{Server, Shared, bytes, files, new_id, pointers, problem, until};

static SHARED: Shared = Shared::new();

/// A drawn photograph.
pub(crate) fn picture(name: &str) -> Vec<u8> {
    fs::read(format!("{}/../crates/retina/tests/pictures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

async fn ready(server: &Server) {
    until("the models are read", async || {
        reqwest::get(server.url("/api/v1/health/ready")).await.unwrap().status() == 200
    })
    .await;
}

fn photograph(phone: &Phone, eye: &str, name: &str) -> RequestBuilder {
    let kind = match name.rsplit('.').next() {
        Some("jpg") => "image/jpeg",
        Some("tif") => "image/tiff",
        _ => "image/png",
    };
    let path = format!("retina/analyses?eye={eye}");
    phone.request(Method::POST, &path).header("content-type", kind).body(picture(name))
}

pub(crate) async fn analyse(phone: &Phone, eye: &str, name: &str) -> Value {
    read(photograph(phone, eye, name)).await.unwrap().expect(201).unwrap()
}

/// A form, by hand.
fn form(phone: &Phone, boundary: &str, eye: Option<&str>, image: &[u8]) -> RequestBuilder {
    let mut body = Vec::new();
    if let Some(eye) = eye {
        let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"eye\"\r\n\r\n{eye}\r\n");
        body.extend(part.into_bytes());
    }
    let head = "Content-Disposition: form-data; name=\"image\"; filename=\"SECRET-NAME.jpg\"\r\nContent-Type: image/jpeg";
    body.extend(format!("--{boundary}\r\n{head}\r\n\r\n").into_bytes());
    body.extend(image);
    body.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    let kind = format!("multipart/form-data; boundary={boundary}");
    phone.request(Method::POST, "retina/analyses").header("content-type", kind).body(body)
}

#[tokio::test]
async fn a_photograph_is_graded_as_it_was_drawn() {
    let server = SHARED.get();
    ready(&server).await;
    let phone = server.phone().await;
    for grade in 0..5_u64 {
        let analysis = analyse(&phone, "left", &format!("grade-{grade}-b.jpg")).await;
        assert_eq!(analysis["grading"]["grade"], grade, "{analysis}");
        let probabilities = analysis["grading"]["probabilities"].as_array().unwrap();
        let probabilities: Vec<f64> = probabilities.iter().map(|one| one.as_f64().unwrap()).collect();
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let referable = analysis["grading"]["referable"]["probability"].as_f64().unwrap();
        assert!((referable - probabilities[2..].iter().sum::<f64>()).abs() < 1e-9);
        assert_eq!(analysis["quality"]["gradable"], true);
        assert_eq!(analysis["not_assessed"], Value::Null);
        assert_eq!(analysis["model"]["weights"], "synthetic");
        assert_eq!(analysis["disclaimer"], "screening support, not a diagnosis");
        let id = analysis["analysis_id"].as_str().unwrap();
        let stored = phone.get(&format!("retina/analyses/{id}")).await.unwrap().expect(200).unwrap();
        assert_eq!(stored, analysis);
        let map = bytes(&phone, &format!("retina/analyses/{id}/map")).await;
        assert_eq!(&map[..8], b"\x89PNG\r\n\x1a\n");
        assert_eq!(&map[16..24], &[0, 0, 2, 0, 0, 0, 2, 0]);
    }
    let listed = phone.get("retina/analyses?limit=3").await.unwrap().expect(200).unwrap();
    assert_eq!(listed["data"].as_array().unwrap().len(), 3);
    assert_eq!(listed["data"][0]["grading"]["grade"], 4);
    let cursor = listed["pagination"]["next_cursor"].as_str().unwrap();
    let rest =
        phone.get(&format!("retina/analyses?limit=3&cursor={cursor}")).await.unwrap().expect(200).unwrap();
    assert_eq!(rest["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_ungradable_photograph_has_reasons_and_no_grade() {
    let server = SHARED.get();
    ready(&server).await;
    let phone = server.phone().await;
    for (name, reason) in [("blurred", "blurred"), ("dark", "too_dark"), ("no_retina", "no_field_of_view")] {
        let analysis = analyse(&phone, "right", &format!("ungradable-{name}.jpg")).await;
        assert_eq!(analysis["grading"], Value::Null);
        assert!(analysis["not_assessed"].is_string());
        let reasons = analysis["quality"]["reasons"].as_array().unwrap();
        assert!(reasons.iter().any(|one| one["code"] == reason), "{analysis}");
        let id = analysis["analysis_id"].as_str().unwrap();
        let map = phone.get(&format!("retina/analyses/{id}/map")).await.unwrap();
        assert_eq!(problem(&map, 404), "not-found");
    }
}

/// A presigned URL at this server, which did not know its port when it was configured.
fn reachable(server: &Server, url: &Value) -> String {
    let url = url.as_str().unwrap();
    server.url(&url[url.find("/objects/").unwrap()..])
}

#[tokio::test]
async fn what_is_kept_is_upright_and_tells_nothing_of_the_camera() {
    let server = SHARED.get();
    ready(&server).await;
    let phone = server.phone().await;
    let analysis = analyse(&phone, "left", "on-its-side.jpg").await;
    let id = analysis["analysis_id"].as_str().unwrap();
    let image = phone.get(&format!("retina/analyses/{id}/image")).await.unwrap().expect(200).unwrap();
    // Its address is its own credential.
    let kept = reqwest::get(reachable(&server, &image["url"])).await.unwrap();
    assert_eq!(kept.status(), 200);
    assert_eq!(kept.headers()["content-type"], "image/png");
    let kept = kept.bytes().await.unwrap();
    let mut kinds = BTreeSet::new();
    let mut at = 8;
    while let Some(length) = kept.get(at..at + 4) {
        kinds.insert(String::from_utf8(kept[at + 4..at + 8].to_vec()).unwrap());
        at += 12 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
    }
    assert_eq!(kinds, BTreeSet::from(["IDAT", "IEND", "IHDR"].map(str::to_owned)));
    // Without its signature it is as missing as one that nobody has.
    let bare = reachable(&server, &image["url"]).split('?').next().unwrap().to_owned();
    assert_eq!(reqwest::get(bare).await.unwrap().status(), 404);
    let other = server.phone().await;
    for path in ["", "/image", "/map"] {
        let foreign = other.get(&format!("retina/analyses/{id}{path}")).await.unwrap();
        assert_eq!(problem(&foreign, 404), "not-found");
    }
}

#[tokio::test]
async fn a_form_is_the_same_as_the_photograph_alone_and_its_boundary_does_not_matter() {
    let server = SHARED.get();
    ready(&server).await;
    let phone = server.phone().await;
    let key = new_id();
    let image = picture("grade-2.jpg");
    let send = async |boundary: &str, eye: &str| -> Answer {
        let request = form(&phone, boundary, Some(eye), &image).header("idempotency-key", &key);
        read(request).await.unwrap()
    };
    let first = send("Boundary-One", "right").await;
    let again = send("boundary2", "right").await;
    assert!(again.headers.contains_key("idempotency-replayed"));
    let first = first.expect(201).unwrap();
    assert_eq!(first, again.expect(201).unwrap());
    assert_eq!((&first["eye"], &first["format"]), (&json!("right"), &json!("jpeg")));
    assert_eq!(problem(&send("b3", "left").await, 422), "idempotency-mismatch");
    let listed = phone.get("retina/analyses").await.unwrap().expect(200).unwrap();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_photograph_or_of_no_eye_is_refused_with_the_place() {
    let server = SHARED.get();
    ready(&server).await;
    let phone = server.phone().await;
    let image = picture("grade-0.jpg");
    let raw = |kind: &str, query: &str, body: Vec<u8>| {
        let path = format!("retina/analyses{query}");
        phone.request(Method::POST, &path).header("content-type", kind.to_owned()).body(body)
    };
    let cut = image[..image.len() / 2].to_vec();
    for (request, pointer) in [
        (raw("image/jpeg", "", image.clone()), "eye"),
        (raw("image/jpeg", "?eye=both", image.clone()), "eye"),
        (raw("image/jpeg", "?eye=left", Vec::new()), "image"),
        (raw("image/jpeg", "?eye=left", b"GIF89a".to_vec()), "image"),
        (raw("image/jpeg", "?eye=left", cut), "image"),
        (form(&phone, "b", Some("both"), &image), "eye"),
        (form(&phone, "b", None, &image), "eye"),
    ] {
        let refused = read(request).await.unwrap();
        assert_eq!(problem(&refused, 422), "validation");
        assert_eq!(pointers(&refused), [pointer]);
    }
    let text = read(raw("text/plain", "?eye=left", image.clone())).await.unwrap();
    assert_eq!(problem(&text, 415), "unsupported-media-type");
    let large = read(raw("image/tiff", "?eye=left", vec![0; 11 << 20])).await.unwrap();
    assert_eq!(problem(&large, 413), "too-large");
    let listed = phone.get("retina/analyses").await.unwrap().expect(200).unwrap();
    assert_eq!(listed["data"], json!([]));
}

#[tokio::test]
async fn of_two_eyes_the_worse_counts_and_an_ungradable_one_is_not_a_healthy_one() {
    let server = SHARED.get();
    ready(&server).await;
    let phone = server.phone().await;
    let eyes = async || phone.get("retina/eyes").await.unwrap().expect(200).unwrap();
    let none = eyes().await;
    assert_eq!((&none["left"], &none["both"]["grade"]), (&Value::Null, &Value::Null));
    assert_eq!(none["both"]["decision"], "abstained");
    analyse(&phone, "left", "grade-0-b.jpg").await;
    assert_eq!(eyes().await["both"]["ungraded"], json!(["right"]));
    analyse(&phone, "right", "grade-3.jpg").await;
    let both = eyes().await;
    assert_eq!((&both["both"]["grade"], &both["both"]["worse_eye"]), (&json!(3), &json!("right")));
    assert_eq!(both["both"]["decision"], "referable");
    // The newest of an eye counts, also where nothing can be read from it.
    analyse(&phone, "right", "ungradable-blurred.jpg").await;
    let both = eyes().await;
    assert_eq!((&both["both"]["grade"], &both["both"]["decision"]), (&json!(0), &json!("abstained")));
}

#[tokio::test]
async fn photographs_are_taken_along_and_go_with_their_owner() {
    let server = Server::start(&[]);
    ready(&server).await;
    let phone = server.phone().await;
    let analysis = analyse(&phone, "left", "grade-4.tif").await;
    let id = analysis["analysis_id"].as_str().unwrap();
    let export = bytes(&phone, "users/me/export").await;
    for name in [
        format!("retina/{id}/photograph.png"),
        format!("retina/{id}/map.png"),
        "retina-analyses.ndjson".to_owned(),
    ] {
        assert!(export.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
    }
    let kept = || {
        // Before the bytes of an object stands what is known of it.
        let magic = b"\x89PNG\r\n\x1a\n";
        let png = |path: &std::path::PathBuf| {
            fs::read(path).is_ok_and(|bytes| bytes.windows(magic.len()).any(|part| part == magic))
        };
        files(server.data.path()).iter().filter(|path| png(path)).count()
    };
    assert_eq!(kept(), 2);
    phone.delete("users/me").await.unwrap().expect(200).unwrap();
    assert_eq!(kept(), 0);
}
