//! `clarity models fit-normalisation`: what PAT's input is standardised by, from a cohort.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use app::App;
use clap::{ArgGroup, Args};
use csv::{Reader, ReaderBuilder, StringRecord, Trim};
use domain::measures::{cohort::Cohort, pat::PAT_MINUTES};
use indicatif::ProgressBarIter;
use jiff::{ToSpan, Unit, civil::DateTime};
use serde_json::json;

use super::batch::{self, Range};
use crate::{
    cli::{Failure, Global},
    commands::runtime,
    platform, settings,
};

/// What describes the vectors.
const DESCRIPTION: &str = "normalisation.json";

/// The unit of what phones upload.
const STEPS: &str = "steps/min";

/// In how many people each minute must have been observed where it is somebody's own data: who has the model has these vectors.
const UPLOADS_PEOPLE_MIN: u32 = 10;

/// Either a file or people whose uploads are kept here.
#[derive(Args)]
#[command(group(ArgGroup::new("cohort").required(true).args(["csv", "users", "file"])))]
pub(crate) struct Fit {
    /// Under a header, a person a line, whose last 10,080 columns are the minutes of a week from Monday 00:00 local time on; or a minute a
    /// line under a header that names person, timestamp (local, such as 2026-01-05T00:00) and value, the lines of a person one after the other. An
    /// empty cell is a minute that was not observed.
    #[arg(value_name = "COHORT.csv", requires = "unit")]
    csv: Option<PathBuf>,
    /// People whose uploads are kept here: from id A on, up to and without B; `..` is everybody. Of each the newest week counts
    /// that PAT would take.
    #[arg(long, value_name = "A..B", value_parser = Range::parse)]
    users: Option<Range>,
    /// The same of the people in a file with a user id a line; `-` is standard input.
    #[arg(long, value_name = "LIST")]
    file: Option<PathBuf>,
    /// The unit of a file's values, such as counts/min. Of uploads they are steps/min.
    #[arg(long, conflicts_with_all = ["users", "file"])]
    unit: Option<String>,
    /// No standard deviation is below this, in the unit of the values.
    #[arg(long, default_value_t = 0.0, value_parser = floor)]
    floor: f64,
    /// In how many people each minute of the week must have been observed.
    #[arg(long, default_value_t = 30, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    people_min: u32,
    /// Where the vectors and `normalisation.json` are written, for `models/convert_pat.py --normalisation`.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

fn floor(text: &str) -> Result<f64, String> {
    let floor = text.parse().ok().filter(|floor: &f64| floor.is_finite() && *floor >= 0.0);
    floor.ok_or_else(|| "it is a number of 0 or more".to_owned())
}

impl Fit {
    pub(crate) fn run(&self, global: &Global) -> Result<ExitCode, Failure> {
        let (cohort, unit) = match &self.csv {
            Some(path) => {
                let fitted = of_file(path).with_context(|| format!("{} cannot be taken", path.display()))?;
                (fitted, self.unit.as_deref().unwrap_or_default())
            }
            None => (self.of_uploads(global)?, STEPS),
        };
        let fitted = cohort.normalisation(self.people_min, self.floor).with_context(|| {
            format!("the cohort of {} people gives no normalisation; nothing was written", cohort.people())
        })?;
        let floor = self.floor;
        let method = format!(
            "mean and population standard deviation (not below {floor} {unit}) of each minute of the week from Monday 00:00 local \
             time, over {} people's weeks",
            cohort.people()
        );
        let described = json!({ "unit": unit, "method": method });
        fs::create_dir_all(&self.output)
            .with_context(|| format!("{} cannot be made", self.output.display()))?;
        // The description is written last: what broke off is not taken for a whole.
        match fs::remove_file(self.output.join(DESCRIPTION)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        self.write("mean.f32", &bytes(&fitted.mean))?;
        self.write("standard_deviation.f32", &bytes(&fitted.standard_deviation))?;
        self.write(DESCRIPTION, format!("{described:#}\n").as_bytes())?;
        global.print(&described, || format!("{}: {} people", self.output.display(), cohort.people()))?;
        Ok(ExitCode::SUCCESS)
    }

    fn write(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let path = self.output.join(name);
        fs::write(&path, content).with_context(|| format!("{} cannot be written", path.display()))
    }

    fn of_uploads(&self, global: &Global) -> Result<Cohort, Failure> {
        if self.people_min < UPLOADS_PEOPLE_MIN {
            let least = format!(
                "--people-min is at least {UPLOADS_PEOPLE_MIN} for uploads: a mean of few would tell their values"
            );
            return Err(anyhow::anyhow!(least).into());
        }
        let listed = self.file.as_deref().map(batch::list).transpose()?;
        let config = global.load(None)?.config;
        let cohort = runtime()?.block_on(async {
            let (clock, ids) = platform::time_and_ids();
            let connected = platform::connect_without_models(&config, clock, ids).await?;
            let app = App::new(connected.platform, settings(&config));
            let mut users = match listed {
                Some(users) => users,
                None => app.everybody().await?,
            };
            users.retain(|user| self.users.as_ref().is_none_or(|range| range.holds(*user)));
            let bar = batch::bar(users.len());
            let cohort = app.cohort(&users, |done| bar.set_position(done)).await?;
            bar.finish_and_clear();
            anyhow::Ok(cohort)
        })?;
        Ok(cohort)
    }
}

fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn of_file(path: &Path) -> anyhow::Result<Cohort> {
    let file = File::open(path)?;
    let bar = super::import::bar(file.metadata()?.len());
    let mut rows = ReaderBuilder::new().trim(Trim::All).from_reader(bar.wrap_read(file));
    let header = rows.headers()?.clone();
    let column = |name| header.iter().position(|column| column == name);
    let cohort = match (column("person"), column("timestamp"), column("value")) {
        (Some(person), Some(timestamp), Some(value)) => of_minutes(&mut rows, [person, timestamp, value])?,
        _ if has_minutes(&header) => of_weeks(&mut rows)?,
        _ => bail!(
            "the first line must be a header that names person, timestamp and value, or one that ends with a column for each of \
             {PAT_MINUTES} minutes"
        ),
    };
    bar.finish_and_clear();
    Ok(cohort)
}

/// Whether a line names the minutes of a week. One with somebody's minutes has some of them twice.
fn has_minutes(header: &StringRecord) -> bool {
    let minutes: HashSet<&str> = header.iter().rev().take(PAT_MINUTES).collect();
    minutes.len() == PAT_MINUTES
}

type Rows = Reader<ProgressBarIter<File>>;

fn line(row: &StringRecord) -> u64 {
    row.position().map_or(0, csv::Position::line)
}

fn count(cell: &str, row: &StringRecord) -> anyhow::Result<Option<f64>> {
    if cell.is_empty() {
        return Ok(None);
    }
    let value: Option<f64> = cell.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
    Ok(Some(value.with_context(|| format!("line {}: a value is not a count of 0 or more", line(row)))?))
}

/// Somebody's week a line.
fn of_weeks(rows: &mut Rows) -> anyhow::Result<Cohort> {
    let mut cohort = Cohort::default();
    let mut row = StringRecord::new();
    while rows.read_record(&mut row)? {
        let week: Vec<_> = row
            .iter()
            .skip(row.len() - PAT_MINUTES)
            .map(|cell| count(cell, &row))
            .collect::<Result<_, _>>()?;
        cohort.add(&week)?;
    }
    Ok(cohort)
}

/// Somebody's minutes, as they come.
struct Person {
    name: String,
    seen: HashSet<DateTime>,
    /// How many values there are of each minute of the week, and their sum.
    sums: Vec<(u32, f64)>,
}

impl Person {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), seen: HashSet::new(), sums: vec![(0, 0.0); PAT_MINUTES] }
    }

    /// Of several weeks the mean of each minute: everybody counts once.
    fn week(&self) -> Vec<Option<f64>> {
        self.sums.iter().map(|(count, sum)| (*count > 0).then(|| sum / f64::from(*count))).collect()
    }
}

