use std::io::Cursor;

use domain::{
    sample::{Sample, Value},
    time::timestamp,
};
use proptest::prelude::*;
use simulator::{Simulation, SimulatorSettings};

use super::*;

const IOS_17: &str = include_str!("../../fixtures/ios17.xml");

/// A reader that hands out a few bytes at a time.
struct Drops<'a>(&'a [u8], usize);

impl Read for Drops<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.1.min(into.len()).min(self.0.len());
        into[..read].copy_from_slice(&self.0[..read]);
        self.0 = &self.0[read..];
        Ok(read)
    }
}

/// Everything that a reader tells, without ids' sake put as text.
#[derive(Default, PartialEq, Debug)]
struct Told {
    samples: Vec<String>,
    beats: Vec<String>,
    summaries: Vec<String>,
    rejected: Vec<String>,
    unsupported: Vec<String>,
}

fn text(sample: &Sample) -> String {
    let Sample { metric, interval, value, clock, source, metadata, .. } = sample;
    let value = match value {
        Value::Quantity(quantity) => quantity.to_string(),
        Value::Category(category) => format!("#{category}"),
    };
    let at = timestamp(interval.start_ms());
    let zone = clock.zone.as_ref().map_or("-", |zone| zone.as_str());
    let name = source.name.as_deref().unwrap_or("-");
    let product = source.product_type.as_deref().unwrap_or("-");
    let metadata = metadata.as_deref().unwrap_or("-");
    let seconds = interval.duration_ms() / 1000;
    format!(
        "{} {at} {seconds} {value} {} {zone} {name} {product} {metadata}",
        metric.name(),
        clock.offset_seconds
    )
}

impl Told {
    fn add(&mut self, batch: &Batch) {
        assert_eq!(batch.samples.len(), batch.places.len());
        for (sample, place) in batch.samples.iter().zip(&batch.places) {
            assert_eq!(sample.id, sample.content_key().sample_id());
            let mark = if place.is_member { "*" } else { "" };
            self.samples.push(format!("{}{mark} {}", place.line, text(sample)));
        }
        for beats in &batch.beats {
            let of: Vec<String> = beats
                .beats
                .iter()
                .map(|beat| format!("{}:{}", beat.at_ms - beats.interval.start_ms(), beat.beats_per_minute))
                .collect();
            self.beats.push(of.join(" "));
        }
        for summary in &batch.summaries {
            let crate::ActivitySummary {
                date,
                active_energy_kcal,
                move_minutes,
                exercise_minutes,
                stand_hours,
            } = summary;
            self.summaries.push(format!(
                "{date} {active_energy_kcal:?} {move_minutes:?} {exercise_minutes:?} {stand_hours:?}"
            ));
        }
        self.rejected
            .extend(batch.rejected.iter().map(|rejection| format!("{} {}", rejection.line, rejection.code)));
        for (name, count) in &batch.unsupported {
            self.unsupported.extend((0..*count).map(|_| name.to_string()));
        }
        self.unsupported.sort();
    }
}

fn drain<R: Read>(mut reader: ExportReader<R>, items: usize) -> (Told, Result<(), Refused>) {
    let (mut told, mut batch) = (Told::default(), Batch::default());
    loop {
        let outcome = reader.read(&mut batch, items);
        told.add(&batch);
        match outcome {
            Ok(State::More) => {}
            Ok(State::End) => return (told, Ok(())),
            Err(refused) => return (told, Err(refused)),
        }
    }
}

fn whole(xml: &str) -> Told {
    let (told, outcome) = drain(ExportReader::new(xml.as_bytes()), 1_000);
    outcome.unwrap();
    told
}

fn refusal(xml: impl AsRef<[u8]>) -> (usize, u64, Reason) {
    let (told, outcome) = drain(ExportReader::new(xml.as_ref()), 1_000);
    let Refused { position, reason } = outcome.unwrap_err();
    (told.samples.len(), position.line, reason)
}

