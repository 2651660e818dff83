//! From the lowest to the highest heart rate of each day, with the resting one.

use plotters::{
    element::{Circle, PathElement, Text},
    style::{
        Color, FontTransform, RGBColor,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::{
    ReportData,
    html::number,
    picture::{Axis, Caption, Failed, INK, Lines, MISSING, Margins, bar, chart, filled, mesh, picture, text},
};

pub(crate) const RANGE: RGBColor = RGBColor(0xF0, 0xA8, 0xA8);
pub(crate) const MEAN: RGBColor = RGBColor(0x7F, 0x1D, 0x1D);
pub(crate) const RESTING: RGBColor = RGBColor(0x1D, 0x4E, 0xD8);

const MARGINS: Margins = Margins { left: 80, bottom: 45, around: 16 };
const WIDTH: u32 = 1500;
/// Above so many days, columns are too narrow for words.
const WORDS_DAYS_MAX: usize = 45;
/// Above so many days, not each has its date.
const DATES_MAX: usize = 12;

/// What is drawn of one day.
struct Column {
    range: Option<(f64, f64)>,
    mean: Option<f64>,
    resting: Option<f64>,
}

/// The picture; `None` where no heart rate was assessed on any day.
pub(crate) fn heart(data: &ReportData) -> Result<Option<String>, Failed> {
    let columns: Vec<Column> = data.days.iter().map(column).collect();
    let all = || {
        let ends = columns.iter().filter_map(|column| column.range).flat_map(|(low, high)| [low, high]);
        ends.chain(columns.iter().filter_map(|column| column.resting))
    };
    let (lowest, highest) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    if !lowest.is_finite() {
        return Ok(None);
    }
    let (bottom, top) = (((lowest - 5.0) / 10.0).floor() * 10.0, ((highest + 5.0) / 10.0).ceil() * 10.0);
    let caption = Caption {
        id: "heart-rate",
        title: "Heart rate of each day, from the lowest to the highest".to_owned(),
        description: format!(
            "{} days; those on which it was not assessed are hatched. The table beneath has each day's numbers.",
            columns.len()
        ),
    };
    let svg = picture(&caption, (WIDTH, 460), |area| {
        let days = columns.len();
        let every = days.div_ceil(DATES_MAX);
        let step = if top - bottom > 100.0 { 20.0 } else { 10.0 };
        let x = Axis::of_days(data, 0.0, days as f64, every);
        let mut chart = chart(area, &MARGINS, x, Axis::every(step, bottom, top, number))?;
        mesh(&mut chart, Lines::Level, 20.0, "beats per minute")?;
        for (day, column) in columns.iter().enumerate() {
            let at = |share: f64| day as f64 + share;
            if let Some((low, high)) = column.range {
                chart.draw_series([bar((at(0.3), low), (at(0.7), high), RANGE)])?;
            } else {
                chart.draw_series([bar((at(0.05), bottom), (at(0.95), top), MISSING)])?;
                if days <= WORDS_DAYS_MAX {
                    let words = text(20.0, INK, Pos::new(HPos::Center, VPos::Center));
                    let words = words.transform(FontTransform::Rotate270);
                    let middle = (at(0.5), f64::midpoint(bottom, top));
                    chart.draw_series([Text::new("not assessed", middle, words)])?;
                }
            }
            let mean = column
                .mean
                .map(|mean| PathElement::new([(at(0.3), mean), (at(0.7), mean)], MEAN.stroke_width(3)));
            chart.draw_series(mean)?;
            chart.draw_series(column.resting.map(|rate| Circle::new((at(0.5), rate), 6, filled(RESTING))))?;
        }
        Ok(())
    })?;
    Ok(Some(svg))
}

fn column(day: &crate::ReportDay) -> Column {
    let daily = day.daily.as_ref();
    let value = |of: fn(&domain::measures::daily::Daily) -> &domain::measures::Measure| {
        daily.and_then(|daily| of(daily).value())
    };
    Column {
        range: value(|daily| &daily.heart_rate_min).zip(value(|daily| &daily.heart_rate_max)),
        mean: value(|daily| &daily.heart_rate_mean),
        resting: value(|daily| &daily.resting_heart_rate),
    }
}
