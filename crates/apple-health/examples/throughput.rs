//! How fast a file is read, beside a bare scan of the same bytes: `cargo run --release -p apple-health --example throughput
//! -- export.xml [position]`.
#![expect(clippy::print_stdout, reason = "an example that prints what it measured")]

use std::{
    error::Error,
    fs::File,
    io::BufReader,
    time::{Duration, Instant},
};

use apple_health::{Batch, ExportReader, State};
use quick_xml::{Reader, events::Event};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("which file?")?;
    let bytes = std::fs::metadata(&path)?.len();
    // The second time of each, so that the file lies in the cache of the system for both.
    for is_shown in [false, true] {
        let (bare, events) = scan(&path)?;
        let (read, samples) = read(&path)?;
        if is_shown {
            let rate = |time: Duration| bytes as f64 / time.as_secs_f64() / 1e6;
            println!("bare scan  {:8.3} s  {:7.0} MB/s  {events} events", bare.as_secs_f64(), rate(bare));
            println!(
                "samples    {:8.3} s  {:7.0} MB/s  {samples} samples, {:.2} million a second",
                read.as_secs_f64(),
                rate(read),
                samples as f64 / read.as_secs_f64() / 1e6
            );
            println!("ratio      {:8.2}", read.as_secs_f64() / bare.as_secs_f64());
            println!("memory     {}", peak());
        }
    }
    Ok(())
}

/// Every event of the file, and nothing done with it.
fn scan(path: &str) -> Result<(Duration, u64), Box<dyn Error>> {
    let begin = Busy::now();
    let mut reader = Reader::from_reader(BufReader::with_capacity(256 * 1024, File::open(path)?));
    let mut buffer = Vec::new();
    let mut events = 0;
    while !matches!(reader.read_event_into(&mut buffer)?, Event::Eof) {
        events += 1;
        buffer.clear();
    }
    Ok((begin.elapsed(), events))
}

fn read(path: &str) -> Result<(Duration, usize), Box<dyn Error>> {
    let begin = Busy::now();
    let mut reader = ExportReader::new(File::open(path)?);
    let mut batch = Batch::default();
    let mut samples = 0;
    while reader.read(&mut batch, 10_000)? == State::More {
        samples += batch.samples.len();
    }
    Ok((begin.elapsed(), samples + batch.samples.len()))
}

/// The time that this thread was on a processor, where the system tells, so that what else the machine does counts little.
enum Busy {
    Nanoseconds(u64),
    Wall(Instant),
}

impl Busy {
    fn now() -> Self {
        Self::nanoseconds().map_or_else(|| Self::Wall(Instant::now()), Self::Nanoseconds)
    }

    fn nanoseconds() -> Option<u64> {
        std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
    }

    fn elapsed(&self) -> Duration {
        match self {
            Self::Nanoseconds(begin) => {
                Duration::from_nanos(Self::nanoseconds().unwrap_or(*begin).saturating_sub(*begin))
            }
            Self::Wall(begin) => begin.elapsed(),
        }
    }
}

/// The most memory that the process has used, where the system tells.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap_or("unknown").to_owned()
}
