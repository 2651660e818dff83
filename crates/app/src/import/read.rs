//! Reads a file of readings on a thread of its own, and keeps what it holds portion by portion.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use apple_health::{Archive, ArchiveLimits, Batch, Beats, ExportReader, State};
use bytes::Bytes;
use domain::{ids::ImportId, measures::vitals::BEATS, sample::Sample};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{
    Fate, Import, Importing, LeftOut, Portion, Position,
    prefix::{Hashed, Prefix},
    sift,
};
use crate::{
    App,
    audit::Caller,
    error::Result as AppResult,
    ingest::{Line, LineLimits, Rejection, Stream},
};

/// How many readings of an export are kept in one commit.
const PORTION_SAMPLES: usize = 16_000;

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

/// How many files beside the readings are kept: their names lie in one record.
const ATTACHMENTS_MAX: usize = 500;

/// How much of a file's beginning tells it from others: an export has its date there.
pub const HEAD_BYTES: usize = 64 * 1024;

/// What is read.
pub enum Source {
    /// `export.xml`.
    Xml(Box<dyn Read + Send>),
    /// The archive that a phone shares.
    Archive(File),
    /// One sample a line. The zone is that of samples that name none.
    Lines(Box<dyn Read + Send>, Option<String>),
}

/// What a file is, by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// `export.xml`.
    Xml,
    /// The `.zip` with it.
    Archive,
    /// NDJSON.
    Lines,
}

