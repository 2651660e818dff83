//! The page around pictures and tables.

use std::fmt::Write as _;

use domain::measures::scoring::SleepWake;
use plotters::style::RGBColor;

use crate::{
    MINUTES_PER_DAY, RenderError, ReportData, actogram, heart,
    html::{Escaped, clock, long_date, number},
    measures, nights,
    picture::{MISSING, hex},
    rhythm,
    table::{ByDay, Row, Sources, by_measure},
};

const STYLE: &str = include_str!("style.css");

/// What hatches the minutes and days that nobody observed.
const HATCH: &str = "<svg class=\"defs\" aria-hidden=\"true\"><defs><pattern id=\"missing\" width=\"12\" height=\"12\" \
                     patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
                     <rect width=\"12\" height=\"12\" fill=\"#9CA3AF\" fill-opacity=\"0.18\"/>\
                     <rect width=\"3\" height=\"12\" fill=\"#6B7280\" fill-opacity=\"0.5\"/></pattern></defs></svg>\n";

const NOTICE: &str = "This page is not a diagnosis. It shows what devices recorded, and numbers that were computed from it by the \
                      methods named beside them. None of them tells whether somebody is ill or well; ask a physician about that.";

pub(crate) fn page(data: &ReportData) -> Result<String, RenderError> {
    let sources = Sources::new(data);
    let mut html = head(data);
    html.push_str(&activity(data, &sources)?);
    html.push_str(&sleep(data, &sources)?);
    html.push_str(&heart_rate(data, &sources)?);
    html.push_str(&circadian(data, &sources)?);
    let _ = write!(
        html,
        "<section><h2>Sources</h2>\n{}</section>\n<footer><p>{NOTICE}</p>\n<p>Beneath each value: how much of what it needs was \
         observed, and by which sources. Units are UCUM without braces. Each value is rounded for reading; the page holds all its \
         digits in <code>data</code> elements.</p></footer>\n</body>\n</html>\n",
        sources.legend()
    );
    Ok(html)
}

fn head(data: &ReportData) -> String {
    let title = match &data.display_name {
        Some(name) => format!("Health report of {}", Escaped(name)),
        None => "Health report".to_owned(),
    };
    let heading = match &data.display_name {
        Some(name) => format!("Health report of <bdi>{}</bdi>", Escaped(name)),
        None => title.clone(),
    };
    let days = data.days.len();
    let range = match (data.days.first(), data.days.last()) {
        (Some(first), Some(last)) if days > 1 => {
            format!("{} to {}, {days} days", long_date(first.date), long_date(last.date))
        }
        (Some(only), _) => long_date(only.date),
        (None, _) => String::new(),
    };
    let generated = data.generated_at.strftime("%-d %B %Y, %H:%M UTC");
    let (all, without) = data.measures().fold((0, 0), |(all, without), (_, measure)| {
        (all + 1, without + u32::from(measure.value().is_none()))
    });
    let assessed = match without {
        0 => format!("All {all} measures on this page were assessed."),
        _ => format!("Of {all} measures on this page, {without} were not assessed; each says why."),
    };
    let nights = days - nights::missed(data).count();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"referrer\" content=\"no-referrer\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{HATCH}<h1>{heading}</h1>\n\
         <p>{range}. Local times; the last day is of the zone {zone}. Made on {generated}.</p>\n\
         <p>{nights} of {days} nights were recorded. {assessed}</p>\n\
         <p class=\"notice\">{NOTICE}</p>\n",
        zone = Escaped(&data.zone),
    )
}

/// A picture with its legend.
fn figure(svg: &str, legend: &[(RGBColor, String)]) -> String {
    let mut html = format!("<figure>{svg}<ul class=\"legend\">");
    for (color, meaning) in legend {
        let _ = write!(
            html,
            "<li><svg viewBox=\"0 0 52 26\" aria-hidden=\"true\"><rect width=\"52\" height=\"26\" fill=\"{}\"/></svg>{meaning}</li>",
            hex(*color)
        );
    }
    html + "</ul></figure>\n"
}

fn activity(data: &ReportData, sources: &Sources<'_>) -> Result<String, RenderError> {
    let (svg, scale) = actogram::actogram(data)?;
    let legend = [
        (actogram::ACTIVITY, actogram::scale(scale)),
        (actogram::SLEEP, "sleep".to_owned()),
        (MISSING, "not observed: nobody knows whether there was activity".to_owned()),
    ];
    let minutes = data.activity.values.chunks(MINUTES_PER_DAY).zip(data.sleep.chunks(MINUTES_PER_DAY));
    let rows = data.days.iter().zip(minutes).map(|(day, (activity, sleep))| {
        let observed = activity.iter().flatten().count();
        let asleep = sleep.iter().filter(|score| **score == Some(SleepWake::Sleep)).count();
        let known = sleep.iter().flatten().count();
        let lead = vec![
            observed.to_string(),
            (MINUTES_PER_DAY - observed).to_string(),
            // Where nobody told sleep, there is no number of minutes asleep, also not 0.
            match asleep {
                0 => "not assessed: no source told sleep".to_owned(),
                _ => format!("{asleep}<small>of {known} known to be sleep or wake</small>"),
            },
        ];
        Row { date: day.date, lead, measures: day.daily.as_ref().map(measures::activity) }
    });
    let table = ByDay {
        caption: "Activity of each day",
        lead: &[
            "Minutes observed<small>by the clock, of 1440</small>",
            "Minutes not observed<small>of 1440</small>",
            "Minutes asleep<small>00:00 to 24:00</small>",
        ],
        absent: "not assessed: no readings",
        rows: rows.collect(),
    };
    Ok(format!(
        "<section><h2>Rest and activity</h2>\n<p>Each row is a day and the day after it, so that nights are whole. \
         Of a day on which the person changed zones, the hours by the clock at its end are shown.</p>\n{}{}</section>\n",
        figure(&svg, &legend),
        table.html(sources)
    ))
}

