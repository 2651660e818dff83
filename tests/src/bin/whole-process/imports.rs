//! Years of readings in one file: how long `clarity import` takes and how much memory, beside a scan of the same file that does
//! nothing with it; and that an import which is killed in the middle and goes on leaves the same behind.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use domain::ids::UserId;
use e2e::{Clarity, Phone, binary};
use quick_xml::{Reader, events::Event};
use serde_json::Value;

use crate::{
    bodies::{Ids, one_metric_at},
    load::{Connection, Request},
    people,
    report::{Goal, Row},
    server,
    stored::{Held, Stored},
    usage::{self, Taken},
};

const START: &str = "2025-01-01";
const SECONDS_MAX: f64 = 60.0;
const MEGABYTES_MAX: f64 = 100.0;
const TIMES_SCAN_MAX: f64 = 3.0;
/// How often it is asked how far an import has come.
const LOOK: Duration = Duration::from_millis(50);
/// A month of heart rates.
const MONTH: &str = "start_date=2025-01-01&end_date=2025-01-31";
const READS: usize = 5;
const DAY_S: i64 = 86_400;
/// How many late readings are sent, a day each: from 2025-01-02 on, which the file holds, and from 2020-01-01 on.
const LATE: i64 = 15;
const FULL_DAY: i64 = 20_090;
const EMPTY_DAY: i64 = 18_262;

pub(crate) async fn measure(folder: &Path, days: u16) -> anyhow::Result<Vec<Row>> {
    let file = export(folder, days)?;
    let size = file.metadata.len() as f64 / 1e6;
    let scan = scan(&file.path)?;
    let whole = Home::new(folder, "import").await?;
    let (taken, import) = whole.import(&file.path).await?;
    let readings = import["counts"]["accepted"].as_u64().context("the import says what it kept")?;
    let mut rows = vec![
        Row::new(format!("import of {readings} readings, {size:.0} MB"), taken.wall.as_secs_f64(), "s")
            .goal(Goal::AtMost(SECONDS_MAX))
            .floor("bare scan", scan.wall.as_secs_f64())
            .note(cost(&taken, readings)),
        Row::new("import: wall by that of a bare scan", taken.wall.div_duration_f64(scan.wall), "x")
            .goal(Goal::AtMost(TIMES_SCAN_MAX))
            .note(format!("by CPU {:.1}", taken.cpu.div_duration_f64(scan.cpu))),
        Row::new("import: the most memory", taken.most, "MB").goal(Goal::AtMost(MEGABYTES_MAX)),
    ];
    let (again, twice) = whole.import(&file.path).await?;
    ensure!(twice["counts"]["accepted"] == 0, "the same file twice kept something twice: {twice}");
    rows.push(
        Row::new("the same file once more: nothing new", again.wall.as_secs_f64(), "s")
            .floor("the first time", taken.wall.as_secs_f64())
            .note(format!("{}; at most {:.0} MB", cost(&again, readings), again.most)),
    );
    rows.extend(whole.reads(folder).await?);
    let expected = whole.held().await?;
    ensure!(expected.readings as u64 == readings, "{} of {readings} readings are held", expected.readings);
    rows.push(resumed(folder, &file.path, taken.wall, &expected).await?);
    rows.push(whole.late(folder).await?);
    Ok(rows)
}

fn cost(taken: &Taken, readings: u64) -> String {
    let (cpu, us) = (taken.cpu.as_secs_f64(), taken.cpu.as_secs_f64() * 1e6 / readings as f64);
    format!("{cpu:.1} s of CPU, {us:.2} us a reading")
}

struct Export {
    path: PathBuf,
    metadata: std::fs::Metadata,
}

/// What `clarity sample` writes.
fn export(folder: &Path, days: u16) -> anyhow::Result<Export> {
    let path = folder.join("export.xml");
    let (days, output) = (days.to_string(), path.to_string_lossy());
    let arguments = ["sample", "--format", "export-xml", "--chest-strap", "1", "--start", START];
    let mut command = Command::new(binary()?);
    let made = command.args(arguments).args(["--days", &days, "--output", &output]).status()?;
    ensure!(made.success(), "clarity sample ended with {made}");
    Ok(Export { metadata: path.metadata()?, path })
}

/// The XML of a file, event by event, by the parser that the import uses, and nothing done with it.
fn scan(path: &Path) -> anyhow::Result<Taken> {
    let (cpu, start) = (usage::own_cpu()?, Instant::now());
    let mut reader = Reader::from_reader(BufReader::with_capacity(256 * 1024, File::open(path)?));
    let mut buffer = Vec::new();
    while !matches!(reader.read_event_into(&mut buffer)?, Event::Eof) {
        buffer.clear();
    }
    Ok(Taken { wall: start.elapsed(), cpu: usage::own_cpu()?.saturating_sub(cpu), most: 0.0 })
}

/// A data folder with one person.
struct Home {
    data: PathBuf,
    phone: Phone,
    stored: Stored,
}

impl Home {
    async fn new(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let data = folder.join(name);
        let server = server::without_model(&data, folder)?.args(&["--no-worker"]).start()?;
        let phone = people::sign_up(server.address()?, 1).await?.remove(0);
        let user: UserId = phone.user_id.parse()?;
        let stored = Stored::open(&data, user).await?;
        Ok(Self { data, phone, stored })
    }

    /// By the command line, to its end.
    async fn import(&self, file: &Path) -> anyhow::Result<(Taken, Value)> {
        let child = Clarity::import(&self.data, file, &self.phone.email)?.spawn()?;
        let taken = usage::to_its_end(&child).await?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the import ended with {}: {said}", output.status);
        Ok((taken, serde_json::from_slice(&output.stdout)?))
    }

