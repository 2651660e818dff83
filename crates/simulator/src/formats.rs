//! The recordings as phones send them.
//!
//! Keys stand in alphabetical order, so that the bytes are the same whether or not `serde_json` keeps the order in which
//! keys were inserted, which any crate of a build can decide for all.

use jiff::tz::Offset;
use serde_json::{Value, json};

use crate::{
    Simulation,
    calendar::{Day, timestamp},
    devices::{Device, Kind, Measured, Reading, count, kind, stages},
    person::Stage,
    truth::{merged, quantity},
};

const METRICS_MAX: usize = 1_000;
const STEP_MINUTES_MAX: usize = 20_160;
pub(crate) const WATCH: &str = "Watch6,2";
pub(crate) const PHONE: &str = "iPhone16,1";
/// `HKWorkoutActivityType.running`.
const RUNNING: i32 = 37;

impl Simulation {
    /// `POST healthkit` bodies (`HealthKitUploadRequest`), one for each day: what ended on it, in that order. A night
    /// that begins before midnight therefore comes in two uploads.
    ///
    /// As the API has it, a sample's `identifier` is the client's own id of it (HealthKit's UUID) and its `type` is
    /// HealthKit's type identifier.
    pub fn healthkit_uploads(&self, user_id: &str) -> Vec<Value> {
        let mut rest = self.readings.as_slice();
        let mut strap = self.strap().peekable();
        let mut uploads = Vec::with_capacity(self.calendar.days.len());
        for (index, day) in self.calendar.days.iter().enumerate() {
            let is_last = index + 1 == self.calendar.days.len();
            let end = rest.partition_point(|reading| is_last || reading.end <= day.end * 60);
            let (readings, later) = rest.split_at(end);
            rest = later;
            let mut readings = readings.to_vec();
            while let Some(reading) = strap.next_if(|reading| is_last || reading.end <= day.end * 60) {
                readings.push(reading);
            }
            readings.sort_by_key(|reading| (reading.end, reading.start));
            uploads.push(self.healthkit_upload(user_id, index, &readings));
        }
        uploads
    }

    fn healthkit_upload(&self, user_id: &str, index: usize, readings: &[Reading]) -> Value {
        let list = |is_wanted: fn(&Measured) -> bool| -> Vec<Value> {
            let wanted = readings.iter().filter(|reading| is_wanted(&reading.measured));
            wanted.map(|reading| self.sample(reading)).collect()
        };
        json!({
            "category_samples": list(|measured| matches!(measured, Measured::Sleep(_))),
            "correlation_samples": [],
            "deleted_samples": [],
            "quantity_samples": list(|measured| matches!(measured, Measured::Quantity { .. })),
            "sync_token": format!("day-{}", index + 1),
            "upload_metadata": {
                "app_version": "1.0.0",
                "device_model": PHONE,
                "system_version": "18.2",
                "time_zone": self.truth[index].zone,
            },
            "user_id": user_id,
            "workouts": list(|measured| matches!(measured, Measured::Workout)),
        })
    }

    fn sample(&self, reading: &Reading) -> Value {
        let place = self.calendar.place(reading.start.div_euclid(60));
        let offset = place.offset(reading.start.div_euclid(60));
        let name = name(reading.device);
        let device =
            |product: &str| json!({ "manufacturer": "Apple Inc.", "name": name, "product_type": product });
        let zone = json!({ "HKTimeZone": place.name });
        let (device, metadata) = match reading.device {
            Device::Watch => (device(WATCH), zone),
            Device::Phone => (device(PHONE), zone),
            Device::Strap => (Value::Null, Value::Null),
        };
        let mut sample = json!({
            "device": device,
            "end_date": local(reading.end, offset),
            "identifier": reading.id.to_string(),
            "metadata": metadata,
            "source_name": name,
            "start_date": local(reading.start, offset),
            "type": "HKWorkoutTypeIdentifier",
        });
        let own = match reading.measured {
            Measured::Quantity { kind, value } => {
                json!({ "type": kind.identifier, "unit": kind.unit, "value": value })
            }
            Measured::Sleep(value) => {
                json!({ "type": "HKCategoryTypeIdentifierSleepAnalysis", "value": value })
            }
            Measured::Workout => json!({ "value": RUNNING, "workout_activity_type": RUNNING }),
        };
        if let (Value::Object(sample), Value::Object(own)) = (&mut sample, own) {
            sample.extend(own);
        }
        sample
    }

    /// `POST health-data` bodies (`HealthDataUpload`) of at most 1,000 metrics each. Their ids are not those of the
    /// HealthKit samples: this older way of uploading gives each metric an id of its own.
    pub fn health_data_uploads(&self, user_id: &str) -> Vec<Value> {
        let mut metrics: Vec<(i64, Value)> = self.readings.iter().filter_map(biometric).collect();
        let kilometres = merged(&self.life, &self.readings, kind::DISTANCE);
        for (index, day) in self.calendar.days.iter().enumerate() {
            let of_day =
                self.life.minutes().zip(&kilometres).filter(|(at, _)| (day.start..day.end).contains(at));
            metrics.extend(self.activity(index, day, of_day.map(|(_, kilometres)| kilometres).sum()));
            metrics.extend(self.sleep(index, day));
        }
        metrics.sort_by_key(|(at, _)| *at);
        let uploads = metrics.chunks(METRICS_MAX).map(|chunk| {
            let last = chunk.last().map_or(0, |(at, _)| *at);
            json!({
                "client_timestamp": utc(last),
                "metrics": chunk.iter().map(|(_, metric)| metric).collect::<Vec<_>>(),
                "sync_token": null,
                "upload_source": "apple_health",
                "user_id": user_id,
            })
        });
        uploads.collect()
    }

