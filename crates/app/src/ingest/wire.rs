//! What the bodies of phones are made of.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use domain::{
    sample::Source,
    time::{Interval, LocalClock, ZoneName},
};
use jiff::{
    civil::DateTime,
    fmt::temporal::{DateTimeParser, PiecesOffset},
    tz::{Offset, TimeZone},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Fault;

/// Text that is borrowed from the body unless it holds escapes.
#[derive(Deserialize, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl std::borrow::Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// An instant and the offset its text carried.
#[derive(Clone, Copy)]
pub(super) struct Instant {
    pub(super) ms: i64,
    pub(super) offset_seconds: i32,
}

/// The offset of the Line Islands, the farthest from UTC.
const OFFSET_SECONDS_MAX: i32 = 14 * 3600;

static PARSER: DateTimeParser = DateTimeParser::new();

/// Reads an RFC 3339 timestamp. One without an offset is read in `zone`, and refused where no zone is known.
pub(super) fn instant(field: &'static str, text: &str, zone: Option<&ZoneName>) -> Result<Instant, Fault> {
    let fault = |message: &str| Fault::new(field, "invalid_timestamp", message);
    let pieces = PARSER.parse_pieces(text).map_err(|_hidden| fault("not an RFC 3339 timestamp"))?;
    let time = pieces.time().ok_or_else(|| fault("the time of day is missing"))?;
    let local: DateTime = pieces.date().to_datetime(time);
    let (rules, known) = match (pieces.offset(), zone) {
        (Some(PiecesOffset::Zulu), _) => (TimeZone::UTC, Some(Offset::UTC)),
        (Some(PiecesOffset::Numeric(numeric)), _) => {
            (TimeZone::fixed(numeric.offset()), Some(numeric.offset()))
        }
        (None, Some(zone)) => (zone.rules(), None),
        _ => return Err(fault("the offset from UTC is missing, such as Z or +02:00")),
    };
    let zoned =
        rules.to_ambiguous_zoned(local).compatible().map_err(|_hidden| fault("the year is out of range"))?;
    let offset = known.unwrap_or_else(|| zoned.offset());
    if offset.seconds().abs() > OFFSET_SECONDS_MAX {
        return Err(fault("no place has that offset from UTC"));
    }
    Ok(Instant { ms: zoned.timestamp().as_millisecond(), offset_seconds: offset.seconds() })
}

/// An interval from two timestamps; a missing end makes a point.
pub(super) fn interval(
    start: Option<&str>,
    end: Option<&str>,
    zone: Option<&ZoneName>,
) -> Result<(Interval, i32), Fault> {
    let start = start.ok_or_else(|| Fault::new("start_date", "missing", "start_date is missing"))?;
    let start = instant("start_date", start, zone)?;
    let end = end.map(|end| instant("end_date", end, zone)).transpose()?.unwrap_or(start);
    let interval = Interval::new(start.ms, end.ms)
        .map_err(|_hidden| Fault::new("end_date", "end_before_start", "the reading ends before it begins"))?;
    Ok((interval, start.offset_seconds))
}

/// One copy of each clock and source of a body, shared by its samples.
#[derive(Default)]
pub(super) struct Shared {
    clocks: HashMap<(i32, Option<ZoneName>), Arc<LocalClock>>,
    sources: HashMap<(String, String), Arc<Source>>,
    zones: HashMap<String, Option<ZoneName>>,
}

impl Shared {
    pub(super) fn clock(&mut self, offset_seconds: i32, zone: Option<ZoneName>) -> Arc<LocalClock> {
        let clock = self.clocks.entry((offset_seconds, zone)).or_insert_with_key(|(offset_seconds, zone)| {
            Arc::new(LocalClock { offset_seconds: *offset_seconds, zone: zone.clone() })
        });
        Arc::clone(clock)
    }

    /// The zone of that name; an unknown name is as good as none, since the offset is known as well.
    pub(super) fn zone(&mut self, name: &str) -> Option<ZoneName> {
        if let Some(zone) = self.zones.get(name) {
            return zone.clone();
        }
        let zone = ZoneName::new(name).ok();
        self.zones.insert(name.to_owned(), zone.clone());
        zone
    }

    /// The source that a sample's `source_name`, `device` and `source_revision` describe.
    pub(super) fn source(
        &mut self,
        name: Option<&str>,
        device: Option<&RawValue>,
        revision: Option<&RawValue>,
    ) -> Arc<Source> {
        let key = (
            name.unwrap_or_default().to_owned(),
            format!("{}{}", device.map_or("", RawValue::get), revision.map_or("", RawValue::get)),
        );
        let source = self.sources.entry(key).or_insert_with(|| Arc::new(describe(name, device, revision)));
        Arc::clone(source)
    }
}

/// Both spellings of the fields that HealthKit wrappers send for a device. Unknown ones stay in the raw body.
#[derive(Deserialize, Default)]
#[serde(default)]
struct WireDevice {
    name: Option<String>,
    #[serde(alias = "productType", alias = "hardware_version", alias = "hardwareVersion")]
    product_type: Option<String>,
    #[serde(alias = "device_model")]
    model: Option<String>,
    #[serde(alias = "bundleIdentifier", alias = "source_bundle", alias = "bundle")]
    bundle_identifier: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireRevision {
    source: WireDevice,
    product_type: Option<String>,
}

fn describe(name: Option<&str>, device: Option<&RawValue>, revision: Option<&RawValue>) -> Source {
    // A description that does not parse is kept in the raw body; the reading itself is still good.
    let device: WireDevice = device.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let revision: WireRevision =
        revision.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    Source {
        name: name.map(str::to_owned).or(revision.source.name).or(device.name),
        bundle: device.bundle_identifier.or(revision.source.bundle_identifier),
        product_type: revision.product_type.or(device.product_type).or(device.model),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_keep_their_offset() {
        let at = instant("start_date", "2026-03-01T08:00:00.250+02:00", None).ok().unwrap();
        assert_eq!((at.ms, at.offset_seconds), (1_772_344_800_250, 7200));
        let zulu = instant("start_date", "2026-03-01T06:00:00Z", None).ok().unwrap();
        assert_eq!((zulu.ms, zulu.offset_seconds), (1_772_344_800_000, 0));
    }

    #[test]
    fn a_timestamp_without_an_offset_needs_a_zone() {
        let berlin = ZoneName::new("Europe/Berlin").unwrap();
        let at = instant("start_date", "2026-07-01T08:00:00", Some(&berlin)).ok().unwrap();
        assert_eq!((at.ms, at.offset_seconds), (1_782_885_600_000, 7200));
        for bad in ["2026-07-01T08:00:00", "2026-07-01", "yesterday", "2026-13-01T00:00:00Z", ""] {
            assert!(instant("start_date", bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_source_is_read_from_either_shape() {
        let mut shared = Shared::default();
        let device: Box<RawValue> =
            serde_json::from_str(r#"{"productType":"Watch6,2","name":"Apple Watch"}"#).unwrap();
        assert_eq!(
            shared.source(Some("Anna's Watch"), Some(&device), None).product_type.as_deref(),
            Some("Watch6,2")
        );
        let revision: Box<RawValue> = serde_json::from_str(
            r#"{"source":{"name":"Health","bundle_identifier":"com.apple.health"},"version":"17","product_type":"iPhone15,2"}"#,
        )
        .unwrap();
        let source = shared.source(None, None, Some(&revision));
        assert_eq!(source.bundle.as_deref(), Some("com.apple.health"));
        assert_eq!(source.product_type.as_deref(), Some("iPhone15,2"));
    }
}
