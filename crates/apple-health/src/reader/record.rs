//! From elements to samples.

mod pending;
mod summary;
mod template;

use std::{borrow::Cow, sync::Arc};

use domain::{
    metric::{Metric, MetricKind},
    sample::Value,
    time::Interval,
    unit::Conversion,
};

use self::{
    pending::{Draft, Outcome, Pending},
    template::{Tail, Template},
};
use super::element::Element;
use crate::{
    error::Reason,
    item::{Batch, REJECTIONS_MAX, Rejection},
    limits, names,
    shared::Shared,
    tag::Attributes,
    values::{self, Instant},
};

/// Why one element is not kept.
#[derive(Clone, Copy)]
pub(super) struct Fault {
    code: &'static str,
    message: &'static str,
}

impl Fault {
    const fn new(code: &'static str, message: &'static str) -> Self {
        Self { code, message }
    }

    pub(super) fn reject(self, line: u64, batch: &mut Batch) {
        batch.rejected_total += 1;
        if batch.rejected.len() < REJECTIONS_MAX {
            batch.rejected.push(Rejection { line, code: self.code, message: self.message });
        }
    }
}

#[derive(Default)]
pub(super) struct Records {
    shared: Shared,
    template: Option<Template>,
    pending: Pending,
}

impl Records {
    /// Begins a batch, whose samples share nothing with those of the batch before.
    pub(super) fn renew(&mut self) {
        self.shared.renew();
        self.template = None;
    }

    /// An element within `parent` begins.
    #[inline]
    pub(super) fn enter(
        &mut self,
        parent: Element,
        (name, attributes): (&str, &str),
        line: u64,
        batch: &mut Batch,
    ) -> Result<Element, Reason> {
        match (parent, name) {
            (Element::HealthData, "Record") => {
                batch.counts.records += 1;
                self.record(attributes, line, false)
            }
            (Element::Correlation, "Record") => {
                batch.counts.members += 1;
                self.record(attributes, line, true)
            }
            (Element::Record, "MetadataEntry") => self.pending.entry(attributes, &mut self.shared),
            _ => self.enter_rare(parent, (name, attributes), line, batch),
        }
    }

    fn enter_rare(
        &mut self,
        parent: Element,
        (name, attributes): (&str, &str),
        line: u64,
        batch: &mut Batch,
    ) -> Result<Element, Reason> {
        match (parent, name) {
            (Element::Workout, "MetadataEntry") => return self.pending.entry(attributes, &mut self.shared),
            (Element::Workout | Element::WorkoutPart, _) => return self.pending.part(name, attributes),
            (Element::BeatList, "InstantaneousBeatsPerMinute") => return self.pending.beat(attributes),
            (Element::HealthData, "Workout") => {
                batch.counts.workouts += 1;
                return self.workout(attributes, line);
            }
            (Element::HealthData, "ActivitySummary") => {
                batch.counts.summaries += 1;
                match summary::read(attributes)? {
                    Ok(summary) => batch.summaries.push(summary),
                    Err(fault) => fault.reject(line, batch),
                }
                return Ok(Element::Other);
            }
            _ => {}
        }
        // Nothing of these is kept, but what refuses a file does so here as well.
        Attributes::new(attributes).each(|_, _| Ok(()))?;
        Ok(match (parent, name) {
            (Element::Record, "HeartRateVariabilityMetadataList") => Element::BeatList,
            (Element::HealthData, "Correlation") => {
                batch.counts.correlations += 1;
                Element::Correlation
            }
            // The person's birthday, sex and blood type are not asked for, so they are not kept.
            (Element::HealthData, "ExportDate" | "Me") => Element::Other,
            (Element::HealthData, _) => {
                count_unsupported(name, batch);
                Element::Other
            }
            _ => Element::Other,
        })
    }

    /// An element ends.
    #[inline]
    pub(super) fn leave(&mut self, element: Element, batch: &mut Batch) {
        if matches!(element, Element::Record | Element::Workout) {
            match std::mem::take(&mut self.pending.outcome) {
                Outcome::Draft(draft) => self.pending.finish(draft, &mut self.shared, batch),
                Outcome::Fault(fault) => fault.reject(self.pending.line, batch),
                Outcome::Unsupported(kind) => count_unsupported(&kind, batch),
                Outcome::Nothing => {}
            }
        }
    }