    fn activity(&self, index: usize, day: &Day, kilometres: f64) -> Option<(i64, Value)> {
        let truth = &self.truth[index];
        // The day's resting heart rate is in every day, and lends its id to what is summed up for that day.
        let of_day =
            || self.readings.iter().filter(|reading| (day.start * 60..day.end * 60).contains(&reading.start));
        let resting = of_day().find(|reading| quantity(reading, kind::RESTING_HEART_RATE).is_some())?;
        let sum = |wanted: Kind| -> f64 { of_day().filter_map(|reading| quantity(reading, wanted)).sum() };
        let data = json!({
            "active_energy": (truth.active_energy_kcal * 10.0).round() / 10.0,
            "distance": (kilometres * 1_000.0).round() / 1_000.0,
            "exercise_minutes": whole(sum(kind::EXERCISE)),
            "flights_climbed": whole(sum(kind::FLIGHTS)),
            "resting_heart_rate": truth.resting_heart_rate,
            "steps": whole(truth.steps_merged),
        });
        let at = day.end * 60 - 1;
        Some((at, metric(derived(resting, 1), "activity_level", "activity_data", data, at)))
    }

    fn sleep(&self, index: usize, day: &Day) -> Option<(i64, Value)> {
        let truth = &self.truth[index];
        let asleep = truth.asleep_minutes?;
        let in_bed = self.readings.iter().find(|reading| {
            reading.start == day.night.bed * 60 && matches!(reading.measured, Measured::Sleep(_))
        })?;
        let stages = stages(&self.life, day.night.bed, day.night.wake);
        let minutes = |wanted: Stage| -> i64 {
            stages.iter().filter(|(.., stage)| *stage == wanted).map(|(start, end, _)| end - start).sum()
        };
        let awakenings = stages.iter().filter(|(.., stage)| *stage == Stage::Awake).count();
        let in_bed_minutes = count(day.night.bed, in_bed.end / 60, |_| true);
        let efficiency = (f64::from(asleep) / in_bed_minutes * 1_000.0).round() / 1_000.0;
        let data = json!({
            "sleep_efficiency": efficiency,
            "sleep_end": utc(day.night.wake * 60),
            "sleep_stages": {
                "awake": minutes(Stage::Awake),
                "deep": minutes(Stage::Deep),
                "light": minutes(Stage::Core),
                "rem": minutes(Stage::Rem),
            },
            "sleep_start": utc(truth.asleep_at.as_second()),
            "time_to_sleep_minutes": (truth.asleep_at.as_second() - truth.bed_at.as_second()) / 60,
            "total_sleep_minutes": asleep,
            "wake_count": awakenings,
        });
        Some((in_bed.end, metric(derived(in_bed, 2), "sleep_analysis", "sleep_data", data, in_bed.end)))
    }

    /// The `POST pat/step-analysis` body (`StepDataRequest`): steps by the minute, as watch and phone together counted
    /// them, of the last fourteen days or of all days if there are fewer. Gaps of both are 0, as phones send them.
    pub fn step_data(&self) -> Value {
        let merged = merged(&self.life, &self.readings, kind::STEPS);
        let first_day = self.calendar.days.first().map_or(0, |day| day.start);
        let minutes: Vec<(i64, f64)> =
            self.life.minutes().zip(merged).filter(|(at, _)| *at >= first_day).collect();
        let last = &minutes[minutes.len().saturating_sub(STEP_MINUTES_MAX)..];
        json!({
            "step_counts": last.iter().map(|(_, steps)| whole(*steps)).collect::<Vec<_>>(),
            "timestamps": last.iter().map(|(at, _)| utc(at * 60)).collect::<Vec<_>>(),
        })
    }
}

/// What people see as the source.
pub(crate) fn name(device: Device) -> &'static str {
    match device {
        Device::Watch => "Apple Watch",
        Device::Phone => "iPhone",
        Device::Strap => "Chest Strap",
    }
}

fn biometric(reading: &Reading) -> Option<(i64, Value)> {
    let Measured::Quantity { kind, value } = reading.measured else { return None };
    let (metric_type, data) = match kind {
        kind::HEART_RATE => ("heart_rate", json!({ "heart_rate": value })),
        kind::HRV => ("heart_rate_variability", json!({ "heart_rate_variability": value })),
        kind::RESPIRATORY_RATE => ("respiratory_rate", json!({ "respiratory_rate": value })),
        // This API's percent is of a hundred.
        kind::OXYGEN => ("blood_oxygen", json!({ "oxygen_saturation": (value * 100.0).round() })),
        _ => return None,
    };
    Some((reading.end, metric(derived(reading, 3), metric_type, "biometric_data", data, reading.end)))
}

fn metric(id: uuid::Uuid, metric_type: &str, field: &str, data: Value, at: i64) -> Value {
    let mut metric = serde_json::Map::new();
    let device = Value::from(WATCH);
    let mut fields = [
        (field, data),
        ("created_at", Value::from(utc(at))),
        ("device_id", device),
        ("metric_id", Value::from(id.to_string())),
        ("metric_type", Value::from(metric_type)),
    ];
    fields.sort_by_key(|(name, _)| *name);
    metric.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(metric)
}

/// The id of what is made of a reading: the reading's own, with its last byte changed.
fn derived(reading: &Reading, change: u8) -> uuid::Uuid {
    let mut bytes = reading.id.into_bytes();
    bytes[15] ^= change;
    uuid::Uuid::from_bytes(bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "counts of a day are far below the limits of an i64")]
fn whole(value: f64) -> i64 {
    value.round() as i64
}

fn local(second: i64, offset: Offset) -> String {
    timestamp(second).display_with_offset(offset).to_string()
}

fn utc(second: i64) -> String {
    timestamp(second).to_string()
}
