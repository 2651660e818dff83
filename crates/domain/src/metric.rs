//! The catalogue of metrics: what phones send through HealthKit, and what Clarity's own forms ask for.

mod table;

use std::{fmt, ops::RangeInclusive};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use self::table::{Row, TABLE};
use crate::sample::Value;

/// A metric of the catalogue: an index into its table, so it is cheap to copy and compare.
///
/// Metrics order as their identifiers do. Whatever is stored holds the identifier, never the index, because the index
/// changes whenever the catalogue grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metric(u8);

/// What a reading of a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// A number in the metric's unit: [`Value::Quantity`].
    Quantity,
    /// One of a list of codes, such as a stage of sleep: [`Value::Category`].
    Category,
}

/// How readings of a metric combine over time, as HealthKit says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// They add up, such as steps.
    Cumulative,
    /// They average, such as a heart rate.
    Discrete,
}

impl Metric {
    /// The HealthKit identifier, or one of the same form for Clarity's own metrics.
    pub fn identifier(self) -> &'static str {
        self.row().identifier
    }

    /// The metric that has `identifier`.
    pub fn from_identifier(identifier: &str) -> Option<Self> {
        TABLE.binary_search_by(|row| row.identifier.cmp(identifier)).ok().and_then(Self::at)
    }

    /// The short name, such as `heart_rate`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The metric that has the short name `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|metric| metric.name() == name)
    }

    /// Whether its readings are numbers or codes.
    pub fn kind(self) -> MetricKind {
        self.row().kind
    }

    /// The UCUM unit that its readings are stored in; `{code}` for a category.
    pub fn unit(self) -> &'static str {
        self.row().unit
    }

    /// The LOINC code, where one means the same thing.
    pub fn loinc(self) -> Option<&'static str> {
        self.row().loinc
    }

    /// The values that a reading can have, in the metric's unit; for a category, its codes.
    pub fn plausible_range(self) -> RangeInclusive<f64> {
        self.row().min..=self.row().max
    }

    /// Whether `value` is of the metric's kind and in its plausible range. A NaN never is.
    pub fn is_plausible(self, value: Value) -> bool {
        match (self.kind(), value) {
            (MetricKind::Quantity, Value::Quantity(quantity)) => self.plausible_range().contains(&quantity),
            (MetricKind::Category, Value::Category(code)) => {
                self.plausible_range().contains(&f64::from(code))
            }
            (MetricKind::Quantity, Value::Category(_)) | (MetricKind::Category, Value::Quantity(_)) => false,
        }
    }

    /// How readings combine over time.
    pub fn aggregation(self) -> Aggregation {
        self.row().aggregation
    }

    /// Every metric, in the order of the identifiers.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TABLE.len()).filter_map(Self::at)
    }

    fn at(index: usize) -> Option<Self> {
        u8::try_from(index).ok().map(Self)
    }

    fn row(self) -> &'static Row {
        &TABLE[usize::from(self.0)]
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.identifier())
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.identifier())
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Identifier;

        impl de::Visitor<'_> for Identifier {
            type Value = Metric;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the identifier of a metric")
            }

            fn visit_str<E: de::Error>(self, identifier: &str) -> Result<Metric, E> {
                Metric::from_identifier(identifier)
                    .ok_or_else(|| E::custom("not the identifier of a known metric"))
            }
        }

        deserializer.deserialize_str(Identifier)
    }
}

#[cfg(test)]
mod tests;
