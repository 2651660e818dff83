//! The mean day, with the least and the most active hours and the cosinor curve.

use domain::measures::{
    Measure,
    rhythm::{Layout, mean_day},
};
use plotters::{
    element::{PathElement, Text},
    style::{
        Color, RGBColor,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::{
    MINUTES_PER_DAY, ReportData,
    html::{clock, number},
    picture::{
        Axis, Caption, Chart, Drawn, Failed, INK, Lines, MISSING, Margins, bar, chart, mesh, picture, runs,
        steps, text,
    },
};

pub(crate) const MEAN_DAY: RGBColor = RGBColor(0x94, 0xA3, 0xB8);
pub(crate) const LEAST: RGBColor = RGBColor(0xD6, 0xE4, 0xF5);
pub(crate) const MOST: RGBColor = RGBColor(0xFD, 0xEB, 0xC8);
pub(crate) const COSINOR: RGBColor = RGBColor(0xB9, 0x1C, 0x1C);

const MARGINS: Margins = Margins { left: 80, bottom: 40, around: 32 };
const DAY: f64 = MINUTES_PER_DAY as f64;

/// The 24 h cosinor.
#[derive(Clone, Copy)]
pub(crate) struct Curve {
    mesor: f64,
    amplitude: f64,
    peak: f64,
}

impl Curve {
    /// `None` where it was not assessed.
    pub(crate) fn of(data: &ReportData) -> Option<Self> {
        let profile = &data.profile;
        Some(Self {
            mesor: profile.mesor.value()?,
            amplitude: profile.amplitude.value()?,
            peak: profile.peak.value()?,
        })
    }

    pub(crate) fn at(self, minute: f64) -> f64 {
        self.mesor + self.amplitude * (std::f64::consts::TAU * (minute - self.peak) / DAY).cos()
    }
}

/// The mean of each minute of the day.
pub(crate) fn mean_minutes(data: &ReportData) -> Vec<Option<f64>> {
    mean_day(&data.activity.values, Layout::MINUTES)
}

pub(crate) fn rhythm(data: &ReportData) -> Result<String, Failed> {
    let mean = mean_minutes(data);
    let curve = Curve::of(data);
    let caption = Caption {
        id: "circadian-profile",
        title: "Circadian profile: the mean day".to_owned(),
        description: "Mean steps of each minute of the day, with the least active 5 hours, the most active 10 hours and the \
                      cosinor curve where they were assessed. The tables beneath have the numbers."
            .to_owned(),
    };
    let most = mean.iter().flatten().copied().fold(0.0, f64::max);
    let top = curve.map_or(most, |curve| most.max(curve.mesor + curve.amplitude));
    let top = if top > 0.0 { 1.15 * top } else { 1.0 };
    let bottom = curve.map_or(0.0, |curve| (curve.mesor - curve.amplitude).min(0.0));
    picture(&caption, (1500, 480), |area| {
        let step = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];
        let step = step.into_iter().find(|step| (top - bottom) / step <= 8.0).unwrap_or(top);
        let (x, y) = (Axis::every(120.0, 0.0, DAY, clock), Axis::every(step, bottom, top, number));
        let mut chart = chart(area, &MARGINS, x, y)?;
        let windows = [
            ("M10", &data.circadian.m10_onset, &data.circadian.m10, 600.0, MOST),
            ("L5", &data.circadian.l5_onset, &data.circadian.l5, 300.0, LEAST),
        ];
        for (name, onset, level, length, color) in windows {
            window(&mut chart, (onset, level), (name, length, color), (bottom, top))?;
        }
        mesh(&mut chart, Lines::Both, 20.0, "steps per minute")?;
        for (start, end, is_missing) in runs(&mean, Option::is_none) {
            if is_missing {
                chart.draw_series([bar((start as f64, bottom), (end as f64, top), MISSING)])?;
            } else {
                let values: Vec<f64> = mean[start..end].iter().flatten().copied().collect();
                chart.draw_series([steps(start as f64, &values, 0.0, |level| level, MEAN_DAY)])?;
            }
        }
        if let Some(curve) = curve {
            let line =
                (0_u16..=144).map(|step| f64::from(step) * 10.0).map(|minute| (minute, curve.at(minute)));
            chart.draw_series([PathElement::new(line.collect::<Vec<_>>(), COSINOR.stroke_width(4))])?;
        }
        Ok(())
    })
}

/// Draws a window of the day, which may reach over midnight, with its name and level above.
fn window(
    chart: &mut Chart<'_>,
    (onset, level): (&Measure, &Measure),
    (name, length, color): (&str, f64, RGBColor),
    (bottom, top): (f64, f64),
) -> Drawn {
    let (Some(onset), Some(level)) = (onset.value(), level.value()) else { return Ok(()) };
    let end = onset + length;
    let parts = [(onset, end.min(DAY)), (0.0, (end - DAY).max(0.0))];
    let parts = || parts.into_iter().filter(|(start, end)| start < end);
    chart.draw_series(parts().map(|(start, end)| bar((start, bottom), (end, top), color)))?;
    let words = format!("{name} from {}: {} steps/min", clock(onset), number(level));
    let longest = parts().max_by(|one, other| (one.1 - one.0).total_cmp(&(other.1 - other.0)));
    let at = longest.map(|(start, end)| (f64::midpoint(start, end), top - 0.02 * (top - bottom)));
    let style = text(20.0, INK, Pos::new(HPos::Center, VPos::Top));
    chart.draw_series(at.map(|at| Text::new(words, at, style)))?;
    Ok(())
}
