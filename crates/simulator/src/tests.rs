use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;

const USER: &str = "7b0a2a53-3f5e-4a0e-9f0e-5a3c9a1f2b11";

fn settings() -> SimulatorSettings {
    SimulatorSettings { days: 14, seed: 7, start: Date::constant(2026, 3, 2), zone: "Europe/Berlin".into() }
}

fn fortnight() -> Simulation {
    Simulation::new(&settings()).unwrap()
}

fn digest(simulation: &Simulation) -> String {
    let mut hash = Sha256::new();
    for upload in simulation.healthkit_uploads(USER).into_iter().chain(simulation.health_data_uploads(USER)) {
        hash.update(upload.to_string());
    }
    hash.update(simulation.step_data().to_string());
    hex::encode(hash.finalize())
}

fn samples(simulation: &Simulation, list: &str) -> Vec<Value> {
    let uploads = simulation.healthkit_uploads(USER);
    uploads.iter().flat_map(|upload| upload[list].as_array().unwrap().clone()).collect()
}

fn of_type(simulation: &Simulation, kind: &str) -> Vec<Value> {
    let quantities = samples(simulation, "quantity_samples");
    quantities.into_iter().filter(|sample| sample["type"] == kind).collect()
}

fn second(sample: &Value, field: &str) -> i64 {
    sample[field].as_str().unwrap().parse::<Timestamp>().unwrap().as_second()
}

#[test]
fn the_same_settings_give_the_same_bytes() {
    assert_eq!(digest(&fortnight()), digest(&fortnight()));
    let other = Simulation::new(&SimulatorSettings { seed: 8, ..settings() }).unwrap();
    assert_ne!(digest(&fortnight()), digest(&other));
}

#[test]
fn the_bytes_are_those_of_the_snapshot() {
    // Changes only when the simulation is changed on purpose.
    assert_eq!(digest(&fortnight()), "691dc654d1bea2e447b8bdacd65a61baededbda77d4126cca5ad7d93f1bca6f2");
}

#[test]
fn watch_and_phone_overlap_so_that_adding_them_counts_much_twice() {
    for day in fortnight().truth() {
        assert!(day.steps > 1_000, "{day:?}");
        assert!(day.steps_added > day.steps_merged * 1.25, "{day:?}");
        let error = (day.steps_merged - f64::from(day.steps)).abs() / f64::from(day.steps);
        assert!(error < 0.08, "{day:?}");
    }
}

#[test]
fn some_time_is_counted_by_the_phone_alone_and_some_samples_overlap_in_part() {
    let steps = of_type(&fortnight(), "HKQuantityTypeIdentifierStepCount");
    let of = |name: &str| -> Vec<(i64, i64)> {
        let of_device = steps.iter().filter(|sample| sample["source_name"] == name);
        of_device.map(|sample| (second(sample, "start_date"), second(sample, "end_date"))).collect()
    };
    let (watch, phone) = (of("Apple Watch"), of("iPhone"));
    let shared = |(start, end): &(i64, i64)| -> i64 {
        watch.iter().map(|(from, to)| (end.min(to) - start.max(from)).max(0)).sum()
    };
    let alone = phone.iter().filter(|interval| shared(interval) == 0).count();
    let partly =
        phone.iter().filter(|(start, end)| (1..end - start).contains(&shared(&(*start, *end)))).count();
    assert!(alone > 14, "{alone}");
    assert!(partly > 0, "{partly}");
    for name in [watch, phone] {
        assert!(name.windows(2).all(|pair| pair[0].1 <= pair[1].0), "a device overlaps itself");
    }
}

