//! The stored form of many readings of one metric: a compressed columnar block.
//!
//! ```text
//! segment  = "CLS" version(u8) header ids start duration value clocks sources metadata [sequences] crc32(u32 LE)
//! header   = metric identifier, count, least start, greatest end - least start
//! ids      = 0                                       each id is its reading's `ContentKey::sample_id`
//!          | 1 run count, (uuid, run length)*        HealthKit series: one id, many points
//!          | 2 uuid*
//! column   = 0 value                                 every value is the same
//!          | 1 value*                                integers as zigzag varints of differences, quantities as f64 LE
//!          | 2 length, pco
//!          | 3 value step                            integers that differ by the same from one to the next
//!          | 4 length, pco                           quantities that are whole numbers, as integers of 32 bits
//! sequences = column                             versions 2 and 4 only: several segments joined, see [`encode_joined`]
//! clocks, sources, metadata = entry count, entry*, column of indices
//! ```
//!
//! Integers are LEB128 varints, signed ones in zigzag; texts have their length before them, and one that may be absent
//! has its length plus one, or 0. The ids come first because they are what deduplication reads. The checksum covers all
//! that comes before it: storage that rots is an error here, never a wrong reading. The checksum is no signature, so
//! decoding is also safe on bytes that someone made up.

mod column;
mod dictionary;
mod ids;
mod reference;
mod wire;

use std::sync::Arc;

pub use self::reference::Reference;
use self::{
    ids::Ids,
    wire::{Reader, put_i64, put_str, put_u64},
};
use crate::{
    ids::SampleId,
    metric::{Metric, MetricKind},
    sample::{Sample, Value},
    time::Interval,
};

/// The most readings of one segment. Equal readings take almost no bytes, so the size of a block does not bound what
/// decoding it allocates; this does.
pub const SAMPLES_MAX: usize = 1 << 20;

const MAGIC: [u8; 3] = *b"CLS";
/// Of one change, without columns of the kinds 3 and 4: builds that do not know those read it, too.
const EARLY_PLAIN: u8 = 1;
/// Of several changes, likewise.
const EARLY_JOINED: u8 = 2;
/// Of one change.
const PLAIN: u8 = 3;
/// Of several changes.
const JOINED: u8 = 4;
const CHECKSUM_BYTES: usize = size_of::<u32>();

/// Why readings were not encoded, or bytes not decoded. Holds no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SegmentError {
    /// There is nothing to encode.
    #[error("a segment holds at least one sample")]
    Empty,
    /// There is too much to encode.
    #[error("a segment holds at most {SAMPLES_MAX} samples")]
    TooMany,
    /// The samples are not all of one metric.
    #[error("a segment holds samples of one metric")]
    MixedMetrics,
    /// A sample of a quantity metric holds a category, or the other way round.
    #[error("the value's kind is not that of the metric")]
    WrongKind,
    /// The bytes do not begin as a segment does.
    #[error("not a segment")]
    NotASegment,
    /// A later build wrote this segment.
    #[error("segment version is not supported")]
    UnknownVersion,
    /// The bytes are not those that were written.
    #[error("segment checksum does not match")]
    Checksum,
    /// The checksum matches, and yet this is not what [`encode`] writes.
    #[error("segment is malformed")]
    Malformed,
    /// The metric is not in this build's catalogue.
    #[error("segment metric is not in the catalogue")]
    UnknownMetric,
    /// A time zone is not in this build's database.
    #[error("segment time zone is not in the database")]
    UnknownZone,
}

/// What a segment says about itself before its columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The metric of all its samples.
    pub metric: Metric,
    /// How many samples it holds; at least one.
    pub count: usize,
    /// The earliest start, in milliseconds since the Unix epoch.
    pub start_ms_min: i64,
    /// The latest end, in milliseconds since the Unix epoch.
    pub end_ms_max: i64,
}

/// Encodes samples of one metric, keeping their order and every bit of their values.
pub fn encode(samples: &[Sample]) -> Result<Vec<u8>, SegmentError> {
    put(samples, None)
}

/// Encodes samples of one metric that several changes brought, each with the number of its change.
///
/// # Errors
/// [`SegmentError::Malformed`] unless there are as many numbers as samples.
pub fn encode_joined(samples: &[Sample], sequences: &[u64]) -> Result<Vec<u8>, SegmentError> {
    if samples.len() != sequences.len() {
        return Err(SegmentError::Malformed);
    }
    put(samples, Some(sequences))
}