#[test]
fn an_export_of_ios_17_is_read_to_the_last_digit() {
    let told = whole(IOS_17);
    let watch = "Ana’s Apple\u{a0}Watch";
    assert_eq!(
        told.samples,
        [
            format!("26 heart_rate 2024-03-31T00:59:30Z 0 61 3600 - {watch} Watch6,2 {{\"HKMetadataKeyHeartRateMotionContext\":\"1\"}}"),
            format!("29 heart_rate 2024-03-31T01:00:00Z 0 62.5 7200 - {watch} Watch6,2 -"),
            format!("30 heart_rate 2024-03-31T01:00:05Z 0 63.5 7200 - {watch} Watch6,2 -"),
            format!("31 oxygen_saturation 2024-03-31T01:05:00Z 0 97 7200 - {watch} - -"),
            "32 step_count 2024-10-27T00:30:00Z 3600 420 7200 - iPhone \"de\" Ana & Co. - -".to_owned(),
            "33 distance_walking_running 2024-10-27T01:30:00Z 600 1609.344 3600 - iPhone - -".to_owned(),
            "34 blood_pressure_systolic 2024-05-01T06:00:00Z 0 121 7200 - Cuff - -".to_owned(),
            "35 blood_pressure_diastolic 2024-05-01T06:00:00Z 0 79 7200 - Cuff - -".to_owned(),
            "45 sleep_analysis 2021-05-01T21:00:00Z 28200 #0 7200 - Uhr - -".to_owned(),
            "46 sleep_analysis 2021-05-01T21:20:00Z 26400 #1 7200 - Uhr - -".to_owned(),
            "47 sleep_analysis 2024-05-01T21:20:00Z 3000 #3 7200 Europe/Paris Uhr - {\"HKTimeZone\":\"America/New_York\",\"Notiz \\\"1\\\"\":\"ein\\nWort\"}".to_owned(),
            "52 sleep_analysis 2024-05-01T22:10:00Z 1800 #5 7200 - Uhr - -".to_owned(),
            "54 mindful_session 2024-05-02T10:00:00Z 600 #0 7200 - Atem - -".to_owned(),
            "55 headache 2024-05-02T10:00:00Z 600 #2 7200 - Health - -".to_owned(),
            "57 heart_rate_variability_sdnn 2024-05-02T21:59:58Z 60 41.5 7200 - Uhr - -".to_owned(),
            "67* blood_pressure_systolic 2024-05-01T06:00:00Z 0 121 7200 - Cuff - -".to_owned(),
            "68* blood_pressure_diastolic 2024-05-01T06:00:00Z 0 79 7200 - Cuff - {\"HKWasUserEntered\":\"1\"}".to_owned(),
            concat!(
                "72 workout 2024-05-04T16:00:00Z 1950 #37 7200 - Uhr - {\"duration\":\"32.5\",\"durationUnit\":\"min\",\"HKIndoorWorkout\":\"0\",",
                "\"WorkoutParts\":[{\"element\":\"WorkoutEvent\",\"type\":\"HKWorkoutEventTypePause\",\"date\":\"2024-05-04 18:10:00 +0200\"},",
                "{\"element\":\"MetadataEntry\",\"key\":\"Grund\",\"value\":\"Ampel\"},",
                "{\"element\":\"WorkoutStatistics\",\"type\":\"HKQuantityTypeIdentifierDistanceWalkingRunning\",\"startDate\":\"2024-05-04 18:00:00 +0200\",",
                "\"endDate\":\"2024-05-04 18:32:30 +0200\",\"sum\":\"5.1\",\"unit\":\"km\"},",
                "{\"element\":\"WorkoutRoute\",\"sourceName\":\"Uhr\",\"startDate\":\"2024-05-04 18:00:00 +0200\",\"endDate\":\"2024-05-04 18:32:30 +0200\"},",
                "{\"element\":\"FileReference\",\"path\":\"/workout-routes/route_2024-05-04_6.32pm.gpx\"}]}",
            )
            .to_owned(),
        ]
    );
    assert_eq!(told.beats, ["910:62 1850:64 2800:63"]);
    assert_eq!(
        told.summaries,
        [
            "2024-05-04 (Some(500.0), Some(1000.0)) (Some(0.0), Some(0.0)) (Some(42.0), Some(30.0)) (Some(11.0), Some(12.0))"
        ]
    );
    assert_eq!(
        told.rejected,
        [
            "36 missing",
            "37 unknown_unit",
            "38 end_before_start",
            "39 invalid_timestamp",
            "40 not_a_number",
            "41 missing",
            "53 not_a_category",
            "56 missing",
            "57 invalid_beat",
            "82 not_a_category",
            "84 invalid_timestamp",
        ]
    );
    assert_eq!(
        told.unsupported,
        ["Audiogram", "ClinicalRecord", "HKDataTypeSleepDurationGoal", "HKDataTypeSleepDurationGoal"]
    );
}

