//! One copy of each source, clock and text, shared by the samples of a batch.
//!
//! Of a batch and not of the file: the samples of a batch are dropped on another thread as often as not, and counting the
//! owners of one copy from two threads at once costs more than a copy for each batch.

use std::{collections::HashMap, sync::Arc};

use domain::{
    sample::Source,
    time::{LocalClock, ZoneName},
};

use crate::{error::Reason, limits, tag::unescape};

#[derive(Default)]
pub(crate) struct Shared {
    /// By `sourceName` and the device without its address in memory, both as they are written.
    sources: HashMap<String, Arc<Source>>,
    clocks: HashMap<(i32, Option<ZoneName>), Arc<LocalClock>>,
    last_clock: Option<Arc<LocalClock>>,
    metadata: HashMap<String, Arc<str>>,
    zones: HashMap<String, Option<ZoneName>>,
    key: String,
}

impl Shared {
    /// Forgets what was shared, so that the next batch has its own.
    pub(crate) fn renew(&mut self) {
        self.sources.clear();
        self.clocks.clear();
        self.last_clock = None;
        self.metadata.clear();
    }

    /// The source that `sourceName` and `device` describe, both as they are written.
    pub(crate) fn source(&mut self, name: Option<&str>, device: Option<&str>) -> Result<Arc<Source>, Reason> {
        let device = device.map(without_address);
        self.key.clear();
        self.key.push_str(name.unwrap_or_default());
        // No attribute holds a `<`.
        self.key.push('<');
        self.key.push_str(device.unwrap_or_default());
        if let Some(source) = self.sources.get(&self.key) {
            return Ok(Arc::clone(source));
        }
        let source = Arc::new(describe(name, device)?);
        if self.sources.len() == limits::SHARED_MAX {
            self.sources.clear();
        }
        self.sources.insert(self.key.clone(), Arc::clone(&source));
        Ok(source)
    }

    pub(crate) fn clock(&mut self, offset_seconds: i32, zone: Option<ZoneName>) -> Arc<LocalClock> {
        if let Some(last) = &self.last_clock
            && last.offset_seconds == offset_seconds
            && last.zone == zone
        {
            return Arc::clone(last);
        }
        if self.clocks.len() == limits::SHARED_MAX {
            self.clocks.clear();
        }
        let clock = self.clocks.entry((offset_seconds, zone)).or_insert_with_key(|(offset_seconds, zone)| {
            Arc::new(LocalClock { offset_seconds: *offset_seconds, zone: zone.clone() })
        });
        self.last_clock = Some(Arc::clone(clock));
        Arc::clone(clock)
    }

    /// The zone of that name; an unknown name is as good as none, since the offset is known as well.
    pub(crate) fn zone(&mut self, name: &str) -> Option<ZoneName> {
        if let Some(zone) = self.zones.get(name) {
            return zone.clone();
        }
        if self.zones.len() == limits::SHARED_MAX {
            self.zones.clear();
        }
        let zone = ZoneName::new(name).ok();
        self.zones.insert(name.to_owned(), zone.clone());
        zone
    }

    pub(crate) fn metadata(&mut self, json: &str) -> Arc<str> {
        if let Some(shared) = self.metadata.get(json) {
            return Arc::clone(shared);
        }
        if self.metadata.len() == limits::SHARED_MAX {
            self.metadata.clear();
        }
        let shared: Arc<str> = json.into();
        self.metadata.insert(json.to_owned(), Arc::clone(&shared));
        shared
    }
}

/// A device's description without where it lay in the phone's memory, which is another for each reading:
/// `&lt;&lt;HKDevice: 0x2830f4a50&gt;, name:Apple Watch, ...` from `, name` on.
fn without_address(device: &str) -> &str {
    let rest = device.strip_prefix("&lt;&lt;HKDevice: 0x");
    rest.and_then(|rest| rest.find("&gt;").map(|at| &rest[at..])).unwrap_or(device)
}

fn describe(name: Option<&str>, device: Option<&str>) -> Result<Source, Reason> {
    let text = |raw: &str| -> Result<Option<String>, Reason> {
        Ok(Some(unescape(raw)?.into_owned()).filter(|text| !text.is_empty()))
    };
    let name = name.map_or(Ok(None), text)?;
    let device = device.map_or(Ok(None), text)?.unwrap_or_default();
    // As uploads have it: the hardware where it is told, else the model.
    let product_type = field(&device, "hardware").or_else(|| field(&device, "model"));
    Ok(Source { name: name.or_else(|| field(&device, "name")), bundle: None, product_type })
}

/// What may follow a field of a device's description. Values hold commas themselves: `hardware:Watch6,2, software:10.1`.
const FIELDS: [&str; 9] = [
    "name",
    "manufacturer",
    "model",
    "hardware",
    "firmware",
    "software",
    "localIdentifier",
    "UDIDeviceIdentifier",
    "creation date",
];

fn field(device: &str, wanted: &str) -> Option<String> {
    let begin = device.find(&format!(", {wanted}:"))? + wanted.len() + 3;
    let rest = &device[begin..];
    let ends = FIELDS.iter().filter_map(|name| rest.find(&format!(", {name}:")));
    let end = ends.min().unwrap_or_else(|| rest.strip_suffix('>').map_or(rest.len(), str::len));
    Some(rest[..end].to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_described_by_its_hardware_without_its_address() {
        let mut shared = Shared::default();
        let watch = "&lt;&lt;HKDevice: 0x2830f4a50&gt;, name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch6,2, software:10.1&gt;";
        let source = shared.source(Some("Ana’s Apple\u{a0}Watch"), Some(watch)).unwrap();
        assert_eq!(source.product_type.as_deref(), Some("Watch6,2"));
        assert_eq!(source.name.as_deref(), Some("Ana’s Apple\u{a0}Watch"));
        assert_eq!(source.bundle, None);
        let elsewhere = watch.replace("2830f4a50", "281d1c8c0");
        assert!(Arc::ptr_eq(
            &source,
            &shared.source(Some("Ana’s Apple\u{a0}Watch"), Some(&elsewhere)).unwrap()
        ));
        let ring = "&lt;&lt;HKDevice: 0x1&gt;, name:Oura, manufacturer:Oura, model:Oura Ring, creation date:2024-01-05 06:00:00 +0000&gt;";
        assert_eq!(
            shared.source(Some("Oura"), Some(ring)).unwrap().product_type.as_deref(),
            Some("Oura Ring")
        );
        let last = "&lt;&lt;HKDevice: 0x1&gt;, name:iPhone, model:iPhone, hardware:iPhone16,1&gt;";
        assert_eq!(shared.source(None, Some(last)).unwrap().product_type.as_deref(), Some("iPhone16,1"));
        assert_eq!(shared.source(None, Some(last)).unwrap().name.as_deref(), Some("iPhone"));
        let none = shared.source(Some("Health"), None).unwrap();
        assert_eq!((none.product_type.as_deref(), none.name.as_deref()), (None, Some("Health")));
    }
}
