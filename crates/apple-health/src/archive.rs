//! The `.zip` that a phone shares: `export.xml` under whatever name the phone's language gives it, recordings of
//! electrocardiograms (CSV) and routes of workouts (GPX).
//!
//! Everything is checked before anything is unpacked: sizes, ratios, names, overlaps. Nothing is unpacked to a place that the
//! archive names.

mod reader;

use std::io::{self, Read, Seek, SeekFrom, Write};

use memchr::memmem;
use sha2::{Digest, Sha256};
use zip::{CompressionMethod, ZipArchive, read::ZipFileEntry, result::ZipError};

use self::reader::Meter;
pub use self::reader::{Metered, Unpacked};
use crate::{
    error::{Reason, Refused},
    input::PIECE,
    item::Position,
    reader::ExportReader,
};

/// How much an archive may hold.
#[derive(Clone, Copy, Debug)]
pub struct ArchiveLimits {
    /// The most entries.
    pub entries_max: usize,
    /// The largest `export.xml`, unpacked.
    pub export_bytes_max: u64,
    /// The largest attachment, unpacked.
    pub attachment_bytes_max: u64,
    /// All attachments together, unpacked.
    pub attachments_bytes_max: u64,
    /// How many times an entry may be as large as its compressed bytes. Phones' exports reach some 40 times.
    pub ratio_max: u64,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            entries_max: 50_000,
            export_bytes_max: 64 << 30,
            attachment_bytes_max: 256 << 20,
            attachments_bytes_max: 8 << 30,
            ratio_max: 200,
        }
    }
}

/// The most bytes that are read to list an archive: so much directory, and so much memory, at most.
const LISTING_BYTES_MAX: u64 = 8 << 20;

/// An entry of few bytes may have any ratio.
const SMALL_BYTES: u64 = 1 << 20;

/// How much of a document is read to see what it is.
const SNIFFED_BYTES: u64 = 4096;

/// The longest name of an entry.
const NAME_BYTES_MAX: usize = 512;

/// An opened archive.
pub struct Archive<R> {
    zip: ZipArchive<Metered<R>>,
    export: usize,
    export_bytes: u64,
    attachments: Vec<Attachment>,
    skipped: Vec<String>,
}

/// A file beside `export.xml`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attachment {
    /// Its path within the archive, which is a relative one and stays below where it begins.
    pub name: String,
    /// What it is.
    pub kind: AttachmentKind,
    /// Its length in bytes, unpacked.
    pub bytes: u64,
    index: usize,
}

/// What an attachment is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttachmentKind {
    /// An electrocardiogram, as CSV.
    Electrocardiogram,
    /// The route of a workout, as GPX.
    Route,
}

/// An attachment that was written where the caller keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Its length in bytes.
    pub bytes: u64,
    /// The SHA-256 of it.
    pub sha256: [u8; 32],
}

impl<R: Read + Seek> Archive<R> {
    /// Lists an archive, and refuses what could harm.
    pub fn open(read: R, limits: ArchiveLimits) -> Result<Self, Refused> {
        Self::checked(read, limits).map_err(|reason| Refused { position: Position::START, reason })
    }

    fn checked(mut read: R, limits: ArchiveLimits) -> Result<Self, Reason> {
        check_claim(&mut read, limits.entries_max)?;
        let meter = Meter::default();
        meter.grant(LISTING_BYTES_MAX);
        let mut zip = ZipArchive::new(Metered::new(read, meter.clone())).map_err(of_zip)?;
        if zip.len() > limits.entries_max {
            return Err(too_many(limits.entries_max));
        }
        if zip.has_duplicate_names() {
            return Err(Reason::Archive("two of its entries have one name"));
        }
        meter.grant(LISTING_BYTES_MAX);
        if zip.has_overlapping_entries().map_err(of_zip)? {
            return Err(Reason::Archive("its entries overlap"));
        }
        let mut listing =
            Listing { limits, documents: Vec::new(), attachments: Vec::new(), skipped: Vec::new(), bytes: 0 };
        for index in 0..zip.len() {
            listing.add(index, &zip.by_index_data(index).map_err(of_zip)?)?;
        }
        let Listing { documents, attachments, mut skipped, .. } = listing;
        let mut exports = Vec::new();
        for (index, name, bytes) in documents {
            meter.grant(LISTING_BYTES_MAX);
            if is_export(Unpacked::open(&mut zip, index, bytes)?)? {
                exports.push((index, bytes));
            } else {
                skipped.push(name);
            }
        }
        meter.grant(u64::MAX);
        match exports[..] {
            [(export, export_bytes)] => Ok(Self { zip, export, export_bytes, attachments, skipped }),
            [] => Err(Reason::Archive("it holds no Apple Health export")),
            _ => Err(Reason::Archive("it holds more than one Apple Health export")),
        }
    }