#[test]
fn metadata_is_strict_json() {
    let mut batch = Batch::default();
    ExportReader::new(IOS_17.as_bytes()).read(&mut batch, 1_000).unwrap();
    let texts: Vec<&str> = batch.samples.iter().filter_map(|sample| sample.metadata.as_deref()).collect();
    assert_eq!(texts.len(), 4);
    for text in texts {
        assert!(serde_json::from_str::<serde_json::Value>(text).unwrap().is_object());
    }
}

#[test]
fn a_member_of_a_correlation_has_the_id_of_the_record_that_it_repeats() {
    let mut batch = Batch::default();
    ExportReader::new(IOS_17.as_bytes()).read(&mut batch, 1_000).unwrap();
    let ids = |line: u64| {
        let at = batch.places.iter().position(|place| place.line == line).unwrap();
        (batch.samples[at].id, batch.places[at].is_member)
    };
    assert_eq!((ids(34).0, ids(34).1, ids(67).1), (ids(67).0, false, true));
    assert_eq!(ids(35).0, ids(68).0);
    assert_eq!(
        batch.counts,
        crate::Counts { records: 25, members: 2, correlations: 1, workouts: 2, summaries: 2 }
    );
}

#[test]
fn the_samples_of_a_batch_share_their_source_and_those_of_two_batches_do_not() {
    let mut reader = ExportReader::new(IOS_17.as_bytes());
    let (mut one, mut two) = (Batch::default(), Batch::default());
    reader.read(&mut one, 2).unwrap();
    reader.read(&mut two, 2).unwrap();
    assert!(std::sync::Arc::ptr_eq(&one.samples[0].source, &one.samples[1].source));
    assert!(!std::sync::Arc::ptr_eq(&one.samples[0].source, &two.samples[0].source));
    assert_eq!(one.samples[0].source, two.samples[0].source);
}

#[test]
fn a_byte_order_mark_line_ends_of_windows_and_single_quotes_change_nothing() {
    let expected = whole(IOS_17);
    assert_eq!(whole(&format!("\u{feff}{IOS_17}")), expected);
    assert_eq!(whole(&IOS_17.replace('\n', "\r\n")), expected);
    let lone = "<HealthData><Record type='HKQuantityTypeIdentifierStepCount' unit='count' startDate='2024-05-01 08:00:00 +0200' endDate='2024-05-01 08:10:00 +0200' value='7'/></HealthData>";
    assert_eq!(whole(lone).samples, ["1 step_count 2024-05-01T06:00:00Z 600 7 7200 - - - -"]);
    assert_eq!(whole("<HealthData/>"), Told::default());
    assert_eq!(whole("<?xml version='1.0' encoding='utf-8'?><HealthData></HealthData>\n"), Told::default());
}

fn record(attributes: &str) -> String {
    format!(
        "<Record type=\"HKQuantityTypeIdentifierStepCount\" sourceName=\"x\" unit=\"count\" creationDate=\"2024-05-01 08:00:00 +0200\" {attributes}/>"
    )
}

