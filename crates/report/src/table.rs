//! Tables: numbers with unit, method, coverage and sources.

use std::{collections::BTreeMap, fmt::Write as _};

use domain::measures::Measure;
use jiff::civil::Date;

use crate::{
    ReportData,
    html::{Escaped, clock, coverage, number, short_date, unit},
    measures::{Named, Shown},
};

/// Short names for the sources, because cells are narrow and devices have long names.
pub(crate) struct Sources<'a>(BTreeMap<&'a str, String>);

impl<'a> Sources<'a> {
    pub(crate) fn new(data: &'a ReportData) -> Self {
        let of_measures = data.measures().flat_map(|(_, measure)| measure.sources());
        let mut known: BTreeMap<&str, String> =
            of_measures.chain(&data.activity.sources).map(|name| (name.as_str(), String::new())).collect();
        for (number, short) in known.values_mut().enumerate() {
            *short = format!("S{}", number + 1);
        }
        Self(known)
    }

    /// The short names of these, apart by spaces.
    pub(crate) fn short(&self, sources: &[String]) -> String {
        let short: Vec<&str> =
            sources.iter().filter_map(|name| self.0.get(name.as_str())).map(String::as_str).collect();
        short.join(" ")
    }

    /// What the short names stand for.
    pub(crate) fn legend(&self) -> String {
        let mut html = String::from("<dl class=\"sources\">\n");
        for (name, short) in &self.0 {
            let _ = writeln!(html, "<div><dt>{short}</dt><dd><bdi>{}</bdi></dd></div>", Escaped(name));
        }
        html + "</dl>\n"
    }
}

/// A day's row.
pub(crate) struct Row<'a> {
    pub(crate) date: Date,
    /// Cells before the measures.
    pub(crate) lead: Vec<String>,
    /// `None` where there is nothing to measure.
    pub(crate) measures: Option<Vec<Named<'a>>>,
}

/// A table with a row a day and a column a measure. Beneath it are the measures' units and methods.
pub(crate) struct ByDay<'a> {
    pub(crate) caption: &'static str,
    /// The heads of the cells before the measures.
    pub(crate) lead: &'static [&'static str],
    /// What stands in a row without measures.
    pub(crate) absent: &'static str,
    pub(crate) rows: Vec<Row<'a>>,
}

/// One column: a measure by one method. Where days were computed by different ones, each has its own column.
#[derive(PartialEq)]
struct Column<'a> {
    name: &'static str,
    shown: Shown,
    unit: &'a str,
    method: &'a str,
}

impl<'a> Column<'a> {
    fn of(named: &Named<'a>) -> Self {
        Self {
            name: named.name,
            shown: named.shown,
            unit: named.measure.unit(),
            method: named.measure.method(),
        }
    }

    fn unit(&self) -> String {
        if self.shown == Shown::Clock { "hh:mm".to_owned() } else { unit(self.unit) }
    }
}

impl ByDay<'_> {
    pub(crate) fn html(&self, sources: &Sources<'_>) -> String {
        let mut columns: Vec<Column<'_>> = Vec::new();
        for named in self.rows.iter().filter_map(|row| row.measures.as_ref()).flatten() {
            let column = Column::of(named);
            if !columns.contains(&column) {
                let after = columns.iter().rposition(|known| known.name == column.name);
                columns.insert(after.map_or(columns.len(), |place| place + 1), column);
            }
        }
        let mut html = format!(
            "<div class=\"wide\"><table class=\"by-day\"><caption>{}</caption>\n<thead><tr><th scope=\"col\">Day</th>",
            self.caption
        );
        for lead in self.lead {
            let _ = write!(html, "<th scope=\"col\">{lead}</th>");
        }
        for column in &columns {
            let _ = write!(
                html,
                "<th scope=\"col\">{}<small>{}</small></th>",
                column.name,
                Escaped(&column.unit())
            );
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            let _ = write!(html, "<tr><th scope=\"row\">{}</th>", short_date(row.date));
            for lead in &row.lead {
                let _ = write!(html, "<td>{lead}</td>");
            }
            let rest = (self.lead.len() + columns.len()).saturating_sub(row.lead.len()).max(1);
            match &row.measures {
                Some(measures) => columns.iter().for_each(|column| {
                    let named = measures.iter().find(|named| Column::of(named) == *column);
                    html.push_str(
                        &named.map_or_else(|| "<td></td>".to_owned(), |named| cell(named, sources)),
                    );
                }),
                None => {
                    let _ = write!(html, "<td class=\"absent\" colspan=\"{rest}\">{}</td>", self.absent);
                }
            }
            html.push_str("</tr>\n");
        }
        html + "</tbody></table></div>\n" + &methods(&columns)
    }
}

fn cell(named: &Named<'_>, sources: &Sources<'_>) -> String {
    let measure = named.measure;
    let short = sources.short(measure.sources());
    let basis = format!("<span>{}</span> <span>{short}</span>", coverage(measure.coverage()));
    let class = if measure.value().is_some() { "" } else { " class=\"not-assessed\"" };
    format!("<td{class}>{}<small>{basis}</small></td>", value(named))
}

/// The value with all its digits for programs and those that count for people, or the reason why there is none.
fn value(named: &Named<'_>) -> String {
    match named.measure.value() {
        Some(value) => {
            let shown = if named.shown == Shown::Clock { clock(value) } else { number(value) };
            format!("<data value=\"{value}\">{shown}</data>")
        }
        None => format!("not assessed: {}", Escaped(reason(named.measure))),
    }
}

fn reason(measure: &Measure) -> &str {
    measure.not_assessed().unwrap_or("no reason was given")
}

fn methods(columns: &[Column<'_>]) -> String {
    let mut html = String::from("<dl class=\"methods\">\n");
    for column in columns {
        let _ = writeln!(
            html,
            "<div><dt>{}, {}</dt><dd>{}</dd></div>",
            column.name,
            Escaped(&column.unit()),
            Escaped(column.method)
        );
    }
    html + "</dl>\n"
}

/// A table with a row a measure.
pub(crate) fn by_measure(caption: &str, measures: &[Named<'_>], sources: &Sources<'_>) -> String {
    let mut html = format!(
        "<div class=\"wide\"><table class=\"by-measure\"><caption>{caption}</caption>\n<thead><tr><th scope=\"col\">Measure</th>\
         <th scope=\"col\">Value</th><th scope=\"col\">Unit</th><th scope=\"col\">Method</th><th scope=\"col\">Coverage</th>\
         <th scope=\"col\">Sources</th></tr></thead>\n<tbody>\n"
    );
    for named in measures {
        let measure = named.measure;
        let class = if measure.value().is_some() { "" } else { " class=\"not-assessed\"" };
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\">{}</th><td{class}>{}</td><td>{}</td><td class=\"method\">{}</td><td>{}</td><td>{}</td></tr>",
            named.name,
            value(named),
            Escaped(&Column::of(named).unit()),
            Escaped(measure.method()),
            coverage(measure.coverage()),
            sources.short(measure.sources())
        );
    }
    html + "</tbody></table></div>\n"
}
