use jiff::civil::date;
use serde_json::json;

use super::*;

fn import() -> Import {
    let at = "2026-03-01T08:00:00Z";
    serde_json::from_value(json!({
        "id": uuid::Uuid::from_u128(1), "state": "running", "position": Position::START, "rejected": [],
        "counts": { "accepted": 0, "duplicate": 0, "rejected": 0, "unsupported": {} },
        "started_at": at, "updated_at": at,
    }))
    .unwrap()
}

fn end(unsupported: BTreeMap<String, u64>) -> End {
    End { position: Position { offset: 10, line: 2 }, prefix: None, unsupported }
}

/// `DynamoDB` holds 400 KiB in a record, of the stores the least.
#[test]
fn the_record_of_an_import_stays_small_whatever_its_file_holds() {
    let mut import = import();
    // The worst that JSON makes of a byte.
    let name = |n: u32| format!("{n}{}", "\u{1}".repeat(2000));
    let rejection = |n| Rejection {
        pointer: format!("/line/{n}"),
        id: Some(SampleId(uuid::Uuid::from_u128(1))),
        code: "malformed".to_owned(),
        message: if n % 2 == 0 { name(n) } else { "short".to_owned() },
    };
    let receipts = Receipts {
        rejected: (0..5000).map(rejection).collect(),
        rejected_total: 5000,
        ..Receipts::default()
    };
    let unsupported = (0..2000).map(|n| (name(n), 1)).collect();
    import.advance(&end(unsupported), 0, [receipts].iter());
    let left_out = |n| LeftOut { name: name(n), size_bytes: u64::MAX, code: "too_large".to_owned() };
    import.leave_out((0..2000).map(left_out).collect());
    for n in 0..20_000 {
        let (name, sha256) = (format!("{n}"), "ab".repeat(32));
        let object = format!("raw/{}/imports/{}/{sha256}", "cd".repeat(16), import.id);
        if import.has_room(&name) {
            import.attachments.push(Attachment { name, size_bytes: u64::MAX, sha256, object });
        }
    }
    let metrics: Vec<Metric> = Metric::all().collect();
    for n in 0.. {
        if import.ranges() >= RANGES_A_JOB {
            break;
        }
        let day = date(2000, 1, 1).checked_add(jiff::Span::new().days(2 * (n / 50))).unwrap();
        import.joins.entry(metrics[usize::try_from(n % 50).unwrap()]).or_default().insert(day);
    }
    let bytes = encode(&import).unwrap().len();
    assert!((200_000..320_000).contains(&bytes), "{bytes} bytes");
    assert_eq!(import.counts.rejected, 5000, "all are counted");
    assert_eq!(import.attachments_left_out, 2000);
}

#[test]
fn what_comes_again_after_an_interruption_is_new_once() {
    let receipts = |accepted, duplicate| Receipts { accepted, duplicate, ..Receipts::default() };
    let mut import = import();
    // Seven of them were new when they came first; one came twice in the file itself.
    import.advance(&end(BTreeMap::new()), 7, [receipts(2, 5), receipts(0, 3)].iter());
    assert_eq!((import.counts.accepted, import.counts.duplicate, import.uncounted), (9, 1, 0));
    import.advance(&end(BTreeMap::new()), import.uncounted, [receipts(1, 4)].iter());
    assert_eq!((import.counts.accepted, import.counts.duplicate), (10, 5));
}
