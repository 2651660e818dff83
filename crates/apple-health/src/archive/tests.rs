use std::io::Cursor;

use proptest::prelude::*;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::{Batch, State};

const EXPORT: &str = include_str!("../../fixtures/ios17.xml");
const CDA: &str = "<?xml version=\"1.0\"?>\n<ClinicalDocument xmlns=\"urn:hl7-org:v3\"/>";
const ECG: &str = "Name,Ana\nRecorded Date,2024-05-01 08:00:00 +0200\n\n-12\n-8\n";
const ROUTE: &str = "<?xml version=\"1.0\"?>\n<gpx version=\"1.1\"/>";

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer
            .start_file(*name, SimpleFileOptions::default().compression_method(CompressionMethod::Deflated))
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// As a Spanish phone shares it, and a Mac packs it again.
fn shared() -> Vec<u8> {
    zip_of(&[
        ("apple_health_export/exportar_cda.xml", CDA.as_bytes()),
        ("apple_health_export/workout-routes/route_2024-05-04_6.32pm.gpx", ROUTE.as_bytes()),
        ("apple_health_export/exportación.xml", EXPORT.as_bytes()),
        ("apple_health_export/electrocardiograms/ecg_2024-05-01.csv", ECG.as_bytes()),
        ("apple_health_export/.DS_Store", b"x"),
        ("__MACOSX/apple_health_export/._exportación.xml", b"x"),
    ])
}

fn open(bytes: Vec<u8>) -> Result<Archive<Cursor<Vec<u8>>>, Refused> {
    Archive::open(Cursor::new(bytes), ArchiveLimits::default())
}

/// Why an archive is refused, when it is opened or when it is read.
fn refusal(bytes: Vec<u8>) -> String {
    let mut archive = match open(bytes) {
        Ok(archive) => archive,
        Err(refused) => return refused.reason.to_string(),
    };
    match samples(&mut archive, Position::START) {
        Ok(_) => String::new(),
        Err(refused) => refused.reason.to_string(),
    }
}

fn samples(
    archive: &mut Archive<Cursor<Vec<u8>>>,
    from: Position,
) -> Result<Vec<domain::sample::Sample>, Refused> {
    let mut reader = archive.export(from)?;
    let (mut batch, mut samples) = (Batch::default(), Vec::new());
    loop {
        let state = reader.read(&mut batch, 5)?;
        samples.append(&mut batch.samples);
        if state == State::End {
            return Ok(samples);
        }
    }
}

/// Replaces bytes, wherever they are, by as many others.
fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = memmem::find_iter(&bytes, from).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

/// A place as headers have it.
fn offset(place: usize) -> [u8; 4] {
    u32::try_from(place).unwrap().to_le_bytes()
}

/// Changes a field of the header of the entry at `index`: in the file, in the directory.
fn with_field(mut bytes: Vec<u8>, index: usize, (local, central): (usize, usize), field: &[u8]) -> Vec<u8> {
    let nth = |bytes: &[u8], magic: &[u8]| memmem::find_iter(bytes, magic).nth(index).unwrap();
    let (in_file, in_directory) = (nth(&bytes, b"PK\x03\x04"), nth(&bytes, b"PK\x01\x02"));
    for at in [in_file + local, in_directory + central] {
        bytes[at..at + field.len()].copy_from_slice(field);
    }
    bytes
}

const FLAGS: (usize, usize) = (6, 8);
const METHOD: (usize, usize) = (8, 10);
const SIZE: (usize, usize) = (22, 24);