#[test]
fn nothing_is_recorded_of_the_missed_night() {
    let simulation = fortnight();
    let missed: Vec<&DayTruth> = simulation.truth().iter().filter(|day| day.is_night_missed).collect();
    let [missed] = missed.as_slice() else { panic!("one night is missed, not {}", missed.len()) };
    assert_eq!((missed.asleep_minutes, missed.awake_minutes), (None, None));
    let (from, to) = (missed.bed_at.as_second(), missed.woke_at.as_second());
    let touches = |sample: &&Value| second(sample, "start_date") < to && second(sample, "end_date") > from;
    assert_eq!(samples(&simulation, "category_samples").iter().filter(touches).count(), 0);
    for kind in
        ["HeartRate", "HeartRateVariabilitySDNN", "RespiratoryRate", "OxygenSaturation", "RestingHeartRate"]
    {
        let readings = of_type(&simulation, &format!("HKQuantityTypeIdentifier{kind}"));
        assert!(!readings.is_empty(), "{kind}");
        assert_eq!(readings.iter().filter(touches).count(), 0, "{kind}");
    }
}

#[test]
fn every_other_night_has_the_stages_that_the_truth_tells() {
    let simulation = fortnight();
    let sleep = samples(&simulation, "category_samples");
    for day in simulation.truth().iter().filter(|day| !day.is_night_missed) {
        let (bed, woke) = (day.bed_at.as_second(), day.woke_at.as_second());
        let night: Vec<&Value> =
            sleep.iter().filter(|sample| (bed..woke).contains(&second(sample, "start_date"))).collect();
        let minutes = |wanted: &[i64]| -> i64 {
            let wanted = night.iter().filter(|sample| wanted.contains(&sample["value"].as_i64().unwrap()));
            wanted.map(|sample| (second(sample, "end_date") - second(sample, "start_date")) / 60).sum()
        };
        assert_eq!(minutes(&[3, 4, 5]), i64::from(day.asleep_minutes.unwrap()), "{day:?}");
        assert_eq!(minutes(&[2]), i64::from(day.awake_minutes.unwrap()), "{day:?}");
        assert!((5 * 60..10 * 60).contains(&day.asleep_minutes.unwrap()), "{day:?}");
        assert!(minutes(&[0]) * 60 > woke - bed, "the phone's time in bed holds the night: {day:?}");
        for stage in [3, 4, 5] {
            assert!(minutes(&[stage]) > 20, "{stage} {day:?}");
        }
    }
}

#[test]
fn weekends_are_later() {
    let simulation = fortnight();
    let mut wakes: HashMap<bool, Vec<i32>> = HashMap::new();
    let flight = simulation.calendar.flight.as_ref().unwrap().day;
    for day in &simulation.truth()[..flight] {
        let local = day.woke_at.in_tz(&day.zone).unwrap();
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        wakes.entry(calendar::is_weekend(day.date)).or_default().push(minute);
    }
    let (weekend, week) = (wakes[&true].iter().min().unwrap(), wakes[&false].iter().max().unwrap());
    assert!(weekend - week > 60, "{weekend} {week}");
}

#[test]
fn the_flight_changes_the_zone_two_thirds_through() {
    let simulation = fortnight();
    let zones: Vec<&str> = simulation.truth().iter().map(|day| day.zone.as_str()).collect();
    assert_eq!(zones[..9], ["Europe/Berlin"; 9]);
    assert_eq!(zones[9..], ["America/New_York"; 5]);
    let travel: Vec<bool> = simulation.truth().iter().map(|day| day.is_travel_day).collect();
    assert_eq!(travel.iter().position(|is_travel| *is_travel), Some(9));
    let uploads = simulation.healthkit_uploads(USER);
    assert_eq!(uploads[8]["upload_metadata"]["time_zone"], "Europe/Berlin");
    assert_eq!(uploads[9]["upload_metadata"]["time_zone"], "America/New_York");
    for sample in samples(&simulation, "quantity_samples") {
        let start = sample["start_date"].as_str().unwrap();
        let offset = match sample["metadata"]["HKTimeZone"].as_str().unwrap() {
            "Europe/Berlin" => "+01:00",
            // Summer time began there on 8 March.
            "America/New_York" => "-04:00",
            other => panic!("{other}"),
        };
        assert!(start.ends_with(offset), "{sample}");
    }
}