const DATES: &str = "startDate=\"2024-05-01 08:00:00 +0200\" endDate=\"2024-05-01 08:10:00 +0200\"";

/// A document of one good record, on its second line, and what comes after it.
fn after_a_record(rest: &str) -> String {
    format!("<HealthData>\n{}\n{rest}", record(&format!("{DATES} value=\"7\"")))
}

#[test]
fn what_could_harm_is_refused_with_its_line_and_what_came_before_stays() {
    let long = "x".repeat(limits::ATTRIBUTE_BYTES_MAX + 1);
    let longer = "y".repeat(limits::EVENT_BYTES_MAX + 1);
    let deep = "<a>".repeat(limits::DEPTH_MAX + 1);
    let entries = "<MetadataEntry key=\"k\" value=\"v\"/>".repeat(10);
    let wide = (0..70)
        .map(|n| format!("<MetadataEntry key=\"k{n}\" value=\"{}\"/>", "z".repeat(16_000)))
        .collect::<Vec<_>>()
        .concat();
    let beats = "<InstantaneousBeatsPerMinute bpm=\"60\" time=\"1:00:00,00\"/>".repeat(limits::BEATS_MAX + 1);
    for (rest, reason) in [
        (String::new(), "the file ends before the document does"),
        (record("").replace("/>", ""), "the file ends before the document does"),
        (record("value=\"7").replace("/>", ""), "the file ends before the document does"),
        ("<!-- never closed".to_owned(), "the file ends before the document does"),
        ("<![CDATA[ never closed".to_owned(), "the file ends before the document does"),
        (
            "<Workout></Record>".to_owned(),
            "not well-formed XML: elements that do not match, or a comment with `--`",
        ),
        (
            "<!-- a -- b -->".to_owned(),
            "not well-formed XML: elements that do not match, or a comment with `--`",
        ),
        (record("value=7"), "not well-formed XML: the value of an attribute without quotes"),
        (record("value"), "not well-formed XML: an attribute without a value"),
        (record("unit=\"count\""), "not well-formed XML: an attribute that is there twice"),
        (record("value=\"a<b\""), "not well-formed XML: a `<` in the value of an attribute"),
        (record("value=\"a&b\""), "not well-formed XML: a lone `&`"),
        (record("value=\"&lol;\""), "an entity that is not defined"),
        (record("note=\"&#0;\""), "not well-formed XML: a reference to no character"),
        ("x &lol x".to_owned(), "not well-formed XML: a lone `&`"),
        ("&lol;".to_owned(), "an entity that is not defined"),
        ("<Me a=\"&xxe;\"/>".to_owned(), "an entity that is not defined"),
        ("<!ENTITY lol \"lol\">".to_owned(), "not well-formed XML: an unknown kind of `<!`"),
        ("<!DOCTYPE HealthData []>".to_owned(), "not well-formed XML: a document type within the document"),
        (record(&format!("note=\"{long}\"")), "the length of an attribute in bytes is more than 65536"),
        (format!("<!--{longer}-->"), "the length of an element in bytes is more than 1048576"),
        (longer.clone(), "the length of an element in bytes is more than 1048576"),
        (format!("<a b=\"{longer}"), "the length of an element in bytes is more than 1048576"),
        (deep, "the depth of an element is more than 16"),
        (
            format!("{}{wide}</Record>", record(&format!("{DATES} value=\"8\"")).replace("/>", ">")),
            "what is within an element, in bytes, is more than 1048576",
        ),
        (
            format!("{}<HeartRateVariabilityMetadataList>{beats}", record(DATES).replace("/>", ">")),
            "the number of beats of a record is more than 100000",
        ),
        (format!("{entries}\u{0}<\u{0}>"), "not well-formed XML: a tag without a proper name"),
        ("</HealthData><HealthData>".to_owned(), "not well-formed XML: a second root"),
        ("</HealthData>\nx".to_owned(), "not well-formed XML: text after the document"),
    ] {
        let (samples, line, found) = refusal(after_a_record(&rest));
        let begin: String = rest.chars().take(80).collect();
        assert_eq!(found.to_string(), reason, "{begin}");
        assert_eq!(samples, 1, "{begin}");
        assert_eq!(line, 3, "{begin}");
    }
}