#[test]
fn an_archive_is_listed_whatever_its_language_and_read() {
    let mut archive = open(shared()).unwrap();
    assert_eq!(archive.export_bytes(), EXPORT.len() as u64);
    assert_eq!(
        archive.skipped(),
        [
            "apple_health_export/.DS_Store",
            "__MACOSX/apple_health_export/._exportación.xml",
            "apple_health_export/exportar_cda.xml"
        ]
    );
    let attachments = archive.attachments().to_vec();
    let expected = [
        ("apple_health_export/workout-routes/route_2024-05-04_6.32pm.gpx", AttachmentKind::Route, ROUTE),
        ("apple_health_export/electrocardiograms/ecg_2024-05-01.csv", AttachmentKind::Electrocardiogram, ECG),
    ];
    assert_eq!(attachments.len(), expected.len());
    for (attachment, (name, kind, content)) in attachments.iter().zip(expected) {
        assert_eq!(
            (attachment.name.as_str(), attachment.kind, attachment.bytes),
            (name, kind, content.len() as u64)
        );
        let mut kept = Vec::new();
        let receipt = archive.keep(attachment, &mut kept).unwrap();
        assert_eq!(kept, content.as_bytes());
        assert_eq!(receipt.bytes, content.len() as u64);
        assert_eq!(receipt.sha256, <[u8; 32]>::from(Sha256::digest(content)));
    }
    let mut batch = Batch::default();
    ExportReader::new(EXPORT.as_bytes()).read(&mut batch, 1_000).unwrap();
    assert!(samples(&mut archive, Position::START).unwrap() == batch.samples);
}

#[test]
fn reading_goes_on_at_every_position_as_if_it_had_not_stopped() {
    let mut archive = open(shared()).unwrap();
    let all = samples(&mut archive, Position::START).unwrap();
    let (mut batch, mut position, mut before) = (Batch::default(), Position::START, 0);
    loop {
        assert!(samples(&mut archive, position).unwrap() == all[before..], "{position:?}");
        let state = archive.export(position).unwrap().read(&mut batch, 1).unwrap();
        before += batch.samples.len();
        position = batch.position.unwrap();
        if state == State::End {
            break;
        }
    }
    assert_eq!(before, all.len());
    let beyond = Position { offset: EXPORT.len() as u64 + 1, line: 1 };
    assert!(samples(&mut archive, beyond).is_err());
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let reason = "the archive is refused: the name of an entry leads out of it, or is no plain path";
    for name in [
        "../../evil.x",
        "/etc/evil.xy",
        "a/../../ev.x",
        "a/./evil.txt",
        "a//evil.text",
        "..\\..\\ev.x",
        "C:\\evil.txt",
        "C:/evil.txts",
        "a/evil\u{0}.txt",
        "a/evil\n.txt",
        "a/..\\../ev.x",
        "././././ev.x",
    ] {
        let harmless = "p".repeat(name.len());
        let bytes = zip_of(&[("export.xml", EXPORT.as_bytes()), (&harmless, b"x")]);
        assert_eq!(refusal(patched(bytes, harmless.as_bytes(), name.as_bytes())), reason, "{name:?}");
    }
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let zeros = vec![0; 20 << 20];
    let bomb = zip_of(&[("export.xml", EXPORT.as_bytes()), ("ecg.csv", &zeros)]);
    let reason = "the archive is refused: one of its entries unpacks to far more than phones write";
    assert_eq!(refusal(bomb), reason);
    // It says to be small, but is not.
    let liar = zip_of(&[("export.xml", &zeros)]);
    assert!(
        refusal(with_field(liar, 0, SIZE, &1000_u32.to_le_bytes())).starts_with("the archive is refused: ")
    );
    let inner = zip_of(&[("export.xml", EXPORT.as_bytes())]);
    let nested = zip_of(&[("export.xml", EXPORT.as_bytes()), ("more.ZIP", &inner)]);
    assert_eq!(refusal(nested), "the archive is refused: it holds another archive");
    let overlap = zip_of(&[("export.xml", EXPORT.as_bytes()), ("b.csv", b"b"), ("c.csv", b"c")]);
    let place = |index| memmem::find_iter(&overlap, b"PK\x03\x04").nth(index).unwrap();
    let (second, third) = (offset(place(1)), offset(place(2)));
    let at = memmem::find_iter(&overlap, b"PK\x01\x02").nth(2).unwrap() + 42;
    assert_eq!(overlap[at..at + 4], third);
    let mut overlapping = overlap.clone();
    overlapping[at..at + 4].copy_from_slice(&second);
    assert_eq!(refusal(overlapping), "the archive is refused: its entries overlap");
}