    /// The length of the XML in bytes, unpacked.
    pub const fn export_bytes(&self) -> u64 {
        self.export_bytes
    }

    /// What is kept as it is.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// What is not read: the same data in another format, and what others put beside it.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The XML, unpacked as it is read.
    pub fn document(&mut self) -> Result<Unpacked<'_, Metered<R>>, Refused> {
        let refused = |reason| Refused { position: Position::START, reason };
        Unpacked::open(&mut self.zip, self.export, self.export_bytes).map_err(refused)
    }

    /// Reads the XML from a position on. What is before it is unpacked and passed over, as compressed data has no other way.
    pub fn export(&mut self, from: Position) -> Result<ExportReader<Unpacked<'_, Metered<R>>>, Refused> {
        let refused = |reason| Refused { position: Position::START, reason };
        let mut unpacked = self.document()?;
        let passed = io::copy(&mut (&mut unpacked).take(from.offset), &mut io::sink());
        if passed.map_err(|error| refused(Reason::from_io(error)))? < from.offset {
            return Err(refused(Reason::Truncated));
        }
        Ok(ExportReader::resume(unpacked, from))
    }

    /// Writes an attachment to where the caller keeps it.
    pub fn keep(&mut self, attachment: &Attachment, into: &mut dyn Write) -> Result<Kept, Reason> {
        let mut unpacked = Unpacked::open(&mut self.zip, attachment.index, attachment.bytes)?;
        let mut hash = Sha256::new();
        let mut piece = vec![0; PIECE];
        let mut bytes = 0;
        loop {
            let read = unpacked.read(&mut piece).map_err(Reason::from_io)?;
            if read == 0 {
                return Ok(Kept { bytes, sha256: hash.finalize().into() });
            }
            bytes += read as u64;
            hash.update(&piece[..read]);
            into.write_all(&piece[..read]).map_err(Reason::Io)?;
        }
    }
}

/// Entries, sorted by what is done with them.
struct Listing {
    limits: ArchiveLimits,
    documents: Vec<(usize, String, u64)>,
    attachments: Vec<Attachment>,
    skipped: Vec<String>,
    bytes: u64,
}

impl Listing {
    fn add(&mut self, index: usize, entry: &ZipFileEntry<'_>) -> Result<(), Reason> {
        let name = entry.name().map_err(of_zip)?.into_owned();
        let is_safe = entry.enclosed_name().is_some() && is_plain(&name);
        if !is_safe {
            return Err(Reason::Archive("the name of an entry leads out of it, or is no plain path"));
        }
        if entry.encrypted() {
            return Err(Reason::Archive("it is encrypted"));
        }
        if entry.is_symlink() {
            return Err(Reason::Archive("one of its entries is a link"));
        }
        if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(Reason::Archive("it is compressed in another way than phones do"));
        }
        let (bytes, compressed) = (entry.size(), entry.compressed_size());
        if bytes > SMALL_BYTES && bytes / self.limits.ratio_max > compressed {
            return Err(Reason::Archive("one of its entries unpacks to far more than phones write"));
        }
        if entry.is_dir() {
            return if bytes == 0 { Ok(()) } else { Err(Reason::Archive("one of its folders holds bytes")) };
        }
        self.sort(index, name, bytes)
    }

    fn sort(&mut self, index: usize, name: String, bytes: u64) -> Result<(), Reason> {
        let file = name.rsplit('/').next().unwrap_or_default();
        // What a Mac puts beside each file: its attributes, under the file's own name.
        let is_shadow = file.starts_with("._") || name.starts_with("__MACOSX/");
        let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
        let kind = match extension.as_str() {
            _ if is_shadow => None,
            "zip" | "gz" | "tgz" | "bz2" | "xz" | "7z" | "rar" | "tar" | "zst" => {
                return Err(Reason::Archive("it holds another archive"));
            }
            "xml" if bytes <= self.limits.export_bytes_max => {
                self.documents.push((index, name, bytes));
                return Ok(());
            }
            "xml" => {
                let most = self.limits.export_bytes_max;
                return Err(Reason::TooMuch { what: "the length of the export in bytes", most });
            }
            "csv" => Some(AttachmentKind::Electrocardiogram),
            "gpx" => Some(AttachmentKind::Route),
            _ => None,
        };
        let Some(kind) = kind else {
            self.skipped.push(name);
            return Ok(());
        };
        self.bytes = self.bytes.saturating_add(bytes);
        let (one, all) = (self.limits.attachment_bytes_max, self.limits.attachments_bytes_max);
        if bytes > one {
            return Err(Reason::TooMuch { what: "the length of an attachment in bytes", most: one });
        }
        if self.bytes > all {
            return Err(Reason::TooMuch { what: "the length of all attachments in bytes", most: all });
        }
        self.attachments.push(Attachment { name, kind, bytes, index });
        Ok(())
    }
}

