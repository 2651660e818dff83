//! Reads a file of readings on a thread of its own, and keeps what it holds portion by portion.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
};

use app::{
    App,
    audit::Caller,
    import::{Fate, Import, Importing, Portion, Position, sift},
    ingest::{Line, LineLimits, Rejection, Stream},
};
use apple_health::{Archive, ArchiveLimits, Batch, Beats, ExportReader, State};
use bytes::Bytes;
use domain::{ids::ImportId, measures::vitals::BEATS, sample::Sample};
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

/// How many readings of an export are kept in one commit.
const PORTION_SAMPLES: usize = 20_000;

/// How many lines of a stream are kept in one commit.
const PORTION_LINES: usize = 1_000;

/// After so many bytes a portion of lines is kept, however few they are.
const PORTION_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The longest line of a stream.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// The most samples of one correlation.
const LINE_SAMPLES_MAX: usize = 100;

/// How much of a stream is read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// How many portions wait to be kept: so many are in memory.
const PORTIONS_WAITING_MAX: usize = 1;

/// The largest file beside the readings that is kept.
const ATTACHMENT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// How much of a file's beginning tells it from others: an export has its date there.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;

/// What is read.
pub(crate) enum Source {
    /// `export.xml`.
    Xml(Box<dyn Read + Send>),
    /// The archive that a phone shares.
    Archive(File),
    /// One sample a line. The zone is that of samples that name none.
    Lines(Box<dyn Read + Send>, Option<String>),
}

/// What a file is, by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Xml,
    Archive,
    Lines,
}

impl Form {
    /// `None` where it is none of these.
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).trim_ascii_start();
        if head.starts_with(b"PK\x03\x04") {
            return Some(Self::Archive);
        }
        match text.first() {
            Some(b'<') => Some(Self::Xml),
            Some(b'{') => Some(Self::Lines),
            _ => None,
        }
    }
}

/// Stands for a file by its length and its beginning, so that an import of it can go on.
pub(crate) fn import_id(size: u64, head: &[u8]) -> ImportId {
    let digest = Sha256::new().chain_update(size.to_le_bytes()).chain_update(head).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    ImportId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// What became of one line.
#[derive(Serialize, Clone, Debug)]
pub(crate) struct LineReceipt {
    pub line: u64,
    /// Of a sample `accepted`, `duplicate`, `deleted` (before, so that it does not come back) or `rejected`; of a line that
    /// deletes one `deletes`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What the reading thread hands over.
enum Piece {
    /// With the lines that delete a sample.
    Portion(Portion, Vec<u64>),
    Attachment(String, Bytes),
    /// Why the file is refused, in words for people.
    Refused(String),
    /// Reading itself failed: who sent it left, or a disk did.
    Broken(io::Error),
}

/// How an import ended.
pub(crate) enum Ended {
    /// Read to its end, or refused: its `state` says which.
    Read(Import),
    /// It broke off, and goes on when the same file comes again.
    BrokeOff(Import, io::Error),
}

/// Imports a file. `report` is told of the import after each portion, with the receipts of its lines.
pub(crate) async fn import(
    app: &Arc<App>,
    caller: &Caller,
    id: ImportId,
    source: Source,
    mut report: impl FnMut(&Import, Vec<LineReceipt>) -> io::Result<()>,
) -> app::Result<Ended> {
    let wants_receipts = matches!(source, Source::Lines(..));
    // Lines are read from the first one on: each gets its receipt again.
    let mut importing = app.begin_import(caller, id, !wants_receipts).await?;
    let (sender, mut pieces) = mpsc::channel(PORTIONS_WAITING_MAX);
    let (from, now) = (importing.import.position, app.platform.clock.now());
    let reader = tokio::task::spawn_blocking(move || read(source, from, now, &sender));
    let mut refused = None;
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Portion(portion, deletions) => {
                let mut receipts = keep(app, caller, &mut importing, portion, wants_receipts).await?;
                let deleted = |line| LineReceipt { line, status: "deletes", code: None, message: None };
                receipts.extend(deletions.into_iter().map(deleted));
                receipts.sort_by_key(|receipt| receipt.line);
                if let Err(error) = report(&importing.import, receipts) {
                    return Ok(Ended::BrokeOff(importing.import, error));
                }
            }
            Piece::Attachment(name, body) => {
                app.import_attachment(caller, &mut importing, name, body).await?;
            }
            Piece::Refused(reason) => refused = Some(reason),
            Piece::Broken(error) => return Ok(Ended::BrokeOff(importing.import, error)),
        }
    }
    if let Err(panic) = reader.await {
        return Ok(Ended::BrokeOff(importing.import, io::Error::other(panic)));
    }
    app.end_import(caller, importing, refused).await.map(Ended::Read)
}