#[test]
fn sizes_that_lie_are_found_out() {
    for size in [0, 1, EXPORT.len() - 1, EXPORT.len() + 1, 1 << 20] {
        let bytes = zip_of(&[("export.xml", EXPORT.as_bytes())]);
        let found = refusal(with_field(bytes, 0, SIZE, &u32::try_from(size).unwrap().to_le_bytes()));
        assert!(found.starts_with("the archive is refused: "), "{size}: {found}");
    }
    let limits = ArchiveLimits { export_bytes_max: 100, ..ArchiveLimits::default() };
    let refused = Archive::open(Cursor::new(shared()), limits).err().unwrap();
    assert_eq!(refused.reason.to_string(), "the length of the export in bytes is more than 100");
    let limits = ArchiveLimits { attachments_bytes_max: 60, ..ArchiveLimits::default() };
    let refused = Archive::open(Cursor::new(shared()), limits).err().unwrap();
    assert_eq!(refused.reason.to_string(), "the length of all attachments in bytes is more than 60");
    let limits = ArchiveLimits { entries_max: 5, ..ArchiveLimits::default() };
    let refused = Archive::open(Cursor::new(shared()), limits).err().unwrap();
    assert_eq!(refused.reason.to_string(), "the number of entries is more than 5");
}

#[test]
fn archives_that_phones_do_not_write_are_refused_with_the_reason() {
    let one = || zip_of(&[("export.xml", EXPORT.as_bytes())]);
    let two = || zip_of(&[("export.xml", EXPORT.as_bytes()), ("exporu.xml", EXPORT.as_bytes())]);
    let mut linked = ZipWriter::new(Cursor::new(Vec::new()));
    linked.add_symlink("export.xml", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let mut volume = one();
    let end = memmem::rfind(&volume, b"PK\x05\x06").unwrap();
    volume[end + 4..end + 8].copy_from_slice(&[1, 0, 1, 0]);
    let mut damaged = one();
    damaged[200] ^= 1;
    for (bytes, reason) in [
        (with_field(one(), 0, FLAGS, &[1]), "it is encrypted"),
        (with_field(one(), 0, METHOD, &[12]), "it is compressed in another way than phones do"),
        (linked.finish().unwrap().into_inner(), "one of its entries is a link"),
        (two(), "it holds more than one Apple Health export"),
        (patched(two(), b"exporu.xml", b"export.xml"), "two of its entries have one name"),
        (zip_of(&[]), "it holds no Apple Health export"),
        (zip_of(&[("export_cda.xml", CDA.as_bytes())]), "it holds no Apple Health export"),
        (volume, "it is one of several volumes"),
        (damaged, "its data is damaged"),
        (EXPORT.as_bytes().to_vec(), "it is no .zip, or a damaged one"),
        (Vec::new(), "it is no .zip, or a damaged one"),
    ] {
        assert_eq!(refusal(bytes), format!("the archive is refused: {reason}"));
    }
    for end in (0..one().len()).step_by(7) {
        assert_ne!(refusal(one()[..end].to_vec()), "", "{end}");
    }
}

#[test]
fn memory_is_not_set_aside_for_entries_that_are_only_claimed() {
    let mut claim = Vec::from(*b"PK\x06\x06");
    claim.extend(44_u64.to_le_bytes());
    claim.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [u64::MAX / 512, u64::MAX / 512, u64::MAX / 4, 0] {
        claim.extend(number.to_le_bytes());
    }
    claim.extend(b"PK\x06\x07\0\0\0\0");
    claim.extend(0_u64.to_le_bytes());
    claim.extend(1_u32.to_le_bytes());
    claim.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    assert_eq!(refusal(claim), "the number of entries is more than 50000");
}

proptest! {
    #[test]
    fn no_damage_makes_it_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), more in any::<prop::sample::Index>()) {
        let mut bytes = shared();
        let (at, more) = (at.index(bytes.len()), more.index(bytes.len()));
        bytes[at] = byte;
        bytes[more] ^= 0x80;
        if let Ok(mut archive) = open(bytes) {
            for attachment in archive.attachments().to_vec() {
                let _outcome = archive.keep(&attachment, &mut io::sink());
            }
            let _outcome = samples(&mut archive, Position::START);
        }
    }
}