#[test]
fn documents_of_another_kind_are_refused_at_once() {
    let bomb = "<!DOCTYPE HealthData [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]><HealthData>&b;</HealthData>";
    for (xml, reason) in [
        ("", "the file ends before the document does"),
        ("  \n", "the file ends before the document does"),
        ("{\"a\":1}", "the document is not an Apple Health export: its root is not `HealthData`"),
        ("PK\u{3}\u{4}", "the document is not an Apple Health export: its root is not `HealthData`"),
        ("<ClinicalDocument/>", "the document is not an Apple Health export: its root is not `HealthData`"),
        ("<healthdata/>", "the document is not an Apple Health export: its root is not `HealthData`"),
        (
            "<!DOCTYPE html><html/>",
            "the document is not an Apple Health export: its root is not `HealthData`",
        ),
        (bomb, "the document declares an entity, which no Apple Health export does"),
        (
            "<!DOCTYPE HealthData [<!ENTITY % x SYSTEM \"http://a/b\"> %x;]><HealthData/>",
            "the document declares an entity, which no Apple Health export does",
        ),
        (
            "<!DOCTYPE HealthData [%x;]><HealthData/>",
            "the document declares an entity, which no Apple Health export does",
        ),
        (
            "<!DOCTYPE HealthData [<!ENTITY xxe SYSTEM \"file:///etc/passwd\">]><HealthData>&xxe;</HealthData>",
            "the document declares an entity, which no Apple Health export does",
        ),
        (
            "<!DOCTYPE HealthData SYSTEM \"http://a/b.dtd\"><HealthData/>",
            "the document declares an external document type, which no Apple Health export does",
        ),
        (
            "<!DOCTYPE HealthData PUBLIC \"a\" \"http://a/b.dtd\" []><HealthData/>",
            "the document declares an external document type, which no Apple Health export does",
        ),
        (
            "<!DOCTYPE HealthData [<!NOTATION n SYSTEM \"x\">]><HealthData/>",
            "the document declares a notation, which no Apple Health export does",
        ),
        (
            "<?xml version=\"1.0\" encoding=\"UTF-16\"?><HealthData/>",
            "not well-formed XML: an encoding other than UTF-8",
        ),
    ] {
        let (samples, line, found) = refusal(xml);
        assert_eq!((found.to_string().as_str(), samples), (reason, 0), "{xml}");
        assert!(line <= 2, "{xml}");
    }
    let latin =
        [b"<HealthData>\n<Me a=\"\xe9\"/></HealthData>".as_slice(), b"<HealthData>\n\xff</HealthData>"];
    for bytes in latin {
        assert_eq!(refusal(bytes).2.to_string(), "not well-formed XML: text that is not UTF-8");
    }
    let utf16: Vec<u8> = "\u{feff}<HealthData/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(refusal(utf16).2.to_string(), "not well-formed XML: text that is not UTF-8");
}

#[test]
fn a_file_that_is_cut_off_anywhere_gives_what_was_whole() {
    let expected = whole(IOS_17);
    for end in 0..IOS_17.len() {
        let (told, outcome) = drain(ExportReader::new(&IOS_17.as_bytes()[..end]), 1_000);
        let (before, after) = IOS_17.as_bytes().split_at(end);
        let is_whole = after.trim_ascii().is_empty() || before.trim_ascii_end().ends_with(b"</HealthData>");
        assert_eq!(outcome.is_ok(), is_whole, "{end}");
        if let Err(Refused { reason, .. }) = outcome {
            // Within a character, or before the root is known, another reason comes first.
            assert!(
                matches!(reason, Reason::Truncated | Reason::Malformed(_) | Reason::NotHealthData),
                "{end}: {reason}"
            );
        }
        assert_eq!(told.samples, expected.samples[..told.samples.len()], "{end}");
    }
}

