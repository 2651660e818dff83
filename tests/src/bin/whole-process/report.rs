//! What was measured, beside its goal and its floor.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// What the design asks for.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn is_met(self, measured: f64) -> bool {
        match self {
            Self::AtMost(bound) => measured <= bound,
            Self::AtLeast(bound) => measured >= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(bound) => format!("<= {}", number(bound)),
            Self::AtLeast(bound) => format!(">= {}", number(bound)),
        }
    }
}

/// One figure.
#[derive(Serialize)]
pub(crate) struct Row {
    name: String,
    unit: &'static str,
    measured: f64,
    goal: Option<Goal>,
    goal_is_met: Option<bool>,
    floor: Option<f64>,
    floor_is: Option<String>,
    /// Measured by floor, or floor by measured where more is better: how many times dearer than the floor.
    times_floor: Option<f64>,
    note: Option<String>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            unit,
            measured,
            goal: None,
            goal_is_met: None,
            floor: None,
            floor_is: None,
            times_floor: None,
            note: None,
        }
    }

    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self.goal_is_met = Some(goal.is_met(self.measured));
        self
    }

    /// The least that the same can cost, measured in the same run.
    pub(crate) fn floor(mut self, name: impl Into<String>, floor: f64) -> Self {
        let is_more_better = self.unit.ends_with("/s");
        self.times_floor = Some(if is_more_better { floor / self.measured } else { self.measured / floor });
        self.floor = Some(floor);
        self.floor_is = Some(name.into());
        self
    }

    pub(crate) fn note(mut self, note: String) -> Self {
        self.note = Some(note);
        self
    }
}

/// All figures of a run.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) cores: usize,
    pub(crate) seconds: f64,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["", "measured", "goal", "", "floor", "times floor", "floor is"]);
        for column in [1, 2, 4, 5] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for row in &self.rows {
            let note = row.note.as_ref().map(|note| format!("\n  {note}")).unwrap_or_default();
            table.add_row([
                format!("{}{note}", row.name),
                format!("{} {}", number(row.measured), row.unit),
                row.goal.map(Goal::text).unwrap_or_default(),
                row.goal_is_met.map_or("", |is_met| if is_met { "met" } else { "missed" }).to_owned(),
                row.floor.map(number).unwrap_or_default(),
                row.times_floor.map(number).unwrap_or_default(),
                row.floor_is.clone().unwrap_or_default(),
            ]);
        }
        let (cores, seconds) = (self.cores, self.seconds);
        format!("{table}\n{cores} cores for server and client together; measured in {seconds:.0} s.")
    }
}

/// Three significant digits, thousands apart.
fn number(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!([1.234, 12.34, 123.4, 1234.5].map(number), ["1.23", "12.3", "123", "1 234"]);
        assert_eq!(number(225_000.0), "225 000");
    }

    #[test]
    fn more_than_the_floor_is_worse_both_ways() {
        let cost = Row::new("cost", 30.0, "us").floor("floor", 10.0).goal(Goal::AtMost(20.0));
        assert_eq!((cost.times_floor, cost.goal_is_met), (Some(3.0), Some(false)));
        let rate = Row::new("rate", 10.0, "samples/s").floor("floor", 30.0).goal(Goal::AtLeast(10.0));
        assert_eq!((rate.times_floor, rate.goal_is_met), (Some(3.0), Some(true)));
    }
}