/// A minute a line. Who comes first is held until somebody else comes.
fn of_minutes(rows: &mut Rows, columns: [usize; 3]) -> anyhow::Result<Cohort> {
    let (mut cohort, mut over, mut current) = (Cohort::default(), HashSet::new(), None::<Person>);
    let mut row = StringRecord::new();
    while rows.read_record(&mut row)? {
        // The reader refuses lines that are not as wide as the header.
        let [name, timestamp, value] = columns.map(|column| row.get(column).unwrap_or_default());
        let Some(value) = count(value, &row)? else { continue };
        if let Some(done) = current.take_if(|person| person.name != name) {
            cohort.add(&done.week())?;
            over.insert(done.name);
        }
        if current.is_none() && over.contains(name) {
            bail!(
                "line {}: this person came before another one already: sort the lines by person",
                line(&row)
            );
        }
        let person = current.get_or_insert_with(|| Person::new(name));
        let at = timestamp.parse::<DateTime>().ok();
        let at = at.and_then(|at| at.with().second(0).subsec_nanosecond(0).build().ok());
        let at = at.with_context(|| {
            format!("line {}: the timestamp is not a time such as 2026-01-05T00:00", line(&row))
        })?;
        ensure!(person.seen.insert(at), "line {}: this person has this minute twice", line(&row));
        let monday = at.date().checked_sub(at.weekday().to_monday_zero_offset().days())?;
        let minute = usize::try_from(at.since((Unit::Minute, monday.at(0, 0, 0, 0)))?.get_minutes())?;
        if let Some((count, sum)) = person.sums.get_mut(minute) {
            *count += 1;
            *sum += value;
        }
    }
    if let Some(done) = current {
        cohort.add(&done.week())?;
    }
    Ok(cohort)
}
