//! Units of measure: what phones and forms send, turned into the one unit that each metric is stored in.
//!
//! # Percent
//! HealthKit counts percents as fractions: it sends an oxygen saturation of 97 % as `0.97` with the unit `%`. Forms and
//! other devices send `97` with the same unit. HealthKit never sends more than 1, so the rule is: a value of at most 1 in
//! `%` is a fraction, a greater one is a percentage. A producer whose percentages may be as small as that says which it
//! means with two units that are never guessed at: `percent` always counts to 100, and `1` always counts to 1.

mod table;

use self::table::{Dimension, Unit};
use crate::metric::{Metric, MetricKind};

/// Milligrams in a millimole of glucose, as HealthKit's `HKUnitMolarMassBloodGlucose` has it.
const GLUCOSE_MG_PER_MMOL: f64 = 180.155_880_000_054_08;

/// How far a molar mass may be from that and still mean glucose: producers round it differently.
const GLUCOSE_MG_PER_MMOL_TOLERANCE: f64 = 0.1;

/// Why a value was not converted. Holds neither the value nor the text of the unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnitError {
    /// The text names no unit that this module knows.
    #[error("unknown unit")]
    Unknown,
    /// The unit measures something else than the metric does, or the metric is a category and has none.
    #[error("the unit does not fit the metric")]
    NotConvertible,
}

/// Converts `value` from `unit`, as HealthKit or UCUM spells it, to the unit of `metric` ([`Metric::unit`]).
///
/// A value that is in the metric's unit already is returned unchanged, bit for bit; `%` reads as the [module](self) says.
pub fn to_canonical(metric: Metric, value: f64, unit: &str) -> Result<f64, UnitError> {
    Ok(Conversion::new(metric, unit)?.to_canonical(value))
}

/// Converts `value` from the unit of `metric` to `unit`: the inverse of [`to_canonical`]. In `%` it gives what HealthKit
/// would send, a fraction.
pub fn from_canonical(metric: Metric, value: f64, unit: &str) -> Result<f64, UnitError> {
    Ok(match Rule::new(metric, unit)? {
        Rule::None => value,
        Rule::Percent { whole } => value / whole,
        Rule::Affine { from, to } => rescale(value, to, from),
    })
}

/// From one unit to that of a metric, for many values: the spelling of the unit is looked up once.
#[derive(Clone, Copy)]
pub struct Conversion(Rule);

impl Conversion {
    /// The conversion from `unit`, as HealthKit or UCUM spells it, to the unit of `metric` ([`Metric::unit`]).
    pub fn new(metric: Metric, unit: &str) -> Result<Self, UnitError> {
        Rule::new(metric, unit).map(Self)
    }

    /// Converts one value, as the function [`to_canonical`] does.
    pub fn to_canonical(self, value: f64) -> f64 {
        match self.0 {
            Rule::None => value,
            Rule::Percent { whole } if value <= 1.0 => value * whole,
            Rule::Percent { whole } => value / (100.0 / whole),
            Rule::Affine { from, to } => rescale(value, from, to),
        }
    }
}

#[derive(Clone, Copy)]
enum Rule {
    None,
    /// From HealthKit's `%` to a unit in which the whole is `whole`.
    Percent {
        whole: f64,
    },
    Affine {
        from: Unit,
        to: Unit,
    },
}

impl Rule {
    fn new(metric: Metric, unit: &str) -> Result<Self, UnitError> {
        if metric.kind() == MetricKind::Category {
            return Err(UnitError::NotConvertible);
        }
        if unit == metric.unit() && unit != "%" {
            return Ok(Self::None);
        }
        let to = Unit::parse(metric.unit()).ok_or(UnitError::Unknown)?;
        let from = match molar_mass(unit) {
            Some(mg) if (mg - GLUCOSE_MG_PER_MMOL).abs() < GLUCOSE_MG_PER_MMOL_TOLERANCE => {
                Unit::parse("mmol/L")
            }
            Some(_) => return Err(UnitError::NotConvertible),
            None => Unit::parse(unit),
        };
        let from = from.ok_or(UnitError::Unknown)?;
        match (from.dimension, to.dimension) {
            (Dimension::Percent, Dimension::Percent) if unit == "%" => Ok(Self::Percent { whole: 100.0 }),
            (Dimension::Percent, Dimension::Ratio) if unit == "%" => Ok(Self::Percent { whole: 1.0 }),
            (Dimension::Percent, Dimension::Ratio) => Ok(Self::scaled(from, 0.01, to)),
            (Dimension::Ratio, Dimension::Percent) => Ok(Self::scaled(from, 100.0, to)),
            // HealthKit gives the body mass index in `count`, and a pure number may be written `1`.
            (Dimension::Count, Dimension::BodyMassIndex) | (Dimension::Ratio, Dimension::Count) => {
                Ok(Self::None)
            }
            (Dimension::GlucoseConcentration, Dimension::MassConcentration)
                if metric == Metric::BLOOD_GLUCOSE =>
            {
                Ok(Self::scaled(from, GLUCOSE_MG_PER_MMOL / 10.0, to))
            }
            (one, other) if one == other => Ok(Self::Affine { from, to }),
            _ => Err(UnitError::NotConvertible),
        }
    }

    fn scaled(from: Unit, scale: f64, to: Unit) -> Self {
        Self::Affine { from: Unit { scale, ..from }, to }
    }
}

/// Multiplies or divides by whichever of the two factors is at least 1: those are exact far more often (1,000 is, 0.001
/// is not).
fn rescale(value: f64, from: Unit, to: Unit) -> f64 {
    let value = value - from.zero;
    let scaled = if from.scale >= to.scale {
        value * (from.scale / to.scale)
    } else {
        value / (to.scale / from.scale)
    };
    scaled + to.zero
}

/// The molar mass of HealthKit's `mmol<180.1558800000541>/L`.
fn molar_mass(unit: &str) -> Option<f64> {
    unit.strip_prefix("mmol<")?.strip_suffix(">/L")?.parse().ok()
}

#[cfg(test)]
mod tests;