/// Reads on from each position that is told when so many items are asked for, and compares with what is read at once.
fn resumes(xml: &str, items: usize) {
    let expected = whole(xml);
    let mut told = Told::default();
    let mut batch = Batch::default();
    let mut position = Position::START;
    loop {
        let mut reader = ExportReader::seek(Cursor::new(xml), position).unwrap();
        let state = reader.read(&mut batch, items).unwrap();
        told.add(&batch);
        let next = batch.position.unwrap();
        if state == State::End {
            break;
        }
        assert!(next.offset > position.offset, "{next:?}");
        let before = &xml.as_bytes()[..usize::try_from(next.offset).unwrap()];
        let lines = memchr::memchr_iter(b'\n', before).count();
        assert_eq!(next.line, lines as u64 + 1);
        position = next;
    }
    assert_eq!(told, expected);
}

#[test]
fn reading_goes_on_at_every_position_as_if_it_had_not_stopped() {
    resumes(IOS_17, 1);
    resumes(IOS_17, 3);
    resumes(&format!("\u{feff}{}", IOS_17.replace('\n', "\r\n")), 1);
    resumes(&simulated(3, Some(600)), 50);
}

fn simulated(days: u16, strap: Option<u16>) -> String {
    let start = jiff::civil::Date::constant(2026, 3, 2);
    let settings = SimulatorSettings { days, seed: 7, start, zone: "Europe/Berlin".to_owned() };
    let simulation = Simulation::new(&settings).unwrap();
    let simulation = match strap {
        Some(seconds) => simulation.with_chest_strap(seconds),
        None => simulation,
    };
    let mut xml = Vec::new();
    simulation.write_export_xml(&mut xml).unwrap();
    String::from_utf8(xml).unwrap()
}

#[test]
fn taking_alike_records_out_of_the_parsers_hands_changes_nothing() {
    for xml in [IOS_17.to_owned(), simulated(2, Some(60))] {
        let mut slow = ExportReader::new(xml.as_bytes());
        slow.takes_alike = false;
        let (told, outcome) = drain(slow, 1_000);
        outcome.unwrap();
        assert_eq!(told, whole(&xml));
    }
}

/// A file that cannot be read beyond some place.
struct Torn<'a>(&'a [u8]);

impl Read for Torn<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        if read == 0 { Err(io::Error::other("torn")) } else { Ok(read) }
    }
}

#[test]
fn a_file_that_cannot_be_read_on_gives_what_was_whole_and_the_reason() {
    let torn = Torn(&IOS_17.as_bytes()[..6_000]);
    let (told, outcome) = drain(ExportReader::with_pieces(torn, Position::START, 512), 3);
    assert!(matches!(outcome.unwrap_err().reason, Reason::Io(_)));
    let (cut, _) = drain(ExportReader::new(&IOS_17.as_bytes()[..6_000]), 3);
    assert!(told.samples.len() > 5);
    assert_eq!(told, cut);
}