    fn record(&mut self, attributes: &str, line: u64, is_member: bool) -> Result<Element, Reason> {
        self.pending.begin(line, is_member);
        let alike = |template: &Template| {
            let tail = Tail::read(template.strip_attributes(attributes.as_bytes())?)?;
            template.draft(&tail).filter(|_| tail.rest.is_empty())
        };
        self.pending.outcome = match self.template.as_ref().and_then(alike) {
            Some(draft) => Outcome::Draft(draft),
            None => self.any_record(attributes)?,
        };
        Ok(Element::Record)
    }

    /// A whole record at the beginning of `bytes` that is written as the one before it but for its times and its value, as
    /// nearly all are: takes it, and tells its length. It is read as the XML parser would have it, in a fraction of the time.
    #[inline]
    pub(super) fn take_alike(&mut self, bytes: &[u8], line: u64, batch: &mut Batch) -> Option<usize> {
        let template = self.template.as_ref()?;
        let tail = Tail::read(template.strip(bytes)?)?;
        let rest = tail.rest.strip_prefix(b"/>")?;
        let draft = template.draft(&tail)?;
        self.pending.begin(line, false);
        self.pending.finish(draft, &mut self.shared, batch);
        batch.counts.records += 1;
        Some(bytes.len() - rest.len())
    }

    fn any_record(&mut self, attributes: &str) -> Result<Outcome, Reason> {
        let mut wire = Wire::default();
        let (mut of_creation, mut of_device) = (None, None);
        let mut source = (None, None);
        let mut raw = Attributes::new(attributes);
        // Once for the names, references and doubles, once for the text as it stands.
        Attributes::new(attributes).each(|name, value| {
            wire.take(name, value);
            Ok(())
        })?;
        while let Some((name, value)) = raw.next()? {
            let at = attributes.len() - raw.rest().len() - 1 - value.len();
            match name {
                "sourceName" => source.0 = Some(value),
                "device" => (source.1, of_device) = (Some(value), Some(at)),
                "creationDate" => of_creation = Some(at),
                _ => {}
            }
        }
        let Some(kind) = wire.kind.as_deref() else {
            return Ok(Outcome::Fault(Fault::new("missing", "type is missing: HealthKit's type identifier")));
        };
        let Some(metric) = Metric::from_identifier(kind).filter(|metric| *metric != Metric::WORKOUT) else {
            return Ok(Outcome::Unsupported(kind.to_owned()));
        };
        let source = self.shared.source(source.0, source.1)?;
        let (conversion, draft) = match wire.draft(metric, source) {
            Ok(read) => read,
            Err(fault) => return Ok(Outcome::Fault(fault)),
        };
        let parts = of_creation.and_then(|at| attributes.split_at_checked(at));
        let is_usual = |tail: &str| Tail::read(tail.as_bytes()).is_some_and(|tail| tail.rest.is_empty());
        if let Some((prefix, _)) = parts.filter(|(_, tail)| is_usual(tail)) {
            let source = Arc::clone(&draft.source);
            let of_device = of_device.filter(|at| *at < prefix.len());
            self.template = Some(Template::new(prefix, of_device, metric, conversion, source));
        }
        Ok(Outcome::Draft(draft))
    }

    fn workout(&mut self, attributes: &str, line: u64) -> Result<Element, Reason> {
        self.pending.begin(line, false);
        let mut wire = Wire::default();
        let mut source = (None, None);
        Attributes::new(attributes).each(|name, value| {
            match name {
                "workoutActivityType" => wire.value = Some(value),
                "startDate" | "endDate" => wire.take(name, value),
                "sourceName" | "sourceVersion" | "device" | "creationDate" => {}
                // Duration, and in older files distance and energy.
                _ => self.pending.write(name, &value)?,
            }
            Ok(())
        })?;
        let mut raw = Attributes::new(attributes);
        while let Some((name, value)) = raw.next()? {
            match name {
                "sourceName" => source.0 = Some(value),
                "device" => source.1 = Some(value),
                _ => {}
            }
        }
        let source = self.shared.source(source.0, source.1)?;
        self.pending.outcome = match wire.draft(Metric::WORKOUT, source) {
            Ok((_, draft)) => Outcome::Draft(draft),
            Err(fault) => Outcome::Fault(fault),
        };
        Ok(Element::Workout)
    }
}

