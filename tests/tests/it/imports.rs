//! Files of readings: Apple Health's export and lines of samples, by the command line and through the API.

use std::{io::Write as _, path::Path};

use bytes::Bytes;
use e2e::{Clarity, Phone};
use futures::{StreamExt, channel::mpsc, stream};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{
    Server, Shared, command, healthkit, heart_rate, problem, processed, quantity, stdout_json, until,
};

static SHARED: Shared = Shared::new();

/// What `clarity sample` prints of one simulated person.
pub(crate) fn sample(format: &str, days: u16, user: &str) -> Vec<u8> {
    let (days, start) = (days.to_string(), "2025-03-03");
    let arguments = ["sample", "--format", format, "--days", &days, "--start", start, "--user", user];
    let output = command(&arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub(crate) fn export(days: u16) -> Vec<u8> {
    sample("export-xml", days, "00000000-0000-4000-8000-000000000000")
}

/// The archive that a phone shares.
pub(crate) fn archive(xml: &[u8], others: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, bytes) in [("apple_health_export/export.xml", xml)].iter().chain(others) {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn request(phone: &Phone, kind: &str) -> reqwest::RequestBuilder {
    phone.request(Method::POST, "healthkit/stream").header("content-type", kind)
}

/// The lines of an answer.
async fn lines(answer: Response) -> Vec<Value> {
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) async fn stream_in(phone: &Phone, kind: &str, body: impl Into<Bytes>) -> Vec<Value> {
    lines(request(phone, kind).body(body.into()).send().await.unwrap()).await
}

/// What the last line says of the import.
pub(crate) fn import(lines: &[Value]) -> &Value {
    &lines.last().expect("an answer has a last line")["import"]
}

pub(crate) fn counts(import: &Value) -> (u64, u64, u64) {
    let count = |name: &str| import["counts"][name].as_u64().unwrap();
    (count("accepted"), count("duplicate"), count("rejected"))
}

/// All measures but those of beats, which only an export has.
async fn measures(phone: &Phone) -> Value {
    let mut seen = all_measures(phone).await;
    for day in seen["daily"]["data"].as_array_mut().unwrap() {
        for of_beats in ["hrv_rmssd", "hrv_sdnn_of_beats"] {
            day["vitals"][of_beats] = Value::Null;
        }
    }
    seen
}

async fn all_measures(phone: &Phone) -> Value {
    let mut seen = json!({});
    for part in ["daily", "sleep", "circadian"] {
        seen[part] = phone.get(&format!("metrics/{part}")).await.unwrap().expect(200).unwrap();
    }
    seen
}

pub(crate) async fn readings(phone: &Phone) -> Vec<Value> {
    let (mut found, mut path) = (Vec::new(), "health-data?limit=1000".to_owned());
    loop {
        let page = phone.get(&path).await.unwrap().expect(200).unwrap();
        found.extend(page["data"].as_array().unwrap().iter().map(|reading| {
            json!([
                reading["identifier"],
                reading["timestamp_ms"],
                reading["end"],
                reading["value"],
                reading["unit"]
            ])
        }));
        match page["pagination"]["next_cursor"].as_str() {
            Some(cursor) => path = format!("health-data?limit=1000&cursor={cursor}"),
            None => break,
        }
    }
    found.sort_by_key(ToString::to_string);
    found
}

#[tokio::test]
async fn an_export_holds_what_the_phone_uploaded_and_nothing_is_counted_twice() {
    let server = Server::start(&[]);
    let (first, second) = (server.phone().await, server.phone().await);
    let upload = async |phone: &Phone| {
        let uploads: Value = serde_json::from_slice(&sample("healthkit", 5, &phone.user_id)).unwrap();
        for body in uploads.as_array().unwrap() {
            let answer = phone.post("healthkit", body).await.unwrap().expect(202).unwrap();
            processed(phone, answer["upload_id"].as_str().unwrap()).await;
        }
    };
    let xml = export(5);
    // The phone first, and then its export.
    upload(&first).await;
    let uploaded = measures(&first).await;
    assert!(uploaded["daily"]["data"].as_array().unwrap().len() >= 5);
    let count = readings(&first).await.len() as u64;
    let seen = stream_in(&first, "application/xml", xml.clone()).await;
    assert_eq!(counts(import(&seen)), (0, count, 0));
    assert_eq!(measures(&first).await, uploaded);

    // The export first, twice, and then the phone.
    let file = server.data.path().join("export.xml");
    std::fs::write(&file, &xml).unwrap();
    let by_command = || {
        let arguments = ["import", "--json", "--user", &second.email];
        let output = command(&arguments).arg(&file).arg("--data").arg(server.data.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        stdout_json(&output)
    };
    assert_eq!(counts(&by_command()), (count, 0, 0));
    until("the measures of the export", async || measures(&second).await == uploaded).await;
    assert_eq!(counts(&by_command()), (0, count, 0));
    let imported = all_measures(&second).await;
    for of_beats in ["hrv_rmssd", "hrv_sdnn_of_beats"] {
        assert!(imported["daily"]["data"][1]["vitals"][of_beats]["value"].is_number(), "{imported}");
    }
    // The beats are known whichever came first.
    until("the measures of the beats", async || all_measures(&first).await == imported).await;
    let seen = stream_in(&first, "application/xml", xml.clone()).await;
    assert_eq!(counts(import(&seen)), (0, count, 0));
    assert_eq!(all_measures(&first).await, imported);
    upload(&second).await;
    assert_eq!(all_measures(&second).await, imported);
    assert_eq!(readings(&second).await, readings(&first).await);

    // The phone deletes one: its line in the export, sent once more, does not bring it back.
    let uploads: Value = serde_json::from_slice(&sample("healthkit", 5, &second.user_id)).unwrap();
    let gone = &uploads[1]["quantity_samples"][0]["identifier"];
    let deletion = json!({ "user_id": second.user_id, "deleted_samples": [gone] });
    second.post("healthkit", &deletion).await.unwrap().expect(202).unwrap();
    assert_eq!(readings(&second).await.len() as u64, count - 1);
    let seen = stream_in(&second, "application/xml", xml).await;
    assert_eq!(counts(import(&seen)), (0, count, 0));
    assert_eq!(readings(&second).await.len() as u64, count - 1);
}

#[tokio::test]
async fn each_line_has_its_receipt_and_a_broken_one_costs_itself_only() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let (good, other) = (heart_rate(1), heart_rate(2));
    let gone = heart_rate(3);
    phone
        .post("healthkit", &healthkit(&phone, std::slice::from_ref(&gone)))
        .await
        .unwrap()
        .expect(202)
        .unwrap();
    let long = format!("{{\"metadata\":\"{}\"}}", "x".repeat(2 << 20));
    let lines = [
        good.to_string(),
        "not a sample".to_owned(),
        String::new(),
        long,
        json!({ "deleted": gone["identifier"] }).to_string(),
        good.to_string(),
        quantity("HeartRate", 9_000.0, "count/min", "2025-03-01T08:00:00Z", "2025-03-01T08:00:00Z")
            .to_string(),
        other.to_string(),
    ];
    let seen = stream_in(&phone, "application/x-ndjson", lines.join("\n")).await;
    let receipts: Vec<(u64, &str, Option<&str>)> = seen[..seen.len() - 1]
        .iter()
        .map(|line| (line["line"].as_u64().unwrap(), line["status"].as_str().unwrap(), line["code"].as_str()))
        .collect();
    assert_eq!(
        receipts,
        [
            (1, "accepted", None),
            (2, "rejected", Some("malformed")),
            (4, "rejected", Some("too_long")),
            (5, "deletes", None),
            (6, "duplicate", None),
            (7, "rejected", Some("out_of_range")),
            (8, "accepted", None),
        ]
    );
    assert_eq!((import(&seen)["state"].as_str(), counts(import(&seen))), (Some("completed"), (2, 1, 3)));
    until("the measures without what a line deleted", async || {
        let days = phone.get("metrics/daily").await.unwrap().expect(200).unwrap();
        days["data"][0]["heart_rate_max"]["value"] == 62.0
    })
    .await;
    // What was deleted stays so.
    let again = stream_in(&phone, "application/x-ndjson", gone.to_string()).await;
    assert_eq!(again[0]["status"], "deleted");
    assert_eq!(readings(&phone).await.len(), 2);
    let id = import(&seen)["import_id"].as_str().unwrap();
    let stored = phone.get(&format!("healthkit/imports/{id}")).await.unwrap().expect(200).unwrap();
    assert_eq!(&stored, import(&seen));
    let stranger = server.phone().await;
    assert_eq!(problem(&stranger.get(&format!("healthkit/imports/{id}")).await.unwrap(), 404), "not-found");
}

#[tokio::test]
async fn what_could_harm_is_refused_with_its_line_and_what_came_before_stays() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let record = "<Record type=\"HKQuantityTypeIdentifierHeartRate\" sourceName=\"Watch\" unit=\"count/min\" \
                  creationDate=\"2025-03-01 08:00:00 +0100\" startDate=\"2025-03-01 08:00:00 +0100\" \
                  endDate=\"2025-03-01 08:00:00 +0100\" value=\"61\"/>";
    let bomb = "<?xml version=\"1.0\"?>\n<!DOCTYPE HealthData [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>\n<HealthData/>";
    let external =
        "<?xml version=\"1.0\"?>\n<!DOCTYPE HealthData SYSTEM \"file:///etc/passwd\">\n<HealthData/>";
    let other = "<html/>";
    for (xml, words) in [(bomb, "line 2"), (external, "line 2"), (other, "not an Apple Health export")] {
        let seen = stream_in(&phone, "application/xml", xml).await;
        assert_eq!(import(&seen)["state"], "failed", "{xml}");
        assert!(import(&seen)["failure"].as_str().unwrap().contains(words), "{}", import(&seen));
    }
    let truncated = format!("<HealthData>\n{record}\n<Record type=");
    let seen = stream_in(&phone, "application/xml", truncated).await;
    assert_eq!((import(&seen)["state"].as_str(), counts(import(&seen))), (Some("failed"), (1, 0, 0)));
    assert_eq!(readings(&phone).await.len(), 1);

    let whole = format!("<HealthData>\n{record}\n</HealthData>");
    for (name, words) in [("../../etc/cron.d/x", "leads out of it"), ("/etc/passwd", "leads out of it")] {
        let zip = archive(whole.as_bytes(), &[(name, b"x")]);
        let seen = stream_in(&phone, "application/zip", zip).await;
        assert_eq!(import(&seen)["state"], "failed", "{name}");
        assert!(import(&seen)["failure"].as_str().unwrap().contains(words), "{}", import(&seen));
    }
    let zeros = vec![0; 64 << 20];
    let seen = stream_in(&phone, "application/zip", archive(&zeros, &[])).await;
    assert_eq!(import(&seen)["state"], "failed");

    let nowhere = phone.request(Method::POST, "healthkit/stream?time_zone=Mars/Olympus");
    let nowhere = nowhere.header("content-type", "application/x-ndjson").body("{}");
    assert_eq!(problem(&e2e::read(nowhere).await.unwrap(), 422), "validation");
    let refused = e2e::read(request(&phone, "text/plain").body("x")).await.unwrap();
    assert_eq!(problem(&refused, 415), "unsupported-media-type");
    let coded = request(&phone, "application/xml").header("content-encoding", "gzip").body("x");
    assert_eq!(problem(&e2e::read(coded).await.unwrap(), 415), "unsupported-media-type");
}

#[tokio::test]
async fn what_came_with_an_export_is_kept_and_handed_out_again() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let ecg = b"Name,Anna\nSample Rate,512 Hz\n1.5\n2.5\n".as_slice();
    let zip = archive(&export(2), &[("apple_health_export/electrocardiograms/ecg_2025-03-03.csv", ecg)]);
    let seen = stream_in(&phone, "application/zip", zip.clone()).await;
    assert_eq!(import(&seen)["state"], "completed");
    assert_eq!(import(&seen)["attachments"].as_array().unwrap().len(), 1);
    let all = counts(import(&seen)).0;
    let again = stream_in(&phone, "application/zip", zip).await;
    assert_eq!(counts(import(&again)), (0, all, 0));
    let answer = phone.request(Method::GET, "users/me/export").send().await.unwrap().bytes().await.unwrap();
    let mut export = zip::ZipArchive::new(std::io::Cursor::new(answer)).unwrap();
    let is_it = |name: &str| name.contains("ecg_2025-03-03.csv");
    let at = (0..export.len()).find(|at| is_it(&export.by_index(*at).unwrap().name().unwrap()));
    let mut kept = Vec::new();
    let mut file = export.by_index(at.expect("the file is in the export")).unwrap();
    std::io::Read::read_to_end(&mut file, &mut kept).unwrap();
    assert_eq!(kept, ecg);
}

/// Sends the beginning of a file, and waits until some of it is kept.
async fn begin(
    phone: &Phone,
    xml: &[u8],
    bytes: usize,
) -> (mpsc::Sender<Result<Bytes, std::io::Error>>, Response) {
    let (mut sender, body) = mpsc::channel(4);
    let body = reqwest::Body::wrap_stream(body);
    let answer = request(phone, "application/xml").header("content-length", xml.len()).body(body);
    sender.try_send(Ok(Bytes::copy_from_slice(&xml[..bytes]))).unwrap();
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    (sender, answer)
}

async fn first_progress(answer: Response) -> Value {
    let mut seen = Vec::new();
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        seen.extend_from_slice(&piece.unwrap());
        if let Some(end) = seen.iter().position(|byte| *byte == b'\n') {
            return serde_json::from_slice(&seen[..end]).unwrap();
        }
    }
    panic!("no progress was told")
}