#[test]
fn days_follow_each_other_without_a_gap_even_when_clocks_change() {
    let start = Date::constant(2026, 3, 23);
    let simulation = Simulation::new(&SimulatorSettings { start, days: 5, ..settings() }).unwrap();
    assert!(simulation.calendar.flight.is_none());
    let simulation = Simulation::new(&SimulatorSettings { start, days: 21, ..settings() }).unwrap();
    let days = &simulation.calendar.days;
    assert!(days.windows(2).all(|pair| pair[0].end == pair[1].start));
    let lengths: Vec<i64> = days.iter().map(|day| (day.end - day.start) / 60).collect();
    // 29 March has 23 hours; the day of the flight has six more than others.
    assert_eq!((lengths[6], lengths[14]), (23, 30));
    assert_eq!(lengths.iter().filter(|hours| **hours == 24).count(), 19);
}

#[test]
fn every_sample_has_an_id_of_its_own_and_lies_in_one_upload() {
    let simulation = fortnight();
    let lists = ["quantity_samples", "category_samples", "workouts"];
    let all: Vec<Value> = lists.iter().flat_map(|list| samples(&simulation, list)).collect();
    let ids: BTreeSet<&str> = all.iter().map(|sample| sample["identifier"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), all.len()), (simulation.readings.len(), simulation.readings.len()));
    assert!(ids.iter().all(|id| id.parse::<uuid::Uuid>().is_ok()));
    assert!(all.iter().all(|sample| second(sample, "start_date") <= second(sample, "end_date")));
}

#[test]
fn uploads_have_the_size_of_a_day() {
    let uploads = fortnight().healthkit_uploads(USER);
    assert_eq!(uploads.len(), 14);
    for upload in uploads {
        assert_eq!(upload["user_id"], USER);
        assert!((400..2_000).contains(&upload["quantity_samples"].as_array().unwrap().len()));
        assert!(upload.to_string().len() < 1 << 20);
    }
}

