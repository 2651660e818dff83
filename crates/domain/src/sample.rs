//! One reading of a phone, a watch or a ring, and its identity.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    ids::SampleId,
    metric::Metric,
    time::{Interval, LocalClock},
};

/// What was measured. Prints as its kind only: values are health data.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// A quantity in the metric's canonical UCUM unit (see [`Metric::unit`]).
    Quantity(f64),
    /// A HealthKit category value, such as `HKCategoryValueSleepAnalysis`.
    Category(i32),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quantity(_) => "Quantity(..)",
            Self::Category(_) => "Category(..)",
        })
    }
}

/// Who measured: app bundle, device and product type, as HealthKit's source revision tells.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Source {
    /// Human name, such as "Anna's Apple Watch".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bundle identifier, such as `com.apple.health.6E2A`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// Product type, such as `Watch6,2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_type: Option<String>,
}

/// What kind of device a source is; decides which wins where two cover the same instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// Worn on the wrist.
    Watch,
    /// Worn on a finger.
    Ring,
    /// Carried.
    Phone,
    /// Typed in by hand, another app, or unknown.
    Other,
}

impl Source {
    /// The kind of device, from the product type first and the human name second.
    pub fn device_kind(&self) -> DeviceKind {
        let text =
            self.product_type.as_deref().or(self.name.as_deref()).unwrap_or_default().to_ascii_lowercase();
        // Whole words, without the model number: "Watch6,2" and "Anna's Apple Watch", but not "Spring" or "Headphones".
        let words = || text.split(|c: char| !c.is_ascii_alphabetic());
        let has = |word: &str| words().any(|found| found == word);
        if has("watch") {
            DeviceKind::Watch
        } else if has("ring") {
            DeviceKind::Ring
        } else if has("iphone") || has("phone") {
            DeviceKind::Phone
        } else {
            DeviceKind::Other
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // People put their own names into those of their devices.
        write!(f, "Source({:?})", self.device_kind())
    }
}

/// One reading. Prints as its id and metric only.
#[derive(Clone, PartialEq)]
pub struct Sample {
    /// Client id: HealthKit's UUID, or [`ContentKey::sample_id`] where the client gave none.
    pub id: SampleId,
    /// What was measured.
    pub metric: Metric,
    /// When; a point has no length.
    pub interval: Interval,
    /// The reading in the metric's canonical unit.
    pub value: Value,
    /// The local clock where it was taken.
    pub clock: Arc<LocalClock>,
    /// Who measured.
    pub source: Arc<Source>,
    /// The client's metadata as compact JSON; `None` where there was none.
    pub metadata: Option<Arc<str>>,
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sample({}, {:?})", self.id, self.metric)
    }
}

/// A hash of metric, interval, value and source: the same reading has the same key whichever way it came
/// (HealthKit SDK or `export.xml`), and whatever id that way gave it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentKey(pub [u8; 16]);

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentKey({})", hex::encode(self.0))
    }
}

impl ContentKey {
    /// The id given to a reading that came without one: a UUID of version 8 (custom) over the content key.
    pub fn sample_id(self) -> SampleId {
        SampleId(uuid::Builder::from_custom_bytes(self.0).into_uuid())
    }
}

impl Sample {
    /// The reading's content key. The source counts by bundle and product type, not by its human name,
    /// which people change.
    pub fn content_key(&self) -> ContentKey {
        let parts = [&self.source.bundle, &self.source.product_type];
        // 0.0 and -0.0 are one reading.
        let value = |quantity: f64| (quantity + 0.0).to_bits();
        self.key(b"clarity.sample.1\0", |at_ms| at_ms, value, &parts)
    }

    /// What is left of the content key in an `export.xml`, which tells times to the second, values as decimals, and no bundle:
    /// a reading that came with an id has the same one as its line there.
    pub fn export_key(&self) -> ContentKey {
        let second = |at_ms: i64| at_ms.div_euclid(1000);
        // As precise as a decimal of any length still is after the conversion of a unit.
        #[expect(clippy::cast_possible_truncation, reason = "precision is what is to be lost")]
        let value = |quantity: f64| (((quantity + 0.0) as f32).to_bits()).into();
        self.key(b"clarity.sample.export.1\0", second, value, &[&self.source.product_type])
    }

    /// Whether the reading may be a line of an `export.xml`.
    pub fn may_be_exported(&self) -> bool {
        let interval = self.interval;
        interval.start_ms() % 1000 == 0 && interval.end_ms() % 1000 == 0 && self.source.bundle.is_none()
    }

    fn key(
        &self,
        kind: &[u8],
        instant: impl Fn(i64) -> i64,
        value: impl Fn(f64) -> u64,
        source: &[&Option<String>],
    ) -> ContentKey {
        let mut hash = Sha256::new();
        hash.update(kind);
        hash.update(self.metric.identifier().as_bytes());
        hash.update([0]);
        hash.update(instant(self.interval.start_ms()).to_le_bytes());
        hash.update(instant(self.interval.end_ms()).to_le_bytes());
        match self.value {
            Value::Quantity(quantity) => {
                hash.update([0]);
                hash.update(value(quantity).to_le_bytes());
            }
            Value::Category(category) => {
                hash.update([1]);
                hash.update(category.to_le_bytes());
            }
        }
        for part in source {
            hash.update(part.as_deref().unwrap_or_default().as_bytes());
            hash.update([0]);
        }
        let digest = hash.finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        ContentKey(key)
    }
}

impl SampleId {
    /// Whether it may be one that [`ContentKey::sample_id`] made: no phone draws a UUID of that version.
    pub fn is_derived(self) -> bool {
        self.0.get_version_num() == 8
    }
}

impl From<Uuid> for SampleId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}