fn put(samples: &[Sample], sequences: Option<&[u64]>) -> Result<Vec<u8>, SegmentError> {
    let header = Header::of(samples)?;
    let mut out = Vec::with_capacity(256 + 4 * samples.len());
    out.extend_from_slice(&MAGIC);
    out.push(if sequences.is_some() { EARLY_JOINED } else { EARLY_PLAIN });
    header.put(&mut out);
    ids::put(&mut out, samples);
    let starts: Vec<_> = samples.iter().map(|sample| sample.interval.start_ms()).collect();
    let mut is_late = column::put_instants(&mut out, &starts);
    let durations: Vec<_> = samples.iter().map(|sample| duration(sample.interval)).collect();
    is_late |= column::put_integers(&mut out, &durations);
    is_late |= put_values(&mut out, header.metric.kind(), samples)?;
    is_late |= dictionary::put(&mut out, samples.iter().map(|sample| &*sample.clock), dictionary::put_clock);
    is_late |=
        dictionary::put(&mut out, samples.iter().map(|sample| &*sample.source), dictionary::put_source);
    is_late |= dictionary::put(
        &mut out,
        samples.iter().map(|sample| sample.metadata.as_deref()),
        wire::put_optional_str,
    );
    if let Some(sequences) = sequences {
        let sequences: Vec<_> = sequences.iter().map(|sequence| sequence.cast_signed()).collect();
        is_late |= column::put_integers(&mut out, &sequences);
    }
    if is_late {
        out[MAGIC.len()] = if sequences.is_some() { JOINED } else { PLAIN };
    }
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    Ok(out)
}

/// Reads what [`encode`] or [`encode_joined`] wrote: the same samples in the same order.
pub fn decode(bytes: &[u8]) -> Result<Vec<Sample>, SegmentError> {
    read(bytes).map(|(samples, _)| samples)
}

/// The same, each sample with the number of the change that brought it: `own` where the segment holds one change.
pub fn decode_numbered(bytes: &[u8], own: u64) -> Result<Vec<(u64, Sample)>, SegmentError> {
    let (samples, sequences) = read(bytes)?;
    let sequence = |at: usize| sequences.as_ref().map_or(own, |sequences| sequences[at].cast_unsigned());
    Ok(samples.into_iter().enumerate().map(|(at, sample)| (sequence(at), sample)).collect())
}

fn read(bytes: &[u8]) -> Result<(Vec<Sample>, Option<Vec<i64>>), SegmentError> {
    let (version, mut reader) = open(bytes)?;
    let header = Header::read(&mut reader)?;
    let count = header.count;
    let ids = Ids::read(&mut reader, count)?;
    let starts = column::integers(&mut reader, count)?;
    let durations = column::integers(&mut reader, count)?;
    let values = read_values(&mut reader, header.metric.kind(), count)?;
    let clocks = dictionary::read(&mut reader, count, dictionary::read_clock)?;
    let sources = dictionary::read(&mut reader, count, dictionary::read_source)?;
    let metadata =
        dictionary::read(&mut reader, count, |reader| Ok(reader.optional_str()?.map(Arc::<str>::from)))?;
    let sequences =
        matches!(version, EARLY_JOINED | JOINED).then(|| column::integers(&mut reader, count)).transpose()?;
    reader.finish()?;

    let mut samples = Vec::with_capacity(count);
    for (at, (&start, &duration)) in starts.iter().zip(&durations).enumerate() {
        let interval =
            Interval::new(start, start.wrapping_add(duration)).ok().ok_or(SegmentError::Malformed)?;
        let mut sample = Sample {
            id: ids.given(at),
            metric: header.metric,
            interval,
            value: values[at],
            clock: clocks.get(at)?,
            source: sources.get(at)?,
            metadata: metadata.get(at)?,
        };
        if ids == Ids::Derived {
            sample.id = sample.content_key().sample_id();
        }
        samples.push(sample);
    }
    if Header::of(&samples)? == header { Ok((samples, sequences)) } else { Err(SegmentError::Malformed) }
}

/// Reads the header. The checksum of the whole segment is verified, its columns are not decoded.
pub fn header(bytes: &[u8]) -> Result<Header, SegmentError> {
    Header::read(&mut open(bytes)?.1)
}

