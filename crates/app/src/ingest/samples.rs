//! `POST health-data` with `samples`: HealthKit's readings as the shipped iOS apps send them, without ids of their own.

use domain::time::ZoneName;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{BodyError, Parsed, healthkit::Context, object, wire::Shared};

/// The list of a body's readings.
pub(super) const LIST: &str = "samples";

/// The phone that sent the body.
#[derive(Deserialize)]
struct DeviceInfo {
    #[serde(default, alias = "timeZone", alias = "timezone")]
    time_zone: Option<String>,
}

/// Reads the `samples` of a body, at most `samples_max`. The phone's own time zone is that of readings which name none.
pub(super) fn parse(
    samples: &[&RawValue],
    device_info: Option<&RawValue>,
    samples_max: usize,
    now: Timestamp,
) -> Result<Parsed, BodyError> {
    let count = samples.len();
    if count > samples_max {
        let message = format!("{count} samples; an upload holds at most {samples_max}");
        return Err(BodyError::new("/samples", message));
    }
    let mut shared = Shared::default();
    let zone = zone(device_info, &mut shared);
    let mut context = Context { shared, zone, now };
    let mut parsed = Parsed { received: vec![(LIST, count)], ..Parsed::default() };
    parsed.samples.reserve(count);
    for (index, raw) in samples.iter().enumerate() {
        let before = parsed.rejected_total;
        context.item(LIST, index, raw, &mut parsed);
        parsed.items_rejected += usize::from(parsed.rejected_total > before);
    }
    Ok(parsed)
}

/// A device that does not describe itself as expected costs its time zone only.
fn zone(device_info: Option<&RawValue>, shared: &mut Shared) -> Option<ZoneName> {
    let device: DeviceInfo = object(device_info?)?;
    shared.zone(&device.time_zone?)
}
