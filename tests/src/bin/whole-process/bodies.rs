//! What the phones of the benchmark send.

use anyhow::Context as _;
use jiff::{Timestamp, civil::Date};
use serde_json::{Value, json};
use simulator::{Simulation, SimulatorSettings};
use uuid::{Builder, Uuid};

/// 2026-03-01T00:00:00Z.
const START_S: i64 = 1_772_323_200;
const DAY_S: i64 = 86_400;
/// A watch at rest measures the heart rate every five minutes.
const READING_S: i64 = 300;

/// How many samples each body of the second kind holds.
pub(crate) const SAMPLES: usize = 1000;

fn time(second: i64) -> String {
    Timestamp::from_second(second).map(|time| time.to_string()).unwrap_or_default()
}

/// Ids that do not compress, the same in every run.
pub(crate) struct Ids(u64);

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> Uuid {
        let mut word = || {
            // SplitMix64.
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        Builder::from_random_bytes((u128::from(word()) << 64 | u128::from(word())).to_le_bytes()).into_uuid()
    }
}

/// One heart rate: the `index`th that a phone sends as it comes in.
pub(crate) fn one_metric(user: &str, ids: &mut Ids, index: usize) -> String {
    one_metric_at(user, ids, START_S + READING_S * i64::try_from(index).unwrap_or(0), index)
}

/// One heart rate at that second since the Unix epoch.
pub(crate) fn one_metric_at(user: &str, ids: &mut Ids, second: i64, index: usize) -> String {
    let at = time(second);
    let metric = json!({
        "metric_id": ids.next(),
        "metric_type": "heart_rate",
        "biometric_data": { "heart_rate": 60 + index % 40 },
        "device_id": "Watch6,2",
        "created_at": at,
    });
    json!({ "user_id": user, "metrics": [metric], "upload_source": "apple_health", "client_timestamp": at })
        .to_string()
}

/// A day of heart rates.
pub(crate) fn heart_rates(user: &str, ids: &mut Ids, day: usize) -> String {
    let start = START_S + DAY_S * i64::try_from(day).unwrap_or(0);
    let samples = (0_i64..).take(SAMPLES).map(|index| {
        let at = time(start + index * DAY_S / 1000);
        json!({
            "device": { "manufacturer": "Apple Inc.", "name": "Apple Watch", "product_type": "Watch6,2" },
            "end_date": at,
            "identifier": ids.next(),
            "metadata": { "HKTimeZone": "Europe/Berlin" },
            "source_name": "Apple Watch",
            "start_date": at,
            "type": "HKQuantityTypeIdentifierHeartRate",
            "unit": "count/min",
            "value": 60 + (index * index) % 47,
        })
    });
    upload(user, [("quantity_samples", samples.collect())])
}

/// The first bodies of a simulated person's everyday: samples of all kinds in the order in which they were taken, cut
/// into bodies of one size.
pub(crate) fn mixed(user: &str, seed: u64, count: usize) -> anyhow::Result<Vec<String>> {
    let start = Date::new(2026, 3, 2)?;
    let settings = SimulatorSettings { days: 28, seed, start, zone: "Europe/Berlin".to_owned() };
    let lists = ["quantity_samples", "category_samples", "workouts"];
    let mut samples: Vec<(&str, Value)> = Vec::new();
    for mut upload in Simulation::new(&settings)?.healthkit_uploads(user) {
        for list in lists {
            let items = upload[list].as_array_mut().map(std::mem::take).context("a list of samples")?;
            samples.extend(items.into_iter().map(|sample| (list, sample)));
        }
    }
    let bodies: Vec<String> = samples
        .chunks_exact(SAMPLES)
        .take(count)
        .map(|chunk| {
            let of =
                |list| chunk.iter().filter(move |(name, _)| *name == list).map(|(_, sample)| sample.clone());
            upload(user, lists.map(|list| (list, of(list).collect())))
        })
        .collect();
    anyhow::ensure!(bodies.len() == count, "four weeks hold {} bodies only", bodies.len());
    Ok(bodies)
}

fn upload<const N: usize>(user: &str, lists: [(&str, Vec<Value>); N]) -> String {
    let mut body = json!({ "user_id": user, "upload_metadata": { "time_zone": "Europe/Berlin" } });
    for (name, samples) in lists {
        body[name] = Value::Array(samples);
    }
    body.to_string()
}
