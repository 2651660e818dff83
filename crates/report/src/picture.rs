//! What the pictures share: the canvas, the colours, and how SVG becomes a part of the page.

use std::{io, ops::Range};

use plotters::{
    backend::SVGBackend,
    chart::{ChartBuilder, ChartContext},
    coord::{
        Shift,
        cartesian::Cartesian2d,
        ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter},
        types::RangedCoordf64,
    },
    drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea},
    element::{Polygon, Rectangle},
    style::{
        Color, FontDesc, FontFamily, FontStyle, RGBColor, ShapeStyle, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::{ReportData, html::short_date};

/// Why a picture could not be drawn.
pub(crate) type Failed = DrawingAreaErrorKind<io::Error>;

pub(crate) type Drawn = Result<(), Failed>;
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

/// What nobody observed. The page's style hatches whatever has this colour.
pub(crate) const MISSING: RGBColor = RGBColor(0xD9, 0xD9, 0xD9);
pub(crate) const INK: RGBColor = RGBColor(0x1F, 0x29, 0x37);
pub(crate) const FAINT: RGBColor = RGBColor(0x6B, 0x72, 0x80);
pub(crate) const RULE: RGBColor = RGBColor(0xE5, 0xE7, 0xEB);

pub(crate) fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// What a picture is, in words for those who do not see it.
pub(crate) struct Caption {
    pub(crate) id: &'static str,
    pub(crate) title: String,
    pub(crate) description: String,
}

/// Draws an SVG of that size, whose units are a matter of its own: it becomes as wide as the page.
pub(crate) fn picture(
    caption: &Caption,
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, Failed> {
    let mut drawn = String::new();
    {
        let area = SVGBackend::with_string(&mut drawn, size).into_drawing_area();
        draw(&area)?;
        area.present()?;
    }
    // Its own first tag knows neither title nor role.
    let content = drawn.split_once('>').map_or("", |(_, content)| content).replace("\n</text>", "</text>");
    let Caption { id, title, description } = caption;
    let (width, height) = size;
    Ok(format!(
        "<svg class=\"picture\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-description\">\n\
         <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-description\">{description}</desc>{content}",
    ))
}

/// An axis whose marks and their labels are given.
#[derive(Clone)]
pub(crate) struct Axis {
    range: RangedCoordf64,
    marks: Vec<(f64, String)>,
}

impl Axis {
    /// From the first to the last number, which may be the smaller one.
    pub(crate) fn new(from: f64, to: f64, marks: Vec<(f64, String)>) -> Self {
        Self { range: (from..to).into(), marks }
    }

    /// With a mark at all multiples of `step` from one end to the other.
    pub(crate) fn every(step: f64, from: f64, to: f64, label: fn(f64) -> String) -> Self {
        let first = (from / step).ceil();
        let marks = (0_u16..1000).map(|index| (first + f64::from(index)) * step);
        Self::new(from, to, marks.take_while(|mark| *mark <= to).map(|mark| (mark, label(mark))).collect())
    }

    /// With a unit for each day, marked in its middle; downwards where `from` is the number of days and `to` is 0.
    pub(crate) fn of_days(data: &ReportData, from: f64, to: f64, every: usize) -> Self {
        let days = data.days.iter().enumerate().step_by(every);
        Self::new(from, to, days.map(|(day, of)| (day as f64 + 0.5, short_date(of.date))).collect())
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let Range { start, end } = self.range.range();
        // The library's own arithmetic overflows on what is far outside.
        self.range.map(&value.clamp(start.min(end), start.max(end)), limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.marks.iter().map(|(mark, _)| *mark).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.range()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let mark = self.marks.iter().find(|(mark, _)| mark.total_cmp(value).is_eq());
        mark.map(|(_, label)| label.clone()).unwrap_or_default()
    }
}

/// The space around a chart.
pub(crate) struct Margins {
    pub(crate) left: u32,
    pub(crate) bottom: u32,
    pub(crate) around: u32,
}

/// A chart on `area`.
pub(crate) fn chart<'a>(area: &Area<'a>, margins: &Margins, x: Axis, y: Axis) -> Result<Chart<'a>, Failed> {
    ChartBuilder::on(area)
        .margin(margins.around)
        .y_label_area_size(margins.left)
        .x_label_area_size(margins.bottom)
        .build_cartesian_2d(x, y)
}

/// Which lines a chart is ruled with.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Lines {
    Upright,
    Level,
    Both,
}

/// Draws lines, axes and labels.
pub(crate) fn mesh(chart: &mut Chart<'_>, lines: Lines, size: f64, of_y: &str) -> Drawn {
    let mut mesh = chart.configure_mesh();
    if lines == Lines::Upright {
        mesh.disable_y_mesh();
    }
    if lines == Lines::Level {
        mesh.disable_x_mesh();
    }
    mesh.bold_line_style(RULE)
        .axis_style(FAINT)
        .label_style(text(size, INK, Pos::new(HPos::Center, VPos::Center)))
        .y_desc(of_y)
        .draw()
}

fn font(size: f64) -> FontDesc<'static> {
    FontDesc::new(FontFamily::SansSerif, size, FontStyle::Normal)
}

pub(crate) fn text(size: f64, color: RGBColor, pos: Pos) -> TextStyle<'static> {
    TextStyle { color: color.to_backend_color(), ..TextStyle::from(font(size)).pos(pos) }
}

pub(crate) fn filled(color: RGBColor) -> ShapeStyle {
    color.filled()
}

pub(crate) fn bar(from: (f64, f64), to: (f64, f64), color: RGBColor) -> Rectangle<(f64, f64)> {
    Rectangle::new([from, to], filled(color))
}

/// The stretches of successive items of one kind: where each begins, where it ends, and its kind.
pub(crate) fn runs<T, K: PartialEq>(items: &[T], kind: impl Fn(&T) -> K) -> Vec<(usize, usize, K)> {
    let mut runs: Vec<(usize, usize, K)> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let kind = kind(item);
        match runs.last_mut() {
            Some((_, end, last)) if *last == kind => *end = index + 1,
            _ => runs.push((index, index + 1, kind)),
        }
    }
    runs
}

/// The area under minutes that were observed, one step a minute, on `base`.
pub(crate) fn steps(
    from: f64,
    values: &[f64],
    base: f64,
    at: impl Fn(f64) -> f64,
    color: RGBColor,
) -> Polygon<(f64, f64)> {
    let mut outline = vec![(from, base)];
    for (start, end, _) in runs(values, |value| value.to_bits()) {
        let height = at(values[start]);
        outline.extend([(from + start as f64, height), (from + end as f64, height)]);
    }
    outline.push((from + values.len() as f64, base));
    Polygon::new(outline, filled(color))
}