fn sleep(data: &ReportData, sources: &Sources<'_>) -> Result<String, RenderError> {
    let svg = nights::nights(data)?;
    let legend: Vec<(RGBColor, String)> =
        nights::STAGES.iter().map(|(_, color, name)| (*color, (*name).to_owned())).collect();
    let rows = data.days.iter().map(|day| {
        let lead = day.night.as_ref().map_or_else(Vec::new, |night| {
            let times = nights::asleep(night);
            let time = |minute: Option<f64>| minute.map_or_else(|| "not assessed".to_owned(), clock);
            vec![time(times.map(|times| times.0)), time(times.map(|times| times.1)), nights::naps(night)]
        });
        Row { date: day.date, lead, measures: day.night.as_ref().map(measures::night) }
    });
    let table = ByDay {
        caption: "Each night, by the date of waking",
        lead: &["Fell asleep", "Woke", "Naps"],
        absent: nights::NOT_RECORDED,
        rows: rows.collect(),
    };
    Ok(format!(
        "<section><h2>Sleep</h2>\n<p>Each night by the date and the clock of waking.</p>\n{}{}</section>\n",
        figure(&svg, &legend),
        table.html(sources)
    ))
}

fn heart_rate(data: &ReportData, sources: &Sources<'_>) -> Result<String, RenderError> {
    let figure = match heart::heart(data)? {
        Some(svg) => figure(
            &svg,
            &[
                (heart::RANGE, "from the lowest to the highest reading".to_owned()),
                (heart::MEAN, "mean".to_owned()),
                (heart::RESTING, "resting".to_owned()),
                (MISSING, "not assessed".to_owned()),
            ],
        ),
        None => "<p class=\"absent\">On none of these days was a heart rate assessed.</p>\n".to_owned(),
    };
    let rows = data.days.iter().map(|day| Row {
        date: day.date,
        lead: Vec::new(),
        measures: day.daily.as_ref().map(measures::heart),
    });
    let table = ByDay {
        caption: "Heart, breath and oxygen of each day",
        lead: &[],
        absent: "not assessed: no readings",
        rows: rows.collect(),
    };
    Ok(format!("<section><h2>Heart rate</h2>\n{figure}{}</section>\n", table.html(sources)))
}

fn circadian(data: &ReportData, sources: &Sources<'_>) -> Result<String, RenderError> {
    let svg = rhythm::rhythm(data)?;
    let mut legend = vec![(rhythm::MEAN_DAY, "mean of each minute of the day".to_owned())];
    let marks = [
        (data.circadian.l5.value().is_some(), rhythm::LEAST, "L5: the least active 5 hours"),
        (data.circadian.m10.value().is_some(), rhythm::MOST, "M10: the most active 10 hours"),
        (rhythm::Curve::of(data).is_some(), rhythm::COSINOR, "24 h cosinor"),
        (rhythm::mean_minutes(data).contains(&None), MISSING, "never observed"),
    ];
    legend.extend(marks.into_iter().filter(|mark| mark.0).map(|(_, color, name)| (color, name.to_owned())));
    Ok(format!(
        "<section><h2>Circadian rhythm</h2>\n<p>Of all days of this page, laid side by side by the person's own clock. Methods that \
         were published for accelerometers are applied to steps per minute here; their values are not those of an accelerometer.</p>\n\
         {}{}{}{}</section>\n",
        figure(&svg, &legend),
        by_measure("Circadian measures", &measures::circadian(&data.circadian), sources),
        by_measure("Regularity and rhythm", &measures::profile(&data.profile), sources),
        hours(data)
    ))
}

/// The picture's mean day by the hour.
fn hours(data: &ReportData) -> String {
    let mut html = String::from(
        "<div class=\"wide\"><table class=\"hours\"><caption>The mean day by the hour</caption>\n<thead><tr><th scope=\"col\">From\
         </th><th scope=\"col\">Mean<small>steps/min</small></th><th scope=\"col\">Minutes of the mean day observed<small>of 60\
         </small></th><th scope=\"col\">Cosinor at the half hour<small>steps/min</small></th></tr></thead>\n<tbody>\n",
    );
    let curve = rhythm::Curve::of(data);
    for (hour, minutes) in rhythm::mean_minutes(data).chunks(60).enumerate() {
        let observed: Vec<f64> = minutes.iter().flatten().copied().collect();
        let mean = (!observed.is_empty()).then(|| observed.iter().sum::<f64>() / observed.len() as f64);
        let shown = |value: Option<f64>, reason: &str| match value {
            Some(value) => format!("<td><data value=\"{value}\">{}</data></td>", number(value)),
            None => format!("<td class=\"not-assessed\">not assessed: {reason}</td>"),
        };
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\">{}</th>{}<td>{}</td>{}</tr>",
            clock(hour as f64 * 60.0),
            shown(mean, "never observed"),
            observed.len(),
            shown(curve.map(|curve| curve.at(hour as f64 * 60.0 + 30.0)), "see mesor")
        );
    }
    html + "</tbody></table></div>\n"
}