/// Reads the ids of the samples in their order. Does not decode the columns, unless the ids are derived from them.
pub fn decode_ids(bytes: &[u8]) -> Result<Vec<SampleId>, SegmentError> {
    let (_, mut reader) = open(bytes)?;
    let header = Header::read(&mut reader)?;
    match Ids::read(&mut reader, header.count)? {
        Ids::Given(ids) => Ok(ids),
        Ids::Derived => Ok(decode(bytes)?.into_iter().map(|sample| sample.id).collect()),
    }
}

/// Checks magic, version and checksum, and gives the version and what is between.
fn open(bytes: &[u8]) -> Result<(u8, Reader<'_>), SegmentError> {
    let body = bytes.strip_prefix(&MAGIC).ok_or(SegmentError::NotASegment)?;
    let (&version, body) = body.split_first().ok_or(SegmentError::NotASegment)?;
    if !matches!(version, EARLY_PLAIN | EARLY_JOINED | PLAIN | JOINED) {
        return Err(SegmentError::UnknownVersion);
    }
    let (body, checksum) = body.split_last_chunk::<CHECKSUM_BYTES>().ok_or(SegmentError::Checksum)?;
    if crc32fast::hash(&bytes[..bytes.len() - CHECKSUM_BYTES]) != u32::from_le_bytes(*checksum) {
        return Err(SegmentError::Checksum);
    }
    Ok((version, Reader::new(body)))
}

impl Header {
    fn of(samples: &[Sample]) -> Result<Self, SegmentError> {
        let first = samples.first().ok_or(SegmentError::Empty)?;
        if samples.len() > SAMPLES_MAX {
            return Err(SegmentError::TooMany);
        }
        let mut header = Self {
            metric: first.metric,
            count: samples.len(),
            start_ms_min: first.interval.start_ms(),
            end_ms_max: first.interval.end_ms(),
        };
        for sample in samples {
            if sample.metric != header.metric {
                return Err(SegmentError::MixedMetrics);
            }
            header.start_ms_min = header.start_ms_min.min(sample.interval.start_ms());
            header.end_ms_max = header.end_ms_max.max(sample.interval.end_ms());
        }
        Ok(header)
    }

    fn put(self, out: &mut Vec<u8>) {
        put_str(out, self.metric.identifier());
        put_u64(out, self.count as u64);
        put_i64(out, self.start_ms_min);
        put_u64(out, self.end_ms_max.abs_diff(self.start_ms_min));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, SegmentError> {
        let metric = Metric::from_identifier(reader.str()?).ok_or(SegmentError::UnknownMetric)?;
        let count = reader.length()?;
        if count == 0 || count > SAMPLES_MAX {
            return Err(SegmentError::Malformed);
        }
        let start_ms_min = reader.i64()?;
        let end_ms_max = start_ms_min.checked_add_unsigned(reader.u64()?).ok_or(SegmentError::Malformed)?;
        Ok(Self { metric, count, start_ms_min, end_ms_max })
    }
}

/// How long an interval lasts, modulo 2^64 so that intervals of more than `i64::MAX` milliseconds survive.
fn duration(interval: Interval) -> i64 {
    interval.end_ms().wrapping_sub(interval.start_ms())
}

/// Whether the column is of a kind that the first builds do not know.
fn put_values(out: &mut Vec<u8>, kind: MetricKind, samples: &[Sample]) -> Result<bool, SegmentError> {
    Ok(match kind {
        MetricKind::Quantity => {
            let quantity = |sample: &Sample| match sample.value {
                Value::Quantity(quantity) => Ok(quantity),
                Value::Category(_) => Err(SegmentError::WrongKind),
            };
            column::put_quantities(out, &samples.iter().map(quantity).collect::<Result<Vec<_>, _>>()?)
        }
        MetricKind::Category => {
            let code = |sample: &Sample| match sample.value {
                Value::Category(code) => Ok(i64::from(code)),
                Value::Quantity(_) => Err(SegmentError::WrongKind),
            };
            column::put_integers(out, &samples.iter().map(code).collect::<Result<Vec<_>, _>>()?)
        }
    })
}

fn read_values(reader: &mut Reader<'_>, kind: MetricKind, count: usize) -> Result<Vec<Value>, SegmentError> {
    match kind {
        MetricKind::Quantity => {
            Ok(column::quantities(reader, count)?.into_iter().map(Value::Quantity).collect())
        }
        MetricKind::Category => column::integers(reader, count)?
            .into_iter()
            .map(|code| i32::try_from(code).map(Value::Category).ok().ok_or(SegmentError::Malformed))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