/// Documents of pieces that are right, and of pieces that are nearly right.
fn documents() -> impl Strategy<Value = String> {
    let date = prop::sample::select(vec![
        "2024-05-01 08:00:00 +0200",
        "2024-05-01 08:00:01 +0200",
        "2024-10-27 02:30:00 +0100",
        "2024-02-30 08:00:00 +0200",
        "2024-05-01 8:00:00 PM +0200",
        "",
        "2024-05-01 08:00:00 +02\"0",
    ]);
    let value = prop::sample::select(vec![
        "7",
        "7.5",
        "",
        "7,5",
        "x",
        "&#55;",
        "7\" a=\"1",
        "7>",
        "7<",
        "1e3",
        "HKCategoryValueSleepAnalysisInBed",
        "é",
    ]);
    let device = prop::sample::select(vec![
        "",
        " device=\"&lt;&lt;HKDevice: 0x12ab&gt;, name:W, hardware:Watch6,2, software:1&gt;\"",
        " device=\"&lt;&lt;HKDevice: 0x98fe&gt;, name:W, hardware:Watch6,2, software:1&gt;\"",
        " device=\"&lt;&lt;HKDevice: 0x98fe&gt;, name:W, hardware:Watch7,1, software:1&gt;\"",
    ]);
    let name = prop::sample::select(vec!["A", "Ana’s", "' device=\"&lt;&lt;HKDevice: 0x12"]);
    let kind = prop::sample::select(vec![
        "HKQuantityTypeIdentifierStepCount",
        "HKQuantityTypeIdentifierHeartRate",
        "HKCategoryTypeIdentifierSleepAnalysis",
        "HKNew",
    ]);
    let end = prop::sample::select(vec![
        "/>",
        "/>\n ",
        " />",
        "></Record>",
        "><MetadataEntry key=\"k\" value=\"v\"/></Record>\n",
        ">",
        "<!-- c -->",
    ]);
    let record = (kind, name, device, (date.clone(), date.clone(), date), value, end).prop_map(
        |(kind, name, device, (created, start, end_at), value, end)| {
            format!("<Record type=\"{kind}\" sourceName=\"{name}\"{device} unit=\"count\" creationDate=\"{created}\" startDate=\"{start}\" endDate=\"{end_at}\" value=\"{value}\"{end}")
        },
    );
    let piece = prop_oneof![
        8 => record,
        1 => prop::sample::select(vec![" ", "\n", "<!-- c -->", "x", "&amp;", "&x;", "<Correlation>", "</Correlation>", "<Workout/>", "</HealthData>", "\u{0}"]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..12)
        .prop_map(|pieces| format!("<HealthData>{}</HealthData>", pieces.concat()))
}

type Outcome = (Told, Result<(), (Position, String)>);

fn outcome<R: Read>(reader: ExportReader<R>, items: usize) -> Outcome {
    let (told, outcome) = drain(reader, items);
    (told, outcome.map_err(|refused| (refused.position, refused.reason.to_string())))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn neither_pieces_nor_batches_nor_shortcuts_change_what_is_read(
        xml in documents(), piece in 12_usize..400, drop in 1_usize..50, items in 1_usize..5,
    ) {
        let expected = outcome(ExportReader::new(xml.as_bytes()), 1_000);
        let mut slow = ExportReader::new(xml.as_bytes());
        slow.takes_alike = false;
        prop_assert_eq!(&outcome(slow, 1_000), &expected);
        let drops = Drops(xml.as_bytes(), drop);
        prop_assert_eq!(&outcome(ExportReader::with_pieces(drops, Position::START, piece), items), &expected);
    }

    #[test]
    fn whatever_was_told_before_a_stop_and_after_it_is_the_whole(xml in documents(), items in 1_usize..5) {
        let (expected, end) = outcome(ExportReader::new(xml.as_bytes()), 1_000);
        let (mut told, mut batch) = (Told::default(), Batch::default());
        let mut position = Position::START;
        loop {
            let mut reader = ExportReader::seek(Cursor::new(&xml), position).unwrap();
            let outcome = reader.read(&mut batch, items);
            told.add(&batch);
            match outcome {
                Ok(State::More) => position = batch.position.unwrap(),
                Ok(State::End) => { prop_assert!(end.is_ok()); break }
                Err(refused) => {
                    prop_assert_eq!(Err((refused.position, refused.reason.to_string())), end);
                    break
                }
            }
        }
        prop_assert_eq!(told, expected);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..8000) {
        let _outcome = drain(ExportReader::new(bytes.as_slice()), 10);
        let xml = [&IOS_17.as_bytes()[..cut.min(IOS_17.len())], &bytes].concat();
        let _outcome = drain(ExportReader::new(xml.as_slice()), 10);
    }
}