async fn keep(
    app: &Arc<App>,
    caller: &Caller,
    importing: &mut Importing,
    portion: Portion,
    wants_receipts: bool,
) -> app::Result<Vec<LineReceipt>> {
    let refused: Vec<Rejection> = if wants_receipts { portion.rejected.clone() } else { Vec::new() };
    let lines = if wants_receipts { portion.lines.clone() } else { Vec::new() };
    let fates = app.import_portion(caller, importing, portion).await?;
    let mut receipts: Vec<LineReceipt> =
        lines.iter().zip(fates).map(|(line, fate)| of_fate(*line, fate)).collect();
    receipts.extend(refused.into_iter().map(|rejection| LineReceipt {
        line: line_of(&rejection.pointer),
        status: "rejected",
        code: Some(rejection.code),
        message: Some(rejection.message),
    }));
    Ok(receipts)
}

fn of_fate(line: u64, fate: Fate) -> LineReceipt {
    let status = match fate {
        Fate::Accepted => "accepted",
        Fate::Duplicate => "duplicate",
        Fate::Deleted => "deleted",
    };
    LineReceipt { line, status, code: None, message: None }
}

/// The line in a pointer such as `/line/12/value`.
fn line_of(pointer: &str) -> u64 {
    pointer.split('/').nth(2).and_then(|line| line.parse().ok()).unwrap_or_default()
}

/// The reading thread. Ends early where nobody listens any more.
fn read(source: Source, from: Position, now: Timestamp, to: &mpsc::Sender<Piece>) {
    let outcome = match source {
        Source::Xml(read) => skip(read, from.offset)
            .map_err(Halt::Broken)
            .and_then(|read| read_export(ExportReader::resume(read, position(from)), now, to)),
        Source::Archive(file) => read_archive(file, from, now, to),
        Source::Lines(read, zone) => read_lines(read, zone, now, to),
    };
    let last = match outcome {
        Ok(()) | Err(Halt::Left) => return,
        Err(Halt::Refused(reason)) => Piece::Refused(reason),
        Err(Halt::Broken(error)) => Piece::Broken(error),
    };
    let _nobody_listens = to.blocking_send(last);
}

enum Halt {
    Left,
    Refused(String),
    Broken(io::Error),
}

fn send(to: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), Halt> {
    to.blocking_send(piece).map_err(|_left| Halt::Left)
}

/// Passes over what was read before.
fn skip(mut read: Box<dyn Read + Send>, bytes: u64) -> io::Result<Box<dyn Read + Send>> {
    let passed = io::copy(&mut (&mut read).take(bytes), &mut io::sink())?;
    if passed < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(read) }
}

fn position(position: Position) -> apple_health::Position {
    apple_health::Position { offset: position.offset, line: position.line }
}

fn halt(refused: apple_health::Refused) -> Halt {
    match refused.reason {
        apple_health::Reason::Io(error) => Halt::Broken(error),
        _ => Halt::Refused(refused.to_string()),
    }
}

fn read_export<R: Read>(
    mut reader: ExportReader<R>,
    now: Timestamp,
    to: &mpsc::Sender<Piece>,
) -> Result<(), Halt> {
    loop {
        let mut batch = Batch::default();
        let state = reader.read(&mut batch, PORTION_SAMPLES);
        send(to, Piece::Portion(portion(batch, now), Vec::new()))?;
        match state {
            Ok(State::More) => {}
            Ok(State::End) => return Ok(()),
            Err(refused) => return Err(halt(refused)),
        }
    }
}

fn portion(mut batch: Batch, now: Timestamp) -> Portion {
    if !batch.beats.is_empty() {
        let key = |sample: &Sample| (sample.id, sample.interval.start_ms());
        let at: HashMap<_, _> =
            batch.samples.iter().enumerate().map(|(at, sample)| (key(sample), at)).collect();
        for beats in std::mem::take(&mut batch.beats) {
            if let Some(at) = at.get(&(beats.of, beats.interval.start_ms())) {
                let sample = &mut batch.samples[*at];
                sample.metadata = Some(with_beats(sample.metadata.as_deref(), &beats).into());
            }
        }
    }
    let of_line = |rejection: &apple_health::Rejection| Rejection {
        pointer: format!("/line/{}", rejection.line),
        id: None,
        code: rejection.code.to_owned(),
        message: rejection.message.to_owned(),
    };
    let mut portion = Portion {
        lines: batch.places.iter().map(|place| place.line).collect(),
        rejected: batch.rejected.iter().map(of_line).collect(),
        rejected_total: batch.rejected_total,
        unsupported: batch.unsupported.into_iter().map(|(kind, count)| (kind.to_string(), count)).collect(),
        end: batch.position.map(|end| Position { offset: end.offset, line: end.line }),
        samples: batch.samples,
        deleted: Vec::new(),
    };
    sift(&mut portion, now);
    portion
}

