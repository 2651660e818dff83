//! `clarity report`: a page about a person's days.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use app::{
    App,
    audit::{Caller, OPERATOR},
};
use ports::Email;
use report::{ReportData, ReportDay};
use serde::Serialize;

use crate::{
    cli::{Failure, Global},
    commands::runtime,
    config::Config,
    platform, settings,
};

/// Whose page, of how many days, and where to.
pub(crate) struct Order {
    pub email: String,
    pub days: u16,
    pub output: PathBuf,
}

/// What was written.
#[derive(Serialize)]
struct Written {
    path: PathBuf,
    bytes: usize,
    first_day: jiff::civil::Date,
    last_day: jiff::civil::Date,
    days: usize,
    days_without_readings: usize,
    nights_not_recorded: usize,
    measures: usize,
    not_assessed: usize,
}

pub(crate) fn report(global: &Global, order: &Order) -> Result<ExitCode, Failure> {
    let config = global.load(None)?.config;
    let email = Email::parse(&order.email)
        .context("this is no e-mail address: write it as name@example.org, as it was signed up with")?;
    let data = runtime()?.block_on(read(&config, &email, order.days))?;
    let page = report::render(&data)?;
    write(&order.output, &page)?;
    let (Some(first), Some(last)) = (data.days.first(), data.days.last()) else {
        return Err(report::RenderError::NoDays.into());
    };
    let written = Written {
        path: order.output.clone(),
        bytes: page.len(),
        first_day: first.date,
        last_day: last.date,
        days: data.days.len(),
        days_without_readings: data.days.iter().filter(|day| day.daily.is_none()).count(),
        nights_not_recorded: data.days.iter().filter(|day| day.night.is_none()).count(),
        measures: data.measures().count(),
        not_assessed: data.measures().filter(|(_, measure)| measure.value().is_none()).count(),
    };
    global.print(&written, || written.text())?;
    Ok(ExitCode::SUCCESS)
}

async fn read(config: &Config, email: &Email, days: u16) -> anyhow::Result<ReportData> {
    let (clock, ids) = platform::time_and_ids();
    let request_id = format!("report-{}", ids.next());
    let connected = platform::connect_without_models(config, clock, ids).await?;
    let profile = connected.platform.identity.find(email).await?.context(
        "no account has this address: check its spelling, and with `clarity config show` that data.dir and \
         providers.identity are those of the server",
    )?;
    let app = App::new(connected.platform, settings(config));
    let user = profile.user_id;
    let caller = Caller { user_id: user, actor: OPERATOR, request_id, traceparent: None };
    let found = app.report(&caller, days).await?.context(
        "nothing is computed for this account yet: upload its readings or `clarity import` them, and let `clarity serve` or \
         `clarity worker` process them",
    )?;
    let days = found.days.into_iter().map(|(date, daily, night)| ReportDay { date, daily, night });
    Ok(ReportData {
        display_name: profile.display_name,
        generated_at: app.platform.clock.now(),
        zone: found.zone,
        days: days.collect(),
        activity: found.activity,
        sleep: found.sleep,
        circadian: found.circadian,
        profile: found.profile,
    })
}

/// Puts the page in its place whole, readable by nobody else.
fn write(path: &Path, page: &str) -> anyhow::Result<()> {
    if path.is_dir() {
        bail!("{} is a folder: name a file in it, such as report.html", path.display());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let why = || {
        format!("{} cannot be written: check that its folder is there and yours to write in", path.display())
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(why)?;
    file.write_all(page.as_bytes()).with_context(why)?;
    file.persist(path).with_context(why)?;
    Ok(())
}

impl Written {
    fn text(&self) -> String {
        format!(
            "{} is written: {} to {}, {} KiB.\nOf {} days, {} without readings and {} nights not recorded; of {} measures, {} not \
             assessed. It holds health data: keep it where nobody else reads it.",
            self.path.display(),
            self.first_day,
            self.last_day,
            self.bytes.div_ceil(1024),
            self.days,
            self.days_without_readings,
            self.nights_not_recorded,
            self.measures,
            self.not_assessed
        )
    }
}
