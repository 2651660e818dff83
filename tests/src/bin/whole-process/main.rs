//! The whole-process benchmark: the released binary as a child process, measured from outside, each figure beside a floor that
//! is measured in the same run. It never judges time; it fails where an answer is wrong.

mod bodies;
mod floors;
mod imports;
mod large;
mod load;
mod models;
mod people;
mod reads;
mod report;
mod server;
mod slow;
mod small;
mod stored;
mod usage;

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use report::{Report, Row};

/// Measures the clarity binary that lies beside this program.
#[derive(Parser)]
struct Arguments {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Measures only this.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Of how many days of a heart rate each second the imported file is: 108 are 9 million readings and 2.2 GB.
    #[arg(long, default_value_t = 108)]
    import_days: u16,
    /// The folder of the model that embeds weeks; without it models/pat-s.
    #[arg(long)]
    pat: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Uploads of one metric.
    Small,
    /// Uploads of a thousand samples.
    Large,
    /// Reads with a token, and the token by itself.
    Reads,
    /// A probe beside slow connections.
    Slow,
    /// Start and memory.
    Idle,
    /// A file of nine million readings, by the command line, also killed in the middle.
    Import,
    /// Inferences by the Open Inference Protocol.
    Models,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let start = Instant::now();
    // Beside the binary and not in the system's temporary folder, which may be memory, where durable costs nothing.
    let target = e2e::binary()?.parent().context("the binary lies in a folder")?.to_owned();
    let folder = tempfile::Builder::new().prefix("whole-process-").tempdir_in(target)?;
    let rows = measure(folder.path(), &arguments).await?;
    let cores = std::thread::available_parallelism()?.get();
    let report = Report { cores, seconds: start.elapsed().as_secs_f64(), rows };
    let text = if arguments.json { serde_json::to_string_pretty(&report)? } else { report.text() };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

async fn measure(folder: &Path, arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let is_wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let mut rows = Vec::new();
    if is_wanted(Part::Idle) {
        // A folder with something in it: a person who sent a week.
        let used = folder.join("used");
        large::fill(folder, &used).await?;
        rows.extend(server::measure(folder, &used).await?);
    }
    if is_wanted(Part::Reads) {
        rows.extend(reads::measure(folder).await?);
    }
    if is_wanted(Part::Models) {
        let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/pat-s");
        rows.extend(models::measure(folder, arguments.pat.as_deref().unwrap_or(&bundled)).await?);
    }
    if is_wanted(Part::Slow) {
        rows.extend(slow::measure(folder).await?);
    }
    if is_wanted(Part::Import) {
        rows.extend(imports::measure(folder, arguments.import_days).await?);
    }
    if !is_wanted(Part::Small) && !is_wanted(Part::Large) {
        return Ok(rows);
    }
    let [each, upload, many] = [
        floors::insert(folder, 1).await?,
        floors::insert(folder, 6).await?,
        floors::insert(folder, 1000).await?,
    ];
    rows.extend([&each, &upload, &many].map(floors::Insert::row));
    if is_wanted(Part::Small) {
        rows.extend(small::measure(folder, (&upload, &many)).await?);
    }
    if is_wanted(Part::Large) {
        rows.extend(large::measure(folder, &many).await?);
    }
    Ok(rows)
}