impl Template {
    #[inline]
    fn draft(&self, tail: &Tail<'_>) -> Option<Draft> {
        let interval = Interval::new(tail.start.ms, tail.end.ms).ok()?;
        let value = match self.conversion {
            Some(conversion) => Value::Quantity(conversion.to_canonical(values::number(tail.value)?)),
            None => Value::Category(category(self.metric, Some(tail.value)).ok()?),
        };
        Some(Draft {
            metric: self.metric,
            interval,
            offset_seconds: tail.start.offset_seconds,
            value,
            source: Arc::clone(&self.source),
        })
    }
}

/// The attributes that make a sample.
#[derive(Default)]
struct Wire<'a> {
    kind: Option<Cow<'a, str>>,
    unit: Option<Cow<'a, str>>,
    value: Option<Cow<'a, str>>,
    start: Option<Cow<'a, str>>,
    end: Option<Cow<'a, str>>,
}

impl<'a> Wire<'a> {
    fn take(&mut self, name: &str, value: Cow<'a, str>) {
        let field = match name {
            "type" => &mut self.kind,
            "unit" => &mut self.unit,
            "value" => &mut self.value,
            "startDate" => &mut self.start,
            "endDate" => &mut self.end,
            _ => return,
        };
        *field = Some(value);
    }

    fn draft(
        &self,
        metric: Metric,
        source: Arc<domain::sample::Source>,
    ) -> Result<(Option<Conversion>, Draft), Fault> {
        let at = |text: &str| {
            let fault = Fault::new("invalid_timestamp", "not a date, a time and an offset from UTC");
            values::instant(text).ok_or(fault)
        };
        let start = self.start.as_deref().ok_or(Fault::new("missing", "startDate is missing"))?;
        let Instant { ms, offset_seconds } = at(start)?;
        let end_ms = self.end.as_deref().map_or(Ok(ms), |end| at(end).map(|end| end.ms))?;
        let ends_early = |_hidden| Fault::new("end_before_start", "the reading ends before it begins");
        let interval = Interval::new(ms, end_ms).map_err(ends_early)?;
        let text = self.value.as_deref().filter(|value| !value.is_empty());
        let (conversion, value) = match metric.kind() {
            MetricKind::Quantity => {
                let text = text.ok_or(Fault::new("missing", "value is missing"))?;
                let number =
                    values::number(text).ok_or(Fault::new("not_a_number", "value is not a number"))?;
                let unit = self.unit.as_deref().unwrap_or(metric.unit());
                let conversion = Conversion::new(metric, unit).map_err(|_known| {
                    Fault::new("unknown_unit", "the unit is unknown, or not one of this type")
                })?;
                (Some(conversion), Value::Quantity(conversion.to_canonical(number)))
            }
            MetricKind::Category => (None, Value::Category(category(metric, text)?)),
        };
        Ok((conversion, Draft { metric, interval, offset_seconds, value, source }))
    }
}

/// The number of a category's value, of its name or of the number itself. What is only there or not has none.
fn category(metric: Metric, text: Option<&str>) -> Result<i32, Fault> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        let is_mark = *metric.plausible_range().end() == 0.0;
        return if is_mark { Ok(0) } else { Err(Fault::new("missing", "value is missing")) };
    };
    let number = || text.parse::<i32>().ok().filter(|_| !text.starts_with('+'));
    let named = if metric == Metric::WORKOUT { names::workout(text) } else { names::category(metric, text) };
    let fault = Fault::new("not_a_category", "value is neither the category's number nor its HealthKit name");
    named.or_else(number).ok_or(fault)
}

/// Counts an element that is not kept, by its type.
fn count_unsupported(kind: &str, batch: &mut Batch) {
    let is_name = kind.len() <= 128 && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let name = if is_name && !kind.is_empty() { kind } else { "other" };
    if let Some(count) = batch.unsupported.get_mut(name) {
        *count += 1;
        return;
    }
    let name = if batch.unsupported.len() < limits::TYPES_MAX { name } else { "other" };
    *batch.unsupported.entry(name.into()).or_default() += 1;
}