impl Form {
    /// `None` where it is none of these.
    pub fn of(head: &[u8]) -> Option<Self> {
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
pub fn import_id(size: u64, head: &[u8]) -> ImportId {
    let digest = Sha256::new().chain_update(size.to_le_bytes()).chain_update(head).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    ImportId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// What became of one line.
#[derive(Serialize, Clone, Debug)]
pub struct LineReceipt {
    /// Which, from 1.
    pub line: u64,
    /// Of a sample `accepted`, `duplicate`, `deleted` (before, so that it does not come back) or `rejected`; of a line that
    /// deletes one `deletes`.
    pub status: &'static str,
    /// Why it was rejected, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// And for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What the reading thread hands over.
enum Piece {
    /// With the lines that delete a sample.
    Portion(Portion, Vec<u64>),
    Attachment(String, Bytes),
    /// What beside the readings is not kept.
    LeftOut(Vec<LeftOut>),
    /// The file does not begin as the one did whose import stopped.
    Changed,
    /// Why the file is refused, in words for people.
    Refused(String),
    /// Reading itself failed: who sent it left, or a disk did.
    Broken(io::Error),
}

/// How reading a file ended.
enum Taken {
    /// Nothing is left; why it was refused where it stands, if it was.
    All(Option<String>),
    BrokeOff(io::Error),
    Changed,
}

/// How an import ended.
pub enum Ended {
    /// Read to its end, or refused: its `state` says which.
    Read(Import),
    /// It broke off, and goes on when the same file comes again.
    BrokeOff(Import, io::Error),
    /// Nothing was read: the file is another than the one that was begun, although it has its length and its head. The next
    /// time it is read from its beginning.
    Changed(Import),
}

impl App {
    /// Imports a file. `report` is told of the import after each portion, with the receipts of its lines.
    pub async fn import_file(
        &self,
        caller: &Caller,
        id: ImportId,
        source: Source,
        mut report: impl FnMut(&Import, Vec<LineReceipt>) -> io::Result<()>,
    ) -> AppResult<Ended> {
        let wants_receipts = matches!(source, Source::Lines(..));
        let mut importing = self.begin_import(caller, id, wants_receipts).await?;
        let (sender, mut pieces) = mpsc::channel(PORTIONS_WAITING_MAX);
        let now = self.platform.clock.now();
        let from = Begin { position: importing.import.position, prefix: importing.import.prefix.clone() };
        let reader = tokio::task::spawn_blocking(move || read(source, &from, now, &sender));
        let outcome = self.take_pieces(caller, &mut importing, &mut pieces, &mut report).await;
        let refused = match outcome {
            Ok(Taken::All(refused)) => refused,
            Ok(Taken::Changed) => return self.begin_anew(caller, importing).await.map(Ended::Changed),
            Ok(Taken::BrokeOff(error)) => return self.break_off(caller, importing, error).await,
            Err(error) => {
                // Nobody may go on with it. What cannot be left to a job now is found by its entry later.
                if let Err(error) = self.leave_import(caller, importing).await {
                    tracing::warn!(%error, "the days of an import that failed are computed later");
                }
                return Err(error);
            }
        };
        if let Err(panic) = reader.await {
            return self.break_off(caller, importing, io::Error::other(panic)).await;
        }
        self.end_import(caller, importing, refused).await.map(Ended::Read)
    }

    /// Keeps what the reading thread hands over, to its end.
    async fn take_pieces(
        &self,
        caller: &Caller,
        importing: &mut Importing,
        pieces: &mut mpsc::Receiver<Piece>,
        report: &mut impl FnMut(&Import, Vec<LineReceipt>) -> io::Result<()>,
    ) -> AppResult<Taken> {
        let wants_receipts = importing.has_own_ids;
        let mut refused = None;
        while let Some(piece) = pieces.recv().await {
            match piece {
                Piece::Portion(portion, deletions) => {
                    let receipts = self.keep(caller, importing, (portion, deletions), wants_receipts).await?;
                    if let Err(error) = report(&importing.import, receipts) {
                        return Ok(Taken::BrokeOff(error));
                    }
                }
                Piece::Attachment(name, body) => {
                    self.import_attachment(caller, importing, name, body).await?;
                }
                Piece::LeftOut(left_out) => importing.import.leave_out(left_out),
                Piece::Changed => return Ok(Taken::Changed),
                Piece::Refused(reason) => refused = Some(reason),
                Piece::Broken(error) => return Ok(Taken::BrokeOff(error)),
            }
        }
        Ok(Taken::All(refused))
    }

    async fn break_off(&self, caller: &Caller, importing: Importing, error: io::Error) -> AppResult<Ended> {
        Ok(Ended::BrokeOff(self.leave_import(caller, importing).await?, error))
    }

    async fn keep(
        &self,
        caller: &Caller,
        importing: &mut Importing,
        (portion, deletions): (Portion, Vec<u64>),
        wants_receipts: bool,
    ) -> AppResult<Vec<LineReceipt>> {
        if !wants_receipts {
            self.import_portion(caller, importing, portion).await?;
            return Ok(Vec::new());
        }
        let (refused, lines) = (portion.rejected.clone(), portion.lines.clone());
        let fates = self.import_portion(caller, importing, portion).await?;
        let mut receipts: Vec<LineReceipt> =
            lines.iter().zip(fates).map(|(line, fate)| of_fate(*line, fate)).collect();
        receipts.extend(refused.into_iter().map(|rejection| LineReceipt {
            line: line_of(&rejection.pointer),
            status: "rejected",
            code: Some(rejection.code),
            message: Some(rejection.message),
        }));
        let deleted = |line| LineReceipt { line, status: "deletes", code: None, message: None };
        receipts.extend(deletions.into_iter().map(deleted));
        receipts.sort_by_key(|receipt| receipt.line);
        Ok(receipts)
    }
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

/// Where reading begins, and what is before that.
struct Begin {
    position: Position,
    prefix: Option<Prefix>,
}

/// The reading thread. Ends early where nobody listens any more.
fn read(source: Source, from: &Begin, now: Timestamp, to: &mpsc::Sender<Piece>) {
    let outcome = match source {
        Source::Xml(read) => read_export(read, from, now, to),
        Source::Archive(file) => read_archive(file, from, now, to),
        Source::Lines(read, zone) => read_lines(read, zone, now, to),
    };
    let last = match outcome {
        Ok(()) | Err(Halt::Left) => return,
        Err(Halt::Changed) => Piece::Changed,
        Err(Halt::Refused(reason)) => Piece::Refused(reason),
        Err(Halt::Broken(error)) => Piece::Broken(error),
    };
    let _nobody_listens = to.blocking_send(last);
}

enum Halt {
    Left,
    Changed,
    Refused(String),
    Broken(io::Error),
}

fn send(to: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), Halt> {
    to.blocking_send(piece).map_err(|_left| Halt::Left)
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

fn read_export(read: impl Read, from: &Begin, now: Timestamp, to: &mpsc::Sender<Piece>) -> Result<(), Halt> {
    let mut read = Hashed::new(read);
    let seen = read.seen();
    if !read.pass(from.position.offset, from.prefix.as_ref()).map_err(Halt::Broken)? {
        return Err(Halt::Changed);
    }
    let mut reader = ExportReader::resume(read, position(from.position));
    loop {
        let mut batch = Batch::default();
        let state = reader.read(&mut batch, PORTION_SAMPLES);
        let mut portion = portion(batch, now);
        portion.prefix = portion.end.and_then(|end| seen.borrow_mut().up_to(end.offset));
        send(to, Piece::Portion(portion, Vec::new()))?;
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
        ..Portion::default()
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

fn read_archive(file: File, from: &Begin, now: Timestamp, to: &mpsc::Sender<Piece>) -> Result<(), Halt> {
    let mut archive = Archive::open(file, ArchiveLimits::default()).map_err(halt)?;
    read_export(archive.document().map_err(halt)?, from, now, to)?;
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for attachment in archive.attachments() {
        let (is_large, is_late) = (attachment.bytes > ATTACHMENT_BYTES_MAX, kept.len() == ATTACHMENTS_MAX);
        if is_large || is_late {
            let code = if is_large { "too_large" } else { "too_many" };
            let name = attachment.name.clone();
            left_out.push(LeftOut { name, size_bytes: attachment.bytes, code: code.to_owned() });
        } else {
            kept.push(attachment.clone());
        }
    }
    send(to, Piece::LeftOut(left_out))?;
    for attachment in kept {
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
    let (mut bytes, mut total, mut portion_began) = (vec![0; PIECE_BYTES], 0, 0);
    let (mut portion, mut deletions, mut end) = (Portion::default(), Vec::new(), Position::START);
    loop {
        let length = read.read(&mut bytes).map_err(Halt::Broken)?;
        if length == 0 {
            break;
        }
        lines.push(&bytes[..length], |line| add(&mut portion, &mut deletions, line, &mut end));
        // Behind the last whole line: what is begun is not kept yet.
        if let Some(last) = memchr::memrchr(b'\n', &bytes[..length]) {
            end.offset = total + last as u64 + 1;
        }
        total += length as u64;
        let items = portion.samples.len() + portion.rejected.len() + portion.deleted.len();
        if items >= PORTION_LINES || total - portion_began >= PORTION_BYTES_MAX {
            portion_began = total;
            portion.end = Some(end);
            send(to, Piece::Portion(std::mem::take(&mut portion), std::mem::take(&mut deletions)))?;
        }
    }
    lines.finish().into_iter().for_each(|line| add(&mut portion, &mut deletions, line, &mut end));
    end.offset = total;
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
pub fn head(file: &mut File) -> io::Result<(Vec<u8>, Option<Form>)> {
    let mut head = Vec::new();
    file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    let form = Form::of(&head);
    Ok((head, form))
}