#[tokio::test]
async fn an_import_that_broke_off_goes_on_where_it_stopped() {
    let data = tempfile::tempdir().unwrap();
    let start = || Clarity::serve(data.path()).unwrap().start().unwrap();
    let mut server = start();
    let address = server.address().unwrap();
    let people = async || (Phone::sign_up(address).await.unwrap(), Phone::sign_up(address).await.unwrap());
    let (killed, whole) = people().await;
    let xml = export(40);
    let full = counts(import(&stream_in(&whole, "application/xml", xml.clone()).await)).0;
    // So much that the first portion is whole, and the file is not.
    let (sender, answer) = begin(&killed, &xml, xml.len() / 10 * 9).await;
    let progress = first_progress(answer).await;
    let kept = progress["progress"]["position"].as_u64().unwrap();
    assert!(kept > 0 && kept < xml.len() as u64, "{progress}");
    server.kill().unwrap();
    drop(sender);
    let server = start();
    let killed = killed.at(server.address().unwrap());
    let seen = stream_in(&killed, "application/xml", xml.clone()).await;
    let last = import(&seen);
    assert_eq!((last["state"].as_str(), counts(last)), (Some("completed"), (full, 0, 0)));
    // It did not begin anew.
    assert!(seen[0]["progress"]["position"].as_u64().unwrap() > kept, "{}", seen[0]);
    let whole = whole.at(server.address().unwrap());
    assert_eq!(readings(&killed).await, readings(&whole).await);
    until("the same measures", async || measures(&killed).await == measures(&whole).await).await;
    assert!(!measures(&whole).await["daily"]["data"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_file_that_was_changed_is_not_gone_on_with() {
    let server = SHARED.get();
    let (phone, other) = (server.phone().await, server.phone().await);
    let xml = export(40);
    let (sender, answer) = begin(&phone, &xml, xml.len() / 10 * 9).await;
    first_progress(answer).await;
    drop(sender);
    // As long, and with the same head: one reading near the head is another.
    let mut changed = xml.clone();
    let at = changed.windows(8).skip(70_000).position(|bytes| bytes == b" value=\"").unwrap() + 70_000 + 8;
    changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
    let seen = async || {
        let answer = request(&phone, "application/xml").body(changed.clone()).send().await.unwrap();
        if answer.status() == 429 { None } else { Some(lines(answer).await) }
    };
    // The one before lets go a moment later.
    let mut first = None;
    until("the broken import to let go", async || {
        first = seen().await;
        first.is_some()
    })
    .await;
    let error = first.unwrap()[0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("send it again"), "{error}");
    let again = seen().await.unwrap();
    assert_eq!(import(&again)["state"], "completed");
    stream_in(&other, "application/xml", xml).await;
    stream_in(&other, "application/xml", changed).await;
    assert_eq!(readings(&phone).await, readings(&other).await);
}

#[tokio::test]
async fn what_is_left_out_of_an_archive_is_told() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let mut word = 7_u32;
    let mut noise = || {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        word.to_be_bytes()[0]
    };
    let route: Vec<u8> = (0..33 << 20).map(|_| noise()).collect();
    let name = "apple_health_export/workout-routes/route_2025-03-03_6.32pm.gpx";
    let zip = archive(&export(1), &[(name, &route), ("apple_health_export/a.csv", b"a")]);
    let seen = stream_in(&phone, "application/zip", zip).await;
    let told = import(&seen);
    assert_eq!(told["state"], "completed", "{told}");
    assert_eq!(told["attachments"], json!(["apple_health_export/a.csv"]));
    assert_eq!(told["attachments_left_out"], 1);
    assert_eq!(told["left_out"], json!([{ "name": name, "size_bytes": 33 << 20, "code": "too_large" }]));
}

#[tokio::test]
async fn whoever_leaves_in_the_middle_keeps_what_was_told() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let xml = export(40);
    let (sender, answer) = begin(&phone, &xml, xml.len() / 10 * 9).await;
    let progress = first_progress(answer).await;
    drop(sender);
    let told = progress["progress"]["readings"].as_u64().unwrap();
    until("the broken import to let go", async || {
        let body = stream::once(async { Ok::<_, std::io::Error>(Bytes::new()) });
        let probe =
            request(&phone, "application/x-ndjson").body(reqwest::Body::wrap_stream(body)).send().await;
        probe.unwrap().status() == 200
    })
    .await;
    assert!(readings(&phone).await.len() as u64 >= told);
}

#[tokio::test]
async fn one_stream_of_a_user_is_read_at_a_time() {
    let server = SHARED.get();
    let phone = server.phone().await;
    let (sender, body) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let first =
        request(&phone, "application/x-ndjson").body(reqwest::Body::wrap_stream(body)).send().await.unwrap();
    let second = e2e::read(request(&phone, "application/x-ndjson").body("{}")).await.unwrap();
    assert_eq!(problem(&second, 429), "rate-limited");
    assert!(second.headers.contains_key("retry-after"));
    drop(sender);
    assert_eq!(import(&lines(first).await)["state"], "completed");
}

#[test]
fn what_cannot_be_imported_is_said_with_what_to_do() {
    let server = Server::start(&[]);
    let picture = server.data.path().join("picture.png");
    std::fs::write(&picture, b"\x89PNG\r\n").unwrap();
    let import = |file: &Path, rest: &[&str]| {
        command(&[&["import"], rest].concat())
            .arg(file)
            .arg("--data")
            .arg(server.data.path())
            .output()
            .unwrap()
    };
    for (file, rest, words) in [
        (Path::new("/nowhere/export.xml"), &["--user", "anna@example.org"][..], "check the path"),
        (&picture, &["--user", "anna@example.org"], "Export All Health Data"),
    ] {
        let output = import(file, rest);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let xml = server.data.path().join("export.xml");
    std::fs::write(&xml, export(1)).unwrap();
    let output = import(&xml, &["--user", "nobody@example.org"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no account has this address"));
}