/// Whether a name is a relative path without anything that some system or other would read in another way.
fn is_plain(name: &str) -> bool {
    let path = name.strip_suffix('/').unwrap_or(name);
    name.len() <= NAME_BYTES_MAX
        && !name.chars().any(|letter| letter.is_control() || matches!(letter, '\\' | ':'))
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Whether a document is an export, by its document type or its root: the file's name is in the language of the phone.
fn is_export(unpacked: impl Read) -> Result<bool, Reason> {
    let mut head = Vec::new();
    unpacked.take(SNIFFED_BYTES).read_to_end(&mut head).map_err(Reason::from_io)?;
    let holds = |text: &str| memmem::find(&head, text.as_bytes()).is_some();
    Ok(holds("<!DOCTYPE HealthData") || holds("<HealthData"))
}

/// Checks how many entries the end of an archive claims, since memory is set aside for as many.
fn check_claim(read: &mut (impl Read + Seek), entries_max: usize) -> Result<(), Reason> {
    const END: &[u8] = b"PK\x05\x06";
    const LOCATOR: &[u8] = b"PK\x06\x07";
    const LONG_END: &[u8] = b"PK\x06\x06";
    const LOCATOR_BYTES: usize = 20;
    let mut tail = Vec::new();
    let begin = tail_of(read, &mut tail).map_err(Reason::from_io)?;
    let number = |at: usize| Some(u64::from_le_bytes(tail.get(at..at + 8)?.try_into().ok()?));
    for end in memmem::find_iter(&tail, END) {
        let Some(locator) = end.checked_sub(LOCATOR_BYTES).filter(|at| tail[*at..].starts_with(LOCATOR))
        else {
            continue;
        };
        let from = number(locator + 8).and_then(|offset| usize::try_from(offset.checked_sub(begin)?).ok());
        let Some(from) = from.filter(|from| *from <= locator) else {
            return Err(Reason::Archive("its directory is far longer than any phone's"));
        };
        for long_end in memmem::find_iter(&tail[from..locator], LONG_END) {
            if number(from + long_end + 32).is_none_or(|entries| entries > entries_max as u64) {
                return Err(too_many(entries_max));
            }
        }
    }
    Ok(())
}

/// The end of an archive, with the longest comment, and where it begins.
fn tail_of(read: &mut (impl Read + Seek), tail: &mut Vec<u8>) -> io::Result<u64> {
    const TAIL_BYTES: u64 = 65_535 + 1024;
    let length = read.seek(SeekFrom::End(0))?;
    let begin = length.saturating_sub(TAIL_BYTES);
    read.seek(SeekFrom::Start(begin))?;
    read.by_ref().take(TAIL_BYTES).read_to_end(tail)?;
    read.rewind()?;
    Ok(begin)
}

fn too_many(entries_max: usize) -> Reason {
    Reason::TooMuch { what: "the number of entries", most: entries_max as u64 }
}

fn of_zip(error: ZipError) -> Reason {
    match error {
        ZipError::Io(error) => match Reason::from_io(error) {
            Reason::Truncated => Reason::Archive("it is cut off"),
            reason => reason,
        },
        ZipError::InvalidPassword | ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => {
            Reason::Archive("it is encrypted")
        }
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) => {
            Reason::Archive("it is compressed in another way than phones do")
        }
        ZipError::InvalidArchive(text) if text.starts_with("Multi-disk") => {
            Reason::Archive("it is one of several volumes")
        }
        _ => Reason::Archive("it is no .zip, or a damaged one"),
    }
}

#[cfg(test)]
mod tests;
