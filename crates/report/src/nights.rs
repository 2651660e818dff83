//! The timing of sleep: a row a night, from falling asleep to waking, with what the sources told of stages.

use domain::{
    measures::Measure,
    sleep::{Night, SleepStage},
    time::day_interval,
};
use jiff::{
    Timestamp,
    civil::Date,
    fmt::temporal::DateTimeParser,
    tz::{Offset, TimeZone},
};
use plotters::{
    element::Text,
    style::{
        RGBColor,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::{
    ReportData,
    html::clock,
    picture::{
        Axis, Caption, Chart, Drawn, FAINT, Failed, INK, Lines, Margins, bar, chart, mesh, picture, text,
    },
};

/// What stands where a night is missing.
pub(crate) const NOT_RECORDED: &str = "not recorded";

const PARSER: DateTimeParser = DateTimeParser::new();
const MARGINS: Margins = Margins { left: 120, bottom: 40, around: 32 };
const WIDTH: u32 = 1500;
const ROW: u32 = 30;
/// The evening and the morning that are shown even where nobody slept then.
const SHOWN_AT_LEAST: (f64, f64) = (-180.0, 540.0);

/// Each stage's colour and name, in the order of the legend.
pub(crate) const STAGES: [(SleepStage, RGBColor, &str); 6] = [
    (SleepStage::AsleepDeep, RGBColor(0x1E, 0x3A, 0x8A), "deep"),
    (SleepStage::AsleepCore, RGBColor(0x60, 0xA5, 0xFA), "core"),
    (SleepStage::AsleepREM, RGBColor(0xA7, 0x8B, 0xFA), "REM"),
    (SleepStage::AsleepUnspecified, RGBColor(0x94, 0xA3, 0xB8), "asleep, no stage known; naps"),
    (SleepStage::Awake, RGBColor(0xF5, 0x9E, 0x0B), "awake"),
    (SleepStage::InBed, RGBColor(0xCB, 0xD5, 0xE1), "in bed"),
];

fn color(stage: SleepStage) -> RGBColor {
    STAGES.iter().find(|(known, ..)| *known == stage).map_or(INK, |(_, color, _)| *color)
}

/// The clock by which a night is shown: that of its waking.
pub(crate) struct WakingClock {
    midnight_ms: i64,
    offset: Offset,
}

impl WakingClock {
    pub(crate) fn new(night: &Night) -> Self {
        // The domain wrote the label, so it reads back; the hour would be off, and never a length, if it did not.
        let zone = PARSER.parse_time_zone(&night.zone).unwrap_or(TimeZone::UTC);
        let midnight_ms = day_interval(night.date, &TimeZone::UTC).start_ms();
        Self { midnight_ms, offset: zone.to_offset(night.end) }
    }

    /// Minutes after the midnight with which the date of waking begins; before it, they are negative.
    pub(crate) fn minute(&self, instant: Timestamp) -> f64 {
        let local_ms = instant.as_millisecond() + i64::from(self.offset.seconds()) * 1000;
        (local_ms - self.midnight_ms) as f64 / 60_000.0
    }
}

/// When a night's sleep began and ended, in minutes of [`WakingClock`]; `None` where nobody slept.
pub(crate) fn asleep(night: &Night) -> Option<(f64, f64)> {
    let asleep = || night.intervals.iter().filter(|told| told.stage.is_asleep());
    let (onset, waking) = (asleep().map(|told| told.start).min()?, asleep().map(|told| told.end).max()?);
    let clock = WakingClock::new(night);
    Some((clock.minute(onset), clock.minute(waking)))
}

pub(crate) fn nights(data: &ReportData) -> Result<String, Failed> {
    let days = data.days.len();
    let known: Vec<&Night> = data.days.iter().filter_map(|day| day.night.as_ref()).collect();
    let ends = known.iter().flat_map(|night| {
        let clock = WakingClock::new(night);
        let naps = night.naps.iter().flat_map(|nap| [nap.start, nap.end]);
        let ends: Vec<f64> = naps.chain([night.start, night.end]).map(|end| clock.minute(end)).collect();
        ends
    });
    let (first, last) = ends.fold(SHOWN_AT_LEAST, |(first, last), end| (first.min(end), last.max(end)));
    let (from, to) = ((first / 60.0).floor() * 60.0, (last / 60.0).ceil() * 60.0);
    let caption = Caption {
        id: "sleep-timing",
        title: "Sleep timing".to_owned(),
        description: format!(
            "{} of {days} nights, each from falling asleep to waking by the clock of waking, with stages; the others were not \
             recorded. The table beneath has each night's numbers.",
            known.len()
        ),
    };
    let rows = u32::try_from(days).unwrap_or(u32::MAX);
    picture(&caption, (WIDTH, rows * ROW + MARGINS.bottom + 2 * MARGINS.around), |area| {
        let x = Axis::every(60.0, from, to, clock);
        let mut chart = chart(area, &MARGINS, x, Axis::of_days(data, days as f64, 0.0, 1))?;
        mesh(&mut chart, Lines::Upright, 19.0, "")?;
        for (row, day) in data.days.iter().enumerate() {
            if let Some(night) = &day.night {
                draw_night(&mut chart, row as f64, night)?;
                continue;
            }
            let words = text(20.0, FAINT, Pos::new(HPos::Center, VPos::Center));
            let middle = (f64::midpoint(SHOWN_AT_LEAST.0, SHOWN_AT_LEAST.1), row as f64 + 0.5);
            chart.draw_series([Text::new(NOT_RECORDED, middle, words)])?;
        }
        Ok(())
    })
}

fn draw_night(chart: &mut Chart<'_>, row: f64, night: &Night) -> Drawn {
    let clock = WakingClock::new(night);
    let mut layer = |is_of_layer: fn(SleepStage) -> bool, (top, bottom): (f64, f64)| -> Drawn {
        let told = night.intervals.iter().filter(|told| is_of_layer(told.stage));
        chart.draw_series(told.map(|told| {
            let (start, end) = (clock.minute(told.start), clock.minute(told.end));
            bar((start, row + top), (end, row + bottom), color(told.stage))
        }))?;
        Ok(())
    };
    // Who sleeps is in bed as well, so the bed shows only where sleep does not cover it.
    layer(|stage| stage == SleepStage::InBed, (0.35, 0.65))?;
    layer(|stage| stage != SleepStage::InBed, (0.15, 0.85))?;
    chart.draw_series(night.naps.iter().map(|nap| {
        let (start, end) = (clock.minute(nap.start), clock.minute(nap.end));
        bar((start, row + 0.25), (end, row + 0.75), color(SleepStage::AsleepUnspecified))
    }))?;
    Ok(())
}

/// What the table says of naps: their number and the sleep in them.
pub(crate) fn naps(night: &Night) -> String {
    let asleep: Option<f64> = night.naps.iter().map(|nap| Measure::value(&nap.total_sleep_time)).sum();
    match (night.naps.len(), asleep) {
        (0, _) => "none recorded".to_owned(),
        (naps, None) => naps.to_string(),
        (naps, Some(minutes)) => format!("{naps}, {} min", crate::html::number(minutes)),
    }
}

/// The nights of which nothing was recorded.
pub(crate) fn missed(data: &ReportData) -> impl Iterator<Item = Date> {
    data.days.iter().filter(|day| day.night.is_none()).map(|day| day.date)
}