    /// Kills an import when it has read half of the file, and answers how far it had come.
    async fn kill_in_the_middle(&self, file: &Path, size: u64) -> anyhow::Result<f64> {
        let mut child = Clarity::import(&self.data, file, &self.phone.email)?.spawn()?;
        loop {
            let import = self.stored.import().await?;
            let position = import.and_then(|import| import["position"]["offset"].as_u64()).unwrap_or(0);
            if position >= size / 2 {
                child.kill()?;
                let ended: ExitStatus = child.wait()?;
                ensure!(!ended.success(), "the import was over before it was killed");
                return Ok(position as f64 / size as f64);
            }
            ensure!(child.try_wait()?.is_none(), "the import ended by itself");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Lets a worker compute what is due.
    async fn compute(&self, folder: &Path) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let worker = Clarity::worker(&self.data)?
            .set("inference.models_dir", &folder.join("no-models").to_string_lossy())
            .start()?;
        while self.stored.is_due().await? {
            tokio::time::sleep(LOOK).await;
        }
        drop(worker);
        Ok(start.elapsed())
    }

    /// How long reading takes before and after segments were joined, and joins them in between.
    async fn reads(&self, folder: &Path) -> anyhow::Result<Vec<Row>> {
        let (before, page_before) = self.read(folder).await?;
        let many = self.stored.segments().await?;
        let computed = self.compute(folder).await?;
        let few = self.stored.segments().await?;
        let (after, page_after) = self.read(folder).await?;
        let row = |name: &str, ms: f64, segments: usize| {
            Row::new(format!("{name}, in {segments} segments"), ms, "ms")
        };
        Ok(vec![
            row("hours of a month of a heart rate each second", before, many),
            row("hours of the same month, days joined", after, few).floor("before", before),
            row("a page of 1000 of those heart rates", page_before, many),
            row("the same page, days joined", page_after, few).floor("before", page_before),
            Row::new("import: measures of all days, and joining", computed.as_secs_f64(), "s"),
        ])
    }

    /// Median times in milliseconds: the hours of a month, and a page of readings.
    async fn read(&self, folder: &Path) -> anyhow::Result<(f64, f64)> {
        let server = server::without_model(&self.data, folder)?.args(&["--no-worker"]).start()?;
        let address = server.address()?;
        let phone = Phone::sign_in(address, &self.phone.email, &self.phone.password).await?;
        let mut connection = Connection::open(address).await?;
        let mut medians = Vec::new();
        for (path, holds) in [
            (format!("/api/v1/metrics/hourly?{MONTH}"), "heart_rate"),
            ("/api/v1/health-data?data_type=heart_rate&limit=1000".to_owned(), "heart_rate"),
        ] {
            let request = Request::get_with(&path, &phone.access_token).expect(200, holds);
            let mut times = Vec::new();
            for _ in 0..READS {
                let start = Instant::now();
                connection.check(&request).await?;
                times.push(start.elapsed());
            }
            times.sort_unstable();
            medians.push(times[READS / 2].as_secs_f64() * 1e3);
        }
        Ok((medians[0], medians[1]))
    }

    /// Single readings that come late, into days of a reading each second, and into days without one.
    async fn late(&self, folder: &Path) -> anyhow::Result<Row> {
        let server = server::without_model(&self.data, folder)?.args(&["--no-worker"]).start()?;
        let address = server.address()?;
        let phone = Phone::sign_in(address, &self.phone.email, &self.phone.password).await?;
        let mut connection = Connection::open(address).await?;
        let mut ids = Ids::new(5);
        let mut medians = Vec::new();
        for first_day in [FULL_DAY, EMPTY_DAY] {
            let mut times = Vec::new();
            for day in 0..LATE {
                let body = one_metric_at(&phone.user_id, &mut ids, (first_day + day) * DAY_S + DAY_S / 2, 7);
                let request = Request::post("/api/v1/health-data", &phone.access_token, &body);
                let (start, request) = (Instant::now(), request.expect(201, r#""accepted":1"#));
                connection.check(&request).await?;
                times.push(start.elapsed());
            }
            times.sort_unstable();
            medians.push(times[times.len() / 2].as_secs_f64() * 1e3);
        }
        Ok(Row::new("a late reading into a day with one each second: kept", medians[0], "ms")
            .floor("into an empty day", medians[1]))
    }

    async fn held(&self) -> anyhow::Result<Held> {
        self.stored.held().await
    }
}

/// Killed in the middle, and gone on with.
async fn resumed(folder: &Path, file: &Path, whole: Duration, expected: &Held) -> anyhow::Result<Row> {
    let home = Home::new(folder, "import-killed").await?;
    let share = home.kill_in_the_middle(file, file.metadata()?.len()).await?;
    let (taken, _) = home.import(file).await?;
    home.compute(folder).await?;
    let held = home.held().await?;
    ensure!(
        (held.readings, held.results, &held.digest)
            == (expected.readings, expected.results, &expected.digest),
        "killed and resumed: {} readings, {} results, {}; in one go: {}, {}, {}",
        held.readings,
        held.results,
        held.digest,
        expected.readings,
        expected.results,
        expected.digest
    );
    Ok(Row::new("import-resume: the rest after kill -9 in the middle", taken.wall.as_secs_f64(), "s")
        .floor("the whole", whole.as_secs_f64())
        .note(format!(
            "killed at {:.0} %; at most {:.0} MB; the same {} readings and {} days and nights, digest {}",
            share * 100.0,
            taken.most,
            held.readings,
            held.results,
            &held.digest[..16]
        )))
}