#[test]
fn health_data_uploads_hold_at_most_a_thousand_metrics_within_the_ranges_of_the_api() {
    let simulation = fortnight();
    let uploads = simulation.health_data_uploads(USER);
    let metrics: Vec<&Value> =
        uploads.iter().flat_map(|upload| upload["metrics"].as_array().unwrap()).collect();
    assert!(uploads.iter().all(|upload| (1..=1_000).contains(&upload["metrics"].as_array().unwrap().len())));
    let count = |kind: &str| metrics.iter().filter(|metric| metric["metric_type"] == kind).count();
    assert_eq!((count("sleep_analysis"), count("activity_level")), (13, 14));
    assert!(count("heart_rate") > 3_000 && count("blood_oxygen") > 100);
    let within = |pointer: &str, range: std::ops::RangeInclusive<f64>| {
        let values: Vec<f64> = metrics
            .iter()
            .filter_map(|metric| metric.pointer(pointer))
            .map(|value| value.as_f64().unwrap())
            .collect();
        assert!(
            !values.is_empty() && values.iter().all(|value| range.contains(value)),
            "{pointer}: {values:?}"
        );
    };
    within("/biometric_data/heart_rate", 30.0..=300.0);
    within("/biometric_data/oxygen_saturation", 70.0..=100.0);
    within("/biometric_data/respiratory_rate", 5.0..=60.0);
    within("/biometric_data/heart_rate_variability", 0.0..=200.0);
    within("/sleep_data/total_sleep_minutes", 1.0..=1_000.0);
    within("/sleep_data/sleep_efficiency", 0.0..=1.0);
    within("/sleep_data/time_to_sleep_minutes", 0.0..=180.0);
    within("/sleep_data/wake_count", 0.0..=50.0);
    within("/activity_data/steps", 0.0..=100_000.0);
    within("/activity_data/distance", 0.5..=100.0);
    within("/activity_data/active_energy", 100.0..=5_000.0);
    within("/activity_data/exercise_minutes", 1.0..=1_440.0);
    within("/activity_data/flights_climbed", 0.0..=500.0);
    within("/activity_data/resting_heart_rate", 30.0..=120.0);
    let ids: BTreeSet<&str> = metrics.iter().map(|metric| metric["metric_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), metrics.len());
}

#[test]
fn step_data_is_a_value_for_each_minute_of_at_most_a_fortnight() {
    let simulation = fortnight();
    let data = simulation.step_data();
    let counts: Vec<i64> =
        data["step_counts"].as_array().unwrap().iter().map(|count| count.as_i64().unwrap()).collect();
    let times: Vec<Timestamp> = data["timestamps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|time| time.as_str().unwrap().parse().unwrap())
        .collect();
    // The day of the flight has six hours more than the request may hold.
    assert_eq!((counts.len(), times.len()), (20_160, 20_160));
    assert!(times.windows(2).all(|pair| pair[1].as_second() - pair[0].as_second() == 60));
    let merged: f64 = simulation.truth()[1..].iter().map(|day| day.steps_merged).sum();
    let counted: i64 = counts[(20_160 - 13 * 1_440 - 360)..].iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "a fortnight's steps")]
    let error = (counted as f64 - merged).abs() / merged;
    assert!(error < 0.01, "{counted} {merged}");
}

#[test]
fn settings_that_cannot_be_simulated_are_refused() {
    let refused = |settings: SimulatorSettings| Simulation::new(&settings).err();
    assert_eq!(refused(SimulatorSettings { days: 0, ..settings() }), Some(SettingsError::Days));
    assert_eq!(refused(SimulatorSettings { days: 1_001, ..settings() }), Some(SettingsError::Days));
    assert_eq!(
        refused(SimulatorSettings { zone: "Mars".into(), ..settings() }),
        Some(SettingsError::UnknownZone)
    );
    let start = Date::constant(1969, 1, 1);
    assert_eq!(refused(SimulatorSettings { start, ..settings() }), Some(SettingsError::StartOutOfRange));
    assert_eq!(refused(SimulatorSettings { days: 1, ..settings() }), None);
}

#[test]
fn any_seed_and_home_gives_a_life_that_the_devices_record() {
    for (seed, zone) in
        [(0, "America/Los_Angeles"), (1, "Asia/Kolkata"), (u64::MAX, "Pacific/Auckland"), (3, "UTC")]
    {
        let simulation =
            Simulation::new(&SimulatorSettings { seed, zone: zone.into(), ..settings() }).unwrap();
        assert_eq!(simulation.truth().len(), 14);
        for day in simulation.truth() {
            assert!(day.bed_at < day.asleep_at && day.asleep_at < day.woke_at, "{zone} {day:?}");
            let error = (day.steps_merged - f64::from(day.steps)).abs() / f64::from(day.steps);
            assert!(error < 0.15, "{zone} {day:?}");
        }
    }
}

/// The step samples of an upload as the domain knows them.
fn domain_steps(simulation: &Simulation) -> Vec<domain::sample::Sample> {
    use domain::{metric::Metric, sample, time};
    let steps = of_type(simulation, "HKQuantityTypeIdentifierStepCount");
    let of_sample = |sample: &Value| sample::Sample {
        id: sample["identifier"].as_str().unwrap().parse::<uuid::Uuid>().unwrap().into(),
        metric: Metric::from_identifier(sample["type"].as_str().unwrap()).unwrap(),
        interval: time::Interval::new(
            second(sample, "start_date") * 1_000,
            second(sample, "end_date") * 1_000,
        )
        .unwrap(),
        value: sample::Value::Quantity(sample["value"].as_f64().unwrap()),
        clock: time::LocalClock { offset_seconds: 0, zone: None }.into(),
        source: sample::Source {
            product_type: sample["device"]["product_type"].as_str().map(str::to_owned),
            ..sample::Source::default()
        }
        .into(),
        metadata: None,
    };
    steps.iter().map(of_sample).collect()
}

#[test]
fn the_domain_merges_the_steps_to_what_the_truth_expects() {
    use domain::{measures::merge, time::Interval};
    let simulation = fortnight();
    let samples = domain_steps(&simulation);
    let samples: Vec<_> = samples.iter().collect();
    for (day, truth) in simulation.calendar.days.iter().zip(simulation.truth()) {
        let window = Interval::new(day.start * 60_000, day.end * 60_000).unwrap();
        let merged = merge::total(&samples, window, &merge::SourcePriority::default()).unwrap();
        assert!((merged.value - truth.steps_merged).abs() < 1.0, "{} {truth:?}", merged.value);
    }
}