/// The metadata of a heart rate variability with its beats.
fn with_beats(metadata: Option<&str>, beats: &Beats) -> String {
    let metadata = metadata.and_then(|metadata| serde_json::from_str(metadata).ok());
    let mut metadata: serde_json::Map<String, serde_json::Value> = metadata.unwrap_or_default();
    let rates: Vec<f64> = beats.beats.iter().map(|beat| beat.beats_per_minute).collect();
    metadata.insert(BEATS.to_owned(), rates.into());
    serde_json::Value::Object(metadata).to_string()
}

fn read_archive(file: File, from: Position, now: Timestamp, to: &mpsc::Sender<Piece>) -> Result<(), Halt> {
    let mut archive = Archive::open(file, ArchiveLimits::default()).map_err(halt)?;
    read_export(archive.export(position(from)).map_err(halt)?, now, to)?;
    for attachment in archive.attachments().to_vec() {
        if attachment.bytes > ATTACHMENT_BYTES_MAX {
            tracing::warn!(bytes = attachment.bytes, "a file beside the readings is too large to be kept");
            continue;
        }
        let mut body = Vec::new();
        let kept = archive.keep(&attachment, &mut body);
        kept.map_err(|reason| Halt::Refused(format!("a file beside the readings: {reason}")))?;
        send(to, Piece::Attachment(attachment.name, body.into()))?;
    }
    Ok(())
}

fn read_lines(
    mut read: Box<dyn Read + Send>,
    zone: Option<String>,
    now: Timestamp,
    to: &mpsc::Sender<Piece>,
) -> Result<(), Halt> {
    let limits = LineLimits { bytes_max: LINE_BYTES_MAX, samples_max: LINE_SAMPLES_MAX };
    let mut lines = Stream::new(limits, now);
    if let Some(zone) = zone {
        lines.set_zone(&zone);
    }
    let (mut bytes, mut portion_began) = (vec![0; PIECE_BYTES], 0);
    let (mut portion, mut deletions, mut end) = (Portion::default(), Vec::new(), Position::START);
    loop {
        let length = read.read(&mut bytes).map_err(Halt::Broken)?;
        if length == 0 {
            break;
        }
        lines.push(&bytes[..length], |line| add(&mut portion, &mut deletions, line, &mut end));
        end.offset += length as u64;
        let items = portion.samples.len() + portion.rejected.len() + portion.deleted.len();
        if items >= PORTION_LINES || end.offset - portion_began >= PORTION_BYTES_MAX {
            portion_began = end.offset;
            portion.end = Some(end);
            send(to, Piece::Portion(std::mem::take(&mut portion), std::mem::take(&mut deletions)))?;
        }
    }
    lines.finish().into_iter().for_each(|line| add(&mut portion, &mut deletions, line, &mut end));
    portion.end = Some(end);
    send(to, Piece::Portion(portion, deletions))
}

/// Adds what a line held. The pointers of its faults begin with the line.
fn add(portion: &mut Portion, deletions: &mut Vec<u64>, line: Line, end: &mut Position) {
    let Line { number, samples, deleted, rejected } = line;
    end.line = number + 1;
    portion.lines.extend(samples.iter().map(|_| number));
    portion.samples.extend(samples);
    deletions.extend(deleted.iter().map(|_| number));
    portion.deleted.extend(deleted);
    portion.rejected_total += rejected.len() as u64;
    portion.rejected.extend(rejected.into_iter().map(|fault| {
        let pointer = format!("/line/{number}{}", fault.pointer);
        Rejection { pointer, ..fault }
    }));
}

/// The beginning of a file, and what it is. The file is at its beginning again afterwards.
pub(crate) fn head(file: &mut File) -> io::Result<(Vec<u8>, Option<Form>)> {
    let mut head = Vec::new();
    file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    let form = Form::of(&head);
    Ok((head, form))
}
