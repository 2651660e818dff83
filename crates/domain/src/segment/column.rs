//! Columns of numbers. Who puts one is told whether it is of a kind that the first builds do not know.

use pco::{ChunkConfig, DeltaSpec, data_types::Number, standalone};

use super::{
    SegmentError,
    wire::{Reader, put_i64, put_u64},
};

const CONSTANT: u8 = 0;
const PLAIN: u8 = 1;
const PCO: u8 = 2;
const STEPS: u8 = 3;
const WHOLE: u8 = 4;

/// Shorter columns are left plain: there the frame of `pco` outweighs what it saves, and it takes longer than all the rest.
pub(super) const PCO_COUNT_MIN: usize = 32;

/// Half of pco's usual level: on readings it compresses as well and takes half the time.
const PCO_LEVEL: usize = 4;

/// Instants that mostly follow each other: their differences are told to be what matters, which spares pco the search.
#[must_use]
pub(super) fn put_instants(out: &mut Vec<u8>, values: &[i64]) -> bool {
    put_deltas(out, values, DeltaSpec::TryConsecutive(1))
}

#[must_use]
pub(super) fn put_integers(out: &mut Vec<u8>, values: &[i64]) -> bool {
    put_deltas(out, values, DeltaSpec::Auto)
}

fn put_deltas(out: &mut Vec<u8>, values: &[i64], delta: DeltaSpec) -> bool {
    if let Some(step) = step(values) {
        out.push(STEPS);
        put_i64(out, values[0]);
        put_i64(out, step);
        return true;
    }
    let put_one = |out: &mut Vec<u8>, previous: i64, value: i64| put_i64(out, value.wrapping_sub(previous));
    put(out, values, delta, |value| *value, put_one);
    false
}

/// By how much each value is more than the one before, if it is so throughout: what was measured once a second began so.
fn step(values: &[i64]) -> Option<i64> {
    let step = values.get(1)?.wrapping_sub(values[0]);
    let is_step = |pair: &[i64]| pair[1].wrapping_sub(pair[0]) == step;
    (step != 0 && values.windows(2).all(is_step)).then_some(step)
}

pub(super) fn integers(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, SegmentError> {
    let kind = reader.u8()?;
    if kind != STEPS {
        return read(reader, kind, count, |reader, previous: i64| Ok(reader.i64()?.wrapping_add(previous)));
    }
    let (first, step) = (reader.i64()?, reader.i64()?);
    Ok(std::iter::successors(Some(first), |value| Some(value.wrapping_add(step))).take(count).collect())
}

/// Heart rates, steps and the like are whole numbers, which take a third less as integers than as floats.
#[must_use]
pub(super) fn put_quantities(out: &mut Vec<u8>, values: &[f64]) -> bool {
    let is_same = |value: &f64| value.to_bits() == values[0].to_bits();
    if values.len() >= PCO_COUNT_MIN && !values.iter().all(is_same) {
        let whole: Option<Vec<i32>> = values.iter().copied().map(whole).collect();
        let compressed = whole.and_then(|whole| compress(&whole, DeltaSpec::Auto, |value| *value));
        if let Some(compressed) = compressed {
            out.push(WHOLE);
            put_u64(out, compressed.len() as u64);
            out.extend_from_slice(&compressed);
            return true;
        }
    }
    let put_one = |out: &mut Vec<u8>, _, value: f64| out.extend_from_slice(&value.to_le_bytes());
    put(out, values, DeltaSpec::Auto, |value| value.to_bits(), put_one);
    false
}

/// A value as an integer that gives back its every bit; not a fraction, what is too large, or -0.0.
fn whole(value: f64) -> Option<i32> {
    #[expect(clippy::cast_possible_truncation, reason = "what it changes is not the same afterwards")]
    let whole = value as i32;
    (f64::from(whole).to_bits() == value.to_bits()).then_some(whole)
}

pub(super) fn quantities(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>, SegmentError> {
    let kind = reader.u8()?;
    if kind != WHOLE {
        return read(reader, kind, count, |reader, _| reader.array().map(f64::from_le_bytes));
    }
    let length = reader.length()?;
    let whole = decompress::<i32>(reader.take(length)?, count)?;
    Ok(whole.into_iter().map(f64::from).collect())
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
    kind: u8,
    count: usize,
    read_one: impl Fn(&mut Reader<'_>, T) -> Result<T, SegmentError>,
) -> Result<Vec<T>, SegmentError> {
    match kind {
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
