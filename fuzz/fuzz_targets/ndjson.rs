//! Reading a stream of lines never panics, and gives the same however the bytes arrive.
#![no_main]

use app::ingest::{Line, LineLimits, Stream};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

const LIMITS: LineLimits = LineLimits { bytes_max: 500, samples_max: 5 };

fuzz_target!(|bytes: &[u8]| {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let whole = read(std::iter::once(bytes));
    let parts = read(bytes.chunks(usize::from(*size).max(1)));
    assert_eq!(whole.len(), parts.len());
    for (one, other) in whole.iter().zip(&parts) {
        assert_eq!((one.number, one.deleted, &one.rejected), (other.number, other.deleted, &other.rejected));
        assert!(one.samples == other.samples);
    }
});

fn read<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Line> {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let (mut stream, mut lines) = (Stream::new(LIMITS, now), Vec::new());
    for chunk in chunks {
        stream.push(chunk, |line| lines.push(line));
    }
    lines.extend(stream.finish());
    lines
}
