//! Activity minute by minute, two days a row: each row begins with the day with which the row before ended.

use domain::measures::scoring::SleepWake;
use plotters::{
    element::{PathElement, Text},
    style::{
        RGBColor,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::{
    MINUTES_PER_DAY, ReportData,
    html::{clock, number},
    picture::{
        Axis, Caption, Chart, Drawn, FAINT, Failed, INK, Lines, MISSING, Margins, RULE, bar, chart, mesh,
        picture, runs, steps, text,
    },
};

pub(crate) const SLEEP: RGBColor = RGBColor(0xA9, 0xC7, 0xE8);
pub(crate) const ACTIVITY: RGBColor = INK;

const DAY: f64 = MINUTES_PER_DAY as f64;
const ROW: u32 = 54;
const MARGINS: Margins = Margins { left: 250, bottom: 60, around: 60 };
/// A minute of the two days is one unit of the picture; a chart's last unit is its border.
const WIDTH: u32 = 2 * 1440 + 1 + MARGINS.left + 2 * MARGINS.around;
/// How much of a row's height the most active minute takes.
const HEIGHT: f64 = 0.92;

/// The picture, and how many steps a minute a whole row's height stands for.
pub(crate) fn actogram(data: &ReportData) -> Result<(String, f64), Failed> {
    let days = data.days.len();
    let rows = u32::try_from(days).unwrap_or(u32::MAX);
    let most = data.activity.values.iter().flatten().copied().fold(0.0, f64::max);
    let caption = Caption {
        id: "actogram",
        title: "Double-plotted actogram".to_owned(),
        description: format!(
            "Steps of every minute of {days} days, two days a row, with sleep as bands and minutes that nobody observed \
             hatched. The table beneath has each day's numbers."
        ),
    };
    let size = (WIDTH, rows * ROW + MARGINS.bottom + 2 * MARGINS.around);
    let svg = picture(&caption, size, |area| {
        let x = Axis::every(360.0, 0.0, 2.0 * DAY, clock);
        let mut chart = chart(area, &MARGINS, x, Axis::of_days(data, days as f64, 0.0, 1))?;
        mesh(&mut chart, Lines::Upright, 34.0, "")?;
        for row in 0..days {
            for (half, day) in [row, row + 1].into_iter().enumerate().filter(|(_, day)| *day < days) {
                draw_day(&mut chart, data, (row as f64, half as f64 * DAY, day), most)?;
            }
            let below = row as f64 + 1.0;
            chart.draw_series([PathElement::new([(0.0, below), (2.0 * DAY, below)], RULE)])?;
        }
        let end = days as f64;
        chart.draw_series([PathElement::new([(DAY, 0.0), (DAY, end)], FAINT)])?;
        let words = text(26.0, FAINT, Pos::new(HPos::Center, VPos::Center));
        chart.draw_series([Text::new("the days asked for end here", (1.5 * DAY, end - 0.5), words)])?;
        Ok(())
    })?;
    Ok((svg, most / HEIGHT))
}

/// Draws `day` into a row from a minute of that row on.
fn draw_day(chart: &mut Chart<'_>, data: &ReportData, at: (f64, f64, usize), most: f64) -> Drawn {
    let (row, left, day) = at;
    let minutes = day * MINUTES_PER_DAY..(day + 1) * MINUTES_PER_DAY;
    let (values, sleep) = (&data.activity.values[minutes.clone()], &data.sleep[minutes]);
    let band = |start: usize, end: usize, color| {
        bar((left + start as f64, row), (left + end as f64, row + 1.0), color)
    };
    let asleep = runs(sleep, |score| *score == Some(SleepWake::Sleep));
    chart
        .draw_series(asleep.into_iter().filter(|run| run.2).map(|(start, end, _)| band(start, end, SLEEP)))?;
    let moving = runs(values, |value| value.is_some_and(|steps| steps > 0.0));
    for (start, end, _) in moving.into_iter().filter(|run| run.2) {
        let values: Vec<f64> = values[start..end].iter().flatten().copied().collect();
        let top = |steps_a_minute: f64| row + 1.0 - HEIGHT * steps_a_minute / most;
        chart.draw_series([steps(left + start as f64, &values, row + 1.0, top, ACTIVITY)])?;
    }
    let missing = runs(values, Option::is_none);
    chart.draw_series(
        missing.into_iter().filter(|run| run.2).map(|(start, end, _)| band(start, end, MISSING)),
    )?;
    Ok(())
}

/// The legend's line about the scale.
pub(crate) fn scale(of_a_row: f64) -> String {
    if of_a_row > 0.0 {
        format!("activity; a row's height is {} steps a minute", number(of_a_row))
    } else {
        "activity; none was observed".to_owned()
    }
}
