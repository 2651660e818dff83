use proptest::prelude::*;
use serde_json::json;

use super::*;

const LIMITS: LineLimits = LineLimits { bytes_max: 2_000, samples_max: 10 };

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// Each line as its number, samples, deletion, and rejections.
type Told = Vec<(u64, Vec<Sample>, Option<SampleId>, Vec<(String, String)>)>;

/// A line as its number, how many samples, whether it deletes, and the code and place of each rejection.
type Summary<'a> = (u64, usize, bool, Vec<(&'a str, &'a str)>);

fn told(lines: Vec<Line>) -> Told {
    let rejected = |line: &Line| {
        line.rejected.iter().map(|rejection| (rejection.code.clone(), rejection.pointer.clone())).collect()
    };
    lines.into_iter().map(|line| (line.number, line.samples.clone(), line.deleted, rejected(&line))).collect()
}

fn read(chunks: &[&[u8]]) -> Told {
    let mut stream = Stream::new(LIMITS, now());
    let mut lines = Vec::new();
    for chunk in chunks {
        stream.push(chunk, |line| lines.push(line));
        assert!(stream.begun.capacity() <= 2 * LIMITS.bytes_max, "{}", stream.begun.capacity());
    }
    lines.extend(stream.finish());
    told(lines)
}

fn steps(value: u32) -> serde_json::Value {
    json!({
        "identifier": format!("00000000-0000-4000-8000-{value:012}"),
        "type": "HKQuantityTypeIdentifierStepCount",
        "value": value,
        "unit": "count",
        "start_date": "2026-03-01T08:00:00+01:00",
        "end_date": "2026-03-01T08:10:00+01:00",
    })
}

#[test]
fn each_line_is_a_record_and_a_broken_one_costs_itself_only() {
    let mut workout = steps(3);
    workout["type"] = "HKWorkoutTypeIdentifier".into();
    workout["value"] = 37.into();
    let correlation = json!({ "type": "HKCorrelationTypeIdentifierFood", "objects": [steps(4), { "type": "nothing" }, steps(5)] });
    let body = [
        steps(1).to_string(),
        "{\"value\": ".to_owned(),
        String::new(),
        " \r".to_owned(),
        format!("{}\r", steps(2)),
        "[]".to_owned(),
        "7".to_owned(),
        "{\"value\":1,\"value\":2}".to_owned(),
        "\u{feff}{}".to_owned(),
        workout.to_string(),
        correlation.to_string(),
        json!({ "deleted": "00000000-0000-4000-8000-000000000001" }).to_string(),
        json!({ "deleted": "one" }).to_string(),
        json!({ "type": "HKQuantityTypeIdentifierStepCount", "value": "many", "unit": "count", "start_date": "2026-03-01T08:00:00Z" }).to_string(),
        format!("{{\"x\":\"{}\"}}", "x".repeat(LIMITS.bytes_max)),
        json!({ "type": "HKCorrelationTypeIdentifierFood", "objects": vec![7; 11] }).to_string(),
        steps(6).to_string(),
    ]
    .join("\n");
    let found = read(&[body.as_bytes()]);
    let summary: Vec<Summary<'_>> = found
        .iter()
        .map(|(number, samples, deleted, rejected)| {
            let rejected = rejected.iter().map(|(code, pointer)| (code.as_str(), pointer.as_str())).collect();
            (*number, samples.len(), deleted.is_some(), rejected)
        })
        .collect();
    assert_eq!(
        summary,
        [
            (1, 1, false, vec![]),
            (2, 0, false, vec![("malformed", "")]),
            (5, 1, false, vec![]),
            (6, 0, false, vec![("malformed", "")]),
            (7, 0, false, vec![("malformed", "")]),
            (8, 0, false, vec![("malformed", "/value")]),
            (9, 0, false, vec![("malformed", "")]),
            (10, 1, false, vec![]),
            (11, 2, false, vec![("unknown_type", "/type")]),
            (12, 0, true, vec![]),
            (13, 0, false, vec![("invalid_id", "/deleted")]),
            (14, 0, false, vec![("not_a_number", "/value")]),
            (15, 0, false, vec![("too_long", "")]),
            (16, 0, false, vec![("too_many", "/objects")]),
            (17, 1, false, vec![]),
        ]
    );
}

#[test]
fn a_line_reads_as_an_item_of_an_upload_does() {
    let body = json!({ "quantity_samples": [steps(1), steps(2)], "upload_metadata": { "time_zone": "Europe/Berlin" } });
    let upload = super::super::parse_healthkit(body.to_string().as_bytes(), 10, now()).unwrap();
    let lines = format!(
        "{}\n{}\n{}",
        json!({ "upload_metadata": { "time_zone": "Europe/Berlin" } }),
        steps(1),
        steps(2)
    );
    let samples: Vec<Sample> =
        read(&[lines.as_bytes()]).into_iter().flat_map(|(_, samples, ..)| samples).collect();
    assert_eq!(samples, upload.samples);
    assert!(samples[0].clock.zone.is_some());
}

#[test]
fn an_endless_line_is_refused_once_and_never_held() {
    let mut stream = Stream::new(LIMITS, now());
    let mut lines = Vec::new();
    for _ in 0..10_000 {
        stream.push(&[b'x'; 1_000], |line| lines.push(line));
        assert!(stream.begun.capacity() <= 2 * LIMITS.bytes_max);
    }
    assert!(lines.is_empty());
    stream.push(format!("\n{}\n", steps(1)).as_bytes(), |line| lines.push(line));
    let found = told(lines);
    assert_eq!(found[0].3, [("too_long".to_owned(), String::new())]);
    assert_eq!((found[1].0, found[1].1.len()), (2, 1));
    assert_eq!(found.len(), 2);
    assert!(stream.finish().is_none());
}

proptest! {
    #[test]
    fn however_the_bytes_arrive_the_lines_are_the_same(
        picks in prop::collection::vec(0_usize..8, 0..20), cuts in prop::collection::vec(0_usize..6_000, 0..30), ends in any::<bool>(),
    ) {
        let pieces = [
            steps(1).to_string(), "{".to_owned(), String::new(), "\u{e9}\r".to_owned(), "x".repeat(1_999), "x".repeat(2_000), "x".repeat(2_001),
            format!("{{\"deleted\":\"{}\"}}", "00000000-0000-4000-8000-000000000001"),
        ];
        let mut body = picks.iter().map(|pick| pieces[*pick].as_str()).collect::<Vec<_>>().join("\n").into_bytes();
        if ends {
            body.push(b'\n');
        }
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).chain([0, body.len()]).collect();
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(&chunks), read(&[&body]));
    }
}
