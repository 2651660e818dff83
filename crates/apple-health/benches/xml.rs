//! Reading an export into samples, beside a floor on the same bytes: a scan of its XML that does nothing with it.

use std::hint::black_box;

use apple_health::{Batch, ExportReader, State};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::civil::Date;
use quick_xml::{Reader, events::Event};
use simulator::{Simulation, SimulatorSettings};

fn export(days: u16, strap_seconds: Option<u16>) -> Vec<u8> {
    let start = Date::constant(2026, 3, 2);
    let settings = SimulatorSettings { days, seed: 7, start, zone: "Europe/Berlin".to_owned() };
    let simulation = Simulation::new(&settings).unwrap_or_else(|error| panic!("{error}"));
    let simulation = match strap_seconds {
        Some(seconds) => simulation.with_chest_strap(seconds),
        None => simulation,
    };
    let mut xml = Vec::new();
    simulation.write_export_xml(&mut xml).unwrap_or_else(|error| panic!("{error}"));
    xml
}

/// As from a file: the parser takes bytes out of a buffer, not out of a whole document in memory.
fn scan(xml: &[u8]) -> u64 {
    let mut reader = Reader::from_reader(std::io::BufReader::with_capacity(256 * 1024, xml));
    let (mut buffer, mut events) = (Vec::new(), 0);
    loop {
        match reader.read_event_into(&mut buffer) {
            Ok(Event::Eof) => return events,
            Ok(_) => events += 1,
            Err(error) => panic!("{error}"),
        }
        buffer.clear();
    }
}

fn read(xml: &[u8]) -> usize {
    let (mut reader, mut batch, mut samples) = (ExportReader::new(xml), Batch::default(), 0);
    loop {
        let state = reader.read(&mut batch, 10_000).unwrap_or_else(|error| panic!("{error}"));
        samples += black_box(&batch.samples).len();
        if state == State::End {
            return samples;
        }
    }
}

fn exports(criterion: &mut Criterion) {
    for (name, xml) in [("one each second", export(2, Some(1))), ("with metadata", export(30, None))] {
        let mut group = criterion.benchmark_group(format!("export.xml/{name}"));
        group.throughput(Throughput::Bytes(xml.len() as u64)).sample_size(20);
        group.bench_function("bare scan", |bencher| bencher.iter(|| scan(black_box(&xml))));
        group.bench_function("samples", |bencher| bencher.iter(|| read(black_box(&xml))));
        group.finish();
    }
}

criterion_group!(benches, exports);
criterion_main!(benches);
