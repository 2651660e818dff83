//! Columns of numbers.

use pco::{ChunkConfig, DeltaSpec, data_types::Number, standalone};

use super::{
    SegmentError,
    wire::{Reader, put_i64, put_u64},
};

const CONSTANT: u8 = 0;
const PLAIN: u8 = 1;
const PCO: u8 = 2;

/// Shorter columns are left plain: there the frame of `pco` outweighs what it saves, and it takes longer than all the rest.
pub(super) const PCO_COUNT_MIN: usize = 32;

/// Half of pco's usual level: on readings it compresses as well and takes half the time.
const PCO_LEVEL: usize = 4;

/// Instants that mostly follow each other: their differences are told to be what matters, which spares pco the search.
pub(super) fn put_instants(out: &mut Vec<u8>, values: &[i64]) {
    put_deltas(out, values, DeltaSpec::TryConsecutive(1));
}

pub(super) fn put_integers(out: &mut Vec<u8>, values: &[i64]) {
    put_deltas(out, values, DeltaSpec::Auto);
}

fn put_deltas(out: &mut Vec<u8>, values: &[i64], delta: DeltaSpec) {
    let put_one = |out: &mut Vec<u8>, previous: i64, value: i64| put_i64(out, value.wrapping_sub(previous));
    put(out, values, delta, |value| *value, put_one);
}

pub(super) fn integers(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, SegmentError> {
    read(reader, count, |reader, previous: i64| Ok(reader.i64()?.wrapping_add(previous)))
}

pub(super) fn put_quantities(out: &mut Vec<u8>, values: &[f64]) {
    let put_one = |out: &mut Vec<u8>, _, value: f64| out.extend_from_slice(&value.to_le_bytes());
    put(out, values, DeltaSpec::Auto, |value| value.to_bits(), put_one);
}

pub(super) fn quantities(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>, SegmentError> {
    read(reader, count, |reader, _| reader.array().map(f64::from_le_bytes))
}

/// `bits` tells values apart that compare equal, such as 0.0 and -0.0; `put_one` gets the value before too.
fn put<T: Number + Default, B: PartialEq>(
    out: &mut Vec<u8>,
    values: &[T],
    delta: DeltaSpec,
    bits: impl Fn(&T) -> B,
    put_one: impl Fn(&mut Vec<u8>, T, T),
) {
    let Some(first) = values.first() else { return };
    if values.iter().all(|value| bits(value) == bits(first)) {
        out.push(CONSTANT);
        put_one(out, T::default(), *first);
        return;
    }
    let start = out.len();
    out.push(PLAIN);
    let mut previous = T::default();
    for &value in values {
        put_one(out, previous, value);
        previous = value;
    }
    if values.len() < PCO_COUNT_MIN {
        return;
    }
    let Some(compressed) = compress(values, delta, bits) else { return };
    if compressed.len() < out.len() - start {
        out.truncate(start);
        out.push(PCO);
        put_u64(out, compressed.len() as u64);
        out.extend_from_slice(&compressed);
    }
}

/// Compresses, and reads back what it compressed: what is stored was acknowledged, so a fault of the compressor must show
/// while the values are still at hand (<https://github.com/pcodec/pcodec/issues/291> was one).
fn compress<T: Number + Default, B: PartialEq>(
    values: &[T],
    delta: DeltaSpec,
    bits: impl Fn(&T) -> B,
) -> Option<Vec<u8>> {
    let config = ChunkConfig::default().with_compression_level(PCO_LEVEL).with_delta_spec(delta);
    let compressed = standalone::simple_compress(values, &config).ok()?;
    let read_back = decompress::<T>(&compressed, values.len()).ok()?;
    read_back.iter().map(&bits).eq(values.iter().map(&bits)).then_some(compressed)
}

fn read<T: Number + Default>(
    reader: &mut Reader<'_>,
    count: usize,
    read_one: impl Fn(&mut Reader<'_>, T) -> Result<T, SegmentError>,
) -> Result<Vec<T>, SegmentError> {
    match reader.u8()? {
        CONSTANT => Ok(vec![read_one(reader, T::default())?; count]),
        // Each value takes at least a byte, so a count that the bytes cannot hold allocates nothing.
        PLAIN if count <= reader.remaining() => {
            let mut values = Vec::with_capacity(count);
            let mut previous = T::default();
            for _ in 0..count {
                previous = read_one(reader, previous)?;
                values.push(previous);
            }
            Ok(values)
        }
        PCO => {
            let length = reader.length()?;
            decompress(reader.take(length)?, count)
        }
        _ => Err(SegmentError::Malformed),
    }
}

/// Reads exactly `count` values: into a buffer of that size, because the count that the compressed bytes claim is theirs.
fn decompress<T: Number + Default>(compressed: &[u8], count: usize) -> Result<Vec<T>, SegmentError> {
    let mut values = vec![T::default(); count];
    let progress =
        standalone::simple_decompress_into(compressed, &mut values).ok().ok_or(SegmentError::Malformed)?;
    if progress.finished && progress.n_processed == count { Ok(values) } else { Err(SegmentError::Malformed) }
}
