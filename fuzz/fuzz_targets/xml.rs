//! Reading `export.xml` never panics, and gives the same whether it is read at once or goes on at each position.
#![no_main]

use apple_health::{Batch, ExportReader, Position, Refused, State};
use domain::sample::Sample;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Without this, most of what the fuzzer makes is refused at its first byte.
    let inside = [b"<HealthData>", bytes].concat();
    for xml in [bytes, inside.as_slice()] {
        let (whole, end) = read(xml, Position::START, 1_000, false);
        let (parts, part_end) = read(xml, Position::START, 1, true);
        assert!(whole == parts);
        assert_eq!(end.map_err(|refused| refused.to_string()), part_end.map_err(|refused| refused.to_string()));
    }
});

/// All samples from a position on. `stops` makes a new reader for each batch.
fn read(xml: &[u8], from: Position, items: usize, stops: bool) -> (Vec<Sample>, Result<(), Refused>) {
    let at = |position: Position| ExportReader::resume(&xml[usize::try_from(position.offset).unwrap()..], position);
    let (mut reader, mut batch, mut samples) = (at(from), Batch::default(), Vec::new());
    loop {
        let outcome = reader.read(&mut batch, items);
        samples.append(&mut batch.samples);
        match outcome {
            Ok(State::More) if stops => reader = at(batch.position.unwrap()),
            Ok(State::More) => {}
            Ok(State::End) => return (samples, Ok(())),
            Err(refused) => return (samples, Err(refused)),
        }
    }
}
